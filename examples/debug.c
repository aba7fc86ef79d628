/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Find who writes where it may not: a process that writes over the end of its buffer, and one that
 * writes to a buffer it has freed, are ended with a line that names buffer and byte.
 *
 *     cc debug.c $(pkg-config --cflags --libs pinion) -o debug
 *     sudo hugepages reserve 0:2M && ./debug        or: ./debug --page-size 4k
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

static void write_past_end(struct pinion_pool *pool, struct pinion_cache *cache)
{
	struct pinion_buffer buffer;

	must(pinion_buffer_alloc(cache, &buffer));
	memset(pinion_buffer_addr(pool, buffer), 0, 1025); /* it has 1024 bytes */
	pinion_buffer_free(cache, buffer);
}

static void write_after_free(struct pinion_pool *pool, struct pinion_cache *cache)
{
	struct pinion_buffer buffer;
	char *addr;

	must(pinion_buffer_alloc(cache, &buffer));
	addr = pinion_buffer_addr(pool, buffer);
	must(pinion_buffer_free(cache, buffer));
	addr[7] = 1;
	pinion_buffer_alloc(cache, &buffer); /* the last freed comes first */
}

/* In a member of its own, which comes to its end, and is recovered. */
static void watch(struct pinion_pool *pool, const char *what,
		  void (*wrong)(struct pinion_pool *, struct pinion_cache *))
{
	struct pinion_cache_config want = {.buffer_size = 1024, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;
	struct rlimit none = {0, 0};
	uint32_t member;
	int status;

	printf("%s:\n", what);
	fflush(stdout);
	must(pinion_pool_admit(pool, 0, &member));
	if (!fork()) {
		setrlimit(RLIMIT_CORE, &none);
		must(pinion_pool_become(pool, member));
		must(pinion_cache_open(pool, &want, &cache));
		wrong(pool, cache);
		exit(0); /* not reached */
	}
	wait(&status);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "it was stopped");
	must(pinion_pool_release(pool, member, NULL));
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.flags = PINION_POOL_DEBUG,
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 1024,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_pool *pool;

	must(pinion_pool_create(&config, &pool));
	watch(pool, "one byte past the end", write_past_end);
	watch(pool, "a byte after the free", write_after_free);
	printf("both were stopped\n");
	pinion_pool_destroy(pool);
	return 0;
}
