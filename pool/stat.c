/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "pool.h"

/*
 * What a pool holds, counted from the owner words: no counter exists that could be wrong.
 */

static uint64_t word_of(const struct pinion_pool *pool, uint32_t segment, uint32_t i)
{
	uint32_t id = (segment << pool->geometry.segment_shift) + i;

	return atomic_load_explicit(&pool->view.owner[id], memory_order_relaxed);
}

uint32_t pinion_pool_zones(const struct pinion_pool *pool)
{
	return pool->nr_zones;
}

static void count(const struct pinion_pool *pool, uint32_t segment, struct pinion_zone_stat *stat)
{
	for (uint32_t i = 0; i < pool->segment[segment].nr; i++) {
		if (pinion_owner_holder(word_of(pool, segment, i)) & PINION_HOLDER_MAGAZINE)
			stat->free++;
		else
			stat->held++;
	}
	stat->total += pool->segment[segment].nr;
}

int pinion_pool_stat(const struct pinion_pool *pool, uint32_t zone, struct pinion_zone_stat *stat)
{
	if (zone >= pool->nr_zones)
		return -EINVAL;
	memset(stat, 0, sizeof(*stat));
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		const struct control_segment *segment = &pool->segment[s];

		if (segment->zone != zone)
			continue;
		stat->buffer_size = (size_t)1 << segment->buffer_shift;
		stat->page_size = (size_t)1 << segment->page_shift;
		stat->node = segment->node;
		count(pool, s, stat);
	}
	return 0;
}

uint32_t pinion_pool_held(const struct pinion_pool *pool, uint32_t member)
{
	uint32_t held = 0;

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		for (uint32_t i = 0; i < pool->segment[s].nr; i++)
			if (pinion_owner_holder(word_of(pool, s, i)) == pinion_owner_held(member))
				held++;
	return held;
}
