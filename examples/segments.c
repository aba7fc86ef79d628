/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a pool holds, as df(1) shows it: each segment, then the zones, in each of which the
 * segments of one kind are added up.
 *
 *     cc segments.c $(pkg-config --cflags --libs pinion) -o segments
 *     sudo hugepages reserve 0:8M && ./segments         or: ./segments --page-size 4k
 */
#include <stdio.h>

#include "example.h"

static void show_segments(struct pinion_pool *pool)
{
	struct pinion_segment_stat stat;

	printf("segment  node  page KiB  buffer bytes  buffers     free     held\n");
	for (uint32_t slot = 0; slot < pinion_pool_slots(pool); slot++) {
		if (pinion_pool_segment(pool, slot, &stat) == -ENOENT)
			continue; /* room to grow */
		printf("%7u  %4d  %8zu  %12zu  %7u  %7u  %7u%s\n", slot, stat.node,
		       stat.page_size / 1024, stat.buffer_size, stat.nr, stat.free,
		       stat.nr - stat.free, stat.retiring ? "  retiring" : "");
	}
}

static uint32_t show_zones(const struct pinion_pool *pool)
{
	struct pinion_zone_stat stat;
	uint32_t held = 0;

	for (uint32_t zone = 0; zone < pinion_pool_zones(pool); zone++) {
		must(pinion_pool_stat(pool, zone, &stat));
		printf("zone %u: %u buffers of %zu bytes on node %d, %u free, %u held\n", zone,
		       stat.total, stat.buffer_size, stat.node, stat.free, stat.held);
		held += stat.held;
	}
	return held;
}

int main(int argc, char **argv)
{
	size_t page = page_size(argc, argv);
	struct pinion_pool_config config = {
		.nr_segments = 4,
		.segment = {
			{.len = 2 << 20, .buffer_size = 64, .page_size = page,
			 .node = PINION_NODE_ANY},
			{.len = 2 << 20, .buffer_size = 4096, .page_size = page,
			 .node = PINION_NODE_ANY},
			{.len = 2 << 20, .buffer_size = 4096, .page_size = page,
			 .node = PINION_NODE_ANY},
			{.len = 2 << 20, .buffer_size = 65536, .page_size = page,
			 .node = PINION_NODE_ANY},
		},
	};
	struct pinion_cache_config want = {.buffer_size = 3000, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer[600];
	struct pinion_cache *cache;
	struct pinion_pool *pool;

	must(pinion_pool_create(&config, &pool));
	must(pinion_cache_open(pool, &want, &cache));
	expect(pinion_buffer_alloc_bulk(cache, buffer, 600) == 600, "more than one segment has");
	show_segments(pool);
	expect(show_zones(pool) == 600, "what is held adds up");

	must(pinion_buffer_free_bulk(cache, buffer, 600));
	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
