/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_memory.h"

#include <string.h>

#include <pinion/error.h>

#include "nvme_fail.h"

static int create_pool(int node, size_t page_size, uint32_t nr_pages, struct pinion_pool **pool)
{
	const size_t len = (size_t)nr_pages * NVME_PAGE_SIZE;
	const struct pinion_pool_config config = {
		.name = "nvme-queues",
		.nr_members = 1,
		.nr_caches = 1,
		.nr_segments = 1,
		.segment[0] = {
			.len = (len + page_size - 1) & ~(page_size - 1),
			.buffer_size = NVME_PAGE_SIZE,
			.page_size = page_size,
			.node = node,
		},
	};

	return pinion_pool_create(&config, pool);
}

int nvme_memory_create(const struct nvme_transport *transport, size_t page_size,
		       uint32_t nr_pages, struct nvme_memory *memory)
{
	const struct pinion_cache_config config = {
		.buffer_size = NVME_PAGE_SIZE,
		.node = PINION_NODE_ANY,
	};
	int err = create_pool(transport->node, page_size, nr_pages, &memory->pool);

	if (err)
		return nvme_fail(err, "memory for the queues: %s", pinion_error_text());
	err = nvme_transport_domain(transport, memory->pool, &memory->domain);
	if (err)
		goto destroy_pool;
	err = pinion_cache_open(memory->pool, &config, &memory->cache);
	if (!err)
		return 0;
	nvme_fail(err, "memory for the queues: %s", pinion_error_text());
	pinion_domain_destroy(memory->domain);
destroy_pool:
	pinion_pool_destroy(memory->pool);
	return err;
}

void nvme_memory_destroy(struct nvme_memory *memory)
{
	pinion_cache_close(memory->cache);
	if (pinion_domain_destroy(memory->domain))
		nvme_say("memory of the queues: %s", pinion_error_text());
	pinion_pool_destroy(memory->pool);
}

int nvme_page_alloc(struct nvme_memory *memory, struct nvme_page *page)
{
	int err = pinion_buffer_alloc(memory->cache, &page->buffer);

	if (err)
		return nvme_fail(err, "no page is left for queues and PRP lists");
	page->addr = pinion_buffer_addr(memory->pool, page->buffer);
	page->bus = pinion_buffer_bus(memory->domain, page->buffer, 0);
	memset(page->addr, 0, NVME_PAGE_SIZE);
	return 0;
}

void nvme_page_free(struct nvme_memory *memory, struct nvme_page *page)
{
	if (page->addr)
		pinion_buffer_free(memory->cache, page->buffer);
	memset(page, 0, sizeof(*page));
}
