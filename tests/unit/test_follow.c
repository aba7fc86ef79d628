/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A member that allocates nothing, and only receives, does not keep the slots of segments that went
 * from being used again: whichever way it waits, or looks, it notices on the way.
 */

#include <pinion/fanin.h>
#include <pinion/wait.h>

#include "broadcast_support.h"
#include "channel_support.h"

#define POLLS 5000 /* more than the looks after which a busy receiver minds the slots */

static const struct pinion_segment_config one = {64 * BUFFER, BUFFER, 4096, PINION_NODE_ANY};

/* A pool with two slots, both in use. */
static struct pinion_pool_config config_of_two_slots(void)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);

	config.nr_segments = config.max_segments = 2;
	config.segment[1] = config.segment[0];
	return config;
}

/* The keeper wants to use slot 1 again, and cannot before @look. */
static void assert_noticed_by(struct pinion_pool *pool, void (*look)(void *arg), void *arg)
{
	uint32_t slot = 77;

	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_int_equal(pinion_pool_grow(pool, &one, &slot), -ENOSPC);
	look(arg);
	assert_int_equal(pinion_pool_grow(pool, &one, &slot), 0);
	assert_int_equal(slot, 1);
}

static void wait_for_nothing(void *arg)
{
	assert_int_equal(pinion_channel_wait(arg, 0), -ETIMEDOUT);
}

static void wait_for_any(void *arg)
{
	struct pinion_channel *channel = arg;
	uint32_t which = 0;

	assert_int_equal(pinion_channel_wait_any(&channel, 1, 0, &which), -ETIMEDOUT);
}

static void prepare(void *arg)
{
	assert_true(pinion_channel_fd(arg) >= 0);
	assert_int_equal(pinion_channel_prepare(arg), 0);
	assert_int_equal(pinion_channel_done(arg), 0);
}

static void poll_channel(void *arg)
{
	struct pinion_desc desc;

	for (int i = 0; i < POLLS; i++)
		assert_int_equal(pinion_channel_recv(arg, &desc, 1), -EAGAIN);
}

static void who_receives_notices(void **state)
{
	const struct pinion_pool_config config = config_of_two_slots();
	struct pair pair = pair_of(&config, 8);
	void (*const look[])(void *) = {wait_for_nothing, wait_for_any, prepare, poll_channel};

	(void)state;
	for (size_t i = 0; i < sizeof(look) / sizeof(look[0]); i++)
		assert_noticed_by(pair.a.pool, look[i], pair.b.channel);
	pair_close_whole(&pair);
}

/* A slot that went is used again, and its buffers come to who noticed while it waited. */
static void what_comes_in_the_new_segment_is_received(void **state)
{
	const struct pinion_pool_config config = config_of_two_slots();
	struct pair pair = pair_of(&config, 8);
	struct pinion_buffer all[128];
	struct pinion_desc desc = {.len = BUFFER};

	(void)state;
	assert_noticed_by(pair.a.pool, wait_for_nothing, pair.b.channel);
	take(pair.a.cache, all, 128);
	for (int i = 0; i < 128; i++) {
		if (pinion_buffer_id(all[i]) >> pair.a.pool->geometry.segment_shift != 1 ||
		    desc.buffer.bits) {
			give(pair.a.cache, &all[i], 1);
			continue;
		}
		desc.buffer = all[i];
	}
	*(uint32_t *)pinion_buffer_addr(pair.a.pool, desc.buffer) = 4711;
	assert_int_equal(pass(pair.a.pool, pair.b.pool, 1), 0);
	send_one(&pair.a, &desc);
	desc = recv_one(&pair.b);
	assert_int_equal(*(uint32_t *)pinion_buffer_addr(pair.b.pool, desc.buffer), 4711);
	give(pair.b.cache, &desc.buffer, 1);
	pair_close_whole(&pair);
}

static void wait_at_fanin(void *arg)
{
	assert_int_equal(pinion_fanin_wait(arg, 300000000), -ETIMEDOUT);
}

static void poll_fanin(void *arg)
{
	struct pinion_channel *channel;
	struct pinion_desc desc;

	for (int i = 0; i < POLLS; i++)
		assert_int_equal(pinion_fanin_recv(arg, &channel, &desc, 1), -EAGAIN);
}

static void who_receives_by_a_fanin_notices(void **state)
{
	const struct pinion_pool_config config = config_of_two_slots();
	struct pair pair = pair_of(&config, 8);
	struct pinion_fanin *fanin;
	uint32_t lane;

	(void)state;
	assert_int_equal(pinion_fanin_create(&fanin), 0);
	assert_int_equal(pinion_fanin_add(fanin, pair.b.channel, 1, &lane), 0);
	assert_noticed_by(pair.a.pool, wait_at_fanin, fanin);
	assert_noticed_by(pair.a.pool, poll_fanin, fanin);
	assert_int_equal(pinion_fanin_destroy(fanin), 0);
	pair_close_whole(&pair);
}

static void wait_at_seat(void *arg)
{
	assert_int_equal(pinion_broadcast_wait(arg, 0), -ETIMEDOUT);
}

static void prepare_seat(void *arg)
{
	assert_true(pinion_broadcast_fd(arg) >= 0);
	assert_int_equal(pinion_broadcast_prepare(arg), 0);
	assert_int_equal(pinion_broadcast_done(arg), 0);
}

static void poll_seat(void *arg)
{
	struct pinion_desc desc;

	for (int i = 0; i < POLLS; i++)
		assert_int_equal(pinion_broadcast_recv(arg, &desc, 1), -EAGAIN);
}

static void who_receives_a_broadcast_notices(void **state)
{
	void (*const look[])(void *) = {wait_at_seat, prepare_seat, poll_seat};
	const struct pinion_pool_config config = config_of_two_slots();
	struct pair pair = pair_of(&config, 8);
	struct pinion_broadcast *broadcast;
	struct pinion_seat *seat;
	uint32_t number;
	const int ring = broadcast_file(8);
	int fd;

	(void)state;
	assert_int_equal(pinion_broadcast_create_seat(&fd), 0);
	assert_int_equal(pinion_broadcast_open(pair.a.pool, ring, &broadcast), 0);
	assert_int_equal(pinion_broadcast_admit(broadcast, fd, &number), 0);
	assert_int_equal(pinion_broadcast_join(pair.b.pool, ring, fd,
					       pinion_pool_member(pair.a.pool), &seat),
			 0);
	for (size_t i = 0; i < sizeof(look) / sizeof(look[0]); i++)
		assert_noticed_by(pair.a.pool, look[i], seat);
	assert_int_equal(pinion_broadcast_leave(seat), 0);
	assert_int_equal(pinion_broadcast_close(broadcast), 0);
	close(ring);
	close(fd);
	pair_close_whole(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_receives_notices),
		cmocka_unit_test(what_comes_in_the_new_segment_is_received),
		cmocka_unit_test(who_receives_by_a_fanin_notices),
		cmocka_unit_test(who_receives_a_broadcast_notices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
