/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SERVICE_SUPPORT_H
#define PINION_TESTS_SERVICE_SUPPORT_H

/*
 * The real piniond in a child, and processes that use it.
 *
 *  - service_start(), service_stop(): with a configuration in a directory of its own.
 *  - service_ask(): what pinion(1) asks, as JSON.
 *  - part_start(f, arg): a child that has only its standard descriptors, with PINION_SOCKET set.
 *  - echo_start(): a device process that sends back what comes.
 *  - attach(), bounce(): a client of it; client_await_event(): what a client hears next.
 */

#include <jansson.h>
#include <signal.h>

#include <pinion/device.h>

#include "link.h"
#include "proc_support.h"

#define SERVICE_POOL "buffers"
#define SERVICE_DEVICE "echo:0"

/* So long, and it will not come: a loaded machine is slow. */
#ifndef PATIENCE_NS
#define PATIENCE_NS UINT64_C(30000000000)
#endif

struct service_process {
	pid_t pid;
	char dir[SUPPORT_PATH_LEN], socket[SUPPORT_PATH_LEN + 16], config[SUPPORT_PATH_LEN + 16];
};

/* Those of everybody get their device in a pool of their own. */
static const char service_rules_apart[] =
	"{ user = \"root\"; pools = [ \"*\" ]; devices = [ \"*\" ]; serve = true; admin = true; },"
	"{ user = \"*\"; pools = [ \"guest\" ]; devices = [ \"echo:*\" ]; }";

static const char service_rules[] =
	"{ user = \"root\"; pools = [ \"*\" ]; devices = [ \"*\" ]; serve = true; admin = true; },"
	"{ user = \"*\"; pools = [ \"buffers\", \"guest\" ];"
	" devices = [ \"echo:*\" ]; memberships = 8; }";

/* What its configuration says behind the place where it listens. */
__attribute__((format(printf, 2, 3))) static inline void
service_write(const struct service_process *service, const char *format, ...)
{
	FILE *file = fopen(service->config, "w");
	va_list arguments;

	assert_non_null(file);
	fprintf(file, "socket = \"%s\";\n", service->socket);
	va_start(arguments, format);
	vfprintf(file, format, arguments);
	va_end(arguments);
	assert_int_equal(fclose(file), 0);
}

/* @guest: how large the pool of a client is that has one of its own. */
static inline void service_configure_pages(struct service_process *service, const char *rules,
					   const char *page, const char *guest)
{
	support_dir_create(service->dir);
	assert_int_equal(chmod(service->dir, 0755), 0);
	(void)snprintf(service->socket, sizeof(service->socket), "%s/socket", service->dir);
	(void)snprintf(service->config, sizeof(service->config), "%s/conf", service->dir);
	service_write(service,
		      "pools = ( { name = \"" SERVICE_POOL "\"; members = 24; caches = 48;\n"
		      "  max_segments = 4;\n"
		      "  segments = ( { size = \"4M\"; buffer = \"4K\"; page = \"%s\"; } ); },\n"
		      "  { name = \"guest\"; template = true; members = 3;\n"
		      "  segments = ( { size = \"%s\"; buffer = \"4K\"; page = \"%s\"; } ); } );\n"
		      "rules = ( %s );\n", page, guest, page, rules);
	assert_int_equal(setenv("PINION_SOCKET", service->socket, 1), 0);
}

/* Pages of 4 KiB, so that no hugepages are taken from other tests. */
static inline void service_configure(struct service_process *service, const char *rules)
{
	service_configure_pages(service, rules, "4k", "1M");
}

/* Is there somebody who accepts? */
static inline void service_await(const struct service_process *service)
{
	struct link link;
	int tries = 3000;

	while (link_open(&link, service->socket)) {
		assert_true(tries-- > 0);
		usleep(10000);
	}
	link_close(&link);
}

/* With what of systemd it needs to come back, see manager.c; @store: what its fd store takes. */
static inline void service_run_managed(struct service_process *service, const char *store)
{
	fflush(NULL);
	service->pid = fork();
	assert_true(service->pid >= 0);
	if (service->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0u, 0);
		execl(getenv("MANAGER"), "manager", store, getenv("PINIOND"), "--config",
		      service->config, "--store-max", store, NULL);
		_exit(127);
	}
	service_await(service);
}

static inline void service_start_managed(struct service_process *service)
{
	service_configure(service, service_rules);
	service_run_managed(service, "2048");
}

/* @prepare: what its process does first; NULL: nothing. */
static inline void service_run_prepared(struct service_process *service, void (*prepare)(void))
{
	fflush(NULL);
	service->pid = fork();
	assert_true(service->pid >= 0);
	if (service->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0u, 0);
		if (prepare)
			prepare();
		execl(getenv("PINIOND"), "piniond", "--config", service->config, NULL);
		_exit(127);
	}
	service_await(service);
}

static inline void service_run(struct service_process *service)
{
	service_run_prepared(service, NULL);
}

static inline void service_start(struct service_process *service)
{
	service_configure(service, service_rules);
	service_run(service);
}

static inline int process_end(pid_t pid, int number)
{
	assert_int_equal(kill(pid, number), 0);
	return member_end(pid);
}

static inline void service_stop(struct service_process *service)
{
	assert_int_equal(process_end(service->pid, SIGTERM), 0);
	support_dir_destroy(service->dir);
}

/* The answer's JSON, or NULL and -errno. */
static inline json_t *service_ask_on(struct link *link, const char *name, const char *text,
				     int *err)
{
	struct wire question = wire_of(WIRE_QUERY), answer;
	unsigned nr = 2;
	int files[2];
	json_t *json = NULL;

	(void)snprintf(question.name, sizeof(question.name), "%s", name);
	(void)snprintf(question.text, sizeof(question.text), "%s", text);
	*err = link_ask(link, &question, &answer, files, &nr);
	if (!*err) {
		assert_int_equal(answer.kind, WIRE_ANSWER);
		assert_true(nr >= 1);
		json = json_loadfd(files[0], 0, NULL);
		assert_non_null(json);
		mail_close_files(files, nr);
	}
	return json;
}

static inline json_t *service_ask(const char *name, const char *text, int *err)
{
	struct link link;
	json_t *json;

	*err = link_open(&link, NULL);
	if (*err)
		return NULL;
	json = service_ask_on(&link, name, text, err);
	link_close(&link);
	return json;
}

/* A number of its account. */
static inline json_int_t service_number(const char *name)
{
	int err;
	json_t *stat = service_ask("stat", "", &err);
	const json_int_t number = json_integer_value(json_object_get(stat, name));

	assert_non_null(stat);
	json_decref(stat);
	return number;
}

/* A counter of its account. */
static inline json_int_t service_counter(const char *name)
{
	int err;
	json_t *stat = service_ask("stat", "", &err);
	json_int_t nr;

	assert_non_null(stat);
	nr = json_integer_value(json_object_get(json_object_get(stat, "counters"), name));
	json_decref(stat);
	return nr;
}

/* Kills it; it is back, under another pid, when this returns. */
static inline void service_kill(const struct service_process *service)
{
	const json_int_t restarts = service_number("restarts");

	assert_int_equal(kill((pid_t)service_number("pid"), SIGKILL), 0);
	usleep(1000);
	service_await(service);
	assert_int_equal(service_number("restarts"), restarts + 1);
}

/* A pool's part of the service's account; the caller's, and NULL if there is no such pool. */
static inline json_t *service_pool_of(const char *name)
{
	int err;
	json_t *stat = service_ask("stat", "", &err), *pool, *found = NULL;
	size_t i;

	assert_non_null(stat);
	json_array_foreach(json_object_get(stat, "pools"), i, pool)
		if (!strcmp(json_string_value(json_object_get(pool, "name")), name))
			found = json_incref(pool);
	json_decref(stat);
	return found;
}

static inline json_t *service_pool(void)
{
	return service_pool_of(SERVICE_POOL);
}

static inline json_int_t service_count_of(const char *name, const char *list)
{
	json_t *pool = service_pool_of(name);
	const json_int_t nr = (json_int_t)json_array_size(json_object_get(pool, list));

	json_decref(pool);
	return nr;
}

static inline json_int_t service_count(const char *list)
{
	return service_count_of(SERVICE_POOL, list);
}

static inline size_t service_count_pools(void)
{
	int err;
	json_t *stat = service_ask("stat", "", &err);
	const size_t nr = json_array_size(json_object_get(stat, "pools"));

	assert_non_null(stat);
	json_decref(stat);
	return nr;
}

/* Buffers held by anyone, over all zones. */
static inline json_int_t service_held_of(const char *name)
{
	json_t *pool = service_pool_of(name), *zone;
	json_int_t held = 0;
	size_t i;

	json_array_foreach(json_object_get(pool, "zones"), i, zone)
		held += json_integer_value(json_object_get(zone, "held"));
	json_decref(pool);
	return held;
}

static inline json_int_t service_held(void)
{
	return service_held_of(SERVICE_POOL);
}

/* What the service tells of the pool, as a remark. */
static inline void service_remark(void)
{
	json_t *pool = service_pool();
	char *text = json_dumps(pool, JSON_COMPACT);

	fprintf(stderr, "# %s\n", text); /* cmocka cuts what is long */
	free(text);
	json_decref(pool);
}

/* Until that many members are left, and nothing is held by anyone; it must not take long. */
static inline void service_await_members(json_int_t nr)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	while (service_count("members") != nr) {
		if (test_now_ns() >= until) {
			service_remark();
			fail_msg("%s", "members stay");
		}
		usleep(1000);
	}
}

/* Until there are that many pools; likewise. */
static inline void service_await_pools(size_t nr)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	while (service_count_pools() != nr) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
}

static inline pid_t part_start(int (*f)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0u, 0);
		support_child_asserts();
		_exit(f(arg));
	}
	return pid;
}

/* A device process. */

#define ECHO_POOLS 4 /* of clients' own */

static const char *echo_bdf; /* its PCI address; NULL: it has none */
static uint32_t echo_keeps;  /* of each client's pool, buffers that it never frees */

struct echo_client {
	struct pinion_channel *channel;
	struct pinion_pool *pool;
	struct pinion_cache *cache; /* in the client's pool */
};

struct echo {
	struct pinion_device *device;
	struct pinion_cache *cache;
	struct echo_client client[32];
	uint32_t nr;
};

/* What it touches has one more in its first byte. */
static inline int echo_some(const struct echo_client *client)
{
	struct pinion_desc desc[16];
	int got = pinion_channel_recv(client->channel, desc, 16), sent = 0;

	for (int i = 0; i < got; i++)
		++*(unsigned char *)pinion_buffer_addr(client->pool, desc[i].buffer);
	if (got > 0)
		sent = pinion_channel_send(client->channel, desc, (uint32_t)got);
	for (int i = sent > 0 ? sent : 0; i < got; i++)
		(void)pinion_buffer_free(client->cache, desc[i].buffer);
	return got;
}

static inline void echo_join(struct echo *echo, const struct pinion_event *event)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct echo_client client = {event->channel, event->pool, echo->cache};
	struct pinion_buffer kept;

	if (event->pool != pinion_device_pool(echo->device) &&
	    pinion_cache_open(event->pool, &any, &client.cache)) {
		fprintf(stderr, "# join: %s\n", pinion_error_text());
		(void)pinion_device_detach(echo->device, event->pool);
		return;
	}
	for (uint32_t i = 0; i < echo_keeps; i++)
		(void)pinion_buffer_alloc(client.cache, &kept);
	echo->client[echo->nr++] = client;
}

static inline int echo_end(struct echo *echo, const struct echo_client *client, uint32_t member)
{
	if (client->pool == pinion_device_pool(echo->device))
		return pinion_device_bury(echo->device, member, client->cache);
	return pinion_cache_close(client->cache) ||
	       pinion_device_detach(echo->device, client->pool);
}

static inline void echo_leave(struct echo *echo, const struct pinion_event *event)
{
	struct echo_client client;
	uint32_t i = 0;

	while (echo->client[i].channel != event->channel)
		i++;
	client = echo->client[i];
	while (echo_some(&client) > 0)
		continue;
	echo->client[i] = echo->client[--echo->nr];
	if (echo_end(echo, &client, event->member))
		fprintf(stderr, "# leave: %s\n", pinion_error_text());
}

/* Before the device is closed. */
static inline void echo_close_caches(struct echo *echo)
{
	for (uint32_t i = 0; i < echo->nr; i++)
		if (echo->client[i].cache != echo->cache)
			(void)pinion_cache_close(echo->client[i].cache);
	if (echo->cache)
		(void)pinion_cache_close(echo->cache);
}

static inline int echo_loop(struct echo *echo)
{
	struct pollfd want = {pinion_device_fd(echo->device), POLLIN, 0};
	struct pinion_event event;

	for (;;) {
		bool busy = false;
		int got;

		for (uint32_t i = 0; i < echo->nr; i++)
			busy |= echo_some(&echo->client[i]) > 0;
		while ((got = pinion_device_next(echo->device, &event)) == 1) {
			if (event.kind == PINION_EVENT_JOINED)
				echo_join(echo, &event);
			else
				echo_leave(echo, &event);
		}
		if (got < 0)
			return 3;
		if (!busy)
			poll(&want, 1, 1);
	}
}

/* @arg: the device's name. */
static inline int echo_device(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	const struct pinion_device_config config = {
		.pool = SERVICE_POOL, .bdf = echo_bdf, .pools = ECHO_POOLS};
	struct echo echo = {0};

	if (pinion_device_open(arg, &config, &echo.device)) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 1;
	}
	if (pinion_cache_open(pinion_device_pool(echo.device), &any, &echo.cache) ||
	    pinion_device_ready(echo.device))
		return 2;
	return echo_loop(&echo);
}

/* A client of the device, as soon as that is served. */
static inline struct pinion_client *client_await(void)
{
	struct pinion_client *client;
	int tries = 3000;

	while (pinion_client_open(SERVICE_DEVICE, NULL, &client)) {
		assert_true(tries-- > 0);
		usleep(10000);
	}
	return client;
}

/* 0: that is what it hears. */
static inline int client_await_event(struct pinion_client *client,
				     enum pinion_client_event_kind kind)
{
	struct pollfd want = {.fd = pinion_client_fd(client), .events = POLLIN};
	struct pinion_client_event event = {0};

	while (pinion_client_next(client, &event) == 0)
		if (poll(&want, 1, PATIENCE_NS / 1000000) != 1)
			return 30;
	return event.kind == kind ? 0 : 31;
}

static inline pid_t echo_start(void)
{
	static char name[] = SERVICE_DEVICE;
	const pid_t pid = part_start(echo_device, name);

	assert_int_equal(pinion_client_close(client_await()), 0);
	return pid;
}

/* A client. */

/* Sends nr buffers to the device and gets them back; holds @keep of them at the end. 0: well. */
static inline int bounce(struct pinion_client *client, struct pinion_cache *cache, uint32_t nr,
		  uint32_t keep)
{
	struct pinion_channel *channel = pinion_client_channel(client);
	struct pinion_buffer held;

	for (uint32_t i = 0; i < nr; i++) {
		struct pinion_desc desc = {.len = i % BUFFER, .tag = i};

		if (pinion_buffer_alloc(cache, &desc.buffer))
			return 11;
		if (pinion_channel_send(channel, &desc, 1) != 1)
			return 12;
		while (pinion_channel_recv(channel, &desc, 1) == -EAGAIN)
			if (pinion_channel_wait(channel, PATIENCE_NS))
				return 13;
		if (desc.tag != i || pinion_buffer_free(cache, desc.buffer))
			return 14;
	}
	for (uint32_t i = 0; i < keep; i++)
		if (pinion_buffer_alloc(cache, &held))
			return 15;
	return 0;
}

/* A client of the pool that has a buffer of it, and keeps it. 0: it has. */
static inline int attach_and_hold(const char *pool, struct pinion_client **client)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;
	struct pinion_buffer buffer;

	return pinion_client_open(pool, NULL, client) ||
	       pinion_cache_open(pinion_client_pool(*client), &any, &cache) ||
	       pinion_buffer_alloc(cache, &buffer);
}

static inline int attach(struct pinion_client **client, struct pinion_cache **cache)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};

	if (pinion_client_open(SERVICE_DEVICE, NULL, client)) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 1;
	}
	return pinion_cache_open(pinion_client_pool(*client), &any, cache) ? 2 : 0;
}

/* @f is given where to write; @out: where to read. */
static inline pid_t run_with_pipe(int (*f)(void *), int *out)
{
	static int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		support_child_asserts();
		_exit(f(&ends[1]));
	}
	close(ends[1]);
	*out = ends[0];
	return pid;
}

/* Attaches as nobody, works, and leaves in good order. */
static inline int visit(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	(void)arg;
	if (!err)
		err = bounce(client, cache, 500, 5);
	if (!err && pinion_cache_close(cache))
		err = 4;
	return err ? err : pinion_client_close(client);
}

/* Until it is killed, with buffers held and some under way. */
static inline _Noreturn void keep_under_way(struct pinion_channel *channel,
					    struct pinion_cache *cache)
{
	for (uint32_t under_way = 0;;) {
		struct pinion_desc desc = {.len = 1};

		if (under_way < 16 && !pinion_buffer_alloc(cache, &desc.buffer))
			under_way += pinion_channel_send(channel, &desc, 1) == 1;
		if (pinion_channel_recv(channel, &desc, 1) == 1)
			under_way -= !pinion_buffer_free(cache, desc.buffer);
	}
}

/* Runs @f until it said that it has come so far. */
static inline pid_t run_until_said(int (*f)(void *))
{
	int pipe_end;
	const pid_t pid = run_with_pipe(f, &pipe_end);
	char said;

	assert_int_equal(read(pipe_end, &said, 1), 1);
	close(pipe_end);
	return pid;
}

#endif
