/* SPDX-License-Identifier: BSD-3-Clause */
/* piniond killed and back again, with what its fd store gives back. */

#include <sys/mman.h>
#include <sys/socket.h>

#include "service_support.h"

/* Told by the other side of the pipe when to go on. */
struct visitor {
	pid_t pid;
	int pipe_end;
};

static int await(struct pinion_client *client, enum pinion_client_event_kind kind)
{
	struct pollfd want = {.fd = pinion_client_fd(client), .events = POLLIN};
	struct pinion_client_event event = {0};

	while (pinion_client_next(client, &event) == 0)
		if (poll(&want, 1, 10000) != 1)
			return 30;
	return event.kind == kind ? 0 : 31;
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
	err = await(client, PINION_CLIENT_SERVICE_LOST);
	if (!err)
		err = bounce(client, cache, 50, 0);
	if (!err)
		err = await(client, PINION_CLIENT_SERVICE_BACK);
	if (!err)
		err = bounce(client, cache, 50, 0);
	if (!err && pinion_cache_close(cache))
		err = 4;
	return err ? err : pinion_client_close(client);
}

static struct visitor visit(int (*f)(void *))
{
	struct visitor visitor;
	char said;

	visitor.pid = run_with_pipe(f, &visitor.pipe_end);
	assert_int_equal(read(visitor.pipe_end, &said, 1), 1);
	close(visitor.pipe_end);
	return visitor;
}

static void members_stay_members_when_the_service_is_killed(void **state)
{
	struct service_process service;
	struct visitor visitor[3];
	pid_t device;

	(void)state;
	service_start_managed(&service);
	device = echo_start();
	for (int i = 0; i < 3; i++)
		visitor[i] = visit(live_through_a_restart);
	service_kill(&service);
	for (int i = 0; i < 3; i++)
		assert_int_equal(member_end(visitor[i].pid), 0);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	/* The device process has come back as well: somebody new is served. */
	visitor[0] = visit(live_through_a_restart);
	service_kill(&service);
	assert_int_equal(member_end(visitor[0].pid), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_stop(&service);
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
	(void)write(*(int *)arg, "x", 1);
	for (;;)
		pause();
}

static void who_died_meanwhile_is_buried_by_the_next(void **state)
{
	struct service_process service;
	struct visitor visitor[4];
	pid_t device, keeper;

	(void)state;
	service_start_managed(&service);
	device = echo_start();
	for (int i = 0; i < 4; i++)
		visitor[i] = visit(stay);
	/* Stopped, so that it does not see them die; then it never will. */
	keeper = (pid_t)service_number("pid");
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(process_end(visitor[i].pid, SIGKILL), 128 + SIGKILL);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	usleep(1000);
	service_await(&service);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	assert_int_equal(service_count("channels"), 0);
	service_stop(&service);
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
	struct visitor visitor[3];
	uint64_t random = 20261127;
	pid_t device;

	(void)state;
	service_start_managed(&service);
	device = echo_start();
	for (int i = 0; i < 3; i++)
		visitor[i] = visit(come_and_go);
	for (int i = 0; i < KILLS; i++) {
		const pid_t keeper = (pid_t)service_number("pid");

		usleep(test_below(&random, 20000));
		assert_int_equal(kill(keeper, SIGKILL), 0);
		if (i % 4 == 0) {
			assert_int_equal(process_end(visitor[i / 4 % 3].pid, SIGKILL),
					 128 + SIGKILL);
			visitor[i / 4 % 3] = visit(come_and_go);
		}
		service_await(&service);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(process_end(visitor[i].pid, SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(service_number("restarts"), KILLS);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_stop(&service);
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
	setenv("NOTIFY_SOCKET", notify, 1);
	execl(getenv("PINIOND"), "piniond", "--config", service->config, "--store-max", "64", NULL);
	_exit(127);
}

/* Until it is ready: how many ledgers the store has then. */
static int count_ledgers(int notify)
{
	char text[4096];
	int nr = 1;

	for (;;) {
		struct pollfd want = {notify, POLLIN, 0};
		ssize_t len;

		assert_int_equal(poll(&want, 1, 10000), 1);
		/* Files that come along are closed. */
		len = recv(notify, text, sizeof(text) - 1, 0);
		assert_true(len >= 0);
		text[len] = 0;
		if (strstr(text, "READY=1"))
			return nr;
		if (!strstr(text, "FDNAME=ledger"))
			continue;
		nr = strstr(text, "FDSTOREREMOVE=1") ? 0 : nr + 1;
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(members_stay_members_when_the_service_is_killed),
		pool_test(who_died_meanwhile_is_buried_by_the_next),
		pool_test(killed_at_any_moment_it_takes_everything_back),
		pool_test(a_ledger_of_another_release_does_not_stay_in_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
