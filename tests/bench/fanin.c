/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fanin, fanin_32: descriptors to a receiver of many producers, of which one sends; singly and in
 * bursts of 32; nanoseconds a descriptor. In each direction, as in stream.h.
 *
 *     pinion   a fan-in of 1,000 lanes, 999 of them idle
 *     one      a fan-in of one lane: what the idle ones may not make dearer
 *
 * A peer's many producers share one queue, so that idle ones are not to be seen there: see
 * peer_dpdk.c.
 */

#include <unistd.h>

#include <pinion/fanin.h>

/* The one link of link_pinion.h, under a name of its own. */
#define link link_of_channel
#define link_create link_create_channel
#define link_open link_open_channel
#define link_recv link_recv_channel
#include "link_pinion.h"
#undef link
#undef link_create
#undef link_open
#undef link_recv

#define IDLE 999u

struct link {
	struct link_of_channel *way;
	struct pinion_fanin *fanin[2]; /* the leader's, the follower's: made before the fork */
	struct pinion_fanin *rx;       /* of those, our own */
	uint32_t idle;
};

/* A lane whose producer never comes. */
static void add_idle(struct link *link)
{
	struct pinion_channel *channel;
	uint32_t lane, self = pinion_pool_member(link->way->pool);
	int ring[2];

	bench_check(pinion_ring_create(PINION_RING_SLOTS_MIN, &ring[0]));
	bench_check(pinion_ring_create(PINION_RING_SLOTS_MIN, &ring[1]));
	bench_check(pinion_channel_open(link->way->pool, ring[0], ring[1], !self, &channel));
	bench_check(pinion_fanin_add(link->rx, channel, 1, &lane));
	(void)close(ring[0]);
	(void)close(ring[1]);
}

/* The lane of the one that sends is the last: the idle ones lie before it. */
static void link_open(struct link *link, bool leads)
{
	uint32_t lane;

	link_open_channel(link->way, leads);
	link->rx = link->fanin[!leads];
	for (uint32_t i = 0; i < link->idle; i++)
		add_idle(link);
	bench_check(pinion_fanin_add(link->rx, link->way->channel, 1, &lane));
	if (lane != link->idle)
		bench_die("the lane is %u", lane);
	bench_check(
		pinion_channel_join(link->way->channel, pinion_fanin_fd(link->fanin[leads]), lane));
}

static struct link *create(struct bench *b, uint32_t slots, uint32_t nr, uint32_t idle)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		bench_die("no memory");
	link->idle = idle;
	link->way = link_create_channel(b, slots, nr);
	bench_check(pinion_fanin_create(&link->fanin[0]));
	bench_check(pinion_fanin_create(&link->fanin[1]));
	return link;
}

static struct link *link_create(struct bench *b, uint32_t slots, uint32_t nr)
{
	return create(b, slots, nr, strcmp(b->is->impl, "one") ? IDLE : 0);
}

static inline uint32_t link_send_lane(struct link *link, const item *it, uint32_t nr)
{
	return link_send(link->way, it, nr);
}

static inline uint32_t link_recv(struct link *link, item *it, uint32_t nr)
{
	struct pinion_channel *channel;
	int got = pinion_fanin_recv(link->rx, &channel, it, nr);

	if (got >= 0)
		return (uint32_t)got;
	if (got != -EAGAIN)
		link_refused(got);
	return 0;
}

#define link_send link_send_lane
#include "stream.h"

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"fanin", "pinion", "ns", stream_4096, 1},
		{"fanin", "one", "ns", stream_4096, 1},
		{"fanin_32", "pinion", "ns", stream_4096, 32},
		{"fanin_32", "one", "ns", stream_4096, 32},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
