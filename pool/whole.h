/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_WHOLE_H
#define POOL_WHOLE_H

/*
 * A pool in which nobody lives: all of it is free, whatever its last members wrote over the control
 * area.
 *
 * Recovery goes by owner words and magazines, and believes each that names nobody dead: after a
 * scribble buffers are in nobody's hands, or no magazine is left to put them into. While others
 * live that cannot be told from their work. When nobody does, there is one right state, and a pool
 * that is not in it gets it: as it was made, with the generations going on.
 *
 * Killed at any instruction, the next finds a pool that is not whole, and begins anew.
 */

#include "pool.h"

/*
 * What the keeper alone may say is as it knows it: header, slots, its own member number, and that
 * all others are free.
 *
 * pre: of its keeper; every other member is dead and released.
 */
void whole_right(struct pinion_pool *pool);

/* Memory for that, to be freed; NULL, with a sentence: there is none. */
uint64_t *whole_room(const struct pinion_pool *pool);

/*
 * How many buffers were nobody's: there may be none, and a segment filled anew. Does not fail.
 *
 * pre: of the caller, and it has no cache open; every other member is dead.
 */
uint32_t whole_make(struct pinion_pool *pool, uint64_t *room);

#endif
