/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_CTRL_H
#define NVME_CTRL_H

/*
 * The controller: from whatever state it is found in to one with queues that work, and back.
 *
 *     nvme_ctrl_open()     disable, admin queue, enable, identify, I/O queues    Base 3.5.1
 *     nvme_ctrl_submit()   one read, write or flush, from a pool's buffer
 *     nvme_queue_ring()    the doorbell, once for each batch
 *     nvme_queue_poll()    what came back
 *     nvme_ctrl_close()    orderly shutdown, then disabled                       Base 3.6.1
 *
 * Threads: open and close are for one; afterwards each queue is for one thread at a time.
 *
 * Death: the controller is left enabled, with queues in memory that is gone. It does no harm while
 * bus mastering is off (nvme_transport.h), and the next open disables it first.
 */

#include <stdbool.h>
#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/domain.h>

#include "nvme_memory.h"
#include "nvme_queue.h"
#include "nvme_spec.h"
#include "nvme_transport.h"

#define NVME_CTRL_QUEUES_MAX 16
#define NVME_NAMESPACE 1 /* the only one that this driver uses */

struct nvme_ctrl {
	struct nvme_transport *transport;
	struct nvme_memory memory;
	uint64_t cap;
	struct nvme_queue admin;
	uint32_t nr_queues;
	struct nvme_queue queue[NVME_CTRL_QUEUES_MAX];
	char model[41], serial[21], firmware[9]; /* printable, trimmed */
	uint64_t blocks;                         /* of the namespace */
	uint32_t block_size;                     /* bytes */
	uint32_t max_transfer;                   /* bytes of one command */
};

/* What to do, with which bytes of which buffer. For a flush there are none. */
struct nvme_io {
	enum nvme_io_opcode opcode;
	struct pinion_buffer buffer;
	uint32_t off, len; /* bytes; @len a multiple of the block size */
	uint64_t lba;
	void *context; /* comes back with the result */
};

/*
 * nvme_ctrl_open() - @nr_queues is what is wanted; ctrl->nr_queues what the drive gave.
 * Queues and lists lie in pages of @page_size bytes of the kernel's.
 * The transport stays the caller's. With an irq_fd in it, completions raise an interrupt.
 * Every failure has said its sentence, and leaves the controller disabled.
 */
int nvme_ctrl_open(struct nvme_transport *transport, uint32_t nr_queues, size_t page_size,
		   struct nvme_ctrl *ctrl);
/* pre: nothing is in flight that matters. */
void nvme_ctrl_close(struct nvme_ctrl *ctrl);

/* The register file answers. A device that was pulled reads all ones. */
bool nvme_ctrl_alive(const struct nvme_ctrl *ctrl);
/* It gave up (CSTS.CFS): only a reset helps. */
bool nvme_ctrl_failed(const struct nvme_ctrl *ctrl);

/*
 * nvme_ctrl_submit() - put one command into a queue.
 * @domain: of the pool that the buffer belongs to, for this drive.
 * pre: len is a multiple of the block size, at most max_transfer, and inside the buffer.
 *
 * -EAGAIN  the queue is full: take completions
 * -EINVAL  the bytes cannot be named by one PRP list
 */
int nvme_ctrl_submit(struct nvme_ctrl *ctrl, struct nvme_queue *queue,
		     const struct pinion_domain *domain, const struct nvme_io *io);

#endif
