/* SPDX-License-Identifier: BSD-3-Clause */
#include "dial.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "bell.h"
#include "fail.h"

static int address_of(const char *path, struct sockaddr_un *address)
{
	if (strlen(path) >= sizeof(address->sun_path))
		return pinion_fail(-ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
				   sizeof(address->sun_path) - 1);
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, strlen(path));
	return 0;
}

/* Who does not accept would block connect() without end. A signal breaks it off with nothing done,
 * and so does a stop that is over. */
static int connect_within(int fd, const struct sockaddr_un *address, unsigned patience_ms)
{
	uint64_t now = bell_now_ns(), deadline = now + patience_ms * UINT64_C(1000000);

	for (; now < deadline; now = bell_now_ns()) {
		const uint64_t left_us = (deadline - now) / 1000 + 1; /* of 0 there is no limit */
		const struct timeval patience = {.tv_sec = (time_t)(left_us / 1000000),
						 .tv_usec = (suseconds_t)(left_us % 1000000)};

		if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)))
			return -errno;
		if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
			return 0;
		if (errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

/* 0 and a descriptor that is connected; -errno, and none. @patience_ms 0: it does not block. */
static int connect_to(const struct sockaddr_un *address, unsigned patience_ms, int *out)
{
	const int flags = SOCK_SEQPACKET | SOCK_CLOEXEC | (patience_ms ? 0 : SOCK_NONBLOCK);
	int fd = socket(AF_UNIX, flags, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (patience_ms)
		err = connect_within(fd, address, patience_ms);
	else if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		err = -errno;
	if (err)
		(void)close(fd);
	else
		*out = fd;
	return err;
}

int dial_connect(const char *path, int *fd)
{
	struct sockaddr_un address;
	int err = address_of(path, &address);

	if (err)
		return err;
	err = connect_to(&address, DIAL_PATIENCE_MS, fd);
	if (err == -EAGAIN)
		return pinion_fail(-ETIMEDOUT, "%s: the keeper does not accept connections", path);
	if (err)
		return pinion_fail(err, "%s: %s (is a keeper running there?)", path,
				   strerror(-err));
	return 0;
}

int dial_try(const char *path, int *fd)
{
	struct sockaddr_un address;
	int err = address_of(path, &address);

	return err ? err : connect_to(&address, 0, fd);
}

int dial_wait(int fd)
{
	uint64_t now = bell_now_ns(), deadline = now + DIAL_PATIENCE_MS * UINT64_C(1000000);
	struct pollfd want = {.fd = fd, .events = POLLIN};

	for (; now < deadline; now = bell_now_ns()) {
		int ready = poll(&want, 1, (int)((deadline - now) / 1000000) + 1);

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
	}
	return -ETIMEDOUT;
}
