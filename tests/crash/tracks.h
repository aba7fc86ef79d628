/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRACKS_H
#define PINION_TESTS_TRACKS_H

/*
 * Where a stepped child stored: how its tracer comes there again, at full speed (tracee_reach()).
 */

#include "step.h"

struct tracks {
	struct store *store; /* the start, which is no store, and then stores */
	uint64_t nr;
	uint32_t *passed; /* by place: how often an instruction was executed */
	uint64_t place;   /* of the one executed last; 0: elsewhere */
};

void tracks_open(struct tracks *tracks);
void tracks_close(struct tracks *tracks);

/* One step of @tracee, which is remembered. */
enum step tracks_step(struct tracks *tracks, struct tracee *tracee);

/* The step before was a store. */
void tracks_add(struct tracks *tracks, const struct tracee *tracee);

#endif
