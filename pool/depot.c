/* SPDX-License-Identifier: BSD-3-Clause */
#include "depot.h"

#include <errno.h>

#include "content.h"
#include "fetch.h"

#define LOOKS 16 /* for room */

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
	const struct depot_range *range;
	uint32_t from;   /* MAGAZINE_DEPOT or MAGAZINE_EMPTY */
	uint32_t most;   /* buffers in it */
	uint32_t holder; /* whose it will be */
};

/* Fails when the word is not (or no longer) as wished; @word is what it was. The hint goes
 * after the word has come: nobody else can move the magazine on and set it anew in between. */
static bool claim_word(struct pinion_pool *pool, const struct wish *wish, uint32_t index,
		       uint64_t *word)
{
	*word = atomic_load_explicit(&pool->magazine[index], memory_order_relaxed);
	if (pinion_owner_holder(*word) != wish->from || magazine_word_nr(*word) > wish->most)
		return false;
	if (!atomic_compare_exchange_strong_explicit(&pool->magazine[index], word,
						     magazine_word(wish->holder, 0, 0),
						     memory_order_acquire, /* A1 */
						     memory_order_relaxed))
		return false;
	depot_unhint(pool, index, wish->from == MAGAZINE_DEPOT);
	return true;
}

/* What is inside is read next, or was read by others and is written next: its lines are on their
 * way while the magazine's own word is. */
static void fetch_content(const struct pinion_pool *pool, const struct wish *wish, uint32_t index)
{
	const _Atomic uint32_t *content = pool_content(pool, index);

	for (uint32_t i = 0; i < pool->geometry.magazine_size; i += 64 / sizeof(*content)) {
		if (wish->from == MAGAZINE_EMPTY)
			fetch_to_write(&content[i]);
		else
			__builtin_prefetch((const void *)&content[i]);
	}
}

/* The first magazine of the range that can be had. */
static bool claim(struct pinion_pool *pool, const struct wish *wish, uint32_t *index,
		  uint64_t *word)
{
	_Atomic uint64_t *bitmap = wish->from == MAGAZINE_DEPOT ? pool->depot : pool->empty;
	uint32_t end = wish->range->first + wish->range->nr;

	for (uint32_t base = wish->range->first; base < end; base += 64) {
		uint64_t bits = atomic_load_explicit(&bitmap[base / 64], memory_order_relaxed);

		/* Each bit is tried once, so that a busy depot cannot hold us here. */
		for (; bits; bits &= bits - 1) {
			*index = base + (uint32_t)__builtin_ctzll(bits);
			/* A scribbled hint may name a magazine that this segment lacks. */
			if (*index >= end)
				break;
			fetch_content(pool, wish, *index);
			if (claim_word(pool, wish, *index, word))
				return true;
		}
	}
	return false;
}

int depot_claim_full(struct pinion_pool *pool, const struct depot_range *range, uint32_t holder,
		     uint32_t most, struct pinion_magazine *magazine, uint32_t *filler)
{
	const struct wish wish = {range, MAGAZINE_DEPOT, most, holder};
	uint32_t index, nr;
	uint64_t word;

	if (!claim(pool, &wish, &index, &word))
		return -ENOMEM;
	nr = magazine_word_nr(word);
	if (nr > pool->geometry.magazine_size)
		nr = pool->geometry.magazine_size;
	magazine->holder = pinion_owner_magazine(index);
	content_read(pool_content(pool, index), nr, pool->view.owner, range, magazine);
	if (filler)
		*filler = magazine_word_filler(word);
	return 0;
}

int depot_claim_empty(struct pinion_pool *pool, const struct depot_range *range, uint32_t holder,
		      struct pinion_magazine *magazine)
{
	const struct wish wish = {range, MAGAZINE_EMPTY, 0, holder};
	uint32_t index;
	uint64_t word;

	if (!claim(pool, &wish, &index, &word))
		return -ENOSPC;
	magazine->holder = pinion_owner_magazine(index);
	magazine->nr = 0;
	return 0;
}

int depot_claim_room(struct pinion_pool *pool, const struct depot_range *range, uint32_t holder,
		     struct pinion_magazine *magazine, uint32_t *filler)
{
	const uint32_t most = pool->geometry.magazine_size - 1;

	for (int i = 0; i < LOOKS; i++)
		if (!depot_claim_empty(pool, range, holder, magazine) ||
		    !depot_claim_full(pool, range, holder, most, magazine, filler))
			return 0;
	return -EAGAIN;
}

/* A store suffices, since nobody else may move a magazine of ours. */
static void write_word(struct pinion_pool *pool, const struct pinion_magazine *magazine,
		       uint32_t filler)
{
	const uint32_t to = magazine->nr ? MAGAZINE_DEPOT : MAGAZINE_EMPTY;

	atomic_store_explicit(&pool->magazine[index_of(magazine)],
			      magazine_word(to, magazine->nr, magazine->nr ? filler : 0),
			      memory_order_release); /* R1 */
}

void depot_deposit(struct pinion_pool *pool, struct pinion_magazine *magazine, uint32_t filler)
{
#ifdef PINION_PLANTED_BUG
	/* The wrong order, for tests/crash alone, which shows that it would notice. */
	write_word(pool, magazine, filler);
	content_write(pool_content(pool, index_of(magazine)), magazine);
#else
	content_write(pool_content(pool, index_of(magazine)), magazine);
	write_word(pool, magazine, filler);
#endif
	depot_hint(pool, index_of(magazine), magazine->nr != 0);
	magazine->nr = 0;
}

/* The same magazine, number and filler, in other hands. */
static uint64_t handed_over(uint64_t word, uint32_t holder)
{
	return (word & ~PINION_HOLDER_MASK) | holder;
}

/* By the words, not by the hints: a magazine left behind could be allocated from. */
void depot_seize(struct pinion_pool *pool, const struct depot_range *range)
{
	for (uint32_t m = range->first; m < range->first + range->nr; m++) {
		uint64_t word = atomic_load_explicit(&pool->magazine[m], memory_order_relaxed);

		if (pinion_owner_holder(word) == MAGAZINE_DEPOT &&
		    atomic_compare_exchange_strong_explicit(
			    &pool->magazine[m], &word, handed_over(word, MAGAZINE_SERVICE),
			    memory_order_acquire, memory_order_relaxed)) /* A1 */
			depot_unhint(pool, m, true);
	}
}

/* Contents and owner words are as they were deposited: the word alone goes back. One without a
 * number was not seized: a killed recovery left it, for the next one to see to. */
void depot_restore(struct pinion_pool *pool, const struct depot_range *range)
{
	for (uint32_t m = range->first; m < range->first + range->nr; m++) {
		uint64_t word = atomic_load_explicit(&pool->magazine[m], memory_order_relaxed);

		if (pinion_owner_holder(word) != MAGAZINE_SERVICE || !magazine_word_nr(word))
			continue;
		atomic_store_explicit(&pool->magazine[m], handed_over(word, MAGAZINE_DEPOT),
				      memory_order_release); /* R1 */
		depot_hint(pool, m, true);
	}
}
