/* SPDX-License-Identifier: BSD-3-Clause */
#include "quota.h"

#include <errno.h>

#include "fail.h"

/* Is @holder this member, or a magazine that this member has? */
static bool is_ours(const struct pinion_pool *pool, uint32_t holder)
{
	uint32_t m = holder & PINION_HOLDER_INDEX_MASK;

	if (!(holder & PINION_HOLDER_MAGAZINE))
		return holder == pool->view.self;
	if (m >= pool->geometry.nr_segments * pool->layout.stride)
		return false;
	return pinion_owner_holder(atomic_load_explicit(&pool->magazine[m],
							memory_order_relaxed)) == pool->view.self;
}

static uint64_t count(const struct pinion_pool *pool, uint32_t slot)
{
	uint32_t first = slot << pool->geometry.segment_shift;
	uint64_t nr = 0;

	for (uint32_t i = 0; i < pool->segment[slot].nr; i++)
		nr += is_ours(pool, pinion_owner_holder(atomic_load_explicit(
					    &pool->view.owner[first + i], memory_order_relaxed)));
	return nr << pool->segment[slot].buffer_shift;
}

static uint64_t count_all(struct pinion_pool *pool)
{
	uint64_t len = 0;

	pool_lock(pool);
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		len += count(pool, s);
	pool_unlock(pool);
	return len;
}

bool quota_allows(struct pinion_pool *pool)
{
	uint64_t quota = atomic_load_explicit(&pool->members[pool->member].quota,
					      memory_order_relaxed);
	/* Below 0: more was received and given back than was drawn. */
	int64_t drawn = (int64_t)atomic_load_explicit(&pool->drawn, memory_order_relaxed);

	if (!quota || (drawn >= 0 && (uint64_t)drawn < quota))
		return true;
	drawn = (int64_t)count_all(pool);
	atomic_store_explicit(&pool->drawn, (uint64_t)drawn, memory_order_relaxed);
	return (uint64_t)drawn < quota;
}

int pinion_pool_quota(struct pinion_pool *pool, uint32_t member, uint64_t bytes)
{
	KEEP_ERRNO;
	int err = pool_check_keeper(pool);

	if (err)
		return err;
	if (member >= pool->geometry.nr_members ||
	    atomic_load_explicit(&pool->members[member].state, memory_order_relaxed) !=
		    MEMBER_LIVE)
		return pinion_fail(-EINVAL, "member %u is not admitted to the pool", member);
	atomic_store_explicit(&pool->members[member].quota, bytes, memory_order_relaxed);
	return 0;
}
