/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * piniond killed and started again with nothing but its pool on hugetlbfs: no store gave anything
 * back, so that no ledger knows who is in it. They go on, hear that they are not known, and open
 * anew; what they held comes back.
 */

#include <sys/mman.h>

#include "layout.h"
#include "midway.h"
#include "restart_support.h"

#define WHERE "pool"
#define MEMBERS 24 /* of the pool, the service among them */

static void start(struct service_process *service)
{
	service_configure(service, service_rules);
	named_configure(service, WHERE, service_rules);
	service_run(service);
}

static void stop(struct service_process *service)
{
	service_stop(service);
	named_unlink(WHERE);
}

static void kill_service(struct service_process *service)
{
	assert_int_equal(process_end(service->pid, SIGKILL), 128 + SIGKILL);
}

static void await_free(void)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	while (service_held()) {
		if (test_now_ns() >= until) {
			service_remark();
			fail_msg("%s", "buffers stay");
		}
		usleep(1000);
	}
}

/* A device process that opens anew when the service does not know it. */
static int serve_on(void *name)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	const struct pinion_device_config config = {.pool = SERVICE_POOL};

	for (;;) {
		struct echo echo = {0};

		if (pinion_device_open(name, &config, &echo.device)) {
			usleep(1000);
			continue;
		}
		if (pinion_cache_open(pinion_device_pool(echo.device), &any, &echo.cache) ||
		    pinion_device_ready(echo.device))
			return 2;
		(void)echo_loop(&echo);
		echo_close_caches(&echo);
		(void)pinion_device_close(echo.device);
	}
}

static pid_t device_start(void)
{
	static char name[] = SERVICE_DEVICE;
	const pid_t pid = part_start(serve_on, name);

	assert_int_equal(pinion_client_close(client_await()), 0);
	return pid;
}

/* Until the device process has opened anew. */
static int attach_again(struct pinion_client **client, struct pinion_cache **cache)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};

	for (int tries = 0; pinion_client_open(SERVICE_DEVICE, NULL, client); tries++) {
		if (tries == 3000)
			return 20;
		usleep(10000);
	}
	return pinion_cache_open(pinion_client_pool(*client), &any, cache) ? 21 : 0;
}

/* As it was, and again when the service does not know it: keeps what it has, works while nobody
 * serves, and its process lives on in its second membership. */
static int live_on(void *arg)
{
	struct pinion_buffer kept[KEPT];
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach_again(&client, &cache);

	if (!err)
		err = bounce(client, cache, 50, 0);
	if (!err)
		err = keep_and_say(client, cache, kept, arg);
	if (err)
		return err;
	err = client_await_event(client, PINION_CLIENT_SERVICE_LOST);
	if (!err)
		err = bounce(client, cache, 50, 0);
	if (err)
		return err;
	reached_say();
	err = client_await_event(client, PINION_CLIENT_EXPELLED);
	if (!err)
		err = see_kept(client, kept);
	if (err || pinion_cache_close(cache) || pinion_client_close(client))
		return err ? err : 24;
	err = attach_again(&client, &cache);
	if (!err)
		err = bounce(client, cache, 50, 0);
	if (!err)
		err = pinion_cache_close(cache);
	if (err)
		return err;
	reached_say();
	for (;;)
		pause();
}

/* How many more there can be. */
static int fill(void *arg)
{
	struct pinion_client *client[MEMBERS];
	int nr = 0;

	while (nr < MEMBERS && !pinion_client_open("pool:" SERVICE_POOL, NULL, &client[nr]))
		nr++;
	for (int i = 0; i < nr; i++)
		if (pinion_client_close(client[i]))
			return 100;
	(void)arg;
	return nr;
}

#define VISITORS 3
#define ROUNDS 4 /* of this release and the next in turn, and this one last */

/* @binary: what is run next. */
static void one_round(struct service_process *service, const char *binary)
{
	const ino_t inode = named_inode(WHERE);
	pid_t visitor[VISITORS];

	for (int i = 0; i < VISITORS; i++)
		visitor[i] = run_until_said(live_on);
	kill_service(service);
	reached_await(VISITORS);
	assert_int_equal(setenv("PINIOND", binary, 1), 0);
	service_run(service);
	reached_await(VISITORS);
	assert_int_equal(named_inode(WHERE), inode);
	/* They live, and the memberships that were not known are gone with what they held. */
	service_await_members(1 + VISITORS);
	await_free();
	for (int i = 0; i < VISITORS; i++)
		assert_int_equal(process_end(visitor[i], SIGKILL), 128 + SIGKILL);
	service_await_members(1);
}

/* Whoever runs next, be it the next release: it adopts the pool. */
static void members_go_on_and_open_anew_and_no_number_is_lost(void **state)
{
	const char *const binary[] = {getenv("PINIOND_NEXT"), getenv("PINIOND_FIRST")};
	struct service_process service;
	pid_t device;

	(void)state;
	start(&service);
	device = device_start();
	for (int i = 0; i < ROUNDS; i++)
		one_round(&service, binary[i % 2]);
	/* All but the service's and the device process's. */
	assert_int_equal(member_end(part_start(fill, NULL)), MEMBERS - 2);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	stop(&service);
}

/* Holds some, and never looks for news. */
static int stay(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach_again(&client, &cache);

	if (!err)
		err = bounce(client, cache, 50, 9);
	if (err)
		return err;
	say_and_stay(arg);
}

/* Its slot could name anybody, and nothing else says who it is. */
static void expect_is_not_kicked(pid_t pid)
{
	int refused = 0;

	for (int number = 1; number < MEMBERS; number++) {
		char text[32];
		json_t *json;
		int err;

		(void)snprintf(text, sizeof(text), SERVICE_POOL " %d", number);
		json = service_ask("kick", text, &err);
		refused += err == -EPERM;
		assert_true(!json ||
			    json_integer_value(json_object_get(json, "pid")) != pid);
		json_decref(json);
	}
	assert_true(refused > 0);
}

/* What the dead sent may still be on its way to the living: until the last of them is gone. */
static void what_the_unknown_held_comes_back_with_the_death_of_the_last(void **state)
{
	struct service_process service;
	pid_t device, visitor[3];

	(void)state;
	start(&service);
	device = device_start();
	for (int i = 0; i < 3; i++)
		visitor[i] = run_until_said(stay);
	kill_service(&service);
	assert_int_equal(process_end(visitor[0], SIGKILL), 128 + SIGKILL);
	service_run(&service);
	assert_int_equal(process_end(visitor[1], SIGKILL), 128 + SIGKILL);
	usleep(200000);
	assert_true(service_held() >= 27);
	expect_is_not_kicked(visitor[2]);
	assert_int_equal(process_end(visitor[2], SIGKILL), 128 + SIGKILL);
	await_free();
	service_await_members(1);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	stop(&service);
}

/* Says goodbye to nobody; its process lives on. */
static int leave_meanwhile(void *arg)
{
	struct pinion_buffer kept[KEPT];
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach_again(&client, &cache);

	if (!err)
		err = keep_and_say(client, cache, kept, arg);
	if (err)
		return err;
	err = client_await_event(client, PINION_CLIENT_SERVICE_LOST);
	if (err || pinion_cache_close(cache) || pinion_client_close(client))
		return err ? err : 24;
	reached_say();
	for (;;)
		pause();
}

static void who_left_while_nobody_listened_has_left(void **state)
{
	struct service_process service;
	pid_t device, lazy, visitor;

	(void)state;
	start(&service);
	device = device_start();
	lazy = run_until_said(stay);
	visitor = run_until_said(leave_meanwhile);
	kill_service(&service);
	reached_await(1);
	service_run(&service);
	assert_int_equal(process_end(lazy, SIGKILL), 128 + SIGKILL);
	await_free();
	service_await_members(1);
	assert_int_equal(process_end(visitor, SIGKILL), 128 + SIGKILL);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	stop(&service);
}

#define KILLS 40

static int come_and_go(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;

	if (become_nobody())
		return 1;
	(void)write(*(int *)arg, "x", 1);
	for (;;) {
		if (attach_again(&client, &cache))
			return 2;
		(void)bounce(client, cache, 20, 1);
		(void)pinion_cache_close(cache);
		(void)pinion_client_close(client);
	}
}

static void killed_at_any_moment_nothing_is_lost(void **state)
{
	struct service_process service;
	uint64_t random = 20261129;
	pid_t device, visitor[3];

	(void)state;
	start(&service);
	device = device_start();
	for (int i = 0; i < 3; i++)
		visitor[i] = run_until_said(come_and_go);
	for (int i = 0; i < KILLS; i++) {
		usleep(test_below(&random, 20000));
		kill_service(&service);
		if (i % 4 == 0) {
			assert_int_equal(process_end(visitor[i / 4 % 3], SIGKILL),
					 128 + SIGKILL);
			visitor[i / 4 % 3] = run_until_said(come_and_go);
		}
		service_run(&service);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(process_end(visitor[i], SIGKILL), 128 + SIGKILL);
	await_free();
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	/* The numbers, too, of those whose answer was lost with the service that sent it. */
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	assert_int_equal(member_end(part_start(fill, NULL)), MEMBERS - 1);
	stop(&service);
}

#define HELD 9u

/* In the pool alone; holds some, and never looks for news. */
static int hold(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	struct pinion_client *client;
	struct pinion_cache *cache;

	if (become_nobody() || pinion_client_open("pool:" SERVICE_POOL, NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &any, &cache))
		return 3;
	for (uint32_t i = 0; i < HELD; i++)
		if (pinion_buffer_alloc(cache, &buffer))
			return 4;
	say_and_stay(arg);
}

/* Of those in the pool, who live there since before. */
static uint32_t count_formers(void)
{
	json_t *pool = service_pool(), *member;
	uint32_t nr = 0;
	size_t i;

	json_array_foreach(json_object_get(pool, "members"), i, member)
		nr += !strcmp(json_string_value(json_object_get(member, "role")), "former");
	json_decref(pool);
	return nr;
}

static void expect_all_are_known(int nth)
{
	const uint32_t formers = count_formers();
	const json_int_t held = service_held();

	if (formers == VISITORS && held >= VISITORS * HELD)
		return;
	fail_msg("killed at call %d: %u of them are known, %ju buffers held", nth, formers,
		 (uintmax_t)held);
}

/* Who are known to nobody any more. */
static void leave_alone(struct service_process *service, pid_t visitor[VISITORS])
{
	start(service);
	for (int i = 0; i < VISITORS; i++)
		visitor[i] = run_until_said(hold);
	kill_service(service);
}

/* By a service without a store, and nothing of theirs is lost. */
static void end_all(struct service_process *service, const pid_t visitor[VISITORS])
{
	service_run(service);
	expect_all_are_known(-1);
	for (int i = 0; i < VISITORS; i++)
		assert_int_equal(process_end(visitor[i], SIGKILL), 128 + SIGKILL);
	await_free();
	assert_int_equal(member_end(part_start(fill, NULL)), MEMBERS - 1);
	stop(service);
}

/* In the ledger that the store keeps are all of them, or the pool is not there either. */
static void killed_while_it_adopts_with_a_store_it_knows_all_afterwards(void **state)
{
	struct service_process service;
	pid_t visitor[VISITORS];
	bool killed = true;
	int nth;

	(void)state;
	leave_alone(&service, visitor);
	for (nth = 0; killed; nth++) {
		killed = midway_run(&service, nth);
		expect_all_are_known(nth);
		assert_int_equal(process_end(service.pid, SIGTERM), 0);
	}
	assert_true(nth > VISITORS);
	end_all(&service, visitor);
}

static void await_failure(pid_t pid)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

/* It ends, and takes nobody's number: there may be room for a pidfd next time. */
static void who_cannot_be_looked_at_is_not_taken_for_dead(void **state)
{
	struct service_process service;
	pid_t visitor[VISITORS];

	(void)state;
	leave_alone(&service, visitor);
	midway_run_blind(&service);
	expect_all_are_known(0);
	assert_int_equal(kill((pid_t)service_number("pid"), SIGKILL), 0);
	await_failure(service.pid);
	end_all(&service, visitor);
}

#define AS_IT_IS (-1)

/* What is done to one of its files, of which @at is the first page. */
struct spoiling {
	const char *file;
	off_t len, then; /* of the file; AS_IT_IS: no more than @spoil */
	void (*spoil)(char *at);
};

static void tell_another_layout(char *at)
{
	((struct control *)(void *)at)->stamp ^= UINT64_C(1) << 56;
}

/* All numbers are those of a process that does not end. */
static void take_all_numbers(char *at)
{
	const struct control *control = (void *)at;
	struct control_member *member;
	struct layout layout;

	layout_compute(&control->geometry, &layout);
	member = (void *)(at + layout.member);
	for (uint32_t i = 0; i < control->geometry.nr_members; i++) {
		atomic_store(&member[i].pid, 1);
		atomic_store(&member[i].started, 0);
		atomic_store(&member[i].goodbye, 0);
		atomic_store(&member[i].state, MEMBER_LIVE);
	}
}

static const struct spoiling *spoiling; /* that the next does */

static int spoil_file(int fd)
{
	const size_t len = 2 << 20;
	char *at;

	if (spoiling->len != AS_IT_IS &&
	    (ftruncate(fd, spoiling->len) || ftruncate(fd, spoiling->then)))
		return -1;
	if (!spoiling->spoil)
		return 0;
	at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -1;
	spoiling->spoil(at);
	return munmap(at, len);
}

/* Whoever is given files that no seal protects can cut them off, and the service with them, or
 * write over them. It stays: the service would free its number. */
static int spoil(void *said)
{
	char link[64], file[2 * SUPPORT_PATH_LEN];
	struct pinion_client *client;
	ssize_t len;

	if (become_nobody() || pinion_client_open("pool:" SERVICE_POOL, NULL, &client))
		return 30;
	for (int fd = 3; fd < 64; fd++) {
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		len = readlink(link, file, sizeof(file) - 1);
		file[len < 0 ? 0 : len] = 0;
		if (strstr(file, spoiling->file) && !spoil_file(fd))
			say_and_stay(said);
	}
	return 31;
}

/* A second pool, in memory, beside the named one. */
static void write_two(const struct service_process *service, const char *root, const char *where)
{
	service_write(service,
		      "pools = ( { name = \"" SERVICE_POOL "\"; path = \"%s/%s\";\n"
		      "  segments = ( { size = \"4M\"; buffer = \"4K\"; } ); },\n"
		      "  { name = \"guest\";\n"
		      "  segments = ( { size = \"1M\"; buffer = \"4K\"; page = \"4k\"; } ); } );\n"
		      "rules = ( %s );\n", root, where, service_rules);
}

static void start_two(struct service_process *service)
{
	service_configure(service, service_rules);
	write_two(service, named_root, WHERE);
	service_run(service);
}

/* It dies when it touches what is gone; whoever starts it again has all other pools. */
static void expect_others_are_served(struct service_process *service)
{
	struct pinion_client *client;
	int err;

	service_run(service);
	assert_int_equal(pinion_client_open("pool:guest", NULL, &client), 0);
	assert_int_equal(pinion_client_close(client), 0);
	assert_int_equal(pinion_client_open("pool:" SERVICE_POOL, NULL, &client), -ENOENT);
	assert_null(service_ask("pool-create", SERVICE_POOL " 4M 4K", &err));
	assert_int_equal(err, -EEXIST);
}

static void expect_ends_alone(const struct spoiling *how)
{
	struct service_process service;
	pid_t spoiler;

	start_two(&service);
	spoiling = how;
	spoiler = run_until_said(spoil);
	(void)kill(service.pid, SIGKILL);
	(void)member_end(service.pid);
	assert_int_equal(process_end(spoiler, SIGKILL), 128 + SIGKILL);
	expect_others_are_served(&service);
	stop(&service);
}

#define CONTROL "/" WHERE "/control"
#define LONGER (INT64_C(1) << 40) /* than there is memory */

static void a_named_pool_that_was_cut_off_ends_alone(void **state)
{
	static const struct spoiling cuts[] = {{CONTROL, 0, 0, NULL},
					       {CONTROL, 0, 2 << 20, NULL},
					       {"/" WHERE "/0", 0, 0, NULL},
					       {"/" WHERE "/0", 2 << 20, 2 << 20, NULL}};

	(void)state;
	for (unsigned i = 0; i < sizeof(cuts) / sizeof(*cuts); i++)
		expect_ends_alone(&cuts[i]);
}

static void a_named_pool_whose_files_were_made_longer_ends_alone(void **state)
{
	static const struct spoiling control = {CONTROL, LONGER, LONGER, NULL};
	static const struct spoiling segment = {"/" WHERE "/0", LONGER, LONGER, NULL};

	(void)state;
	expect_ends_alone(&control);
	expect_ends_alone(&segment);
}

static void a_named_pool_said_to_be_of_another_layout_ends_alone(void **state)
{
	static const struct spoiling here = {CONTROL, AS_IT_IS, AS_IT_IS, tell_another_layout};
	static const struct spoiling longer = {CONTROL, LONGER, LONGER, tell_another_layout};

	(void)state;
	expect_ends_alone(&here);
	expect_ends_alone(&longer);
}

static void a_named_pool_that_was_filled_with_strangers_ends_alone(void **state)
{
	static const struct spoiling full = {CONTROL, AS_IT_IS, AS_IT_IS, take_all_numbers};

	(void)state;
	expect_ends_alone(&full);
}

/* What is wrong with the configuration and not with the pool is told, as ever, by not starting. */
static void a_link_to_a_named_pool_is_not_passed_over(void **state)
{
	char pool[2 * SUPPORT_PATH_LEN], link[2 * SUPPORT_PATH_LEN];
	struct service_process service;
	const char *const command[] = {getenv("PINIOND"), "--config", service.config, NULL};

	(void)state;
	start_two(&service);
	assert_int_equal(process_end(service.pid, SIGTERM), 0);
	(void)snprintf(pool, sizeof(pool), "%s/" WHERE, named_root);
	(void)snprintf(link, sizeof(link), "%s/link", service.dir);
	assert_int_equal(symlink(pool, link), 0);
	write_two(&service, service.dir, "link");
	fflush(NULL);
	service.pid = fork();
	assert_true(service.pid >= 0);
	if (service.pid == 0) {
		execv(command[0], (char **)(uintptr_t)command);
		_exit(127);
	}
	await_failure(service.pid);
	support_dir_destroy(service.dir);
	named_unlink(WHERE);
}

/* What the ledger knows of a pool that was ended. */

#define OTHER "other" /* a directory; and a pool */
#define HUGE_PAGE ((size_t)2 << 20)

/* A page goes, when the service has seen that all were there, and another is in its place at once:
 * no service that comes later can see that. */
static int replace_a_page(void *said)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pinion_buffer buffer;
	uintptr_t page;

	if (pinion_client_open("pool:" SERVICE_POOL, NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &any, &cache) ||
	    pinion_buffer_alloc(cache, &buffer))
		return 1;
	page = (uintptr_t)pinion_buffer_addr(pinion_client_pool(client), buffer) & -HUGE_PAGE;
	usleep(1200000);
	if (madvise((void *)page, HUGE_PAGE, MADV_REMOVE))
		return 2;
	*(volatile char *)page = 1;
	say_and_stay(said);
}

/* @other: a pool that is before it. */
static void configure_behind(const struct service_process *service, bool other)
{
	char text[3 * SUPPORT_PATH_LEN] = "";

	if (other)
		(void)snprintf(text, sizeof(text), "{ name = \"" OTHER "\"; path = \"%s/" OTHER
			       "\"; segments = ( { size = \"2M\"; buffer = \"4K\"; } ); },",
			       named_root);
	service_write(service,
		      "pools = ( %s { name = \"" SERVICE_POOL "\"; path = \"%s/" WHERE "\";\n"
		      "  max_segments = 4;\n"
		      "  segments = ( { size = \"4M\"; buffer = \"4K\"; } ); } );\n"
		      "rules = ( %s );\n", text, named_root, service_rules);
}

static bool is_damaged(const char *name)
{
	json_t *pool = service_pool_of(name);
	const bool damaged = json_is_true(json_object_get(pool, "damaged"));

	assert_non_null(pool);
	json_decref(pool);
	return damaged;
}

static void await_damage(void)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	while (!is_damaged(SERVICE_POOL)) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
}

static void give_order(const char *what, const char *with)
{
	int err;

	json_decref(service_ask(what, with, &err));
	assert_int_equal(err, 0);
}

/* Ends the pool, and has the next service adopt it. */
static void end_and_adopt(const struct service_process *service, bool other)
{
	const ino_t inode = named_inode(WHERE);

	give_order("pool-destroy", SERVICE_POOL);
	configure_behind(service, other);
	service_kill(service);
	assert_int_equal(named_inode(WHERE), inode);
}

/* With a pool in the place that it had in the ledger; and no longer when the segment went, wherever
 * it is then. */
static void a_damaged_pool_that_was_ended_is_adopted_as_damaged(void **state)
{
	struct service_process service;
	pid_t culprit;

	(void)state;
	service_configure(&service, service_rules);
	configure_behind(&service, false);
	service_run_managed(&service, "2048");
	culprit = run_until_said(replace_a_page);
	await_damage();
	assert_int_equal(process_end(culprit, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	end_and_adopt(&service, true);
	for (int i = 0; i < 2; i++) {
		assert_true(is_damaged(SERVICE_POOL));
		assert_false(is_damaged(OTHER));
		service_kill(&service);
	}
	give_order("pool-grow", SERVICE_POOL " 2M");
	give_order("pool-retire", SERVICE_POOL " 0");
	give_order("pool-grow", SERVICE_POOL " 2M"); /* into the slot of the one that went */
	assert_false(is_damaged(SERVICE_POOL));
	give_order("pool-destroy", OTHER);
	end_and_adopt(&service, false);
	assert_false(is_damaged(SERVICE_POOL));
	service_stop(&service);
	named_unlink(WHERE);
	named_unlink(OTHER);
}

#define named_test(f) named_where(restart_test, f)

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		named_test(members_go_on_and_open_anew_and_no_number_is_lost),
		named_test(what_the_unknown_held_comes_back_with_the_death_of_the_last),
		named_test(who_left_while_nobody_listened_has_left),
		named_test(killed_at_any_moment_nothing_is_lost),
		named_test(killed_while_it_adopts_with_a_store_it_knows_all_afterwards),
		named_test(who_cannot_be_looked_at_is_not_taken_for_dead),
		named_test(a_named_pool_that_was_cut_off_ends_alone),
		named_test(a_named_pool_whose_files_were_made_longer_ends_alone),
		named_test(a_named_pool_said_to_be_of_another_layout_ends_alone),
		named_test(a_named_pool_that_was_filled_with_strangers_ends_alone),
		named_test(a_link_to_a_named_pool_is_not_passed_over),
		named_test(a_damaged_pool_that_was_ended_is_adopted_as_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	(void)argc;
	midway_main(argv);
	assert_int_equal(setenv("PINIOND_FIRST", getenv("PINIOND"), 1), 0);
	reached_open();
	return named_run(run_all);
}
