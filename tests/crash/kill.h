/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_KILL_H
#define PINION_TESTS_KILL_H

/*
 * Real deaths: a new child each time, brought to a point, killed by SIGKILL; then recovery on the
 * real pool. Nothing is copied: this shows that a snapshot (sweep.h) is what a death leaves.
 *
 * Short operations are killed after every instruction. To step anew to each would cost the square
 * of the length, so longer ones are killed after every store that others can see: a breakpoint
 * leads there at full speed, and between two stores one death is like another.
 */

#include "sweep.h"

/* How many kills there were; what was wrong after one is noted in @fault. @sweep is the same
 * operation's. */
uint64_t kill_run(struct scene *scene, const struct operation *operation, const struct sweep *sweep,
		  struct fault *fault);

/* One, after so many steps. */
void kill_at(struct scene *scene, const struct operation *operation, uint64_t step,
	     struct fault *fault);

#endif
