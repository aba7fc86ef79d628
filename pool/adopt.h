/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_ADOPT_H
#define POOL_ADOPT_H

#include "pool.h"

/* Maps the segment that the pool has in that slot, from the directory's file. -EINVAL: that is
 * missing, or does not fit. */
int adopt_slot(struct pinion_pool *pool, uint32_t slot);

/*
 * Recovers and releases all members, none of which lives: nothing can be in transit. Then whatever
 * else is not free, see whole.h. The sums of what came back are added to @report.
 * -errno: not all of them; it may be called again.
 */
int adopt_repair(struct pinion_pool *pool, struct pinion_recovery *report);

#endif
