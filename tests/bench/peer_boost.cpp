/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Boost: lockfree::spsc_queue with its items inside, which needs the capacity when it is compiled.
 */
#include <boost/lockfree/spsc_queue.hpp>
#include <new>

#include "bench.h"
#include "peer_item.h"

constexpr uint32_t capacity = 16384;

struct queue {
	boost::lockfree::spsc_queue<peer_item, boost::lockfree::capacity<capacity>> items;
};

static size_t queue_len(uint32_t slots)
{
	if (slots != capacity)
		bench_die("this queue has %u slots, not %u", capacity, slots);
	return sizeof(struct queue);
}

static void queue_init(struct queue *queue, uint32_t)
{
	new (queue) struct queue;
}

static inline uint32_t queue_send(struct queue *queue, const peer_item *item, uint32_t nr)
{
	return static_cast<uint32_t>(queue->items.push(item, nr));
}

static inline uint32_t queue_recv(struct queue *queue, peer_item *item, uint32_t nr)
{
	return static_cast<uint32_t>(queue->items.pop(item, nr));
}

#define PEER_ONE_DEPTH
#include "peer.h"

PEER_MAIN("boost")
