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
static int box[2]; /* sent into the first, looked for in the second */

/* One message: the slot, and its file beside it. */
struct letter {
	uint32_t slot;
	struct iovec body;
	alignas(struct cmsghdr) char file[CMSG_SPACE(sizeof(int))];
	struct msghdr message;
};

static void letter_init(struct letter *letter)
{
	*letter = (struct letter){0};
	letter->body = (struct iovec){&letter->slot, sizeof(letter->slot)};
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
	for (uint32_t i = 0; i < kept.nr_segments; i++)
		if (kept.segment[i] >= 0)
			kept.segment[i] = fcntl(kept.segment[i], F_DUPFD_CLOEXEC, 3);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, box))
		tap_bail("no socket for files: %s", strerror(errno));
}

void post_close(void)
{
	for (uint32_t i = 0; i < kept.nr_segments; i++)
		if (kept.segment[i] >= 0)
			(void)close(kept.segment[i]);
	(void)close(box[0]);
	(void)close(box[1]);
}

/* A file in the box, which stays there with MSG_PEEK in @flags: each look makes a descriptor. */
static int look(int flags, uint32_t *slot)
{
	struct letter letter;
	struct cmsghdr *head;
	int fd;

	letter_init(&letter);
	if (recvmsg(box[1], &letter.message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	head = CMSG_FIRSTHDR(&letter.message);
	if (!head)
		return -1;
	memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	*slot = letter.slot;
	return fd;
}

void post_clear(void)
{
	uint32_t slot;
	int fd;

	while ((fd = look(0, &slot)) >= 0)
		(void)close(fd);
}

void post_announce(struct courier *courier, uint32_t slot, int fd)
{
	struct letter letter;
	struct cmsghdr *head;

	(void)courier;
	letter_init(&letter);
	letter.slot = slot;
	head = CMSG_FIRSTHDR(&letter.message);
	*head = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	(void)sendmsg(box[0], &letter.message, MSG_DONTWAIT);
}

int post_fetch(void *context, uint32_t slot, int *fd)
{
	uint32_t sent;

	(void)context;
	if (kept.segment[slot] >= 0) {
		*fd = fcntl(kept.segment[slot], F_DUPFD_CLOEXEC, 3);
		return 0;
	}
	*fd = look(MSG_PEEK, &sent);
	if (*fd >= 0 && sent == slot)
		return 0;
	if (*fd >= 0)
		(void)close(*fd);
	return -ENOENT;
}
