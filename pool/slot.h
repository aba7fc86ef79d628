/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_SLOT_H
#define POOL_SLOT_H

/*
 * Segment slots as a member sees them: bringing the private picture up to what the keeper did,
 * without waiting for anybody. The states and their orders (R5-A5, R6-A6) are in layout.h.
 */

#include <stdbool.h>

#include "pool.h"

/*
 * Looks at all slots if the keeper changed any since the last look: maps segments that came (if
 * their file is at hand), unmaps those that went. True when there was something to look at. What
 * could not be mapped for want of memory, say, is tried again at the next look.
 * pre: the pool is not locked.
 */
bool slot_sync(struct pinion_pool *pool);

/* Has the keeper changed a slot since the last look? One load. The keeper itself knows. */
static inline bool slot_changed(const struct pinion_pool *pool)
{
	return !pool->keeper &&
	       atomic_load_explicit(&pool->shared->epoch, memory_order_acquire) != /* A5 */
	       atomic_load_explicit(&pool->epoch, memory_order_relaxed);
}

/* For who has a moment. A member that lives and never looks keeps slots of segments that went from
 * being used again. */
static inline void slot_follow(struct pinion_pool *pool)
{
	if (slot_changed(pool))
		(void)slot_sync(pool);
}

/* The same for who is there all the time, and has something better to do: @calls counts. */
static inline void slot_follow_seldom(struct pinion_pool *pool, uint32_t *calls)
{
	if (!(++*calls % 1024))
		slot_follow(pool);
}

/*
 * An id that the view does not have was met: can its segment be mapped by now? 0 when the view has
 * it then; -EINVAL: there is none; -EAGAIN: its file is not here yet; else it failed for want of
 * something.
 */
int slot_meet(struct pinion_pool *pool, uint32_t id);

/* The same for whatever is not mapped yet: its file may have come since the last look. */
void slot_meet_all(struct pinion_pool *pool);

/*
 * Maps the file of slot @index, which becomes the pool's, and shows the segment in the view.
 * Fails with a sentence; -EINVAL: not the file that the keeper made, or not sealed.
 * pre: the pool is locked or one's own, and the slot has a segment that is not mapped.
 */
int slot_map(struct pinion_pool *pool, uint32_t index, int fd);

/* Shows a mapped segment in the view: from here on its buffers have addresses. */
void slot_show(struct pinion_pool *pool, uint32_t index);

/* Before a slot gets the file @inode, or (0) none: nobody in this process gives addresses of the
 * segment that it had. -errno: somebody still does. pre: the pool is locked. */
int slot_forget(struct pinion_pool *pool, uint32_t index, uint64_t inode);

/* Takes the segment out of the view, and unmaps it. */
void slot_unmap(struct pinion_pool *pool, uint32_t index);

/* -EINVAL for a shape that no segment of this pool has. */
int slot_check(const struct pinion_pool *pool, const struct control_segment *segment);

/* Copies one slot from the control area and checks it: -EINVAL for none that can be, -EAGAIN for
 * one that the keeper is changing. */
int slot_copy(struct pinion_pool *pool, uint32_t index);

/* All slots looked at up to @epoch: the keeper may use again what was GONE by then. */
void slot_acknowledge(struct pinion_pool *pool, uint64_t epoch);

/*
 * For a keeper that comes after one that may have been killed between a slot's word and the epoch
 * that makes others look at it: the newest change that any slot tells of counts as announced.
 * pre: all slots were copied, and nobody else is the keeper.
 */
void slot_take_over(struct pinion_pool *pool);

#endif
