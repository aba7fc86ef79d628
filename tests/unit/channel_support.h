/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_CHANNEL_SUPPORT_H
#define PINION_TESTS_CHANNEL_SUPPORT_H

/*
 * Two members of one pool in this process, and both ends of a channel between them. Beside each
 * end lies a second mapping of both rings, for a peer that writes what it should not.
 */

#include <pinion/channel.h>

#include "bell.h"
#include "pool_support.h"
#include "ring_support.h"

struct side {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_channel *channel;
};

struct pair {
	struct side a, b;
	struct ring ab, ba; /* the rings as such, from a to b and back */
};

static inline void pair_open_channels(struct pair *pair, uint32_t slots)
{
	const int ab = ring_file(slots), ba = ring_file(slots);

	assert_int_equal(ring_map(ab, &pair->ab), 0);
	assert_int_equal(ring_map(ba, &pair->ba), 0);
	assert_int_equal(pinion_channel_open(pair->a.pool, ab, ba, pinion_pool_member(pair->b.pool),
					     &pair->a.channel),
			 0);
	assert_int_equal(pinion_channel_open(pair->b.pool, ba, ab, pinion_pool_member(pair->a.pool),
					     &pair->b.channel),
			 0);
	close(ab);
	close(ba);
}

static inline struct pair pair_of(const struct pinion_pool_config *config, uint32_t slots)
{
	struct pair pair;

	pair.a.pool = pool_make_from(config);
	pair.b.pool = pool_join(pair.a.pool);
	pair.a.cache = cache_make(pair.a.pool, BUFFER);
	pair.b.cache = cache_make(pair.b.pool, BUFFER);
	pair_open_channels(&pair, slots);
	return pair;
}

static inline struct pair pair_make(size_t nr, uint32_t slots)
{
	const struct pinion_pool_config config = pool_config(nr, BUFFER);

	return pair_of(&config, slots);
}

/* Ends that a test closed itself are NULL. */
static inline void pair_close(struct pair *pair)
{
	ring_unmap(&pair->ab);
	ring_unmap(&pair->ba);
	if (pair->a.channel != NULL)
		assert_int_equal(pinion_channel_close(pair->a.channel), 0);
	if (pair->b.channel != NULL)
		assert_int_equal(pinion_channel_close(pair->b.channel), 0);
	if (pair->a.cache != NULL)
		assert_int_equal(pinion_cache_close(pair->a.cache), 0);
	if (pair->b.cache != NULL)
		assert_int_equal(pinion_cache_close(pair->b.cache), 0);
	assert_int_equal(pinion_pool_detach(pair->b.pool), 0);
	assert_int_equal(pinion_pool_destroy(pair->a.pool), 0);
}

/* ... and with every buffer free. */
static inline void pair_close_whole(struct pair *pair)
{
	assert_pool_whole(pair->a.pool);
	pair_close(pair);
}

static inline struct pinion_desc desc_new(struct side *side, uint32_t len, uint32_t tag)
{
	struct pinion_desc desc = {.len = len, .tag = tag};

	take(side->cache, &desc.buffer, 1);
	return desc;
}

static inline void send_one(struct side *side, const struct pinion_desc *desc)
{
	assert_int_equal(pinion_channel_send(side->channel, desc, 1), 1);
}

static inline void send_many(struct side *side, uint32_t slots)
{
	for (uint32_t i = 0; i < slots; i++) {
		const struct pinion_desc desc = desc_new(side, i, i);

		send_one(side, &desc);
	}
}

static inline struct pinion_desc recv_one(struct side *side)
{
	struct pinion_desc desc;

	assert_int_equal(pinion_channel_recv(side->channel, &desc, 1), 1);
	return desc;
}

static inline void take_and_free(struct side *side, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		const struct pinion_desc desc = recv_one(side);

		give(side->cache, &desc.buffer, 1);
	}
}

/* Before pair_close(), which leaves it out then. */
static inline void close_side(struct side *side)
{
	assert_int_equal(pinion_channel_close(side->channel), 0);
	side->channel = NULL;
}

#endif
