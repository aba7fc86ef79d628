/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounce a buffer between two processes over a channel and print the median of its round trips:
 * first with both looking into their rings all the time, then with both waiting, which is to look
 * for a while before one sleeps, and then with both asleep until it comes. The first two mean
 * something where each has a core to itself; two that share one take turns, of milliseconds.
 *
 *     cc pingpong.c $(pkg-config --cflags --libs pinion) -o pingpong
 *     sudo hugepages reserve 0:2M && ./pingpong        or: ./pingpong --page-size 4k
 */
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "example.h"

#define ROUNDS_MAX 100000
#define SECOND_NS UINT64_C(1000000000)

/* In the last part each side keeps the buffer for so long that the other's core goes to rest. */
#define PAUSE_US 200

enum { POLL = 1, WAIT = 2, SLEEP = 3 }; /* in the tag: which part this is */

/* What lies in the buffer: the time for which the other side kept it, which does not count. */
struct ball {
	uint64_t kept_ns;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* -EPIPE: the other side has closed. Who polls also waits now and then: wait() ends, by its time
 * limit at the latest, when nobody is there any more. */
static int receive(struct pinion_channel *channel, int how, struct pinion_desc *desc)
{
	int got;

	for (uint32_t looks = 1; (got = pinion_channel_recv(channel, desc, 1)) == -EAGAIN; looks++)
		if (how != POLL || looks % (1 << 20) == 0)
			must(pinion_channel_wait(channel, 10 * SECOND_NS));
	return got;
}

/* Before it sleeps wait() looks for as long as that. */
static void set_spin(struct pinion_channel *channel, int how)
{
	pinion_channel_set_spin(channel, how == SLEEP ? 0 : PINION_SPIN_DEFAULT_NS);
}

/* The child: whatever comes goes back. */
static void pong(struct pinion_pool *pool, struct pinion_channel *channel)
{
	struct pinion_desc desc = {.tag = POLL};
	int got;

	while ((got = receive(channel, (int)desc.tag, &desc)) == 1) {
		struct ball *ball = pinion_buffer_addr(pool, desc.buffer);
		const uint64_t came = now_ns();

		set_spin(channel, (int)desc.tag);
		if (desc.tag == SLEEP)
			usleep(PAUSE_US);
		ball->kept_ns = now_ns() - came;
		must(pinion_channel_send(channel, &desc, 1));
	}
	expect(got == -EPIPE, "a closed channel says so");
}

static int by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* For about a second, or ROUNDS_MAX times. */
static uint64_t median(struct pinion_pool *pool, struct pinion_channel *channel, int how,
		       struct pinion_buffer *buffer)
{
	static uint64_t took[ROUNDS_MAX];
	const uint64_t end = now_ns() + SECOND_NS;
	const struct ball *ball = pinion_buffer_addr(pool, *buffer);
	size_t nr = 0;

	set_spin(channel, how);
	while (nr < ROUNDS_MAX && (nr == 0 || now_ns() < end)) {
		struct pinion_desc desc = {*buffer, sizeof(*ball), (uint32_t)how};
		uint64_t sent;

		if (how == SLEEP)
			usleep(PAUSE_US);
		sent = now_ns();
		must(pinion_channel_send(channel, &desc, 1));
		must(receive(channel, how, &desc));
		took[nr++] = now_ns() - sent - ball->kept_ns;
		*buffer = desc.buffer; /* the same one, of a new generation */
	}
	qsort(took, nr, sizeof(took[0]), by_size);
	return took[nr / 2];
}

static void ping(struct pinion_pool *pool, struct pinion_channel *channel)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;
	struct pinion_buffer buffer;

	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_buffer_alloc(cache, &buffer));
	printf("a round trip of two that poll: %ju ns\n",
	       (uintmax_t)median(pool, channel, POLL, &buffer));
	printf("a round trip of two that wait: %ju ns\n",
	       (uintmax_t)median(pool, channel, WAIT, &buffer));
	printf("a round trip of two that sleep: %ju ns\n",
	       (uintmax_t)median(pool, channel, SLEEP, &buffer));
	must(pinion_buffer_free(cache, buffer));
	pinion_cache_close(cache);
}

int main(int argc, char **argv)
{
	size_t size = page_size(argc, argv);
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = size, .buffer_size = 4096, .page_size = size,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_channel *channel;
	struct pinion_pool *pool;
	int there, back, status;
	uint32_t member;

	must(pinion_pool_create(&config, &pool));
	must(pinion_pool_admit(pool, 0, &member));
	must(pinion_ring_create(64, &there));
	must(pinion_ring_create(64, &back));
	if (!fork()) {
		uint32_t parent = pinion_pool_member(pool);

		must(pinion_pool_become(pool, member));
		must(pinion_channel_open(pool, back, there, parent, &channel));
		pong(pool, channel);
		_exit(0);
	}
	must(pinion_channel_open(pool, there, back, member, &channel));
	ping(pool, channel);
	pinion_channel_close(channel);
	wait(&status);
	expect(!status, "the child has seen the end");
	must(pinion_pool_release(pool, member, NULL));
	close(there);
	close(back);
	pinion_pool_destroy(pool);
	return 0;
}
