/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "fail.h"
#include "pool.h"

/*
 * Member slots: life and the keeper's side of them. recovery.c moves LIVE to DEAD to FREE.
 */

int pinion_pool_admit(struct pinion_pool *pool, pid_t pid, uint32_t *member)
{
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		struct control_member *slot = &pool->members[i];

		if (atomic_load_explicit(&slot->state, memory_order_relaxed) != MEMBER_FREE)
			continue;
		atomic_store_explicit(&slot->pid, (int32_t)pid, memory_order_relaxed);
		/* The member reads its state when it attaches, told its number by us: relaxed
		 * would do; release keeps pid before state for onlookers. */
		atomic_store_explicit(&slot->state, MEMBER_LIVE, memory_order_release);
		*member = i;
		return 0;
	}
	return pinion_fail(-EAGAIN, "all %u member slots of the pool are taken: make it with a "
			   "larger nr_members", pool->geometry.nr_members);
}

void pool_dismiss(struct pinion_pool *pool, uint32_t member)
{
	atomic_store_explicit(&pool->members[member].state, MEMBER_FREE, memory_order_relaxed);
}
