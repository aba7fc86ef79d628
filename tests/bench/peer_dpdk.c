/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK: rte_ring, single producer and single consumer, items of 16 bytes. A ring can be made in
 * any memory, so the environment of DPDK is not started here.
 *
 * fanin: many producers are one ring for all of them (multi producer, single consumer), of whom one
 * sends. A producer that is killed in the middle of an enqueue stops the others for good.
 */
#include <rte_ring.h>

#include "peer_item.h"

struct queue {
	struct rte_ring ring; /* its items follow */
};

static size_t queue_len(uint32_t slots)
{
	return (size_t)rte_ring_get_memsize_elem(sizeof(struct peer_item), slots);
}

static bool many;

static void queue_init(struct queue *queue, uint32_t slots)
{
	(void)rte_ring_init(&queue->ring, "bench", slots,
			    (many ? 0 : RING_F_SP_ENQ) | RING_F_SC_DEQ);
}

static inline uint32_t queue_send(struct queue *queue, const struct peer_item *item, uint32_t nr)
{
	if (many)
		return rte_ring_mp_enqueue_burst_elem(&queue->ring, item, sizeof(*item), nr, NULL);
	return rte_ring_sp_enqueue_burst_elem(&queue->ring, item, sizeof(*item), nr, NULL);
}

static inline uint32_t queue_recv(struct queue *queue, struct peer_item *item, uint32_t nr)
{
	return rte_ring_sc_dequeue_burst_elem(&queue->ring, item, sizeof(*item), nr, NULL);
}

#define PEER_MORE                                                                                 \
	{"fanin", "dpdk", "ns", stream_many, 1}, {"fanin_32", "dpdk", "ns", stream_many, 32},

#include "peer.h"

static void stream_many(struct bench *b)
{
	many = true;
	stream_4096(b);
}

PEER_MAIN("dpdk")
