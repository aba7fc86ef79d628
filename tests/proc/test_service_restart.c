/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * piniond killed and back again, with what its fd store gives back: a pool of memory files, and a
 * named one, in pages of 2 MiB, where enough of them are free.
 */

#include <sys/socket.h>

#include "master.h"
#include "restart_support.h"

/* In which pool a test is. */
struct kind {
	const char *rules;
	const char *where; /* in that directory of named_root; NULL: in memory files */
};

static const struct kind common = {.rules = service_rules};
static const struct kind named = {.rules = service_rules, .where = "pool"};
static const struct kind apart = {.rules = service_rules_apart};

static void configure(struct service_process *service, const struct kind *kind)
{
	service_configure(service, kind->rules);
	if (kind->where)
		named_configure(service, kind->where, kind->rules);
}

static void start(struct service_process *service, const struct kind *kind)
{
	configure(service, kind);
	service_run_managed(service, "2048");
}

/* What it leaves on hugetlbfs is gone as well. */
static void stop(struct service_process *service, const struct kind *kind)
{
	service_stop(service);
	if (kind->where)
		named_unlink(kind->where);
}

/* Works, loses the service, works on, has it back, works on, and leaves in good order. */
static int live_through_a_restart(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (!err)
		err = bounce(client, cache, 50, 3);
	if (err)
		return err;
	(void)write(*(int *)arg, "x", 1);
	err = client_await_event(client, PINION_CLIENT_SERVICE_LOST);
	if (!err)
		err = bounce(client, cache, 50, 0);
	if (!err)
		err = client_await_event(client, PINION_CLIENT_SERVICE_BACK);
	if (!err)
		err = bounce(client, cache, 50, 0);
	if (!err && pinion_cache_close(cache))
		err = 4;
	return err ? err : pinion_client_close(client);
}

static void members_stay_members_when_the_service_is_killed(void **state)
{
	struct service_process service;
	pid_t visitor[3];
	pid_t device;

	start(&service, *state);
	device = echo_start();
	for (int i = 0; i < 3; i++)
		visitor[i] = run_until_said(live_through_a_restart);
	service_kill(&service);
	for (int i = 0; i < 3; i++)
		assert_int_equal(member_end(visitor[i]), 0);
	service_await_members(1);
	service_await_pools(1);
	assert_int_equal(service_held(), 0);
	/* The device process has come back as well: somebody new is served. */
	visitor[0] = run_until_said(live_through_a_restart);
	service_kill(&service);
	assert_int_equal(member_end(visitor[0]), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_await_pools(1);
	assert_int_equal(service_held(), 0);
	stop(&service, *state);
}

static int hear_of_a_restart(struct pinion_client *client)
{
	const int err = client_await_event(client, PINION_CLIENT_SERVICE_LOST);

	return err ? err : client_await_event(client, PINION_CLIENT_SERVICE_BACK);
}

/* A member that says when it has come so far, hears of a restart, and leaves. */
static void lives_through_one(const struct service_process *service, int (*member)(void *))
{
	const pid_t pid = run_until_said(member);

	service_kill(service);
	assert_int_equal(member_end(pid), 0);
	service_await_members(0);
}

/* Memberships of one process. */

#define MOST 24 /* in a pool, the service's own among them */

struct crowd {
	struct pinion_client *client[MOST];
	int nr;
};

/* As many as it gets; what refused it more, or 0. */
static int crowd_attach(struct crowd *crowd)
{
	int err = 0;

	while (crowd->nr < MOST && !(err = pinion_client_open("pool:" SERVICE_POOL, NULL,
							      &crowd->client[crowd->nr])))
		crowd->nr++;
	return err;
}

/* @said: where it says that they are there. */
static int crowd_stay_and_leave(struct crowd *crowd, int said)
{
	(void)write(said, "x", 1);
	for (int i = 0; i < crowd->nr; i++)
		if (hear_of_a_restart(crowd->client[i]))
			return 41;
	while (crowd->nr)
		if (pinion_client_close(crowd->client[--crowd->nr]))
			return 42;
	return 0;
}

static int fill_the_pool(void *arg)
{
	struct crowd crowd = {.nr = 0};

	(void)crowd_attach(&crowd);
	return crowd.nr == MOST - 1 ? crowd_stay_and_leave(&crowd, *(int *)arg) : 40;
}

static void a_full_pool_is_taken_up_again(void **state)
{
	struct service_process service;

	start(&service, *state);
	lives_through_one(&service, fill_the_pool);
	stop(&service, *state);
}

static int stay(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (!err)
		err = bounce(client, cache, 50, 9);
	if (err)
		return err;
	say_and_stay(arg);
}

static void who_died_meanwhile_is_buried_by_the_next(void **state)
{
	struct service_process service;
	pid_t visitor[4];
	pid_t device, keeper;

	start(&service, *state);
	device = echo_start();
	for (int i = 0; i < 4; i++)
		visitor[i] = run_until_said(stay);
	/* Stopped, so that it does not see them die; then it never will. */
	keeper = (pid_t)service_number("pid");
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(process_end(visitor[i], SIGKILL), 128 + SIGKILL);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	usleep(1000);
	service_await(&service);
	service_await_members(0);
	service_await_pools(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(service_count("channels"), 0);
	stop(&service, *state);
}

/* Keeps some, and leaves; before and after it stands still. */
static int leave_and_live_on(void *arg)
{
	struct pinion_buffer kept[KEPT];
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = come_and_say(&client, &cache, kept, arg);

	if (err)
		return err;
	(void)raise(SIGSTOP);
	if (pinion_cache_close(cache) || pinion_client_close(client))
		return 4;
	(void)raise(SIGSTOP);
	for (;;)
		pause();
}

static void cut_connections(void)
{
	for (int fd = 3; fd < 256; fd++) {
		int type = 0;
		socklen_t len = sizeof(type);

		if (!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_SEQPACKET)
			(void)shutdown(fd, SHUT_RDWR);
	}
}

/* What one does that nobody hears. */
struct silence {
	bool waits, leaves, ends; /* to go on, before; its slot says that it left; its process */
};

static int fall_silent(const struct silence *silence, int *said)
{
	struct pinion_buffer kept[KEPT];
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = come_and_say(&client, &cache, kept, said);

	if (err)
		return err;
	if (silence->waits)
		(void)raise(SIGSTOP);
	cut_connections();
	if (silence->leaves && (pinion_cache_close(cache) || pinion_client_close(client)))
		return 4;
	while (!silence->ends)
		pause();
	return 0;
}

/* Has nobody to say goodbye to, and lives on. */
static int leave_without_a_connection(void *said)
{
	return fall_silent(&(struct silence){.leaves = true}, said);
}

/* By a service that was there all the time. */
static void who_left_without_a_connection_has_left(void **state)
{
	struct service_process service;
	pid_t device, visitor;

	start(&service, *state);
	device = echo_start();
	visitor = run_until_said(leave_without_a_connection);
	service_await_members(1);
	service_await_pools(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(process_end(visitor, SIGKILL), 128 + SIGKILL);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	stop(&service, *state);
}

/* Keeps some, and is heard of no more. */
static int stay_without_a_connection(void *said)
{
	return fall_silent(&(struct silence){0}, said);
}

/* Says goodbye for everybody else, as well as it can, and that they are dead. */
static int write_over_slots(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (err)
		return err;
	pool = pinion_client_pool(client);
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		if (i == pool->member || pool->members[i].state != MEMBER_LIVE)
			continue;
		pool->members[i].state = MEMBER_DEAD;
		pool->members[i].goodbye = 1;
	}
	say_and_stay(arg);
}

/* Neither to the service that was there all the time, nor to the next. */
static void nobody_can_say_goodbye_for_another(void **state)
{
	struct service_process service;
	pid_t device, victim, liar;

	start(&service, *state);
	device = echo_start();
	victim = run_until_said(stay_without_a_connection);
	liar = run_until_said(write_over_slots);
	for (int i = 0; i < 2; i++) {
		usleep(300000); /* it looks every 50 ms */
		/* With that one's burial those go on that have begun. */
		assert_int_equal(process_end(run_until_said(stay), SIGKILL), 128 + SIGKILL);
		service_await_members(3);
		assert_true(service_held() >= KEPT);
		service_kill(&service);
		service_await_members(3);
	}
	assert_int_equal(process_end(liar, SIGKILL), 128 + SIGKILL);
	assert_int_equal(process_end(victim, SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	stop(&service, *state);
}

static void await_stopped(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

/* Its goodbye was sent to one that never read it. */
static void who_left_and_was_not_heard_has_left(void **state)
{
	struct service_process service;
	pid_t device, keeper, visitor;

	start(&service, *state);
	device = echo_start();
	visitor = run_until_said(leave_and_live_on);
	await_stopped(visitor);
	keeper = (pid_t)service_number("pid");
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	assert_int_equal(kill(visitor, SIGCONT), 0);
	await_stopped(visitor);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	usleep(1000);
	service_await(&service);
	service_await_members(1);
	service_await_pools(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(process_end(visitor, SIGKILL), 128 + SIGKILL);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	stop(&service, *state);
}

static int leave_without_a_connection_and_end(void *said)
{
	return fall_silent(&(struct silence){.waits = true, .leaves = true, .ends = true}, said);
}

static void who_left_unheard_and_ended_before_it_was_looked_at_did_not_die(void **state)
{
	struct service_process service;
	pid_t device, keeper, visitor;

	start(&service, *state);
	device = echo_start();
	visitor = run_until_said(leave_without_a_connection_and_end);
	await_stopped(visitor);
	keeper = (pid_t)service_number("pid");
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	assert_int_equal(process_end(visitor, SIGCONT), 0);
	assert_int_equal(kill(keeper, SIGCONT), 0);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(service_counter("left"), 2); /* and who asked for the device */
	assert_int_equal(service_counter("deaths"), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	stop(&service, *state);
}

/* A device process: leaves unheard, its device as it is, and is there again. */
static int serve_again(void *arg)
{
	const struct pinion_device_config config = {.bdf = find_master()};
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	struct pinion_device *device;
	int err = pinion_device_open(SERVICE_DEVICE, &config, &device);

	if (err)
		return 5;
	cut_connections();
	if (pinion_device_close(device))
		return 6;
	do
		err = pinion_device_open(SERVICE_DEVICE, &config, &device);
	while (err == -EADDRINUSE && test_now_ns() < until);
	if (err)
		return 7;
	say_and_stay(arg);
}

static void a_device_process_that_left_unheard_serves_again(void **state)
{
	struct service_process service;
	pid_t device;

	start(&service, *state);
	device = run_until_said(serve_again);
	service_await_members(1);
	assert_int_equal(service_counter("left"), 1);
	assert_int_equal(service_counter("deaths"), 0);
	/* Killed, it is not quiet for as long as this machine runs. */
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	stop(&service, *state);
}

static json_int_t number_of(pid_t pid)
{
	json_t *pool = service_pool(), *member;
	json_int_t number = -1;
	size_t i;

	json_array_foreach(json_object_get(pool, "members"), i, member)
		if (json_integer_value(json_object_get(member, "pid")) == pid)
			number = json_integer_value(json_object_get(member, "number"));
	json_decref(pool);
	return number;
}

/* Killed after the service came back: noticed, and its number is somebody else's next. */
static void who_dies_afterwards_is_buried_and_its_number_used_again(void **state)
{
	struct service_process service;
	pid_t visitor, next;
	json_int_t number;
	pid_t device;

	start(&service, *state);
	device = echo_start();
	visitor = run_until_said(stay);
	number = number_of(visitor);
	assert_true(number > 0);
	service_kill(&service);
	service_kill(&service);
	service_await_members(2); /* both, and no keeper of before */
	assert_int_equal(number_of(visitor), number);
	assert_true(service_held() >= 9);
	assert_int_equal(process_end(visitor, SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	for (int i = 0; i < 30; i++) { /* more than there are numbers */
		next = run_until_said(stay);
		assert_true(number_of(next) <= number);
		assert_int_equal(process_end(next, SIGKILL), 128 + SIGKILL);
		service_await_members(1);
	}
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	stop(&service, *state);
}

/* The clients alone, or the device process alone: the other side goes on. */
static void one_side_of_a_pool_dies_meanwhile(void **state)
{
	struct service_process service;
	pid_t visitor;
	pid_t device, keeper;

	start(&service, *state);
	device = echo_start();
	for (int i = 0; i < 2; i++) {
		visitor = run_until_said(stay);
		keeper = (pid_t)service_number("pid");
		assert_int_equal(kill(keeper, SIGSTOP), 0);
		assert_int_equal(process_end(i ? device : visitor, SIGKILL), 128 + SIGKILL);
		assert_int_equal(kill(keeper, SIGKILL), 0);
		usleep(1000);
		service_await(&service);
		service_await_members(1 - i);
		if (i)
			assert_int_equal(process_end(visitor, SIGKILL), 128 + SIGKILL);
		service_await_pools(1);
	}
	stop(&service, *state);
}

/* A device process that its parent has not waited for yet is as dead as others: what it held comes
 * back when its device is quiet, and not at once because nobody lives. */
static void a_dead_device_process_counts_as_living_until_its_device_is_quiet(void **state)
{
	struct service_process service;
	siginfo_t ended;
	pid_t device, keeper;

	log_begin();
	start(&service, *state);
	device = echo_start();
	service_await_members(1); /* who asked for it has left */
	keeper = (pid_t)service_number("pid");
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	assert_int_equal(kill(device, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)device, &ended, WEXITED | WNOWAIT), 0);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	usleep(1000);
	service_await(&service);
	service_await_members(0);
	assert_int_equal(member_end(device), 128 + SIGKILL);
	stop(&service, *state);
	assert_true(log_end("taken up again: 1 members live"));
}

/* A service that is killed again and again, at any moment of its work. */
#define KILLS 60

static int come_and_go(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;

	if (become_nobody())
		return 1;
	(void)write(*(int *)arg, "x", 1);
	for (;;) {
		if (pinion_client_open(SERVICE_DEVICE, NULL, &client))
			continue;
		if (!pinion_cache_open(pinion_client_pool(client),
				       &(struct pinion_cache_config){.buffer_size = BUFFER,
								     .node = PINION_NODE_ANY},
				       &cache)) {
			(void)bounce(client, cache, 20, 1);
			(void)pinion_cache_close(cache);
		}
		(void)pinion_client_close(client);
	}
}

static void killed_at_any_moment_it_takes_everything_back(void **state)
{
	struct service_process service;
	pid_t visitor[3];
	uint64_t random = 20261127;
	pid_t device;

	start(&service, *state);
	device = echo_start();
	for (int i = 0; i < 3; i++)
		visitor[i] = run_until_said(come_and_go);
	for (int i = 0; i < KILLS; i++) {
		const pid_t keeper = (pid_t)service_number("pid");

		usleep(test_below(&random, 20000));
		assert_int_equal(kill(keeper, SIGKILL), 0);
		if (i % 4 == 0) {
			assert_int_equal(process_end(visitor[i / 4 % 3], SIGKILL),
					 128 + SIGKILL);
			visitor[i / 4 % 3] = run_until_said(come_and_go);
		}
		service_await(&service);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(process_end(visitor[i], SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	service_await_pools(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(service_number("restarts"), KILLS);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	stop(&service, *state);
}

/* What it tells a manager, when "ledger" came back from its store, and is none. */

static int open_notify(struct sockaddr_un *address)
{
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const int nr = snprintf(address->sun_path, sizeof(address->sun_path), "@pinion-test-%d",
				(int)getpid());

	address->sun_family = AF_UNIX;
	*address->sun_path = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)nr)), 0);
	*address->sun_path = '@';
	return fd;
}

/* In the child, as systemd does it: what it is told goes to @notify. */
static _Noreturn void become_service(const struct service_process *service, const char *notify)
{
	setenv("NOTIFY_SOCKET", notify, 1);
	execl(getenv("PINIOND"), "piniond", "--config", service->config, "--store-max", "64", NULL);
	_exit(127);
}

static pid_t run_with_ledger(const struct service_process *service, const char *notify, int ledger)
{
	const pid_t pid = fork();
	char number[16];

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(ledger, 3);
	close_range(4, ~0u, 0);
	(void)snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "ledger", 1);
	become_service(service, notify);
}

/* @usec: what it has from one time that it is fed to the next. */
static pid_t run_watched(const struct service_process *service, const char *notify,
			 const char *usec)
{
	const pid_t pid = fork();
	char number[16];

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("WATCHDOG_PID", number, 1);
	setenv("WATCHDOG_USEC", usec, 1);
	become_service(service, notify);
}

/* What it says next; files that come along are closed. */
static void hear(int notify, char text[4096])
{
	struct pollfd want = {notify, POLLIN, 0};
	ssize_t len;

	assert_int_equal(poll(&want, 1, 10000), 1);
	len = recv(notify, text, 4095, 0);
	assert_true(len >= 0);
	text[len] = 0;
}

/* Until it is ready: how many ledgers the store has then. */
static int count_ledgers(int notify)
{
	char text[4096];
	int nr = 1;

	for (;;) {
		hear(notify, text);
		if (strstr(text, "READY=1"))
			return nr;
		if (!strstr(text, "FDNAME=ledger"))
			continue;
		nr = strstr(text, "FDSTOREREMOVE=1") ? 0 : nr + 1;
	}
}

/* The first WATCHDOG=1 arms it: before the pages of a large pool are cleared that is its death. */
static void the_watchdog_is_fed_from_when_it_is_ready_and_not_before(void **state)
{
	struct service_process service;
	struct sockaddr_un address;
	char text[4096];
	const int notify = open_notify(&address);

	(void)state;
	service_configure(&service, service_rules);
	service.pid = run_watched(&service, address.sun_path, "1000000");
	do {
		hear(notify, text);
		assert_null(strstr(text, "WATCHDOG=1"));
	} while (!strstr(text, "READY=1"));
	for (int i = 0; i < 3; i++) {
		hear(notify, text);
		assert_string_equal(text, "WATCHDOG=1");
	}
	service_stop(&service);
	close(notify);
}

/* To fill many pages takes minutes: until it is ready it says how far it is. */
static void how_far_it_is_is_told_until_it_is_ready(void **state)
{
	struct service_process service;
	struct sockaddr_un address;
	const int notify = open_notify(&address);
	char text[4096];
	int told = 0;

	(void)state;
	service_configure(&service, service_rules);
	service.pid = run_watched(&service, address.sun_path, "3600000000");
	for (hear(notify, text); !strstr(text, "READY=1"); hear(notify, text))
		told += strstr(text, "STATUS=pool " SERVICE_POOL ": ") != NULL;
	assert_true(told);
	assert_non_null(strstr(text, "STATUS=serving"));
	service_stop(&service);
	close(notify);
}

/* The loop does not run meanwhile, and feeds it every half an hour only. (While a pool is made it
 * does.) */
static void the_watchdog_is_fed_while_a_pool_grows(void **state)
{
	struct service_process service;
	struct sockaddr_un address;
	const int notify = open_notify(&address);
	char text[4096];
	int err;

	(void)state;
	service_configure(&service, service_rules);
	service.pid = run_watched(&service, address.sun_path, "3600000000");
	do
		hear(notify, text);
	while (!strstr(text, "WATCHDOG=1"));
	json_decref(service_ask("pool-grow", SERVICE_POOL " 4M", &err));
	assert_int_equal(err, 0);
	do
		hear(notify, text);
	while (!strstr(text, "WATCHDOG=1"));
	service_stop(&service);
	close(notify);
}

static void a_ledger_of_another_release_does_not_stay_in_the_store(void **state)
{
	struct service_process service;
	struct sockaddr_un address;
	int notify, ledger;

	(void)state;
	service_configure(&service, service_rules);
	notify = open_notify(&address);
	ledger = memfd_create("other", 0); /* of no release's size */
	service.pid = run_with_ledger(&service, address.sun_path, ledger);
	assert_int_equal(count_ledgers(notify), 1);
	service_stop(&service);
	close(ledger);
	close(notify);
}

/* A rule's bytes. */

#define RULE_BYTES "1M"
#define RULE_BUFFERS 256u
#define MAGAZINE_MOST 64u /* a cache may overshoot by one, see pool.h */

static const struct kind bounded = {.rules = "{ user = \"*\"; pools = [ \"*\" ]; "
					     "bytes = \"" RULE_BYTES "\"; admin = true; }"};

/* Allocates until there is no more for it, and gives all back. 0: it got what the rule says. */
static int use_up(struct pinion_cache *cache)
{
	static struct pinion_buffer buffer[RULE_BUFFERS + MAGAZINE_MOST + 1];
	const uint32_t most = RULE_BUFFERS + MAGAZINE_MOST;
	uint32_t nr = 0;
	int err = 0;

	while (nr <= most && !(err = pinion_buffer_alloc(cache, &buffer[nr])))
		nr++;
	if (err != -EDQUOT || nr < RULE_BUFFERS)
		return 5;
	for (uint32_t i = 0; i < nr; i++)
		if (pinion_buffer_free(cache, buffer[i]))
			return 6;
	return pinion_cache_flush(cache) ? 7 : 0;
}

static int live_within_bounds(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err;

	if (become_nobody() || pinion_client_open("pool:" SERVICE_POOL, NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &any, &cache))
		return 3;
	err = use_up(cache);
	(void)write(*(int *)arg, "x", 1);
	if (!err)
		err = hear_of_a_restart(client);
	if (!err)
		err = use_up(cache);
	if (!err && pinion_cache_close(cache))
		err = 4;
	return err ? err : pinion_client_close(client);
}

static void who_has_all_bytes_of_its_rule_gets_no_more(void **state)
{
	struct service_process service;

	start(&service, *state);
	lives_through_one(&service, live_within_bounds);
	stop(&service, *state);
}

/* A full store. */

#define STORE_SMALL "8"

static int attach_until_full(void *arg)
{
	struct crowd crowd = {.nr = 0};

	if (become_nobody() || crowd_attach(&crowd) != -ENOSPC || !crowd.nr)
		return 5;
	return crowd_stay_and_leave(&crowd, *(int *)arg);
}

static void whom_the_store_has_no_room_for_is_not_let_in(void **state)
{
	struct service_process service;

	(void)state;
	configure(&service, &common);
	service_run_managed(&service, STORE_SMALL);
	lives_through_one(&service, attach_until_full);
	service_stop(&service);
}

#define kind_test(f, kind) \
	{#f "_" #kind, f, restart_before, restart_after, (void *)(uintptr_t)&(kind)}
#define in_named(f) kind_test(f, named)
#define named_test(f) named_where(in_named, f)
#define in_common(f) kind_test(f, common)
#define in_apart(f) kind_test(f, apart)
#define in_bounded(f) kind_test(f, bounded)
#define root_test(in, f) support_where(!geteuid(), "only root may serve, and be nobody", in, f)
#define common_test(f) root_test(in_common, f)
#define apart_test(f) root_test(in_apart, f)
#define kinds_test(f) common_test(f), named_test(f), apart_test(f)

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		kinds_test(members_stay_members_when_the_service_is_killed),
		kinds_test(who_died_meanwhile_is_buried_by_the_next),
		kinds_test(who_left_and_was_not_heard_has_left),
		kinds_test(who_left_without_a_connection_has_left),
		common_test(nobody_can_say_goodbye_for_another),
		common_test(who_left_unheard_and_ended_before_it_was_looked_at_did_not_die),
		support_where(!geteuid() && find_master(),
			      "not root, or no PCI device is master of the bus",
			      in_common, a_device_process_that_left_unheard_serves_again),
		kinds_test(killed_at_any_moment_it_takes_everything_back),
		common_test(who_dies_afterwards_is_buried_and_its_number_used_again),
		named_test(who_dies_afterwards_is_buried_and_its_number_used_again),
		apart_test(one_side_of_a_pool_dies_meanwhile),
		common_test(a_dead_device_process_counts_as_living_until_its_device_is_quiet),
		common_test(a_full_pool_is_taken_up_again),
		named_test(a_full_pool_is_taken_up_again),
		root_test(in_bounded, who_has_all_bytes_of_its_rule_gets_no_more),
		pool_test(whom_the_store_has_no_room_for_is_not_let_in),
		pool_test(a_ledger_of_another_release_does_not_stay_in_the_store),
		pool_test(the_watchdog_is_fed_from_when_it_is_ready_and_not_before),
		pool_test(how_far_it_is_is_told_until_it_is_ready),
		pool_test(the_watchdog_is_fed_while_a_pool_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return named_run(run_all);
}
