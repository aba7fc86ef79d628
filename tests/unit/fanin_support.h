/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FANIN_SUPPORT_H
#define PINION_TESTS_FANIN_SUPPORT_H

/*
 * A fan-in of many lanes between two members, both of which are this process.
 *
 *  - crowd_make(nr, slots), crowd_unmake(): with that many producers; at the end all is free.
 *  - say(), hear(), hear_one(): a message, and who is heard.
 *  - crowd_rest(): until idle lanes are cold. hide(): what a liar does.
 */

#include <pinion/fanin.h>

#include "channel_support.h"
#include "ready.h"

#define COOL_CALLS 400  /* of recv, after which an idle lane is cold for certain */
#define PATROL_CALLS 16 /* of recv for a look at one cold lane */
#define SECOND_NS UINT64_C(1000000000)

/* A producer's end and the receiver's, of each lane, between two members; and a second mapping of
 * the ring, for its bell and for a producer that lies. */
struct lane_pair {
	struct pinion_channel *tx, *rx;
	struct ring ring;
	uint32_t lane;
};

struct crowd {
	struct side from, to;
	struct pinion_fanin *fanin;
	struct ready_shared *ready; /* as every producer has it */
	uint32_t nr;
	struct lane_pair pair[PINION_FANIN_LANES];
};

static inline void channels_open(struct crowd *crowd, struct lane_pair *pair, uint32_t slots)
{
	const uint32_t from = pinion_pool_member(crowd->from.pool);
	const uint32_t to = pinion_pool_member(crowd->to.pool);
	const int there = ring_file(slots), back = ring_file(PINION_RING_SLOTS_MIN);

	assert_int_equal(pinion_channel_open(crowd->from.pool, there, back, to, &pair->tx), 0);
	assert_int_equal(pinion_channel_open(crowd->to.pool, back, there, from, &pair->rx), 0);
	assert_int_equal(ring_map(there, &pair->ring), 0);
	close(there);
	close(back);
}

static inline void crowd_add(struct crowd *crowd, uint32_t slots, uint32_t weight)
{
	struct lane_pair *pair = &crowd->pair[crowd->nr++];

	channels_open(crowd, pair, slots);
	assert_int_equal(pinion_fanin_add(crowd->fanin, pair->rx, weight, &pair->lane), 0);
	assert_int_equal(pinion_channel_join(pair->tx, pinion_fanin_fd(crowd->fanin), pair->lane),
			 0);
}

/* Looks until every idle lane is cold. */
static inline void crowd_rest(struct crowd *crowd)
{
	struct pinion_channel *channel;
	struct pinion_desc desc;

	for (int i = 0; i < COOL_CALLS; i++)
		assert_int_equal(pinion_fanin_recv(crowd->fanin, &channel, &desc, 1), -EAGAIN);
}

static inline struct crowd *crowd_make(uint32_t nr, uint32_t slots)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	const struct pinion_pool_config config = pool_config(8192, BUFFER);

	assert_non_null(crowd);
	crowd->to.pool = pool_make_from(&config);
	crowd->from.pool = pool_join(crowd->to.pool);
	crowd->from.cache = cache_make(crowd->from.pool, BUFFER);
	crowd->to.cache = cache_make(crowd->to.pool, BUFFER);
	assert_int_equal(pinion_fanin_create(&crowd->fanin), 0);
	assert_int_equal(ready_map(pinion_fanin_fd(crowd->fanin), &crowd->ready), 0);
	while (crowd->nr < nr)
		crowd_add(crowd, slots, 1);
	return crowd;
}

static inline void pair_unmake(struct lane_pair *pair)
{
	if (pair->tx)
		assert_int_equal(pinion_channel_close(pair->tx), 0);
	if (pair->rx)
		assert_int_equal(pinion_channel_close(pair->rx), 0);
	ring_unmap(&pair->ring);
}

/* Every buffer is free by then. */
static inline void crowd_unmake(struct crowd *crowd)
{
	assert_pool_whole(crowd->to.pool);
	assert_int_equal(pinion_fanin_destroy(crowd->fanin), 0);
	ready_unmap(crowd->ready);
	for (uint32_t i = 0; i < crowd->nr; i++)
		pair_unmake(&crowd->pair[i]);
	assert_int_equal(pinion_cache_close(crowd->from.cache), 0);
	assert_int_equal(pinion_cache_close(crowd->to.cache), 0);
	assert_int_equal(pinion_pool_detach(crowd->from.pool), 0);
	assert_int_equal(pinion_pool_destroy(crowd->to.pool), 0);
	free(crowd);
}

static inline uint32_t bell_of(const struct lane_pair *pair)
{
	return atomic_load(&pair->ring.shared->bell.state);
}

static inline void say(struct crowd *crowd, uint32_t i, uint32_t tag)
{
	const struct pinion_desc desc = desc_new(&crowd->from, 1, tag);

	assert_int_equal(pinion_channel_send(crowd->pair[i].tx, &desc, 1), 1);
}

static inline uint32_t number_of(const struct crowd *crowd, const struct pinion_channel *channel)
{
	uint32_t i = 0;

	while (i < crowd->nr && crowd->pair[i].rx != channel)
		i++;
	assert_true(i < crowd->nr);
	return i;
}

/* Receives up to @nr, within @calls; whose they are. What came is freed. */
struct heard {
	int got;
	uint32_t from, tag, calls;
};

static inline struct heard hear(struct crowd *crowd, uint32_t nr, uint32_t calls)
{
	struct heard heard = {.got = -EAGAIN};
	struct pinion_channel *channel = NULL;
	struct pinion_desc desc[256];

	while (heard.got == -EAGAIN && heard.calls++ < calls)
		heard.got = pinion_fanin_recv(crowd->fanin, &channel, desc, nr);
	if (heard.got == -EAGAIN)
		return heard;
	heard.from = number_of(crowd, channel);
	heard.tag = heard.got > 0 ? desc[0].tag : 0;
	for (int i = 0; i < heard.got; i++)
		give(crowd->to.cache, &desc[i].buffer, 1);
	return heard;
}

static inline void hear_one(struct crowd *crowd, uint32_t from, uint32_t tag, uint32_t calls)
{
	const struct heard heard = hear(crowd, 1, calls);

	assert_int_equal(heard.got, 1);
	assert_int_equal(heard.from, from);
	assert_int_equal(heard.tag, tag);
}

/* What a liar does to what others posted. */
static inline void hide(struct ready_shared *ready)
{
	atomic_store(&ready->summary, 0);
	for (uint32_t i = 0; i < READY_WORDS; i++)
		atomic_store(&ready->word[i], 0);
}

#endif
