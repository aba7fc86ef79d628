/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h in a loop of libuv: a uv_poll_t for the descriptor, a uv_prepare_t for prepare(). */

#include <uv.h>

#include "guest.h"

struct watched {
	uv_poll_t poll;
	uv_prepare_t prepare;
	struct guest *guest;
};

/* The descriptor is the channel's: out of the loop first. */
static void leave(struct watched *watched)
{
	uv_close((uv_handle_t *)&watched->poll, NULL);
	uv_close((uv_handle_t *)&watched->prepare, NULL);
}

static void before_sleep(uv_prepare_t *handle)
{
	struct watched *watched = handle->data;
	int what;

	while ((what = guest_prepare(watched->guest)) == 1)
		guest_drain(watched->guest);
	if (what < 0) {
		watched->guest->last = what;
		leave(watched);
	}
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
	struct watched *watched = handle->data;

	assert_int_equal(status, 0);
	assert_int_equal(events, UV_READABLE);
	guest_wake(watched->guest);
}

/* Until the channel has ended, and left the loop empty. */
static void run(struct guest *guest)
{
	struct watched watched = {.guest = guest};
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(uv_poll_init(&loop, &watched.poll, pinion_channel_fd(guest->channel)), 0);
	assert_int_equal(uv_prepare_init(&loop, &watched.prepare), 0);
	watched.poll.data = watched.prepare.data = &watched;
	assert_int_equal(uv_poll_start(&watched.poll, UV_READABLE, on_readable), 0);
	assert_int_equal(uv_prepare_start(&watched.prepare, before_sleep), 0);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_loop_hears_messages_and_a_close(void **state)
{
	struct talk talk;

	(void)state;
	talk_open(&talk);
	run(&talk.guest);
	talk_close(&talk);
}

static void a_loop_hears_that_the_peer_was_killed(void **state)
{
	struct murder murder;

	(void)state;
	murder_open(&murder);
	run(&murder.guest);
	murder_close(&murder);
}

/* The first loop of a process opens a pipe that stays. */
static int first_loop(void **state)
{
	uv_loop_t loop;

	(void)state;
	return uv_loop_init(&loop) || uv_loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_loop_hears_messages_and_a_close),
		pool_test(a_loop_hears_that_the_peer_was_killed),
	};

	return cmocka_run_group_tests(tests, first_loop, NULL);
}
