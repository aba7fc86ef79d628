/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRAP_SWEEP_H
#define PINION_TESTS_TRAP_SWEEP_H

/* One call: its loads counted, then each of them changed in turn, to each of many values. */

#include "call.h"

struct sweep {
	uint32_t loads, flips;
	uint32_t faults;     /* flips whose outcome cannot be */
	const char *problem; /* the first of those */
	struct flip first;
	struct fetch at; /* the load it changed */
};

/* NULL, or what is wrong with the loads of an honest run. @loads: how many of each place. */
const char *sweep_count(const struct call *call, int loads[PLACES]);

void sweep_flip(const struct call *call, struct sweep *sweep);

/* One such run; NULL: nothing is wrong with its outcome. @at: the load that was changed. */
const char *sweep_once(const struct call *call, struct flip *flip, struct fetch *at);

#endif
