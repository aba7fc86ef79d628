/* SPDX-License-Identifier: BSD-3-Clause */
/* The descriptors of a client and of a device process in loops of libuv, glib and epoll. */

#include <glib-unix.h>
#include <sys/epoll.h>
#include <uv.h>

#include "service_support.h"

#define PATIENCE_MS ((unsigned)(PATIENCE_NS / 1000000))

/* What a loop is to hear, in this order, and how far it has come. */
struct story {
	int fd;
	int (*next)(void *who, int *kind);
	void *who;
	const int *kinds;
	size_t nr, heard;
};

static int next_of_client(void *who, int *kind)
{
	struct pinion_client_event event;
	const int err = pinion_client_next(who, &event);

	*kind = (int)event.kind;
	return err;
}

struct host {
	struct pinion_device *device;
	struct pinion_cache *cache;
};

static int next_of_device(void *who, int *kind)
{
	const struct host *host = who;
	struct pinion_event event;
	const int err = pinion_device_next(host->device, &event);

	*kind = (int)event.kind;
	if (err == 1 && event.kind == PINION_EVENT_LEFT)
		assert_int_equal(pinion_device_bury(host->device, event.member, host->cache), 0);
	return err;
}

/* Everything that can be heard now. True: that was the end. */
static bool hear(struct story *story)
{
	int kind;

	while (story->next(story->who, &kind) == 1) {
		assert_true(story->heard < story->nr);
		assert_int_equal(kind, story->kinds[story->heard++]);
	}
	return story->heard == story->nr;
}

/* Each loop sleeps until the descriptor is readable, and hears only then. */

static void on_uv(uv_poll_t *poll, int status, int events)
{
	(void)events;
	assert_int_equal(status, 0);
	if (hear(poll->data))
		uv_stop(poll->loop);
}

static void give_up(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static void run_uv(struct story *story)
{
	uv_timer_t timer;
	uv_poll_t poll;
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(uv_poll_init(&loop, &poll, story->fd), 0);
	assert_int_equal(uv_timer_init(&loop, &timer), 0);
	poll.data = story;
	assert_int_equal(uv_poll_start(&poll, UV_READABLE, on_uv), 0);
	assert_int_equal(uv_timer_start(&timer, give_up, PATIENCE_MS, 0), 0);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&poll, NULL);
	uv_close((uv_handle_t *)&timer, NULL);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static gboolean on_glib(gint fd, GIOCondition condition, gpointer story)
{
	(void)fd, (void)condition;
	return hear(story) ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

/* Enough to end the sleep. */
static gboolean on_late(gpointer nothing)
{
	(void)nothing;
	return G_SOURCE_CONTINUE;
}

static void run_glib(struct story *story)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	const guint source = g_unix_fd_add(story->fd, G_IO_IN, on_glib, story);
	const guint timer = g_timeout_add(PATIENCE_MS, on_late, NULL);

	while (story->heard < story->nr && test_now_ns() < until)
		(void)g_main_context_iteration(NULL, TRUE);
	if (story->heard < story->nr)
		(void)g_source_remove(source);
	(void)g_source_remove(timer);
}

static void run_epoll(struct story *story)
{
	struct epoll_event event = {.events = EPOLLIN};
	const int loop = epoll_create1(EPOLL_CLOEXEC);

	assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, story->fd, &event), 0);
	while (epoll_wait(loop, &event, 1, (int)PATIENCE_MS) == 1 && !hear(story))
		continue;
	assert_int_equal(close(loop), 0);
}

static void (*const loops[])(struct story *story) = {run_uv, run_glib, run_epoll};
#define LOOPS (sizeof(loops) / sizeof(loops[0]))

static void a_loop_hears_that_the_service_went_and_came_back(void **state)
{
	static const int kinds[] = {PINION_CLIENT_SERVICE_LOST, PINION_CLIENT_SERVICE_BACK};
	struct service_process service;
	struct pinion_client *client;
	pid_t device;

	(void)state;
	service_start_managed(&service);
	device = echo_start();
	assert_int_equal(pinion_client_open(SERVICE_DEVICE, NULL, &client), 0);
	for (size_t i = 0; i < LOOPS; i++) {
		struct story story = {pinion_client_fd(client), next_of_client, client, kinds, 2,
				      0};

		service_kill(&service);
		loops[i](&story);
		assert_int_equal(story.heard, 2);
	}
	assert_int_equal(pinion_client_close(client), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_stop(&service);
}

static int come_and_leave(void *arg)
{
	struct pinion_client *client;

	(void)arg;
	return pinion_client_open(SERVICE_DEVICE, NULL, &client) || pinion_client_close(client);
}

static void a_loop_hears_who_comes_to_a_device_and_leaves(void **state)
{
	static const int kinds[] = {PINION_EVENT_JOINED, PINION_EVENT_LEFT};
	struct service_process service;
	struct host host;

	(void)state;
	service_start_managed(&service);
	assert_int_equal(pinion_device_open(SERVICE_DEVICE, NULL, &host.device), 0);
	host.cache = cache_make(pinion_device_pool(host.device), BUFFER);
	assert_int_equal(pinion_device_ready(host.device), 0);
	for (size_t i = 0; i < LOOPS; i++) {
		struct story story = {pinion_device_fd(host.device), next_of_device, &host, kinds,
				      2, 0};
		const pid_t client = part_start(come_and_leave, NULL);

		loops[i](&story);
		assert_int_equal(story.heard, 2);
		assert_int_equal(member_end(client), 0);
	}
	assert_int_equal(pinion_cache_close(host.cache), 0);
	assert_int_equal(pinion_device_close(host.device), 0);
	service_stop(&service);
}

/* The first loops of a process open descriptors that stay. */
static int first_loops(void **state)
{
	uv_loop_t loop;

	(void)state;
	(void)g_main_context_default();
	return uv_loop_init(&loop) || uv_loop_close(&loop);
}

#define root_test(f) support_where(!geteuid(), "only root may serve here", pool_test, f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		root_test(a_loop_hears_that_the_service_went_and_came_back),
		root_test(a_loop_hears_who_comes_to_a_device_and_leaves),
	};

	return cmocka_run_group_tests(tests, first_loops, NULL);
}
