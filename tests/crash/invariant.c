/* SPDX-License-Identifier: BSD-3-Clause */
#include "invariant.h"

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <pinion/cache.h>

#include "operations.h"
#include "picture.h"
#include "pool_support.h"
#include "recount.h"
#include "slot.h"

/* Buffers of the largest pool that is checked here. */
#define MOST 4096

struct check {
	struct pinion_pool *pool;
	uint32_t dead;
	struct snapshot state; /* as it was found */
	struct snapshot after; /* after the first recovery */
};

/* Copies as large as a pool are kept from check to check. */
static struct check check;

/* Is @word of a later generation than @was? (As generation_rose() has it.) */
static bool is_later(uint64_t word, uint64_t was)
{
	return generation_rose((struct pinion_buffer){word}, (struct pinion_buffer){was});
}

static bool is_dead(uint32_t holder)
{
	return holder >= 1 && holder <= check.pool->geometry.nr_members &&
	       check.dead >> (holder - 1) & 1;
}

static bool is_living(uint32_t holder)
{
	return holder >= 1 && holder <= check.pool->geometry.nr_members && !is_dead(holder);
}

/* Runs @broken for each word until one is: also those of segments that are not there. */
static const char *each_word(const char *(*broken)(const _Atomic uint64_t *word, uint64_t was),
			       const struct snapshot *earlier)
{
	const struct pinion_pool *pool = check.pool;
	const char *problem = NULL;

	for (uint32_t id = 0; !problem && id < pool->view.nr_ids; id++) {
		const _Atomic uint64_t *word = &pool->view.owner[id];

		problem = broken(word, snapshot_word(earlier, pool, word));
	}
	return problem;
}

static const char *generation_fell(const _Atomic uint64_t *word, uint64_t was)
{
	return is_later(was, *word) ? "a generation went down" : NULL;
}

/* What one word of before is allowed to be after recovery. */
static const char *wrongly_recovered(const _Atomic uint64_t *word, uint64_t was)
{
	const uint32_t before = pinion_owner_holder(was), now = pinion_owner_holder(*word);

	if (is_dead(now))
		return "the dead still hold a buffer";
	if (is_dead(before) && !is_later(*word, was))
		return "a buffer of the dead came back with the generation that they knew";
	if (is_living(before) && *word != was)
		return "recovery took a buffer from the living";
	return generation_fell(word, was);
}

static const char *magazines_wrong(void)
{
	const struct pinion_pool *pool = check.pool;

	for (uint32_t m = 0; m < pool->geometry.nr_segments * pool->layout.stride; m++) {
		const _Atomic uint64_t *word = &pool->magazine[m];
		const uint64_t was = snapshot_word(&check.state, pool, word);

		if (is_dead(pinion_owner_holder(*word)))
			return "the dead still have a magazine";
		if (is_living(pinion_owner_holder(was)) && *word != was)
			return "recovery took a magazine from the living";
	}
	return NULL;
}

/* Who gets a number next has not seen what the one before put there. */
static const char *fillers_wrong(void)
{
	const struct pinion_pool *pool = check.pool;

	for (uint32_t m = 0; m < pool->geometry.nr_segments * pool->layout.stride; m++) {
		const uint32_t filler = magazine_word_filler(pool->magazine[m]);

		if (filler && pool->members[filler - 1].state == MEMBER_FREE)
			return "a magazine is said to be filled by one whose number is free";
	}
	return NULL;
}

static const char *tickets_wrong(void)
{
	const struct pinion_pool *pool = check.pool;

	for (uint32_t i = 0; i < pool->geometry.nr_caches; i++) {
		const uint32_t was = snapshot_ticket(&check.state, pool, i);

		if (is_dead(pool->cache[i]))
			return "the dead still have a ticket";
		if (is_living(was) && pool->cache[i] != was)
			return "recovery took a ticket from the living";
	}
	return NULL;
}

/* Every member of D, or with @release every one but ourselves. */
static const char *recover(bool release)
{
	struct pinion_pool *pool = check.pool;

	const char *problem = NULL;

	for (uint32_t i = 0; !problem && i < pool->geometry.nr_members; i++) {
		if (pool->members[i].state == MEMBER_FREE || i == pinion_pool_member(pool))
			continue;
		if (release || check.dead >> i & 1)
			problem = recount_recover(pool, i, NULL, 0);
		if (!problem && release)
			problem = recount_release(pool, i);
	}
	return problem;
}

static const char *recover_once(void)
{
	const char *problem = recover(false);

	if (!problem)
		problem = pool_problem(check.pool);
	if (!problem)
		problem = each_word(wrongly_recovered, &check.state);
	if (!problem)
		problem = magazines_wrong();
	if (!problem)
		problem = fillers_wrong();
	return problem ? problem : tickets_wrong();
}

static const char *recover_again(void)
{
	const char *problem;

	snapshot_take(&check.after, check.pool);
	problem = recover(false);
	if (!problem && !snapshot_same(&check.after, check.pool))
		problem = "a second recovery changed something";
	return problem;
}

static bool is_live(uint32_t slot)
{
	return slot_state_of(check.pool->state[slot]) == SLOT_LIVE;
}

/* Says so the word of @id, and that of the magazine which it names? */
static bool lies_in_depot(uint32_t id)
{
	const uint32_t holder = pinion_owner_holder(check.pool->view.owner[id]);

	return holder & PINION_HOLDER_MAGAZINE &&
	       pinion_owner_holder(check.pool->magazine[holder & PINION_HOLDER_INDEX_MASK]) ==
		       MAGAZINE_DEPOT;
}

/* Free buffers of @zone that can be had from the depot. */
static uint32_t in_depot(uint32_t zone)
{
	const struct pinion_pool *pool = check.pool;
	uint32_t nr = 0;

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		const uint32_t base = s << pool->geometry.segment_shift;

		if (!is_live(s) || pool->segment[s].zone != zone)
			continue;
		for (uint32_t i = 0; i < pool->segment[s].nr; i++)
			nr += lies_in_depot(base + i);
	}
	return nr;
}

/* Else a cache would be served by the next larger size. */
static bool serves(uint32_t zone)
{
	for (uint32_t s = 0; s < check.pool->geometry.nr_segments; s++)
		if (is_live(s) && check.pool->segment[s].zone == zone)
			return true;
	return false;
}

/* Takes all there is through a cache, as a member would, and gives it back. */
static const char *drain(struct pinion_cache *cache, uint32_t want)
{
	static struct pinion_buffer held[MOST];
	uint32_t nr = 0;

	while (nr < MOST && !pinion_buffer_alloc(cache, &held[nr]))
		nr++;
	if (pinion_pool_held(check.pool, pinion_pool_member(check.pool)) != nr)
		return "a buffer was allocated twice";
	if (nr != want)
		return nr < want ? "a free buffer cannot be allocated"
				 : "more was allocated than was free";
	while (nr--)
		if (pinion_buffer_free(cache, held[nr]))
			return "an allocated buffer cannot be freed";
	return NULL;
}

static const char *drain_zone(uint32_t zone)
{
	struct pinion_cache_config config = {.node = PINION_NODE_ANY};
	struct pinion_zone_stat stat;
	/* Before the cache opens: it may take a magazine that is partly full. */
	const uint32_t want = in_depot(zone);
	struct pinion_cache *cache;
	const char *problem;

	if (pinion_pool_stat(check.pool, zone, &stat))
		return "a zone is gone";
	config.buffer_size = stat.buffer_size;
	if (pinion_cache_open(check.pool, &config, &cache))
		return pinion_error_text();
	problem = drain(cache, want);
	(void)pinion_cache_close(cache);
	return problem ? problem : pool_problem(check.pool);
}

static const char *drain_all(void)
{
	const char *problem = NULL;

	for (uint32_t zone = 0; !problem && zone < pinion_pool_zones(check.pool); zone++)
		if (serves(zone))
			problem = drain_zone(zone);
	return problem;
}

static const char *slots_left(void)
{
	const struct pinion_pool *pool = check.pool;

	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		if (i != pool->member && pool->members[i].state != MEMBER_FREE)
			return "a released slot is not free";
	for (uint32_t i = 0; i < pool->geometry.nr_caches; i++)
		if (pool->cache[i])
			return "a ticket is not back though everybody is buried";
	return NULL;
}

/* The end of everybody: nothing is held, and all member slots but ours are free. */
static const char *bury_all(void)
{
	const struct pinion_pool *pool = check.pool;
	const char *problem = recover(true);

	if (!problem)
		problem = pool_problem(pool);
	if (!problem && pool_free(pool) != pool_total(pool))
		problem = "a buffer is not back though everybody is buried";
	return problem ? problem : slots_left();
}

/* Nobody has a part of what is retiring any more: it goes. */
static const char *retire_all(void)
{
	for (uint32_t s = 0; s < check.pool->geometry.nr_segments; s++)
		if (slot_state_of(check.pool->state[s]) == SLOT_RETIRING &&
		    pinion_pool_retire(check.pool, s))
			return pinion_error_text();
	return NULL;
}

/* Has each of its buffers a generation that it never had? */
static bool is_renewed(uint32_t slot)
{
	const struct pinion_pool *pool = check.pool;

	for (uint32_t i = 0; i < pool->segment[slot].nr; i++) {
		const _Atomic uint64_t *word =
			&pool->view.owner[(slot << pool->geometry.segment_shift) + i];

		if (!is_later(*word, snapshot_word(&check.after, pool, word)))
			return false;
	}
	return true;
}

/* Whatever somebody has left in a slot without a segment, the next takes the first of them. */
static const char *grow_again(void)
{
	uint32_t want = 0, slot;

	snapshot_take(&check.after, check.pool);
	while (want < check.pool->geometry.nr_segments && pool_has_segment(check.pool, want))
		want++;
	if (pinion_pool_grow(check.pool, &operation_grown, &slot))
		return pinion_error_text();
	if (slot != want)
		return "a slot without a segment cannot be grown into";
	if (!is_renewed(slot))
		return "a handle of the segment before is good for that in its place";
	return pool_problem(check.pool);
}

/* All segments come and go, now that everybody is buried. */
static const char *renew(void)
{
	const char *problem = retire_all();

	for (uint32_t s = 0; !problem && s < check.pool->geometry.nr_segments; s++)
		if (!pool_has_segment(check.pool, s))
			problem = grow_again();
	return problem ? problem : drain_all();
}

/*
 * A slot's word only rises: its epoch does with each change, its state within one. Nothing of a
 * segment that is gone is in anybody's hand.
 */
static const char *slots_wrong(const struct snapshot *earlier)
{
	const struct pinion_pool *pool = check.pool;

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		const uint32_t first = s << pool->geometry.segment_shift;

		if (pool->state[s] < snapshot_word(earlier, pool, &pool->shared->slot[s].state))
			return "a segment's state went back";
		if (pool->state[s] >> 2 > pool->shared->epoch)
			return "members are not told of a change of a segment";
		if (slot_state_of(pool->state[s]) != SLOT_GONE)
			continue;
		for (uint32_t i = 0; i < 1u << pool->geometry.segment_shift; i++)
			if (pool->view.owner[first + i] &&
			    !(pool->view.owner[first + i] & PINION_HOLDER_MAGAZINE))
				return "a segment went of which a buffer is held";
	}
	return NULL;
}

/* What comes before all else. */
static const char *take_over(void)
{
	struct pinion_pool *pool = check.pool;
	const char *problem = picture_update(pool);

	if (problem)
		return problem;
	slot_take_over(pool);
	slot_acknowledge(pool, pool->epoch);
	return NULL;
}

static const char *check_all(const struct snapshot *earlier)
{
	const char *problem = each_word(generation_fell, earlier);

	if (!problem)
		problem = take_over();
	if (!problem)
		problem = slots_wrong(earlier);
	if (!problem)
		problem = recover_once();
	if (!problem)
		problem = recover_again();
	if (!problem)
		problem = drain_all();
	if (!problem)
		problem = bury_all();
	return problem ? problem : renew();
}

static sigjmp_buf out_of_time;

static void give_up(int signal)
{
	siglongjmp(out_of_time, signal);
}

/* A library that waits for the dead would keep us here. A check takes less than a millisecond. */
static const char *check_in_time(const struct snapshot *earlier)
{
	const char *volatile problem = "recovery, or allocation after it, did not end in 5 seconds";

	(void)signal(SIGALRM, give_up);
	if (!sigsetjmp(out_of_time, 1)) {
		(void)alarm(5);
		problem = check_all(earlier);
	}
	(void)alarm(0);
	return problem;
}

const char *invariant_broken(struct pinion_pool *pool, const struct snapshot *earlier,
			     uint32_t dead)
{
	check.pool = pool;
	check.dead = dead;
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		if (pool->members[i].state == MEMBER_DEAD)
			check.dead |= 1u << i;
	snapshot_take(&check.state, pool);
	return check_in_time(earlier);
}
