/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_DEPOT_H
#define POOL_DEPOT_H

/*
 * The depot: magazines that no thread has, full or empty, and how threads exchange them.
 *
 * The magazine's word decides; a bit per magazine only hints where to look. It is set after the
 * word says DEPOT or EMPTY and cleared after the word says otherwise, by who has the magazine then:
 * a process killed in between leaves a hint too many (which costs others a glance), or one too few
 * (which recovery sets again).
 *
 *     R1  deposit: CAS me -> DEPOT, release        carries the contents and the owner words
 *     A1  claim:   CAS DEPOT/EMPTY -> me, acquire  sees both
 *
 * Hints are relaxed, since nothing is read through them.
 */

#include <stdbool.h>

#include <pinion/cache.h>

#include "pool.h"

/*
 * Takes a magazine of @zone with buffers in it, at most @most, for @holder (this member, or
 * MAGAZINE_SERVICE) and fills the private @magazine.
 * -ENOMEM  none there
 */
int depot_claim_full(struct pinion_pool *pool, uint32_t zone, uint32_t holder, uint32_t most,
		     struct pinion_magazine *magazine);

/* Takes an empty one. -ENOSPC  none there. */
int depot_claim_empty(struct pinion_pool *pool, uint32_t zone, uint32_t holder,
		      struct pinion_magazine *magazine);

/* Gives a magazine back, with what is in it or empty. @magazine may be used for another. */
void depot_deposit(struct pinion_pool *pool, struct pinion_magazine *magazine);

/* For recovery, which sets straight what a killed process left: @full or empty. */
void depot_hint(struct pinion_pool *pool, uint32_t index, bool full);
void depot_unhint(struct pinion_pool *pool, uint32_t index, bool full);

#endif
