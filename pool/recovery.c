/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "depot.h"
#include "fail.h"
#include "pool.h"

/*
 * Recovery: what the dead held comes back, from the owner words alone.
 *
 * D is the set of members that are dead and not yet released. The order matters; each step has a
 * counterexample behind it (a model checker's, with recovery itself killed at any point):
 *
 *  1. each word HELD(d in D, g): if a slot that d wrote towards a living consumer names the same
 *     id and generation, it is in transit, and that consumer's: leave it. Otherwise CAS it to
 *     MAG(r, g+1), r a magazine held by D or by SERVICE.
 *  2. only then rebuild the magazines of D and SERVICE from the words, and release them to DEPOT
 *     or EMPTY. (Before step 1 they would be released without what step 1 puts into them.)
 *
 * Killed anywhere, it is run again from the start: words moved in step 1 name magazines that are
 * still held by D or SERVICE, so step 2 of the next run finds them. Contents are written before
 * the magazine's word says DEPOT. Nothing is counted in shared memory.
 *
 * Living members go on meanwhile: they write neither words held by the dead (but for a consumer
 * that takes what is in transit: hence the CAS) nor magazines held by the dead.
 */

/* Working tables, private to one run. Both arrays are by magazine index; only the pages of
 * magazines that matter are ever touched. */
struct work {
	struct pinion_pool *pool;
	uint64_t *handles; /* in transit, sorted */
	uint32_t nr_handles;
	struct pinion_magazine *image; /* what will be in it */
	bool *ours;                    /* held by D or SERVICE: image is valid */
	uint32_t nr_magazines;
	uint8_t *dead; /* by member: this run is about it */
	uint32_t target[PINION_SEGMENT_MAX]; /* by zone: the image that step 1 fills */
	uint32_t seen[PINION_SEGMENT_MAX];   /* by zone: magazines below have no room */
	struct pinion_recovery report;
};

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool in_transit(const struct work *work, struct pinion_buffer buffer)
{
	return work->nr_handles && bsearch(&buffer.bits, work->handles, work->nr_handles,
					   sizeof(*work->handles), compare);
}

static uint8_t zone_of_magazine(const struct work *work, uint32_t magazine)
{
	return work->pool->segment[magazine / work->pool->layout.stride].zone;
}

static uint8_t zone_of_id(const struct work *work, uint32_t id)
{
	return work->pool->segment[id >> work->pool->geometry.segment_shift].zone;
}

/* Is @holder a member that this run is about? */
static bool is_dead(const struct work *work, uint32_t holder)
{
	/* member + 1, see pinion_owner_held() */
	return holder && holder <= work->pool->geometry.nr_members && work->dead[holder - 1];
}

static void each_magazine(struct work *work, void (*visit)(struct work *, uint32_t magazine))
{
	for (uint32_t s = 0; s < work->pool->geometry.nr_segments; s++) {
		uint32_t first = pool_magazine_first(work->pool, s);
		uint32_t nr = pool_magazine_nr(work->pool, s);

		for (uint32_t m = first; m < first + nr; m++)
			visit(work, m);
	}
}

static int each_id(struct work *work, int (*visit)(struct work *, uint32_t id, uint64_t word))
{
	const struct pinion_pool *pool = work->pool;
	int err = 0;

	for (uint32_t s = 0; !err && s < pool->geometry.nr_segments; s++) {
		uint32_t base = s << pool->geometry.segment_shift;

		for (uint32_t i = 0; !err && i < pool->segment[s].nr; i++)
			err = visit(work, base + i,
				    atomic_load_explicit(&pool->view.owner[base + i],
							 memory_order_relaxed));
	}
	return err;
}

static void claim_image(struct work *work, uint32_t magazine)
{
	uint64_t word = atomic_load_explicit(&work->pool->magazine[magazine],
					     memory_order_relaxed);
	uint32_t holder = pinion_owner_holder(word);

	/* A killed process may have cleared the hint; step 1 may need this very magazine. */
	if (holder == MAGAZINE_DEPOT || holder == MAGAZINE_EMPTY)
		depot_hint(work->pool, magazine, holder == MAGAZINE_DEPOT);
	if (holder != MAGAZINE_SERVICE && !is_dead(work, holder))
		return;
	work->ours[magazine] = true;
	work->image[magazine].holder = pinion_owner_magazine(magazine);
	work->report.magazines++;
}

/* A word that names one of our magazines belongs into its image. */
static int gather(struct work *work, uint32_t id, uint64_t word)
{
	uint32_t holder = pinion_owner_holder(word), m = holder & PINION_HOLDER_INDEX_MASK;
	struct pinion_magazine *image;

	/* The word may be scribbled: index, zone and room are checked. */
	if (!(holder & PINION_HOLDER_MAGAZINE) || m >= work->nr_magazines || !work->ours[m])
		return 0;
	image = &work->image[m];
	if (zone_of_id(work, id) == zone_of_magazine(work, m) && image->nr < PINION_MAGAZINE_SIZE)
		image->buffer[image->nr++] = pinion_owner_buffer(word, id);
	return 0;
}

static bool has_room(const struct work *work, uint32_t magazine, uint8_t zone)
{
	return work->ours[magazine] && work->image[magazine].nr < PINION_MAGAZINE_SIZE &&
	       zone_of_magazine(work, magazine) == zone;
}

/* A partly filled or an empty magazine of the depot becomes SERVICE's. One always is there:
 * each zone has one more than buffers and caches can use. */
static int claim_for_service(struct work *work, uint8_t zone)
{
	struct pinion_magazine got;
	uint32_t index;
	int err = depot_claim_full(work->pool, zone, MAGAZINE_SERVICE, PINION_MAGAZINE_SIZE - 1,
				   &got);

	if (err)
		err = depot_claim_empty(work->pool, zone, MAGAZINE_SERVICE, &got);
	if (err)
		return pinion_fail(-ENOSPC, "no magazine of zone %u is free for recovery", zone);
	index = got.holder & PINION_HOLDER_INDEX_MASK;
	work->ours[index] = true;
	work->image[index] = got;
	work->target[zone] = index;
	return 0;
}

/* target[zone] := a magazine of ours with room. Each is looked at once in a run. */
static int place(struct work *work, uint8_t zone)
{
	if (has_room(work, work->target[zone], zone))
		return 0;
	while (work->seen[zone] < work->nr_magazines) {
		work->target[zone] = work->seen[zone]++;
		if (has_room(work, work->target[zone], zone))
			return 0;
	}
	return claim_for_service(work, zone);
}

/* Step 1 for one word. */
static int reclaim(struct work *work, uint32_t id, uint64_t word)
{
	struct pinion_buffer buffer = pinion_owner_buffer(word, id);
	struct pinion_magazine *image;
	uint8_t zone = zone_of_id(work, id);
	int err;

	if (!is_dead(work, pinion_owner_holder(word)))
		return 0;
	if (in_transit(work, buffer)) {
		work->report.transit++;
		return 0;
	}
	err = place(work, zone);
	if (err)
		return err;
	image = &work->image[work->target[zone]];
	buffer = pinion_buffer_next(buffer);
	if (atomic_compare_exchange_strong_explicit(&work->pool->view.owner[id], &word,
						    pinion_owner_word(buffer, image->holder),
						    memory_order_relaxed, memory_order_relaxed)) {
		image->buffer[image->nr++] = buffer;
		work->report.returned++;
	}
	return 0;
}

/* Step 2 for one magazine. Contents first, the word with release: as any deposit. While it is
 * ours nobody else sets its hints: what a killed process left of them goes. */
static void release(struct work *work, uint32_t magazine)
{
	if (!work->ours[magazine])
		return;
	depot_unhint(work->pool, magazine, true);
	depot_unhint(work->pool, magazine, false);
	depot_deposit(work->pool, &work->image[magazine]);
}

static int work_run(struct work *work)
{
	int err;

	each_magazine(work, claim_image);
	(void)each_id(work, gather);
	err = each_id(work, reclaim);
	/* Also after a failure: what was placed so far is named by its words already. */
	each_magazine(work, release);
	return err;
}

/* A sorted copy of the caller's handles. */
static uint64_t *sorted(const struct pinion_buffer *transit, uint32_t nr)
{
	uint64_t *copy = calloc(nr ? nr : 1, sizeof(*copy));

	if (!copy)
		return NULL;
	for (uint32_t i = 0; i < nr; i++)
		copy[i] = transit[i].bits;
	qsort(copy, nr, sizeof(*copy), compare);
	return copy;
}

/* D, copied once: the members marked dead; or @only one of them. */
static void mark_dead(struct work *work, int64_t only)
{
	const struct pinion_pool *pool = work->pool;

	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		work->dead[i] = only < 0 ? atomic_load_explicit(&pool->members[i].state,
								memory_order_relaxed) == MEMBER_DEAD
					 : i == (uint32_t)only;
}

static void work_close(struct work *work)
{
	free(work->dead);
	free(work->ours);
	free(work->image);
	free(work->handles);
}

/* All memory first: a run that begins does not fail for want of it. */
static int work_open(struct work *work, struct pinion_pool *pool,
		     const struct pinion_buffer *transit, uint32_t nr_transit)
{
	uint32_t nr = pool->geometry.nr_segments * pool->layout.stride;

	*work = (struct work){
		.pool = pool,
		.handles = sorted(transit, nr_transit),
		.nr_handles = nr_transit,
		.nr_magazines = nr,
		.image = calloc(nr, sizeof(*work->image)),
		.ours = calloc(nr, sizeof(*work->ours)),
		.dead = calloc(pool->geometry.nr_members, sizeof(*work->dead)),
	};
	if (work->handles && work->image && work->ours && work->dead)
		return 0;
	work_close(work);
	return pinion_fail(-ENOMEM, "no memory to recover %u magazines", nr);
}

static int check(const struct pinion_pool *pool, uint32_t member)
{
	if (member >= pool->geometry.nr_members || member == pool->member ||
	    atomic_load_explicit(&pool->members[member].state, memory_order_relaxed) ==
		    MEMBER_FREE)
		return pinion_fail(-EINVAL, "member %u cannot be recovered: it is not admitted, or "
				   "is the caller itself", member);
	return 0;
}

/* @member is dead from here on; the run is about all of D, or about it @alone. */
static int recover(struct pinion_pool *pool, uint32_t member, bool alone,
		   const struct pinion_buffer *transit, uint32_t nr_transit,
		   struct pinion_recovery *report)
{
	struct work work;
	int err = check(pool, member);

	if (!err)
		err = work_open(&work, pool, transit, nr_transit);
	if (err)
		return err;
	atomic_store_explicit(&pool->members[member].state, MEMBER_DEAD, memory_order_relaxed);
	mark_dead(&work, alone ? (int64_t)member : -1);
	err = work_run(&work);
	if (report)
		*report = work.report;
	work_close(&work);
	return err;
}

int pinion_pool_recover(struct pinion_pool *pool, uint32_t member,
			const struct pinion_buffer *transit, uint32_t nr_transit,
			struct pinion_recovery *report)
{
	KEEP_ERRNO;

	return recover(pool, member, false, transit, nr_transit, report);
}

/* Only @member's own words are freed here: others of D can still have some in transit. */
int pinion_pool_release(struct pinion_pool *pool, uint32_t member, struct pinion_recovery *report)
{
	KEEP_ERRNO;
	int err = recover(pool, member, true, NULL, 0, report);

	if (!err)
		atomic_store_explicit(&pool->members[member].state, MEMBER_FREE,
				      memory_order_release);
	return err;
}
