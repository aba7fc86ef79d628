/* SPDX-License-Identifier: BSD-3-Clause */
#include "bell_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fail.h"
#include "mail.h"

/* Datagrams taken in one call. A sender that keeps the rules leaves one, seldom two; the rest of a
 * flood keeps the descriptor readable. */
#define DRAIN_MAX 64

static int watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* One descriptor for both, so that a loop hears of the other too. */
static int watch_both(int socket, int other)
{
	int err, epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0)
		return -errno;
	if (!watch(epoll, socket) && !watch(epoll, other))
		return epoll;
	err = -errno;
	(void)close(epoll);
	return err;
}

/* Whoever gets the other end can let others send to it (AF_UNSPEC of connect(2)), but not undo
 * this: nothing comes there that our last close would have to close. */
static int open_pair(int type, int end[2])
{
	int err;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, end))
		return -errno;
	if (!shutdown(end[1], SHUT_RD))
		return 0;
	err = -errno;
	(void)close(end[0]);
	(void)close(end[1]);
	return err;
}

int bell_fd_open(struct bell_fd *fd, int other, int *strikes)
{
	int end[2], epoll = -1, err = open_pair(SOCK_DGRAM, end);

	if (err)
		return pinion_fail(err, "no sockets to be woken by: %s", strerror(-err));
	if (other >= 0) {
		epoll = watch_both(end[0], other);
		if (epoll < 0) {
			(void)close(end[0]);
			(void)close(end[1]);
			return pinion_fail(epoll, "cannot watch two descriptors: %s",
					   strerror(-epoll));
		}
	}
	fd->clean = !mail_allow_files(end[0], false);
	fd->socket = end[0];
	fd->given = -1;
	fd->epoll = epoll;
	*strikes = end[1];
	return 0;
}

void bell_fd_close(const struct bell_fd *fd)
{
	if (fd->epoll >= 0)
		(void)close(fd->epoll);
	if (fd->socket >= 0)
		(void)close(fd->socket);
	if (fd->given >= 0)
		(void)close(fd->given);
}

int bell_fd_pair(int end[2])
{
	int err = open_pair(SOCK_SEQPACKET, end);

	if (!err)
		(void)mail_allow_files(end[0], false);
	return err;
}

/* Is there a datagram that can be taken? -EPROTO: it carries files. A look without room for them is
 * told that they were cut off. */
static int look(int socket)
{
	struct msghdr message = {0};

	if (recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT) < 0)
		return -errno;
	return message.msg_flags & MSG_CTRUNC ? -EPROTO : 0;
}

static int drain(int socket, bool clean)
{
	char byte;

	for (int i = 0; i < DRAIN_MAX; i++) {
		int err = clean ? 0 : look(socket);

		/* What comes behind a look that found nothing was not looked at: it stays. */
		if (err)
			return err == -EPROTO ? err : 0;
		/* Nothing, or the end of file; behind a liar's empty datagram the rest waits. */
		if (recv(socket, &byte, sizeof(byte), MSG_DONTWAIT) <= 0)
			return 0;
	}
	return 0;
}

static bool has_ended(int socket)
{
	struct pollfd end = {.fd = socket, .events = POLLRDHUP};

	return poll(&end, 1, 0) > 0;
}

int bell_fd_drain(const struct bell_fd *fd)
{
	int err = drain(fd->socket, fd->clean);

	if (err || fd->given < 0)
		return err;
	if (has_ended(fd->given))
		(void)epoll_ctl(fd->epoll, EPOLL_CTL_DEL, fd->given, NULL);
	return drain(fd->given, fd->clean);
}

void bell_fd_deafen(const struct bell_fd *fd)
{
	(void)epoll_ctl(fd->epoll, EPOLL_CTL_DEL, fd->socket, NULL);
}

/* A descriptor of another kind does no harm when it is written to; when it is closed it may. */
static bool is_ours(int socket)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(domain);

	return !getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX &&
	       !getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &len) &&
	       (type == SOCK_DGRAM || type == SOCK_SEQPACKET);
}

static bool listens(int socket)
{
	int yes = 1;
	socklen_t len = sizeof(yes);

	return getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) || yes;
}

/* Of one that came from elsewhere, for as long as we want it. */
static int copy_of(int socket)
{
	int copy;

	if (!is_ours(socket))
		return pinion_fail(-EINVAL, "descriptor %d is not what notify_fd() gives", socket);
	copy = fcntl(socket, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return pinion_fail(-errno, "cannot keep a descriptor: %s", strerror(errno));
	return copy;
}

int bell_fd_add(struct bell_fd *fd, int socket)
{
	int copy = copy_of(socket), err;

	if (copy < 0)
		return copy;
	if (watch(fd->epoll, copy)) {
		err = -errno;
		(void)close(copy);
		return pinion_fail(err, "cannot watch a socket: %s", strerror(-err));
	}
	fd->clean = !mail_allow_files(copy, false) && fd->clean;
	fd->given = copy;
	return 0;
}

/* How many files wait in what was sent to @socket, as /proc tells; 0 where it does not: it is not
 * mounted, or kept from us, or this kernel says nothing of it. */
static int files_within(int socket)
{
	char path[48], text[512];
	const char *files;
	ssize_t len;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", socket);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
	len = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (len <= 0)
		return -EIO;
	text[len] = '\0';
	files = strstr(text, "scm_fds:");
	return files ? atoi(files + strlen("scm_fds:")) : 0;
}

/*
 * Nobody reads there, so nothing has to come: what did would be closed with the last copy, by us
 * perhaps, however long it takes. The other holders cannot undo that, nor end a send that they have
 * begun. What was there before is told without a receiving call, even one that only looks: it would
 * wait for a lock, which they hold as long as a page of theirs does not come.
 */
static int shut(int socket)
{
	int nr;

	if (shutdown(socket, SHUT_RD))
		return pinion_fail(-errno, "cannot shut a socket: %s", strerror(errno));
	/* Those who connected before have queues of their own. From now on nobody can. */
	if (listens(socket))
		return pinion_fail(-EINVAL, "descriptor %d is not what notify_fd() gives", socket);
	nr = files_within(socket);
	if (nr < 0)
		return pinion_fail(nr, "cannot look at a socket: %s", strerror(-nr));
	return nr ? pinion_fail(-EINVAL, "files wait at the end that is to be kept") : 0;
}

int bell_fd_keep(int *strikes, int socket)
{
	int copy = copy_of(socket), err;

	if (copy < 0)
		return copy;
	err = shut(copy);
	if (err) {
		(void)close(copy);
		return err;
	}
	if (*strikes >= 0)
		(void)close(*strikes);
	*strikes = copy;
	return 0;
}
