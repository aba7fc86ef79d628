/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory order between the producers of a fan-in and its receiver, each a thread with plain memory
 * that the other reads when a descriptor says so. As in test_channel_order.c all that is shared
 * lies at one address: the control area, the segment, each ring, and the ready set.
 */

#include <pthread.h>
#include <sched.h>

#include "fanin_inside.h"
#include "fanin_support.h"
#include "one_mapping.h"

#define PRODUCERS 3u
#define ITEMS 6000u
#define BURST 100u /* then a producer lets its lane become cold */
#define SLOTS 64u
#define WAIT_NS UINT64_C(1000000)

/* The member that sends has not its own mappings; they are kept for the end. */
struct stage {
	struct crowd *crowd;
	struct pinion_hostmem control, segment;
	_Atomic uint32_t rests; /* all lanes were cold: relaxed, so that it orders nothing */
};

struct producer {
	struct stage *stage;
	struct pinion_cache *cache;
	uint32_t number;
	pthread_t thread;
};

/* The pair's own ring from now on, and the receiver's own ready set. */
static void stand_at_one(struct pinion_fanin *fanin, struct lane_pair *pair)
{
	struct ring *tx = channel_tx(pair->tx);

	move_to(tx, &pair->ring);
	move_to(channel_rx(pair->rx), &pair->ring);
	tx->hand.ready = fanin->ready;
	tx->hand.lane = pair->lane;
}

static void stage_open(struct stage *stage)
{
	struct crowd *crowd = crowd_make(0, 0);
	struct pinion_pool *from = crowd->from.pool, *to = crowd->to.pool;

	assert_int_equal(pinion_cache_close(crowd->from.cache), 0);
	*stage = (struct stage){crowd, from->control, from->memory[0], 0};
	map_as(from, to->control, to->memory[0]);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		crowd_add(crowd, SLOTS, 1);
		stand_at_one(crowd->fanin, &crowd->pair[i]);
	}
}

static void stage_close(struct stage *stage)
{
	struct crowd *crowd = stage->crowd;

	for (uint32_t i = 0; i < PRODUCERS; i++)
		channel_tx(crowd->pair[i].tx)->hand.ready = NULL;
	map_as(crowd->from.pool, stage->control, stage->segment);
	crowd->from.cache = cache_make(crowd->from.pool, BUFFER);
	crowd_unmake(crowd);
}

/* What the i-th of a producer is to have inside. */
static uint32_t item(uint32_t producer, uint32_t i)
{
	return producer << 24 | i;
}

/* Or for some time: others may be busy. */
static void rest(const struct stage *stage)
{
	const uint32_t before = atomic_load_explicit(&stage->rests, memory_order_relaxed);

	for (int i = 0; i < 1000; i++) {
		if (atomic_load_explicit(&stage->rests, memory_order_relaxed) != before)
			return;
		sched_yield();
	}
}

static void *produce(void *arg)
{
	const struct producer *producer = arg;
	const struct crowd *crowd = producer->stage->crowd;
	struct pinion_desc desc = {.len = 4};

	for (desc.tag = 0; desc.tag < ITEMS; desc.tag++) {
		int got;

		while (pinion_buffer_alloc(producer->cache, &desc.buffer))
			sched_yield();
		*(uint32_t *)pinion_buffer_addr(crowd->from.pool, desc.buffer) =
			item(producer->number, desc.tag);
		while ((got = pinion_channel_send(crowd->pair[producer->number].tx, &desc, 1)) ==
		       -EAGAIN)
			sched_yield();
		if (got != 1)
			return (void *)1;
		if (desc.tag % BURST == 0)
			rest(producer->stage);
	}
	return NULL;
}

/* How many of them were wrong. */
static uint32_t take_some(struct crowd *crowd, const struct pinion_channel *channel,
			  const struct pinion_desc *desc, int nr, uint32_t *next)
{
	const uint32_t from = number_of(crowd, channel);
	uint32_t wrong = 0;

	for (int i = 0; i < nr; i++) {
		const uint32_t *word = pinion_buffer_addr(crowd->to.pool, desc[i].buffer);

		wrong += desc[i].tag != next[from] || *word != item(from, next[from]);
		next[from]++;
		give(crowd->to.cache, &desc[i].buffer, 1);
	}
	return wrong;
}

static uint32_t receive_all(struct stage *stage)
{
	struct pinion_fanin *fanin = stage->crowd->fanin;
	uint32_t next[PRODUCERS] = {0}, left = PRODUCERS * ITEMS, wrong = 0;

	while (left) {
		struct pinion_channel *channel;
		struct pinion_desc desc[16];
		const int got = pinion_fanin_recv(fanin, &channel, desc, 16);

		if (got > 0) {
			wrong += take_some(stage->crowd, channel, desc, got, next);
			left -= (uint32_t)got;
		} else if (got != -EAGAIN) {
			return 1;
		} else if (fanin->nr_hot) {
			sched_yield();
		} else {
			atomic_fetch_add_explicit(&stage->rests, 1, memory_order_relaxed);
			(void)pinion_fanin_wait(fanin, WAIT_NS);
		}
	}
	return wrong;
}

static void what_precedes_a_send_is_seen_by_who_hears_many(void **state)
{
	struct producer producer[PRODUCERS];
	struct stage stage;
	uint32_t wrong;
	void *end;

	(void)state;
	stage_open(&stage);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		producer[i] = (struct producer){
			&stage, cache_make(stage.crowd->from.pool, BUFFER), i, 0};
		assert_int_equal(pthread_create(&producer[i].thread, NULL, produce, &producer[i]),
				 0);
	}
	wrong = receive_all(&stage);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		assert_int_equal(pthread_join(producer[i].thread, &end), 0);
		wrong += end != NULL;
		assert_int_equal(pinion_cache_close(producer[i].cache), 0);
	}
	assert_int_equal(wrong, 0);
	print_message("# all lanes were cold %u times\n", stage.rests);
	assert_true(stage.rests > PRODUCERS);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(what_precedes_a_send_is_seen_by_who_hears_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
