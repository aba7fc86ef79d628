/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK beside handoff: rte_mempool with a cache of 512, two rings of pointers with one producer
 * and one consumer each, rte_mempool_virt2iova. Two processes after a fork, see peer_cross.c.
 * Nothing is checked, and nothing records who has what.
 */
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "eal.h"

#define CACHE 512u
#define HANDOFF_BURST 32u
#define MIB 64u

struct side {
	struct rte_mempool *pool;
	struct rte_ring *there, *back;
};

#include "pair.h"

static void handoff_open(void *arg, bool leads)
{
	(void)arg;
	RTE_PER_LCORE(_lcore_id) = leads ? 0 : 1;
	if (leads)
		pair_await();
	else
		pair_ready();
}

/* Always inlined: as a function of its own, built by clang at -O2, it kept a value below the stack
 * pointer, and something of the peer's wrote there. */
__attribute__((always_inline)) static inline void send_all(struct rte_ring *ring, void **object,
							   uint32_t nr)
{
	for (uint32_t sent = 0; sent < nr;)
		sent += rte_ring_sp_enqueue_burst(ring, object + sent, nr - sent, NULL);
}

static inline uint32_t handoff_post(void *arg, uint32_t nr)
{
	struct side *side = arg;
	void *object[HANDOFF_BURST];

	if (rte_mempool_get_bulk(side->pool, object, nr))
		return 0;
	for (uint32_t i = 0; i < nr; i++)
		*(uint64_t *)object[i] = i;
	send_all(side->there, object, nr);
	return nr;
}

static inline uint32_t handoff_reap(void *arg, uint32_t nr)
{
	struct side *side = arg;
	void *object[HANDOFF_BURST];
	uint32_t got = rte_ring_sc_dequeue_burst(side->back, object, nr, NULL);

	if (got)
		rte_mempool_put_bulk(side->pool, object, got);
	return got;
}

static inline uint32_t handoff_serve(void *arg, uint32_t nr)
{
	struct side *side = arg;
	void *object[HANDOFF_BURST];
	uint32_t got = rte_ring_sc_dequeue_burst(side->there, object, nr, NULL);

	for (uint32_t i = 0; i < got; i++)
		bench_keep(rte_mempool_virt2iova(object[i]));
	send_all(side->back, object, got);
	return got;
}

#include "handoff.h"

static struct rte_ring *open_ring(const char *name)
{
	struct rte_ring *ring = rte_ring_create(name, HANDOFF_SLOTS, (int)rte_socket_id(),
						RING_F_SP_ENQ | RING_F_SC_DEQ);

	if (!ring)
		bench_die("DPDK made no ring");
	return ring;
}

static void run_dpdk(struct bench *b)
{
	struct side side;

	eal_start(b, MIB);
	side.pool = rte_mempool_create("bench", HANDOFF_BUFFERS, HANDOFF_BUFFER_SIZE, CACHE, 0,
				       NULL, NULL, NULL, NULL, (int)rte_socket_id(), 0);
	if (!side.pool)
		bench_die("DPDK made no mempool");
	side.there = open_ring("there");
	side.back = open_ring("back");
	pair_run(b, handoff_lead, handoff_follow, &side);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"handoff", "dpdk", "ns", run_dpdk, 32},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
