/* SPDX-License-Identifier: BSD-3-Clause */
/* channel.h where an end may only send, or only receive: a channel of one ring, from a to b. */

#include <poll.h>
#include <pthread.h>

#include <pinion/fanin.h>
#include <pinion/request.h>
#include <pinion/wait.h>

#include "channel_support.h"

#define MS UINT64_C(1000000)

static void open_one_way(struct pair *pair, uint32_t slots)
{
	const int ab = ring_file(slots);

	assert_int_equal(ring_map(ab, &pair->ab), 0);
	assert_int_equal(pinion_channel_open(pair->a.pool, ab, -1,
					     pinion_pool_member(pair->b.pool), &pair->a.channel),
			 0);
	assert_int_equal(pinion_channel_open(pair->b.pool, -1, ab,
					     pinion_pool_member(pair->a.pool), &pair->b.channel),
			 0);
	close(ab);
}

static struct pair one_way(uint32_t slots)
{
	struct pair pair = pair_make(512, slots);

	assert_int_equal(pinion_channel_close(pair.a.channel), 0);
	assert_int_equal(pinion_channel_close(pair.b.channel), 0);
	ring_unmap(&pair.ab);
	open_one_way(&pair, slots);
	return pair;
}

static void empty(struct side *side, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		const struct pinion_desc desc = recv_one(side);

		assert_int_equal(desc.tag, i);
		give(side->cache, &desc.buffer, 1);
	}
}

static void an_end_may_do_what_it_has_a_ring_for(void **state)
{
	struct pair pair = one_way(8), both = pair_make(512, 8);

	(void)state;
	assert_int_equal(pinion_channel_rights(pair.a.channel), PINION_RIGHT_SEND);
	assert_int_equal(pinion_channel_rights(pair.b.channel), PINION_RIGHT_RECV);
	assert_int_equal(pinion_channel_rights(both.a.channel), PINION_RIGHT_BOTH);
	assert_int_equal(pinion_channel_slots(pair.a.channel), 8);
	assert_int_equal(pinion_channel_slots(pair.b.channel), 8);
	pair_close_whole(&pair);
	pair_close_whole(&both);
}

static void a_channel_without_any_ring_is_einval(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_channel *channel = NULL;

	(void)state;
	assert_int_equal(pinion_channel_open(pool, -1, -1, 1, &channel), -EINVAL);
	assert_sentence("ring");
	assert_null(channel);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void one_way_goes_all_that_goes_both_ways(void **state)
{
	struct pair pair = one_way(8);

	(void)state;
	for (int round = 0; round < 1000; round++) {
		send_many(&pair.a, 8);
		assert_int_equal(pinion_channel_wait(pair.b.channel, 0), 0);
		empty(&pair.b, 8);
	}
	pair_close_whole(&pair);
}

static void who_may_only_send_cannot_receive(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_channel *sender = pair.a.channel;
	struct pinion_channel *const both[] = {pair.b.channel, sender};
	struct pinion_requester *requester = NULL;
	struct pinion_buffer published[8];
	struct pinion_fanin *fanin;
	struct pinion_desc desc;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(pinion_fanin_create(&fanin), 0);
	errno = 4711;
	assert_int_equal(pinion_channel_recv(sender, &desc, 1), -EACCES);
	assert_int_equal(pinion_channel_wait_any(both, 2, 0, &n), -EACCES);
	assert_int_equal(pinion_channel_fd(sender), -EACCES);
	assert_int_equal(pinion_channel_notify_fd(sender), -EACCES);
	assert_int_equal(pinion_channel_prepare(sender), -EACCES);
	assert_int_equal(pinion_channel_done(sender), -EACCES);
	assert_int_equal(pinion_fanin_add(fanin, sender, 1, &n), -EACCES);
	assert_int_equal(pinion_requester_open(sender, 0, 4, &requester), -EACCES);
	assert_int_equal(pinion_request_depth(sender), 0);
	assert_int_equal(pinion_channel_published(sender, published), 0);
	assert_int_equal(errno, 4711);
	assert_null(requester);
	pinion_channel_set_spin(sender, 0);
	send_many(&pair.a, 8);
	empty(&pair.b, 8);
	assert_int_equal(pinion_fanin_destroy(fanin), 0);
	pair_close_whole(&pair);
}

static void who_may_only_receive_cannot_send(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_channel *receiver = pair.b.channel;
	struct pinion_requester *requester = NULL;
	const struct pinion_desc desc = desc_new(&pair.b, 0, 0);
	struct pinion_fanin *fanin;
	int notify = pinion_channel_notify_fd(receiver);

	(void)state;
	assert_int_equal(pinion_fanin_create(&fanin), 0);
	errno = 4711;
	assert_int_equal(pinion_channel_send(receiver, &desc, 1), -EACCES);
	assert_int_equal(pinion_channel_set_notify(receiver, notify), -EACCES);
	assert_int_equal(pinion_channel_join(receiver, pinion_fanin_fd(fanin), 0), -EACCES);
	assert_int_equal(pinion_requester_open(receiver, 4, 0, &requester), -EACCES);
	assert_int_equal(pinion_request_depth(receiver), 0);
	assert_int_equal(pinion_channel_reclaim(receiver, pair.b.cache), 0);
	assert_int_equal(errno, 4711);
	assert_null(requester);
	give(pair.b.cache, &desc.buffer, 1);
	assert_int_equal(pinion_fanin_destroy(fanin), 0);
	pair_close_whole(&pair);
}

static void a_receiver_hears_that_its_sender_closed(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_desc desc;

	(void)state;
	send_many(&pair.a, 3);
	assert_int_equal(pinion_channel_close(pair.a.channel), 0);
	pair.a.channel = NULL;
	empty(&pair.b, 3);
	assert_int_equal(pinion_channel_wait(pair.b.channel, 0), 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
	pair_close_whole(&pair);
}

static void a_sender_hears_that_its_receiver_closed_and_has_back_what_was_not_taken(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_desc desc;

	(void)state;
	send_many(&pair.a, 5);
	empty(&pair.b, 2);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), -EBUSY);
	assert_int_equal(pinion_channel_close(pair.b.channel), 0);
	pair.b.channel = NULL;
	desc = desc_new(&pair.a, 0, 0);
	assert_int_equal(pinion_channel_wait(pair.a.channel, 0), 0);
	assert_int_equal(pinion_channel_send(pair.a.channel, &desc, 1), -EPIPE);
	give(pair.a.cache, &desc.buffer, 1);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 3);
	pair_close_whole(&pair);
}

static void either_end_hears_that_the_other_was_severed(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_desc desc = desc_new(&pair.a, 0, 0);

	(void)state;
	pinion_channel_sever(pair.a.channel);
	pinion_channel_sever(pair.b.channel);
	assert_int_equal(pinion_channel_wait(pair.a.channel, 0), 0);
	assert_int_equal(pinion_channel_send(pair.a.channel, &desc, 1), -EPIPE);
	give(pair.a.cache, &desc.buffer, 1);
	assert_int_equal(pinion_channel_wait(pair.b.channel, 0), 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
	pair_close_whole(&pair);
}

/* What the other end does after a while. */
static void *receive_all(void *arg)
{
	usleep(20000);
	empty(arg, 8);
	return NULL;
}

static void *close_end(void *arg)
{
	struct side *side = arg;

	usleep(20000);
	assert_int_equal(pinion_channel_close(side->channel), 0);
	side->channel = NULL;
	return NULL;
}

static void wait_for(struct pinion_channel *channel, void *(*does)(void *), struct side *other)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, does, other), 0);
	assert_int_equal(pinion_channel_wait(channel, 10000 * MS), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_sender_waits_for_room_or_for_the_end_and_no_longer_than_told(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_desc desc = {.len = 0};
	uint64_t began;

	(void)state;
	assert_int_equal(pinion_channel_wait(pair.a.channel, 0), 0);
	send_many(&pair.a, 8);
	began = test_now_ns();
	assert_int_equal(pinion_channel_wait(pair.a.channel, 30 * MS), -ETIMEDOUT);
	assert_true(test_now_ns() - began >= 30 * MS);
	wait_for(pair.a.channel, receive_all, &pair.b);
	send_many(&pair.a, 8);
	wait_for(pair.a.channel, close_end, &pair.b);
	assert_int_equal(pinion_channel_send(pair.a.channel, &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 8);
	pair_close_whole(&pair);
}

static void a_sleeping_receiver_is_woken_by_the_end_of_its_sender(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_desc desc;

	(void)state;
	wait_for(pair.b.channel, close_end, &pair.a);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
	pair_close_whole(&pair);
}

static void a_loop_hears_of_what_comes_one_way(void **state)
{
	struct pair pair = one_way(8);
	struct pollfd want = {.events = POLLIN};

	(void)state;
	assert_true(pinion_channel_fd(pair.b.channel) >= 0);
	assert_int_equal(pinion_channel_set_notify(pair.a.channel,
						   pinion_channel_notify_fd(pair.b.channel)),
			 0);
	assert_int_equal(pinion_channel_prepare(pair.b.channel), 0);
	send_many(&pair.a, 1);
	want.fd = pinion_channel_fd(pair.b.channel);
	assert_int_equal(poll(&want, 1, 0), 1);
	assert_int_equal(pinion_channel_done(pair.b.channel), 0);
	empty(&pair.b, 1);
	pair_close_whole(&pair);
}

static void a_fan_in_takes_channels_of_one_ring(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_channel *channel;
	struct pinion_fanin *fanin;
	struct pinion_desc desc;
	uint32_t lane;

	(void)state;
	assert_int_equal(pinion_fanin_create(&fanin), 0);
	assert_int_equal(pinion_fanin_add(fanin, pair.b.channel, 1, &lane), 0);
	assert_int_equal(pinion_channel_join(pair.a.channel, pinion_fanin_fd(fanin), lane), 0);
	assert_int_equal(pinion_fanin_wait(fanin, MS), -ETIMEDOUT);
	send_many(&pair.a, 1);
	assert_int_equal(pinion_fanin_wait(fanin, 1000 * MS), 0);
	assert_int_equal(pinion_fanin_recv(fanin, &channel, &desc, 1), 1);
	assert_ptr_equal(channel, pair.b.channel);
	give(pair.b.cache, &desc.buffer, 1);
	assert_int_equal(pinion_channel_close(pair.a.channel), 0);
	pair.a.channel = NULL;
	assert_int_equal(pinion_fanin_wait(fanin, 1000 * MS), 0);
	assert_int_equal(pinion_fanin_recv(fanin, &channel, &desc, 1), -EPIPE);
	assert_int_equal(pinion_fanin_destroy(fanin), 0);
	pair_close_whole(&pair);
}

static void a_receiver_that_lies_about_credit_ends_its_channel_alone(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_desc desc = desc_new(&pair.a, 0, 0);
	const uint64_t before = pinion_channel_lies();

	(void)state;
	send_many(&pair.a, 8);
	atomic_fetch_add(&pair.ab.shared->credit, 9);
	assert_int_equal(pinion_channel_wait(pair.a.channel, 0), 0);
	assert_int_equal(pinion_channel_send(pair.a.channel, &desc, 1), -EPROTO);
	assert_int_equal(pinion_channel_lies(), before + 1);
	give(pair.a.cache, &desc.buffer, 1);
	empty(&pair.b, 8);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
	pair_close_whole(&pair);
}

static void a_sender_that_lies_ends_its_channel_alone(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_desc desc = {.buffer = pinion_buffer_make(PINION_ID_MAX, 1)};

	(void)state;
	assert_int_equal(ring_publish(&pair.ab, &desc, 1), 1);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPROTO);
	assert_int_equal(pinion_channel_wait(pair.a.channel, 0), 0);
	assert_int_equal(pinion_channel_send(pair.a.channel, &desc, 1), -EPIPE);
	pair_close_whole(&pair);
}

static void either_end_can_reject_the_other(void **state)
{
	struct pair pair = one_way(8);
	struct pinion_desc desc;

	(void)state;
	pinion_channel_reject(pair.a.channel);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_send(pair.a.channel, &desc, 1), -EPROTO);
	pair_close_whole(&pair);
	pair = one_way(8);
	pinion_channel_reject(pair.b.channel);
	assert_int_equal(pinion_channel_send(pair.a.channel, &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPROTO);
	pair_close_whole(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(an_end_may_do_what_it_has_a_ring_for),
		pool_test(a_channel_without_any_ring_is_einval),
		pool_test(one_way_goes_all_that_goes_both_ways),
		pool_test(who_may_only_send_cannot_receive),
		pool_test(who_may_only_receive_cannot_send),
		pool_test(a_receiver_hears_that_its_sender_closed),
		pool_test(a_sender_hears_that_its_receiver_closed_and_has_back_what_was_not_taken),
		pool_test(either_end_hears_that_the_other_was_severed),
		pool_test(a_sender_waits_for_room_or_for_the_end_and_no_longer_than_told),
		pool_test(a_sleeping_receiver_is_woken_by_the_end_of_its_sender),
		pool_test(a_loop_hears_of_what_comes_one_way),
		pool_test(a_fan_in_takes_channels_of_one_ring),
		pool_test(a_receiver_that_lies_about_credit_ends_its_channel_alone),
		pool_test(a_sender_that_lies_ends_its_channel_alone),
		pool_test(either_end_can_reject_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
