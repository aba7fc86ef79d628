/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows: what goes by vectors is what goes one by one. A burst without a fault goes whole; one
 * fault, wherever it is, ends it exactly there.
 */

#include "channel_support.h"

#define SLOTS 32u
#define ROW 24u
#define ALL 256u

static void row_take(struct side *side, struct pinion_desc *desc, uint32_t nr)
{
	struct pinion_buffer buffer[SLOTS];

	assert_int_equal(pinion_buffer_alloc_bulk(side->cache, buffer, nr), nr);
	for (uint32_t i = 0; i < nr; i++)
		desc[i] = (struct pinion_desc){buffer[i], BUFFER, i};
}

/* Or else these tests would not be about what they say. */
static void assert_row(const struct pinion_desc *desc, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		assert_int_equal(desc[i].buffer.bits, desc[0].buffer.bits + i);
}

static void row_give(struct side *side, const struct pinion_desc *desc, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		give(side->cache, &desc[i].buffer, 1);
}

/* Exactly what was sent is there, in its order, at the next generation and its receiver's. */
static void assert_comes(struct side *to, const struct pinion_desc *sent, uint32_t nr,
			 struct pinion_desc *got)
{
	const uint32_t self = pinion_owner_held(pinion_pool_member(to->pool));

	assert_int_equal(pinion_channel_recv(to->channel, got, SLOTS), nr ? (int)nr : -EAGAIN);
	for (uint32_t i = 0; i < nr; i++) {
		const struct pinion_buffer next = pinion_buffer_next(sent[i].buffer);

		assert_int_equal(got[i].buffer.bits, next.bits);
		assert_int_equal(got[i].len, sent[i].len);
		assert_int_equal(got[i].tag, sent[i].tag);
		assert_int_equal(to->pool->view.owner[pinion_buffer_id(next)],
				 pinion_owner_word(next, self));
	}
}

/* Those @nr go there and come back, so that they are two generations on. */
static void go_and_return(struct pair *pair, struct pinion_desc *desc, uint32_t nr)
{
	struct pinion_desc there[SLOTS], back[SLOTS];

	if (!nr)
		return;
	assert_comes(&pair->b, desc, nr, there);
	assert_int_equal(pinion_channel_send(pair->b.channel, there, nr), nr);
	assert_comes(&pair->a, there, nr, back);
	memcpy(desc, back, nr * sizeof(*desc));
}

static void a_row_goes_whole_and_comes_whole(void **state)
{
	struct pair pair = pair_make(ALL, SLOTS);
	struct pinion_desc desc[SLOTS];

	(void)state;
	row_take(&pair.a, desc, SLOTS);
	/* It begins at each place of a line, and wraps. */
	for (uint32_t nr = 1; nr < SLOTS; nr++) {
		assert_row(desc, SLOTS);
		assert_int_equal(pinion_channel_send(pair.a.channel, desc, nr), nr);
		go_and_return(&pair, desc, nr);
		assert_int_equal(pinion_channel_send(pair.a.channel, &desc[nr], SLOTS - nr),
				 SLOTS - nr);
		go_and_return(&pair, &desc[nr], SLOTS - nr);
	}
	row_give(&pair.a, desc, SLOTS);
	pair_close_whole(&pair);
}

/* What may be wrong with a descriptor, beside a buffer that is not the sender's. */
static struct pinion_desc spoilt(struct pinion_desc desc, uint32_t how)
{
	const struct pinion_desc bad[] = {
		{desc.buffer, BUFFER + 1, 0},
		{desc.buffer, UINT32_C(1) << 31, 0},
		{desc.buffer, UINT32_MAX, 0},
		{pinion_buffer_next(desc.buffer), 1, 0},
		{{desc.buffer.bits | UINT64_C(1) << 63}, 1, 0},
		{{desc.buffer.bits + (UINT64_C(1) << PINION_ID_BITS) - 1}, 1, 0},
		{pinion_buffer_make(ALL, 1), 1, 0},
		{pinion_buffer_make(PINION_ID_MAX, 1), 1, 0},
		{{0}, 1, 0},
	};

	return bad[how];
}

#define WAYS 9u

static void a_row_ends_before_the_descriptor_that_cannot_be_sent(void **state)
{
	struct pair pair = pair_make(ALL, SLOTS);
	struct pinion_desc desc[ROW], bad[ROW];

	(void)state;
	row_take(&pair.a, desc, ROW);
	for (uint32_t at = 0; at < ROW; at++)
		for (uint32_t how = 0; how < WAYS; how++) {
			struct pinion_desc *rest = &desc[at];

			assert_row(desc, ROW);
			memcpy(bad, desc, sizeof(bad));
			bad[at] = spoilt(desc[at], how);
			assert_int_equal(pinion_channel_send(pair.a.channel, bad, ROW),
					 at ? (int)at : -EINVAL);
			go_and_return(&pair, desc, at);
			assert_int_equal(pinion_channel_send(pair.a.channel, rest, ROW - at),
					 ROW - at);
			go_and_return(&pair, rest, ROW - at);
		}
	row_give(&pair.a, desc, ROW);
	pair_close_whole(&pair);
}

static void a_row_ends_before_the_buffer_that_is_not_the_senders(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < ROW; at++) {
		struct pair pair = pair_make(ALL, SLOTS);
		struct pinion_desc desc[ROW], got[SLOTS];

		row_take(&pair.a, desc, ROW);
		assert_row(desc, ROW);
		give(pair.a.cache, &desc[at].buffer, 1);
		assert_int_equal(pinion_channel_send(pair.a.channel, desc, ROW),
				 at ? (int)at : -EINVAL);
		assert_comes(&pair.b, desc, at, got);
		row_give(&pair.b, got, at);
		row_give(&pair.a, &desc[at + 1], ROW - at - 1);
		pair_close_whole(&pair);
	}
}

/* The slot that holds @at of the first batch, as its peer may write it. */
static void slot_spoil(struct pair *pair, uint32_t at, const struct pinion_desc *desc)
{
	struct pinion_slot *slot = ring_slot(&pair->ab, pair->ab.at + at);
	const struct pinion_lap lap = ring_lap(&pair->ab, pair->ab.at + at);

	slot->head = desc->buffer.bits ^ lap.head;
	slot->body = ((uint64_t)desc->tag << 32 | desc->len) ^ lap.body;
}

/* What was good in front of it came; the rest is the sender's still. */
static void assert_lie_ends_it(struct pair *pair, const struct pinion_desc *desc, uint32_t at)
{
	struct pinion_desc got[SLOTS];

	if (at) {
		assert_comes(&pair->b, desc, at, got);
		row_give(&pair->b, got, at);
	}
	assert_int_equal(pinion_channel_recv(pair->b.channel, got, SLOTS), -EPROTO);
	assert_int_equal(pinion_pool_held(pair->a.pool, pinion_pool_member(pair->b.pool)), 0);
	assert_int_equal(pinion_pool_held(pair->a.pool, pinion_pool_member(pair->a.pool)),
			 ROW - at);
}

static void a_row_with_a_lie_in_it_comes_as_far_as_it_is_true(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < ROW; at++)
		for (uint32_t how = 0; how < WAYS; how++) {
			struct pair pair = pair_make(ALL, SLOTS);
			struct pinion_desc desc[ROW], bad;

			row_take(&pair.a, desc, ROW);
			bad = spoilt(desc[at], how);
			/* Reserved bits read as "not published", which is no lie. */
			if (!pinion_desc_valid(&bad))
				bad.len = BUFFER + 1, bad.buffer = desc[at].buffer;
			assert_int_equal(pinion_channel_send(pair.a.channel, desc, ROW), ROW);
			slot_spoil(&pair, at, &bad);
			assert_lie_ends_it(&pair, desc, at);
			pair_close(&pair);
		}
}

/* The sender says that it sends what it does not hold. */
static void a_row_comes_as_far_as_its_words_are_the_senders(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < ROW; at++) {
		struct pair pair = pair_make(ALL, SLOTS);
		struct pinion_desc desc[ROW];
		uint32_t id;

		row_take(&pair.a, desc, ROW);
		assert_row(desc, ROW);
		id = pinion_buffer_id(desc[at].buffer);
		assert_int_equal(pinion_channel_send(pair.a.channel, desc, ROW), ROW);
		pair.a.pool->view.owner[id] += UINT64_C(1) << PINION_ID_BITS;
		assert_lie_ends_it(&pair, desc, at);
		pair_close(&pair);
	}
}

/* Behind a segment's last buffer there are words, but no buffers. */
static void a_row_comes_as_far_as_there_are_buffers(void **state)
{
	const uint32_t nr = 160, first = nr - 10;
	struct pair pair = pair_make(nr, SLOTS);
	struct pinion_desc all[160], got[SLOTS];

	(void)state;
	for (uint32_t i = 0; i < nr; i += SLOTS)
		row_take(&pair.a, &all[i], SLOTS);
	assert_int_equal(pinion_channel_send(pair.a.channel, all, ROW), ROW);
	for (uint32_t i = 0; i < ROW; i++) {
		struct pinion_desc desc = {pinion_buffer_make(first + i, 1), BUFFER, i};

		assert_true(first + i < pair.a.pool->view.nr_ids);
		pair.a.pool->view.owner[first + i] =
			pinion_owner_word(desc.buffer, pinion_owner_held(0));
		slot_spoil(&pair, i, &desc);
	}
	assert_int_equal(pinion_channel_recv(pair.b.channel, got, SLOTS), 10);
	assert_int_equal(pinion_channel_recv(pair.b.channel, got, SLOTS), -EPROTO);
	pair_close(&pair);
}

/* A peer that gives credit for all of a round and took all but one. */
static void a_row_ends_before_the_mark_of_what_was_not_taken(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < ROW; at++) {
		struct pair pair = pair_make(ALL, SLOTS);
		struct pinion_desc first[SLOTS], desc[ROW], got[SLOTS];
		uint32_t id;
		uint64_t word;

		row_take(&pair.a, first, SLOTS);
		row_take(&pair.a, desc, ROW);
		assert_row(desc, ROW);
		assert_int_equal(pinion_channel_send(pair.a.channel, first, SLOTS), SLOTS);
		id = pinion_buffer_id(first[at].buffer);
		word = pair.a.pool->view.owner[id];
		assert_comes(&pair.b, first, SLOTS, got);
		pair.a.pool->view.owner[id] = word;
		assert_int_equal(pinion_channel_send(pair.a.channel, desc, ROW),
				 at ? (int)at : -EPROTO);
		assert_int_equal(pinion_channel_send(pair.a.channel, &desc[at], ROW - at),
				 -EPROTO);
		pair_close(&pair);
	}
}

/* The one magazine of a new pool that is full. */
static uint32_t full_magazine(const struct pinion_pool *pool)
{
	uint32_t m = 0;

	while (pinion_owner_holder(pool->magazine[m]) != MAGAZINE_DEPOT)
		m++;
	return m;
}

/* All that can be had is @nr; and is at the generation that its word had. */
static void assert_yields(struct pinion_pool *pool, uint32_t nr)
{
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer all[64];
	uint64_t before[64];

	memcpy(before, (const void *)pool->view.owner, sizeof(before));
	assert_int_equal(pinion_buffer_alloc_bulk(cache, all, 64), nr);
	assert_distinct(all, nr);
	for (uint32_t i = 0; i < nr; i++)
		assert_int_equal(pinion_buffer_generation(all[i]),
				 before[pinion_buffer_id(all[i])] >> PINION_ID_BITS &
					 PINION_GENERATION_MASK);
	assert_int_equal(pinion_buffer_free_bulk(cache, all, nr), nr);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_scribbled_id_in_a_magazine_costs_that_buffer_alone(void **state)
{
	const uint32_t bad[] = {64, ALL, PINION_ID_MAX, UINT32_MAX};

	(void)state;
	for (uint32_t at = 0; at < 64; at++)
		for (size_t how = 0; how < sizeof(bad) / sizeof(bad[0]); how++) {
			struct pinion_pool *pool = pool_make(64);

			pool_content(pool, full_magazine(pool))[at] = bad[how];
			assert_yields(pool, 63);
		}
}

static void a_magazine_yields_what_its_words_say(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < 64; at++) {
		struct pinion_pool *elsewhere = pool_make(64), *later = pool_make(64);

		elsewhere->view.owner[at] ^= 1;
		assert_yields(elsewhere, 63);
		later->view.owner[at] += UINT64_C(5) << PINION_ID_BITS;
		assert_yields(later, 64);
	}
	for (uint32_t first = 0; first < 64; first += 8) {
		struct pinion_pool *pool = pool_make(64);

		for (uint32_t id = first; id < first + 8; id++)
			pool->view.owner[id] ^= 1;
		assert_yields(pool, 56);
	}
}

/* Behind the segment's end, in the middle of what seems a row. */
static void a_magazine_holds_what_is_in_its_segment_alone(void **state)
{
	struct pinion_pool *pool = pool_make(48);
	const uint32_t m = full_magazine(pool);

	(void)state;
	for (uint32_t i = 0; i < 48; i++)
		pool_content(pool, m)[i] = i + 4;
	for (uint32_t id = 48; id < 52; id++)
		pool->view.owner[id] = pool->view.owner[0];
	assert_yields(pool, 44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_goes_whole_and_comes_whole),
		cmocka_unit_test(a_row_ends_before_the_descriptor_that_cannot_be_sent),
		cmocka_unit_test(a_row_ends_before_the_buffer_that_is_not_the_senders),
		cmocka_unit_test(a_row_with_a_lie_in_it_comes_as_far_as_it_is_true),
		cmocka_unit_test(a_row_comes_as_far_as_its_words_are_the_senders),
		cmocka_unit_test(a_row_comes_as_far_as_there_are_buffers),
		cmocka_unit_test(a_row_ends_before_the_mark_of_what_was_not_taken),
		cmocka_unit_test(a_scribbled_id_in_a_magazine_costs_that_buffer_alone),
		cmocka_unit_test(a_magazine_yields_what_its_words_say),
		cmocka_unit_test(a_magazine_holds_what_is_in_its_segment_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
