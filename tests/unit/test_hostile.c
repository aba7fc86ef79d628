/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer that lies: b owns its ring's slots, its credit, its flags and, as every member, the
 * control area, and writes there what it likes. At worst a's end of this channel closes.
 */

#include <pthread.h>

#include "channel_support.h"

#define GAP_NR 112 /* buffers of a second segment, where there is room for 128 ids */

/* Two segments, with ids 112 to 127 of the second naming nothing. */
static struct pair pair_with_gap(uint32_t slots)
{
	struct pinion_pool_config config = pool_config(512, BUFFER);

	config.nr_segments = 2;
	config.segment[1] = pool_config(GAP_NR, BUFFER).segment[0];
	return pair_of(&config, slots);
}

/* b publishes whatever it likes, past its own library. */
static void lie(struct pair *pair, const struct pinion_desc *desc)
{
	ring_publish(&pair->ba, desc, 1);
}

/* From here on a's end is shut, for good and for both directions; asking does not block. */
static void assert_shut(struct pair *pair)
{
	struct pinion_desc desc;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(pinion_channel_wait(pair->a.channel, UINT64_C(10000000000)), 0);
		assert_int_equal(pinion_channel_recv(pair->a.channel, &desc, 1), -EPROTO);
	}
	desc = desc_new(&pair->a, 0, 0);
	assert_int_equal(pinion_channel_send(pair->a.channel, &desc, 1), -EPROTO);
	give(pair->a.cache, &desc.buffer, 1);
}

/* And the liar is told: its channel is closed. */
static void assert_broken(struct pair *pair)
{
	struct pinion_desc desc;

	assert_shut(pair);
	assert_int_equal(pinion_channel_recv(pair->b.channel, &desc, 1), -EPIPE);
}

/* One lie in an otherwise honest stream: what came before it is good, then it is over. */
static void ends_the_channel(struct pair *pair, struct pinion_desc bad)
{
	struct pinion_desc first = desc_new(&pair->b, 1, 1), got[4];
	const uint64_t lies = pinion_channel_lies();

	send_one(&pair->b, &first);
	pair->ba.at++;
	lie(pair, &bad);
	assert_int_equal(pinion_channel_recv(pair->a.channel, got, 4), 1);
	assert_int_equal(got[0].tag, 1);
	give(pair->a.cache, &got[0].buffer, 1);
	assert_broken(pair);
	/* Once, however often it is asked. */
	assert_int_equal(pinion_channel_lies(), lies + 1);
}

static void an_id_beyond_the_pool_ends_the_channel(void **state)
{
	const uint32_t ids[] = {PINION_ID_MAX, 1024, 1025, 65536, 1u << 27};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct pair pair = pair_with_gap(8);

		ends_the_channel(&pair,
				 (struct pinion_desc){pinion_buffer_make(ids[i], 1), 0, 0});
		pair_close_whole(&pair);
	}
}

/* The owner words are shared too: what names no buffer must not pass because a word says so. */
static void an_id_between_segments_ends_the_channel_whatever_its_word(void **state)
{
	const uint32_t in_segment[] = {GAP_NR, GAP_NR + 1, 127, 128, 511};

	(void)state;
	for (size_t i = 0; i < sizeof(in_segment) / sizeof(in_segment[0]); i++) {
		struct pair pair = pair_with_gap(8);
		const uint32_t id = (1u << pair.a.pool->geometry.segment_shift) + in_segment[i];
		const struct pinion_buffer buffer = pinion_buffer_make(id, 5);

		assert_true(id < pair.a.pool->view.nr_ids);
		pair.b.pool->view.owner[id] = pinion_owner_word(buffer, pinion_owner_held(1));
		ends_the_channel(&pair, (struct pinion_desc){buffer, 0, 0});
		pair.b.pool->view.owner[id] = 0;
		pair_close_whole(&pair);
	}
}

static void a_length_beyond_the_buffer_ends_the_channel(void **state)
{
	const uint32_t lengths[] = {BUFFER + 1, 4096, 1u << 30, PINION_DESC_LEN_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct pair pair = pair_make(512, 8);
		struct pinion_desc bad = desc_new(&pair.b, lengths[i], 0);

		ends_the_channel(&pair, bad);
		give(pair.b.cache, &bad.buffer, 1);
		pair_close_whole(&pair);
	}
}

static void a_buffer_that_the_sender_does_not_hold_ends_the_channel(void **state)
{
	struct pair pair;
	struct pinion_desc ours;

	(void)state;
	pair = pair_make(512, 8); /* the receiver's own */
	ours = desc_new(&pair.a, 0, 0);
	ends_the_channel(&pair, ours);
	give(pair.a.cache, &ours.buffer, 1);
	pair_close_whole(&pair);

	pair = pair_make(512, 8); /* a free one, as its word stands */
	ends_the_channel(&pair, (struct pinion_desc){pinion_buffer_make(500, 1), 0, 0});
	pair_close_whole(&pair);
}

static void a_stale_generation_ends_the_channel(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc old = desc_new(&pair.b, 0, 0), now;

	(void)state;
	give(pair.b.cache, &old.buffer, 1);
	now = desc_new(&pair.b, 0, 0);
	assert_int_equal(pinion_buffer_id(old.buffer), pinion_buffer_id(now.buffer));
	ends_the_channel(&pair, old);
	give(pair.b.cache, &now.buffer, 1);
	pair_close_whole(&pair);
}

static void a_generation_from_the_future_ends_the_channel(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc now = desc_new(&pair.b, 0, 0);

	(void)state;
	ends_the_channel(&pair, (struct pinion_desc){pinion_buffer_next(now.buffer), 0, 0});
	give(pair.b.cache, &now.buffer, 1);
	pair_close_whole(&pair);
}

static void a_buffer_sent_twice_is_taken_once_and_ends_the_channel(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc = desc_new(&pair.b, 0, 0), got[4];

	(void)state;
	lie(&pair, &desc);
	lie(&pair, &desc);
	assert_int_equal(pinion_channel_recv(pair.a.channel, got, 4), 1);
	give(pair.a.cache, &got[0].buffer, 1);
	assert_broken(&pair);
	pair_close_whole(&pair);
}

/* Bursts, of neighbours. */

#define BURST 16

/* A row of b's, of which one may lie. */
static void make_row(struct pair *pair, struct pinion_desc *row)
{
	for (uint32_t i = 0; i < BURST; i++)
		row[i] = desc_new(&pair->b, 200 + i, 70 + i);
	qsort(row, BURST, sizeof(*row), by_id);
	for (uint32_t i = 1; i < BURST; i++)
		assert_int_equal(row[i].buffer.bits, row[0].buffer.bits + i);
}

static uint64_t word_of(const struct pair *pair, struct pinion_buffer buffer)
{
	return atomic_load(&pinion_pool_view(pair->a.pool)->owner[pinion_buffer_id(buffer)]);
}

static void set_word(struct pair *pair, struct pinion_buffer buffer, struct pinion_pool *holder)
{
	atomic_store(&pinion_pool_view(pair->a.pool)->owner[pinion_buffer_id(buffer)],
		     pinion_owner_word(buffer, pinion_owner_held(pinion_pool_member(holder))));
}

static void taken_up_to(struct pair *pair, const struct pinion_desc *row,
			const struct pinion_desc *got, uint32_t nr)
{
	const uint32_t a = pinion_owner_held(pinion_pool_member(pair->a.pool));
	const uint32_t b = pinion_owner_held(pinion_pool_member(pair->b.pool));

	for (uint32_t i = 0; i < BURST; i++) {
		const struct pinion_buffer next = pinion_buffer_next(row[i].buffer);

		assert_int_equal(word_of(pair, row[i].buffer),
				 i < nr ? pinion_owner_word(next, a)
					: pinion_owner_word(row[i].buffer, b));
		if (i >= nr)
			continue;
		assert_int_equal(got[i].buffer.bits, next.bits);
		assert_int_equal(got[i].len, row[i].len);
		assert_int_equal(got[i].tag, row[i].tag);
	}
}

/* @lie: 0 none; of the length, generation, id; 5 of nothing that it says: a has it. */
static struct pinion_desc lie_of(struct pinion_desc desc, int lie)
{
	const uint64_t generation = UINT64_C(1) << PINION_ID_BITS;

	if (lie == 1)
		desc.len = BUFFER + 1;
	else if (lie == 2)
		desc.buffer.bits += generation;
	else if (lie == 3)
		desc.buffer.bits -= generation;
	else if (lie == 4)
		desc.buffer.bits += BURST;
	return desc;
}

static void burst_with(int lie, uint32_t at)
{
	struct pair pair = pair_make(1024, 64);
	struct pinion_desc row[BURST], sent[BURST], got[BURST];
	const int want = lie && !at ? -EPROTO : lie ? (int)at : BURST;

	make_row(&pair, row);
	memcpy(sent, row, sizeof(sent));
	sent[at] = lie_of(sent[at], lie);
	if (lie == 5)
		set_word(&pair, row[at].buffer, pair.a.pool);
	assert_int_equal(ring_publish(&pair.ba, sent, BURST), BURST);
	assert_int_equal(pinion_channel_recv(pair.a.channel, got, BURST), want);
	if (lie)
		assert_shut(&pair);
	if (lie == 5)
		set_word(&pair, row[at].buffer, pair.b.pool);
	taken_up_to(&pair, row, got, want < 0 ? 0 : (uint32_t)want);
	pair_close(&pair);
}

static void of_a_burst_what_is_before_the_lie_is_taken(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < BURST; at++)
		for (int lie = 0; lie <= 5; lie++)
			burst_with(lie, at);
}

static void a_buffer_sent_on_two_channels_is_taken_once(void **state)
{
	struct pair one = pair_make(512, 8), two = one;
	struct pinion_desc desc = desc_new(&one.b, 0, 0), got;

	(void)state;
	pair_open_channels(&two, 8);
	send_one(&one.b, &desc);
	lie(&two, &desc);
	got = recv_one(&one.a);
	assert_broken(&two);
	/* The other channel does not suffer: it goes on as before. */
	send_one(&one.a, &got);
	got = recv_one(&one.b);
	give(one.b.cache, &got.buffer, 1);
	ring_unmap(&two.ab);
	ring_unmap(&two.ba);
	assert_int_equal(pinion_channel_close(two.a.channel), 0);
	assert_int_equal(pinion_channel_close(two.b.channel), 0);
	pair_close_whole(&one);
}

/* Fills a's ring towards b, so that a must look at the credit. */
static void fill(struct pair *pair, struct pinion_desc *desc, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		desc[i] = desc_new(&pair->a, 0, i);
	assert_int_equal(pinion_channel_send(pair->a.channel, desc, nr), nr);
}

static void credit_that_cannot_be_ends_the_channel(void **state)
{
	const uint64_t credits[] = {9, 10, 1000, UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 63,
				    UINT64_C(1) << 32};

	(void)state;
	for (size_t i = 0; i < sizeof(credits) / sizeof(credits[0]); i++) {
		struct pair pair = pair_make(512, 8);
		struct pinion_desc desc[8], more = desc_new(&pair.a, 0, 0);

		fill(&pair, desc, 8);
		pair.ab.shared->credit = pair.ab.at + credits[i];
		assert_int_equal(pinion_channel_send(pair.a.channel, &more, 1), -EPROTO);
		give(pair.a.cache, &more.buffer, 1);
		assert_shut(&pair);
		pinion_channel_sever(pair.a.channel);
		assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 8);
		pair_close_whole(&pair);
	}
}

static void credit_that_goes_backwards_ends_the_channel(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc[8], more;

	(void)state;
	fill(&pair, desc, 8);
	assert_int_equal(pinion_channel_recv(pair.b.channel, desc, 4), 4);
	more = desc_new(&pair.a, 0, 0);
	send_one(&pair.a, &more); /* sees a credit of 4 */
	fill(&pair, desc + 4, 3);
	pair.ab.shared->credit = pair.ab.at + 3;
	more = desc_new(&pair.a, 0, 0);
	assert_int_equal(pinion_channel_send(pair.a.channel, &more, 1), -EPROTO);
	give(pair.a.cache, &more.buffer, 1);
	give(pair.b.cache, &desc[0].buffer, 1);
	for (int i = 1; i < 4; i++)
		give(pair.b.cache, &desc[i].buffer, 1);
	pinion_channel_sever(pair.a.channel);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 8);
	pair_close_whole(&pair);
}

/* Within bounds, but for slots that were never read: the record of what is out must survive. */
static void credit_for_what_was_not_taken_ends_the_channel(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc[8], more = desc_new(&pair.a, 0, 0);

	(void)state;
	fill(&pair, desc, 8);
	pair.ab.shared->credit = pair.ab.at + 8;
	assert_int_equal(pinion_channel_send(pair.a.channel, &more, 1), -EPROTO);
	give(pair.a.cache, &more.buffer, 1);
	pinion_channel_sever(pair.a.channel);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 8);
	pair_close_whole(&pair);
}

/* Slots, credit, flags and bell of any value, all the time: every call returns, with an answer
 * that it may give, and a takes nothing that b did not hold. */
static void scribble(struct pair *pair, uint64_t *random)
{
	const uint64_t value = test_random(random) >> test_below(random, 64);
	struct pinion_slot *slot = &pair->ba.shared->slot[test_below(random, pair->ba.slots)];

	switch (test_below(random, 7)) {
	case 0:
		slot->head = value;
		break;
	case 1:
		slot->body = value;
		break;
	case 2:
		pair->ab.shared->credit = value;
		break;
	case 3:
		pair->ba.shared->bell.state = (uint32_t)value;
		break;
	case 4:
		pair->ab.shared->bell.state = (uint32_t)value;
		break;
	case 5:
		pair->ba.shared->producer_closed = test_below(random, 4) == 0;
		break;
	default:
		pair->ab.shared->consumer_closed = test_below(random, 4) == 0;
		break;
	}
}

static void step_among_lies(struct pair *pair, uint64_t *random)
{
	struct pinion_desc desc[4];
	int got;

	switch (test_below(random, 3)) {
	case 0:
		desc[0] = desc_new(&pair->a, 0, 0);
		got = pinion_channel_send(pair->a.channel, desc, 1);
		assert_true(got == 1 || got == -EAGAIN || got == -EPIPE || got == -EPROTO);
		if (got != 1)
			give(pair->a.cache, &desc[0].buffer, 1);
		break;
	case 1:
		got = pinion_channel_recv(pair->a.channel, desc, 4);
		assert_true(got != 0 && (got > 0 || got == -EAGAIN || got == -EPIPE ||
					 got == -EPROTO));
		for (int i = 0; i < got; i++)
			give(pair->a.cache, &desc[i].buffer, 1);
		break;
	default:
		got = pinion_channel_wait(pair->a.channel, 1000);
		assert_true(got == 0 || got == -ETIMEDOUT);
		break;
	}
}

static void anything_scribbled_is_survived(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	for (int round = 0; round < 600; round++) {
		struct pair pair = pair_make(512, 4);

		for (int i = 0; i < 60; i++) {
			scribble(&pair, &random);
			step_among_lies(&pair, &random);
		}
		assert_pool_sound(pair.a.pool);
		pair_close(&pair);
	}
}

/* The worst case for a bounded wait: the bell rings all the time, and for nothing. */
struct ringer {
	struct bell *bell;
	_Atomic int stop;
};

static const struct bell_hand fencing = {.registered = false, .socket = -1};

static void *ring_for_nothing(void *arg)
{
	struct ringer *ringer = arg;

	while (!ringer->stop)
		bell_strike(ringer->bell, &fencing);
	return NULL;
}

static void *hold_down_the_bell(void *arg)
{
	struct ringer *ringer = arg;

	while (!ringer->stop)
		atomic_store(&ringer->bell->state, 77);
	return NULL;
}

static void wait_is_bounded(void *(*peer)(void *))
{
	struct pair pair = pair_make(512, 8);
	struct ringer ringer = {&pair.ba.shared->bell, 0};
	pthread_t thread;
	uint64_t took = test_now_ns();

	assert_int_equal(pthread_create(&thread, NULL, peer, &ringer), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(pinion_channel_wait(pair.a.channel, 10000000), -ETIMEDOUT);
	took = test_now_ns() - took;
	ringer.stop = 1;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_in_range(took, 200000000, UINT64_C(10000000000));
	pair_close_whole(&pair);
}

static void wait_keeps_its_time_limit_though_the_bell_rings_for_nothing(void **state)
{
	(void)state;
	wait_is_bounded(ring_for_nothing);
	wait_is_bounded(hold_down_the_bell);
}

/* A peer that sends and receives at the same time as it lies; the two threads of our end. */
static void *receive_until_broken(void *arg)
{
	struct pair *pair = arg;
	struct pinion_desc desc;
	int got;

	while ((got = pinion_channel_recv(pair->a.channel, &desc, 1)) == -EAGAIN)
		(void)pinion_channel_wait(pair->a.channel, UINT64_C(10000000000));
	return (void *)(intptr_t)got;
}

static void both_threads_of_an_end_learn_of_the_lie(void **state)
{
	struct pair pair = pair_make(512, 8);
	const struct pinion_desc bad = {pinion_buffer_make(PINION_ID_MAX, 1), 0, 0};
	struct pinion_desc desc;
	pthread_t thread;
	void *got;
	int err;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, receive_until_broken, &pair), 0);
	lie(&pair, &bad);
	bell_strike(&pair.ba.shared->bell, &fencing);
	/* The sending thread meets it within one of its calls, while the other still closes. */
	do {
		desc = desc_new(&pair.a, 0, 0);
		err = pinion_channel_send(pair.a.channel, &desc, 1);
		if (err == 1)
			desc = recv_one(&pair.b);
		give(err == 1 ? pair.b.cache : pair.a.cache, &desc.buffer, 1);
	} while (err == 1);
	assert_int_equal(err, -EPROTO);
	assert_int_equal(pthread_join(thread, &got), 0);
	assert_int_equal((intptr_t)got, -EPROTO);
	pair_close_whole(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(an_id_beyond_the_pool_ends_the_channel),
		pool_test(an_id_between_segments_ends_the_channel_whatever_its_word),
		pool_test(a_length_beyond_the_buffer_ends_the_channel),
		pool_test(a_buffer_that_the_sender_does_not_hold_ends_the_channel),
		pool_test(a_stale_generation_ends_the_channel),
		pool_test(a_generation_from_the_future_ends_the_channel),
		pool_test(a_buffer_sent_twice_is_taken_once_and_ends_the_channel),
		pool_test(of_a_burst_what_is_before_the_lie_is_taken),
		pool_test(a_buffer_sent_on_two_channels_is_taken_once),
		pool_test(credit_that_cannot_be_ends_the_channel),
		pool_test(credit_that_goes_backwards_ends_the_channel),
		pool_test(credit_for_what_was_not_taken_ends_the_channel),
		pool_test(anything_scribbled_is_survived),
		pool_test(wait_keeps_its_time_limit_though_the_bell_rings_for_nothing),
		pool_test(both_threads_of_an_end_learn_of_the_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
