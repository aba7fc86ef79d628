/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_MEMORY_H
#define NVME_MEMORY_H

/*
 * The driver's own DMA memory: queues, PRP lists, and the page for Identify. All of it are
 * buffers of 4 KiB, allocated from a pool, with bus addresses from that pool's domain; the
 * driver has no other memory that the drive may touch.
 *
 * This pool is another than the producers' one. What a producer can write, it can change: a PRP
 * list there would let it aim the drive anywhere. This pool's files are never passed on.
 *
 * Death: of the device process; the pool goes with it.
 */

#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/cache.h>
#include <pinion/domain.h>
#include <pinion/pool.h>

#include "nvme_spec.h"
#include "nvme_transport.h"

struct nvme_memory {
	struct pinion_pool *pool;
	struct pinion_domain *domain;
	struct pinion_cache *cache;
};

/* One memory page of the drive's, as the processor and as the drive see it. */
struct nvme_page {
	struct pinion_buffer buffer;
	void *addr;
	uint64_t bus;
};

/* A pool with room for @nr_pages of the drive's, in pages of @page_size bytes of the kernel's, on
 * the drive's node, and mapped for the drive. */
int nvme_memory_create(const struct nvme_transport *transport, size_t page_size,
		       uint32_t nr_pages, struct nvme_memory *memory);
/* pre: the drive is quiet, and every page was freed. */
void nvme_memory_destroy(struct nvme_memory *memory);

/* A page full of zeroes. */
int nvme_page_alloc(struct nvme_memory *memory, struct nvme_page *page);
/* A page that was never allocated (all zeroes) is left alone. */
void nvme_page_free(struct nvme_memory *memory, struct nvme_page *page);

#endif
