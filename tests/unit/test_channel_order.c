/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory order between the ends of a channel, each a thread with plain memory that the other reads
 * when the channel says so. ThreadSanitizer judges it (one_mapping.h): both members work on one
 * mapping of the control area and the segment, and both ends of each ring on one.
 */

#include <pthread.h>
#include <sched.h>

#include <pinion/request.h>

#include "channel_support.h"
#include "one_mapping.h"

#define BUFFERS 4096u

/* Two members of which b has not its own mappings; they are kept for the end. */
struct stage {
	struct pair pair;
	struct pinion_hostmem control, segment;
};

static void open_channels(struct pair *pair, uint32_t slots)
{
	pair_open_channels(pair, slots);
	move_to(&pair->a.channel->tx, &pair->ab);
	move_to(&pair->b.channel->rx, &pair->ab);
	move_to(&pair->b.channel->tx, &pair->ba);
	move_to(&pair->a.channel->rx, &pair->ba);
}

static void close_channel(struct side *side)
{
	if (side->channel != NULL)
		assert_int_equal(pinion_channel_close(side->channel), 0);
	side->channel = NULL;
}

static void close_channels(struct pair *pair)
{
	close_channel(&pair->a);
	close_channel(&pair->b);
	ring_unmap(&pair->ab);
	ring_unmap(&pair->ba);
}

static struct stage stage_make(uint32_t slots)
{
	struct stage stage = {.pair = {.a.pool = pool_make(BUFFERS)}};
	struct pinion_pool *a = stage.pair.a.pool, *b = pool_join(a);

	stage.pair.b.pool = b;
	stage.control = b->control;
	stage.segment = b->memory[0];
	map_as(b, a->control, a->memory[0]);
	stage.pair.a.cache = cache_make(a, BUFFER);
	stage.pair.b.cache = cache_make(b, BUFFER);
	open_channels(&stage.pair, slots);
	return stage;
}

static void stage_close(struct stage *stage)
{
	struct pair *pair = &stage->pair;

	close_channels(pair);
	assert_pool_whole(pair->a.pool);
	assert_int_equal(pinion_cache_close(pair->b.cache), 0);
	pair->b.cache = NULL;
	map_as(pair->b.pool, stage->control, stage->segment);
	pair_close(pair);
}

static void run_both(void *(*a)(void *), void *of_a, void *(*b)(void *), void *of_b)
{
	pthread_t thread[2];

	assert_int_equal(pthread_create(&thread[0], NULL, a, of_a), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, b, of_b), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
}

/* Plain memory that goes with the buffer. */
static uint32_t *word_in(const struct side *side, struct pinion_buffer buffer)
{
	return pinion_buffer_addr(side->pool, buffer);
}

/*
 * There and back. All that a has goes to b, and then it all goes back, so that meanwhile nothing
 * but the credit comes the other way. Before the receiver takes the i-th it notes that, and the
 * sender reads the note when it has that slot again.
 */
#define CARGO 2560u
#define TRIPS 8u
#define SLOTS 64u
#define BATCH 9u

struct porter {
	struct side *side;
	struct pinion_buffer *held;
	uint32_t *note, *peer_note;
	uint64_t random;
	uint32_t trip, wrong;
};

static uint32_t batch_of(struct porter *porter, uint32_t done)
{
	const uint32_t nr = 1 + test_below(&porter->random, BATCH), left = CARGO - done;

	return nr < left ? nr : left;
}

/* One way. A channel that breaks ends it for both. */
static void ship(struct porter *porter)
{
	struct pinion_desc desc[BATCH];
	uint32_t sent = 0, noted = 0;

	while (sent < CARGO) {
		const uint32_t nr = batch_of(porter, sent);
		int got;

		for (uint32_t i = 0; i < nr; i++) {
			desc[i] = (struct pinion_desc){porter->held[sent + i], 4, sent + i};
			*word_in(porter->side, desc[i].buffer) = porter->trip + sent + i;
		}
		got = pinion_channel_send(porter->side->channel, desc, nr);
		if (got == -EAGAIN)
			sched_yield();
		else if (got < 0)
			break;
		else
			sent += (uint32_t)got;
		for (; noted + SLOTS < sent; noted++)
			porter->wrong += porter->peer_note[noted] != porter->trip + noted;
	}
	porter->wrong += sent != CARGO;
}

static void fetch(struct porter *porter)
{
	struct pinion_desc desc[BATCH];
	uint32_t taken = 0;

	while (taken < CARGO) {
		const uint32_t nr = batch_of(porter, taken);
		int got;

		for (uint32_t i = 0; i < nr; i++)
			porter->note[taken + i] = porter->trip + taken + i;
		got = pinion_channel_recv(porter->side->channel, desc, nr);
		if (got == -EAGAIN)
			sched_yield();
		else if (got < 0)
			break;
		for (int i = 0; i < got; i++, taken++) {
			porter->held[taken] = desc[i].buffer;
			porter->wrong += desc[i].tag != taken;
			porter->wrong +=
				*word_in(porter->side, desc[i].buffer) != porter->trip + taken;
		}
	}
	porter->wrong += taken != CARGO;
}

static void *there(void *arg)
{
	struct porter *porter = arg;

	for (; porter->trip < TRIPS; porter->trip++) {
		ship(porter);
		fetch(porter);
	}
	return NULL;
}

static void *and_back(void *arg)
{
	struct porter *porter = arg;

	for (; porter->trip < TRIPS; porter->trip++) {
		fetch(porter);
		ship(porter);
	}
	return NULL;
}

static void what_precedes_a_send_or_a_take_is_seen_after_it(void **state)
{
	static struct pinion_buffer held[2][CARGO];
	static uint32_t note[2][CARGO];
	struct stage stage = stage_make(SLOTS);
	struct porter a = {&stage.pair.a, held[0], note[0], note[1], 1, 0, 0};
	struct porter b = {&stage.pair.b, held[1], note[1], note[0], 2, 0, 0};

	(void)state;
	take(stage.pair.a.cache, held[0], CARGO);
	run_both(there, &a, and_back, &b);
	assert_int_equal(a.wrong + b.wrong, 0);
	give(stage.pair.a.cache, held[0], CARGO);
	stage_close(&stage);
}

/* One allocates, the other frees. The ring is so long that it is seldom asked for credit, which
 * would order what only the depot must. */
#define MESSAGES 20000u
#define LONG_RING 16384u

static void *allocate(void *arg)
{
	struct side *side = arg;
	struct pinion_desc desc = {.len = 4};

	for (desc.tag = 0; desc.tag < MESSAGES; desc.tag++) {
		int got;

		while (pinion_buffer_alloc(side->cache, &desc.buffer))
			sched_yield();
		*word_in(side, desc.buffer) = desc.tag;
		while ((got = pinion_channel_send(side->channel, &desc, 1)) == -EAGAIN)
			sched_yield();
		if (got != 1)
			return (void *)1;
	}
	return NULL;
}

static void *free_all(void *arg)
{
	struct side *side = arg;
	struct pinion_desc desc;

	for (uint32_t next = 0; next < MESSAGES; next++) {
		int got;

		while ((got = pinion_channel_recv(side->channel, &desc, 1)) == -EAGAIN)
			sched_yield();
		if (got != 1 || desc.tag != next || *word_in(side, desc.buffer) != next ||
		    pinion_buffer_free(side->cache, desc.buffer))
			return (void *)1;
	}
	return NULL;
}

static void what_the_one_reads_before_it_frees_the_other_may_write_anew(void **state)
{
	struct stage stage = stage_make(LONG_RING);

	(void)state;
	run_both(allocate, &stage.pair.a, free_all, &stage.pair.b);
	stage_close(&stage);
}

/*
 * The end. What a did it puts down before it closes, or before the keeper, who has seen it die,
 * severs b. b reads that when it is told, and counts what comes back to it.
 */
#define STEPS 60u
#define PARTINGS 100u

struct parting {
	struct pair *pair;
	void (*end)(struct pair *pair);
	uint32_t steps;
	struct pinion_buffer own[STEPS], kept[STEPS];
	uint32_t sent, taken; /* by a */
	uint32_t wrong;       /* of b */
};

static void by_close(struct pair *pair)
{
	(void)pinion_channel_close(pair->a.channel);
	pair->a.channel = NULL;
}

static void by_sever(struct pair *pair)
{
	pinion_channel_sever(pair->b.channel);
}

static void *leave(void *arg)
{
	struct parting *parting = arg;
	struct pinion_channel *channel = parting->pair->a.channel;
	uint32_t sent = 0, taken = 0;

	while (sent + taken < parting->steps) {
		struct pinion_desc desc = {.buffer = parting->own[sent]};

		sent += pinion_channel_send(channel, &desc, 1) == 1;
		if (pinion_channel_recv(channel, &desc, 1) == 1)
			parting->kept[taken++] = desc.buffer;
		sched_yield();
	}
	parting->sent = sent;
	parting->taken = taken;
	parting->end(parting->pair);
	return NULL;
}

/* Until b is told; how many it could. */
static uint32_t send_all(struct parting *parting)
{
	struct side *b = &parting->pair->b;
	struct pinion_desc desc = {.len = 0};
	uint32_t sent = 0;
	int got = 1;

	while (got == 1 || got == -EAGAIN) {
		if (got == 1)
			parting->wrong += pinion_buffer_alloc(b->cache, &desc.buffer) != 0;
		else
			sched_yield();
		got = pinion_channel_send(b->channel, &desc, 1);
		sent += got == 1;
	}
	parting->wrong += got != -EPIPE;
	parting->wrong += pinion_buffer_free(b->cache, desc.buffer) != 0;
	return sent;
}

static uint32_t take_all_sent(struct parting *parting)
{
	struct side *b = &parting->pair->b;
	struct pinion_desc desc;
	uint32_t taken = 0;
	int got = 1;

	while (got == 1 || got == -EAGAIN) {
		got = pinion_channel_recv(b->channel, &desc, 1);
		if (got == 1)
			parting->wrong += pinion_buffer_free(b->cache, desc.buffer) != 0;
		else
			sched_yield();
		taken += got == 1;
	}
	parting->wrong += got != -EPIPE;
	return taken;
}

/* consumer_closed comes first: b sends until it sees that. */
static void *send_and_reclaim(void *arg)
{
	struct parting *parting = arg;
	struct side *b = &parting->pair->b;
	const uint32_t sent = send_all(parting), untaken = sent - parting->taken;

	parting->wrong += pinion_channel_reclaim(b->channel, b->cache) != (int)untaken;
	parting->wrong += take_all_sent(parting) != parting->sent;
	return NULL;
}

/* producer_closed: b takes until it sees that. */
static void *only_take(void *arg)
{
	struct parting *parting = arg;

	parting->wrong += take_all_sent(parting) != parting->sent;
	return NULL;
}

static void part(struct pair *pair, struct parting *parting, void *(*b)(void *))
{
	const uint32_t steps = parting->steps;

	take(pair->a.cache, parting->own, steps);
	run_both(leave, parting, b, parting);
	assert_int_equal(parting->wrong, 0);
	give(pair->a.cache, parting->kept, parting->taken);
	give(pair->a.cache, parting->own + parting->sent, steps - parting->sent);
	assert_pool_whole(pair->a.pool);
}

static void part_often(void *(*b)(void *), void (*end)(struct pair *pair))
{
	struct stage stage = stage_make(8);

	for (uint32_t i = 0; i < PARTINGS; i++) {
		struct parting parting = {.pair = &stage.pair, .end = end, .steps = i % STEPS};

		part(&stage.pair, &parting, b);
		close_channels(&stage.pair);
		open_channels(&stage.pair, 8);
	}
	stage_close(&stage);
}

static void what_precedes_a_close_is_seen_by_who_sends_and_reclaims(void **state)
{
	(void)state;
	part_often(send_and_reclaim, by_close);
}

static void what_precedes_a_close_is_seen_by_who_takes(void **state)
{
	(void)state;
	part_often(only_take, by_close);
}

static void what_precedes_a_sever_is_seen_by_both(void **state)
{
	(void)state;
	part_often(send_and_reclaim, by_sever);
	part_often(only_take, by_sever);
}

/* Requests: a asks for three times a number, with the number as its context. */
#define REQUESTS 20000u
#define DEPTH 16u

struct talker {
	struct side *side;
	struct pinion_requester *requester;
	struct pinion_buffer idle[DEPTH];
	uint32_t wrong;
};

static void *answer(void *arg)
{
	struct talker *talker = arg;
	struct pinion_desc desc[DEPTH];
	void *context[DEPTH];

	for (uint32_t answered = 0; answered < REQUESTS;) {
		const int got = pinion_request_recv(talker->requester, desc, context, DEPTH);

		if (got == -EAGAIN)
			sched_yield();
		else if (got < 0)
			return NULL;
		for (int i = 0; i < got; i++, answered++) {
			*word_in(talker->side, desc[i].buffer) *= 3;
			if (pinion_request_answer(talker->requester, &desc[i], 1) != 1)
				return NULL;
		}
	}
	return NULL;
}

/* One more, if a buffer is left for it. */
static bool ask(struct talker *talker, uint32_t number)
{
	const uint32_t out = pinion_requester_outstanding(talker->requester);
	const struct pinion_desc desc = {.buffer = talker->idle[out % DEPTH], .len = 4};
	void *const context = (void *)(uintptr_t)number;

	if (out == DEPTH)
		return false;
	*word_in(talker->side, desc.buffer) = number;
	return pinion_request_send(talker->requester, &desc, &context, 1) == 1;
}

static uint32_t hear(struct talker *talker)
{
	const uint32_t out = pinion_requester_outstanding(talker->requester);
	struct pinion_desc desc[DEPTH];
	void *context[DEPTH];
	const int got = pinion_request_recv(talker->requester, desc, context, DEPTH);

	for (int i = 0; i < got; i++) {
		talker->idle[out - 1 - (uint32_t)i] = desc[i].buffer;
		talker->wrong += *word_in(talker->side, desc[i].buffer) !=
				 3 * (uint32_t)(uintptr_t)context[i];
	}
	talker->wrong += got < 0 && got != -EAGAIN;
	return got > 0 ? (uint32_t)got : 0;
}

static void *ask_all(void *arg)
{
	struct talker *talker = arg;

	for (uint32_t asked = 0, heard = 0; heard < REQUESTS && !talker->wrong;) {
		const bool more = asked < REQUESTS && ask(talker, asked);

		asked += more;
		if (!more)
			sched_yield();
		heard += hear(talker);
	}
	return NULL;
}

static void what_precedes_an_answer_is_seen_with_it(void **state)
{
	struct stage stage = stage_make(SLOTS);
	struct talker a = {.side = &stage.pair.a}, b = {.side = &stage.pair.b};

	(void)state;
	take(stage.pair.a.cache, a.idle, DEPTH);
	assert_int_equal(pinion_requester_open(a.side->channel, DEPTH, 0, &a.requester), 0);
	assert_int_equal(pinion_requester_open(b.side->channel, 0, DEPTH, &b.requester), 0);
	run_both(ask_all, &a, answer, &b);
	assert_int_equal(a.wrong, 0);
	give(stage.pair.a.cache, a.idle, DEPTH);
	assert_int_equal(pinion_requester_close(a.requester), 0);
	assert_int_equal(pinion_requester_close(b.requester), 0);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(what_precedes_a_send_or_a_take_is_seen_after_it),
		pool_test(what_the_one_reads_before_it_frees_the_other_may_write_anew),
		pool_test(what_precedes_a_close_is_seen_by_who_sends_and_reclaims),
		pool_test(what_precedes_a_close_is_seen_by_who_takes),
		pool_test(what_precedes_a_sever_is_seen_by_both),
		pool_test(what_precedes_an_answer_is_seen_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
