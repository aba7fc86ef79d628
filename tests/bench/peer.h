/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link (see stream.h) made of two queues of a peer library, and the cases that follow from it.
 * The program defines, before it includes this (C or C++):
 *
 *     struct queue                                in shared memory, without pointers
 *     queue_len(slots)                            bytes of it
 *     queue_init(queue, slots)
 *     queue_send(queue, const struct peer_item *, nr), queue_recv(queue, struct peer_item *, nr)
 *                                                 as link_send() and link_recv()
 *
 * A peer copies 16 bytes and checks nothing.
 */

#include <stdlib.h>

#include "pair.h"

typedef struct peer_item item;

struct link {
	struct queue *queue[2]; /* from the leader, to the leader */
	struct queue *tx, *rx;
};

static inline void item_make(item *it, uint32_t i, uint32_t turn)
{
	it->handle = (uint64_t)turn << 32 | i;
	it->len = BENCH_LINE;
	it->tag = i;
}

static inline uint32_t item_tag(const item *it)
{
	return it->tag;
}

static struct link *link_create(struct bench *b, uint32_t slots, uint32_t nr)
{
	struct link *link = (struct link *)calloc(1, sizeof(*link));

	(void)nr;
	if (!link)
		bench_die("no memory");
	for (int i = 0; i < 2; i++) {
		link->queue[i] = (struct queue *)bench_shared(b, queue_len(slots));
		queue_init(link->queue[i], slots);
	}
	return link;
}

static void link_open(struct link *link, bool leads)
{
	link->tx = link->queue[leads ? 0 : 1];
	link->rx = link->queue[leads ? 1 : 0];
	if (leads)
		pair_await();
	else
		pair_ready();
}

static inline uint32_t link_send(struct link *link, const item *it, uint32_t nr)
{
	return queue_send(link->tx, it, nr);
}

static inline uint32_t link_recv(struct link *link, item *it, uint32_t nr)
{
	return queue_recv(link->rx, it, nr);
}

#include "ping.h"
#include "stream.h"

/* A queue whose size is part of its type is not swept over depths. */
#ifdef PEER_ONE_DEPTH
#define PEER_SWEEPS(impl) SWEEP_BURSTS(impl)
#else
#define PEER_SWEEPS(impl) SWEEP_BURSTS(impl), SWEEP_DEPTHS(impl)
#endif

/* Cases of one peer alone, each with a comma behind it. */
#ifndef PEER_MORE
#define PEER_MORE
#endif

/* main() of a peer. */
#define PEER_MAIN(impl)                                                                          \
	int main(int argc, char **argv)                                                          \
	{                                                                                        \
		static const struct bench_case cases[] = {                                       \
			{"ring_1", impl, "ns", stream_4096, 1},                                  \
			{"ring_32", impl, "ns", stream_4096, 32},                                \
			{"rtt_poll", impl, "ns", ping_run, 1},                                   \
			PEER_SWEEPS(impl),                                                       \
			LATENCY_CASES(impl),                                                     \
			PEER_MORE                                                                \
		};                                                                               \
		return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));            \
	}
