/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_RAW_SUPPORT_H
#define PINION_TESTS_RAW_SUPPORT_H

/*
 * A newcomer's side of the conversation, by hand: for members that do not keep to it, and to see
 * what a keeper really sends.
 */

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "message.h"
#include "support.h"

#define RAW_PATIENCE_MS 5000

static inline int dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline struct message message_of(enum message_kind kind)
{
	return (struct message){
		.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION, .kind = (uint16_t)kind};
}

/* HELLO with a wish for @rights, and what comes back: the number of files, or what refused it. */
static inline int hello_by_hand(int fd, uint32_t rights, struct message *answer, int *files)
{
	struct message hello = message_of(MESSAGE_HELLO);
	struct pollfd want = {fd, POLLIN, 0};
	unsigned nr = MESSAGE_FILES_MAX;
	struct mail_sender sender;

	hello.rights = rights;
	if (send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) != (ssize_t)sizeof(hello) ||
	    poll(&want, 1, RAW_PATIENCE_MS) != 1 || message_recv(fd, answer, files, &nr, &sender))
		return -ENOTCONN;
	return answer->kind == MESSAGE_REFUSED ? answer->value : (int)nr;
}

static inline int confirm_by_hand(int fd, uint64_t cookie)
{
	struct message confirm = message_of(MESSAGE_CONFIRM);

	confirm.cookie = cookie;
	return send(fd, &confirm, sizeof(confirm), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

#endif
