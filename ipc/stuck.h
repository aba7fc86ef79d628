/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_STUCK_H
#define IPC_STUCK_H

/*
 * A descriptor that cannot be taken as yet: the file of its segment has not come. It stays in the
 * ring, and to whoever waits it is as if it were not there, or he would be told again and again of
 * something that he cannot have: for ever, where a peer lies about a segment.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "slot.h"

struct stuck {
	uint64_t at; /* its position in the ring */
	uint32_t id; /* of its buffer */
	bool met;    /* false: there was none so far */
};

/* Is the descriptor at position @at one whose file is still missing? Asks for the file anew. */
static inline bool stuck_at(const struct stuck *stuck, uint64_t at, struct pinion_pool *pool)
{
	return __builtin_expect(stuck->met && stuck->at == at, 0) &&
	       slot_meet(pool, stuck->id) == -EAGAIN;
}

#endif
