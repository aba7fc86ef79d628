/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_WALK_H
#define PINION_TESTS_WALK_H

/*
 * A transfer, every instruction: what sweep.h and kill.h are for operations of a pool.
 */

#include "fault.h"
#include "outlive.h"
#include "tracks.h"

struct walk {
	uint64_t points;      /* states looked at: before the first instruction, and after each */
	struct tracks tracks; /* those that differ from the one before: each was checked */
	struct fault fault;
};

/* @side, as a child, comes to where stepping of @transfer begins. */
void walk_enter(struct tracee *tracee, const struct transfer *transfer, struct side *side);

/* Steps @transfer from its first instruction to its last. @walk starts as {0}; with @check unset,
 * it only counts. */
void walk_run(struct pair *pair, const struct transfer *transfer, bool check, struct walk *walk);
void walk_close(struct walk *walk);

/* Real deaths, as kill.h has them: how many. What was wrong is noted in @fault. */
uint64_t walk_kill(struct pair *pair, const struct transfer *transfer, const struct walk *walk,
		   struct fault *fault);

/* One, after so many steps. */
void walk_kill_at(struct pair *pair, const struct transfer *transfer, uint64_t step,
		  struct fault *fault);

#endif
