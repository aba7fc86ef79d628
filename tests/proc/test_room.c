/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes send to each other as fast as they can, each in one thread, through rings as small
 * as rings can be: who finds its ring full receives what there is, and then waits for room. A
 * deadlock would show as a time limit that is over. Then one of them is killed.
 */

#include "proc_support.h"

#define SOON 5000 /* ms */
#define PATIENCE_NS UINT64_C(20000000000)
#define MS UINT64_C(1000000)

/* One member's part, the same on both sides. */
struct stream {
	struct pinion_cache *cache;
	struct pinion_channel *channel;
	uint32_t each; /* how many either of them sends */
	uint32_t received;
	uint32_t waits; /* for room */
	int wrong;      /* a line number: what did not hold; 0: all did */
};

#define STREAM_THAT(stream, holds)                   \
	do {                                         \
		if (!(holds) && !(stream)->wrong)    \
			(stream)->wrong = __LINE__;  \
	} while (0)

/* All that there is; false: nothing. */
static bool receive(struct stream *stream)
{
	struct pinion_desc desc[16];
	const int got = pinion_channel_recv(stream->channel, desc, 16);

	STREAM_THAT(stream, got > 0 || got == -EAGAIN);
	for (int i = 0; i < got; i++) {
		STREAM_THAT(stream, desc[i].tag == stream->received++);
		STREAM_THAT(stream, pinion_buffer_free(stream->cache, desc[i].buffer) == 0);
	}
	return got > 0;
}

static void send_one(struct stream *stream, uint32_t tag)
{
	struct pinion_desc desc = {.len = 8, .tag = tag};
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	int sent;

	STREAM_THAT(stream, pinion_buffer_alloc(stream->cache, &desc.buffer) == 0);
	while ((sent = pinion_channel_send(stream->channel, &desc, 1)) == -EAGAIN) {
		int err = 0;

		if (!receive(stream)) {
			err = pinion_channel_wait_room(stream->channel, MS);
			stream->waits++;
		}
		STREAM_THAT(stream, err == 0 || err == -ETIMEDOUT);
		STREAM_THAT(stream, test_now_ns() < until);
		if (stream->wrong)
			return;
	}
	STREAM_THAT(stream, sent == 1);
}

static void stream_run(struct stream *stream)
{
	for (uint32_t i = 0; i < stream->each && !stream->wrong; i++)
		send_one(stream, i);
	while (!stream->wrong && stream->received < stream->each)
		if (!receive(stream))
			STREAM_THAT(stream,
				    pinion_channel_wait(stream->channel, PATIENCE_NS) == 0);
}

static int stream_member(const char *path, void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_session *session;
	struct stream stream = {.each = *(const uint32_t *)arg};

	if (pinion_session_open(path, &session) ||
	    pinion_cache_open(pinion_session_pool(session), &any, &stream.cache))
		return 1;
	stream.channel = pinion_session_channel(session);
	stream_run(&stream);
	if (stream.wrong) {
		fprintf(stderr, "# the member: line %d; received %u\n", stream.wrong,
			stream.received);
		return 2;
	}
	return pinion_channel_drain(stream.channel, PATIENCE_NS) ||
	       pinion_cache_close(stream.cache) || pinion_session_close(session);
}

/* It never receives. */
static int idle_member(const char *path, void *arg)
{
	struct pinion_session *session;

	(void)arg;
	if (pinion_session_open(path, &session))
		return 1;
	for (;;)
		pause();
}

static pid_t scene_open(struct keeper *keeper, uint32_t slots, member_main member, uint32_t each,
			struct stream *stream)
{
	const struct pinion_rendezvous_config rendezvous = {.slots = slots};
	struct pinion_pool_config config = pool_config(1024, BUFFER);
	struct pinion_event event;
	pid_t pid;

	config.nr_members = KEEPER_MEMBERS;
	keeper_open_with(keeper, &config, &rendezvous);
	pid = member_start(keeper, member, &each);
	event = keeper_expect(keeper, PINION_EVENT_JOINED, SOON);
	/* Nobody echoes what the member sends: the keeper of tests forgets the channel. */
	keeper->channel[event.member] = NULL;
	*stream = (struct stream){
		.cache = keeper->cache, .channel = event.channel, .each = each};
	return pid;
}

static void stream_both_ways(uint32_t slots, uint32_t each)
{
	struct pinion_event left;
	struct keeper keeper;
	struct stream stream;
	const pid_t pid = scene_open(&keeper, slots, stream_member, each, &stream);

	stream_run(&stream);
	if (stream.wrong)
		print_message("# the keeper: line %d; received %u\n", stream.wrong,
			      stream.received);
	assert_int_equal(stream.wrong, 0);
	print_message("# %u slots: waited %u times for room\n", slots, stream.waits);
	left = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(member_end(pid), 0);
	keeper_bury(&keeper, &left);
	keeper_close_whole(&keeper);
}

static void both_send_through_rings_of_four_slots(void **state)
{
	(void)state;
	stream_both_ways(4, 10000);
}

static void both_send_through_rings_that_hold_credit_back(void **state)
{
	(void)state;
	stream_both_ways(64, 50000);
}

static void who_waits_for_room_of_one_that_is_killed_is_told(void **state)
{
	struct pinion_event left;
	struct keeper keeper;
	struct stream stream;
	const pid_t pid = scene_open(&keeper, 4, idle_member, 0, &stream);
	struct pinion_desc desc = {.len = 8};

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		take(keeper.cache, &desc.buffer, 1);
		assert_int_equal(pinion_channel_send(stream.channel, &desc, 1), 1);
	}
	assert_int_equal(pinion_channel_wait_room(stream.channel, MS), -ETIMEDOUT);
	assert_int_equal(kill(pid, SIGKILL), 0);
	left = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(pinion_channel_wait_room(stream.channel, PATIENCE_NS), -EPIPE);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	keeper_bury(&keeper, &left);
	keeper_close_whole(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(both_send_through_rings_of_four_slots),
		pool_test(both_send_through_rings_that_hold_credit_back),
		pool_test(who_waits_for_room_of_one_that_is_killed_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
