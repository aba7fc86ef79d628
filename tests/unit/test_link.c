/* SPDX-License-Identifier: BSD-3-Clause */
/* A client against a service that dies while it is greeted: what the caller is told. And where a
 * service is looked for. */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(a_service_that_dies_behind_its_cookie_has_hung_up),
		support_test(an_empty_name_of_the_socket_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
