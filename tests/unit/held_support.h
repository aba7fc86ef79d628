/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HELD_SUPPORT_H
#define PINION_TESTS_HELD_SUPPORT_H

/*
 * Buffers that a member holds, by itself or by its word: for tests of peers that lie.
 *
 *  - hold(): takes some, and leaves no cache behind that others would have to think of.
 *  - held(): the word of one that an end of a channel holds.
 *  - pool_lay_bait(): an id that names no buffer has the word of one.
 */

#include "channel_support.h"

static inline void hold(struct pinion_pool *pool, struct pinion_buffer *buffer, uint32_t nr)
{
	struct pinion_cache *cache = cache_make(pool, BUFFER);

	take(cache, buffer, nr);
	assert_int_equal(pinion_cache_close(cache), 0);
}

static inline uint64_t held(struct pinion_buffer buffer, const struct side *side)
{
	return pinion_owner_word(buffer, side->pool->view.self);
}

/* Words are there for more ids than there are buffers, and a peer may write those, too: the first
 * of them says that @pool's member holds it. pre: no power of two of buffers, in one segment. */
static inline void pool_lay_bait(struct pinion_pool *pool)
{
	const uint32_t id = pool_total(pool);

	assert_true(id < pool->view.nr_ids);
	pool->view.owner[id] = pinion_owner_word(pinion_buffer_make(id, 1), pool->view.self);
}

#endif
