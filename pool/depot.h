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
 *     R1  deposit: store me -> DEPOT, release      carries the contents and the owner words
 *     A1  claim:   CAS DEPOT/EMPTY -> me, acquire  sees both
 *
 * Hints are relaxed, since nothing is read through them.
 */

#include <stdbool.h>

#include <pinion/cache.h>

#include "pool.h"

/* A magazine as its holder sees it: private copies; nr of them are valid. */
struct pinion_magazine {
	uint32_t nr;
	uint32_t size;   /* room */
	uint32_t holder; /* pinion_owner_magazine() of its index */
	struct pinion_buffer buffer[];
};

/* The magazines of one segment: what a caller knows of its slot, a copy of its own. */
struct depot_range {
	uint32_t first, nr; /* magazines */
	uint32_t base;      /* its first id */
	uint32_t nr_ids;
};

/* pre: the pool is locked or one's own, and the slot has a segment. */
static inline struct depot_range depot_range(const struct pinion_pool *pool, uint32_t slot)
{
	return (struct depot_range){
		.first = pool_magazine_first(pool, slot),
		.nr = pool_magazine_nr(pool, slot),
		.base = slot << pool->geometry.segment_shift,
		.nr_ids = pool->segment[slot].nr,
	};
}

/*
 * Takes a magazine of @range with buffers in it, at most @most, for @holder (this member, or
 * MAGAZINE_SERVICE) and fills the private @magazine, which has room for magazine_size buffers.
 * @filler: who put them in (0: not known), if wanted.
 * -ENOMEM  none there
 */
int depot_claim_full(struct pinion_pool *pool, const struct depot_range *range, uint32_t holder,
		     uint32_t most, struct pinion_magazine *magazine, uint32_t *filler);

/* Takes an empty one. -ENOSPC  none there. */
int depot_claim_empty(struct pinion_pool *pool, const struct depot_range *range, uint32_t holder,
		      struct pinion_magazine *magazine);

/*
 * Takes one with room. None empty: then some are partly filled, by the count of magazines
 * (layout_magazines()). Neither was met: others took, filled or emptied each before we came to it,
 * which happens to who is held up; they got on, so that nobody waits for anybody. @filler: as
 * above, where something is in it.
 * -EAGAIN  so often in a row that members must have broken the protocol
 */
int depot_claim_room(struct pinion_pool *pool, const struct depot_range *range, uint32_t holder,
		     struct pinion_magazine *magazine, uint32_t *filler);

/* Gives a magazine back, with what is in it or empty. @filler: the holder that alone has seen what
 * these buffers hold, or 0. @magazine may be used for another. */
void depot_deposit(struct pinion_pool *pool, struct pinion_magazine *magazine, uint32_t filler);

/* Takes every magazine of the depot that has buffers in it, for the keeper: nobody can allocate
 * them any more, nor find room in them. */
void depot_seize(struct pinion_pool *pool, const struct depot_range *range);

/* Gives back what was seized. */
void depot_restore(struct pinion_pool *pool, const struct depot_range *range);

/* For recovery, which sets straight what a killed process left: @full or empty. */
void depot_hint(struct pinion_pool *pool, uint32_t index, bool full);
void depot_unhint(struct pinion_pool *pool, uint32_t index, bool full);

#endif
