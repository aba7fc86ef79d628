/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_INVARIANT_H
#define PINION_TESTS_INVARIANT_H

/*
 * What must hold at every instant, checked on the state that a death left behind:
 *
 *  1. no generation is lower than in an earlier state, and no segment's state went back
 *  2. who comes after as the keeper can take the pool over; then
 *       - a segment is all there or not at all: what of it lacks, pool_problem() misses below
 *       - members are told of each change, so that they look
 *       - of one that is gone nobody holds a buffer
 *  3. recovery of the dead succeeds, and reports what they had by our own count: recount.h; then
 *       - each buffer is in exactly one state, free ones lie in a magazine of their segment, a
 *         magazine in the depot holds what words say and has its hint: pool_problem()
 *       - no buffer, magazine or ticket is the dead's; buffers that were have a higher generation
 *       - what the living had, buffers, magazines and tickets, is as it was
 *       - no generation went down, and no magazine is said to be filled by one who is released
 *  4. recovery again changes no byte, and reports nothing
 *  5. every buffer in the depot of a segment that stays can really be allocated, once, and freed
 *  6. recovered and released all together, every member slot and ticket is free, every buffer back
 *  7. then segments that were going can go, and each slot without one can be grown into, with
 *     generations that no handle of the one before has
 *
 * These run the library's own functions, on the pool that is given: a shadow, or the real one after
 * a real death. It is changed, and must be loaded with another state before it is used again.
 */

#include "snapshot.h"

/*
 * What is wrong with the state of @pool, or NULL. @dead: a bit for each member that died now;
 * those marked dead already are added. @earlier: a state before this one.
 * pre: nobody else works on @pool; this process is a member of it that is not dead.
 */
const char *invariant_broken(struct pinion_pool *pool, const struct snapshot *earlier,
			     uint32_t dead);

#endif
