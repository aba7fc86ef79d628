/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_RANK_H
#define POOL_RANK_H

/*
 * Which segments serve a cache, in which order: by what a larger buffer would waste, then by the
 * distance of their node. Segments of one rank are a class: of one size, and of nodes equally far;
 * interleaved, of all nodes.
 */

#include "near.h"
#include "pool.h"

/* What was asked for, made sense of. */
struct rank_wish {
	size_t buffer_size;
	int node;         /* on this one alone, or PINION_NODE_ANY */
	struct near near; /* to this one, that of the device, or of the CPU */
	uint32_t flags;   /* PINION_CACHE_* */
};

struct rank_choice {
	int rank; /* smaller is better */
	int node;
	uint8_t slot;
};

/* By rank, in a class by node, on a node by slot. */
struct rank_order {
	uint32_t nr;
	struct rank_choice choice[PINION_SEGMENT_MAX];
};

/* -EINVAL, -ENODEV, -ENODATA  with a sentence */
int rank_understand(const struct pinion_cache_config *config, struct rank_wish *wish);

/* pre: the pool is locked. */
void rank_segments(const struct pinion_pool *pool, const struct rank_wish *wish,
		   struct rank_order *order);

/* Where the class that begins at @begin ends. */
static inline uint32_t rank_class_end(const struct rank_order *order, uint32_t begin)
{
	uint32_t end = begin;

	while (end < order->nr && order->choice[end].rank == order->choice[begin].rank)
		end++;
	return end;
}

/* The first choice of that class which is of the node after @node; of the first one after the
 * last. */
static inline uint32_t rank_next_node(const struct rank_order *order, uint32_t begin, int node)
{
	const uint32_t end = rank_class_end(order, begin);

	for (uint32_t i = begin; i < end; i++)
		if (order->choice[i].node > node)
			return i;
	return begin;
}

#endif
