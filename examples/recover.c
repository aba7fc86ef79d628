/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A member is killed while it holds buffers. Its pidfd says so, and all of them come back, without
 * any service.
 *
 *     cc recover.c $(pkg-config --cflags --libs pinion) -o recover
 *     sudo hugepages reserve 0:2M && ./recover      or: ./recover --page-size 4k
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define NR 100

static void show(const struct pinion_pool *pool, uint32_t member)
{
	struct pinion_zone_stat stat;

	must(pinion_pool_stat(pool, 0, &stat));
	printf("%u buffers, %u free; member %u holds %u\n", stat.total, stat.free, member,
	       pinion_pool_held(pool, member));
}

/* Takes some, and would keep them for ever. Its cache has more of them. */
static void be_member(struct pinion_pool *pool, uint32_t member, int ready)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer[NR];
	struct pinion_cache *cache;

	must(pinion_pool_become(pool, member));
	must(pinion_cache_open(pool, &want, &cache));
	expect(pinion_buffer_alloc_bulk(cache, buffer, NR) == NR, "there are enough");
	if (write(ready, "", 1) != 1)
		err(1, "write");
	for (;;)
		pause();
}

/* Readable from the moment of the death on. Unlike a pid it is never used again for another. */
static void await_death(pid_t pid)
{
	struct pollfd death = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};

	if (death.fd < 0 || poll(&death, 1, 10000) != 1)
		errx(1, "no death was told of");
	close(death.fd);
}

static void keep(struct pinion_pool *pool, uint32_t member, pid_t pid)
{
	struct pinion_recovery report;
	struct pinion_zone_stat stat;

	show(pool, member);
	kill(pid, SIGKILL);
	await_death(pid);
	show(pool, member);

	/* There are no rings here, so nothing is in transit. */
	must(pinion_pool_recover(pool, member, NULL, 0, &report));
	printf("recovered %u buffers, and %u magazines of its cache\n", report.returned,
	       report.magazines);
	must(pinion_pool_release(pool, member, NULL));
	show(pool, member);
	must(pinion_pool_stat(pool, 0, &stat));
	expect(report.returned == NR && stat.free == stat.total, "all are back");
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_pool *pool;
	uint32_t member;
	int ready[2];
	char byte;
	pid_t pid;

	must(pinion_pool_create(&config, &pool));
	must(pinion_pool_admit(pool, 0, &member));
	if (pipe(ready))
		err(1, "pipe");
	pid = fork();
	if (!pid)
		be_member(pool, member, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		errx(1, "the member ended before it was killed");
	keep(pool, member, pid);
	wait(NULL);
	pinion_pool_destroy(pool);
	return 0;
}
