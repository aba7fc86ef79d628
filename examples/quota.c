/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Limit what a member may have at once.
 *
 *     cc quota.c $(pkg-config --cflags --libs pinion) -o quota
 *     sudo hugepages reserve 0:4M && ./quota        or: ./quota --page-size 4k
 */
#include <stdio.h>

#include "example.h"

#define NR 1024 /* buffers in the pool */
#define MAGAZINE 64 /* buffers that a cache draws at once */

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.magazine_size = MAGAZINE,
		.nr_segments = 1,
		.segment = {{.len = NR * 4096, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	static struct pinion_buffer buffer[NR];
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	int got, more;

	must(pinion_pool_create(&config, &pool));
	must(pinion_cache_open(pool, &want, &cache));
	/* In bytes. Here for ourselves, to be seen in one process. */
	must(pinion_pool_quota(pool, pinion_pool_member(pool), 300 * 4096));

	got = pinion_buffer_alloc_bulk(cache, buffer, NR);
	more = pinion_buffer_alloc(cache, &buffer[NR - 1]);
	printf("a quota of 300 buffers: got %d, then: %s\n", got, strerror(-more));
	/* It is looked at when a magazine is drawn: the last one may go beyond it. */
	expect(got >= 300 && got <= 300 + MAGAZINE, "one magazine beyond it at most");
	expect(more == -EDQUOT, "no more than that");

	must(pinion_pool_quota(pool, pinion_pool_member(pool), 0));
	more = pinion_buffer_alloc_bulk(cache, &buffer[got], (uint32_t)(NR - got));
	printf("none: got the other %d\n", more);
	expect(got + more == NR, "all that there are");

	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
