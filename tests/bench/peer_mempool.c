/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's rte_mempool beside alloc_N and bus_addr: a cache of 512, as its documentation advises;
 * get and put in bulks of up to 32, as its users do. It copies pointers and records no owner.
 *
 * alloc_32_scattered: the same with objects in no order, of which a mempool takes no notice.
 */
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <stdbool.h>
#include <stdlib.h>

#include "eal.h"
#include "random.h"

#define OBJECT_SIZE 4096u
#define OBJECTS 1024u /* as many as alloc.c and bus_addr.c have */
#define CACHE 512u
#define BURST_MAX 768u
#define BULK_MAX 32u
#define PAIRS 65536u /* of a block */
#define MIB 64u      /* of memory for the environment */

static bool scatter;

static struct rte_mempool *open_pool(const struct bench *b)
{
	struct rte_mempool *pool;

	eal_start(b, MIB);
	pool = rte_mempool_create("bench", OBJECTS, OBJECT_SIZE, CACHE, 0, NULL, NULL, NULL, NULL,
				  (int)rte_socket_id(), 0);
	if (!pool)
		bench_die("rte_mempool_create failed");
	return pool;
}

static void one(struct rte_mempool *pool, void **object, uint32_t burst, uint32_t bulk)
{
	for (uint32_t i = 0; i < burst; i += bulk) {
		if (rte_mempool_get_bulk(pool, &object[i], bulk))
			bench_die("the mempool ran empty");
		bench_keep(object[i]);
	}
	for (uint32_t i = 0; i < burst; i += bulk) {
		rte_mempool_put_bulk(pool, &object[i], bulk);
		bench_keep(pool);
	}
}

/* Once more in and out of the cache, in another order: as alloc.c does. */
static void shuffle(struct rte_mempool *pool)
{
	void *object[BURST_MAX];

	for (uint32_t i = 0; i < BURST_MAX; i += BULK_MAX)
		if (rte_mempool_get_bulk(pool, &object[i], BULK_MAX))
			bench_die("the mempool ran empty");
	for (uint32_t i = BURST_MAX - 1; i; i--) {
		const uint32_t j = random_below(i, i + 1);
		void *other = object[j];

		object[j] = object[i];
		object[i] = other;
	}
	for (uint32_t i = 0; i < BURST_MAX; i += BULK_MAX)
		rte_mempool_put_bulk(pool, &object[i], BULK_MAX);
}

static void alloc(struct bench *b, uint32_t bulk)
{
	struct rte_mempool *pool = open_pool(b);
	void *object[BURST_MAX];

	if (scatter)
		shuffle(pool);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < PAIRS; i += b->is->arg)
			one(pool, object, b->is->arg, bulk);
		bench_sample(b, (double)(bench_now_ns() - start) / PAIRS);
	}
}

/* Apart, so that the bulk is a constant where it is inlined. */
static void run_singly(struct bench *b)
{
	alloc(b, 1);
}

static void run_bulk(struct bench *b)
{
	alloc(b, BULK_MAX);
}

static void run_scattered(struct bench *b)
{
	scatter = true;
	run_bulk(b);
}

static void run_bus_addr(struct bench *b)
{
	struct rte_mempool *pool = open_pool(b);
	static void *object[OBJECTS], *order[RANDOM_NR];

	if (rte_mempool_get_bulk(pool, object, OBJECTS))
		bench_die("the mempool does not hold %u objects", OBJECTS);
	for (uint32_t i = 0; i < RANDOM_NR; i++)
		order[i] = object[random_below(i, OBJECTS)];
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < RANDOM_TIMES; i++)
			bench_keep(rte_mempool_virt2iova(order[i % RANDOM_NR]));
		bench_sample(b, (double)(bench_now_ns() - start) / RANDOM_TIMES);
	}
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"alloc_1", "dpdk", "ns", run_singly, 1},
		{"alloc_32", "dpdk", "ns", run_bulk, 32},
		{"alloc_32_scattered", "dpdk", "ns", run_scattered, 32},
		{"alloc_256", "dpdk", "ns", run_singly, 256},
		{"alloc_768", "dpdk", "ns", run_singly, 768},
		{"bus_addr", "dpdk", "ns", run_bus_addr, 0},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
