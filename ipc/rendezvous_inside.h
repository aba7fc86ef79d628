/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_RENDEZVOUS_INSIDE_H
#define IPC_RENDEZVOUS_INSIDE_H

/*
 * A rendezvous from inside, for the files that it is made of:
 *
 *     rendezvous.c           life, and what happened since it was last asked
 *     rendezvous_peer.c      peers that come, are turned away and forgotten
 *     rendezvous_welcome.c   what a newcomer is given
 *     rendezvous_segment.c   the files of new segments, and who is owed them
 *     rendezvous_hear.c      what peers say, and their end
 */

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include <pinion/channel.h>
#include <pinion/rendezvous.h>

#include "listener.h"
#include "message.h"
#include "peer.h"
#include "pool.h"

/*
 * A peer's life.
 *
 *     ARRIVED   -> WELCOMED         its HELLO came: admitted, files sent
 *     WELCOMED  -> JOINED           its CONFIRM came, with the cookie, from the right pid
 *     ARRIVED   -> (gone)           it stalled, lied or died
 *     WELCOMED  -> SHUNNED          the same; but it may have the pool mapped, so that its slot
 *                                   cannot be given to anyone before it is dead
 *     JOINED    -> LEFT             BYE, or the pidfd
 *     SHUNNED   -> (gone)           the pidfd; or BYE when it was WELCOMED: it let go of the pool
 *     LEFT      -> (gone)           pinion_rendezvous_bury()
 */
enum peer_state { ARRIVED, WELCOMED, JOINED, SHUNNED, LEFT };

struct peer {
	LIST_ENTRY(peer) link;
	enum peer_state state;
	struct peer_identity identity;
	int socket;
	uint32_t member;
	uint64_t cookie, deadline_ns;
	uint64_t owed; /* bit by slot: a new segment's file that its socket had no room for */
	uint32_t slots, rights; /* of the rings it gets; and which */
	uint32_t lane;          /* see rendezvous_has_lane() */
	struct pinion_channel *channel;
};

struct pinion_rendezvous {
	struct pinion_pool *pool;
	struct pinion_rendezvous_config config;
	struct listener listener;
	int epoll;
	struct courier courier; /* hears of new segments */
	uint32_t nr_joining;    /* ARRIVED or WELCOMED */
	bool owes;              /* some peer is owed something */
	int timer;              /* runs while it does: rendezvous_pay() */
	LIST_HEAD(, peer) peers;
};

/* Is it in the keeper's fan-in, or was? */
static inline bool rendezvous_has_lane(const struct pinion_rendezvous *rendezvous,
				       const struct peer *peer)
{
	return rendezvous->config.fanin && peer->channel && peer->rights & PINION_RIGHT_SEND;
}

/* --- peers that come and go */

/* @tag: what epoll remembers. */
int rendezvous_watch(const struct pinion_rendezvous *rendezvous, int fd, void *tag);
/* Those that are closed already stay it. */
void rendezvous_close_socket(const struct pinion_rendezvous *rendezvous, struct peer *peer);
void rendezvous_close_pidfd(const struct pinion_rendezvous *rendezvous, struct peer *peer);

/* A connection. One that cannot be served is told so. What is wrong with this process (no files
 * left, say) is for the caller of next(). */
int rendezvous_arrive(struct pinion_rendezvous *rendezvous);
void rendezvous_refuse(int socket, int err);
/* pre: ARRIVED or WELCOMED. It may be forgotten. */
void rendezvous_turn_away(struct pinion_rendezvous *rendezvous, struct peer *peer);
/* Those that have said nothing more, and had their time. */
void rendezvous_turn_away_the_slow(struct pinion_rendezvous *rendezvous);
void rendezvous_forget(struct pinion_rendezvous *rendezvous, struct peer *peer);

void rendezvous_free_lane(const struct pinion_rendezvous *rendezvous, const struct peer *peer);
void rendezvous_close_channel(const struct pinion_rendezvous *rendezvous, struct peer *peer);

/* --- what they are given */

/* ARRIVED -> WELCOMED, or why not. */
int rendezvous_welcome(struct pinion_rendezvous *rendezvous, struct peer *peer,
		       const struct message *hello);

/* A new segment: everyone gets its file before anyone can meet an id in it. */
void rendezvous_announce(struct courier *courier, uint32_t slot, int fd);
/* Who did not read for a long time may do so by now. Segments that went are owed no more. As long
 * as some are, the timer makes the rendezvous's descriptor readable ten times a second: no event
 * tells that the kernel would take by now what it refused. */
void rendezvous_pay(struct pinion_rendezvous *rendezvous);
int rendezvous_open_timer(struct pinion_rendezvous *rendezvous);
void rendezvous_hear_timer(const struct pinion_rendezvous *rendezvous);

/* --- what they say, and their end */

/* 1: @event is filled. -EAGAIN: enough for one call of next(), and the peer may be forgotten. */
int rendezvous_hear(struct pinion_rendezvous *rendezvous, struct peer *peer,
		    struct pinion_event *event);
int rendezvous_died(struct pinion_rendezvous *rendezvous, struct peer *peer,
		    struct pinion_event *event);

#endif
