/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many buffers in one call: how many were got, and how many given back.
 *
 *     cc bulk.c $(pkg-config --cflags --libs pinion) -o bulk
 *     sudo hugepages reserve 0:4M && ./bulk         or: ./bulk --page-size 4k
 */
#include <stdio.h>

#include "example.h"

#define NR 1024 /* as many as the pool has */

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = NR * 4096, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	static struct pinion_buffer buffer[NR + 1];
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	int got, freed;

	must(pinion_pool_create(&config, &pool));
	must(pinion_cache_open(pool, &want, &cache));

	/* Fewer than asked for is no error: the count says it. None at all is one. */
	got = pinion_buffer_alloc_bulk(cache, buffer, NR + 1);
	printf("asked for %d, got %d\n", NR + 1, got);
	expect(got == NR, "all that there are");
	got = pinion_buffer_alloc_bulk(cache, &buffer[NR], 1);
	printf("asked for 1 more: %s\n", strerror(-got));
	expect(got == -ENOMEM, "nothing is left");

	/* The first that cannot be freed ends it: those before it are free, the others not. */
	must(pinion_buffer_free(cache, buffer[100]));
	freed = pinion_buffer_free_bulk(cache, buffer, NR);
	printf("gave %d, of which the one at 100 was free already: %d freed\n", NR, freed);
	expect(freed == 100, "up to the bad one");
	freed = pinion_buffer_free_bulk(cache, &buffer[101], NR - 101);
	printf("gave the others: %d freed, %u still held\n", freed,
	       pinion_pool_held(pool, pinion_pool_member(pool)));
	expect(!pinion_pool_held(pool, pinion_pool_member(pool)), "all are free");

	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
