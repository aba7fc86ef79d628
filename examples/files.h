/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FILES_H
#define FILES_H

/*
 * Open files from one process to another over a Unix socket (SCM_RIGHTS, unix(7)), with some data
 * that says what they are. For broadcast.c, grow.c, resume.c and share.c; sessions do this by
 * themselves.
 */

#include <stdint.h>
#include <sys/socket.h>

#include "example.h"

#define FILES_MAX (1 + PINION_SEGMENT_MAX) /* control area and segments; the kernel takes 253 */

union files_control {
	struct cmsghdr align;
	char room[CMSG_SPACE(FILES_MAX * sizeof(int))];
};

static inline void send_files(int socket, const void *data, size_t len, const int *fd, uint32_t nr)
{
	struct iovec iovec = {(void *)(uintptr_t)data, len};
	union files_control control = {0};
	struct msghdr message = {.msg_iov = &iovec, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = CMSG_SPACE(nr * sizeof(int))};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(nr * sizeof(int));
	memcpy(CMSG_DATA(header), fd, nr * sizeof(int));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != (ssize_t)len)
		err(1, "sendmsg");
}

/* How many files came; each is ours to close, or to give to the pool. */
static inline uint32_t receive_files(int socket, void *data, size_t len, int fd[FILES_MAX])
{
	struct iovec iovec = {data, len};
	union files_control control = {0};
	struct msghdr message = {.msg_iov = &iovec, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	uint32_t nr;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != (ssize_t)len)
		err(1, "recvmsg");
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS || message.msg_flags & MSG_CTRUNC)
		errx(1, "no files, or not all of them");
	nr = (uint32_t)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fd, CMSG_DATA(header), nr * sizeof(int));
	return nr;
}

#endif
