/* SPDX-License-Identifier: BSD-3-Clause */
/* request.h between two members: pairing, limits, lies, the end. */

#include <pinion/request.h>

#include "channel_support.h"

/* A pair of members with a requester at each end: a asks, b answers, unless said otherwise. */
struct talk {
	struct pair pair;
	struct pinion_requester *a, *b;
};

static struct pinion_requester *requester_make(struct side *side, uint32_t depth,
					       uint32_t peer_depth)
{
	struct pinion_requester *requester = NULL;
	const int err = pinion_requester_open(side->channel, depth, peer_depth, &requester);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return requester;
}

static struct talk talk_make(uint32_t slots, uint32_t depth, uint32_t peer_depth)
{
	struct talk talk = {.pair = pair_make(1024, slots)};

	talk.a = requester_make(&talk.pair.a, depth, peer_depth);
	talk.b = requester_make(&talk.pair.b, peer_depth, depth);
	return talk;
}

static void talk_close(struct talk *talk)
{
	assert_int_equal(pinion_requester_close(talk->a), 0);
	assert_int_equal(pinion_requester_close(talk->b), 0);
	pair_close_whole(&talk->pair);
}

/* Contexts are numbers here. */
static void *context_of(uintptr_t number)
{
	return (void *)number;
}

static int ask(struct pinion_requester *requester, struct side *side, uintptr_t number)
{
	const struct pinion_desc desc = desc_new(side, 8, 4711);
	void *const context = context_of(number);
	const int sent = pinion_request_send(requester, &desc, &context, 1);

	if (sent != 1)
		give(side->cache, &desc.buffer, 1);
	return sent;
}

static struct pinion_desc hear(struct pinion_requester *requester, void **context)
{
	struct pinion_desc desc = {0};

	*context = context_of(4711);
	assert_int_equal(pinion_request_recv(requester, &desc, context, 1), 1);
	return desc;
}

static void expect_answer(struct talk *talk, uintptr_t number)
{
	struct pinion_desc desc;
	void *context;

	desc = hear(talk->a, &context);
	assert_true(pinion_desc_is_answer(&desc));
	assert_ptr_equal(context, context_of(number));
	give(talk->pair.a.cache, &desc.buffer, 1);
}

static void an_answer_brings_the_context_of_its_request(void **state)
{
	struct talk talk = talk_make(8, 4, 0);
	struct pinion_desc desc;
	void *context;

	(void)state;
	assert_int_equal(ask(talk.a, &talk.pair.a, 17), 1);
	assert_int_equal(pinion_requester_outstanding(talk.a), 1);
	desc = hear(talk.b, &context);
	assert_false(pinion_desc_is_answer(&desc));
	assert_null(context);
	assert_int_equal(desc.len, 8);
	desc.len = 5;
	assert_int_equal(pinion_request_answer(talk.b, &desc, 1), 1);
	desc = hear(talk.a, &context);
	assert_ptr_equal(context, context_of(17));
	assert_int_equal(desc.len, 5);
	assert_int_equal(pinion_requester_outstanding(talk.a), 0);
	give(talk.pair.a.cache, &desc.buffer, 1);
	talk_close(&talk);
}

static void answers_come_in_any_order(void **state)
{
	const uint32_t order[5] = {3, 0, 4, 1, 2};
	struct talk talk = talk_make(8, 5, 0);
	struct pinion_desc desc[5];
	void *context[5];

	(void)state;
	for (int round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(ask(talk.a, &talk.pair.a, 10 + i), 1);
		assert_int_equal(pinion_request_recv(talk.b, desc, context, 5), 5);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(pinion_request_answer(talk.b, &desc[order[i]], 1), 1);
		for (uint32_t i = 0; i < 5; i++)
			expect_answer(&talk, 10 + order[i]);
	}
	talk_close(&talk);
}

/* The peer keeps the request's buffer and sends one of its own. */
static void the_buffer_of_an_answer_may_be_another(void **state)
{
	struct talk talk = talk_make(8, 4, 0);
	struct pinion_desc desc, other = desc_new(&talk.pair.b, 3, 0);
	void *context;

	(void)state;
	assert_int_equal(ask(talk.a, &talk.pair.a, 1), 1);
	desc = hear(talk.b, &context);
	other.tag = desc.tag;
	assert_int_equal(pinion_request_answer(talk.b, &other, 1), 1);
	give(talk.pair.b.cache, &desc.buffer, 1);
	expect_answer(&talk, 1);
	talk_close(&talk);
}

/* What the header says of a responder that has only the channel. */
static void a_responder_needs_no_requester(void **state)
{
	struct talk talk = talk_make(8, 4, 0);
	struct pinion_desc desc;

	(void)state;
	assert_int_equal(ask(talk.a, &talk.pair.a, 9), 1);
	desc = recv_one(&talk.pair.b);
	desc.tag |= PINION_TAG_ANSWER;
	send_one(&talk.pair.b, &desc);
	expect_answer(&talk, 9);
	talk_close(&talk);
}

static void beyond_the_depth_is_eagain_until_an_answer_came(void **state)
{
	struct talk talk = talk_make(8, 3, 0);
	struct pinion_desc desc[5];
	void *context[5] = {0};

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		desc[i] = desc_new(&talk.pair.a, 0, 0);
	assert_int_equal(pinion_request_send(talk.a, desc, context, 5), 3);
	assert_int_equal(pinion_request_send(talk.a, &desc[3], context, 2), -EAGAIN);
	give(talk.pair.a.cache, &desc[3].buffer, 1);
	give(talk.pair.a.cache, &desc[4].buffer, 1);
	assert_int_equal(pinion_request_recv(talk.b, desc, context, 5), 3);
	assert_int_equal(ask(talk.a, &talk.pair.a, 0), -EAGAIN);
	assert_int_equal(pinion_request_answer(talk.b, desc, 3), 3);
	assert_int_equal(ask(talk.a, &talk.pair.a, 0), -EAGAIN);
	expect_answer(&talk, 0);
	assert_int_equal(ask(talk.a, &talk.pair.a, 6), 1);
	assert_int_equal(ask(talk.a, &talk.pair.a, 0), -EAGAIN);
	expect_answer(&talk, 0);
	expect_answer(&talk, 0);
	desc[0] = hear(talk.b, context);
	assert_int_equal(pinion_request_answer(talk.b, desc, 1), 1);
	expect_answer(&talk, 6);
	talk_close(&talk);
}

/* A send that fails changes nothing: the place is idle still, and its context unknown. */
static void a_request_that_cannot_be_sent_is_not_outstanding(void **state)
{
	struct talk talk = talk_make(8, 2, 0);
	const struct pinion_desc bad = {0};
	void *context = context_of(1);

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(pinion_request_send(talk.a, &bad, &context, 1), -EINVAL);
	assert_int_equal(pinion_requester_outstanding(talk.a), 0);
	assert_int_equal(pinion_requester_abandon(talk.a, talk.pair.a.cache, &context, 1), 0);
	talk_close(&talk);
}

/* Lies. The answer whose tag is given; what a says to it, and that nothing is lost. */

/* Contexts given back at the end: which, as bits. */
static uint64_t abandon_all(struct pinion_requester *requester, struct side *side)
{
	uint64_t seen = 0;
	void *context[3];
	int got;

	while ((got = pinion_requester_abandon(requester, side->cache, context, 3)) > 0)
		for (int i = 0; i < got; i++) {
			const uint64_t bit = UINT64_C(1) << (uintptr_t)context[i];

			assert_false(seen & bit);
			seen |= bit;
		}
	assert_int_equal(got, 0);
	assert_int_equal(pinion_requester_outstanding(requester), 0);
	return seen;
}

static void expect_rejected(struct talk *talk)
{
	const uint64_t lies = pinion_channel_lies();
	struct pinion_desc desc;
	void *context;

	assert_int_equal(pinion_request_recv(talk->a, &desc, &context, 1), -EPROTO);
	assert_int_equal(pinion_channel_lies(), lies + 1);
	assert_int_equal(pinion_request_recv(talk->a, &desc, &context, 1), -EPROTO);
	desc = desc_new(&talk->pair.b, 0, 0);
	assert_int_equal(pinion_channel_send(talk->pair.b.channel, &desc, 1), -EPIPE);
	give(talk->pair.b.cache, &desc.buffer, 1);
}

static void answer_raw(struct talk *talk, uint32_t tag)
{
	const struct pinion_desc desc = desc_new(&talk->pair.b, 0, tag);

	send_one(&talk->pair.b, &desc);
}

static void an_answer_that_nobody_asked_for_ends_the_channel(void **state)
{
	const uint32_t invented[] = {0, 1, 2, 3, 4, 5, 7, 8, 1u << 30, 0x7fffffff};

	(void)state;
	for (size_t i = 0; i < sizeof(invented) / sizeof(invented[0]); i++) {
		struct talk talk = talk_make(8, 5, 0);

		answer_raw(&talk, PINION_TAG_ANSWER | invented[i]);
		expect_rejected(&talk);
		assert_int_equal(ask(talk.a, &talk.pair.a, 0), -EPROTO);
		assert_int_equal(abandon_all(talk.a, &talk.pair.a), 0);
		talk_close(&talk);
	}
}

static void an_answer_given_twice_ends_the_channel(void **state)
{
	struct talk talk = talk_make(8, 4, 0);
	struct pinion_desc desc;
	uint32_t tag;

	(void)state;
	assert_int_equal(ask(talk.a, &talk.pair.a, 1), 1);
	desc = recv_one(&talk.pair.b);
	tag = desc.tag | PINION_TAG_ANSWER;
	give(talk.pair.b.cache, &desc.buffer, 1);
	answer_raw(&talk, tag);
	answer_raw(&talk, tag);
	expect_answer(&talk, 1);
	expect_rejected(&talk);
	assert_int_equal(abandon_all(talk.a, &talk.pair.a), 0);
	talk_close(&talk);
}

/* The place was used again meanwhile, so that index alone would pair it with another's context. */
static void a_late_answer_is_told_from_that_of_the_next_request(void **state)
{
	struct talk talk = talk_make(8, 1, 0);
	struct pinion_desc desc;
	uint32_t late;

	(void)state;
	assert_int_equal(ask(talk.a, &talk.pair.a, 1), 1);
	desc = recv_one(&talk.pair.b);
	give(talk.pair.b.cache, &desc.buffer, 1);
	late = desc.tag | PINION_TAG_ANSWER;
	answer_raw(&talk, late);
	expect_answer(&talk, 1);
	assert_int_equal(ask(talk.a, &talk.pair.a, 2), 1);
	desc = recv_one(&talk.pair.b);
	give(talk.pair.b.cache, &desc.buffer, 1);
	answer_raw(&talk, late);
	expect_rejected(&talk);
	assert_int_equal(abandon_all(talk.a, &talk.pair.a), 1 << 2);
	talk_close(&talk);
}

/* Good, good, a lie, and two more behind it: two come, and the three buffers are not lost. */
static void what_came_before_a_lie_is_good_and_what_came_with_it_is_freed(void **state)
{
	struct talk talk = talk_make(16, 4, 0);
	struct pinion_desc desc[5];
	void *context[5];

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(ask(talk.a, &talk.pair.a, i), 1);
	for (uint32_t i = 0; i < 4; i++) {
		desc[i] = recv_one(&talk.pair.b);
		desc[i].tag |= PINION_TAG_ANSWER;
	}
	send_one(&talk.pair.b, &desc[2]);
	send_one(&talk.pair.b, &desc[0]);
	answer_raw(&talk, desc[0].tag);
	send_one(&talk.pair.b, &desc[1]);
	send_one(&talk.pair.b, &desc[3]);
	assert_int_equal(pinion_request_recv(talk.a, desc, context, 5), 2);
	assert_ptr_equal(context[0], context_of(2));
	assert_ptr_equal(context[1], context_of(0));
	assert_int_equal(pinion_request_recv(talk.a, &desc[2], &context[2], 3), -EPROTO);
	assert_int_equal(pinion_pool_held(talk.pair.a.pool, 0), 5);
	give(talk.pair.a.cache, &desc[0].buffer, 1);
	give(talk.pair.a.cache, &desc[1].buffer, 1);
	assert_int_equal(abandon_all(talk.a, &talk.pair.a), 1 << 1 | 1 << 3);
	talk_close(&talk);
}

static void a_request_from_a_peer_that_may_ask_nothing_ends_the_channel(void **state)
{
	struct talk talk = talk_make(8, 4, 0);

	(void)state;
	answer_raw(&talk, 0);
	expect_rejected(&talk);
	assert_int_equal(abandon_all(talk.a, &talk.pair.a), 0);
	talk_close(&talk);
}

static void a_peer_that_asks_more_than_its_depth_ends_its_channel(void **state)
{
	struct talk talk = talk_make(8, 0, 3);
	struct pinion_desc desc[3];
	void *context[3];

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		answer_raw(&talk, i);
	assert_int_equal(pinion_request_recv(talk.a, desc, context, 3), 3);
	for (uint32_t i = 0; i < 3; i++)
		give(talk.pair.a.cache, &desc[i].buffer, 1);
	expect_rejected(&talk);
	assert_int_equal(abandon_all(talk.a, &talk.pair.a), 0);
	talk_close(&talk);
}

/* It asks no more than it may at once, but takes no answer: the ring fills up with them, and that
 * it does is the proof. */
static void a_peer_that_leaves_no_room_for_answers_ends_its_channel(void **state)
{
	struct talk talk = talk_make(4, 0, 2);
	struct pinion_desc desc;
	void *context;

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		answer_raw(&talk, i);
		desc = hear(talk.a, &context);
		assert_int_equal(pinion_request_answer(talk.a, &desc, 1), 1);
	}
	answer_raw(&talk, 4);
	desc = hear(talk.a, &context);
	assert_int_equal(pinion_request_answer(talk.a, &desc, 1), -EPROTO);
	give(talk.pair.a.cache, &desc.buffer, 1);
	for (uint32_t i = 0; i < 4; i++) {
		desc = recv_one(&talk.pair.b);
		give(talk.pair.b.cache, &desc.buffer, 1);
	}
	assert_int_equal(pinion_channel_recv(talk.pair.b.channel, &desc, 1), -EPIPE);
	talk_close(&talk);
}

static void an_answer_to_nothing_is_einval(void **state)
{
	struct talk talk = talk_make(8, 4, 0);
	struct pinion_desc desc = desc_new(&talk.pair.b, 0, 0);
	void *context;

	(void)state;
	assert_int_equal(pinion_request_answer(talk.b, &desc, 1), -EINVAL);
	give(talk.pair.b.cache, &desc.buffer, 1);
	assert_int_equal(ask(talk.a, &talk.pair.a, 1), 1);
	desc = hear(talk.b, &context);
	desc.tag |= PINION_TAG_ANSWER;
	assert_int_equal(pinion_request_answer(talk.b, &desc, 1), -EINVAL);
	desc.tag &= ~PINION_TAG_ANSWER;
	desc.len = BUFFER + 1;
	assert_int_equal(pinion_request_answer(talk.b, &desc, 1), -EINVAL);
	desc.len = 0;
	assert_int_equal(pinion_request_answer(talk.b, &desc, 1), 1);
	assert_int_equal(pinion_request_answer(talk.b, &desc, 1), -EINVAL);
	expect_answer(&talk, 1);
	talk_close(&talk);
}

static void a_depth_that_a_ring_has_no_room_for_is_einval(void **state)
{
	const struct {
		uint32_t slots, most;
	} ring[] = {{4, 4}, {8, 8}, {16, 15}, {64, 60}, {1024, 960}};
	struct pinion_requester *requester = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(ring) / sizeof(ring[0]); i++) {
		struct pair pair = pair_make(64, ring[i].slots);
		const uint32_t most = pinion_request_depth(pair.a.channel);
		const uint32_t bad[][2] = {
			{most + 1, 0}, {0, most + 1},   {most, 1},       {1, most},
			{0, 0},        {1, UINT32_MAX}, {UINT32_MAX, 1},
		};

		assert_int_equal(most, ring[i].most);
		for (size_t j = 0; j < sizeof(bad) / sizeof(bad[0]); j++) {
			errno = 4711;
			assert_int_equal(pinion_requester_open(pair.a.channel, bad[j][0], bad[j][1],
							       &requester),
					 -EINVAL);
			assert_int_equal(errno, 4711);
			assert_sentence("depth");
			assert_null(requester);
		}
		pinion_requester_close(requester_make(&pair.a, most, 0));
		pinion_requester_close(requester_make(&pair.a, 0, most));
		pinion_requester_close(requester_make(&pair.a, most - 1, 1));
		pair_close_whole(&pair);
	}
}

static void abandoned_contexts_come_once_and_then_it_is_epipe(void **state)
{
	struct talk talk = talk_make(16, 10, 0);
	struct pinion_desc desc;
	void *context;

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(ask(talk.a, &talk.pair.a, i), 1);
	for (uint32_t i = 0; i < 2; i++) {
		desc = hear(talk.b, &context);
		assert_int_equal(pinion_request_answer(talk.b, &desc, 1), 1);
	}
	assert_int_equal(pinion_channel_close(talk.pair.b.channel), 0);
	talk.pair.b.channel = NULL;
	expect_answer(&talk, 0);
	expect_answer(&talk, 1);
	assert_int_equal(pinion_request_recv(talk.a, &desc, &context, 1), -EPIPE);
	assert_int_equal(ask(talk.a, &talk.pair.a, 0), -EPIPE);
	assert_int_equal(pinion_requester_outstanding(talk.a), 8);
	assert_int_equal(abandon_all(talk.a, &talk.pair.a), 0x3fc);
	assert_int_equal(ask(talk.a, &talk.pair.a, 0), -EPIPE);
	assert_int_equal(pinion_request_recv(talk.a, &desc, &context, 1), -EPIPE);
	assert_int_equal(pinion_request_answer(talk.a, &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_reclaim(talk.pair.a.channel, talk.pair.a.cache), 8);
	talk_close(&talk);
}

/* All places but one are outstanding, so that one place is used again and again, until its
 * generation has come round twice: 2^31 / 2^18 uses each time. */
#define HOLD (1u << 18)

static void a_generation_that_comes_round_is_one_like_any_other(void **state)
{
	struct talk talk = {.pair = pair_make(1024, 2 * HOLD)};
	struct pinion_desc desc = desc_new(&talk.pair.a, 0, 0);
	void *context = NULL;

	(void)state;
	talk.a = requester_make(&talk.pair.a, HOLD, 0);
	talk.b = requester_make(&talk.pair.b, 0, HOLD);
	for (uint32_t i = 0; i < HOLD + 2 * (1u << 13); i++) {
		struct pinion_desc back;

		assert_int_equal(pinion_request_send(talk.a, &desc, &context, 1), 1);
		back = hear(talk.b, &context);
		if (i < HOLD - 1) {
			/* Not answered: the buffer goes back to where it came from. */
			give(talk.pair.b.cache, &back.buffer, 1);
			desc = desc_new(&talk.pair.a, 0, 0);
			continue;
		}
		assert_int_equal(pinion_request_answer(talk.b, &back, 1), 1);
		desc = hear(talk.a, &context);
	}
	assert_int_equal(pinion_requester_outstanding(talk.a), HOLD - 1);
	give(talk.pair.a.cache, &desc.buffer, 1);
	talk_close(&talk);
}

/*
 * Both ask all they may, receive in any portions, and answer when they like: no answer and no
 * request within the depth ever finds a full ring. That includes what receivers hold back of their
 * credit, which only rings of 32 slots and more do.
 */
struct party {
	struct pinion_requester *requester;
	struct side *side;
	uint32_t depth;
	struct pinion_desc todo[256];
	uint32_t nr_todo, answered;
};

/* In portions of up to 5. Each request's context is the id of its buffer, which comes back. */
static void party_ask(struct party *party, uint64_t *random)
{
	uint32_t idle;

	while ((idle = party->depth - pinion_requester_outstanding(party->requester)) > 0) {
		const uint32_t nr = 1 + test_below(random, idle < 5 ? idle : 5);
		struct pinion_desc desc[5];
		void *context[5];

		for (uint32_t i = 0; i < nr; i++) {
			desc[i] = desc_new(party->side, 0, 0);
			context[i] = context_of(pinion_buffer_id(desc[i].buffer));
		}
		assert_int_equal(pinion_request_send(party->requester, desc, context, nr), nr);
	}
	assert_int_equal(ask(party->requester, party->side, 1), -EAGAIN);
}

static void party_hear(struct party *party, uint64_t *random)
{
	struct pinion_desc desc[PINION_REQUEST_BATCH];
	void *context[PINION_REQUEST_BATCH];
	const int got = pinion_request_recv(party->requester, desc, context,
					    1 + test_below(random, PINION_REQUEST_BATCH));

	assert_true(got > 0 || got == -EAGAIN);
	for (int i = 0; i < got; i++) {
		if (!pinion_desc_is_answer(&desc[i])) {
			party->todo[party->nr_todo++] = desc[i];
			continue;
		}
		assert_ptr_equal(context[i], context_of(pinion_buffer_id(desc[i].buffer)));
		party->answered++;
		give(party->side->cache, &desc[i].buffer, 1);
	}
}

static void party_answer(struct party *party, uint64_t *random)
{
	while (party->nr_todo && test_below(random, 8)) {
		const uint32_t i = test_below(random, party->nr_todo);

		assert_int_equal(pinion_request_answer(party->requester, &party->todo[i], 1), 1);
		party->todo[i] = party->todo[--party->nr_todo];
	}
}

static void party_end(struct party *party, struct party *other)
{
	uint64_t random = 1;

	while (pinion_requester_outstanding(other->requester)) {
		party_hear(party, &random);
		party_answer(party, &random);
		party_hear(other, &random);
	}
}

static void revel(uint32_t slots, uint32_t depth, uint64_t *random)
{
	const uint32_t peer_depth = slots - slots / 16 - depth;
	struct talk talk = talk_make(slots, depth, peer_depth);
	struct party party[2] = {{.requester = talk.a, .side = &talk.pair.a, .depth = depth},
				 {.requester = talk.b, .side = &talk.pair.b, .depth = peer_depth}};

	for (int i = 0; i < 4000; i++) {
		struct party *any = &party[test_below(random, 2)];

		switch (test_below(random, 3)) {
		case 0:
			party_ask(any, random);
			break;
		case 1:
			party_hear(any, random);
			break;
		default:
			party_answer(any, random);
		}
	}
	party_end(&party[0], &party[1]);
	party_end(&party[1], &party[0]);
	assert_true((party[0].answered > 0) == (depth > 0));
	assert_true((party[1].answered > 0) == (peer_depth > 0));
	talk_close(&talk);
}

static void an_answer_never_finds_a_full_ring(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	for (uint32_t slots = 4; slots <= 256; slots *= 2) {
		const uint32_t most = slots - slots / 16;

		revel(slots, most / 2, &random);
		revel(slots, most, &random);
		revel(slots, 1 + test_below(&random, most - 1), &random);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(an_answer_brings_the_context_of_its_request),
		pool_test(answers_come_in_any_order),
		pool_test(the_buffer_of_an_answer_may_be_another),
		pool_test(a_responder_needs_no_requester),
		pool_test(beyond_the_depth_is_eagain_until_an_answer_came),
		pool_test(a_request_that_cannot_be_sent_is_not_outstanding),
		pool_test(an_answer_that_nobody_asked_for_ends_the_channel),
		pool_test(an_answer_given_twice_ends_the_channel),
		pool_test(a_late_answer_is_told_from_that_of_the_next_request),
		pool_test(what_came_before_a_lie_is_good_and_what_came_with_it_is_freed),
		pool_test(a_request_from_a_peer_that_may_ask_nothing_ends_the_channel),
		pool_test(a_peer_that_asks_more_than_its_depth_ends_its_channel),
		pool_test(a_peer_that_leaves_no_room_for_answers_ends_its_channel),
		pool_test(an_answer_to_nothing_is_einval),
		pool_test(a_depth_that_a_ring_has_no_room_for_is_einval),
		pool_test(abandoned_contexts_come_once_and_then_it_is_epipe),
		pool_test(a_generation_that_comes_round_is_one_like_any_other),
		pool_test(an_answer_never_finds_a_full_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
