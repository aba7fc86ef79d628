/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel that is short of memory each time that a service wants to watch a connection again, and
 * then has some: in the place of the C library's epoll_ctl(2), also for who runs the loop.
 */

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Never another's, as a descriptor is soon. 0: no socket. */
static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) ? 0 : cookie;
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	static uint64_t last; /* whom it ceased to watch */
	const uint64_t cookie = cookie_of(fd);

	if (op == EPOLL_CTL_DEL && cookie) {
		last = cookie;
	} else if (op == EPOLL_CTL_ADD && cookie && cookie == last) {
		last = 0;
		errno = ENOMEM;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}
