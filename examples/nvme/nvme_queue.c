/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <pinion/mmio.h>

#include "nvme_fail.h"

/* PCIe 3.1.2: doorbells lie in pairs, @stride bytes apart. */
static void find_doorbells(struct nvme_queue *queue, void *bar, uint32_t stride)
{
	char *pair = (char *)bar + NVME_REG_DOORBELL + (size_t)queue->id * 2 * stride;

	queue->sq_doorbell = pair;
	queue->cq_doorbell = pair + stride;
}

int nvme_queue_create(struct nvme_memory *memory, uint16_t id, uint32_t depth, void *bar,
		      uint32_t doorbell_stride, struct nvme_queue *queue)
{
	int err;

	memset(queue, 0, sizeof(*queue));
	queue->id = id;
	queue->depth = depth < NVME_QUEUE_DEPTH_MAX ? depth : NVME_QUEUE_DEPTH_MAX;
	queue->phase = 1;
	find_doorbells(queue, bar, doorbell_stride);
	err = nvme_page_alloc(memory, &queue->sq);
	if (!err)
		err = nvme_page_alloc(memory, &queue->cq);
	for (uint32_t i = 0; !err && i < queue->depth; ++i)
		err = nvme_page_alloc(memory, &queue->slot[i].list);
	if (err)
		nvme_queue_destroy(memory, queue);
	return err;
}

void nvme_queue_destroy(struct nvme_memory *memory, struct nvme_queue *queue)
{
	for (uint32_t i = 0; i < queue->depth; ++i)
		nvme_page_free(memory, &queue->slot[i].list);
	nvme_page_free(memory, &queue->cq);
	nvme_page_free(memory, &queue->sq);
}

uint16_t nvme_queue_slot(struct nvme_queue *queue)
{
	uint16_t cid = queue->next_slot;

	while (queue->slot[cid].busy)
		cid = (uint16_t)((cid + 1u) % queue->depth);
	queue->next_slot = (uint16_t)((cid + 1u) % queue->depth);
	return cid;
}

void nvme_queue_submit(struct nvme_queue *queue, uint16_t cid, struct nvme_command *command,
		       void *context)
{
	struct nvme_command *ring = queue->sq.addr;

	command->cid = cid;
	queue->slot[cid].busy = true;
	queue->slot[cid].context = context;
	ring[queue->tail] = *command;
	queue->tail = (queue->tail + 1) % queue->depth;
	++queue->in_flight;
}

void nvme_queue_ring(struct nvme_queue *queue)
{
	if (queue->rung == queue->tail)
		return;
	/* Ordered: commands and PRP lists are in memory before the drive hears of them. */
	pinion_mmio_write32(queue->sq_doorbell, queue->tail);
	queue->rung = queue->tail;
}

/* Believe nothing that lies in the ring until it names a command in flight. */
static int take(struct nvme_queue *queue, const struct nvme_completion *entry, uint32_t dw3,
		struct nvme_result *result)
{
	uint16_t cid = nvme_completion_cid(dw3);

	if (cid >= queue->depth || !queue->slot[cid].busy)
		return nvme_fail(-EPROTO,
				 "queue %u: the drive completed command %u, which it was not given",
				 queue->id, cid);
	result->context = queue->slot[cid].context;
	result->status = nvme_completion_status(dw3);
	result->result = entry->result;
	queue->slot[cid].busy = false;
	--queue->in_flight;
	return 0;
}

int nvme_queue_poll(struct nvme_queue *queue, struct nvme_result *result, uint32_t nr)
{
	const struct nvme_completion *ring = queue->cq.addr;
	uint32_t got = 0;
	int err = 0;

	while (got < nr) {
		const struct nvme_completion *entry = &ring[queue->head];
		uint32_t dw3 = atomic_load_explicit(&entry->cid_status, memory_order_relaxed);

		if (nvme_completion_phase(dw3) != queue->phase)
			break;
		/* The rest of the entry, and the data, were written before the phase bit. */
		pinion_dma_rmb();
		err = take(queue, entry, dw3, &result[got]);
		if (err)
			return err;
		++got;
		queue->head = (queue->head + 1) % queue->depth;
		queue->phase ^= queue->head == 0;
	}
	if (got) {
		/* Nothing of these entries is still to be loaded when the drive may write there. */
		pinion_dma_rmb();
		pinion_mmio_write32_relaxed(queue->cq_doorbell, queue->head);
	}
	return (int)got;
}
