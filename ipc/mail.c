/* SPDX-License-Identifier: BSD-3-Clause */
#include "mail.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* include/uapi/asm-generic/socket.h, from Linux 6.16. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* Room for all files and one set of credentials, aligned as control messages want. */
union ancillary {
	char room[CMSG_SPACE(sizeof(int) * MAIL_FILES_MAX) + CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

int mail_send(int fd, const void *data, size_t len, const int *files, unsigned nr_files)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	union ancillary ancillary;
	ssize_t sent;

	if (nr_files) {
		struct cmsghdr *control;

		memset(&ancillary, 0, sizeof(ancillary));
		header.msg_control = ancillary.room;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * nr_files);
		control = CMSG_FIRSTHDR(&header);
		control->cmsg_level = SOL_SOCKET;
		control->cmsg_type = SCM_RIGHTS;
		control->cmsg_len = CMSG_LEN(sizeof(int) * nr_files);
		memcpy(CMSG_DATA(control), files, sizeof(int) * nr_files);
	}
	do
		sent = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int mail_allow_files(int fd, bool allowed)
{
	const int on = allowed;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on)) ? -errno : 0;
}

/* The last close of a TCP socket with something left to send waits for as long as its owner has
 * said, and that was the sender (socket(7), SO_LINGER). */
static void close_file(int file)
{
	const struct linger none = {0, 0};

	(void)setsockopt(file, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	(void)close(file);
}

void mail_close_files(const int *files, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		close_file(files[i]);
}

/* Keeps as many files as there is room for and closes the others: none may stay open unseen. */
static void take_files(const struct cmsghdr *control, int *files, unsigned room, unsigned *nr)
{
	size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int file;

		memcpy(&file, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
		if (*nr < room)
			files[(*nr)++] = file;
		else
			close_file(file);
	}
}

static void take_ancillary(struct msghdr *header, int *files, unsigned *nr_files,
			   struct mail_sender *sender)
{
	unsigned room = *nr_files;

	*nr_files = 0;
	sender->pid = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			take_files(c, files, room, nr_files);
		if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred credentials;

			memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
			sender->pid = credentials.pid;
		}
	}
}

/*
 * What comes next; two things are looked at again, each once (unix(7) is silent on both):
 *  - Who hangs up before it has read what we sent resets the connection. That is told first; what
 *    it said before comes after.
 *  - The kernel looks for a message, then for the end. Who says its last word and closes in
 *    between has only its end told; by now the word is there to be seen.
 */
static ssize_t receive(int fd, struct msghdr *header)
{
	const size_t room = header->msg_controllen;
	bool reset = false, ended = false;

	for (;;) {
		ssize_t got;

		header->msg_controllen = room;
		got = recvmsg(fd, header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (got > 0 || (!got && (ended || header->msg_controllen)))
			return got;
		if (!got) {
			ended = true;
		} else if (errno == EAGAIN && ended) {
			/* It was an empty message, without credentials. What the kernel fails to
			 * give it leaves as it was, the room for it as well. */
			header->msg_controllen = 0;
			return 0;
		} else if (errno == ECONNRESET && !reset) {
			reset = true;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
}

int mail_recv(int fd, void *data, size_t len, int *files, unsigned *nr_files,
	      struct mail_sender *sender)
{
	struct iovec iov = {data, len};
	union ancillary ancillary;
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ancillary.room,
				.msg_controllen = sizeof(ancillary.room)};
	const ssize_t got = receive(fd, &header);
	bool whole;

	if (got < 0) {
		*nr_files = 0;
		return (int)got;
	}
	take_ancillary(&header, files, nr_files, sender);
	whole = (size_t)got == len && !(header.msg_flags & MSG_TRUNC);
	if (whole && !(header.msg_flags & MSG_CTRUNC))
		return 0;
	mail_close_files(files, *nr_files);
	*nr_files = 0;
	/* There was room for as many files as can be sent. */
	if (whole)
		return -EMFILE;
	/* A message of no bytes looks the same as the end; both are the end of talking. */
	return got ? -EPROTO : -EPIPE;
}

/* One message, and its files. False: it was the end, which has no credentials.
 * pre: SO_PASSCRED is on. */
static bool discard(int fd)
{
	struct iovec iov = {NULL, 0};
	union ancillary ancillary;
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ancillary.room,
				.msg_controllen = sizeof(ancillary.room)};
	struct mail_sender ignored;
	unsigned nr = 0;

	if (recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | MSG_TRUNC) < 0)
		return errno == EINTR || errno == ECONNRESET;
	take_ancillary(&header, NULL, &nr, &ignored);
	return header.msg_controllen != 0;
}

void mail_hang_up(int fd)
{
	const int on = 1;

	/* From now on nothing comes: this ends. What came has credentials when it is received,
	 * whether or not they were asked for when it was sent. */
	(void)shutdown(fd, SHUT_RD);
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	while (discard(fd))
		continue;
	(void)close(fd);
}
