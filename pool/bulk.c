/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdbool.h>
#include <string.h>

#include <pinion/cache.h>

#include "row.h"

/*
 * Many at once: the same words in the same order as one at a time (cache.h), so that what holds at
 * a death holds here; only the look-ups around them are shared by a run of buffers. What is a row
 * goes by vectors (row.h), the rest word by word: copies and words in passes of their own, which
 * compilers turn into wide stores and short loops.
 */

static uint32_t smaller(uint32_t a, size_t b)
{
	return a < b ? a : (uint32_t)b;
}

/* Takes over all whole steps of @from if they are one row: how many that is, else 0. */
ROW_CLONES static uint32_t hold_row(const struct pinion_cache *cache,
				    const struct pinion_buffer *from, struct pinion_buffer *to,
				    uint32_t nr)
{
	const uint32_t row = nr - nr % ROW_STEP;

	if (!row_seems(from, row) || !row_copy(to, from, row, 0, NULL, 0))
		return 0;
	row_words_set(&cache->owner[pinion_buffer_id(*from)], row,
		      pinion_owner_word(*from, cache->self));
	return row;
}

static void hold_each(const struct pinion_cache *cache, const struct pinion_buffer *from,
		      struct pinion_buffer *to, uint32_t nr)
{
	_Atomic uint64_t *owner = cache->owner;
	const uint32_t self = cache->self;

	memcpy(to, from, nr * sizeof(*to));
#pragma GCC unroll 4
	for (uint32_t i = 0; i < nr; i++)
		atomic_store_explicit(&owner[pinion_buffer_id(to[i])],
				      pinion_owner_word(to[i], self), memory_order_relaxed);
}

/* Pops up to @nr off what is loaded. */
static uint32_t pop_run(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t nr)
{
	uint32_t run = smaller(nr, (size_t)(cache->top - cache->bottom)), row;

	if (!run) /* also: there may be no magazine */
		return 0;
	cache->top -= run;
	row = hold_row(cache, cache->top, buffer, run);
	if (row < run)
		hold_each(cache, &cache->top[row], &buffer[row], run - row);
	return run;
}

/* Nothing is loaded: one comes by an exchange, and it lay on top of the run that came with it. */
static int pop_more(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t nr)
{
	struct pinion_buffer top;
	int err = pinion_cache_alloc(cache, &top);
	uint32_t run;

	if (err)
		return err;
	run = pop_run(cache, buffer, nr - 1);
	buffer[run] = top;
	return (int)run + 1;
}

int pinion_buffer_alloc_bulk(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t nr)
{
	uint32_t done = pop_run(cache, buffer, nr);
	int got = 0;

	for (; done < nr; done += (uint32_t)got) {
		got = pop_more(cache, &buffer[done], nr - done);
		if (got < 0)
			break;
	}
	return done ? (int)done : got;
}

/* The handles of the next holds, @run of them; false if the generation of one wraps, which is for
 * pinion_cache_free(). Above the top nothing is valid: what is not pushed then does no harm. */
static bool raise(struct pinion_buffer *to, const struct pinion_buffer *from, uint32_t run)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < run; i++) {
		to[i].bits = from[i].bits + (UINT64_C(1) << PINION_ID_BITS);
		all |= to[i].bits;
	}
	return all >> 63 == 0;
}

/* Likewise for what is freed: also 0 if not all of the row is ours. */
ROW_CLONES static uint32_t release_row(const struct pinion_cache *cache,
				       const struct pinion_buffer *from, struct pinion_buffer *to,
				       uint32_t nr)
{
	const uint32_t row = nr - nr % ROW_STEP, at = pinion_buffer_id(*from) - cache->first;
	_Atomic uint64_t *owner = &cache->owner[pinion_buffer_id(*from)];
	const uint64_t word = pinion_owner_word(*from, cache->self);
	const uint64_t next = UINT64_C(1) << PINION_ID_BITS;

	/* The last generation, after which comes the first, is for pinion_cache_free(). */
	if (!row_seems(from, row) || at >= cache->nr || cache->nr - at < row ||
	    (from->bits | (from->bits + next)) >> 63 ||
	    !row_copy(to, from, row, next, owner, word))
		return 0;
	row_words_set(owner, row, word + cache->freed);
	return row;
}

/* Those that lie in the loaded segment and are ours: how many, up to the first that is not. */
static uint32_t release_each(const struct pinion_cache *cache, const struct pinion_buffer *from,
			     struct pinion_buffer *to, uint32_t nr)
{
	const uint32_t self = cache->self, first = cache->first, ids = cache->nr;
	_Atomic uint64_t *owner = cache->owner;
	const uint64_t freed = cache->freed;
	uint32_t i;

	if (!raise(to, from, nr))
		return 0;
#pragma GCC unroll 4
	for (i = 0; i < nr; i++) {
		uint32_t id = pinion_buffer_id(from[i]);
		uint64_t word = pinion_owner_word(from[i], self);

		/* One after the other: a buffer that is named twice is refused the second time. */
		if (__builtin_expect(id - first >= ids, 0) ||
		    __builtin_expect(atomic_load_explicit(&owner[id], memory_order_relaxed) != word,
				     0))
			break;
		atomic_store_explicit(&owner[id], word + freed, memory_order_relaxed);
	}
	return i;
}

/* Pushes what finds room. */
static uint32_t push_run(struct pinion_cache *cache, const struct pinion_buffer *buffer,
			 uint32_t nr)
{
	uint32_t run = smaller(nr, (size_t)(cache->end - cache->top)), done;

	if (!run)
		return 0;
	done = release_row(cache, buffer, cache->top, run);
	if (done < run)
		done += release_each(cache, &buffer[done], &cache->top[done], run - done);
	cache->top += done;
	return done;
}

int pinion_buffer_free_bulk(struct pinion_cache *cache, const struct pinion_buffer *buffer,
			    uint32_t nr)
{
	uint32_t done = 0;
	int err = 0;

	while (!err && done < nr) {
		done += push_run(cache, &buffer[done], nr - done);
		if (done < nr)
			err = pinion_buffer_free(cache, buffer[done]);
		if (done < nr && !err)
			done++;
	}
	return done ? (int)done : err;
}
