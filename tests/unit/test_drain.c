/* SPDX-License-Identifier: BSD-3-Clause */
/* pinion_channel_drain(): nothing that was sent is lost by who ends a channel, whoever dies. */

#include <pthread.h>
#include <unistd.h>

#include "channel_support.h"
#include "interrupt.h"

#define SLOTS 8u
#define MS UINT64_C(1000000)
#define LONG (10000 * MS)

static void it_is_drained_when_the_last_was_taken_and_not_before(void **state)
{
	struct pair pair = pair_make(512, SLOTS);
	uint64_t random = test_seed();
	uint32_t there = 0;

	(void)state;
	assert_int_equal(pinion_channel_drain(pair.a.channel, 0), 0);
	for (int i = 0; i < 3000; i++) {
		const uint32_t sent = test_below(&random, SLOTS - there + 1);
		const uint32_t got = test_below(&random, there + sent + 1);

		send_many(&pair.a, sent);
		take_and_free(&pair.b, got);
		there += sent - got;
		assert_int_equal(pinion_channel_drain(pair.a.channel, 0), there ? -ETIMEDOUT : 0);
	}
	take_and_free(&pair.b, there);
	pair_close_whole(&pair);
}

/* The ring's own credit comes a sixteenth of it at a time. */
static void a_buffer_of_ones_own_again_is_not_mistaken_for_one_not_taken(void **state)
{
	struct pair pair = pair_make(512, 64);
	struct pinion_desc desc;

	(void)state;
	send_many(&pair.a, 1);
	desc = recv_one(&pair.b);
	assert_int_equal(pinion_channel_drain(pair.b.channel, 0), 0);
	send_one(&pair.b, &desc);
	assert_int_equal(pinion_channel_drain(pair.b.channel, 0), -ETIMEDOUT);
	assert_int_equal(pinion_channel_drain(pair.a.channel, 0), 0);
	take_and_free(&pair.a, 1);
	assert_int_equal(pinion_channel_drain(pair.b.channel, 0), 0);
	pair_close_whole(&pair);
}

static void *take_slowly(void *arg)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		usleep(3000);
		take_and_free(arg, 1);
	}
	return NULL;
}

static void it_waits_for_a_slow_receiver_and_no_longer_than_told(void **state)
{
	struct pair pair = pair_make(512, SLOTS);
	const uint64_t began = test_now_ns();
	pthread_t thread;

	(void)state;
	send_many(&pair.a, SLOTS);
	assert_int_equal(pinion_channel_drain(pair.a.channel, 30 * MS), -ETIMEDOUT);
	assert_true(test_now_ns() - began >= 30 * MS);
	assert_int_equal(pthread_create(&thread, NULL, take_slowly, &pair.b), 0);
	assert_int_equal(pinion_channel_drain(pair.a.channel, LONG), 0);
	assert_true(test_now_ns() - began < LONG);
	close_side(&pair.a);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pair_close_whole(&pair);
}

static void *drain(void *arg)
{
	struct side *side = arg;

	assert_int_equal(pinion_channel_drain(side->channel, LONG), -EPIPE);
	return NULL;
}

static void who_dies_or_closes_meanwhile_is_told_and_the_rest_comes_back(void **state)
{
	(void)state;
	for (int dies = 0; dies < 2; dies++) {
		struct pair pair = pair_make(512, SLOTS);
		pthread_t thread;

		send_many(&pair.a, 5);
		take_and_free(&pair.b, 2);
		assert_int_equal(pthread_create(&thread, NULL, drain, &pair.a), 0);
		usleep(20000);
		if (dies)
			pinion_channel_sever(pair.a.channel);
		else
			close_side(&pair.b);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 3);
		assert_int_equal(pinion_channel_drain(pair.a.channel, 0), 0);
		close_side(&pair.a);
		pair_close_whole(&pair);
	}
}

static void who_took_all_and_went_has_taken_it(void **state)
{
	struct pair pair = pair_make(512, SLOTS);

	(void)state;
	send_many(&pair.a, SLOTS);
	take_and_free(&pair.b, SLOTS);
	close_side(&pair.b);
	assert_int_equal(pinion_channel_drain(pair.a.channel, LONG), 0);
	pair_close_whole(&pair);
}

static void both_ends_drain_while_they_receive(void **state)
{
	struct pair pair = pair_make(512, SLOTS);

	(void)state;
	send_many(&pair.a, SLOTS);
	send_many(&pair.b, SLOTS);
	assert_int_equal(pinion_channel_drain(pair.a.channel, MS), -ETIMEDOUT);
	assert_int_equal(pinion_channel_drain(pair.b.channel, MS), -ETIMEDOUT);
	take_and_free(&pair.a, SLOTS);
	assert_int_equal(pinion_channel_drain(pair.b.channel, LONG), 0);
	take_and_free(&pair.b, SLOTS);
	assert_int_equal(pinion_channel_drain(pair.a.channel, LONG), 0);
	pair_close_whole(&pair);
}

static void who_may_only_receive_has_nothing_to_drain(void **state)
{
	struct pair pair = pair_make(512, SLOTS);
	const int ring = ring_file(SLOTS);
	struct pinion_channel *receiver;

	(void)state;
	assert_int_equal(pinion_channel_open(pair.a.pool, -1, ring, 1, &receiver), 0);
	close(ring);
	errno = 4711;
	assert_int_equal(pinion_channel_drain(receiver, LONG), -EACCES);
	assert_int_equal(errno, 4711);
	assert_int_equal(pinion_channel_close(receiver), 0);
	pair_close_whole(&pair);
}

static void a_signal_ends_it(void **state)
{
	struct pair pair = pair_make(512, SLOTS);

	(void)state;
	send_many(&pair.a, 1);
	(void)interrupt_expect(pinion_channel_drain, pair.a.channel);
	take_and_free(&pair.b, 1);
	pair_close_whole(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(it_is_drained_when_the_last_was_taken_and_not_before),
		pool_test(a_buffer_of_ones_own_again_is_not_mistaken_for_one_not_taken),
		pool_test(it_waits_for_a_slow_receiver_and_no_longer_than_told),
		pool_test(who_dies_or_closes_meanwhile_is_told_and_the_rest_comes_back),
		pool_test(who_took_all_and_went_has_taken_it),
		pool_test(both_ends_drain_while_they_receive),
		pool_test(who_may_only_receive_has_nothing_to_drain),
		pool_test(a_signal_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
