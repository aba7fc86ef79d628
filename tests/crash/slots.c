/* SPDX-License-Identifier: BSD-3-Clause */
#include "slots.h"

#include <string.h>

#include "pool.h"

const char *slots_wrong(const struct pinion_pool *pool, const struct pinion_pool_record *record)
{
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		const struct pinion_segment_record *want = &record->segment[s];

		if (pool->state[s] != want->state || pool->shared->slot[s].state != want->state)
			return "a slot is not what the record says";
		if (pool_has_segment(pool, s) != (want->nr != 0) ||
		    (want->nr && !pool->memory[s].addr))
			return "a segment is there that is not recorded, or one lacks";
		if (want->nr && memcmp(&pool->shared->slot[s].segment, &want->len,
				       sizeof(struct control_segment)))
			return "members are shown another segment than the one recorded";
	}
	return NULL;
}
