/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_prp.h"

#include <errno.h>

/* Memory pages after the first that the bytes reach into. */
static uint32_t further_pages(uint32_t in_first, uint32_t len)
{
	if (len <= in_first)
		return 0;
	return (uint32_t)(((uint64_t)len - in_first + NVME_PAGE_SIZE - 1) >> NVME_PAGE_SHIFT);
}

int nvme_prp_build(const struct pinion_domain *domain, struct pinion_buffer buffer, uint32_t off,
		   uint32_t len, const struct nvme_prp_list *list, uint64_t prp[2])
{
	uint64_t first = pinion_buffer_bus(domain, buffer, off);
	/* Counted from the bus address: a buffer below 4 KiB need not start on a memory page. */
	uint32_t in_first = NVME_PAGE_SIZE - (uint32_t)(first & (NVME_PAGE_SIZE - 1));
	uint32_t nr = further_pages(in_first, len);

	if (!len || first % 4 || nr > NVME_PRP_LIST_ENTRIES)
		return -EINVAL;
	prp[0] = first;
	prp[1] = 0;
	if (nr == 1)
		prp[1] = pinion_buffer_bus(domain, buffer, off + in_first);
	if (nr <= 1)
		return 0;
	for (uint32_t i = 0; i < nr; ++i)
		list->entry[i] =
			pinion_buffer_bus(domain, buffer, off + in_first + (i << NVME_PAGE_SHIFT));
	prp[1] = list->bus;
	return 0;
}
