/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_ONE_MAPPING_H
#define PINION_TESTS_ONE_MAPPING_H

/*
 * ThreadSanitizer knows nothing of two mappings of one file: what two members of this process do to
 * the same word it judges only where both reach it at one address.
 *
 *  - map_as(): a pool's control area and first segment lie where another member has them. The
 *    pool's own are the caller's to keep, and to put back before it is detached.
 *  - move_to(): an end of a ring works on that mapping, and its close leaves it there.
 */

#include "channel_inside.h"
#include "slot.h"

static inline void map_as(struct pinion_pool *pool, struct pinion_hostmem control,
			  struct pinion_hostmem segment)
{
	pool->control = control;
	pool->memory[0] = segment;
	pool_open_view(pool, pool->member);
	slot_show(pool, 0);
}

static inline void move_to(struct ring *end, const struct ring *ring)
{
	ring_unmap(end);
	*end = *ring;
	end->len = 0;
}

#endif
