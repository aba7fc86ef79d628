/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_REPORT_H
#define PINION_SOAK_REPORT_H

/*
 * What a run has to say in numbers: kills, where they hit, and what came back.
 */

#include "board.h"

/* @ns: how long it took. */
void report(const struct tally *tally, uint64_t ns);

#endif
