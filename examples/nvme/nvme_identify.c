/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_identify.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "nvme_admin.h"
#include "nvme_fail.h"

/* Texts of the drive's go into logs and JSON: printable, nothing to escape, blanks cut off. */
static void copy_text(char *to, const char *from, size_t len)
{
	size_t end = 0;

	for (size_t i = 0; i < len; ++i) {
		unsigned char c = (unsigned char)from[i];

		to[i] = (char)(isprint(c) && c != '"' && c != '\\' ? c : ' ');
		if (to[i] != ' ')
			end = i + 1;
	}
	to[end] = '\0';
}

/* MDTS counts memory pages as a power of two; 0 is "no limit", and then ours is the PRP list. */
static uint32_t max_transfer(uint8_t mdts)
{
	uint32_t limit = NVME_PRP_MAX_LEN;

	if (mdts && mdts < 20 && (NVME_PAGE_SIZE << mdts) < limit)
		limit = NVME_PAGE_SIZE << mdts;
	return limit;
}

static void read_controller(struct nvme_ctrl *ctrl, const struct nvme_identify_controller *id)
{
	copy_text(ctrl->model, id->model, sizeof(id->model));
	copy_text(ctrl->serial, id->serial, sizeof(id->serial));
	copy_text(ctrl->firmware, id->firmware, sizeof(id->firmware));
	ctrl->max_transfer = max_transfer(id->mdts);
}

static int read_namespace(struct nvme_ctrl *ctrl, const struct nvme_identify_namespace *id)
{
	const struct nvme_lba_format *format =
		&id->lba_format[(id->format & 0xf) | (id->format >> 1 & 0x30)];
	const char *bdf = ctrl->transport->bdf;

	if (!id->blocks)
		return nvme_fail(-ENXIO, "%s has no namespace %u", bdf, NVME_NAMESPACE);
	if (format->metadata_size)
		return nvme_fail(-ENOTSUP,
				 "%s: its blocks carry %u bytes of metadata, which this driver "
				 "does not handle: format it without", bdf, format->metadata_size);
	/* NVM 4.1.5.1: 512 bytes at least. Above a memory page is not needed here. */
	if (format->block_shift < 9 || format->block_shift > NVME_PAGE_SHIFT)
		return nvme_fail(-ENOTSUP, "%s: blocks of 2^%u bytes are not handled", bdf,
				 format->block_shift);
	ctrl->blocks = id->blocks;
	ctrl->block_size = 1u << format->block_shift;
	return 0;
}

int nvme_identify(struct nvme_ctrl *ctrl)
{
	struct nvme_page page = {0};
	int err = nvme_page_alloc(&ctrl->memory, &page);

	if (err)
		return err;
	err = nvme_admin_identify(&ctrl->admin, NVME_IDENTIFY_CONTROLLER, 0, &page);
	if (!err)
		read_controller(ctrl, page.addr);
	if (!err)
		err = nvme_admin_identify(&ctrl->admin, NVME_IDENTIFY_NAMESPACE, NVME_NAMESPACE,
					  &page);
	if (!err)
		err = read_namespace(ctrl, page.addr);
	nvme_page_free(&ctrl->memory, &page);
	return err;
}
