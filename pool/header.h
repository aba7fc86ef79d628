/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_HEADER_H
#define POOL_HEADER_H

/*
 * The part of the control area that says what the pool is, set right by its keeper: as that knows
 * it, whatever members wrote there.
 */

#include "pool.h"

/* Header and slots. What is right already is not written: somebody may just be reading it. @epoch:
 * a newer one than any member has seen, or the keeper's, where nobody lives. */
void header_right(struct pinion_pool *pool, uint64_t epoch);

#endif
