/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_QUEUE_H
#define NVME_QUEUE_H

/*
 * A queue: a submission ring and the completion ring that goes with it. Base 3.3.1.
 *
 *     driver                                       drive
 *     ------                                       -----
 *     nvme_queue_submit()  command -> SQ[tail]
 *     nvme_queue_ring()    tail -> doorbell        reads commands by DMA
 *                                                  writes CQ[...] by DMA, phase bit turned
 *     nvme_queue_poll()    CQ[head] -> result
 *                          head -> doorbell        may use the slots again
 *
 * The phase bit tells new entries from old: the drive writes 1 on its first lap through the
 * completion ring, 0 on the second, and so on. The ring starts as zeroes.
 *
 * A command's identifier (cid) is the number of its slot in slot[]; what comes back is checked
 * against that table before it is used. With at most depth - 1 commands in flight neither ring
 * can overflow.
 *
 * Threads: one at a time for each queue.
 */

#include <stdbool.h>
#include <stdint.h>

#include "nvme_memory.h"
#include "nvme_prp.h"
#include "nvme_spec.h"

/* Entries of the rings: what fills one page with commands. */
#define NVME_QUEUE_DEPTH_MAX (NVME_PAGE_SIZE / (uint32_t)sizeof(struct nvme_command))

/* Pages that one queue takes: two rings, and a PRP list for each command that can be in flight. */
#define NVME_QUEUE_PAGES (2 + NVME_QUEUE_DEPTH_MAX)

struct nvme_slot {
	bool busy;
	void *context;         /* the submitter's */
	struct nvme_page list; /* for PRPs of the command in this slot */
};

struct nvme_queue {
	uint16_t id;
	uint32_t depth;
	struct nvme_page sq, cq;
	volatile void *sq_doorbell, *cq_doorbell;
	uint32_t tail, head;
	uint32_t rung;      /* the tail that the drive was last told */
	unsigned phase;     /* that marks a new completion on this lap */
	uint32_t in_flight; /* busy slots; at most depth - 1 */
	uint16_t next_slot; /* where the search for a free one starts */
	struct nvme_slot slot[NVME_QUEUE_DEPTH_MAX];
};

/* A command that came back. */
struct nvme_result {
	void *context;
	uint32_t result;
	uint16_t status; /* SCT << 8 | SC */
};

/* Memory and bookkeeping only; telling the drive is the controller's part (nvme_ctrl.c). */
int nvme_queue_create(struct nvme_memory *memory, uint16_t id, uint32_t depth, void *bar,
		      uint32_t doorbell_stride, struct nvme_queue *queue);
/* pre: the drive does not use it any more (the controller is disabled). */
void nvme_queue_destroy(struct nvme_memory *memory, struct nvme_queue *queue);

/* How many commands there is room for. */
static inline uint32_t nvme_queue_room(const struct nvme_queue *queue)
{
	return queue->depth - 1 - queue->in_flight;
}

/* A free slot; its number is the cid. pre: nvme_queue_room() > 0. */
uint16_t nvme_queue_slot(struct nvme_queue *queue);

/* Writes @command into the ring as that of slot @cid. The drive learns of it from _ring(). */
void nvme_queue_submit(struct nvme_queue *queue, uint16_t cid, struct nvme_command *command,
		       void *context);
/* Tells the drive of what was submitted since it was last told; nothing then, nothing now. */
void nvme_queue_ring(struct nvme_queue *queue);

/*
 * nvme_queue_poll() - take up to @nr completions; returns how many, 0 when there are none.
 *
 * -EPROTO  the drive completed a command that it was not given: it cannot be trusted any more,
 *          reset it
 */
int nvme_queue_poll(struct nvme_queue *queue, struct nvme_result *result, uint32_t nr);

#endif
