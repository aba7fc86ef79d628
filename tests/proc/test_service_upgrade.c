/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The binary of a service that runs is replaced: by the next release, which takes everything up,
 * killed or restarted in order; and by one of another layout, which takes up nothing and says so.
 */

#include <fcntl.h>
#include <sys/sendfile.h>

#include "restart_support.h"

#define WHERE "pool"

/* In which pool a test is. */
static const char *const common = NULL, *const named = WHERE;

/* What is at the path from which the service runs. */
static char binary[2 * SUPPORT_PATH_LEN];

static void copy(const char *from, const char *to)
{
	const int in = open(from, O_RDONLY | O_CLOEXEC);
	const int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	struct stat status;

	assert_true(in >= 0 && out >= 0);
	assert_int_equal(fstat(in, &status), 0);
	for (off_t at = 0; at < status.st_size;)
		assert_true(sendfile(out, in, &at, (size_t)(status.st_size - at)) > 0);
	assert_int_equal(close(in), 0);
	assert_int_equal(close(out), 0);
}

/* As a package does it: the one that runs keeps its own. @which: a variable of the environment. */
static void replace(const char *which)
{
	char next[2 * SUPPORT_PATH_LEN + 8];

	(void)snprintf(next, sizeof(next), "%s.new", binary);
	copy(getenv(which), next);
	assert_int_equal(rename(next, binary), 0);
}

static void configure(struct service_process *service, const char *where)
{
	service_configure(service, service_rules);
	if (where)
		named_configure(service, where, service_rules);
	(void)snprintf(binary, sizeof(binary), "%s/piniond", service->dir);
	copy(getenv("PINIOND_FIRST"), binary);
	assert_int_equal(setenv("PINIOND", binary, 1), 0);
}

static void start(struct service_process *service, const char *where)
{
	configure(service, where);
	service_run_managed(service, "2048");
}

static void stop(struct service_process *service, const char *where)
{
	service_stop(service);
	if (where)
		named_unlink(where);
}

/* Until another process serves than @old. */
static void await_other(json_int_t old)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	json_int_t now = old;
	json_t *stat;
	int err;

	while (now == old) {
		assert_true(test_now_ns() < until);
		usleep(1000);
		stat = service_ask("stat", "", &err);
		if (stat)
			now = json_integer_value(json_object_get(stat, "pid"));
		json_decref(stat);
	}
}

static void await_next(struct service_process *service, const char *which, bool in_order)
{
	const json_int_t pid = service_number("pid");

	replace(which);
	assert_int_equal(in_order ? kill(service->pid, SIGHUP) : kill((pid_t)pid, SIGKILL), 0);
	await_other(pid);
}

static char *version_now(void)
{
	int err;
	json_t *stat = service_ask("stat", "", &err);
	char *version;

	assert_non_null(stat);
	version = strdup(json_string_value(json_object_get(stat, "version")));
	json_decref(stat);
	return version;
}

static void assert_version(const char *want)
{
	char *version = version_now();

	assert_string_equal(version, want);
	free(version);
}

/* What one member sees of it. */

#define UPGRADES 4

static int see_one(struct pinion_client *client, struct pinion_cache *cache,
		   const struct pinion_buffer *kept)
{
	int err = client_await_event(client, PINION_CLIENT_SERVICE_LOST);

	if (!err)
		err = bounce(client, cache, 20, 0);
	if (!err)
		err = client_await_event(client, PINION_CLIENT_SERVICE_BACK);
	if (!err)
		err = bounce(client, cache, 20, 0);
	reached_say();
	return err ? err : see_kept(client, kept);
}

static int live_through_upgrades(void *arg)
{
	struct pinion_buffer kept[KEPT];
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = come_and_say(&client, &cache, kept, arg);

	if (err)
		return err;
	for (int i = 0; !err && i <= UPGRADES; i++)
		err = see_one(client, cache, kept);
	for (uint32_t i = 0; !err && i < KEPT; i++)
		err = pinion_buffer_free(cache, kept[i]);
	if (err || pinion_cache_close(cache))
		return err ? err : 4;
	return pinion_client_close(client);
}

/* There and back, killed; there and back, in order; once more, and the visitor leaves. */
static void the_next_release_takes_everything_up(void **state)
{
	struct service_process service;
	char *first;
	pid_t device, visitor;

	start(&service, *state);
	first = version_now();
	device = echo_start();
	visitor = run_until_said(live_through_upgrades);
	for (int i = 0; i < UPGRADES; i++) {
		await_next(&service, i % 2 ? "PINIOND_FIRST" : "PINIOND_NEXT", i >= 2);
		assert_version(i % 2 ? first : "next");
		reached_await(1);
		/* Both are members still, and somebody new is served. */
		service_await_members(2);
		assert_int_equal(service_count("channels"), 1);
		assert_int_equal(pinion_client_close(client_await()), 0);
	}
	await_next(&service, "PINIOND_NEXT", true);
	assert_int_equal(member_end(visitor), 0);
	reached_await(1);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	free(first);
	stop(&service, *state);
}

/* Another layout. */

/* Keeps what it has, until it may go. */
static int be_expelled(void *arg)
{
	struct pinion_buffer kept[KEPT];
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = come_and_say(&client, &cache, kept, arg);

	if (err)
		return err;
	err = client_await_event(client, PINION_CLIENT_SERVICE_LOST);
	if (!err)
		err = client_await_event(client, PINION_CLIENT_EXPELLED);
	if (!err)
		err = see_kept(client, kept);
	if (err || pinion_cache_close(cache))
		return err ? err : 4;
	return pinion_client_close(client);
}

/* Pools in memory files it makes anew; whoever had the old ones keeps what was there. */
static void one_of_another_layout_takes_no_files_up(void **state)
{
	struct service_process service;
	struct pinion_client *client;
	pid_t device, visitor;

	log_begin();
	start(&service, *state);
	device = echo_start();
	visitor = run_until_said(be_expelled);
	await_next(&service, "PINIOND_OTHER", false);
	assert_int_equal(member_end(visitor), 0);
	assert_int_equal(member_end(device), 3);
	assert_int_equal(service_count("members"), 0);
	/* And it is this library that refuses its pool. */
	assert_int_equal(pinion_client_open("pool:" SERVICE_POOL, NULL, &client), -EPROTO);
	assert_non_null(strstr(pinion_error_text(), "layout"));
	await_next(&service, "PINIOND_FIRST", false);
	assert_int_equal(pinion_client_open("pool:" SERVICE_POOL, NULL, &client), 0);
	assert_int_equal(pinion_client_close(client), 0);
	stop(&service, *state);
	assert_true(log_end("not taken up again: the record is of layout"));
}

/* Serves nobody in that pool, and says so. */
static void run_other(struct service_process *service)
{
	struct pinion_client *client;

	assert_int_equal(setenv("PINIOND", getenv("PINIOND_OTHER"), 1), 0);
	service_run(service);
	assert_int_equal(pinion_client_open("pool:" SERVICE_POOL, NULL, &client), -ENOENT);
	assert_int_equal(process_end(service->pid, SIGTERM), 0);
	assert_int_equal(setenv("PINIOND", binary, 1), 0);
}

/* A pool on hugetlbfs it leaves alone: the right one finds it as it was. That it does not end is
 * for the other pools: any member of this one could make it look so. */
static void one_of_another_layout_leaves_a_named_pool_alone(void **state)
{
	struct service_process service;
	pid_t device, visitor;
	ino_t inode;

	log_begin();
	configure(&service, *state);
	service_run(&service);
	device = echo_start();
	visitor = run_until_said(be_expelled);
	inode = named_inode(WHERE);
	assert_int_equal(process_end(service.pid, SIGTERM), 0);
	run_other(&service);
	assert_int_equal(named_inode(WHERE), inode);
	service_run(&service);
	assert_int_equal(named_inode(WHERE), inode);
	assert_int_equal(member_end(visitor), 0);
	assert_int_equal(member_end(device), 3);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	stop(&service, *state);
	assert_true(log_end("passed over, and its files left as they are: the pool has layout"));
}

#define where_test(f, where) \
	{#f "_" #where, f, restart_before, restart_after, (void *)(uintptr_t)(where)}

#define in_named(f) where_test(f, named)
#define anywhere(f) where_test(f, common)
#define in_common(f) support_where(!geteuid(), "only root may serve, and be nobody", anywhere, f)

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		in_common(the_next_release_takes_everything_up),
		named_where(in_named, the_next_release_takes_everything_up),
		in_common(one_of_another_layout_takes_no_files_up),
		named_where(in_named, one_of_another_layout_leaves_a_named_pool_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	assert_int_equal(setenv("PINIOND_FIRST", getenv("PINIOND"), 1), 0);
	reached_open();
	return named_run(run_all);
}
