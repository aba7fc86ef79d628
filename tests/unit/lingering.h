/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_LINGERING_H
#define PINION_TESTS_LINGERING_H

/*
 * A file that takes long to close: whoever closes it last waits, if nothing is done about it.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mail.h"
#include "support.h"

#define LINGERING_S 20

/* Well below. */
#define LINGERING_NOT_NS UINT64_C(10000000000)

/* A connection of TCP with something in it that nobody takes, as long as @other is open. */
static inline int lingering_open(int *other)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	const struct linger linger = {1, LINGERING_S};
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static char bytes[1 << 16];
	socklen_t len = sizeof(address);

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
	*other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

/* Along with @data; the other end of it. The sender's own copy goes without a wait: it is not the
 * last one, if that was taken. */
static inline int lingering_send(int socket, const void *data, size_t len)
{
	int other, fd = lingering_open(&other);
	const struct linger none = {0, 0};

	if (mail_send(socket, data, len, &fd, 1))
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
	return other;
}

#endif
