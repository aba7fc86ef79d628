/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TOUR_H
#define PINION_TESTS_TOUR_H

/*
 * A part, every instruction: what walk.h is for transfers.
 */

#include "fault.h"
#include "parts.h"
#include "tracks.h"

struct tour {
	uint64_t points;      /* states looked at: before the first instruction, and after each */
	struct tracks tracks; /* those that differ from the one before: each was checked */
	struct tracks every;  /* all of them, of a part that is met often; counts are tracks' */
	struct fault fault;
};

/* Steps @part from its first instruction to its last. @tour starts as {0}. */
void tour_run(struct company *company, const struct part *part, struct tour *tour);
void tour_close(struct tour *tour);

/* After each store of @tour a real death: how many. What was wrong is noted in @fault. */
uint64_t tour_kill(struct company *company, const struct part *part, const struct tour *tour,
		   struct fault *fault);

/* One, after so many steps. */
void tour_kill_at(struct company *company, const struct part *part, uint64_t step,
		  struct fault *fault);

/* After each store, or each instruction, FIRST stands still, the others move, FIRST goes on: how
 * often. */
uint64_t tour_meet(struct company *company, const struct part *part, const struct tour *tour,
		   struct fault *fault);

/* Once, after so many steps, if that is done to @part. */
void tour_meet_at(struct company *company, const struct part *part, uint64_t step,
		  struct fault *fault);

#endif
