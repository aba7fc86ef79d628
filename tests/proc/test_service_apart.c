/* SPDX-License-Identifier: BSD-3-Clause */
/* A device process that serves clients in pools of their own, made from a template. */

#include "master.h"
#include "service_support.h"

/* The pool of the first such client. */
#define APART "guest.1"

/* The device process has seen what is in the client's pool, and no other has. */
static int see_it_touched(struct pinion_client *client, struct pinion_cache *cache)
{
	struct pinion_channel *channel = pinion_client_channel(client);
	struct pinion_pool *pool = pinion_client_pool(client);
	struct pinion_desc desc = {.len = 1};
	unsigned char *byte;

	if (pinion_buffer_alloc(cache, &desc.buffer))
		return 30;
	byte = pinion_buffer_addr(pool, desc.buffer);
	*byte = 41;
	if (pinion_channel_send(channel, &desc, 1) != 1)
		return 31;
	while (pinion_channel_recv(channel, &desc, 1) == -EAGAIN)
		if (pinion_channel_wait(channel, PATIENCE_NS))
			return 32;
	return *byte == 42 && !pinion_buffer_free(cache, desc.buffer) ? 0 : 33;
}

/* Attaches, works, says so at *@arg, and stays until it is killed, with buffers under way. */
static int stay(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (!err)
		err = see_it_touched(client, cache);
	if (!err)
		err = bounce(client, cache, 50, 7);
	if (err)
		return err;
	(void)write(*(int *)arg, "x", 1);
	keep_under_way(pinion_client_channel(client), cache);
}

static void start(struct service_process *service)
{
	service_configure(service, service_rules_apart);
	service_run(service);
}

/* The device process goes as well. */
static void stop(struct service_process *service, pid_t device)
{
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_await_pools(1);
	service_stop(service);
}

static void a_client_and_its_device_meet_in_a_pool_of_their_own(void **state)
{
	struct service_process service;
	pid_t device, client[2];

	(void)state;
	start(&service);
	device = echo_start();
	for (int i = 0; i < 2; i++)
		client[i] = run_until_said(stay);
	assert_int_equal(service_count_pools(), 3);
	assert_int_equal(service_count_of(APART, "members"), 2);
	assert_int_equal(service_count_of(APART, "channels"), 1);
	assert_int_equal(service_count("members"), 1);
	assert_int_equal(member_end(part_start(visit, NULL)), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(process_end(client[i], SIGKILL), 128 + SIGKILL);
	service_await_pools(1);
	/* Again and again: nothing of them is left with the device process either. */
	for (int i = 0; i < 5 * ECHO_POOLS; i++)
		assert_int_equal(member_end(part_start(visit, NULL)), 0);
	stop(&service, device);
}

/* Until the device process is gone, and then in order. */
static int await_the_end(struct pinion_client *client, struct pinion_cache *cache)
{
	struct pollfd want = {pinion_client_fd(client), POLLIN, 0};
	struct pinion_client_event event = {0};
	struct pinion_desc desc;

	while (event.kind != PINION_CLIENT_DEVICE_LEFT)
		if (pinion_client_next(client, &event) == 0 && poll(&want, 1, 30000) != 1)
			return 20;
	while (pinion_channel_recv(pinion_client_channel(client), &desc, 1) > 0)
		(void)pinion_buffer_free(cache, desc.buffer);
	if (pinion_client_settle(client, cache) || pinion_cache_close(cache))
		return 21;
	return pinion_client_close(client);
}

static int outlive_the_device(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (!err)
		err = bounce(client, cache, 50, 3);
	if (err)
		return err;
	(void)write(*(int *)arg, "x", 1);
	return await_the_end(client, cache);
}

static void clients_outlive_the_device_process(void **state)
{
	struct service_process service;
	pid_t device, client[3];

	(void)state;
	start(&service);
	device = echo_start();
	for (int i = 0; i < 3; i++)
		client[i] = run_until_said(outlive_the_device);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(member_end(client[i]), 0);
	service_await_pools(1);
	service_await_members(0);
	device = echo_start();
	assert_int_equal(member_end(part_start(visit, NULL)), 0);
	stop(&service, device);
}

/* Both are killed: nobody settles anything. */
static void a_pool_goes_when_both_were_killed(void **state)
{
	struct service_process service;
	pid_t device, client;

	(void)state;
	start(&service);
	for (int i = 0; i < 6; i++) {
		device = echo_start();
		client = run_until_said(stay);
		assert_int_equal(process_end(i % 2 ? device : client, SIGKILL), 128 + SIGKILL);
		assert_int_equal(process_end(i % 2 ? client : device, SIGKILL), 128 + SIGKILL);
		service_await_pools(1);
		service_await_members(0);
	}
	service_stop(&service);
}

/* Bounds. */

static int try_as_nobody(void *arg)
{
	struct pinion_client *client;

	(void)arg;
	return become_nobody() ? 99 : -pinion_client_open(SERVICE_DEVICE, NULL, &client);
}

static void a_device_process_bears_as_many_pools_as_it_said(void **state)
{
	struct service_process service;
	pid_t device, client[ECHO_POOLS];

	(void)state;
	start(&service);
	device = echo_start();
	for (int i = 0; i < ECHO_POOLS; i++)
		client[i] = run_until_said(stay);
	assert_int_equal(member_end(part_start(try_as_nobody, NULL)), EAGAIN);
	assert_int_equal(service_count_pools(), 1 + ECHO_POOLS);
	assert_int_equal(process_end(client[0], SIGKILL), 128 + SIGKILL);
	service_await_pools(ECHO_POOLS);
	assert_int_equal(member_end(part_start(visit, NULL)), 0);
	for (int i = 1; i < ECHO_POOLS; i++)
		assert_int_equal(process_end(client[i], SIGKILL), 128 + SIGKILL);
	service_await_pools(1);
	stop(&service, device);
}

static void one_that_bears_none_is_for_those_in_its_own_pool(void **state)
{
	const struct pinion_device_config config = {.pool = SERVICE_POOL};
	struct service_process service;
	struct pinion_device *device;

	(void)state;
	start(&service);
	assert_int_equal(pinion_device_open(SERVICE_DEVICE, &config, &device), 0);
	assert_int_equal(pinion_device_ready(device), 0);
	(void)service_number("pid"); /* which has heard that by now */
	assert_int_equal(member_end(part_start(try_as_nobody, NULL)), EACCES);
	assert_int_equal(service_count_pools(), 1);
	assert_int_equal(pinion_device_close(device), 0);
	service_stop(&service);
}

/* A device process that cannot serve, and lets go at once. */

static int be_refused(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	(void)arg;
	return err ? err : await_the_end(client, cache);
}

static void next(struct pinion_device *device, enum pinion_event_kind kind,
		 struct pinion_event *event)
{
	struct pollfd want = {pinion_device_fd(device), POLLIN, 0};

	while (pinion_device_next(device, event) == 0)
		assert_int_equal(poll(&want, 1, 10000), 1);
	assert_int_equal(event->kind, kind);
}

static void a_client_that_cannot_be_served_hears_of_it(void **state)
{
	const struct pinion_device_config config = {.pool = SERVICE_POOL, .pools = 1};
	struct service_process service;
	struct pinion_device *device;
	struct pinion_event event;
	pid_t client;

	(void)state;
	start(&service);
	assert_int_equal(pinion_device_open(SERVICE_DEVICE, &config, &device), 0);
	assert_int_equal(pinion_device_ready(device), 0);
	(void)service_number("pid");
	client = part_start(be_refused, NULL);
	next(device, PINION_EVENT_JOINED, &event);
	assert_ptr_not_equal(event.pool, pinion_device_pool(device));
	assert_int_equal(pinion_device_detach(device, pinion_device_pool(device)), -EINVAL);
	assert_int_equal(pinion_device_bury(device, event.member, NULL), -EINVAL);
	assert_int_equal(pinion_device_detach(device, event.pool), 0);
	assert_int_equal(pinion_device_detach(device, event.pool), -EINVAL);
	assert_int_equal(member_end(client), 0);
	service_await_pools(1);
	assert_int_equal(pinion_device_close(device), 0);
	service_stop(&service);
}

/* A device that writes on. */

/* Is it all that is left in the pool, and waits for quiet? What it holds then, by all accounts;
 * else -1. */
static json_int_t device_alone_holds(const char *name)
{
	json_t *pool = service_pool_of(name), *members = json_object_get(pool, "members");
	const json_t *device = json_array_get(members, 0);
	const json_int_t held = json_integer_value(json_object_get(device, "held"));
	const char *state = json_string_value(json_object_get(device, "state"));
	const bool alone = json_array_size(members) == 1 && !strcmp(state, "waiting_for_quiet") &&
			   held == service_held_of(name);

	json_decref(pool);
	return alone ? held : -1;
}

/* What it holds when the others are buried, and goes on to. */
static json_int_t device_holds(const char *name)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	json_int_t held;

	while ((held = device_alone_holds(name)) < 0 && test_now_ns() < until)
		usleep(1000);
	usleep(200000);
	assert_int_equal(device_alone_holds(name), held);
	return held;
}

static void what_the_dead_held_waits_for_the_device_after_a_restart_too(void **state)
{
	struct service_process service;
	pid_t device, client;
	json_int_t held;

	(void)state;
	echo_bdf = find_master();
	assert_non_null(echo_bdf);
	echo_keeps = 3;
	service_configure(&service, service_rules_apart);
	service_run_managed(&service, "2048");
	device = echo_start();
	client = run_until_said(stay);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	assert_int_equal(process_end(client, SIGKILL), 128 + SIGKILL);
	held = device_holds(APART);
	assert_in_range(held, 3, 3 + 16);
	assert_int_equal(device_holds(SERVICE_POOL), 3);
	for (int i = 0; i < 3; i++) {
		service_kill(&service);
		assert_int_equal(device_holds(APART), held);
		assert_int_equal(device_holds(SERVICE_POOL), 3);
	}
	echo_bdf = NULL;
	echo_keeps = 0;
	service_stop(&service);
}

/* A pool that grows. */

/* Takes all of the first segment, says so, and has the next buffer touched. */
static int use_more(void *arg)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	struct pinion_client *client;
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (!err)
		err = see_it_touched(client, cache);
	while (!err && !pinion_buffer_alloc(cache, &buffer))
		continue;
	if (err)
		return err;
	(void)write(*(int *)arg, "x", 1);
	do
		err = see_it_touched(client, cache);
	while (err == 30 && test_now_ns() < until && !usleep(1000));
	return err;
}

static void a_pool_of_ones_own_grows_for_both(void **state)
{
	struct service_process service;
	pid_t device, client;
	json_t *answer;
	int err;

	(void)state;
	start(&service);
	device = echo_start();
	client = run_until_said(use_more);
	answer = service_ask("pool-grow", APART " 1M", &err);
	assert_non_null(answer);
	json_decref(answer);
	assert_int_equal(member_end(client), 0);
	service_await_pools(1);
	stop(&service, device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_client_and_its_device_meet_in_a_pool_of_their_own),
		pool_test(clients_outlive_the_device_process),
		pool_test(a_pool_goes_when_both_were_killed),
		pool_test(a_device_process_bears_as_many_pools_as_it_said),
		pool_test(one_that_bears_none_is_for_those_in_its_own_pool),
		pool_test(a_client_that_cannot_be_served_hears_of_it),
		support_where(find_master(), "no PCI device of this machine is master of the bus",
			      pool_test,
			      what_the_dead_held_waits_for_the_device_after_a_restart_too),
		pool_test(a_pool_of_ones_own_grows_for_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
