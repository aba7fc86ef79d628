/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_DEBUG_H
#define POOL_DEBUG_H

/*
 * PINION_POOL_DEBUG: a free buffer is filled with one byte, and so is for ever the red zone behind
 * each. Whatever else is found there was written by somebody who no longer, or never, had the
 * right to, and the process that finds it stops: what is wrong happened before, and elsewhere.
 *
 *     | buffer, as large as asked for | red zone, as large | buffer | red zone | ...
 *     |<--------- 1 << stride_shift ---------------------->|
 */

#include "pool.h"

/* A whole segment, before anybody has a buffer of it. */
void debug_poison_segment(const struct pinion_pool *pool, uint32_t slot);

/* A buffer that nobody will write to any more, whatever is in it. */
void debug_poison(const struct pinion_pool *pool, struct pinion_buffer buffer);

/* Checks one just taken: nobody wrote to it since it was freed, nor to its red zone. */
void debug_alloc(const struct pinion_pool *pool, struct pinion_buffer buffer);

/* Checks the red zone of one about to be freed, and poisons it. */
void debug_free(const struct pinion_pool *pool, struct pinion_buffer buffer);

#endif
