/* SPDX-License-Identifier: BSD-3-Clause */
#include "whole.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "header.h"
#include "make.h"
#include "member.h"

/* Relaxed all: who comes next is let in after it. */

/* What is seen of one segment. */
struct look {
	struct pinion_pool *pool;
	uint32_t base, nr; /* its ids */
	uint64_t *placed;  /* a bit for each that lies in the magazine that its word names */
	uint32_t nr_placed;
};

static bool has_bit(const _Atomic uint64_t *bitmap, uint32_t index)
{
	return atomic_load_explicit(&bitmap[index / 64], memory_order_relaxed) >> index % 64 & 1;
}

static bool is_empty(uint64_t word)
{
	return word == magazine_word(MAGAZINE_EMPTY, 0, 0);
}

/* One id in magazine @m. The second time it is there it is not counted; generations begin at 1. */
static void look_at_id(struct look *look, uint32_t m, uint32_t id)
{
	const uint32_t at = id - look->base;
	struct pinion_buffer buffer;
	uint64_t word;

	if (at >= look->nr || look->placed[at / 64] >> at % 64 & 1)
		return;
	word = atomic_load_explicit(&look->pool->view.owner[id], memory_order_relaxed);
	buffer = pinion_owner_buffer(word, id);
	if (word != pinion_owner_word(buffer, pinion_owner_magazine(m)) ||
	    !pinion_buffer_generation(buffer))
		return;
	look->placed[at / 64] |= UINT64_C(1) << at % 64;
	look->nr_placed++;
}

/* Are all that it says to have in it? */
static bool is_filled(struct look *look, uint32_t m, uint32_t nr)
{
	const _Atomic uint32_t *content = pool_content(look->pool, m);
	const uint32_t before = look->nr_placed;

	if (!nr || nr > look->pool->geometry.magazine_size)
		return false;
	for (uint32_t i = 0; i < nr; i++)
		look_at_id(look, m, atomic_load_explicit(&content[i], memory_order_relaxed));
	return look->nr_placed - before == nr;
}

/* One more in it than in truth, and a buffer would be handed out twice; one word too many, and
 * nobody could ever have the magazine. */
static bool is_right(struct look *look, uint32_t m)
{
	const uint64_t word = atomic_load_explicit(&look->pool->magazine[m], memory_order_relaxed);
	const uint32_t nr = magazine_word_nr(word);

	if (is_empty(word))
		return has_bit(look->pool->empty, m);
	if (pinion_owner_holder(word) != MAGAZINE_DEPOT || !has_bit(look->pool->depot, m) ||
	    !is_filled(look, m, nr))
		return false;
	/* Who filled it is gone, whose number it was will be another's. */
	if (magazine_word_filler(word))
		atomic_store_explicit(&look->pool->magazine[m],
				      magazine_word(MAGAZINE_DEPOT, nr, 0), memory_order_relaxed);
	return true;
}

/* From @m to @end: those that a segment has not, or that it had. Or the slot would not be used
 * again. */
static void empty_all(struct pinion_pool *pool, uint32_t m, uint32_t end)
{
	for (; m < end; m++) {
		uint64_t word = atomic_load_explicit(&pool->magazine[m], memory_order_relaxed);

		if (word && !is_empty(word))
			atomic_store_explicit(&pool->magazine[m],
					      magazine_word(MAGAZINE_EMPTY, 0, 0),
					      memory_order_relaxed);
	}
}

/* @placed: whole_room(). */
static uint32_t mend_segment(struct pinion_pool *pool, uint32_t slot, uint64_t *placed)
{
	const uint32_t first = pool_magazine_first(pool, slot), nr = pool->segment[slot].nr;
	const uint32_t end = first + pool_magazine_nr(pool, slot);
	struct look look = {.pool = pool,
			    .base = slot << pool->geometry.segment_shift,
			    .nr = nr,
			    .placed = placed};
	bool right = true;

	memset(placed, 0, (nr / 64 + 1) * sizeof(*placed));
	for (uint32_t m = first; m < end; m++)
		right &= is_right(&look, m);
	if (!right || look.nr_placed != nr)
		make_fill(pool, slot);
	empty_all(pool, end, first + pool->layout.stride);
	return nr - look.nr_placed;
}

static void empty_gone(struct pinion_pool *pool, uint32_t slot)
{
	const uint32_t first = pool_magazine_first(pool, slot);

	empty_all(pool, first, first + pool->layout.stride);
}

static void take_tickets_back(struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < pool->geometry.nr_caches; i++)
		if (atomic_load_explicit(&pool->cache[i], memory_order_relaxed))
			atomic_store_explicit(&pool->cache[i], 0, memory_order_relaxed);
}

void whole_right(struct pinion_pool *pool)
{
	header_right(pool, atomic_load_explicit(&pool->epoch, memory_order_relaxed));
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		if (i != pool->member)
			atomic_store_explicit(&pool->members[i].state, MEMBER_FREE,
					      memory_order_relaxed);
	member_set(pool, pool->member, getpid());
}

uint64_t *whole_room(const struct pinion_pool *pool)
{
	const uint32_t most = 1u << pool->geometry.segment_shift;
	uint64_t *room = calloc(most / 64 + 1, sizeof(*room));

	if (!room)
		(void)pinion_fail(-ENOMEM, "no memory to look at %u buffers", most);
	return room;
}

uint32_t whole_make(struct pinion_pool *pool, uint64_t *room)
{
	uint32_t strays = 0;

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		if (pool_has_segment(pool, s))
			strays += mend_segment(pool, s, room);
		else if (slot_state_of(pool->state[s]) == SLOT_GONE)
			empty_gone(pool, s);
	}
	take_tickets_back(pool);
	return strays;
}
