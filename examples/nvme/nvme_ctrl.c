/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_ctrl.h"

#include <errno.h>
#include <string.h>

#include <pinion/mmio.h>

#include "nvme_admin.h"
#include "nvme_fail.h"
#include "nvme_identify.h"

static volatile void *reg(const struct nvme_ctrl *ctrl, unsigned off)
{
	return (volatile char *)ctrl->transport->bar + off;
}

bool nvme_ctrl_alive(const struct nvme_ctrl *ctrl)
{
	return pinion_mmio_read32(reg(ctrl, NVME_REG_CSTS)) != UINT32_MAX;
}

bool nvme_ctrl_failed(const struct nvme_ctrl *ctrl)
{
	return pinion_mmio_read32(reg(ctrl, NVME_REG_CSTS)) & NVME_CSTS_CFS;
}

/* Why CSTS did not become what it should. */
static int not_ready(const struct nvme_ctrl *ctrl, const char *doing, int err)
{
	const char *bdf = ctrl->transport->bdf;

	if (err == -ENODEV)
		return nvme_fail(err, "%s: registers read all ones: the drive is gone", bdf);
	if (nvme_ctrl_failed(ctrl))
		return nvme_fail(-EIO,
				 "%s: fatal status (CSTS.CFS) while %s: a DMA that the IOMMU "
				 "refused? (dmesg)", bdf, doing);
	return nvme_fail(err, "%s: not done %s within the %ju ms of CAP.TO", bdf, doing,
			 (uintmax_t)(nvme_cap_timeout_ns(ctrl->cap) / 1000000));
}

static int wait_csts(const struct nvme_ctrl *ctrl, uint32_t mask, uint32_t want,
		     const char *doing)
{
	int err = pinion_mmio_wait32(reg(ctrl, NVME_REG_CSTS), mask, want,
				     nvme_cap_timeout_ns(ctrl->cap));

	return err ? not_ready(ctrl, doing, err) : 0;
}

/* Base 3.5.1, step 1: until RDY is 0 the drive may still use its old queues. */
static int disable(struct nvme_ctrl *ctrl)
{
	uint32_t cc = pinion_mmio_read32(reg(ctrl, NVME_REG_CC));

	if (cc == UINT32_MAX)
		return not_ready(ctrl, "disabling", -ENODEV);
	/* Clearing EN while RDY still rises is undefined: let it rise first. */
	if (cc & NVME_CC_EN)
		pinion_mmio_wait32(reg(ctrl, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS,
				   NVME_CSTS_RDY, nvme_cap_timeout_ns(ctrl->cap));
	pinion_mmio_write32(reg(ctrl, NVME_REG_CC), cc & ~(NVME_CC_EN | NVME_CC_SHN_MASK));
	return wait_csts(ctrl, NVME_CSTS_RDY, 0, "disabling");
}

static int enable(struct nvme_ctrl *ctrl)
{
	uint32_t cc = NVME_CC_IOSQES(6) | NVME_CC_IOCQES(4); /* entries of 64 and 16 bytes */
	uint32_t last = ctrl->admin.depth - 1;

	pinion_mmio_write32(reg(ctrl, NVME_REG_AQA), last << 16 | last);
	pinion_mmio_write64_lo_hi(reg(ctrl, NVME_REG_ASQ), ctrl->admin.sq.bus);
	pinion_mmio_write64_lo_hi(reg(ctrl, NVME_REG_ACQ), ctrl->admin.cq.bus);
	/* Ordered: the empty rings are in memory before the drive looks. */
	pinion_mmio_write32(reg(ctrl, NVME_REG_CC), cc | NVME_CC_EN);
	return wait_csts(ctrl, NVME_CSTS_RDY, NVME_CSTS_RDY, "enabling");
}

/* Base 3.6.1: the drive writes its caches out. Best effort: a broken drive is disabled anyway. */
static void shut_down(struct nvme_ctrl *ctrl)
{
	uint32_t cc = pinion_mmio_read32(reg(ctrl, NVME_REG_CC)) & ~NVME_CC_SHN_MASK;

	if (!nvme_ctrl_alive(ctrl))
		return;
	pinion_mmio_write32(reg(ctrl, NVME_REG_CC), cc | NVME_CC_SHN_NORMAL);
	wait_csts(ctrl, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_COMPLETE, "shutting down");
}

static int check_cap(const struct nvme_ctrl *ctrl)
{
	const char *bdf = ctrl->transport->bdf;

	if (ctrl->cap == UINT64_MAX)
		return nvme_fail(-ENODEV, "%s: registers read all ones: the drive is gone", bdf);
	if (!(ctrl->cap & NVME_CAP_CSS_NVM))
		return nvme_fail(-ENOTSUP, "%s: not a drive (no NVM command set)", bdf);
	if (nvme_cap_page_shift_min(ctrl->cap) > NVME_PAGE_SHIFT)
		return nvme_fail(-ENOTSUP, "%s: memory pages of 4 KiB are too small for it", bdf);
	return 0;
}

/* The BAR is a peer's claim like any other: queues are only used when their doorbells are in. */
static uint32_t queues_in_bar(const struct nvme_ctrl *ctrl)
{
	size_t pair = 2 * (size_t)nvme_cap_doorbell_stride(ctrl->cap);
	size_t len = ctrl->transport->bar_len;

	return len < NVME_REG_DOORBELL ? 0 : (uint32_t)((len - NVME_REG_DOORBELL) / pair);
}

static int create_queue(struct nvme_ctrl *ctrl, struct nvme_queue *queue, uint16_t id)
{
	return nvme_queue_create(&ctrl->memory, id, nvme_cap_queue_entries(ctrl->cap),
				 ctrl->transport->bar, nvme_cap_doorbell_stride(ctrl->cap), queue);
}

/* I/O queue @index: memory first, then the drive is told; the completion ring before the other. */
static int open_queue(struct nvme_ctrl *ctrl, uint32_t index)
{
	struct nvme_queue *queue = &ctrl->queue[index];
	int err = create_queue(ctrl, queue, (uint16_t)(index + 1));

	if (err)
		return err;
	ctrl->nr_queues = index + 1; /* from here on close() frees it */
	err = nvme_admin_create_cq(&ctrl->admin, queue, ctrl->transport->irq_fd >= 0);
	if (!err)
		err = nvme_admin_create_sq(&ctrl->admin, queue);
	return err;
}

static int open_queues(struct nvme_ctrl *ctrl, uint32_t wanted)
{
	uint32_t in_bar = queues_in_bar(ctrl), given;
	int err = nvme_admin_set_queues(&ctrl->admin, wanted, &given);

	if (given > wanted)
		given = wanted;
	if (!err && in_bar < given + 1)
		err = nvme_fail(-EINVAL, "%s: BAR 0 is too small for %u doorbell pairs",
				ctrl->transport->bdf, given + 1);
	for (uint32_t i = 0; !err && i < given; ++i)
		err = open_queue(ctrl, i);
	return err;
}

static int start(struct nvme_ctrl *ctrl, uint32_t nr_queues)
{
	int err = create_queue(ctrl, &ctrl->admin, 0);

	if (err)
		return err;
	/* Only now that it is disabled does it know no address of a former driver's. */
	err = nvme_transport_bus_master(ctrl->transport, true);
	if (!err)
		err = enable(ctrl);
	if (!err)
		err = nvme_identify(ctrl);
	if (!err)
		err = open_queues(ctrl, nr_queues);
	return err;
}

/* Disabled, or gone: either way quiet, and its memory can be freed. */
static void stop(struct nvme_ctrl *ctrl)
{
	disable(ctrl);
	nvme_transport_bus_master(ctrl->transport, false);
	for (uint32_t i = 0; i < ctrl->nr_queues; ++i)
		nvme_queue_destroy(&ctrl->memory, &ctrl->queue[i]);
	nvme_queue_destroy(&ctrl->memory, &ctrl->admin);
	nvme_memory_destroy(&ctrl->memory);
}

int nvme_ctrl_open(struct nvme_transport *transport, uint32_t nr_queues, size_t page_size,
		   struct nvme_ctrl *ctrl)
{
	/* One page more, for Identify. */
	uint32_t nr_pages = (nr_queues + 1) * NVME_QUEUE_PAGES + 1;
	int err;

	memset(ctrl, 0, sizeof(*ctrl));
	ctrl->transport = transport;
	ctrl->cap = pinion_mmio_read64_lo_hi(reg(ctrl, NVME_REG_CAP));
	err = check_cap(ctrl);
	if (!err)
		err = disable(ctrl);
	if (!err)
		err = nvme_memory_create(transport, page_size, nr_pages, &ctrl->memory);
	if (err)
		return err;
	err = start(ctrl, nr_queues);
	if (err)
		stop(ctrl);
	return err;
}

void nvme_ctrl_close(struct nvme_ctrl *ctrl)
{
	shut_down(ctrl);
	stop(ctrl);
}

/* Blocks count from 0 in CDW12. pre: @io is within the bounds of the header's comment. */
static void place_blocks(const struct nvme_ctrl *ctrl, const struct nvme_io *io,
			 struct nvme_command *command)
{
	command->cdw10 = (uint32_t)io->lba;
	command->cdw11 = (uint32_t)(io->lba >> 32);
	command->cdw12 = io->len / ctrl->block_size - 1;
}

int nvme_ctrl_submit(struct nvme_ctrl *ctrl, struct nvme_queue *queue,
		     const struct pinion_domain *domain, const struct nvme_io *io)
{
	struct nvme_command command = {.opcode = (uint8_t)io->opcode, .nsid = NVME_NAMESPACE};
	uint16_t cid;

	if (!nvme_queue_room(queue))
		return -EAGAIN;
	cid = nvme_queue_slot(queue);
	if (io->opcode != NVME_IO_FLUSH) {
		const struct nvme_page *page = &queue->slot[cid].list;
		const struct nvme_prp_list list = {.entry = page->addr, .bus = page->bus};
		int err = nvme_prp_build(domain, io->buffer, io->off, io->len, &list, command.prp);

		if (err)
			return err;
		place_blocks(ctrl, io, &command);
	}
	nvme_queue_submit(queue, cid, &command, io->context);
	return 0;
}
