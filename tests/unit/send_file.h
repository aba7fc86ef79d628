/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SEND_FILE_H
#define PINION_TESTS_SEND_FILE_H

#include <string.h>
#include <sys/socket.h>

/* What nobody should send to a socket of a loop: a byte, or none, with a file. */
static inline ssize_t send_file_with(int to, int file, size_t len)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec byte = {"x", len};
	const struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1,
				       .msg_control = &control,
				       .msg_controllen = sizeof(control)};

	control.header = (struct cmsghdr){
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(int)),
	};
	memcpy(CMSG_DATA(&control.header), &file, sizeof(file));
	return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static inline ssize_t send_file(int to, int file)
{
	return send_file_with(to, file, 1);
}

#endif
