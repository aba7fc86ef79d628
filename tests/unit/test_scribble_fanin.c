/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every byte of a fan-in's ready set, which any of its producers can write, may be anything; so may
 * every byte of the ring of one of them. Two lanes are cold, then one producer says something; one
 * byte changes; the receiver waits, and receives. What an honest one sent comes after so many calls
 * at most as fanin.h allows a liar to cost, and nobody but the liar is closed.
 */

#include <pinion/fanin.h>

#include "channel_support.h"
#include "ready.h"
#include "scribble.h"

#define SLOTS 4u
#define LANES 2u
#define HONEST 1u          /* the lane that speaks; the other is the liar's */
#define COOL_CALLS 260     /* of recv, after which a lane that is idle is cold */
#define CALLS_MAX (16 * 3) /* of recv, until each cold lane was looked at; and some */

/* Made once. The receiver's end is a, all producers are b. */
static struct world {
	struct side a, b;
	struct pinion_fanin *fanin;
	struct ready_shared *ready; /* as producers have it */
	struct {
		struct pinion_channel *tx, *rx;
		uint32_t lane;
	} pair[LANES];
	struct ring liar;            /* the liar's mapping of what it sends on */
	uint8_t was[READY_LEN];      /* one of the ready set, at rest */
	struct pinion_buffer buffer; /* what is sent: b's in between */
	uint64_t lies;
	bool ended; /* the liar's lane, which is told once */
} world;

static void open_pair(uint32_t i)
{
	const uint32_t a = pinion_pool_member(world.a.pool), b = pinion_pool_member(world.b.pool);
	const int there = ring_file(SLOTS), back = ring_file(SLOTS);

	assert_int_equal(pinion_channel_open(world.b.pool, there, back, a, &world.pair[i].tx), 0);
	assert_int_equal(pinion_channel_open(world.a.pool, back, there, b, &world.pair[i].rx), 0);
	if (i != HONEST)
		assert_int_equal(ring_map(there, &world.liar), 0);
	close(there);
	close(back);
	assert_int_equal(pinion_fanin_add(world.fanin, world.pair[i].rx, 1, &world.pair[i].lane),
			 0);
	assert_int_equal(pinion_channel_join(world.pair[i].tx, pinion_fanin_fd(world.fanin),
					     world.pair[i].lane),
			 0);
}

static void close_pair(uint32_t i)
{
	(void)pinion_fanin_remove(world.fanin, world.pair[i].rx);
	assert_int_equal(pinion_channel_close(world.pair[i].rx), 0);
	assert_int_equal(pinion_channel_close(world.pair[i].tx), 0);
	if (i != HONEST)
		ring_unmap(&world.liar);
}

static int recv_once(struct pinion_channel **channel, struct pinion_desc *desc)
{
	return pinion_fanin_recv(world.fanin, channel, desc, 1);
}

static void cool_down(void)
{
	struct pinion_channel *channel;
	struct pinion_desc desc;

	for (int i = 0; i < COOL_CALLS; i++)
		assert_int_equal(recv_once(&channel, &desc), -EAGAIN);
}

static int open_world(void **state)
{
	(void)state;
	world.a.pool = pool_make(64);
	world.b.pool = pool_join(world.a.pool);
	world.b.cache = cache_make(world.b.pool, BUFFER);
	take(world.b.cache, &world.buffer, 1);
	assert_int_equal(pinion_fanin_create(&world.fanin), 0);
	assert_int_equal(ready_map(pinion_fanin_fd(world.fanin), &world.ready), 0);
	for (uint32_t i = 0; i < LANES; i++)
		open_pair(i);
	cool_down();
	memcpy(world.was, world.ready, READY_LEN);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < LANES; i++)
		close_pair(i);
	ready_unmap(world.ready);
	assert_int_equal(pinion_fanin_destroy(world.fanin), 0);
	give(world.b.cache, &world.buffer, 1);
	assert_int_equal(pinion_cache_close(world.b.cache), 0);
	assert_pool_whole(world.a.pool);
	assert_int_equal(pinion_pool_detach(world.b.pool), 0);
	assert_int_equal(pinion_pool_destroy(world.a.pool), 0);
	return 0;
}

/* --- the honest one */

static void speak(struct pinion_channel *tx)
{
	const struct pinion_desc desc = {world.buffer, BUFFER, 77};

	assert_int_equal(pinion_channel_send(tx, &desc, 1), 1);
}

/* ... and the buffer goes back to b. */
static const char *send_back(struct pinion_desc desc)
{
	if (desc.tag != 77 || desc.len != BUFFER)
		return "what came is not what was sent";
	if (pinion_channel_send(world.pair[HONEST].rx, &desc, 1) != 1 ||
	    pinion_channel_recv(world.pair[HONEST].tx, &desc, 1) != 1)
		return "the honest channel suffers";
	world.buffer = desc.buffer;
	return NULL;
}

/* What the liar's lane gives is passed over: it may end, and what it forges may be good. */
static const char *hear_the_honest(void)
{
	struct pinion_channel *channel;
	struct pinion_desc desc;

	for (int i = 0; i < CALLS_MAX; i++) {
		int got = recv_once(&channel, &desc);

		if (got == -EAGAIN)
			continue;
		if (channel != world.pair[HONEST].rx) {
			if (got != 1 && got != -EPIPE && got != -EPROTO)
				return "the liar's lane gives another error";
			if (world.ended)
				return "a lane that ended goes on";
			world.ended = got != 1;
		} else {
			return got == 1 ? send_back(desc) : "the honest channel ends";
		}
	}
	return "what the honest one sent does not come in time";
}

static const char *wait_shortly(void)
{
	const int err = pinion_fanin_wait(world.fanin, 1);

	return err == 0 || err == -ETIMEDOUT ? NULL : "wait gives another error";
}

/* --- the ready set */

/* The lane is cold, and says something; the bit is set. */
static uint8_t *at_the_ready_set(void *ignored)
{
	(void)ignored;
	memcpy(world.ready, world.was, READY_LEN);
	cool_down();
	world.lies = pinion_channel_lies();
	speak(world.pair[HONEST].tx);
	return (uint8_t *)world.ready;
}

/* Once more, with nobody lying: the fan-in is as good as before. */
static const char *as_before(void)
{
	memcpy(world.ready, world.was, READY_LEN);
	cool_down();
	speak(world.pair[HONEST].tx);
	return hear_the_honest();
}

static const char *outcome(void *ignored)
{
	const char *problem = hear_the_honest();

	(void)ignored;
	if (!problem && pinion_channel_lies() != world.lies)
		problem = "somebody is closed for what anybody may have written";
	return problem ? problem : as_before();
}

static const char *outcome_of_waiting(void *ignored)
{
	const char *problem = wait_shortly();

	return problem ? problem : outcome(ignored);
}

static void each_byte_of_the_ready_set_may_be_anything(void **state)
{
	const struct scribble recv = {"ready set", sizeof(struct ready_shared), READY_LEN,
				      at_the_ready_set, outcome};
	const struct scribble wait = {"ready set, waiting", sizeof(struct ready_shared),
				      sizeof(struct ready_shared), at_the_ready_set,
				      outcome_of_waiting};

	(void)state;
	scribble_everywhere(&recv, NULL);
	scribble_everywhere(&wait, NULL);
}

/* --- the ring of a lane */

/* A new one for the liar each time, which sent one thing that is wrong and is hot. */
static uint8_t *at_a_ring(void *ignored)
{
	const struct pinion_desc none = {pinion_buffer_make(9, 1), 0, 0};

	(void)ignored;
	close_pair(1 - HONEST);
	open_pair(1 - HONEST);
	world.ended = false;
	world.lies = pinion_channel_lies();
	assert_int_equal(ring_publish(&world.liar, &none, 1), 1);
	speak(world.pair[HONEST].tx);
	return (uint8_t *)world.liar.shared;
}

static const char *outcome_of_a_ring(void *ignored)
{
	const char *problem = wait_shortly();

	(void)ignored;
	if (!problem)
		problem = hear_the_honest();
	if (!problem && pinion_channel_lies() > world.lies + 1)
		problem = "more than one is closed";
	if (!problem)
		speak(world.pair[HONEST].tx);
	return problem ? problem : hear_the_honest();
}

#define RING_USED (sizeof(struct ring_shared) + SLOTS * sizeof(struct pinion_slot))
#define RING_BYTES ((size_t)4096)

static void each_byte_of_the_ring_of_a_lane_may_be_anything(void **state)
{
	const struct scribble scribble = {"ring of a lane", RING_USED, RING_BYTES, at_a_ring,
					  outcome_of_a_ring};

	(void)state;
	scribble_everywhere(&scribble, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(each_byte_of_the_ready_set_may_be_anything),
		support_test(each_byte_of_the_ring_of_a_lane_may_be_anything),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
