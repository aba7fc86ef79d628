/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_LINK_H
#define IPC_LINK_H

/*
 * A peer's connection to piniond, which outlives the service: broken, it is taken up again.
 *
 *     DOWN       -> GREETING    the timer fired, and somebody accepts: HELLO sent
 *     GREETING   -> REJOINING   COOKIE came: CONFIRM and REJOIN sent
 *     REJOINING  -> UP          REJOINED came
 *     REJOINING  -> OVER        REFUSED came: that service does not know us
 *     UP, GREETING, REJOINING -> DOWN   hung up, or no answer in time
 *
 * link_open() and link_ask() wait; nothing else does.
 *
 * Threads: link_parcel() from any, since a pool asks for a segment's file wherever it meets one;
 * all else from one at a time. The lock is for what these two share: what was read and not yet
 * handed on.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include <bsd/sys/queue.h>

#include "parcel.h"
#include "wire.h"

struct letter {
	STAILQ_ENTRY(letter) next;
	struct wire message;
	int files[WIRE_FILES_MAX];
	unsigned nr_files;
};

/* Files of one pool's segments. */
struct shelf {
	LIST_ENTRY(shelf) of_link;
	struct link *link;
	uint32_t channel; /* as SEGMENT has it */
	struct parcels parcels;
};

enum link_state { LINK_DOWN, LINK_GREETING, LINK_REJOINING, LINK_UP, LINK_OVER };

struct link {
	pid_t pid; /* whose it is: a forked child has a copy, but is no peer */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int epoll, timer, socket; /* socket -1: DOWN or OVER */
	enum link_state state;
	uint64_t cookie; /* of the membership */

	pthread_mutex_t lock; /* of what follows, and of reading from an UP socket */
	struct shelf own; /* of the pool that this peer is in by itself; it is one of ... */
	LIST_HEAD(, shelf) shelves; /* the others come with JOINED */
	STAILQ_HEAD(, letter) inbox;
	uint32_t nr_inbox;
	int broken; /* -errno with which reading ended; 0: not yet */
};

enum link_news {
	LINK_NOTHING,
	LINK_LETTER,   /* @letter has a message; its files are the caller's */
	LINK_LOST,     /* told once for each time */
	LINK_BACK,
	LINK_EXPELLED, /* it will not come back */
};

/* Connects, and says who we are. @path NULL: of the environment, or the default. Leaves a sentence.
 * On failure nothing is left to close. */
int link_open(struct link *link, const char *path);

/*
 * One question and its answer. What REFUSED says becomes the error, with its sentence.
 * pre: nothing else is being said: before link_joined(), or on a link that only asks.
 */
int link_ask(struct link *link, const struct wire *question, struct wire *answer, int *files,
	     unsigned *nr_files);

/* This peer was let in, and is known by @cookie, with which it also says goodbye. */
void link_joined(struct link *link, uint64_t cookie);

/* -EPIPE when it is not UP, -EAGAIN when it is not for long: what the service must know is said
 * again after LINK_BACK. */
int link_send(struct link *link, const struct wire *message, const int *files, unsigned nr_files);

/* A message of no more than @kind and a channel's number (0: none). If it cannot be said, the
 * service asks again when it is back. */
int link_say(struct link *link, enum wire_kind kind, uint32_t channel);

/* What happened. Never waits; bounded work. */
enum link_news link_next(struct link *link, struct letter *letter);

/* The shelf of the pool that came with @channel's JOINED; it is there until link_forget(). */
struct shelf *link_shelf(struct link *link, uint32_t channel);
/* pre: no pool asks for its files any more. */
void link_forget(struct link *link, uint32_t channel);

/* The file of a segment, if it came; for struct pinion_pool's fetch, with a shelf as context. */
int link_parcel(void *shelf, uint32_t slot, int *fd);

/* Hangs up and forgets; a forked child closes its copies only. Idempotent. */
void link_close(struct link *link);

#endif
