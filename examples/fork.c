/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that forks: the child's copy of its parent's cache refuses to work; with a member
 * number of its own it uses the mappings that it inherited.
 *
 *     cc fork.c $(pkg-config --cflags --libs pinion) -o fork
 *     sudo hugepages reserve 0:2M && ./fork         or: ./fork --page-size 4k
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

static const struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};

static void be_child(struct pinion_pool *pool, struct pinion_cache *parents, uint32_t member)
{
	struct pinion_cache *cache;
	struct pinion_buffer buffer;
	int refused = pinion_buffer_alloc(parents, &buffer);

	/* Were it to work, parent and child would be given the same buffers. */
	printf("child: alloc from the parent's cache: %s\n", strerror(-refused));
	expect(refused == -ECHILD, "refused");
	pinion_cache_close(parents); /* frees this copy and gives nothing back */

	must(pinion_pool_become(pool, member));
	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_buffer_alloc(cache, &buffer));
	printf("child: member %u has buffer %u\n", pinion_pool_member(pool),
	       pinion_buffer_id(buffer));
	must(pinion_buffer_free(cache, buffer));
	pinion_cache_close(cache);
	pinion_pool_detach(pool);
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	uint32_t member;
	int status;

	must(pinion_pool_create(&config, &pool));
	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_buffer_alloc(cache, &buffer));
	printf("parent: member %u has buffer %u\n", pinion_pool_member(pool),
	       pinion_buffer_id(buffer));
	fflush(stdout);

	/* The number comes from the keeper, before the fork; its pid can be told only later. */
	must(pinion_pool_admit(pool, 0, &member));
	if (!fork()) {
		be_child(pool, cache, member);
		exit(0);
	}
	wait(&status);
	must(pinion_pool_release(pool, member, NULL)); /* the number is free for somebody else */

	must(pinion_buffer_free(cache, buffer));
	printf("parent: goes on with its own cache\n");
	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return status != 0;
}
