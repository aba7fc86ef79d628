/* SPDX-License-Identifier: BSD-3-Clause */
#include "fork.h"

#include <pthread.h>

#include "cache.h"
#include "fail.h"
#include "member.h"
#include "pool.h"
#include "slot.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the list, and each pool's caches */
static LIST_HEAD(, pinion_pool) pools = LIST_HEAD_INITIALIZER(pools);
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int watched; /* 0, or why forks are not noticed */

/* Lists are whole at the moment of the fork: their locks are ours then. */
static void before(void)
{
	struct pinion_pool *pool;

	(void)pthread_mutex_lock(&lock);
	LIST_FOREACH(pool, &pools, link)
		pool_lock(pool);
}

static void after_in_parent(void)
{
	struct pinion_pool *pool;

	LIST_FOREACH(pool, &pools, link)
		pool_unlock(pool);
	(void)pthread_mutex_unlock(&lock);
}

static void after_in_child(void)
{
	struct pinion_pool *pool;

	LIST_FOREACH(pool, &pools, link) {
		struct cache *cache;

		atomic_store_explicit(&pool->forked, true, memory_order_relaxed);
		LIST_FOREACH(cache, &pool->caches, link)
			cache_orphan(cache);
	}
	after_in_parent();
}

/* Without it a fork would go unnoticed, and two processes would hand out the same buffers. */
static void install(void)
{
	watched = -pthread_atfork(before, after_in_parent, after_in_child);
}

int fork_watch(struct pinion_pool *pool)
{
	(void)pthread_once(&once, install);
	if (watched)
		return watched;
	(void)pthread_mutex_lock(&lock);
	LIST_INSERT_HEAD(&pools, pool, link);
	(void)pthread_mutex_unlock(&lock);
	return 0;
}

void fork_unwatch(struct pinion_pool *pool)
{
	(void)pthread_mutex_lock(&lock);
	LIST_REMOVE(pool, link);
	(void)pthread_mutex_unlock(&lock);
}

int pinion_pool_become(struct pinion_pool *pool, uint32_t member)
{
	KEEP_ERRNO;
	int err;

	if (!atomic_load_explicit(&pool->forked, memory_order_relaxed))
		return pinion_fail(-EINVAL, "this process has not inherited the pool by fork(): "
				   "it is member %u already", pool->member);
	if (member == pool->member)
		return pinion_fail(-EINVAL, "member %u is the process that forked", member);
	err = member_join(pool, member);
	if (err)
		return err;
	pool->keeper = false;
	pool->member = member;
	pool->view.self = pinion_owner_held(member);
	atomic_store_explicit(&pool->drawn, 0, memory_order_relaxed);
	atomic_store_explicit(&pool->seen[member],
			      atomic_load_explicit(&pool->epoch, memory_order_relaxed),
			      memory_order_release); /* R6 */
	atomic_store_explicit(&pool->forked, false, memory_order_relaxed);
	/* Admission said of @member that it has nothing mapped. What went and came between the fork
	 * and now is still mapped here as it was: nobody is to send an id of it before we look. */
	(void)slot_sync(pool);
	return 0;
}
