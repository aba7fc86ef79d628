/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link (see stream.h) made of a pinion channel between two members of one pool.
 *
 * This is the checked path: send verifies that the sender holds each buffer, receive verifies
 * id, length, owner and generation of each descriptor and takes the buffer over. Peers only copy
 * 16 bytes.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/channel.h>
#include <pinion/error.h>

#include "pair.h"
#include "pool.h"

typedef struct pinion_desc item;

struct link {
	struct pinion_pool *pool; /* the leader's; in the follower, once open, its own */
	int ring[2];              /* from the leader, to the leader */
	struct pinion_channel *channel;
};

#define LINK_BUFFER 64u /* bytes: what lies in the buffers is not measured */

/* Ids in no order: an odd factor, so that of 32,768 buffers (the stream's, twice 16,384 slots) each
 * comes once, and none beside its neighbour. */
static bool link_scatter;

static inline uint32_t link_id(uint32_t i)
{
	return link_scatter ? (i * 20507u + 4321u) % 32768u : i;
}

/*
 * Every buffer of a new pool was allocated once and changes hands once a turn, so its generation
 * is known: 1 and the turn. Were it not so, send would refuse the handle.
 */
static inline void item_make(item *it, uint32_t i, uint32_t turn)
{
	it->buffer = pinion_buffer_make(link_id(i), 1 + (uint64_t)turn);
	it->len = LINK_BUFFER;
	it->tag = i;
}

static inline uint32_t item_tag(const item *it)
{
	return it->tag;
}

/* Allocates buffers 0 to nr - 1, all as item_make() has them in turn 0. */
static inline void link_fill(struct pinion_pool *pool, uint32_t nr)
{
	struct pinion_cache *cache = bench_cache(pool, LINK_BUFFER);
	uint32_t total = (uint32_t)(pinion_pool_view(pool)->segment[0].nr);

	for (uint32_t i = 0; i < total; i++) {
		struct pinion_buffer buffer = {0};

		bench_check(pinion_buffer_alloc(cache, &buffer));
		if (pinion_buffer_generation(buffer) != 1)
			bench_die("a new pool has a buffer of another generation than 1");
	}
	if (total < nr)
		bench_die("the pool has %u buffers, not %u", total, nr);
}

/* Two rings between the members of @pool that will be. */
static inline struct link *link_over(struct pinion_pool *pool, uint32_t slots)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		bench_die("no memory");
	link->pool = pool;
	bench_check(pinion_ring_create(slots, &link->ring[0]));
	bench_check(pinion_ring_create(slots, &link->ring[1]));
	return link;
}

static inline struct link *link_create(struct bench *b, uint32_t slots, uint32_t nr)
{
	size_t len = ((size_t)nr * LINK_BUFFER + BENCH_HUGE - 1) & ~(BENCH_HUGE - 1);
	struct pinion_pool *pool = bench_pool(b, len, LINK_BUFFER);

	link_fill(pool, nr);
	return link_over(pool, slots);
}

/* The files came to us by fork; attach takes them over. */
static inline void link_open_follower(struct link *link)
{
	struct pinion_pool_fds fds;
	struct pinion_pool *pool;
	uint32_t leader = pinion_pool_member(link->pool), self = pair_hear();

	pinion_pool_export(link->pool, &fds);
	bench_check(pinion_pool_attach(&fds, self, &pool));
	bench_check(pinion_channel_open(pool, link->ring[1], link->ring[0], leader,
					&link->channel));
	link->pool = pool;
	pair_ready();
}

/* The follower's member number is never 0: that is the pool's maker, who leads. */
static inline void link_open(struct link *link, bool leads)
{
	uint32_t member;

	if (!leads) {
		link_open_follower(link);
		return;
	}
	bench_check(pinion_pool_admit(link->pool, pair_follower(), &member));
	pair_tell(member);
	bench_check(pinion_channel_open(link->pool, link->ring[0], link->ring[1], member,
					&link->channel));
	pair_await();
}

/* Apart, so that the loops stay small: @err is a refusal, which no benchmark expects. */
__attribute__((noinline, cold)) static void link_refused(int err)
{
	bench_die("the channel failed: %s", strerror(-err));
}

static inline uint32_t link_send(struct link *link, const item *it, uint32_t nr)
{
	int sent = pinion_channel_send(link->channel, it, nr);

	if (sent >= 0)
		return (uint32_t)sent;
	if (sent != -EAGAIN)
		link_refused(sent);
	return 0;
}

static inline uint32_t link_recv(struct link *link, item *it, uint32_t nr)
{
	int got = pinion_channel_recv(link->channel, it, nr);

	if (got >= 0)
		return (uint32_t)got;
	if (got != -EAGAIN)
		link_refused(got);
	return 0;
}
