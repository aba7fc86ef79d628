/* SPDX-License-Identifier: BSD-3-Clause */
#include "depot.h"

#include <errno.h>

static uint32_t index_of(const struct pinion_magazine *magazine)
{
	return magazine->holder & PINION_HOLDER_INDEX_MASK;
}

void depot_hint(struct pinion_pool *pool, uint32_t index, bool full)
{
	_Atomic uint64_t *bitmap = full ? pool->depot : pool->empty;

	atomic_fetch_or_explicit(&bitmap[index / 64], UINT64_C(1) << (index % 64),
				 memory_order_relaxed);
}

void depot_unhint(struct pinion_pool *pool, uint32_t index, bool full)
{
	_Atomic uint64_t *bitmap = full ? pool->depot : pool->empty;

	atomic_fetch_and_explicit(&bitmap[index / 64], ~(UINT64_C(1) << (index % 64)),
				  memory_order_relaxed);
}

/* What a caller is after. */
struct wish {
	uint32_t zone;
	uint32_t from;   /* MAGAZINE_DEPOT or MAGAZINE_EMPTY */
	uint32_t most;   /* buffers in it */
	uint32_t holder; /* whose it will be */
};

/* What it got. */
struct catch {
	uint32_t index, nr;
};

/* A1. Fails when the word is not (or no longer) as wished. The hint goes after the word has
 * come: nobody else can move the magazine on and set it anew in between. */
static bool claim_word(struct pinion_pool *pool, const struct wish *wish, uint32_t index,
		       struct catch *got)
{
	uint64_t word = atomic_load_explicit(&pool->magazine[index], memory_order_relaxed);
	uint32_t nr = magazine_word_nr(word);

	if (pinion_owner_holder(word) != wish->from || nr > wish->most)
		return false;
	if (!atomic_compare_exchange_strong_explicit(
		    &pool->magazine[index], &word, magazine_word(wish->holder, nr),
		    memory_order_acquire, memory_order_relaxed))
		return false;
	depot_unhint(pool, index, wish->from == MAGAZINE_DEPOT);
	*got = (struct catch){index, nr};
	return true;
}

/* The first magazine of one segment that can be had. */
static bool claim_in(struct pinion_pool *pool, const struct wish *wish, uint32_t segment,
		     struct catch *got)
{
	_Atomic uint64_t *bitmap = wish->from == MAGAZINE_DEPOT ? pool->depot : pool->empty;
	uint32_t first = pool_magazine_first(pool, segment);
	uint32_t end = first + pool_magazine_nr(pool, segment);

	for (uint32_t base = first; base < end; base += 64) {
		uint64_t bits = atomic_load_explicit(&bitmap[base / 64], memory_order_relaxed);

		/* Each bit is tried once, so that a busy depot cannot hold us here. */
		for (; bits; bits &= bits - 1) {
			uint32_t at = base + (uint32_t)__builtin_ctzll(bits);

			/* A scribbled hint may name a magazine that this segment lacks. */
			if (at < end && claim_word(pool, wish, at, got))
				return true;
		}
	}
	return false;
}

static bool claim(struct pinion_pool *pool, const struct wish *wish, struct catch *got)
{
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		if (pool->segment[i].zone == wish->zone && claim_in(pool, wish, i, got))
			return true;
	return false;
}

/* Is @id a buffer of the zone that this magazine serves? */
static bool belongs(const struct pinion_pool *pool, uint32_t index, uint32_t id)
{
	return pinion_view_has(&pool->view, id) &&
	       pinion_view_segment_of(&pool->view, id)->zone ==
		       pool->segment[index / pool->layout.stride].zone;
}

/* An id counts if its word agrees that it lies in this magazine: the contents alone do not. */
static void copy_contents(struct pinion_pool *pool, uint32_t index, uint32_t nr,
			  struct pinion_magazine *magazine)
{
	magazine->nr = 0;
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t id = atomic_load_explicit(&pool->content[index].id[i],
						   memory_order_relaxed);
		uint64_t word;

		if (!belongs(pool, index, id))
			continue;
		word = atomic_load_explicit(&pool->view.owner[id], memory_order_relaxed);
		if (pinion_owner_holder(word) == magazine->holder)
			magazine->buffer[magazine->nr++] = pinion_owner_buffer(word, id);
	}
}

int depot_claim_full(struct pinion_pool *pool, uint32_t zone, uint32_t holder, uint32_t most,
		     struct pinion_magazine *magazine)
{
	const struct wish wish = {zone, MAGAZINE_DEPOT, most, holder};
	struct catch got;

	if (!claim(pool, &wish, &got))
		return -ENOMEM;
	magazine->holder = pinion_owner_magazine(got.index);
	copy_contents(pool, got.index, got.nr, magazine);
	return 0;
}

int depot_claim_empty(struct pinion_pool *pool, uint32_t zone, uint32_t holder,
		      struct pinion_magazine *magazine)
{
	const struct wish wish = {zone, MAGAZINE_EMPTY, 0, holder};
	struct catch got;

	if (!claim(pool, &wish, &got))
		return -ENOSPC;
	magazine->holder = pinion_owner_magazine(got.index);
	magazine->nr = 0;
	return 0;
}

void depot_deposit(struct pinion_pool *pool, struct pinion_magazine *magazine)
{
	uint32_t index = index_of(magazine), nr = magazine->nr;
	uint32_t to = nr ? MAGAZINE_DEPOT : MAGAZINE_EMPTY;

	for (uint32_t i = 0; i < nr; i++)
		atomic_store_explicit(&pool->content[index].id[i],
				      pinion_buffer_id(magazine->buffer[i]), memory_order_relaxed);
	/* R1. A store would do, since nobody else may move a magazine of ours. */
	atomic_store_explicit(&pool->magazine[index], magazine_word(to, nr), memory_order_release);
	depot_hint(pool, index, nr != 0);
	magazine->nr = 0;
}
