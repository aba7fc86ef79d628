/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "depot.h"
#include "fail.h"
#include "make.h"
#include "named.h"
#include "record.h"
#include "slot.h"

/*
 * Segments added to and taken from a pool in use: the keeper's side of slot states (layout.h).
 */

/* Has a living member not yet said that it unmapped what went? */
static bool is_still_mapped(const struct pinion_pool *pool, uint64_t epoch)
{
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		if (atomic_load_explicit(&pool->members[i].state, memory_order_relaxed) ==
			    MEMBER_LIVE &&
		    atomic_load_explicit(&pool->seen[i], memory_order_acquire) < epoch) /* A6 */
			return true;
	return false;
}

/* Does a cache somewhere still have a (by now empty) magazine of that slot? */
static bool has_magazines_out(const struct pinion_pool *pool, uint32_t slot)
{
	uint32_t first = pool_magazine_first(pool, slot);

	for (uint32_t m = first; m < first + pool->layout.stride; m++) {
		uint32_t holder = pinion_owner_holder(
			atomic_load_explicit(&pool->magazine[m], memory_order_acquire)); /* A1 */

		if (holder && holder < MAGAZINE_DEPOT)
			return true;
	}
	return false;
}

static bool can_take(const struct pinion_pool *pool, uint32_t slot)
{
	switch (slot_state_of(pool->state[slot])) {
	case SLOT_ABSENT:
		return true;
	case SLOT_GONE:
		return !is_still_mapped(pool, pool->state[slot] >> 2) &&
		       !has_magazines_out(pool, slot);
	case SLOT_LIVE:
	case SLOT_RETIRING:
		break;
	}
	return false;
}

static int find_slot(const struct pinion_pool *pool, uint32_t *slot)
{
	for (*slot = 0; *slot < pool->geometry.nr_segments; ++*slot)
		if (can_take(pool, *slot))
			return 0;
	return pinion_fail(-ENOSPC, "all %u segment slots of the pool are taken, or were until a "
			   "moment ago: make it with more max_segments, or try again",
			   pool->geometry.nr_segments);
}

static int check(const struct pinion_pool *pool, const struct pinion_segment_config *config,
		 uint32_t slot)
{
	int err = make_check(config, slot, 1, pool->geometry.flags);
	size_t nr;

	if (err)
		return err;
	nr = config->len / make_stride(config, pool->geometry.flags);
	if (nr > (size_t)1 << pool->geometry.segment_shift)
		return pinion_fail(-EINVAL, "a segment of this pool has at most %u buffers, not "
				   "%zu: add several smaller ones",
				   1u << pool->geometry.segment_shift, nr);
	return 0;
}

/* Members get the file before they can meet an id in it. One that cannot be reached goes on with
 * what it has, see slot_meet(). */
static void announce(struct pinion_pool *pool, uint32_t slot)
{
	struct courier *courier;

	LIST_FOREACH(courier, &pool->couriers, link)
		courier->announce(courier, slot, pool->memory[slot].fd);
}

/* Undoes make_place() of a slot that nobody saw; the memory goes as well. */
static void displace(struct pinion_pool *pool, uint32_t slot, struct made *made)
{
	const struct depot_range range = depot_range(pool, slot);

	depot_seize(pool, &range); /* as when a segment went */
	slot_unmap(pool, slot);
	pool->segment[slot] = (struct control_segment){0};
	made->memory = (struct pinion_hostmem){.fd = -1};
}

static int add(struct pinion_pool *pool, uint32_t slot, struct made *made)
{
	int err;

	pool_lock(pool);
	err = make_place(pool, slot, made);
	if (!err) {
		err = record_tell(pool, slot, SLOT_LIVE);
		if (err)
			displace(pool, slot, made);
	}
	if (!err) {
		announce(pool, slot);
		make_publish(pool, slot, SLOT_LIVE);
	}
	pool_unlock(pool);
	return err;
}

int pinion_pool_grow(struct pinion_pool *pool, const struct pinion_segment_config *config,
		     uint32_t *slot)
{
	KEEP_ERRNO;
	struct make_order order = {
		.config = config,
		.nr = 1,
		.name = "pinion",
		.progress = pool->progress,
		.named = pool->named,
		.mode = pool->mode,
	};
	struct made made;
	int err = pool_check_keeper(pool);

	if (!err)
		err = find_slot(pool, &order.first);
	if (!err)
		err = check(pool, config, order.first);
	if (!err)
		err = make_segments(pool, &order, &made);
	if (err)
		return err;
	err = add(pool, order.first, &made);
	if (err) {
		make_undo(&made, order.first, pool->named);
		return err;
	}
	*slot = order.first;
	return 0;
}

/* Buffers that are not at the keeper's disposal: held by members, and in caches of members. */
struct outside {
	uint32_t held, cached;
};

static uint32_t magazine_holder(const struct pinion_pool *pool, uint32_t m)
{
	return pinion_owner_holder(
		atomic_load_explicit(&pool->magazine[m], memory_order_relaxed));
}

/* @seized: what lies in the depot is not the keeper's any more, it came later. */
static struct outside count_outside(const struct pinion_pool *pool, uint32_t slot, bool seized)
{
	uint32_t first = slot << pool->geometry.segment_shift;
	struct outside outside = {0, 0};

	for (uint32_t i = 0; i < pool->segment[slot].nr; i++) {
		uint32_t holder = pinion_owner_holder(atomic_load_explicit(
			&pool->view.owner[first + i], memory_order_relaxed));
		uint32_t m = holder & PINION_HOLDER_INDEX_MASK, by = 0;

		if (!(holder & PINION_HOLDER_MAGAZINE)) {
			outside.held++;
			continue;
		}
		if (m / pool->layout.stride == slot) /* or else the word is scribbled */
			by = magazine_holder(pool, m);
		outside.cached += by != MAGAZINE_SERVICE && (seized || by != MAGAZINE_DEPOT);
	}
	return outside;
}

/* Whoever still has it mapped finds zeroes there from now on, and would be the only one. */
static void give_back(struct pinion_pool *pool, uint32_t slot)
{
	(void)fallocate(pool->memory[slot].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			(off_t)pool->memory[slot].len);
	slot_unmap(pool, slot);
	if (pool->named)
		named_drop_segment(pool->named, slot);
	pool->segment[slot] = (struct control_segment){0};
	record_tell_gone(pool, slot);
}

/*
 * Takes all of the depot if nothing is outside. Who had not yet looked may take a magazine just
 * before: then all goes back, since frees need the room that is left in them. (Seizing at each call
 * what was freed since the last would soon leave the others without a magazine.)
 */
static struct outside close_depot(struct pinion_pool *pool, uint32_t slot)
{
	const struct depot_range range = depot_range(pool, slot);
	struct outside outside = count_outside(pool, slot, false);

	if (outside.held || outside.cached)
		return outside;
	depot_seize(pool, &range);
	outside = count_outside(pool, slot, true);
	if (outside.held || outside.cached)
		depot_restore(pool, &range);
	return outside;
}

/* Nothing more is allocated from it. */
static int begin(struct pinion_pool *pool, uint32_t slot)
{
	int err;

	if (slot_state_of(pool->state[slot]) != SLOT_LIVE)
		return 0;
	err = record_tell(pool, slot, SLOT_RETIRING);
	if (!err)
		make_publish(pool, slot, SLOT_RETIRING);
	return err;
}

/* pre: the pool is locked, and the slot has a segment. */
static int retire(struct pinion_pool *pool, uint32_t slot)
{
	struct outside outside;
	int err = begin(pool, slot);

	if (err)
		return err;
	outside = close_depot(pool, slot);
	if (outside.held || outside.cached)
		return pinion_fail(-EBUSY, "segment %u: %u of its %u buffers are held, %u lie in "
				   "caches; ask again", slot, outside.held,
				   pool->segment[slot].nr, outside.cached);
	err = slot_forget(pool, slot, 0);
	if (!err)
		err = record_tell(pool, slot, SLOT_GONE);
	if (err) {
		const struct depot_range range = depot_range(pool, slot);

		depot_restore(pool, &range);
		return err;
	}
	make_publish(pool, slot, SLOT_GONE);
	give_back(pool, slot);
	return 0;
}

int pinion_pool_retire(struct pinion_pool *pool, uint32_t slot)
{
	KEEP_ERRNO;
	int err = pool_check_keeper(pool);

	if (err)
		return err;
	pool_lock(pool);
	if (slot < pool->geometry.nr_segments && pool_has_segment(pool, slot))
		err = retire(pool, slot);
	else
		err = pinion_fail(-EINVAL, "the pool has no segment %u", slot);
	pool_unlock(pool);
	return err;
}
