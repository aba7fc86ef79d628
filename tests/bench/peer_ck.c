/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Concurrency Kit: ck_ring, single producer and single consumer, items of 16 bytes in the ring.
 * It has no batches: a burst is a loop.
 */
#include <ck_ring.h>

#include "peer_item.h"

CK_RING_PROTOTYPE(peer, peer_item)

struct queue {
	_Alignas(64) struct ck_ring ring;
	_Alignas(64) struct peer_item item[];
};

static size_t queue_len(uint32_t slots)
{
	return sizeof(struct queue) + slots * sizeof(struct peer_item);
}

static void queue_init(struct queue *queue, uint32_t slots)
{
	ck_ring_init(&queue->ring, slots);
}

static inline uint32_t queue_send(struct queue *queue, const struct peer_item *item, uint32_t nr)
{
	uint32_t sent = 0;

	while (sent < nr) {
		struct peer_item copy = item[sent]; /* ck takes no const */

		if (!ck_ring_enqueue_spsc_peer(&queue->ring, queue->item, &copy))
			break;
		sent++;
	}
	return sent;
}

static inline uint32_t queue_recv(struct queue *queue, struct peer_item *item, uint32_t nr)
{
	uint32_t got = 0;

	while (got < nr && ck_ring_dequeue_spsc_peer(&queue->ring, queue->item, &item[got]))
		got++;
	return got;
}

#include "peer.h"

PEER_MAIN("ck")
