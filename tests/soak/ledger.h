/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_LEDGER_H
#define PINION_SOAK_LEDGER_H

/*
 * The keeper's own accounts, kept apart from the library's: what the words said before a member was
 * recovered, against what they say and what the library reports afterwards; and the whole state
 * whenever nobody moves.
 *
 *  - every word that the dead held is somebody else's or free under a higher generation, or is in
 *    transit as it was; the number returned is the one counted before
 *  - generations never go back
 *  - at rest: all that pool_problem() checks, every buffer free, every member number too, and as
 *    many descriptors and mappings as the segments explain
 */

#include "board.h"

struct ledger {
	struct board *board;
	struct pinion_pool *pool;
	uint64_t word[BOARD_IDS]; /* before; 0: not the dead's */
	uint32_t nr_before;
	int fds, maps; /* beyond those of segments; -1: not yet counted */
};

/* Before pinion_pool_recover() or pinion_pool_release(). */
void ledger_before(struct ledger *ledger, uint32_t member);
/* After pinion_pool_recover(), with what was in transit. */
void ledger_recovered(struct ledger *ledger, uint32_t member, const struct pinion_recovery *report,
		      uint32_t nr_transit);
/* After pinion_pool_release(). */
void ledger_released(struct ledger *ledger, uint32_t member, const struct pinion_recovery *report);

/* Nobody but the keeper is there. */
void ledger_rest(struct ledger *ledger);

/* What a reader of a report wants to see of the pool. */
void ledger_dump(const struct ledger *ledger);

#endif
