/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Make a pool, allocate a buffer, free it, and count.
 *
 *     cc alloc.c $(pkg-config --cflags --libs pinion) -o alloc
 *     sudo hugepages reserve 0:4M && ./alloc
 */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <pinion/pinion.h>

static void show(const struct pinion_pool *pool)
{
	struct pinion_zone_stat stat;

	if (pinion_pool_stat(pool, 0, &stat))
		errx(1, "the pool has no zone");
	printf("node %d: %u buffers of %zu bytes, %u free, %u held\n", stat.node, stat.total,
	       stat.buffer_size, stat.free, stat.held);
}

int main(void)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 4 << 20, .buffer_size = 4096, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	struct pinion_pool *pool;

	if (pinion_pool_create(&config, &pool) || pinion_cache_open(pool, &want, &cache))
		errx(1, "%s", pinion_error_text());
	if (pinion_buffer_alloc(cache, &buffer))
		errx(1, "no buffer is free");
	strcpy(pinion_buffer_addr(pool, buffer), "in a hugepage");
	printf("buffer %u: %s\n", pinion_buffer_id(buffer),
	       (char *)pinion_buffer_addr(pool, buffer));
	show(pool);

	pinion_buffer_free(cache, buffer);
	if (pinion_buffer_free(cache, buffer))
		printf("freed twice: refused\n");
	show(pool);

	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
