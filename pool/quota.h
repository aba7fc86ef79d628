/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_QUOTA_H
#define POOL_QUOTA_H

/*
 * How much a member may have at once.
 *
 * The truth is in the owner words, and counting them takes a while. So each process keeps the sum
 * of what it drew from the depot less what it gave back. That errs in one direction only at each
 * hand-over (what was sent away is still counted, what was received is not), so it serves as a
 * hint: only when it says "too much" the words are counted, and the sum is set to what they say.
 */

#include <stdbool.h>

#include "pool.h"

/* May this member draw one more magazine? */
bool quota_allows(struct pinion_pool *pool);

static inline void quota_draw(struct pinion_pool *pool, uint64_t len)
{
	atomic_fetch_add_explicit(&pool->drawn, len, memory_order_relaxed);
}

static inline void quota_return(struct pinion_pool *pool, uint64_t len)
{
	atomic_fetch_sub_explicit(&pool->drawn, len, memory_order_relaxed);
}

#endif
