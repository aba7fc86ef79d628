/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_ADMIN_H
#define NVME_ADMIN_H

/*
 * Admin commands, one at a time: submitted, rung, and polled for until they are back.
 *
 * The admin queue is polled even where I/O queues interrupt: it is used while setting up only.
 * All give -EIO when the drive refused (the sentence has the status by name), -ETIMEDOUT when it
 * did not answer.
 */

#include <stdbool.h>
#include <stdint.h>

#include "nvme_queue.h"

/* Base 5.17: 4 KiB of identification, by DMA into @page. */
int nvme_admin_identify(struct nvme_queue *admin, uint8_t cns, uint32_t nsid,
			const struct nvme_page *page);

/* Base 5.27.1.5: ask for @wanted queue pairs; @given is what there will be, at least 1. */
int nvme_admin_set_queues(struct nvme_queue *admin, uint32_t wanted, uint32_t *given);

/* Base 5.4 and 5.5. Interrupts go to vector 0. */
int nvme_admin_create_cq(struct nvme_queue *admin, const struct nvme_queue *queue,
			 bool interrupts);
int nvme_admin_create_sq(struct nvme_queue *admin, const struct nvme_queue *queue);

#endif
