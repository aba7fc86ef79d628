/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "debug.h"
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
 *
 * The owner words are surveyed first, which counts what there is to do, so that all private memory
 * is had before anything is changed. Where nothing is to be done they are not looked at again.
 */

/* Of one segment slot: the magazines of D and SERVICE, as images first .. first + nr - 1. */
struct lot {
	uint32_t first, nr;
	uint32_t held;   /* words of the dead, those in transit included */
	uint32_t target; /* of the images: the one that step 1 fills */
};

/* Working tables, private to one run. An image is what will be in a magazine. */
struct work {
	struct pinion_pool *pool;
	uint8_t *dead;     /* by member: this run is about it */
	uint64_t *handles; /* in transit, sorted */
	uint32_t nr_handles;
	uint32_t *image_of; /* by magazine: 1 + its image; 0: not ours. Only pages of those that
	                     * matter are ever touched */
	uint32_t nr_images;
	char *images;                   /* nr_images of them, and the next */
	struct pinion_magazine *refuge; /* takes what the images of a slot have no room for */
	struct lot lot[PINION_SEGMENT_MAX];
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

/* Is @holder a member that this run is about? */
static bool is_dead(const struct work *work, uint32_t holder)
{
	/* member + 1, see pinion_owner_held() */
	return holder && holder <= work->pool->geometry.nr_members && work->dead[holder - 1];
}

static uint32_t nr_magazines(const struct work *work)
{
	return work->pool->geometry.nr_segments * work->pool->layout.stride;
}

/* 1 + the image of the magazine that @holder names, or 0. The word may be scribbled: a magazine
 * of another segment is none. */
static uint32_t image_named(const struct work *work, uint32_t slot, uint32_t holder)
{
	uint32_t m = holder & PINION_HOLDER_INDEX_MASK;

	if (!(holder & PINION_HOLDER_MAGAZINE) || m / work->pool->layout.stride != slot ||
	    m >= nr_magazines(work))
		return 0;
	return work->image_of[m];
}

static uint64_t load_word(const struct work *work, uint32_t id)
{
	return atomic_load_explicit(&work->pool->view.owner[id], memory_order_relaxed);
}

/* --- survey */

static void survey_magazine(struct work *work, struct lot *lot, uint32_t m)
{
	uint32_t holder = pinion_owner_holder(
		atomic_load_explicit(&work->pool->magazine[m], memory_order_relaxed));

	/* A killed process may have cleared the hint; step 1 may need this very magazine. */
	if (holder == MAGAZINE_DEPOT || holder == MAGAZINE_EMPTY)
		depot_hint(work->pool, m, holder == MAGAZINE_DEPOT);
	if (holder == MAGAZINE_SERVICE || is_dead(work, holder)) {
		lot->nr++;
		work->image_of[m] = ++work->nr_images;
	}
}

static void survey_magazines(struct work *work, uint32_t slot)
{
	uint32_t first = pool_magazine_first(work->pool, slot);
	uint32_t end = first + pool_magazine_nr(work->pool, slot);

	work->lot[slot].first = work->nr_images;
	for (uint32_t m = first; m < end; m++)
		survey_magazine(work, &work->lot[slot], m);
}

static void survey_words(struct work *work, uint32_t slot)
{
	uint32_t first = slot << work->pool->geometry.segment_shift;
	uint32_t end = first + work->pool->segment[slot].nr;

	for (uint32_t id = first; id < end; id++)
		work->lot[slot].held += is_dead(work, pinion_owner_holder(load_word(work, id)));
}

static void survey(struct work *work)
{
	for (uint32_t s = 0; s < work->pool->geometry.nr_segments; s++) {
		survey_magazines(work, s);
		survey_words(work, s);
	}
	work->report.magazines = work->nr_images;
}

/* --- step 1 and what leads to it */

static size_t image_len(const struct pinion_pool *pool)
{
	return sizeof(struct pinion_magazine) +
	       pool->geometry.magazine_size * sizeof(struct pinion_buffer);
}

static struct pinion_magazine *image(const struct work *work, uint32_t index)
{
	return (void *)(work->images + index * image_len(work->pool));
}

/* A magazine claimed for this run alone goes as soon as it is full: no word is to name it that it
 * does not hold. */
static void leave_refuge(struct work *work)
{
	if (work->refuge->holder)
		depot_deposit(work->pool, work->refuge, 0);
	work->refuge->holder = 0;
}

/* An empty or a partly filled magazine of the depot becomes SERVICE's. One always is there: each
 * segment has one more than buffers and caches can use. */
static int enter_refuge(struct work *work, uint32_t slot)
{
	const struct depot_range range = depot_range(work->pool, slot);

	leave_refuge(work);
	if (depot_claim_room(work->pool, &range, MAGAZINE_SERVICE, work->refuge, NULL))
		return pinion_fail(-ENOSPC, "segment %u: no magazine is free for recovery", slot);
	return 0;
}

/* Where the next one goes: the images of the slot, each looked at once, then the refuge. */
static int find_room(struct work *work, uint32_t slot, struct pinion_magazine **room)
{
	struct lot *lot = &work->lot[slot];

	for (; lot->target < lot->nr; lot->target++) {
		*room = image(work, lot->first + lot->target);
		if ((*room)->nr < (*room)->size)
			return 0;
	}
	*room = work->refuge;
	if (work->refuge->holder && work->refuge->nr < work->refuge->size)
		return 0;
	return enter_refuge(work, slot);
}

/* A word that names one of our magazines belongs into its image. */
static void gather(struct work *work, uint32_t slot, uint32_t id, uint64_t word)
{
	uint32_t named = image_named(work, slot, pinion_owner_holder(word));
	struct pinion_magazine *into;

	if (!named)
		return;
	into = image(work, named - 1);
	if (into->nr < into->size)
		into->buffer[into->nr++] = pinion_owner_buffer(word, id);
}

/* Step 1 for one word. */
static int reclaim(struct work *work, uint32_t slot, uint32_t id, uint64_t word)
{
	struct pinion_buffer buffer = pinion_owner_buffer(word, id);
	struct pinion_magazine *room;
	int err;

	if (!is_dead(work, pinion_owner_holder(word)))
		return 0;
	if (in_transit(work, buffer)) {
		work->report.transit++;
		return 0;
	}
	err = find_room(work, slot, &room);
	if (err)
		return err;
	if (work->pool->geometry.flags & PINION_POOL_DEBUG)
		debug_poison(work->pool, buffer);
	buffer = pinion_buffer_next(buffer);
	if (atomic_compare_exchange_strong_explicit(
		    &work->pool->view.owner[id], &word, pinion_owner_word(buffer, room->holder),
		    memory_order_relaxed, memory_order_relaxed)) {
		room->buffer[room->nr++] = buffer;
		work->report.returned++;
	}
	return 0;
}

static void gather_slot(struct work *work, uint32_t slot)
{
	uint32_t first = slot << work->pool->geometry.segment_shift;
	uint32_t end = first + work->pool->segment[slot].nr;

	for (uint32_t id = first; work->lot[slot].nr && id < end; id++)
		gather(work, slot, id, load_word(work, id));
}

static int reclaim_slot(struct work *work, uint32_t slot)
{
	uint32_t first = slot << work->pool->geometry.segment_shift;
	uint32_t end = first + work->pool->segment[slot].nr;
	int err = 0;

	for (uint32_t id = first; !err && work->lot[slot].held && id < end; id++)
		err = reclaim(work, slot, id, load_word(work, id));
	leave_refuge(work);
	return err;
}

/* --- step 2 */

/* Contents first, the word with release: as any deposit. While it is ours nobody else sets its
 * hints: what a killed process left of them goes. */
static void release_image(struct work *work, struct pinion_magazine *magazine)
{
	uint32_t m = magazine->holder & PINION_HOLDER_INDEX_MASK;

	depot_unhint(work->pool, m, true);
	depot_unhint(work->pool, m, false);
	depot_deposit(work->pool, magazine, 0);
}

/* The dead's magazines of segments that are gone hold nothing, but keep the slot from being used
 * again. */
static void release_gone(struct work *work, uint32_t slot)
{
	uint32_t first = pool_magazine_first(work->pool, slot);

	for (uint32_t m = first; m < first + work->pool->layout.stride; m++)
		if (is_dead(work, pinion_owner_holder(atomic_load_explicit(
					  &work->pool->magazine[m], memory_order_relaxed))))
			atomic_store_explicit(&work->pool->magazine[m],
					      magazine_word(MAGAZINE_EMPTY, 0, 0),
					      memory_order_release); /* R1 */
}

static void release_slot(struct work *work, uint32_t slot)
{
	const struct lot *lot = &work->lot[slot];

	if (slot_state_of(work->pool->state[slot]) == SLOT_GONE)
		release_gone(work, slot);
	for (uint32_t i = 0; i < lot->nr; i++)
		release_image(work, image(work, lot->first + i));
}

/* Last: who takes a ticket counts on the magazines behind it. */
static void release_tickets(struct work *work)
{
	for (uint32_t i = 0; i < work->pool->geometry.nr_caches; i++)
		if (is_dead(work, atomic_load_explicit(&work->pool->cache[i],
						       memory_order_relaxed)))
			atomic_store_explicit(&work->pool->cache[i], 0,
					      memory_order_release); /* R7 */
}

static int work_run(struct work *work)
{
	uint32_t nr = work->pool->geometry.nr_segments;
	int err = 0;

	/* Of all slots before step 1, which may fail in any: an image that lacked what lies in its
	 * magazine would be released EMPTY. */
	for (uint32_t s = 0; s < nr; s++)
		gather_slot(work, s);
	for (uint32_t s = 0; !err && s < nr; s++)
		err = reclaim_slot(work, s);
	/* Also after a failure: what was placed so far is named by its words already. */
	for (uint32_t s = 0; s < nr; s++)
		release_slot(work, s);
	if (!err)
		release_tickets(work);
	return err;
}

/* --- life of the tables */

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

/* D: the dead that are not yet released, and @member; or @member @alone. Never by what the slots
 * say: there anybody can write that a living member is dead. */
static void mark_dead(struct work *work, uint32_t member, bool alone)
{
	const struct pinion_pool *pool = work->pool;

	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		work->dead[i] = i == member || (!alone && pool->dead[i]);
}

static void work_close(struct work *work)
{
	free(work->dead);
	free(work->handles);
	free(work->image_of);
	free(work->images);
}

static int no_memory(const struct work *work)
{
	return pinion_fail(-ENOMEM, "no memory to recover %u magazines", nr_magazines(work));
}

static int work_open(struct work *work, struct pinion_pool *pool,
		     const struct pinion_buffer *transit, uint32_t nr_transit)
{
	*work = (struct work){
		.pool = pool,
		.handles = sorted(transit, nr_transit),
		.nr_handles = nr_transit,
		.dead = calloc(pool->geometry.nr_members, sizeof(*work->dead)),
	};
	work->image_of = calloc(nr_magazines(work), sizeof(*work->image_of));
	if (work->handles && work->image_of && work->dead)
		return 0;
	return no_memory(work);
}

static void name_images(const struct work *work, uint32_t slot)
{
	uint32_t first = pool_magazine_first(work->pool, slot);

	for (uint32_t m = first; m < first + work->pool->layout.stride; m++)
		if (work->image_of[m])
			image(work, work->image_of[m] - 1)->holder = pinion_owner_magazine(m);
}

/* Empty images, each named after its magazine, and the refuge. */
static int open_images(struct work *work)
{
	work->images = calloc(work->nr_images + 1ul, image_len(work->pool));
	if (!work->images)
		return no_memory(work);
	for (uint32_t i = 0; i <= work->nr_images; i++)
		image(work, i)->size = work->pool->geometry.magazine_size;
	for (uint32_t s = 0; s < work->pool->geometry.nr_segments; s++)
		if (work->lot[s].nr)
			name_images(work, s);
	work->refuge = image(work, work->nr_images);
	return 0;
}

static int check(const struct pinion_pool *pool, uint32_t member)
{
	int err = pool_check_keeper(pool);

	if (err)
		return err;
	if (member >= pool->geometry.nr_members || member == pool->member ||
	    atomic_load_explicit(&pool->members[member].state, memory_order_relaxed) ==
		    MEMBER_FREE)
		return pinion_fail(-EINVAL, "member %u cannot be recovered: it is not admitted, or "
				   "is the caller itself", member);
	return 0;
}

/* All memory is had before anything is changed: a run that begins does not fail for want of it. */
static int work_do(struct work *work, uint32_t member, bool alone)
{
	int err;

	mark_dead(work, member, alone);
	survey(work);
	err = open_images(work);
	if (err)
		return err;
	work->pool->dead[member] = true;
	atomic_store_explicit(&work->pool->members[member].state, MEMBER_DEAD,
			      memory_order_relaxed);
	return work_run(work);
}

/* @member is dead from here on; the run is about all of D, or about it @alone. */
static int recover(struct pinion_pool *pool, uint32_t member, bool alone,
		   const struct pinion_buffer *transit, uint32_t nr_transit,
		   struct pinion_recovery *report)
{
	struct work work = {0};
	int err = check(pool, member);

	if (!err)
		err = work_open(&work, pool, transit, nr_transit);
	if (!err)
		err = work_do(&work, member, alone);
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

/* If it fails somebody else has claimed the magazine meanwhile. */
static void forget_filler_of(struct pinion_pool *pool, uint32_t m, uint32_t filler)
{
	uint64_t word = atomic_load_explicit(&pool->magazine[m], memory_order_relaxed);

	if (pinion_owner_holder(word) == MAGAZINE_DEPOT && magazine_word_filler(word) == filler)
		(void)atomic_compare_exchange_strong_explicit(
			&pool->magazine[m], &word,
			magazine_word(MAGAZINE_DEPOT, magazine_word_nr(word), 0),
			memory_order_release, memory_order_relaxed); /* R1 */
}

/* The number will be somebody else's, who has not seen what is in these buffers. Slots without a
 * segment are not looked at: a look would fill the hole that they are. */
static void forget_filler(struct pinion_pool *pool, uint32_t member)
{
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		uint32_t first = pool_magazine_first(pool, s), nr = pool_magazine_nr(pool, s);

		for (uint32_t m = first; m < first + nr; m++)
			forget_filler_of(pool, m, pinion_owner_held(member));
	}
}

/* Only @member's own words are freed here: others of D can still have some in transit. */
int pinion_pool_release(struct pinion_pool *pool, uint32_t member, struct pinion_recovery *report)
{
	KEEP_ERRNO;
	int err = recover(pool, member, true, NULL, 0, report);

	if (err)
		return err;
	if (pool->geometry.flags & PINION_POOL_SCRUB)
		forget_filler(pool, member);
	pool->dead[member] = false;
	atomic_store_explicit(&pool->members[member].state, MEMBER_FREE, memory_order_release);
	return 0;
}
