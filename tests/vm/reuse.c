/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reuse POOL PID MS [planted]: kills PID, the device process, and watches what becomes free by
 * that: takes each buffer that it can get, until MS milliseconds after the death, fills it with a
 * pattern of its own, and looks again and again whether anything but itself has written there. A
 * DMA that comes too late does.
 *
 * Buffers that are free before the kill are taken first, so that those at stake, which come back
 * by it, are known from them: it says how many of each there were.
 *
 * planted: into the last word of the first of those it writes zeroes, as a read from an empty drive
 * would that comes too late. That is to be noticed.
 *
 * Exit status: 0 nothing changed; 1 something did; 3 could not even begin.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <pinion/cache.h>
#include <pinion/client.h>
#include <pinion/error.h>

#define CANNOT 3
#define BUFFERS_MAX 4096

static struct pinion_client *client;
static struct pinion_pool *pool;
static struct pinion_cache *cache;
static struct pinion_buffer taken[BUFFERS_MAX];
static uint32_t nr_taken;
static bool planted;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* No two buffers, nor two words of one, have the same: nor does any file that is copied. */
static uint64_t pattern(uint32_t id, size_t word)
{
	return UINT64_C(0x9e3779b97f4a7c15) * ((uint64_t)id << 32 | (word + 1));
}

static void fill(struct pinion_buffer buffer)
{
	size_t nr = pinion_buffer_size(pool, buffer) / sizeof(uint64_t);
	uint64_t *word = pinion_buffer_addr(pool, buffer);

	for (size_t i = 0; i < nr; ++i)
		word[i] = pattern(pinion_buffer_id(buffer), i);
}

static void take_all(void)
{
	while (nr_taken < BUFFERS_MAX && !pinion_buffer_alloc(cache, &taken[nr_taken]))
		fill(taken[nr_taken++]);
}

static int check(struct pinion_buffer buffer)
{
	size_t nr = pinion_buffer_size(pool, buffer) / sizeof(uint64_t);
	const volatile uint64_t *word = pinion_buffer_addr(pool, buffer);

	for (size_t i = 0; i < nr; ++i) {
		uint64_t is = word[i], was = pattern(pinion_buffer_id(buffer), i);

		if (is == was)
			continue;
		printf("reuse: buffer %" PRIu32 ", word %zu: 0x%" PRIx64 " became 0x%" PRIx64 "\n",
		       pinion_buffer_id(buffer), i, was, is);
		return 1;
	}
	return 0;
}

static int check_all(void)
{
	int changed = 0;

	for (uint32_t i = 0; i < nr_taken; ++i)
		changed += check(taken[i]);
	return changed;
}

/* On its node; whatever size there is. */
static void join(const char *name)
{
	struct pinion_cache_config config = {.node = PINION_NODE_ANY, .buffer_size = 4096,
					     .flags = PINION_CACHE_PREFERRED};

	if (pinion_client_open(name, NULL, &client))
		errx(CANNOT, "%s", pinion_error_text());
	pool = pinion_client_pool(client);
	if (pinion_cache_open(pool, &config, &cache))
		errx(CANNOT, "%s", pinion_error_text());
}

/* SIGKILL, and a descriptor that tells when it has taken effect. */
static int kill_it(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0 || kill(pid, SIGKILL))
		err(CANNOT, "kill %d", (int)pid);
	return pidfd;
}

static void write_late(uint32_t before)
{
	uint64_t *word;

	if (!planted || nr_taken == before)
		return;
	word = pinion_buffer_addr(pool, taken[before]);
	word[pinion_buffer_size(pool, taken[before]) / sizeof(*word) - 1] = 0;
}

/* How many buffers have changed. */
static int watch(int pidfd, uint64_t ms)
{
	const uint32_t before = nr_taken;
	struct pollfd death = {.fd = pidfd, .events = POLLIN};
	uint64_t until = 0;
	int changed = 0;

	do {
		take_all();
		write_late(before);
		changed = check_all();
		if (!until && poll(&death, 1, 0) == 1)
			until = now_ms() + ms;
	} while (!changed && (!until || now_ms() < until));
	return changed;
}

int main(int argc, char **argv)
{
	uint32_t before;
	int changed;

	planted = argc == 5 && !strcmp(argv[4], "planted");
	if (argc != 4 && !planted)
		errx(CANNOT, "usage: reuse pool:NAME PID MS [planted]");
	join(argv[1]);
	take_all();
	before = nr_taken;
	changed = watch(kill_it((pid_t)atoi(argv[2])), (uint64_t)atoi(argv[3]));
	printf("{\"before\":%" PRIu32 ",\"came\":%" PRIu32 ",\"changed\":%d}\n", before,
	       nr_taken - before, changed);
	for (uint32_t i = 0; i < nr_taken; ++i)
		(void)pinion_buffer_free(cache, taken[i]);
	pinion_cache_close(cache);
	return pinion_client_close(client) || changed ? 1 : 0;
}
