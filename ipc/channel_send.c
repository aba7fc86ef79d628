/* SPDX-License-Identifier: BSD-3-Clause */
/* What this end of a channel sends. */
#include <errno.h>

#include "channel_inside.h"
#include "desc_row.h"
#include "probe.h"
#include "window.h"

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

/* May the marks in @out go, since the peer has taken what they name? See post(). */
static inline bool are_taken(_Atomic uint64_t *owner, const struct pinion_buffer *out, uint32_t nr,
			     uint32_t self)
{
	if (out->bits && row_seems(out, nr) && row_is(out, nr))
		return !row_words_any(&owner[pinion_buffer_id(*out)], nr,
				      pinion_owner_word(*out, self));
	for (uint32_t i = 0; i < nr; i++)
		if (out[i].bits && channel_is_held(owner, out[i], self))
			return false;
	return true;
}

/* Marks out the row @desc; nothing, unless all of it can be sent. */
ROW_CLONES static bool mark_row(struct pinion_channel *channel, const struct pinion_desc *desc,
				struct pinion_buffer *out, uint32_t nr, size_t size)
{
	const struct pinion_buffer first = desc->buffer;
	_Atomic uint64_t *owner = channel->view->owner;
	const uint32_t self = channel->self;

	if (!desc_row_is(desc, nr, size) ||
	    !row_words_are(&owner[pinion_buffer_id(first)], nr, pinion_owner_word(first, self)) ||
	    !are_taken(owner, out, nr, self))
		return false;
	row_make(out, nr, first);
	return true;
}

/* What post() does, for all whole steps of a batch that are a row without a fault: how many. */
static uint32_t post_row(struct pinion_channel *channel, const struct pinion_desc *desc,
			 uint32_t nr, struct window *window)
{
	struct stretch to_write = stretch_at(channel, channel->tx.at);
	uint32_t row = desc_row_seems(desc, nr, channel->view, window);

	if (!row || !mark_row(channel, desc, to_write.out, row, window->size))
		return 0;
#pragma GCC unroll 4
	for (uint32_t i = 1; i < row; i++)
		desc16_store(&to_write.slot[i], to_write.lap, &desc[i]);
	return row;
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
	struct window here = *window; /* in registers */
	uint32_t i;

	for (i = from; i < to; i++, to_write.out++, to_write.slot++) {
		if (!window_reach(&here, view, pinion_buffer_id(desc[i].buffer)) ||
		    !channel_is_held(owner, desc[i].buffer, self) || desc[i].len > here.size)
			break;
		if (to_write.out->bits &&
		    __builtin_expect(channel_is_held(owner, *to_write.out, self), 0)) {
			*lied = true;
			break;
		}
		*to_write.out = desc[i].buffer;
		if (i)
			pinion_slot_store(to_write.slot, &desc[i], to_write.lap);
	}
	*window = here;
	return i;
}

/* Publishes as much of the batch as is good; how many. */
static uint32_t post_batch(struct pinion_channel *channel, const struct pinion_desc *desc,
			   uint32_t nr, bool *lied)
{
	struct ring *tx = &channel->tx;
	struct window window = {0};
	uint32_t run = ring_run(tx, tx->at, nr), sent;

	sent = post_row(channel, desc, run, &window);
	sent = post(channel, desc, sent, run, &window, lied);
	if (sent == run && run < nr)
		sent = post(channel, desc, run, nr, &window, lied);
	if (!sent)
		return 0;
	ring_open_gate(ring_slot(tx, tx->at), desc, ring_lap(tx, tx->at)); /* R2 */
	tx->at += sent;
	ring_fetch_ahead(tx, sent);
	return sent;
}

int pinion_channel_send(struct pinion_channel *channel, const struct pinion_desc *desc, uint32_t nr)
{
	const int over = channel_over(channel);
	bool lied = false;
	int64_t room;

	if (__builtin_expect(!channel->tx.shared, 0))
		return -EACCES;
	if (over == -EPROTO)
		return over;
	if (channel_is_gone(channel, &channel->tx.shared->consumer_closed))
		return -EPIPE;
	room = ring_room(&channel->tx, nr);
	if (room <= 0)
		return room ? channel_break_off(channel) : -EAGAIN;
	nr = post_batch(channel, desc, (uint32_t)room, &lied);
	/* What went before the lie goes: the lie is met again by the next call. */
	if (!nr)
		return lied ? channel_break_off(channel) : -EINVAL;
	ring_strike(&channel->tx);
	PINION_PROBE2(send, channel, nr);
	return (int)nr;
}
