/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool with a name outlives its processes: the one that made it is killed, another adopts it,
 * finds the data there and the buffers free, and in the end removes it.
 *
 *     cc named.c $(pkg-config --cflags --libs pinion) -o named
 *     sudo hugepages reserve 0:4M
 *     sudo mount -t hugetlbfs none /dev/hugepages && sudo ./named /dev/hugepages/example
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define TEXT "written before the death of its maker"

/* Makes the pool, writes into a buffer, and is killed with the buffer in its hands. */
static void make(const char *path)
{
	struct pinion_pool_config config = {
		.path = path,
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	struct pinion_pool *pool;

	must(pinion_pool_create(&config, &pool));
	must(pinion_cache_open(pool, &want, &cache));
	do
		must(pinion_buffer_alloc(cache, &buffer));
	while (pinion_buffer_id(buffer)); /* until it is the first, to be found again */
	strcpy(pinion_buffer_addr(pool, buffer), TEXT);
	raise(SIGKILL);
}

static void adopt(const char *path)
{
	struct pinion_buffer first = pinion_buffer_make(0, 1);
	struct pinion_adoption found;
	struct pinion_zone_stat stat;
	struct pinion_pool *pool;
	const char *text;

	must(pinion_pool_adopt(path, &pool, &found));
	must(pinion_pool_stat(pool, 0, &stat));
	printf("%u member dead, %u living; %u buffers came back, %u of %u are free\n", found.dead,
	       found.living, found.recovery.returned, stat.free, stat.total);
	expect(found.dead == 1 && stat.free == stat.total, "all is repaired");
	text = pinion_buffer_addr(pool, first);
	printf("buffer 0: %s\n", text);
	expect(!strcmp(text, TEXT), "the data outlived its process");

	expect(pinion_pool_unlink(path) == -EBUSY, "not while it has a keeper");
	pinion_pool_destroy(pool); /* the files stay */
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	if (argc != 2)
		errx(2, "usage: %s PATH, a new name on a mount of hugetlbfs", argv[0]);
	pid = fork();
	if (!pid)
		make(argv[1]);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		errx(1, "the pool was not made");
	adopt(argv[1]);
	must(pinion_pool_unlink(argv[1]));
	printf("%s is gone\n", argv[1]);
	return 0;
}
