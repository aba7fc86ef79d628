/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many descriptors piniond says that systemd keeps for it: as many as it sent and did not have
 * dropped, whoever drops what is not there. What comes back: ../proc/test_service_restart.c.
 */

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "support.h"

#include "store.h"

#define MAX 3u

/* A manager that listens to nothing: what was sent to it waits. */
static int manager_open(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[sizeof(address.sun_path)];

	(void)snprintf(name, sizeof(name), "@pinion-store-%d", (int)getpid());
	(void)strcpy(address.sun_path + 1, name + 1);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static int put(unsigned number)
{
	return store_put(store_name("m.0.%u", number), STDIN_FILENO);
}

static void drop(unsigned number)
{
	store_drop(store_name("m.0.%u", number));
}

/* A member that has left is dropped with the rest of what came, and once more when it is buried. */
static void what_is_not_there_is_not_counted_out(void **state)
{
	const int manager = manager_open();

	(void)state;
	for (unsigned i = 0; i < MAX; i++)
		assert_int_equal(put(i), 0);
	assert_int_equal(put(MAX), -ENOSPC);
	drop(0);
	drop(0);
	drop(MAX);
	assert_int_equal(put(MAX), 0);
	assert_int_equal(put(0), -ENOSPC);
	for (unsigned i = 0; i <= MAX; i++)
		drop(i);
	assert_int_equal(close(manager), 0);
}

/* Nor is what the manager was not told. */
static void what_was_not_said_is_still_there(void **state)
{
	int manager = manager_open();

	(void)state;
	for (unsigned i = 0; i < MAX; i++)
		assert_int_equal(put(i), 0);
	assert_int_equal(close(manager), 0);
	drop(0);
	manager = manager_open();
	assert_int_equal(put(MAX), -ENOSPC);
	drop(0);
	assert_int_equal(put(MAX), 0);
	for (unsigned i = 0; i <= MAX; i++)
		drop(i);
	assert_int_equal(close(manager), 0);
}

static int open_store(void **state)
{
	const int manager = manager_open(); /* without one there is no store */

	(void)state;
	assert_int_equal(store_open(MAX), -1);
	return close(manager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(what_is_not_there_is_not_counted_out),
		support_test(what_was_not_said_is_still_there),
	};

	return cmocka_run_group_tests(tests, open_store, NULL);
}
