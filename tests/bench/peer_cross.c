/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK beside alloc_cross_32: rte_mempool with a cache of 512 on each side, and a ring of pointers
 * with one producer and one consumer; bulks of 32 throughout. Nothing records who has what:
 * a process that is killed takes along what it held.
 *
 * Two processes after a fork, as ours, not two threads: DPDK's memory is shared and at the same
 * addresses in both. The follower is lcore 1: what chooses a cache of the mempool.
 */
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "eal.h"

#define CACHE 512u
#define CROSS_BURST 32u
#define MIB 64u

typedef void *item;

struct side {
	struct rte_mempool *pool;
	struct rte_ring *ring;
};

#include "pair.h"

static void cross_open(void *arg, bool leads)
{
	(void)arg;
	RTE_PER_LCORE(_lcore_id) = leads ? 0 : 1;
	if (leads)
		pair_await();
	else
		pair_ready();
}

static inline uint32_t cross_take(void *arg, item *it, uint32_t nr)
{
	return rte_mempool_get_bulk(((struct side *)arg)->pool, it, nr) ? 0 : nr;
}

static inline uint32_t cross_send(void *arg, const item *it, uint32_t nr)
{
	return rte_ring_sp_enqueue_burst(((struct side *)arg)->ring, it, nr, NULL);
}

static inline uint32_t cross_recv(void *arg, item *it, uint32_t nr)
{
	return rte_ring_sc_dequeue_burst(((struct side *)arg)->ring, it, nr, NULL);
}

static inline void cross_give(void *arg, const item *it, uint32_t nr)
{
	rte_mempool_put_bulk(((struct side *)arg)->pool, it, nr);
}

#include "cross.h"

static void run_dpdk(struct bench *b)
{
	struct side side;

	eal_start(b, MIB);
	side.pool = rte_mempool_create("bench", CROSS_BUFFERS, CROSS_BUFFER_SIZE, CACHE, 0, NULL,
				       NULL, NULL, NULL, (int)rte_socket_id(), 0);
	side.ring = rte_ring_create("bench", CROSS_SLOTS, (int)rte_socket_id(),
				    RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (!side.pool || !side.ring)
		bench_die("DPDK made no mempool or no ring");
	pair_run(b, cross_lead, cross_follow, &side);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"alloc_cross_32", "dpdk", "ns", run_dpdk, 32},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
