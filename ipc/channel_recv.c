/* SPDX-License-Identifier: BSD-3-Clause */
/* What this end of a channel receives. */
#include <errno.h>

#include "channel_inside.h"
#include "desc_row.h"
#include "fetch.h"
#include "probe.h"
#include "slot.h"
#include "window.h"

/* Takes the row @desc over, at its next generation, which is @raise more; nothing, unless all of it
 * is the peer's to give. */
ROW_CLONES static bool take_words(struct pinion_channel *channel, const struct pinion_desc *desc,
				  uint32_t nr, uint64_t raise, size_t size)
{
	const struct pinion_buffer first = desc->buffer;
	_Atomic uint64_t *owner = &channel->view->owner[pinion_buffer_id(first)];
	const uint64_t theirs = pinion_owner_word(first, channel->peer);

	if (!desc_row_is(desc, nr, size) || !row_words_are(owner, nr, theirs))
		return false;
	row_words_set(owner, nr, theirs + raise - channel->peer + channel->self);
	return true;
}

/* What take() does, for all whole steps of a batch that are a row without a fault: how many. */
static uint32_t take_row(struct pinion_channel *channel, struct pinion_desc *desc, uint32_t nr,
			 struct window *window)
{
	const uint64_t raise = pinion_buffer_next(desc->buffer).bits - desc->buffer.bits;
	uint32_t row = desc_row_seems(desc, nr, channel->view, window);

	if (!row || !take_words(channel, desc, row, raise, window->size))
		return 0;
#pragma GCC unroll 4
	for (uint32_t i = 0; i < row; i++)
		desc[i].buffer.bits += raise;
	return row;
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

	for (uint32_t i = take_row(channel, desc, nr, &window); i < nr; i++) {
		uint32_t id = pinion_buffer_id(desc[i].buffer);

		/* A segment that was added a moment ago may be unknown here as yet. */
		if (!window_reach(&window, view, id)) {
			*err = slot_meet(channel->pool, id);
			if (!*err && !window_reach(&window, view, id))
				*err = -EAGAIN;
			if (*err)
				return i;
		}
		if (desc[i].len > window.size || !channel_is_held(owner, desc[i].buffer, peer)) {
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
	slot_follow_seldom(channel->pool, &channel->empty);
	if (!channel_is_gone(channel, &channel->rx.shared->producer_closed))
		return -EAGAIN;
	/* It may have published just before it closed: look once more. */
	return ring_ready(&channel->rx) ? -EAGAIN : -EPIPE;
}

int channel_give_up(struct pinion_channel *channel)
{
	int none = 0;

	channel_close_rx(channel);
	(void)atomic_compare_exchange_strong_explicit(&channel->over, &none, -EPIPE,
						      memory_order_relaxed, memory_order_relaxed);
	return -EPIPE;
}

/* The first one waits for the file of its segment. Where the peer is gone that is the end: who
 * waited on would never hear of it. */
static int get_stuck(struct pinion_channel *channel, const struct pinion_desc *desc)
{
	channel->stuck = (struct stuck){channel->rx.at, pinion_buffer_id(desc->buffer), true};
	ring_idle(&channel->rx);
	return channel_is_gone(channel, &channel->rx.shared->producer_closed)
		       ? channel_give_up(channel)
		       : -EAGAIN;
}

/* The words are wanted soon, and to be written: their lines come while the rest is copied. Where
 * the ends say that all are neighbours, every eighth is asked for, and the last. */
static void fetch_words(const struct pinion_channel *channel, const struct pinion_desc *desc,
			uint32_t nr)
{
	const bool row = desc[nr - 1].buffer.bits == desc[0].buffer.bits + (nr - 1);

	for (uint32_t i = 0; i < nr; i += row ? 8 : 1)
		fetch_to_write(&channel->view->owner[pinion_buffer_id(desc[i].buffer)]);
	if (row)
		fetch_to_write(&channel->view->owner[pinion_buffer_id(desc[nr - 1].buffer)]);
}

int pinion_channel_recv(struct pinion_channel *channel, struct pinion_desc *desc, uint32_t nr)
{
	uint32_t got;
	int err = 0;

	if (__builtin_expect(!channel->rx.shared, 0))
		return -EACCES;
	err = channel_over(channel);
	if (__builtin_expect(err, 0)) {
		channel_close_rx(channel);
		return err;
	}
	got = ring_copy(&channel->rx, channel->rx.at, desc, nr);
	if (!got)
		return why_empty(channel);
	ring_write_back(&channel->rx, channel->rx.at, desc, got);
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
	if (got) {
		PINION_PROBE2(receive, channel, got);
		return (int)got;
	}
	if (err == -EAGAIN)
		return get_stuck(channel, desc);
	if (err != -EINVAL)
		return err;
	pinion_channel_reject(channel);
	return -EPROTO;
}
