/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_CHANNEL_INSIDE_H
#define IPC_CHANNEL_INSIDE_H

/*
 * A channel from inside, for the files that it is made of:
 *
 *     channel.c           life, and what is asked of one
 *     channel_send.c      what this end sends
 *     channel_recv.c      what it receives
 *     channel_wait.c      how it waits for that
 *     channel_send_wait.c how it waits for room, and until all was taken
 *     channel_reclaim.c   what lies in its rings when the other end is gone
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "ring.h"
#include "stuck.h"

struct pinion_channel {
	struct ring tx, rx; /* shared is NULL: not there, this end may not do that */
	struct pinion_pool *pool;
	const struct pinion_view *view;
	uint32_t self, peer; /* holder bits */
	uint32_t peer_member;
	struct pinion_buffer *out; /* by tx slot: what we published there, our own record */
	struct stuck stuck;        /* in rx */
	uint32_t empty;            /* receives that found nothing, for slot_follow_seldom() */
	int pidfd;                 /* the peer's; -1: somebody else watches it */
	/* Any thread of this end may set these, and the others have to see it some time. */
	atomic_bool severed; /* the keeper says that the peer is gone (R4, A4) */
	/* 0, or why nothing is received any more. Relaxed: nobody goes by what it carries.
	 *   -EPROTO  the peer lied: nothing is sent, either
	 *   -EPIPE   it is gone, and the file for what it sent had not come */
	atomic_int over;
};

/* The peer is gone, and what it sent last cannot be had: -EPIPE. Nothing is taken after this, since
 * whoever was told that may say that it has drained the ring (I1). By the receiving thread. */
int channel_give_up(struct pinion_channel *channel);

static inline int channel_over(const struct pinion_channel *channel)
{
	return atomic_load_explicit(&channel->over, memory_order_relaxed);
}

/* The peer said so in its flag of a ring, or the keeper knows. Who heard of a death has seen
 * what the dead had, and who hears of it from that thread must have, too: of the words and slots
 * that it reads next the former say what was taken, the latter what was sent. */
static inline bool channel_is_gone(const struct pinion_channel *channel,
				   const _Atomic uint32_t *closed)
{
	return atomic_load_explicit(&channel->severed, memory_order_acquire) || /* A4 */
	       atomic_load_explicit(closed, memory_order_acquire); /* A4 */
}

/* For what we send. */
static inline void channel_close_tx(struct pinion_channel *channel)
{
	if (!channel->tx.shared)
		return;
	atomic_store_explicit(&channel->tx.shared->producer_closed, 1,
			      memory_order_release); /* R4 */
	ring_strike(&channel->tx);
}

/* For what we receive: by the receiving thread alone, since the peer takes back what was not
 * taken as soon as it sees this, and a take() still under way would then be a second holder. */
static inline void channel_close_rx(struct pinion_channel *channel)
{
	if (!channel->rx.shared)
		return;
	atomic_store_explicit(&channel->rx.shared->consumer_closed, 1,
			      memory_order_release); /* R4 */
}

/* Is @buffer held by the member with the holder bits @holder, under that generation? (Relaxed: our
 * own, or A2 has seen the R2 of who held it, or A3 the R3 of who took it.) */
static inline bool channel_is_held(const _Atomic uint64_t *owner, struct pinion_buffer buffer,
				   uint32_t holder)
{
	return atomic_load_explicit(&owner[pinion_buffer_id(buffer)], memory_order_relaxed) ==
	       pinion_owner_word(buffer, holder);
}

/* The peer broke a rule: -EPROTO. Both threads of this end may find out; recv ends what it
 * receives. */
int channel_break_off(struct pinion_channel *channel);

/* Until send() has something to say: for who waits for room, by whichever call. */
int channel_wait_to_send(struct pinion_channel *channel, uint64_t timeout_ns);

#endif
