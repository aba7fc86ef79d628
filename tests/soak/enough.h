/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_ENOUGH_H
#define PINION_SOAK_ENOUGH_H

/*
 * Enough: what a run must have done for its result to mean something. Members that were killed
 * only between their calls, or that never met a neighbour, lose nothing in any pool.
 *
 *  - a quarter of the kills hit inside a call
 *  - CROWD members lived at the same time, in one of a hundred of the keeper's turns
 *  - buffers were handed over, and some were in transit when their sender died
 *  - the whole was looked at
 *  - segments came and went
 *  - where keepers are killed too: some were, and the next ones took living members over
 *
 * All far below what is usual, so that a slow machine is no excuse. A run of few kills is not asked
 * for what is rare.
 */

#include "board.h"

#define CROWD 4

/* What there was too little of; NULL: enough of all. @mortal: keepers were to die as well. */
const char *enough_lacks(const struct tally *tally, bool mortal);

/* Of the members killed: those that were in a call of the library. */
uint64_t enough_inside(const struct tally *tally);

#endif
