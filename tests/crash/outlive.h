/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_OUTLIVE_H
#define PINION_TESTS_OUTLIVE_H

/*
 * FIRST stands still somewhere within an operation. Whatever becomes of it, SECOND and the keeper
 * come through, and no buffer is lost:
 *
 *     FIRST is only slow          SECOND receives, sends and waits; nobody lies, nothing is -EPROTO
 *     FIRST is dead, and SECOND   drains and reclaims, then the keeper recovers FIRST; or the
 *                                 keeper recovers what is not in transit, then SECOND drains; and
 *                                 in both cases the keeper releases FIRST
 *     both are dead               the keeper recovers both
 *
 * In each of the middle cases:
 *
 *  1. SECOND finds all of FIRST's batch, or nothing of it, and then -EPIPE
 *  2. what FIRST held is SECOND's, one generation on, if SECOND received it, and free if not;
 *     nothing is received twice
 *  3. what SECOND sent is free, or it was FIRST's; what it held beside that is untouched
 *  4. recovery again changes no byte
 *
 * and after each of them invariant_broken() on what is left, which ends with everybody's burial. Of
 * a ring by itself, that knows no holders: the batch, in order, with the bytes that were sent; and
 * of a receiver that is gone, room for what it took and no more.
 *
 * These run the library's own functions in forks of this process; then the shared state is again
 * as it was.
 */

#include "transfers.h"

/* What is wrong with what might come now, or NULL. @earlier: a state before this one.
 * pre: nobody moves meanwhile. @queued: what outlive_queued() said at the start. */
const char *outlive_problem(struct pair *pair, const struct transfer *transfer, uint32_t queued,
			    const struct still *earlier);

/* One of the things that might come, another for each @turn: where most states are alike. */
const char *outlive_turn(struct pair *pair, const struct transfer *transfer, uint32_t queued,
			 uint64_t turn);

/* Only this: both are dead. */
const char *outlive_nobody(struct pair *pair, const struct still *earlier);

/* Buffers that FIRST has sent and SECOND has not taken. */
uint32_t outlive_queued(const struct pair *pair);

#endif
