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

/* 0 and a descriptor that is connected; -errno, and none. @patience NULL: it does not block. */
static int connect_to(const struct sockaddr_un *address, const struct timeval *patience, int *out)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (patience ? 0 : SOCK_NONBLOCK), 0);
	int err;

	if (fd < 0)
		return -errno;
	/* Who does not accept would block connect() without end. */
	if ((patience && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, patience, sizeof(*patience))) ||
	    connect(fd, (const struct sockaddr *)address, sizeof(*address))) {
		err = -errno;
		(void)close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

int dial_connect(const char *path, int *fd)
{
	const struct timeval patience = {.tv_sec = DIAL_PATIENCE_MS / 1000};
	struct sockaddr_un address;
	int err = address_of(path, &address);

	if (err)
		return err;
	err = connect_to(&address, &patience, fd);
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

	return err ? err : connect_to(&address, NULL, fd);
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
