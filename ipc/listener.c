/* SPDX-License-Identifier: BSD-3-Clause */
#include "listener.h"

#include <bsd/libutil.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "mail.h"

/* Connections that wait for accept; beyond that connect() says EAGAIN. */
#define BACKLOG 64

/* Files beside the socket have its name and this. */
#define LOCK ".lock"

/*
 * Who holds the lock is the keeper; with it, a socket file found at PATH was left by a killed
 * one. (Asking whether somebody answers there would miss one that is just starting.)
 */
static int take_lock(struct listener *listener, const char *path)
{
	char name[sizeof(listener->address.sun_path) + sizeof(LOCK)];

	(void)snprintf(name, sizeof(name), "%s" LOCK, path);
	listener->lock = flopen(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (listener->lock >= 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return pinion_fail(-EADDRINUSE, "%s: another keeper listens there", path);
	return pinion_fail(-errno, "%s: cannot make the socket's lock: %s", name, strerror(errno));
}

/* pre: the lock is held, so that both are ours. */
static void remove_files(const struct listener *listener)
{
	char name[sizeof(listener->address.sun_path) + sizeof(LOCK)];

	if (listener->fd >= 0)
		(void)unlink(listener->address.sun_path);
	(void)snprintf(name, sizeof(name), "%s" LOCK, listener->address.sun_path);
	(void)unlink(name);
}

/* Anything else at PATH is somebody's data: bind() then says EADDRINUSE. */
static void remove_stale(const struct sockaddr_un *address)
{
	struct stat status;

	if (!lstat(address->sun_path, &status) && S_ISSOCK(status.st_mode))
		(void)unlink(address->sun_path);
}

int listener_prepare(int fd)
{
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
		return -errno;
	/* Closing a file may take as long as its sender likes, if that is also who its file system
	 * is run by. Where it cannot be kept out, it is closed all the same (mail.h). */
	(void)mail_allow_files(fd, false);
	return 0;
}

static int bind_and_listen(struct listener *listener, mode_t mode)
{
	const struct sockaddr *address = (const struct sockaddr *)&listener->address;
	const char *path = listener->address.sun_path;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return pinion_fail(-errno, "no socket: %s", strerror(errno));
	/* The file takes the socket's mode: nobody gets in between bind and chmod. */
	if (fchmod(fd, 0600) || bind(fd, address, sizeof(listener->address))) {
		int err = pinion_fail(-errno, "%s: cannot bind a socket there: %s", path,
				      strerror(errno));

		(void)close(fd);
		return err;
	}
	listener->fd = fd;
	if (listener_prepare(fd) || listen(fd, BACKLOG) || chmod(path, mode))
		return pinion_fail(-errno, "%s: cannot listen: %s", path, strerror(errno));
	return 0;
}

int listener_open(struct listener *listener, const char *path, mode_t mode)
{
	int err;

	*listener = (struct listener){.fd = -1, .lock = -1, .address = {.sun_family = AF_UNIX}};
	if (strlen(path) >= sizeof(listener->address.sun_path))
		return pinion_fail(-ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
				   sizeof(listener->address.sun_path) - 1);
	memcpy(listener->address.sun_path, path, strlen(path));
	err = take_lock(listener, path);
	if (err)
		return err;
	remove_stale(&listener->address);
	err = bind_and_listen(listener, mode);
	if (err)
		listener_close(listener);
	return err;
}

void listener_close(struct listener *listener)
{
	remove_files(listener);
	if (listener->fd >= 0)
		(void)close(listener->fd);
	(void)close(listener->lock);
	listener->fd = listener->lock = -1;
}

int listener_accept(const struct listener *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}
