/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_LEDGER_SUPPORT_H
#define PINION_TESTS_LEDGER_SUPPORT_H

/*
 * What outlives a keeper, as <pinion/resume.h> wants it: record and members in memory shared with
 * this process, and files on a socket, as systemd is sent them. A message sent stays, whatever
 * becomes of its sender.
 *
 *     the keeper, a child                 this process
 *     -------------------                 ------------
 *                                         ledger_open()
 *     ledger_store_pool()    -- files ->
 *     ledger_store()         -- file -->    a watch
 *     killed                              ledger_collect(), ledger_resume()
 *                                         ledger_close()
 */

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pinion/resume.h>

#define LEDGER_MEMBERS 8
#define LEDGER_CONTROL UINT32_MAX /* in place of a slot */

struct ledger_page {
	struct pinion_pool_record record[2];
	_Atomic uint32_t current; /* the one that counts */
	struct pinion_member_record member[LEDGER_MEMBERS];
};

struct ledger {
	struct ledger_page *page;
	int box[2];                  /* sent into the first, collected from the second */
	struct pinion_pool_fds kept; /* as collected */
};

/* One message: what it is of, and the file, or none: drop what there is. */
struct ledger_letter {
	uint32_t slot;
	struct iovec body;
	alignas(struct cmsghdr) char file[CMSG_SPACE(sizeof(int))];
	struct msghdr message;
};

static inline void ledger_letter_init(struct ledger_letter *letter, uint32_t slot)
{
	*letter = (struct ledger_letter){.slot = slot};
	letter->body = (struct iovec){&letter->slot, sizeof(letter->slot)};
	letter->message = (struct msghdr){
		.msg_iov = &letter->body,
		.msg_iovlen = 1,
		.msg_control = letter->file,
		.msg_controllen = sizeof(letter->file),
	};
}

static inline int ledger_send(struct ledger *ledger, uint32_t slot, int fd)
{
	struct ledger_letter letter;
	struct cmsghdr *head;

	ledger_letter_init(&letter, slot);
	head = CMSG_FIRSTHDR(&letter.message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	if (fd < 0) {
		letter.message.msg_control = NULL;
		letter.message.msg_controllen = 0;
	}
	return sendmsg(ledger->box[0], &letter.message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static inline void ledger_store_record(struct ledger *ledger,
				       const struct pinion_pool_record *record)
{
	const uint32_t next = !atomic_load(&ledger->page->current);

	ledger->page->record[next] = *record;
	atomic_store(&ledger->page->current, next);
}

/* A watch. The file of a segment may come more than once; it is the same. */
static inline int ledger_store(void *context, uint32_t slot, int fd,
			       const struct pinion_pool_record *record)
{
	struct ledger *ledger = context;
	int err = fd < 0 ? 0 : ledger_send(ledger, slot, fd);

	if (err)
		return err;
	ledger_store_record(ledger, record);
	return fd < 0 ? ledger_send(ledger, slot, -1) : 0;
}

/* A pool that is new: files, record, and the keeper's own number. */
static inline int ledger_store_pool(struct ledger *ledger, struct pinion_pool *pool)
{
	struct pinion_pool_record record;
	struct pinion_pool_fds fds;
	int err;

	pinion_pool_export(pool, &fds);
	err = ledger_send(ledger, LEDGER_CONTROL, fds.control);
	for (uint32_t i = 0; !err && i < fds.nr_segments; i++)
		if (fds.segment[i] >= 0)
			err = ledger_send(ledger, i, fds.segment[i]);
	if (!err)
		err = pinion_pool_record(pool, &record);
	if (err)
		return err;
	ledger_store_record(ledger, &record);
	return pinion_member_record(getpid(), &ledger->page->member[pinion_pool_member(pool)]);
}

static inline const struct pinion_pool_record *ledger_record(const struct ledger *ledger)
{
	return &ledger->page->record[atomic_load(&ledger->page->current)];
}

static inline void ledger_drop(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* What has been sent by now; the last file of a slot counts. */
static inline void ledger_collect(struct ledger *ledger)
{
	struct ledger_letter letter;

	for (;;) {
		const struct cmsghdr *head;
		int *fd;

		ledger_letter_init(&letter, 0);
		if (recvmsg(ledger->box[1], &letter.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
			return;
		head = CMSG_FIRSTHDR(&letter.message);
		fd = letter.slot == LEDGER_CONTROL ? &ledger->kept.control
						   : &ledger->kept.segment[letter.slot];
		ledger_drop(fd);
		if (head)
			memcpy(fd, CMSG_DATA(head), sizeof(*fd));
	}
}

/* The files collected, once more: resuming takes them over. */
static inline struct pinion_pool_fds ledger_files(const struct ledger *ledger)
{
	struct pinion_pool_fds fds = ledger->kept;

	fds.control = fcntl(fds.control, F_DUPFD_CLOEXEC, 3);
	for (uint32_t i = 0; i < fds.nr_segments; i++)
		if (fds.segment[i] >= 0)
			fds.segment[i] = fcntl(fds.segment[i], F_DUPFD_CLOEXEC, 3);
	return fds;
}

static inline void ledger_files_close(struct pinion_pool_fds *fds)
{
	ledger_drop(&fds->control);
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		ledger_drop(&fds->segment[i]);
}

/* 0 or -errno, of pinion_pool_resume(). */
static inline int ledger_resume(struct ledger *ledger, struct pinion_pool **pool,
				struct pinion_adoption *report)
{
	struct pinion_pool_fds fds = ledger_files(ledger);
	const int err = pinion_pool_resume(&fds, ledger_record(ledger), ledger->page->member, pool,
					   report);

	if (err)
		ledger_files_close(&fds);
	return err;
}

static inline int ledger_open(struct ledger *ledger)
{
	*ledger = (struct ledger){.kept = {.nr_segments = PINION_SEGMENT_MAX, .control = -1}};
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		ledger->kept.segment[i] = -1;
	ledger->page = mmap(NULL, sizeof(*ledger->page), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ledger->page == MAP_FAILED)
		return -errno;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ledger->box) ? -errno : 0;
}

static inline void ledger_close(struct ledger *ledger)
{
	ledger_collect(ledger);
	ledger_files_close(&ledger->kept);
	(void)close(ledger->box[0]);
	(void)close(ledger->box[1]);
	(void)munmap(ledger->page, sizeof(*ledger->page));
}

#endif
