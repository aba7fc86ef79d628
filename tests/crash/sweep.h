/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SWEEP_H
#define PINION_TESTS_SWEEP_H

/*
 * One operation, every instruction: after each the shared state is what a death there would
 * leave, and must pass invariant_broken().
 *
 * Most instructions store nothing that is shared. A state that is equal, byte for byte, to the one
 * checked before is not checked again: recovery has nothing else to go by, so it would do the same.
 */

#include "fault.h"
#include "scene.h"
#include "tracks.h"

struct sweep {
	uint64_t points; /* states looked at: before the first instruction, and after each */
	/* States that differ from the one before, each of which was checked: what made them. */
	struct tracks tracks;

	/* States that were not sound, and claims that were not kept. */
	struct fault fault;
};

/*
 * Runs @operation from its first instruction to its last. @sweep starts as {0}; with @check
 * unset, it only counts.
 */
void sweep_run(struct scene *scene, const struct operation *operation, bool check,
	       struct sweep *sweep);
void sweep_close(struct sweep *sweep);

#endif
