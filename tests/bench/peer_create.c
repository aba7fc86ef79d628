/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK beside create and control: an rte_mempool of 4 KiB objects in 1 GiB (--len).
 *
 * create: rte_eal_init() with that much memory, then rte_mempool_create() of as many objects as fit
 * into fifteen sixteenths of it (its own tables want room); milliseconds. Each sample is a process
 * of its own, because the environment starts once in a process. So the number contains what else
 * starts with it, as it does for DPDK's users.
 *
 * control: an object's header, trailer and padding, its place in the mempool's ring, and its share
 * of the mempool's own struct with a cache for each possible lcore; percent of the data.
 */
#include <rte_mempool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eal.h"

#define OBJECT_SIZE 4096u
#define CACHE 512u
#define ROOM_MIB 32u /* beside the objects */

static uint32_t overhead(void)
{
	struct rte_mempool_objsz size;

	return rte_mempool_calc_obj_size(OBJECT_SIZE, 0, &size) - OBJECT_SIZE;
}

/* In the child: starts, makes, says how long it took, ends. */
static _Noreturn void make(const struct bench *b, double *took)
{
	size_t objects = b->len / 16 * 15 / (OBJECT_SIZE + overhead());
	uint64_t start = bench_now_ns();

	eal_start(b, (b->len >> 20) + ROOM_MIB);
	if (!rte_mempool_create("bench", (unsigned)objects, OBJECT_SIZE, CACHE, 0, NULL, NULL,
				NULL, NULL, (int)rte_socket_id(), 0))
		bench_die("rte_mempool_create of %zu objects failed", objects);
	*took = (double)(bench_now_ns() - start) / 1e6;
	_exit(0);
}

static void run_create(struct bench *b)
{
	double *took = bench_shared(&(struct bench){.huge = false}, sizeof(*took));

	if (!b->huge)
		bench_skip("create is about pages of 2 MiB: %zu of them must be free",
			   b->len / BENCH_HUGE);
	while (bench_more(b)) {
		int status = 0;
		pid_t child = fork();

		if (!child)
			make(b, took);
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			bench_die("the process that makes the mempool failed");
		bench_sample(b, *took);
	}
}

static void run_control(struct bench *b)
{
	double objects = (double)(b->len / OBJECT_SIZE);
	double fixed = (double)sizeof(struct rte_mempool) +
		       (double)sizeof(struct rte_mempool_cache) * RTE_MAX_LCORE;
	double ring = (double)rte_ring_get_memsize(
		rte_align32pow2((uint32_t)(b->len / OBJECT_SIZE) + 1));

	bench_figure(b, 100.0 * (overhead() * objects + fixed + ring) / (double)b->len);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"create", "dpdk", "ms", run_create, 0},
		{"control", "dpdk", "%", run_control, 0},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
