/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "fail.h"
#include "slot.h"
#include "stat.h"

/*
 * What a pool holds, counted from the owner words: no counter exists that could be wrong.
 */

static uint32_t holder_of(const struct pinion_pool *pool, uint32_t slot, uint32_t i)
{
	uint32_t id = (slot << pool->geometry.segment_shift) + i;

	return pinion_owner_holder(
		atomic_load_explicit(&pool->view.owner[id], memory_order_relaxed));
}

/* Segments that came or went since the last look count, or not, from here on. */
static void look(const struct pinion_pool *pool)
{
	(void)slot_sync((struct pinion_pool *)(uintptr_t)pool);
	pool_lock(pool);
}

uint32_t pinion_pool_zones(const struct pinion_pool *pool)
{
	uint32_t nr = 0;

	look(pool);
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		if (pool_has_segment(pool, s) && pool->segment[s].zone >= nr)
			nr = pool->segment[s].zone + 1u;
	pool_unlock(pool);
	return nr;
}

static uint32_t count_free(const struct pinion_pool *pool, uint32_t slot)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < pool->segment[slot].nr; i++)
		nr += (holder_of(pool, slot, i) & PINION_HOLDER_MAGAZINE) != 0;
	return nr;
}

/* How many are free. What each member holds is added to @held. */
static uint32_t count_each(const struct pinion_pool *pool, uint32_t slot, uint32_t *held)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < pool->segment[slot].nr; i++) {
		const uint32_t holder = holder_of(pool, slot, i);
		/* Of a magazine, and of no holder at all, it is beyond the members. */
		const uint32_t member = holder - pinion_owner_held(0);

		nr += (holder & PINION_HOLDER_MAGAZINE) != 0;
		if (member < pool->geometry.nr_members)
			held[member]++;
	}
	return nr;
}

/* @held: NULL, or what each member holds. */
static void add(const struct pinion_pool *pool, uint32_t slot, struct pinion_zone_stat *stat,
		uint32_t *held)
{
	const struct control_segment *segment = &pool->segment[slot];
	uint32_t nr_free = held ? count_each(pool, slot, held) : count_free(pool, slot);

	stat->buffer_size = (size_t)1 << segment->buffer_shift;
	stat->page_size = (size_t)1 << segment->page_shift;
	stat->node = segment->node;
	stat->total += segment->nr;
	stat->free += nr_free;
	stat->held += segment->nr - nr_free;
}

static void forget_each(const struct pinion_pool *pool, uint32_t *held)
{
	memset(held, 0, pool->geometry.nr_members * sizeof(*held));
}

int stat_zone(const struct pinion_pool *pool, uint32_t zone, struct pinion_zone_stat *stat,
	      uint32_t *held)
{
	if (zone >= pinion_pool_zones(pool))
		return -EINVAL;
	memset(stat, 0, sizeof(*stat));
	if (held)
		forget_each(pool, held);
	look(pool);
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		if (pool_has_segment(pool, s) && pool->segment[s].zone == zone)
			add(pool, s, stat, held);
	pool_unlock(pool);
	return 0;
}

int pinion_pool_stat(const struct pinion_pool *pool, uint32_t zone, struct pinion_zone_stat *stat)
{
	return stat_zone(pool, zone, stat, NULL);
}

uint32_t pinion_pool_held(const struct pinion_pool *pool, uint32_t member)
{
	uint32_t held = 0;

	if (member >= pool->geometry.nr_members)
		return 0; /* beyond, a holder is a magazine */
	look(pool);
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		for (uint32_t i = 0; i < pool->segment[s].nr; i++)
			held += holder_of(pool, s, i) == pinion_owner_held(member);
	pool_unlock(pool);
	return held;
}

void stat_held_by_each(const struct pinion_pool *pool, uint32_t *held)
{
	forget_each(pool, held);
	look(pool);
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		(void)count_each(pool, s, held);
	pool_unlock(pool);
}

uint32_t pinion_pool_slots(const struct pinion_pool *pool)
{
	return pool->geometry.nr_segments;
}

static void describe(const struct pinion_pool *pool, uint32_t slot,
		     struct pinion_segment_stat *stat)
{
	const struct control_segment *segment = &pool->segment[slot];

	*stat = (struct pinion_segment_stat){
		.len = segment->len,
		.buffer_size = (size_t)1 << segment->buffer_shift,
		.page_size = (size_t)1 << segment->page_shift,
		.node = segment->node,
		.nr = segment->nr,
		.free = count_free(pool, slot),
		.retiring = slot_state_of(pool->state[slot]) == SLOT_RETIRING,
	};
}

int pinion_pool_segment(struct pinion_pool *pool, uint32_t slot, struct pinion_segment_stat *stat)
{
	KEEP_ERRNO;
	int err = 0;

	look(pool);
	if (slot < pool->geometry.nr_segments && pool_has_segment(pool, slot))
		describe(pool, slot, stat);
	else
		err = pinion_fail(-ENOENT, "the pool has no segment %u", slot);
	pool_unlock(pool);
	return err;
}
