/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_RANK_H
#define POOL_RANK_H

/*
 * Which segments serve a cache, in which order: by what a larger buffer would waste, then by the
 * distance of their node.
 */

#include "near.h"
#include "pool.h"

/* What was asked for, made sense of. */
struct rank_wish {
	size_t buffer_size;
	int node;         /* on this one, or PINION_NODE_ANY */
	struct near near; /* to this one, that of the device, or of the CPU */
	uint32_t flags;   /* PINION_CACHE_* */
};

struct rank_order {
	uint32_t nr;
	uint8_t slot[PINION_SEGMENT_MAX];
};

/* -EINVAL, -ENODEV  with a sentence */
int rank_understand(const struct pinion_cache_config *config, struct rank_wish *wish);

/* pre: the pool is locked. */
void rank_segments(const struct pinion_pool *pool, const struct rank_wish *wish,
		   struct rank_order *order);

#endif
