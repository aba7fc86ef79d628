/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Make a pool, allocate a buffer, free it, and count.
 *
 *     cc alloc.c $(pkg-config --cflags --libs pinion) -o alloc
 *     sudo hugepages reserve 0:4M && ./alloc        or: ./alloc --page-size 4k
 */
#include <stdio.h>

#include "example.h"

static void show(const struct pinion_pool *pool)
{
	struct pinion_zone_stat stat;

	must(pinion_pool_stat(pool, 0, &stat));
	printf("node %d: %u buffers of %zu bytes, %u free, %u held\n", stat.node, stat.total,
	       stat.buffer_size, stat.free, stat.held);
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 4 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	struct pinion_pool *pool;

	must(pinion_pool_create(&config, &pool));
	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_buffer_alloc(cache, &buffer));
	strcpy(pinion_buffer_addr(pool, buffer), "in a page of the pool");
	printf("buffer %u, generation %ju: %s\n", pinion_buffer_id(buffer),
	       (uintmax_t)pinion_buffer_generation(buffer),
	       (char *)pinion_buffer_addr(pool, buffer));
	show(pool);

	must(pinion_buffer_free(cache, buffer));
	expect(pinion_buffer_free(cache, buffer) == -EINVAL, "freed twice, and not refused");
	printf("freed twice: refused\n");
	show(pool);

	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
