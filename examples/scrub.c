/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one member leaves in a buffer, the next one sees, unless the pool scrubs.
 *
 *     cc scrub.c $(pkg-config --cflags --libs pinion) -o scrub
 *     sudo hugepages reserve 0:2M && ./scrub        or: ./scrub --page-size 4k
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define NR 512 /* all buffers of the pool, so that the second member gets what the first had */

static struct pinion_buffer buffer[NR];

static struct pinion_cache *take_all(struct pinion_pool *pool)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;

	must(pinion_cache_open(pool, &want, &cache));
	expect(pinion_buffer_alloc_bulk(cache, buffer, NR) == NR, "all buffers are free");
	return cache;
}

static void give_all(struct pinion_cache *cache)
{
	expect(pinion_buffer_free_bulk(cache, buffer, NR) == NR, "all are freed");
	pinion_cache_close(cache);
}

/* The exit status of the other member: how it found the buffer. */
static int look(struct pinion_pool *pool, uint32_t member)
{
	struct pinion_cache *cache;
	int seen = 0;

	must(pinion_pool_become(pool, member));
	cache = take_all(pool);
	for (int i = 0; i < NR; i++)
		seen |= !strcmp(pinion_buffer_addr(pool, buffer[i]), "a secret");
	give_all(cache);
	return seen;
}

/* Does the second member see what the first has left? */
static int leaks(struct pinion_pool_config *config, uint32_t flags)
{
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	uint32_t member;
	int status;

	config->flags = flags;
	must(pinion_pool_create(config, &pool));
	cache = take_all(pool);
	strcpy(pinion_buffer_addr(pool, buffer[0]), "a secret");
	give_all(cache);
	must(pinion_pool_admit(pool, 0, &member));
	if (!fork())
		_exit(look(pool, member) ? 10 : 11);
	wait(&status);
	expect(WIFEXITED(status) && WEXITSTATUS(status) >= 10, "the second member has looked");
	pinion_pool_destroy(pool);
	return WEXITSTATUS(status) == 10;
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = NR * 4096, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	int plain = leaks(&config, 0), scrubbed = leaks(&config, PINION_POOL_SCRUB);

	printf("without scrubbing the next member sees %s\n", plain ? "it" : "nothing");
	printf("with PINION_POOL_SCRUB it sees %s\n", scrubbed ? "it" : "nothing");
	expect(plain && !scrubbed, "scrubbing makes the difference");
	return 0;
}
