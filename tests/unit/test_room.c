/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pinion_channel_wait_room(): who finds a ring full sleeps until there is room, on an end that also
 * receives. Two that send to each other come on, if they receive what there is before they wait.
 */

#include <pthread.h>
#include <unistd.h>

#include <pinion/wait.h>

#include "channel_support.h"
#include "interrupt.h"

#define SLOTS 8u
#define MS UINT64_C(1000000)
#define LONG (10000 * MS)

static int wait_room(const struct side *side, uint64_t timeout_ns)
{
	return pinion_channel_wait_room(side->channel, timeout_ns);
}

static void there_is_room_as_long_as_send_says_so(void **state)
{
	struct pair pair = pair_make(512, SLOTS);

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < SLOTS; i++) {
			assert_int_equal(wait_room(&pair.a, 0), 0);
			send_many(&pair.a, 1);
		}
		assert_int_equal(wait_room(&pair.a, 0), -ETIMEDOUT);
		assert_int_equal(wait_room(&pair.b, 0), 0);
		take_and_free(&pair.b, SLOTS);
	}
	pair_close_whole(&pair);
}

static void *take_one_later(void *arg)
{
	usleep(20000);
	take_and_free(arg, 1);
	return NULL;
}

static void it_waits_for_a_slow_receiver_and_no_longer_than_told(void **state)
{
	struct pair pair = pair_make(512, SLOTS);
	uint64_t began = test_now_ns();
	pthread_t thread;

	(void)state;
	send_many(&pair.a, SLOTS);
	assert_int_equal(wait_room(&pair.a, 30 * MS), -ETIMEDOUT);
	assert_true(test_now_ns() - began >= 30 * MS);
	assert_int_equal(pthread_create(&thread, NULL, take_one_later, &pair.b), 0);
	began = test_now_ns();
	assert_int_equal(wait_room(&pair.a, LONG), 0);
	assert_true(test_now_ns() - began < LONG / 2);
	assert_int_equal(pthread_join(thread, NULL), 0);
	send_many(&pair.a, 1);
	take_and_free(&pair.b, SLOTS);
	pair_close_whole(&pair);
}

static void *close_or_die_later(void *arg)
{
	struct pair *pair = arg;

	usleep(20000);
	if (pair->b.channel)
		close_side(&pair->b);
	else
		pinion_channel_sever(pair->a.channel);
	return NULL;
}

static void who_closes_or_dies_meanwhile_is_epipe(void **state)
{
	(void)state;
	for (int dies = 0; dies < 2; dies++) {
		struct pair pair = pair_make(512, SLOTS);
		struct pinion_channel *left = pair.b.channel;
		pthread_t thread;

		send_many(&pair.a, SLOTS);
		if (dies)
			pair.b.channel = NULL;
		assert_int_equal(pthread_create(&thread, NULL, close_or_die_later, &pair), 0);
		assert_int_equal(wait_room(&pair.a, LONG), -EPIPE);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(wait_room(&pair.a, 0), -EPIPE);
		assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), SLOTS);
		close_side(&pair.a);
		if (dies)
			assert_int_equal(pinion_channel_close(left), 0);
		pair_close_whole(&pair);
	}
}

static void credit_that_cannot_be_is_eproto_and_ends_the_channel(void **state)
{
	struct pair pair = pair_make(512, SLOTS);
	const uint64_t lies = pinion_channel_lies();

	(void)state;
	send_many(&pair.a, SLOTS);
	pair.ab.shared->credit += SLOTS + 1;
	assert_int_equal(wait_room(&pair.a, LONG), -EPROTO);
	assert_int_equal(pinion_channel_lies(), lies + 1);
	assert_int_equal(wait_room(&pair.a, LONG), -EPROTO);
	assert_true(pair.ab.shared->producer_closed != 0);
	take_and_free(&pair.b, SLOTS);
	close_side(&pair.b);
	close_side(&pair.a);
	pair_close_whole(&pair);
}

static void who_was_rejected_is_eproto(void **state)
{
	struct pair pair = pair_make(512, SLOTS);

	(void)state;
	pinion_channel_reject(pair.a.channel);
	assert_int_equal(wait_room(&pair.a, LONG), -EPROTO);
	assert_int_equal(wait_room(&pair.b, LONG), -EPIPE);
	close_side(&pair.b);
	close_side(&pair.a);
	pair_close_whole(&pair);
}

static void who_may_only_receive_has_no_room_to_wait_for(void **state)
{
	struct pair pair = pair_make(512, SLOTS);
	const int ring = ring_file(SLOTS);
	struct pinion_channel *receiver;

	(void)state;
	assert_int_equal(pinion_channel_open(pair.a.pool, -1, ring, 1, &receiver), 0);
	close(ring);
	errno = 4711;
	assert_int_equal(pinion_channel_wait_room(receiver, LONG), -EACCES);
	assert_int_equal(errno, 4711);
	assert_int_equal(pinion_channel_close(receiver), 0);
	pair_close_whole(&pair);
}

static void a_signal_ends_it(void **state)
{
	struct pair pair = pair_make(512, SLOTS);

	(void)state;
	send_many(&pair.a, SLOTS);
	(void)interrupt_expect(pinion_channel_wait_room, pair.a.channel);
	take_and_free(&pair.b, SLOTS);
	pair_close_whole(&pair);
}

/* --- both at once */

static void *receive_asleep(void *arg)
{
	struct side *side = arg;

	pinion_channel_set_spin(side->channel, 0);
	assert_int_equal(pinion_channel_wait(side->channel, LONG), 0);
	take_and_free(side, 1);
	return NULL;
}

/* It takes no wake from who sleeps for what comes: they sleep at different things. */
static void who_waits_for_what_comes_is_woken_beside_it(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct pair pair = pair_make(512, SLOTS);
		const uint64_t began = test_now_ns();
		pthread_t thread;

		send_many(&pair.a, SLOTS);
		assert_int_equal(pthread_create(&thread, NULL, receive_asleep, &pair.a), 0);
		assert_int_equal(wait_room(&pair.a, 2 * MS), -ETIMEDOUT);
		send_many(&pair.b, 1);
		assert_int_equal(wait_room(&pair.a, MS), -ETIMEDOUT);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(test_now_ns() - began < LONG / 2);
		take_and_free(&pair.b, SLOTS);
		pair_close_whole(&pair);
	}
}

static void two_that_only_wait_for_room_wait_for_each_other(void **state)
{
	struct pair pair = pair_make(512, SLOTS);

	(void)state;
	send_many(&pair.a, SLOTS);
	send_many(&pair.b, SLOTS);
	assert_int_equal(wait_room(&pair.a, 3 * MS), -ETIMEDOUT);
	assert_int_equal(wait_room(&pair.b, 3 * MS), -ETIMEDOUT);
	take_and_free(&pair.a, SLOTS);
	assert_int_equal(wait_room(&pair.b, LONG), 0);
	take_and_free(&pair.b, SLOTS);
	assert_int_equal(wait_room(&pair.a, LONG), 0);
	pair_close_whole(&pair);
}

#define EACH 20000u

/* What there is; how much. */
static uint32_t receive_some(struct side *side)
{
	struct pinion_desc in[SLOTS];
	const int got = pinion_channel_recv(side->channel, in, SLOTS);

	assert_true(got > 0 || got == -EAGAIN);
	for (int i = 0; i < got; i++)
		give(side->cache, &in[i].buffer, 1);
	return got > 0 ? (uint32_t)got : 0;
}

/* As the header says: each sends as fast as it can, in one thread, and receives before it waits. */
static void *send_and_receive(void *arg)
{
	struct side *side = arg;
	uint32_t received = 0;

	for (uint32_t i = 0; i < EACH; i++) {
		const struct pinion_desc desc = desc_new(side, 1, i);
		int sent;

		while ((sent = pinion_channel_send(side->channel, &desc, 1)) == -EAGAIN) {
			const uint32_t got = receive_some(side);
			const int err = got ? 0 : wait_room(side, MS);

			received += got;
			assert_true(err == 0 || err == -ETIMEDOUT);
		}
		assert_int_equal(sent, 1);
	}
	while (received < EACH) {
		assert_int_equal(pinion_channel_wait(side->channel, LONG), 0);
		received += receive_some(side);
	}
	return NULL;
}

static void two_that_send_to_each_other_and_receive_first_come_on(void **state)
{
	struct pair pair = pair_make(512, SLOTS);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, send_and_receive, &pair.b), 0);
	(void)send_and_receive(&pair.a);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pair_close_whole(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(there_is_room_as_long_as_send_says_so),
		pool_test(it_waits_for_a_slow_receiver_and_no_longer_than_told),
		pool_test(who_closes_or_dies_meanwhile_is_epipe),
		pool_test(credit_that_cannot_be_is_eproto_and_ends_the_channel),
		pool_test(who_was_rejected_is_eproto),
		pool_test(who_may_only_receive_has_no_room_to_wait_for),
		pool_test(a_signal_ends_it),
		pool_test(who_waits_for_what_comes_is_woken_beside_it),
		pool_test(two_that_only_wait_for_room_wait_for_each_other),
		pool_test(two_that_send_to_each_other_and_receive_first_come_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
