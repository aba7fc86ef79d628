/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include <pinion/fanin.h>

#include "fail.h"
#include "fetch.h"
#include "pool.h"
#include "ready.h"
#include "ring.h"
#include "slot.h"

struct pinion_channel {
	struct ring tx, rx;
	struct pinion_pool *pool;
	const struct pinion_view *view;
	uint32_t self, peer;       /* holder bits */
	uint32_t peer_member;
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
	ring_strike(&channel->tx);
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

uint32_t channel_room(const struct pinion_channel *channel)
{
	const struct ring *smaller =
		channel->tx.slots < channel->rx.slots ? &channel->tx : &channel->rx;

	return smaller->slots - ring_credit_step(smaller);
}

void channel_watch(struct pinion_channel *channel, int pidfd)
{
	channel->pidfd = pidfd;
}

uint32_t pinion_channel_peer(const struct pinion_channel *channel)
{
	return channel->peer_member;
}

/* Of this process, for who watches it. */
static _Atomic uint64_t lies;

uint64_t pinion_channel_lies(void)
{
	return atomic_load_explicit(&lies, memory_order_relaxed);
}

/* The peer broke a rule. Both threads of this end may find out; recv ends what it receives. */
static int break_off(struct pinion_channel *channel)
{
	if (!atomic_exchange_explicit(&channel->broken, true, memory_order_relaxed))
		atomic_fetch_add_explicit(&lies, 1, memory_order_relaxed);
	close_tx(channel);
	ring_wake_self(&channel->rx);
	return -EPROTO;
}

void pinion_channel_reject(struct pinion_channel *channel)
{
	close_rx(channel);
	(void)break_off(channel);
}

/*
 * The ids of one segment and the size of its buffers, as a batch found them: next to all of its
 * buffers lie in the segment of the one before. For one call, since segments come and go.
 */
struct window {
	uint32_t first, nr;
	size_t size;
};

/* Is there a buffer with this id, mapped here? Moves the window to its segment. */
static bool window_reach(struct window *window, const struct pinion_view *view, uint32_t id)
{
	if (__builtin_expect(id - window->first < window->nr, 1))
		return true;
	if (!pinion_view_has(view, id))
		return false;
	window->first = id >> view->segment_shift << view->segment_shift;
	window->nr = atomic_load_explicit(&pinion_view_segment_of(view, id)->nr,
					  memory_order_acquire);
	window->size = pinion_view_segment_of(view, id)->size;
	return true;
}

/* Is @buffer held by the member with the holder bits @holder, under that generation? (Relaxed: our
 * own, or A2 has seen the R2 of who held it, or A3 the R3 of who took it.) */
static bool is_held(const _Atomic uint64_t *owner, struct pinion_buffer buffer, uint32_t holder)
{
	return atomic_load_explicit(&owner[pinion_buffer_id(buffer)], memory_order_relaxed) ==
	       pinion_owner_word(buffer, holder);
}

/* What the loop below needs of one stretch of the ring without a wrap. */
struct stretch {
	struct pinion_buffer *out;
	struct pinion_slot *slot;
	struct pinion_lap lap;
};

static struct stretch stretch_at(const struct pinion_channel *channel, uint64_t at)
{
	return (struct stretch){
		.out = &channel->out[at & (channel->tx.slots - 1)],
		.slot = ring_slot(&channel->tx, at),
		.lap = ring_lap(&channel->tx, at),
	};
}

/*
 * Descriptors @from to @to of a batch: checks each, marks it out, and writes its slot, but for the
 * very first, which publishes the others. Returns where it stopped.
 *
 * The mark is our record of what lies in the slot, for the case that the peer dies. It takes the
 * place of an older one, whose buffer the peer must have taken: a peer that gives credit without
 * would make us forget a buffer that is still ours. (No mark as yet is the handle of zeroes.)
 */
static uint32_t post(struct pinion_channel *channel, const struct pinion_desc *desc, uint32_t from,
		     uint32_t to, struct window *window, bool *lied)
{
	const struct pinion_view *view = channel->view;
	const _Atomic uint64_t *owner = view->owner;
	const uint32_t self = channel->self;
	struct stretch to_write = stretch_at(channel, channel->tx.at + from);
	uint32_t i;

	for (i = from; i < to; i++, to_write.out++, to_write.slot++) {
		if (!window_reach(window, view, pinion_buffer_id(desc[i].buffer)) ||
		    !is_held(owner, desc[i].buffer, self) || desc[i].len > window->size)
			break;
		*lied = to_write.out->bits && is_held(owner, *to_write.out, self);
		if (__builtin_expect(*lied, 0))
			break;
		*to_write.out = desc[i].buffer;
		if (i)
			pinion_slot_store(to_write.slot, &desc[i], to_write.lap);
	}
	return i;
}

/* Publishes as much of the batch as is good; how many. */
static uint32_t post_batch(struct pinion_channel *channel, const struct pinion_desc *desc,
			   uint32_t nr, bool *lied)
{
	struct ring *tx = &channel->tx;
	struct window window = {0};
	uint32_t run = ring_run(tx, tx->at, nr), sent;

	sent = post(channel, desc, 0, run, &window, lied);
	if (sent == run && run < nr)
		sent = post(channel, desc, run, nr, &window, lied);
	if (!sent)
		return 0;
	ring_open_gate(ring_slot(tx, tx->at), desc, ring_lap(tx, tx->at)); /* R2 */
	tx->at += sent;
	ring_fetch_ahead(tx, sent);
	return sent;
}

int pinion_channel_send(struct pinion_channel *channel, const struct pinion_desc *desc,
			uint32_t nr)
{
	bool lied = false;
	int64_t room;

	if (is_set(&channel->broken))
		return -EPROTO;
	if (is_gone(channel, &channel->tx.shared->consumer_closed))
		return -EPIPE;
	room = ring_room(&channel->tx, nr);
	if (room <= 0)
		return room ? break_off(channel) : -EAGAIN;
	nr = post_batch(channel, desc, (uint32_t)room, &lied);
	/* What went before the lie goes: the lie is met again by the next call. */
	if (!nr)
		return lied ? break_off(channel) : -EINVAL;
	ring_strike(&channel->tx);
	return (int)nr;
}

/*
 * Takes the buffers of @nr descriptors, each of them a private copy that is checked here and then
 * is what the caller gets; how many. @err: why it stopped. -EINVAL: the peer lies; else it is we
 * who cannot take that one now.
 */
static uint32_t take(struct pinion_channel *channel, struct pinion_desc *desc, uint32_t nr,
		     int *err)
{
	const struct pinion_view *view = channel->view;
	_Atomic uint64_t *owner = view->owner;
	const uint32_t self = channel->self, peer = channel->peer;
	struct window window = {0};

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t id = pinion_buffer_id(desc[i].buffer);

		/* A segment that was added a moment ago may be unknown here as yet. */
		if (!window_reach(&window, view, id)) {
			*err = slot_meet(channel->pool, id);
			if (!*err && !window_reach(&window, view, id))
				*err = -EAGAIN;
			if (*err)
				return i;
		}
		if (desc[i].len > window.size || !is_held(owner, desc[i].buffer, peer)) {
			*err = -EINVAL;
			return i;
		}
		desc[i].buffer = pinion_buffer_next(desc[i].buffer);
		atomic_store_explicit(&owner[id], pinion_owner_word(desc[i].buffer, self),
				      memory_order_relaxed);
	}
	return nr;
}

/* Nothing there: for now, or for good? */
static int why_empty(struct pinion_channel *channel)
{
	ring_idle(&channel->rx);
	if (!is_gone(channel, &channel->rx.shared->producer_closed))
		return -EAGAIN;
	/* It may have published just before it closed: look once more. */
	return ring_ready(&channel->rx) ? -EAGAIN : -EPIPE;
}

/* The words are wanted soon, and to be written: their lines come while the rest is copied. */
static void fetch_words(const struct pinion_channel *channel, const struct pinion_desc *desc,
			uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		fetch_to_write(&channel->view->owner[pinion_buffer_id(desc[i].buffer)]);
}

int pinion_channel_recv(struct pinion_channel *channel, struct pinion_desc *desc, uint32_t nr)
{
	uint32_t got;
	int err = 0;

	if (is_set(&channel->broken)) {
		close_rx(channel);
		return -EPROTO;
	}
	got = ring_copy(&channel->rx, channel->rx.at, desc, nr);
	if (!got)
		return why_empty(channel);
	fetch_words(channel, desc, got);
#ifdef PINION_PLANTED_CREDIT
	/* The wrong order, for tests/crash alone, which shows that it would notice. */
	ring_take(&channel->rx, got);
	got = take(channel, desc, got, &err);
#else
	got = take(channel, desc, got, &err);
	ring_take(&channel->rx, got);
#endif
	/* What came before the lie is good: the lie itself is met again by the next call. */
	if (got)
		return (int)got;
	if (err != -EINVAL)
		return err;
	pinion_channel_reject(channel);
	return -EPROTO;
}

static int something_to_say(void *context)
{
	const struct pinion_channel *channel = context;

	if (is_set(&channel->broken))
		return -EPROTO;
	if (ring_ready(&channel->rx))
		return 1;
	if (!is_gone(channel, &channel->rx.shared->producer_closed))
		return 0;
	return ring_ready(&channel->rx) ? 1 : -EPIPE;
}

bool channel_ready(const struct pinion_channel *channel)
{
	return ring_ready(&channel->rx) || is_set(&channel->broken) ||
	       is_gone(channel, &channel->rx.shared->producer_closed);
}

void channel_look(struct pinion_channel *channel)
{
	struct pollfd gone = {.fd = channel->pidfd, .events = POLLIN};

	if (channel->pidfd >= 0 && poll(&gone, 1, 0) > 0)
		pinion_channel_sever(channel);
}

static void peer_is_gone(void *context)
{
	pinion_channel_sever(context);
}

struct ring_waiter channel_waiter(struct pinion_channel *channel)
{
	return (struct ring_waiter){
		.ring = &channel->rx,
		.ready = something_to_say,
		.gone = peer_is_gone,
		.context = channel,
		.pidfd = channel->pidfd,
	};
}

struct ring *channel_tx(struct pinion_channel *channel)
{
	return &channel->tx;
}

struct ring *channel_rx(struct pinion_channel *channel)
{
	return &channel->rx;
}

int pinion_channel_wait(struct pinion_channel *channel, uint64_t timeout_ns)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = channel_waiter(channel);
	uint32_t which = 0;

	return ring_wait(&waiter, 1, timeout_ns, &which);
}

void pinion_channel_sever(struct pinion_channel *channel)
{
	atomic_store_explicit(&channel->severed, true, memory_order_relaxed);
	ring_wake_self(&channel->rx);
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
	if (hand->ready)
		return pinion_fail(-EBUSY, "the channel has joined a ready set already");
	err = ready_map(ready, &hand->ready);
	if (err)
		return err;
	hand->lane = lane;
	ready_post(hand->ready, lane);
	return 0;
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
						     memory_order_relaxed) &
				~PINION_SLOT_HEAD_LAP;

		/* Generations start at 1: a head of 0 was never written. */
		if (head)
			buffer[nr++].bits = head;
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
