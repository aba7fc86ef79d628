/* SPDX-License-Identifier: BSD-3-Clause */
/* What lies in the rings of a channel whose other end is gone. */
#include <errno.h>

#include "channel_inside.h"

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

	if (!channel->tx.shared)
		return 0;
	/* A living peer may still take them, until it says that it will not (R4-A4). */
	if (!channel_is_gone(channel, &channel->tx.shared->consumer_closed))
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
