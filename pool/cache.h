/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_CACHE_H
#define POOL_CACHE_H

/*
 * A cache as its own library sees it: a rack for each segment that it has to do with, and the
 * order in which it asks them for buffers.
 */

#include <pinion/cache.h>

#include "pool.h"
#include "rack.h"
#include "rank.h"

struct cache {
	struct pinion_cache pub; /* first: the caller's handle */
	struct pinion_pool *pool;
	LIST_ENTRY(cache) link; /* of the pool's caches */
	uint32_t ticket;        /* index in the control area's cache[] */
	uint64_t changes;       /* of the pool, when racks and order were last brought up to it */
	bool orphan;            /* in a child that inherited it: nothing works */
	struct rank_wish wish;
	struct rank_order order;
	int turn; /* the node that the last magazine was of: interleaved, the next is another's */
	struct rack *rack[PINION_SEGMENT_MAX]; /* by slot; NULL: none */
	struct rack *active;                   /* pub.loaded is its; NULL: none */
};

/* In the child of a fork: no call on it does anything from here on. */
void cache_orphan(struct cache *cache);

#endif
