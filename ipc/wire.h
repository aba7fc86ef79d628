/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_WIRE_H
#define IPC_WIRE_H

/*
 * What piniond and its peers say to each other (SOCK_SEQPACKET, so a message arrives whole or not
 * at all). Each message has one size; a wrong size, magic or version ends the conversation, and to
 * the service more than one file.
 *
 *     peer                              service
 *     HELLO                 ---->       who is it: pidfd, credentials
 *                           <----       COOKIE, random
 *     CONFIRM, cookie       ---->       the kernel's credentials on it show that the pid is still
 *                                       the process that the pidfd names (see peer.h)
 *   then one of
 *     ATTACH, name, slots   ---->       a client
 *                           <----       ATTACHED + files
 *     ANNOUNCE, name, text  ---->       a device process; text: "POOL BDF", either may be "-"
 *                           <----       ANNOUNCED + files
 *     REJOIN, cookie        ---->       a member, after the service was restarted: the cookie that
 *                           <----       REJOINED          it was ATTACHED or ANNOUNCED with
 *     FRAMES, cookie, channel  ->       a device process's second connection: where do the pages
 *                           <----       TABLE + addresses       of these segments lie, of the pool
 *                                                               that SEGMENT would name by that?
 *     QUERY, name           ---->       a command; name: what, text: its argument
 *                           <----       ANSWER + a sealed file with JSON
 *   or REFUSED, with -errno in value and a sentence in text, to each of these. ATTACHED has a
 *   sentence if addresses are not shown to this client.
 *
 *   Of members, at any time:
 *                           <----       SEGMENT, slot + file: the pool grew; channel: which pool
 *     BYE                   ---->       left, in good order, with nothing mapped any more
 *   of a device process:
 *     PARK + container      ---->
 *     TABLE, channel + addresses  >     of the pool that SEGMENT would name by that
 *     READY                 ---->
 *                           <----       JOINED, channel, who + rings, pidfd; of a client in a
 *                                       pool of its own also that pool's files
 *                           <----       LEFT, channel
 *     SETTLED, channel      ---->       drained, reclaimed, unmapped; the client's pool as well
 *   of a client with a channel:
 *                           <----       TABLE, channel + addresses, if the rules show them
 *                           <----       LEFT, channel
 *     SETTLED, channel      ---->
 *
 * Whoever waits in a loop says so by WIRE_LOOP, and its channels come with a socket that wakes it;
 * the service makes these (SOCK_SEQPACKET, see bell_fd.h), and gives the other end of each to the
 * other end of the channel. What ATTACHED and JOINED bring is what WIRE_TABLE_TOO and the like in
 * them say. A release that knows nothing of this neither asks nor answers: who did ask finds that
 * nothing came, and ends it.
 *
 * JOINED and LEFT are told again after a REJOIN if they may not have been heard: who knows the
 * channel already, or no longer, takes no notice but answers a LEFT with SETTLED. The socket that
 * wakes a device process is given once: one that is told of the channel without it, and does not
 * know it, cannot serve it, and answers that with SETTLED.
 */

#include <assert.h>
#include <stdint.h>

#include <pinion/client.h>
#include <pinion/pool.h>

#include "mail.h"

#define WIRE_MAGIC 0x70696e64u /* "dnip" in memory */
#define WIRE_VERSION 1
#define WIRE_TEXT_MAX 128

enum wire_kind {
	WIRE_HELLO = 1,
	WIRE_COOKIE = 2,
	WIRE_CONFIRM = 3,
	WIRE_ATTACH = 4,
	WIRE_ATTACHED = 5,
	WIRE_ANNOUNCE = 6,
	WIRE_ANNOUNCED = 7,
	WIRE_REJOIN = 8,
	WIRE_REJOINED = 9,
	WIRE_QUERY = 10,
	WIRE_ANSWER = 11,
	WIRE_REFUSED = 12,
	WIRE_SEGMENT = 13,
	WIRE_BYE = 14,
	WIRE_PARK = 15,
	WIRE_READY = 16,
	WIRE_JOINED = 17,
	WIRE_LEFT = 18,
	WIRE_SETTLED = 19,
	WIRE_TABLE = 20,
	WIRE_FRAMES = 21,
	WIRE_KINDS
};

struct wire {
	uint32_t magic;
	uint16_t version;
	uint16_t kind;
	int32_t value;     /* REFUSED: -errno. LEFT: 1: it was killed. ATTACH, ANNOUNCE, ANNOUNCED:
	                    * WIRE_LOOP. ATTACHED, JOINED: a bit for each file that may come */
	uint32_t member;   /* where a pool comes along: the peer's own number in it */
	uint32_t peer;     /* ATTACHED, JOINED: the member at the channel's other end */
	uint32_t channel;  /* ATTACHED, JOINED, LEFT, SETTLED: its number, never used twice.
	                    * SEGMENT, FRAMES, TABLE from a device process: whose client's own pool
	                    * it is of; 0: the peer's pool */
	uint64_t cookie;   /* COOKIE, CONFIRM; else that of the membership: ATTACHED, ANNOUNCED,
	                    * REJOIN, FRAMES */
	uint64_t segments; /* where a pool comes along: a bit for each slot whose file does. FRAMES:
	                    * for each that is asked for; 0: may it ask? The answer has no file */
	uint32_t slots;    /* of each ring. ATTACH: as wanted, or 0. ANNOUNCE: as given, or 0 */
	uint32_t slot;     /* SEGMENT: whose file. ANNOUNCE: slots_max, or 0 */
	uint32_t pid, uid, gid; /* JOINED: the client's */
	uint32_t pools;    /* ANNOUNCE: of clients' own, at most, that it serves in */
	char name[PINION_NAME_MAX];
	char text[WIRE_TEXT_MAX];
};

#define WIRE_LOOP 1 /* its channels are to wake its loop; ANNOUNCED: they will */

enum {
	WIRE_TABLE_TOO = 1, /* ATTACHED */
	WIRE_WAKEN = 2,     /* the socket by which the one who is told is woken */
	WIRE_NOTIFY = 4,    /* that by which it wakes the other end of the channel */
	WIRE_SOCKETS = WIRE_WAKEN | WIRE_NOTIFY,
};

static_assert(sizeof(struct wire) == 256, "one size for all");
static_assert(PINION_SEGMENT_MAX <= 64, "a bit for each slot");

/*
 * Files that come along:
 *     ATTACHED   control, segments by slot; of a channel also: ring to send on, ring to receive on,
 *                pidfd of the device process, sockets that wake it and the other; and a table if
 *                the rules show it and one was shared
 *     ANNOUNCED  control, segments by slot
 *     SEGMENT    the segment
 *     JOINED     ring to send on, ring to receive on, pidfd of the client, sockets that wake it
 *                and the other; of a client in a pool of its own also: control, segments by slot
 *     PARK       the container
 *     TABLE      a domain's table, as pinion_domain_fd() gives it; after FRAMES, of the addresses
 *                alone: its generation says nothing
 *     ANSWER     the text; of the order "kick" also the member's pidfd
 */
#define WIRE_FILES_MAX (PINION_SEGMENT_MAX + 7)

/* A message of @kind, all else 0. */
struct wire wire_of(enum wire_kind kind);

/* 0, -EAGAIN, or what sendmsg says. Never blocks and never raises SIGPIPE. */
int wire_send(int fd, const struct wire *message, const int *files, unsigned nr_files);

/*
 * One message that is well formed: the strings end. Received files are O_CLOEXEC and the caller's.
 * @nr_files: room in @files on entry, number on return; surplus ones are closed.
 * -EAGAIN nothing there; -EPIPE the other end is closed; -EPROTO not a message of ours; -EMFILE one
 * of ours, whose files could not be opened.
 */
int wire_recv(int fd, struct wire *message, int *files, unsigned *nr_files,
	      struct mail_sender *sender);

/* What names are made of; a locale's further letters are none. */
#define WIRE_NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-"

/* Is it a name: not empty, not too long, and of these letters? */
int wire_name_valid(const char *name);

/* A PCI address, or "-": of no such device. Whether it is quiet could not be seen of another. */
int wire_bdf_valid(const char *bdf);

#endif
