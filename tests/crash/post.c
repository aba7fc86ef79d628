/* SPDX-License-Identifier: BSD-3-Clause */
#include "post.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"

static struct pinion_pool_fds kept;
static int box[PINION_SEGMENT_MAX][2]; /* sent into the first, looked for in the second */

/* One message: a file, and one byte, without which none goes. */
struct letter {
	char byte;
	struct iovec body;
	alignas(struct cmsghdr) char file[CMSG_SPACE(sizeof(int))];
	struct msghdr message;
};

static void letter_init(struct letter *letter)
{
	*letter = (struct letter){0};
	letter->body = (struct iovec){&letter->byte, sizeof(letter->byte)};
	letter->message = (struct msghdr){
		.msg_iov = &letter->body,
		.msg_iovlen = 1,
		.msg_control = letter->file,
		.msg_controllen = sizeof(letter->file),
	};
}

void post_open(const struct pinion_pool *pool)
{
	pinion_pool_export(pool, &kept);
	for (uint32_t i = 0; i < kept.nr_segments; i++) {
		if (kept.segment[i] < 0) {
			if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, box[i]))
				tap_bail("no socket for files: %s", strerror(errno));
			continue;
		}
		kept.segment[i] = fcntl(kept.segment[i], F_DUPFD_CLOEXEC, 3);
		if (kept.segment[i] < 0)
			tap_bail("no descriptor for a file: %s", strerror(errno));
	}
}

void post_close(void)
{
	for (uint32_t i = 0; i < kept.nr_segments; i++) {
		if (kept.segment[i] >= 0) {
			(void)close(kept.segment[i]);
			continue;
		}
		(void)close(box[i][0]);
		(void)close(box[i][1]);
	}
}

/* The file in a box, which stays there with MSG_PEEK in @flags: each look makes a descriptor. */
static int look(int flags, uint32_t slot)
{
	struct letter letter;
	struct cmsghdr *head;
	int fd;

	letter_init(&letter);
	if (recvmsg(box[slot][1], &letter.message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	head = CMSG_FIRSTHDR(&letter.message);
	if (!head)
		return -1;
	memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

void post_clear(void)
{
	for (uint32_t i = 0; i < kept.nr_segments; i++) {
		int fd;

		while (kept.segment[i] < 0 && (fd = look(0, i)) >= 0)
			(void)close(fd);
	}
}

void post_announce(struct courier *courier, uint32_t slot, int fd)
{
	struct letter letter;
	struct cmsghdr *head;

	(void)courier;
	letter_init(&letter);
	head = CMSG_FIRSTHDR(&letter.message);
	*head = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	(void)sendmsg(box[slot][0], &letter.message, MSG_DONTWAIT);
}

int post_fetch(void *context, uint32_t slot, int *fd)
{
	(void)context;
	if (kept.segment[slot] >= 0) {
		*fd = fcntl(kept.segment[slot], F_DUPFD_CLOEXEC, 3);
		return 0;
	}
	*fd = look(MSG_PEEK, slot);
	return *fd < 0 ? -ENOENT : 0;
}
