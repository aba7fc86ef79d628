/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes that flood each other with requests over one channel, both asking and answering,
 * through rings as small as rings can be. A deadlock would show as a time limit that is over; so
 * would a wake-up that is lost. Then one of them is killed in the middle of it.
 *
 * PINION_EXCHANGES: how many each of them asks, in place of 100,000.
 */

#include <pinion/request.h>

#include "proc_support.h"

#define SOON 5000 /* ms */
#define PATIENCE_NS UINT64_C(20000000000)
#define DEPTH_MAX 32u

/* One member's part, the same on both sides. Requests carry a number in their buffer, contexts
 * are slots of a private table with the same number, and the answer is its complement. */
struct flood {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_channel *channel;
	struct pinion_requester *requester;
	uint32_t depth;
	uint64_t want, asked, answered, served;
	uint64_t table[DEPTH_MAX];
	uint64_t *idle[DEPTH_MAX];
	uint32_t nr_idle;
	int wrong; /* a line number: what did not hold; 0: all did */
};

#define FLOOD_THAT(flood, holds)                   \
	do {                                       \
		if (!(holds) && !(flood)->wrong)   \
			(flood)->wrong = __LINE__; \
	} while (0)

static int flood_open(struct flood *flood, uint32_t depth, uint64_t want)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};

	flood->depth = depth;
	flood->want = want;
	for (uint32_t i = 0; i < depth; i++)
		flood->idle[flood->nr_idle++] = &flood->table[i];
	return pinion_cache_open(flood->pool, &any, &flood->cache) ||
	       pinion_requester_open(flood->channel, depth, depth, &flood->requester);
}

/* As much as may be. */
static void flood_ask(struct flood *flood)
{
	while (!flood->wrong && flood->nr_idle && flood->asked < flood->want) {
		struct pinion_desc desc = {.len = 8};
		void *context = flood->idle[flood->nr_idle - 1];

		FLOOD_THAT(flood, pinion_buffer_alloc(flood->cache, &desc.buffer) == 0);
		if (flood->wrong)
			return;
		*(uint64_t *)pinion_buffer_addr(flood->pool, desc.buffer) = flood->asked;
		flood->table[(uint64_t *)context - flood->table] = flood->asked;
		/* Within the depth there is always room. */
		FLOOD_THAT(flood, pinion_request_send(flood->requester, &desc, &context, 1) == 1);
		flood->nr_idle--;
		flood->asked++;
	}
}

static void flood_finish(struct flood *flood, const struct pinion_desc *desc, void *context)
{
	const uint64_t *number = pinion_buffer_addr(flood->pool, desc->buffer);

	FLOOD_THAT(flood, *number == ~*(uint64_t *)context);
	FLOOD_THAT(flood, pinion_buffer_free(flood->cache, desc->buffer) == 0);
	flood->idle[flood->nr_idle++] = context;
	flood->answered++;
}

static void flood_serve(struct flood *flood, const struct pinion_desc *desc)
{
	uint64_t *number = pinion_buffer_addr(flood->pool, desc->buffer);

	*number = ~*number;
	FLOOD_THAT(flood, pinion_request_answer(flood->requester, desc, 1) == 1);
	flood->served++;
}

/* Last first, so that answers do not come in the order of requests. What recv said. */
static int flood_hear(struct flood *flood)
{
	struct pinion_desc desc[PINION_REQUEST_BATCH];
	void *context[PINION_REQUEST_BATCH];
	const int got = pinion_request_recv(flood->requester, desc, context, DEPTH_MAX);

	for (int i = got - 1; i >= 0; i--)
		if (pinion_desc_is_answer(&desc[i]))
			flood_finish(flood, &desc[i], context[i]);
		else
			flood_serve(flood, &desc[i]);
	return got;
}

static bool flood_done(const struct flood *flood)
{
	return flood->wrong || (flood->answered == flood->want && flood->served == flood->want);
}

static void flood_run(struct flood *flood)
{
	while (!flood_done(flood)) {
		int got;

		flood_ask(flood);
		got = flood_hear(flood);
		if (got == -EAGAIN && !flood_done(flood))
			FLOOD_THAT(flood, pinion_channel_wait(flood->channel, PATIENCE_NS) == 0);
		FLOOD_THAT(flood, got > 0 || got == -EAGAIN);
	}
}

/* What a child is told. */
struct orders {
	uint32_t depth;
	uint64_t want;
};

static int flood_member(const char *path, void *arg)
{
	const struct orders *orders = arg;
	struct flood flood = {0};
	struct pinion_session *session;

	if (pinion_session_open(path, &session))
		return 1;
	flood.pool = pinion_session_pool(session);
	flood.channel = pinion_session_channel(session);
	if (flood_open(&flood, orders->depth, orders->want))
		return 2;
	flood_run(&flood);
	if (flood.wrong) {
		fprintf(stderr, "# the member: line %d; asked %ju, answered %ju, served %ju\n",
			flood.wrong, (uintmax_t)flood.asked, (uintmax_t)flood.answered,
			(uintmax_t)flood.served);
		return 3;
	}
	return pinion_requester_close(flood.requester) || pinion_cache_close(flood.cache) ||
	       pinion_session_close(session);
}

struct scene {
	struct keeper keeper;
	struct flood flood;
	struct orders orders;
	pid_t pid;
};

/* The keeper's side: like the member's, in this process. */
static void scene_open(struct scene *scene, uint32_t slots, uint32_t depth, uint64_t want)
{
	const struct pinion_rendezvous_config rendezvous = {.slots = slots};
	struct pinion_pool_config config = pool_config(1024, BUFFER);
	struct pinion_event event;

	memset(scene, 0, sizeof(*scene));
	config.nr_members = KEEPER_MEMBERS;
	keeper_open_with(&scene->keeper, &config, &rendezvous);
	scene->orders = (struct orders){depth, want};
	scene->pid = member_start(&scene->keeper, flood_member, &scene->orders);
	event = keeper_expect(&scene->keeper, PINION_EVENT_JOINED, SOON);
	/* Nobody echoes what the member sends: the keeper of tests forgets the channel. */
	scene->keeper.channel[event.member] = NULL;
	scene->flood.pool = scene->keeper.pool;
	scene->flood.channel = event.channel;
	assert_int_equal(flood_open(&scene->flood, depth, want), 0);
}

static void scene_close(struct scene *scene)
{
	assert_int_equal(pinion_requester_close(scene->flood.requester), 0);
	assert_int_equal(pinion_cache_close(scene->flood.cache), 0);
	keeper_close_whole(&scene->keeper);
}

static uint64_t exchanges(void)
{
	const char *given = getenv("PINION_EXCHANGES");

	return given != NULL ? strtoull(given, NULL, 0) : 100000;
}

static void flood_both_ways(uint32_t slots, uint32_t depth, uint64_t want)
{
	const uint64_t before = test_now_ns();
	static struct scene scene;
	struct pinion_event left;

	scene_open(&scene, slots, depth, want);
	flood_run(&scene.flood);
	if (scene.flood.wrong)
		print_message("# the keeper: line %d; asked %ju, answered %ju, served %ju\n",
			      scene.flood.wrong, (uintmax_t)scene.flood.asked,
			      (uintmax_t)scene.flood.answered, (uintmax_t)scene.flood.served);
	assert_int_equal(scene.flood.wrong, 0);
	print_message("# %u slots: %ju each way in %ju ms\n", slots, (uintmax_t)want,
		      (uintmax_t)((test_now_ns() - before) / 1000000));
	assert_int_equal(pinion_requester_outstanding(scene.flood.requester), 0);
	assert_int_equal(member_end(scene.pid), 0);
	left = keeper_expect(&scene.keeper, PINION_EVENT_LEFT, SOON);
	keeper_bury(&scene.keeper, &left);
	scene_close(&scene);
}

static void both_ask_and_answer_through_rings_of_four_slots(void **state)
{
	(void)state;
	flood_both_ways(4, 2, exchanges());
}

static void both_ask_and_answer_through_rings_that_hold_credit_back(void **state)
{
	(void)state;
	flood_both_ways(64, 30, exchanges());
}

/* Killed anywhere: what was asked and not answered is exactly what is given back. */
static void end_abandoned(struct scene *scene)
{
	struct flood *flood = &scene->flood;
	void *context[DEPTH_MAX];
	bool seen[DEPTH_MAX] = {false};
	const uint32_t outstanding = pinion_requester_outstanding(flood->requester);
	const int got =
		pinion_requester_abandon(flood->requester, flood->cache, context, DEPTH_MAX);

	assert_int_equal(got, outstanding);
	assert_int_equal(flood->asked - flood->answered, outstanding);
	for (int i = 0; i < got; i++) {
		const size_t at = (size_t)((uint64_t *)context[i] - flood->table);

		assert_true(at < flood->depth && !seen[at]);
		seen[at] = true;
	}
	for (uint32_t i = 0; i < flood->nr_idle; i++)
		assert_false(seen[flood->idle[i] - flood->table]);
	assert_int_equal(pinion_requester_abandon(flood->requester, flood->cache, context, 1), 0);
}

/* Runs until the peer is gone; what it was killed in is whatever it did then. */
static void flood_until_gone(struct scene *scene, uint64_t ns)
{
	const uint64_t until = test_now_ns() + ns;
	struct flood *flood = &scene->flood;
	int got;

	while (test_now_ns() < until && !flood->wrong) {
		flood_ask(flood);
		(void)flood_hear(flood);
	}
	assert_int_equal(flood->wrong, 0);
	kill(scene->pid, SIGKILL);
	/* From here on answers may find the channel severed. */
	do {
		struct pinion_desc desc[1];
		void *context[1];

		got = pinion_request_recv(flood->requester, desc, context, 1);
		if (got == 1 && pinion_desc_is_answer(desc))
			flood_finish(flood, desc, context[0]);
		else if (got == 1)
			give(flood->cache, &desc[0].buffer, 1);
	} while (got != -EAGAIN);
	assert_int_equal(flood->wrong, 0);
}

static void of_a_killed_peer_every_outstanding_context_is_given_back(void **state)
{
	uint64_t random = test_seed(), outstanding = 0;

	(void)state;
	/* On a busy machine a peer may have answered all, each time: until one had not. */
	for (int round = 0; round < 40 || (!outstanding && round < 2000); round++) {
		static struct scene scene;
		struct pinion_desc desc;
		struct pinion_event left;
		void *context;
		int got;

		scene_open(&scene, 16, 7, UINT64_MAX);
		flood_until_gone(&scene, test_below(&random, 3000000));
		assert_int_equal(member_end(scene.pid), 128 + SIGKILL);
		left = keeper_expect(&scene.keeper, PINION_EVENT_LEFT, SOON);
		assert_true(left.killed);
		while ((got = pinion_request_recv(scene.flood.requester, &desc, &context, 1)) == 1)
			if (pinion_desc_is_answer(&desc))
				flood_finish(&scene.flood, &desc, context);
			else
				give(scene.flood.cache, &desc.buffer, 1);
		assert_int_equal(got, -EPIPE);
		assert_int_equal(scene.flood.wrong, 0);
		outstanding += pinion_requester_outstanding(scene.flood.requester);
		end_abandoned(&scene);
		keeper_bury(&scene.keeper, &left);
		scene_close(&scene);
	}
	print_message("# %ju contexts given back\n", (uintmax_t)outstanding);
	assert_true(outstanding > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(both_ask_and_answer_through_rings_of_four_slots),
		pool_test(both_ask_and_answer_through_rings_that_hold_credit_back),
		pool_test(of_a_killed_peer_every_outstanding_context_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
