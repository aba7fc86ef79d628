/* SPDX-License-Identifier: BSD-3-Clause */
#include "whole.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fail.h"
#include "header.h"
#include "make.h"
#include "member.h"

/* Relaxed all: who comes next is let in after it. */

/* What is seen of one segment. */
struct look {
	const struct pinion_pool *pool;
	uint32_t base, nr; /* its ids */
	uint64_t *placed;  /* a bit for each that lies in the magazine that its word names */
	uint32_t nr_placed;
	bool amiss; /* a magazine is nobody's, or its hint is missing */
};

static bool has_bit(const _Atomic uint64_t *bitmap, uint32_t index)
{
	return atomic_load_explicit(&bitmap[index / 64], memory_order_relaxed) >> index % 64 & 1;
}

/* One id in magazine @m. The second time it is there it is not counted. */
static void look_at_id(struct look *look, uint32_t m, uint32_t id)
{
	const uint32_t at = id - look->base;
	uint64_t word;

	if (at >= look->nr || look->placed[at / 64] >> at % 64 & 1)
		return;
	word = atomic_load_explicit(&look->pool->view.owner[id], memory_order_relaxed);
	if (word != pinion_owner_word(pinion_owner_buffer(word, id), pinion_owner_magazine(m)))
		return;
	look->placed[at / 64] |= UINT64_C(1) << at % 64;
	look->nr_placed++;
}

static void look_at_magazine(struct look *look, uint32_t m)
{
	const uint64_t word = atomic_load_explicit(&look->pool->magazine[m], memory_order_relaxed);
	const _Atomic uint32_t *content = pool_content(look->pool, m);

	switch (pinion_owner_holder(word)) {
	case MAGAZINE_EMPTY:
		look->amiss |= !has_bit(look->pool->empty, m);
		break;
	case MAGAZINE_DEPOT:
		look->amiss |= !has_bit(look->pool->depot, m);
		for (uint32_t i = 0; i < look->pool->geometry.magazine_size &&
				     i < magazine_word_nr(word); i++)
			look_at_id(look, m, atomic_load_explicit(&content[i],
								 memory_order_relaxed));
		break;
	default:
		look->amiss = true;
	}
}

static int mend_segment(struct pinion_pool *pool, uint32_t slot, uint32_t *returned)
{
	const uint32_t first = pool_magazine_first(pool, slot), nr = pool->segment[slot].nr;
	struct look look = {.pool = pool, .base = slot << pool->geometry.segment_shift, .nr = nr};

	look.placed = calloc(nr / 64 + 1, sizeof(*look.placed));
	if (!look.placed)
		return pinion_fail(-ENOMEM, "no memory to look at %u buffers", nr);
	for (uint32_t m = first; m < first + pool_magazine_nr(pool, slot); m++)
		look_at_magazine(&look, m);
	free(look.placed);
	if (look.amiss || look.nr_placed != nr)
		make_fill(pool, slot);
	*returned += nr - look.nr_placed;
	return 0;
}

/* Or the slot would not be used again. */
static void empty_gone(struct pinion_pool *pool, uint32_t slot)
{
	const uint64_t empty = magazine_word(MAGAZINE_EMPTY, 0, 0);
	const uint32_t first = pool_magazine_first(pool, slot);

	for (uint32_t m = first; m < first + pool->layout.stride; m++)
		if (atomic_load_explicit(&pool->magazine[m], memory_order_relaxed) != empty)
			atomic_store_explicit(&pool->magazine[m], empty, memory_order_relaxed);
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

int whole_make(struct pinion_pool *pool, uint32_t *returned)
{
	int err = 0;

	*returned = 0;
	for (uint32_t s = 0; !err && s < pool->geometry.nr_segments; s++) {
		if (pool_has_segment(pool, s))
			err = mend_segment(pool, s, returned);
		else if (slot_state_of(pool->state[s]) == SLOT_GONE)
			empty_gone(pool, s);
	}
	if (!err)
		take_tickets_back(pool);
	return err;
}
