/* SPDX-License-Identifier: BSD-3-Clause */
/* A client against a service that dies, or is busy, while it is greeted: what the caller is told.
 * And where a service is looked for. */

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <pinion/client.h>
#include <pinion/error.h>

#include "link.h"
#include "support.h"
#include "wire.h"

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(address.sun_path));
	(void)strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Reads no more when the cookie is there, as one that died behind it: nobody has to be in time. */
static void *die_behind_the_cookie(void *listener)
{
	const int fd = accept4(*(int *)listener, NULL, NULL, SOCK_CLOEXEC);
	const struct wire cookie = wire_of(WIRE_COOKIE);
	struct wire hello;

	(void)!recv(fd, &hello, sizeof(hello), 0);
	(void)shutdown(fd, SHUT_RD);
	(void)wire_send(fd, &cookie, NULL, 0);
	(void)close(fd);
	return NULL;
}

static void a_service_that_dies_behind_its_cookie_has_hung_up(void **state)
{
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 16];
	struct pinion_client_config config = {.socket = path};
	struct pinion_client *client;
	pthread_t service;
	int listener;

	(void)state;
	support_dir_create(dir);
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	listener = listen_at(path);
	assert_int_equal(pthread_create(&service, NULL, die_behind_the_cookie, &listener), 0);
	assert_int_equal(pinion_client_open("pool:buffers", &config, &client), -EPROTO);
	assert_non_null(strstr(pinion_error_text(), "hung up"));
	assert_int_equal(pthread_join(service, NULL), 0);
	assert_int_equal(close(listener), 0);
	support_dir_destroy(dir);
}

static void an_empty_name_of_the_socket_is_none(void **state)
{
	struct link link;

	(void)state;
	assert_int_equal(setenv("PINION_SOCKET", "", 1), 0);
	if (!link_open(&link, ""))
		link_close(&link);
	assert_string_equal(link.path, PINION_SOCKET_DEFAULT);
	assert_int_equal(setenv("PINION_SOCKET", "/nowhere/at/all", 1), 0);
	assert_int_equal(link_open(&link, ""), -ENOENT);
	assert_string_equal(link.path, "/nowhere/at/all");
	assert_int_equal(unsetenv("PINION_SOCKET"), 0);
}

/* The next connection, and its greeting, which is answered by @answer. */
static int accept_and_answer(int listener, struct wire answer)
{
	const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct wire hello;

	(void)!recv(fd, &hello, sizeof(hello), 0);
	(void)wire_send(fd, &answer, NULL, 0);
	return fd;
}

/* ... and of what comes to rejoin. */
static int accept_and_hear(int listener, const struct wire *answer)
{
	const int fd = accept_and_answer(listener, wire_of(WIRE_COOKIE));
	struct wire message;

	(void)!recv(fd, &message, sizeof(message), 0); /* CONFIRM */
	(void)!recv(fd, &message, sizeof(message), 0); /* REJOIN, or what was asked first */
	(void)wire_send(fd, answer, NULL, 0);
	return fd;
}

/* As a service that was busy elsewhere each time, and hears us at last. */
static void *be_busy_for_a_while(void *listener)
{
	const struct wire rejoined = wire_of(WIRE_REJOINED);
	struct wire late = wire_of(WIRE_REFUSED);
	static int last;

	late.value = -ETIMEDOUT;
	(void)close(accept_and_answer(*(int *)listener, late));
	(void)close(accept_and_hear(*(int *)listener, &late));
	last = accept_and_hear(*(int *)listener, &rejoined);
	return &last;
}

static enum link_news await_news(struct link *link)
{
	const uint64_t until = test_now_ns() + UINT64_C(20000000000);
	struct pollfd any = {.fd = link->epoll, .events = POLLIN};
	enum link_news news;
	struct letter letter;

	while ((news = link_next(link, &letter)) == LINK_NOTHING && test_now_ns() < until)
		(void)poll(&any, 1, 100);
	return news;
}

static void who_was_not_heard_in_time_comes_again(void **state)
{
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 16];
	pthread_t service;
	struct link link;
	int listener;
	void *last;

	(void)state;
	support_dir_create(dir);
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	listener = listen_at(path);
	assert_int_equal(pthread_create(&service, NULL, die_behind_the_cookie, &listener), 0);
	assert_int_equal(link_open(&link, path), 0);
	link_joined(&link, 1);
	assert_int_equal(pthread_join(service, NULL), 0);
	assert_int_equal(pthread_create(&service, NULL, be_busy_for_a_while, &listener), 0);
	assert_int_equal(await_news(&link), LINK_LOST);
	assert_int_equal(await_news(&link), LINK_BACK);
	assert_int_equal(pthread_join(service, &last), 0);
	link_close(&link);
	assert_int_equal(close(*(int *)last) | close(listener), 0);
	support_dir_destroy(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(a_service_that_dies_behind_its_cookie_has_hung_up),
		support_test(an_empty_name_of_the_socket_is_none),
		support_test(who_was_not_heard_in_time_comes_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
