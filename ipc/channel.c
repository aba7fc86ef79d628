/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel_inside.h"

#include <errno.h>
#include <stdlib.h>

#include <pinion/fanin.h>

#include "fail.h"
#include "pool.h"
#include "ready.h"

/* --- life */

/* -1: a ring that this end does not have. Its shared is NULL. */
static int open_ring(int fd, struct ring *ring)
{
	if (fd != -1)
		return ring_map(fd, ring);
	*ring = (struct ring){.fd = BELL_FD_NONE, .hand = {.socket = -1}};
	return 0;
}

static int open_rings(struct pinion_channel *channel, int tx, int rx)
{
	int err = open_ring(tx, &channel->tx);

	if (!err)
		err = open_ring(rx, &channel->rx);
	if (err || tx == -1)
		return err;
	channel->out = calloc(channel->tx.slots, sizeof(*channel->out));
	if (!channel->out)
		return pinion_fail(-ENOMEM, "no memory for a channel of %u slots",
				   channel->tx.slots);
	return 0;
}

static void discard(struct pinion_channel *channel)
{
	ring_unmap(&channel->tx);
	ring_unmap(&channel->rx);
	free(channel->out);
	free(channel);
}

int pinion_channel_open(struct pinion_pool *pool, int tx, int rx, uint32_t peer,
			struct pinion_channel **out)
{
	KEEP_ERRNO;
	struct pinion_channel *channel;
	int err;

	if (peer >= pool->geometry.nr_members)
		return pinion_fail(-EINVAL, "the pool has no member %u", peer);
	if (tx == -1 && rx == -1)
		return pinion_fail(-EINVAL, "a channel has at least one ring");
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return pinion_fail(-ENOMEM, "no memory for a channel");
	channel->pool = pool;
	channel->view = pinion_pool_view(pool);
	channel->self = channel->view->self;
	channel->peer = pinion_owner_held(peer);
	channel->peer_member = peer;
	channel->pidfd = -1;
	err = open_rings(channel, tx, rx);
	if (err) {
		discard(channel);
		return err;
	}
	*out = channel;
	return 0;
}

int pinion_channel_close(struct pinion_channel *channel)
{
	KEEP_ERRNO;
	bool told;

	/* In this order: a peer that the bell wakes finds both flags. */
	channel_close_rx(channel);
	channel_close_tx(channel);
	told = ring_tell_at_last(&channel->tx);
	discard(channel);
	return told ? 0 : pinion_fail(-ENOBUFS, "the peer's loop could not be told of the end");
}

void channel_abandon(struct pinion_channel *channel)
{
	discard(channel);
}

/* --- the peer: it is gone, or lies */

void channel_watch(struct pinion_channel *channel, int pidfd)
{
	channel->pidfd = pidfd;
}

static void wake_receiver(struct pinion_channel *channel)
{
	if (channel->rx.shared)
		ring_wake_self(&channel->rx);
}

void pinion_channel_sever(struct pinion_channel *channel)
{
	atomic_store_explicit(&channel->severed, true, memory_order_release); /* R4 */
	wake_receiver(channel);
}

/* Of this process, for who watches it. */
static _Atomic uint64_t lies;

uint64_t pinion_channel_lies(void)
{
	return atomic_load_explicit(&lies, memory_order_relaxed);
}

int channel_break_off(struct pinion_channel *channel)
{
	if (atomic_exchange_explicit(&channel->over, -EPROTO, memory_order_relaxed) != -EPROTO)
		atomic_fetch_add_explicit(&lies, 1, memory_order_relaxed);
	channel_close_tx(channel);
	wake_receiver(channel);
	return -EPROTO;
}

void pinion_channel_reject(struct pinion_channel *channel)
{
	channel_close_rx(channel);
	(void)channel_break_off(channel);
}

/* --- what is asked of one */

uint32_t pinion_channel_peer(const struct pinion_channel *channel)
{
	return channel->peer_member;
}

uint32_t pinion_channel_rights(const struct pinion_channel *channel)
{
	return (channel->tx.shared ? PINION_RIGHT_SEND : 0) |
	       (channel->rx.shared ? PINION_RIGHT_RECV : 0);
}

uint32_t pinion_channel_slots(const struct pinion_channel *channel)
{
	return channel->rx.shared ? channel->rx.slots : channel->tx.slots;
}

uint32_t channel_room(const struct pinion_channel *channel)
{
	const struct ring *smaller =
		channel->tx.slots < channel->rx.slots ? &channel->tx : &channel->rx;

	return smaller->slots - ring_credit_step(smaller);
}

struct ring *channel_tx(struct pinion_channel *channel)
{
	return &channel->tx;
}

struct ring *channel_rx(struct pinion_channel *channel)
{
	return &channel->rx;
}

/* What was sent before, and called for at a bell where nobody sleeps, is told now. */
int pinion_channel_join(struct pinion_channel *channel, int ready, uint32_t lane)
{
	KEEP_ERRNO;
	struct bell_hand *hand = &channel->tx.hand;
	int err;

	if (lane >= READY_LANES)
		return pinion_fail(-EINVAL, "a ready set has %u lanes, not %u", READY_LANES,
				   lane + 1);
	if (!channel->tx.shared)
		return pinion_fail(-EACCES, "this end of the channel may not send");
	if (hand->ready)
		return pinion_fail(-EBUSY, "the channel has joined a ready set already");
	err = ready_map(ready, &hand->ready);
	if (err)
		return err;
	hand->lane = lane;
	ring_post(&channel->tx);
	return 0;
}
