/* SPDX-License-Identifier: BSD-3-Clause */
/* A client and a device process in loops of libuv, glib and epoll: what they hear of each other,
 * and what they say to each other. */

#include <glib-unix.h>
#include <sys/epoll.h>
#include <uv.h>

#include <pinion/wait.h>

#include "hostile_support.h"

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

/* What is said. */

/* Who talks to a device process: each word is said when the one before has come back. */
struct talk {
	struct pinion_client *client;
	struct pinion_cache *cache;
	int nr;     /* of words */
	bool ended; /* that was told */
};

static int say(const struct talk *talk, uint32_t word)
{
	struct pinion_desc desc = {.len = 1, .tag = word};

	return pinion_buffer_alloc(talk->cache, &desc.buffer) ||
	       pinion_channel_send(pinion_client_channel(talk->client), &desc, 1) != 1;
}

/* The word that came back; or how it ended, once. */
static int next_of_talk(void *who, int *kind)
{
	struct talk *talk = who;
	struct pinion_channel *channel = pinion_client_channel(talk->client);
	struct pinion_desc desc;

	(void)pinion_channel_done(channel);
	do {
		if (pinion_channel_recv(channel, &desc, 1) == 1) {
			*kind = (int)desc.tag;
			return pinion_buffer_free(talk->cache, desc.buffer) ||
			       (*kind + 1 < talk->nr && say(talk, desc.tag + 1)) ? 2 : 1;
		}
		*kind = pinion_channel_prepare(channel);
	} while (*kind == 1);
	if (!*kind || talk->ended)
		return 0;
	talk->ended = true;
	return 1;
}

#define WORDS 5
static const int words[WORDS + 1] = {0, 1, 2, 3, 4, -EPIPE};

static struct talk talk_open(int loop)
{
	const struct pinion_client_config config = {.loop = loop};
	struct talk talk = {.nr = WORDS};

	assert_int_equal(pinion_client_open(SERVICE_DEVICE, &config, &talk.client), 0);
	talk.cache = cache_make(pinion_client_pool(talk.client), BUFFER);
	return talk;
}

static void talk_close(struct talk *talk)
{
	assert_int_equal(pinion_cache_close(talk->cache), 0);
	assert_int_equal(pinion_client_close(talk->client), 0);
}

static size_t talk_heard(struct talk *talk, void (*loop)(struct story *), size_t nr)
{
	struct story story = {pinion_channel_fd(pinion_client_channel(talk->client)), next_of_talk,
			      talk, words, nr, 0};
	int kind;

	assert_int_equal(next_of_talk(talk, &kind), 0);
	assert_int_equal(say(talk, 0), 0);
	loop(&story);
	return story.heard;
}

/* A device process that sleeps until a descriptor of its own says something, and sends back. */

static uint32_t echo_pools; /* of clients' own */

static void echo_all(struct echo *echo)
{
	for (uint32_t i = 0; i < echo->nr; i++) {
		struct pinion_channel *channel = echo->client[i].channel;

		(void)pinion_channel_done(channel);
		do
			while (echo_some(&echo->client[i]) > 0)
				continue;
		while (pinion_channel_prepare(channel) == 1);
	}
}

static int hear_all(struct echo *echo)
{
	struct pinion_event event;
	int got;

	while ((got = pinion_device_next(echo->device, &event)) == 1)
		if (event.kind == PINION_EVENT_JOINED)
			echo_join(echo, &event);
		else
			echo_leave(echo, &event);
	return got;
}

static void sleep_well(const struct echo *echo)
{
	struct pollfd want[1 + sizeof(echo->client) / sizeof(echo->client[0])] = {
		{pinion_device_fd(echo->device), POLLIN, 0}};

	for (uint32_t i = 0; i < echo->nr; i++)
		want[1 + i] = (struct pollfd){pinion_channel_fd(echo->client[i].channel), POLLIN,
					      0};
	(void)poll(want, 1 + echo->nr, -1);
}

static int echo_in_a_loop(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	const struct pinion_device_config config = {
		.pool = SERVICE_POOL, .pools = echo_pools, .loop = 1};
	struct echo echo = {0};

	(void)arg;
	if (pinion_device_open(SERVICE_DEVICE, &config, &echo.device) ||
	    pinion_cache_open(pinion_device_pool(echo.device), &any, &echo.cache) ||
	    pinion_device_ready(echo.device))
		return 1;
	while (!hear_all(&echo)) {
		echo_all(&echo);
		sleep_well(&echo);
	}
	return 2;
}

static pid_t echo_in_a_loop_start(void)
{
	const pid_t pid = part_start(echo_in_a_loop, NULL);

	assert_int_equal(pinion_client_close(client_await()), 0);
	return pid;
}

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

/* And goes on: the one channel over three deaths of the service, others made after each. */
static void both_ends_of_a_channel_sleep_in_loops(void **state)
{
	struct service_process service;
	struct talk first, talk;
	pid_t device;

	(void)state;
	service_start_managed(&service);
	device = echo_in_a_loop_start();
	first = talk_open(1);
	for (size_t i = 0; i < LOOPS; i++) {
		talk = talk_open(1);
		assert_int_equal(talk_heard(&talk, loops[i], WORDS), WORDS);
		talk_close(&talk);
		assert_int_equal(talk_heard(&first, loops[i], WORDS), WORDS);
		service_kill(&service);
	}
	assert_int_equal(talk_heard(&first, run_epoll, WORDS), WORDS);
	talk_close(&first);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

static void one_end_alone_sleeps_in_a_loop(void **state)
{
	struct service_process service;
	struct talk talk;
	pid_t device;

	(void)state;
	service_start(&service);
	device = echo_start();
	talk = talk_open(1);
	assert_int_equal(talk_heard(&talk, run_epoll, WORDS), WORDS);
	talk_close(&talk);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	device = echo_in_a_loop_start();
	talk = talk_open(0);
	assert_int_equal(bounce(talk.client, talk.cache, WORDS, 0), 0);
	talk_close(&talk);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_stop(&service);
}

static int kill_later(void *arg)
{
	usleep(50000);
	return kill(*(const pid_t *)arg, SIGKILL);
}

static void a_loop_hears_on_the_channel_that_the_device_process_died(void **state)
{
	struct service_process service;

	(void)state;
	service_start(&service);
	for (size_t i = 0; i < LOOPS; i++) {
		pid_t device = echo_in_a_loop_start();
		struct talk talk = talk_open(1);
		const pid_t killer = part_start(kill_later, &device);

		assert_int_equal(talk_heard(&talk, loops[i], WORDS + 1), WORDS + 1);
		assert_int_equal(member_end(device), 128 + SIGKILL);
		assert_int_equal(member_end(killer), 0);
		talk_close(&talk);
	}
	service_await_members(0);
	service_stop(&service);
}

static int talk_as_nobody(void *arg)
{
	struct talk talk;

	(void)arg;
	if (become_nobody())
		return 1;
	talk = talk_open(1);
	if (talk_heard(&talk, run_epoll, WORDS) != WORDS)
		return 2;
	talk_close(&talk);
	return 0;
}

static void loops_of_clients_in_pools_of_their_own_are_woken_too(void **state)
{
	struct service_process service;
	pid_t device;

	(void)state;
	service_configure(&service, service_rules_apart);
	service_run(&service);
	echo_pools = 2;
	device = echo_in_a_loop_start();
	for (int i = 0; i < 3; i++)
		assert_int_equal(member_end(part_start(talk_as_nobody, NULL)), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	echo_pools = 0;
	service_stop(&service);
}

/* One of a client, and it goes with the channel. */
static void the_service_keeps_one_socket_of_a_channel(void **state)
{
	struct service_process service;
	unsigned before, without;
	struct talk talk;
	pid_t device;

	(void)state;
	service_start(&service);
	device = echo_in_a_loop_start();
	before = service_files_at_rest(&service);
	talk = talk_open(0);
	without = service_files_at_rest(&service) - before;
	talk_close(&talk);
	service_await_files(&service, before);
	talk = talk_open(1);
	assert_int_equal(service_files_at_rest(&service) - before, without + 1);
	talk_close(&talk);
	service_await_files(&service, before);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
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
		root_test(both_ends_of_a_channel_sleep_in_loops),
		root_test(one_end_alone_sleeps_in_a_loop),
		root_test(a_loop_hears_on_the_channel_that_the_device_process_died),
		root_test(loops_of_clients_in_pools_of_their_own_are_woken_too),
		root_test(the_service_keeps_one_socket_of_a_channel),
	};

	return cmocka_run_group_tests(tests, first_loops, NULL);
}
