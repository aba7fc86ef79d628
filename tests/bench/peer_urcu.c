/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * liburcu beside alloc_N and alloc_cross_32: what a program would build from it.
 *
 * A free list that all threads share is a cds_lfs stack: anyone may push at any time; only one
 * pops, which needs no lock and no grace period then. In alloc_cross_32 that is just so: the
 * leader pops, the follower pushes. What the leader passes goes through a cds_wfcq queue, which
 * has no bound and no batches. No caches, no owner, links are pointers: a process killed between
 * the two steps of an enqueue stops the queue for good.
 */
#define _LGPL_SOURCE /* inlined, as our own */
#include <urcu/lfstack.h>
#include <urcu/wfcqueue.h>

#include "pair.h"

#define CROSS_BURST 32u
#define OBJECTS 1024u /* as alloc.c has */
#define BURST_MAX 768u
#define PAIRS 65536u /* of a block */

struct buffer {
	_Alignas(BENCH_LINE) struct cds_lfs_node free;
	struct cds_wfcq_node sent;
};

typedef struct buffer *item;

struct side {
	_Alignas(BENCH_LINE) struct __cds_lfs_stack stack;
	_Alignas(BENCH_LINE) struct __cds_wfcq_head head;
	_Alignas(BENCH_LINE) struct cds_wfcq_tail tail;
	struct buffer buffer[];
};

static struct side *open_side(const struct bench *b, uint32_t nr)
{
	struct side *side = bench_shared(b, sizeof(*side) + nr * sizeof(struct buffer));

	__cds_lfs_init(&side->stack);
	__cds_wfcq_init(&side->head, &side->tail);
	for (uint32_t i = 0; i < nr; i++)
		(void)cds_lfs_push(&side->stack, &side->buffer[i].free);
	return side;
}

static void cross_open(void *arg, bool leads)
{
	(void)arg;
	if (leads)
		pair_await();
	else
		pair_ready();
}

static inline uint32_t cross_take(void *arg, item *it, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct cds_lfs_node *node = __cds_lfs_pop(&((struct side *)arg)->stack);

		if (!node)
			return i;
		it[i] = caa_container_of(node, struct buffer, free);
	}
	return nr;
}

static inline void cross_give(void *arg, const item *it, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		(void)cds_lfs_push(&((struct side *)arg)->stack, &it[i]->free);
}

static inline uint32_t cross_send(void *arg, const item *it, uint32_t nr)
{
	struct side *side = arg;

	for (uint32_t i = 0; i < nr; i++) {
		cds_wfcq_node_init(&it[i]->sent);
		(void)cds_wfcq_enqueue(&side->head, &side->tail, &it[i]->sent);
	}
	return nr;
}

static inline uint32_t cross_recv(void *arg, item *it, uint32_t nr)
{
	struct side *side = arg;
	uint32_t got;

	for (got = 0; got < nr; got++) {
		struct cds_wfcq_node *node =
			__cds_wfcq_dequeue_blocking(&side->head, &side->tail);

		if (!node)
			break;
		it[got] = caa_container_of(node, struct buffer, sent);
	}
	return got;
}

#include "cross.h"

static void run_cross(struct bench *b)
{
	pair_run(b, cross_lead, cross_follow, open_side(b, CROSS_BUFFERS));
}

static void run_alloc(struct bench *b)
{
	struct side *side = open_side(b, OBJECTS);
	item got[BURST_MAX];

	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < PAIRS; i += b->is->arg) {
			if (cross_take(side, got, b->is->arg) != b->is->arg)
				bench_die("the free list ran empty");
			bench_keep(got);
			cross_give(side, got, b->is->arg);
		}
		bench_sample(b, (double)(bench_now_ns() - start) / PAIRS);
	}
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"alloc_1", "urcu", "ns", run_alloc, 1},
		{"alloc_32", "urcu", "ns", run_alloc, 32},
		{"alloc_256", "urcu", "ns", run_alloc, 256},
		{"alloc_768", "urcu", "ns", run_alloc, 768},
		{"alloc_cross_32", "urcu", "ns", run_cross, 32},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
