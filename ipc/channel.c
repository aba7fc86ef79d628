/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "bell.h"
#include "fail.h"
#include "pool.h"
#include "ring.h"
#include "slot.h"

/* How often an empty ring is looked at before the receiver arms the bell: a few microseconds,
 * less than what a sleep and a wake-up cost. */
#define SPINS 2000

/* How long a receiver sleeps before it looks whether its peer lives, where it has a pidfd. */
#define LOOK_NS UINT64_C(100000000)

struct pinion_channel {
	struct ring tx, rx;
	struct pinion_pool *pool;
	const struct pinion_view *view;
	uint32_t self, peer;       /* holder bits */
	uint32_t peer_member;
	uint64_t credit;           /* tx slots known to be free again; at most tx.at */
	struct pinion_buffer *out; /* by tx slot: what we published there, our own record */
	int pidfd;                 /* the peer's; -1: somebody else watches it */
	/* Either thread of this end may set these, and the other only has to see it some time. */
	atomic_bool severed; /* the keeper says that the peer is gone */
	atomic_bool broken;  /* the peer lied */
};

static bool is_set(const atomic_bool *flag)
{
	return atomic_load_explicit(flag, memory_order_relaxed);
}

/* A4. The peer said so in its flag of a ring, or the keeper knows. */
static bool is_gone(const struct pinion_channel *channel, const _Atomic uint32_t *closed)
{
	return is_set(&channel->severed) || atomic_load_explicit(closed, memory_order_acquire);
}

static int open_rings(struct pinion_channel *channel, int tx, int rx)
{
	int err = ring_map(tx, &channel->tx);

	if (!err)
		err = ring_map(rx, &channel->rx);
	if (err)
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

/* R4, for what we send. */
static void close_tx(struct pinion_channel *channel)
{
	atomic_store_explicit(&channel->tx.shared->producer_closed, 1, memory_order_release);
	bell_strike(&channel->tx.shared->bell);
}

/* R4, for what we receive: by the receiving thread alone, since the peer takes back what was not
 * taken as soon as it sees this, and a take() still under way would then be a second holder. */
static void close_rx(struct pinion_channel *channel)
{
	atomic_store_explicit(&channel->rx.shared->consumer_closed, 1, memory_order_release);
}

int pinion_channel_close(struct pinion_channel *channel)
{
	KEEP_ERRNO;

	/* In this order: a peer that the bell wakes finds both flags. */
	close_rx(channel);
	close_tx(channel);
	discard(channel);
	return 0;
}

void channel_abandon(struct pinion_channel *channel)
{
	discard(channel);
}

void channel_watch(struct pinion_channel *channel, int pidfd)
{
	channel->pidfd = pidfd;
}

uint32_t pinion_channel_peer(const struct pinion_channel *channel)
{
	return channel->peer_member;
}

/* The peer broke a rule. Both threads of this end may find out; recv ends what it receives. */
static int break_off(struct pinion_channel *channel)
{
	atomic_store_explicit(&channel->broken, true, memory_order_relaxed);
	close_tx(channel);
	bell_strike(&channel->rx.shared->bell);
	return -EPROTO;
}

void pinion_channel_reject(struct pinion_channel *channel)
{
	close_rx(channel);
	(void)break_off(channel);
}

/* A3. Slots that can be written now; negative when the peer claims what cannot be. */
static int64_t room(struct pinion_channel *channel)
{
	uint64_t used = channel->tx.at - channel->credit, credit;

	if (used < channel->tx.slots)
		return (int64_t)(channel->tx.slots - used);
	credit = atomic_load_explicit(&channel->tx.shared->credit, memory_order_acquire);
	if (credit - channel->credit > used)
		return break_off(channel);
	channel->credit = credit;
	return (int64_t)(channel->tx.slots - (channel->tx.at - credit));
}

/* May this member send @desc? Ours, and not longer than it is. */
static bool sendable(const struct pinion_channel *channel, const struct pinion_desc *desc)
{
	const struct pinion_view *view = channel->view;
	uint32_t id = pinion_buffer_id(desc->buffer);

	if (!pinion_view_has(view, id))
		return false;
	if (atomic_load_explicit(&view->owner[id], memory_order_relaxed) !=
	    pinion_owner_word(desc->buffer, channel->self))
		return false;
	return desc->len <= pinion_view_segment_of(view, id)->size;
}

/*
 * Was the buffer that we last sent in this slot taken? The credit says so; but a peer that gives
 * credit without taking would make us write over the only record of a buffer that is still ours.
 * (Relaxed: A3 has seen R3, which comes after the words.)
 */
static bool was_taken(const struct pinion_channel *channel, struct pinion_buffer last)
{
	return !last.bits || atomic_load_explicit(&channel->view->owner[pinion_buffer_id(last)],
						  memory_order_relaxed) !=
				     pinion_owner_word(last, channel->self);
}

/* Marks, publishes, moves on. False: the peer lied about this slot. */
static bool send_one(struct pinion_channel *channel, const struct pinion_desc *desc)
{
	struct pinion_buffer *out = &channel->out[channel->tx.at & (channel->tx.slots - 1)];

	if (!was_taken(channel, *out))
		return false;
	/* The mark comes first: a crash of ours needs none, one of theirs needs all. */
	*out = desc->buffer;
	ring_publish(&channel->tx, desc);
	return true;
}

int pinion_channel_send(struct pinion_channel *channel, const struct pinion_desc *desc,
			uint32_t nr)
{
	int64_t free_slots;
	uint32_t sent = 0;
	bool lied = false;

	if (is_set(&channel->broken))
		return -EPROTO;
	if (is_gone(channel, &channel->tx.shared->consumer_closed))
		return -EPIPE;
	free_slots = room(channel);
	if (free_slots <= 0)
		return free_slots ? (int)free_slots : -EAGAIN;
	while (sent < nr && (int64_t)sent < free_slots && sendable(channel, &desc[sent])) {
		lied = !send_one(channel, &desc[sent]);
		if (lied)
			break;
		sent++;
	}
	/* What went before the lie went: the lie is met again by the next call. */
	if (!sent)
		return lied ? break_off(channel) : -EINVAL;
	bell_strike(&channel->tx.shared->bell);
	return (int)sent;
}

/* The copy in @desc is what is checked and what the caller gets; the slot is not read again.
 * -EINVAL: the peer lies; else it is we who cannot take it now. */
static int take(struct pinion_channel *channel, struct pinion_desc *desc)
{
	const struct pinion_view *view = channel->view;
	uint32_t id = pinion_buffer_id(desc->buffer);

	/* A segment that was added a moment ago may be unknown here as yet. */
	if (__builtin_expect(!pinion_view_has(view, id), 0)) {
		int err = slot_meet(channel->pool, id);

		if (err)
			return err;
	}
	if (desc->len > pinion_view_segment_of(view, id)->size)
		return -EINVAL;
	if (atomic_load_explicit(&view->owner[id], memory_order_relaxed) !=
	    pinion_owner_word(desc->buffer, channel->peer))
		return -EINVAL;
	desc->buffer = pinion_buffer_next(desc->buffer);
	atomic_store_explicit(&view->owner[id], pinion_owner_word(desc->buffer, channel->self),
			      memory_order_relaxed);
	return 0;
}

/* Nothing there: for now, or for good? */
static int why_empty(struct pinion_channel *channel)
{
	struct pinion_desc ignored;

	if (!is_gone(channel, &channel->rx.shared->producer_closed))
		return -EAGAIN;
	/* It may have published just before it closed: look once more. */
	return ring_peek(&channel->rx, &ignored) ? -EAGAIN : -EPIPE;
}

int pinion_channel_recv(struct pinion_channel *channel, struct pinion_desc *desc, uint32_t nr)
{
	uint32_t got = 0;
	int err = 0;

	if (is_set(&channel->broken)) {
		close_rx(channel);
		return -EPROTO;
	}
	while (got < nr && ring_peek(&channel->rx, &desc[got])) {
		err = take(channel, &desc[got]);
		if (err)
			break;
		channel->rx.at++;
		got++;
	}
	if (got) /* R3, after the words: the sender may now write these slots again. */
		atomic_store_explicit(&channel->rx.shared->credit, channel->rx.at,
				      memory_order_release);
	/* What came before the lie is good: the lie itself is met again by the next call. */
	if (got)
		return (int)got;
	if (!err)
		return why_empty(channel);
	if (err != -EINVAL)
		return err;
	pinion_channel_reject(channel);
	return -EPROTO;
}

static bool something_to_say(const struct pinion_channel *channel)
{
	struct pinion_desc ignored;

	return ring_peek(&channel->rx, &ignored) || is_set(&channel->broken) ||
	       is_gone(channel, &channel->rx.shared->producer_closed);
}

static bool spin(const struct pinion_channel *channel)
{
	for (int i = 0; i < SPINS; i++) {
		if (something_to_say(channel))
			return true;
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
	}
	return false;
}

/* Where nobody else does it for us, the receiver looks for itself. */
static void look_for_peer(struct pinion_channel *channel)
{
	struct pollfd gone = {.fd = channel->pidfd, .events = POLLIN};

	if (channel->pidfd >= 0 && poll(&gone, 1, 0) > 0)
		pinion_channel_sever(channel);
}

/* One sleep, up to @deadline or the next look at the peer. -EAGAIN: nothing yet, go on. */
static int sleep_once(struct pinion_channel *channel, uint64_t deadline)
{
	_Atomic uint32_t *bell = &channel->rx.shared->bell;
	uint64_t now = bell_now_ns(), until = deadline;
	int err;

	if (channel->pidfd >= 0 && deadline - now > LOOK_NS && deadline > now)
		until = now + LOOK_NS;
	bell_arm(bell);
	if (something_to_say(channel))
		return 0;
	err = bell_wait(bell, until);
	if (err == -EINTR || something_to_say(channel))
		return err == -EINTR ? err : 0;
	/* By the clock, not by the futex: a peer that rings for nothing keeps nobody longer. */
	return bell_now_ns() >= deadline ? -ETIMEDOUT : -EAGAIN;
}

int pinion_channel_wait(struct pinion_channel *channel, uint64_t timeout_ns)
{
	KEEP_ERRNO;
	uint64_t now = bell_now_ns(), deadline = now + timeout_ns;
	int err = -EAGAIN;

	if (deadline < now)
		deadline = UINT64_MAX;
	if (spin(channel))
		return 0;
	while (err == -EAGAIN) {
		err = sleep_once(channel, deadline);
		look_for_peer(channel);
	}
	bell_disarm(&channel->rx.shared->bell);
	return err;
}

void pinion_channel_sever(struct pinion_channel *channel)
{
	atomic_store_explicit(&channel->severed, true, memory_order_relaxed);
	bell_strike(&channel->rx.shared->bell);
}

uint32_t pinion_channel_slots(const struct pinion_channel *channel)
{
	return channel->rx.slots;
}

uint32_t pinion_channel_published(const struct pinion_channel *channel,
				  struct pinion_buffer *buffer)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < channel->rx.slots; i++) {
		uint64_t head = atomic_load_explicit(&channel->rx.shared->slot[i].head,
						     memory_order_relaxed);

		/* Generations start at 1: a head of 0 was never written. */
		if (head)
			buffer[nr++].bits = head & ~RING_LAP;
	}
	return nr;
}

/* What was never taken is ours again under a new generation, so that the slot is stale. */
static bool take_back(struct pinion_channel *channel, uint32_t slot, struct pinion_buffer *buffer)
{
	_Atomic uint64_t *owner = channel->view->owner;
	uint32_t id;

	*buffer = channel->out[slot];
	id = pinion_buffer_id(*buffer);
	channel->out[slot].bits = 0;
	if (!buffer->bits || atomic_load_explicit(&owner[id], memory_order_relaxed) !=
				     pinion_owner_word(*buffer, channel->self))
		return false;
	*buffer = pinion_buffer_next(*buffer);
	atomic_store_explicit(&owner[id], pinion_owner_word(*buffer, channel->self),
			      memory_order_relaxed);
	return true;
}

int pinion_channel_reclaim(struct pinion_channel *channel, struct pinion_cache *cache)
{
	int freed = 0, err = 0;

	/* A living peer may still take them, until it says that it will not (R4-A4). */
	if (!is_gone(channel, &channel->tx.shared->consumer_closed))
		return -EBUSY;
	for (uint32_t i = 0; !err && i < channel->tx.slots; i++) {
		struct pinion_buffer buffer;

		if (!take_back(channel, i, &buffer))
			continue;
		err = pinion_buffer_free(cache, buffer);
		if (err) /* Ours all the same: the next call finds it again. */
			channel->out[i] = buffer;
		else
			freed++;
	}
	return err ? err : freed;
}
