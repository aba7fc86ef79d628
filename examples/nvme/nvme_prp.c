/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_prp.h"

#include <errno.h>

int nvme_prp_build(const struct pinion_domain *domain, struct pinion_buffer buffer, uint32_t off,
		   uint32_t len, const struct nvme_prp_list *list, uint64_t prp[2])
{
	const struct pinion_piece piece = {buffer, off, len};
	int64_t nr = pinion_prp_count(domain, &piece, 1, NVME_PAGE_SHIFT);
	struct pinion_prp at;
	uint64_t *entry;

	if (nr < 1 || nr > 1 + (int64_t)NVME_PRP_LIST_ENTRIES)
		return -EINVAL;
	pinion_prp_begin(&at, domain, &piece, 1, NVME_PAGE_SHIFT);
	(void)pinion_prp_next(&at, &prp[0]);
	prp[1] = nr > 2 ? list->bus : 0;
	entry = nr > 2 ? list->entry : &prp[1];
	while (pinion_prp_next(&at, entry) > 0)
		entry++;
	return 0;
}
