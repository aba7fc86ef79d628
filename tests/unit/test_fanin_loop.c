/* SPDX-License-Identifier: BSD-3-Clause */
/* fanin.h in a loop of the receiver's own: its descriptor, and what makes it readable. */

#include <pinion/wait.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "fanin_inside.h"
#include "fanin_support.h"
#include "send_file.h"

static bool is_readable(int fd, int ms)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};
	const int nr = poll(&look, 1, ms);

	assert_in_range(nr, 0, 1);
	return nr == 1;
}

/* All producers know where to notify, and every lane is cold. */
static struct crowd *loop_make(uint32_t nr)
{
	struct crowd *crowd = crowd_make(nr, 8);
	const int notify = pinion_fanin_notify_fd(crowd->fanin);

	assert_true(notify >= 0);
	for (uint32_t i = 0; i < nr; i++)
		assert_int_equal(pinion_channel_set_notify(crowd->pair[i].tx, notify), 0);
	return crowd;
}

/* Nothing is there, and the loop sleeps; with bits of that many lanes it comes back for each 64,
 * and now and then because we were held up until the timer was over. */
static void doze(struct crowd *crowd)
{
	uint32_t times = 0;

	do {
		assert_in_range(times++, 0, crowd->nr / 64 + 10);
		crowd->fanin->patrolled_ns = 0;
		assert_int_equal(pinion_fanin_prepare(crowd->fanin), 0);
	} while (is_readable(pinion_fanin_loop_fd(crowd->fanin), 0));
}

static void a_message_makes_the_loops_descriptor_readable(void **state)
{
	struct crowd *crowd = loop_make(100);
	uint64_t random = test_seed();

	(void)state;
	for (uint32_t round = 0; round < 200; round++) {
		const uint32_t who = test_below(&random, 100);

		doze(crowd);
		say(crowd, who, round);
		/* By the socket: the timer is not what tells it. */
		assert_true(is_readable(crowd->fanin->loop.socket, 0));
		assert_true(is_readable(pinion_fanin_loop_fd(crowd->fanin), 0));
		assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
		assert_false(is_readable(crowd->fanin->loop.socket, 0));
		hear_one(crowd, who, round, 1);
	}
	crowd_unmake(crowd);
}

static void who_sleeps_is_called_once_and_who_does_not_never(void **state)
{
	struct crowd *crowd = loop_make(10);
	char byte[2];

	(void)state;
	doze(crowd);
	for (uint32_t i = 0; i < 10; i++)
		say(crowd, i, i);
	assert_int_equal(recv(crowd->fanin->loop.socket, byte, 2, MSG_DONTWAIT), 1);
	assert_int_equal(recv(crowd->fanin->loop.socket, byte, 2, MSG_DONTWAIT), -1);
	assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	for (uint32_t i = 0; i < 10; i++)
		hear_one(crowd, i, i, 10);
	/* Awake: lanes at rest tell the ready set, and nobody the loop. */
	crowd_rest(crowd);
	say(crowd, 3, 1);
	assert_true(ready_any(crowd->ready));
	assert_int_equal(recv(crowd->fanin->loop.socket, byte, 2, MSG_DONTWAIT), -1);
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
	hear_one(crowd, 3, 1, 1);
	crowd_unmake(crowd);
}

static void a_loop_that_has_something_may_not_sleep(void **state)
{
	struct crowd *crowd = loop_make(3);

	(void)state;
	say(crowd, 2, 1);
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
	hear_one(crowd, 2, 1, 3);
	doze(crowd);
	say(crowd, 2, 2);
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
	hear_one(crowd, 2, 2, 1);
	crowd_unmake(crowd);
}

/* In the place of the library's, for what somebody does who looked at the bell of the set a moment
 * too early. */
void __real_bell_arm(struct bell *bell, struct bell_ear *ear, uint32_t state);
void __wrap_bell_arm(struct bell *bell, struct bell_ear *ear, uint32_t state);

static struct crowd *early;
static void (*before_arming)(struct crowd *crowd);

void __wrap_bell_arm(struct bell *bell, struct bell_ear *ear, uint32_t state)
{
	struct crowd *crowd = early;

	early = NULL;
	if (crowd)
		before_arming(crowd);
	__real_bell_arm(bell, ear, state);
}

static void say_something(struct crowd *crowd)
{
	say(crowd, 0, 8);
}

static void what_comes_just_before_the_loop_sleeps_is_found(void **state)
{
	struct crowd *crowd = loop_make(3);

	(void)state;
	doze(crowd);
	assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	before_arming = say_something;
	early = crowd;
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
	assert_null(early);
	assert_int_equal(atomic_load(&crowd->ready->bell.state), BELL_QUIET);
	hear_one(crowd, 0, 8, 1);
	crowd_unmake(crowd);
}

static void the_loop_finds_what_a_liar_hid(void **state)
{
	struct crowd *crowd = loop_make(100);
	const int fd = pinion_fanin_loop_fd(crowd->fanin);

	(void)state;
	for (uint32_t round = 0; round < 3; round++) {
		const uint64_t before = test_now_ns();

		doze(crowd);
		atomic_store(&crowd->ready->bell.state, BELL_QUIET);
		say(crowd, 77, round);
		hide(crowd->ready);
		assert_true(is_readable(fd, 5000));
		assert_in_range(test_now_ns() - before, SECOND_NS / 20, 5 * SECOND_NS);
		assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
		assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
		hear_one(crowd, 77, round, 1);
	}
	crowd_unmake(crowd);
}

/* The loop has others to serve: it is told to sleep, and woken at once. */
static void tell_a_lie(struct crowd *crowd)
{
	ready_post(&(struct bell_hand){.ready = crowd->ready, .lane = 1, .socket = -1});
}

static void a_bit_for_nothing_does_not_hold_up_the_loop(void **state)
{
	struct crowd *crowd = loop_make(3);
	const int fd = pinion_fanin_loop_fd(crowd->fanin);

	(void)state;
	for (uint32_t round = 0; round < 10; round++) {
		doze(crowd);
		before_arming = tell_a_lie;
		early = crowd;
		assert_int_equal(pinion_fanin_prepare(crowd->fanin), 0);
		assert_null(early);
		assert_true(is_readable(fd, 0));
		assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	}
	doze(crowd);
	crowd_unmake(crowd);
}

/* Level triggered it would be readable still; a loop that is told of edges alone needs one more. */
static void each_bit_for_nothing_is_an_edge_of_its_own(void **state)
{
	struct crowd *crowd = loop_make(3);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	const int loop = epoll_create1(EPOLL_CLOEXEC);

	(void)state;
	assert_true(loop >= 0);
	doze(crowd);
	assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, pinion_fanin_loop_fd(crowd->fanin), &event),
			 0);
	for (uint32_t round = 0; round < 10; round++) {
		before_arming = tell_a_lie;
		early = crowd;
		assert_int_equal(pinion_fanin_prepare(crowd->fanin), 0);
		assert_null(early);
		assert_int_equal(epoll_wait(loop, &event, 1, 1000), 1);
		assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	}
	assert_int_equal(close(loop), 0);
	crowd_unmake(crowd);
}

static void a_death_makes_the_loops_descriptor_readable_by_the_timer(void **state)
{
	struct crowd *crowd = loop_make(3);
	const int fd = pinion_fanin_loop_fd(crowd->fanin);

	(void)state;
	doze(crowd);
	pinion_channel_sever(crowd->pair[1].rx);
	assert_true(is_readable(fd, 5000));
	assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
	assert_int_equal(hear(crowd, 1, 3).got, -EPIPE);
	crowd_unmake(crowd);
}

static void a_producer_told_late_where_to_notify_calls_then(void **state)
{
	struct crowd *crowd = crowd_make(2, 8);
	const int fd = pinion_fanin_loop_fd(crowd->fanin);

	(void)state;
	doze(crowd);
	say(crowd, 1, 1);
	/* It knows of no socket, and leaves the bell to who does. */
	assert_false(is_readable(crowd->fanin->loop.socket, 0));
	assert_int_equal(pinion_channel_set_notify(crowd->pair[1].tx,
						   pinion_fanin_notify_fd(crowd->fanin)),
			 0);
	assert_true(is_readable(crowd->fanin->loop.socket, 0));
	assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	hear_one(crowd, 1, 1, 1);
	/* The other never is: the timer has it found. */
	doze(crowd);
	say(crowd, 0, 2);
	assert_true(is_readable(fd, 5000));
	assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
	hear_one(crowd, 0, 2, 1);
	crowd_unmake(crowd);
}

/* As on a kernel before 6.16, which lets them in. */
static void files_let_in_leave_the_loop_its_timer(void **state)
{
	struct crowd *crowd = loop_make(3);
	const int fd = pinion_fanin_loop_fd(crowd->fanin), on = 1;

	(void)state;
	(void)setsockopt(crowd->fanin->loop.socket, SOL_SOCKET, 83, &on, sizeof(on));
	crowd->fanin->loop.clean = false;
	assert_int_equal(send_file(pinion_fanin_notify_fd(crowd->fanin), 0), 1);
	for (uint32_t round = 0; round < 3; round++) {
		assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
		doze(crowd);
		say(crowd, 1, round);
		assert_true(is_readable(fd, 5000));
		assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
		hear_one(crowd, 1, round, 1);
	}
	crowd_unmake(crowd);
}

static void what_a_loop_calls_without_a_descriptor_is_einval(void **state)
{
	struct crowd *crowd = crowd_make(1, 8);

	(void)state;
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), -EINVAL);
	assert_int_equal(pinion_fanin_done(crowd->fanin), -EINVAL);
	assert_true(pinion_fanin_loop_fd(crowd->fanin) >= 0);
	assert_int_equal(pinion_fanin_loop_fd(crowd->fanin), pinion_fanin_loop_fd(crowd->fanin));
	assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 0);
	assert_int_equal(pinion_fanin_wait(crowd->fanin, 1000), -ETIMEDOUT);
	crowd_unmake(crowd);
}

/* No wake-up is lost: the receiver looks at the socket alone, where no timer helps. */
#define LOOP_MESSAGES 20000u

static void *send_and_rest(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t random = 4711;

	for (uint32_t i = 0; i < LOOP_MESSAGES; i++) {
		const uint32_t who = test_below(&random, crowd->nr);
		const struct timespec rest = {0, test_below(&random, 20000)};
		struct pinion_desc desc = {.len = 1, .tag = i};

		if (pinion_buffer_alloc(crowd->from.cache, &desc.buffer))
			return arg;
		while (pinion_channel_send(crowd->pair[who].tx, &desc, 1) != 1)
			sched_yield();
		if (test_below(&random, 4) == 0)
			nanosleep(&rest, NULL);
	}
	return NULL;
}

/* What there is; how many. */
static uint32_t hear_all(struct crowd *crowd)
{
	uint32_t nr = 0;
	struct heard heard;

	while ((heard = hear(crowd, 16, 1)).got > 0)
		nr += (uint32_t)heard.got;
	assert_int_equal(heard.got, -EAGAIN);
	return nr;
}

static void no_wake_up_of_the_loop_is_lost(void **state)
{
	struct crowd *crowd = loop_make(5);
	uint32_t got = 0;
	pthread_t thread;
	void *failed;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, send_and_rest, crowd), 0);
	while (got < LOOP_MESSAGES) {
		got += hear_all(crowd);
		crowd->fanin->patrolled_ns = test_now_ns(); /* nor does the patrol */
		if (got == LOOP_MESSAGES || pinion_fanin_prepare(crowd->fanin) == 1 ||
		    crowd->fanin->timer_ns == 1)
			continue;
		assert_true(is_readable(crowd->fanin->loop.socket, 20000));
		assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	}
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	crowd_unmake(crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_message_makes_the_loops_descriptor_readable),
		pool_test(who_sleeps_is_called_once_and_who_does_not_never),
		pool_test(a_loop_that_has_something_may_not_sleep),
		pool_test(what_comes_just_before_the_loop_sleeps_is_found),
		pool_test(the_loop_finds_what_a_liar_hid),
		pool_test(a_bit_for_nothing_does_not_hold_up_the_loop),
		pool_test(each_bit_for_nothing_is_an_edge_of_its_own),
		pool_test(a_death_makes_the_loops_descriptor_readable_by_the_timer),
		pool_test(a_producer_told_late_where_to_notify_calls_then),
		pool_test(files_let_in_leave_the_loop_its_timer),
		pool_test(what_a_loop_calls_without_a_descriptor_is_einval),
		pool_test(no_wake_up_of_the_loop_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
