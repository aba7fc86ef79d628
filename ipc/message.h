/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_MESSAGE_H
#define IPC_MESSAGE_H

/*
 * What keeper and newcomer say to each other over the rendezvous socket (SOCK_SEQPACKET, so a
 * message arrives whole or not at all).
 *
 *     newcomer                       keeper
 *     HELLO, wishes    ---->         who is it: pidfd, credentials
 *                      <----         WELCOME + files       (or REFUSED with -errno in value)
 *     CONFIRM, cookie  ---->         the kernel's credentials on it show that the pid is still
 *                                    the process that the pidfd names: joined
 *       ...
 *                      <----         SEGMENT + file, for each one that the pool grows by; read
 *                                    when the member first meets it
 *     BYE              ---->         left, in good order; before CONFIRM: it could not open the
 *                                    files, and has let go of them
 *
 * All messages have one size; a wrong size, magic or version ends the conversation.
 */

#include <assert.h>
#include <stdint.h>

#include <pinion/pool.h>

#include "mail.h"

#define MESSAGE_MAGIC 0x70696e6fu /* "onip" in memory */
#define MESSAGE_VERSION 4

enum message_kind {
	MESSAGE_HELLO = 1,
	MESSAGE_WELCOME = 2,
	MESSAGE_CONFIRM = 3,
	MESSAGE_BYE = 4,
	MESSAGE_REFUSED = 5,
	MESSAGE_SEGMENT = 6,
};

/* The last files of a WELCOME, behind the rings, in this order: a bit for each that is there. */
enum message_last {
	MESSAGE_LAST_NONE = 0,
	MESSAGE_LAST_NOTIFY = 1, /* where to notify a keeper that waits in a loop */
	MESSAGE_LAST_READY = 2,  /* the ready set of its fan-in */
	MESSAGE_LAST_BOTH = 3,
};

struct message {
	uint32_t magic;
	uint16_t version;
	uint16_t kind;
	uint64_t cookie;      /* WELCOME, CONFIRM: random, the same in both */
	int32_t value;        /* REFUSED: -errno. WELCOME: message_last bits */
	uint32_t member;      /* WELCOME: the newcomer's number */
	uint32_t keeper;      /* WELCOME: the keeper's number */
	uint32_t slot;        /* SEGMENT: whose file it is */
	uint64_t segments;    /* WELCOME: a bit for each slot whose file comes along. Files:
	                       * control, segments by slot, ring to keeper, ring from it (those it
	                       * has a right to), and what value says */
	uint32_t slots;       /* HELLO: of each ring, as wanted; 0: the keeper's choice */
	uint32_t rights;      /* HELLO: those wanted, 0: any. WELCOME: those given: channel.h */
	uint32_t lane;        /* WELCOME: in the ready set, if it comes along */
	uint32_t unused;      /* 0 */
};

static_assert(sizeof(struct message) == 56, "one size for all");
static_assert(PINION_SEGMENT_MAX <= 64, "a bit for each slot");

/* Control area, segments, two rings, two more. The kernel allows 253 files (unix(7)). */
#define MESSAGE_FILES_MAX (PINION_SEGMENT_MAX + 5)

/* 0, -EAGAIN, or what sendmsg says, see mail.h. */
int message_send(int fd, const struct message *message, const int *files, unsigned nr_files);

/* One message that is well formed, see mail_recv(). -EPROTO: not a message of ours. */
int message_recv(int fd, struct message *message, int *files, unsigned *nr_files,
		 struct mail_sender *sender);

#endif
