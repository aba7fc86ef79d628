/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdbool.h>
#include <string.h>

#include <pinion/cache.h>

/*
 * Many at once: the same words in the same order as one at a time (cache.h), so that what holds at
 * a death holds here; only the look-ups around them are shared by a run of buffers. Copies and
 * words go in passes of their own, which compilers turn into wide stores and short loops.
 */

static uint32_t smaller(uint32_t a, size_t b)
{
	return a < b ? a : (uint32_t)b;
}

/* Pops up to @nr off what is loaded. */
static uint32_t pop_run(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t nr)
{
	uint32_t run = smaller(nr, (size_t)(cache->top - cache->bottom));
	_Atomic uint64_t *owner = cache->owner;
	const uint32_t self = cache->self;

	if (!run) /* also: there may be no magazine */
		return 0;
	cache->top -= run;
	memcpy(buffer, cache->top, run * sizeof(*buffer));
#pragma GCC unroll 4
	for (uint32_t i = 0; i < run; i++)
		atomic_store_explicit(&owner[pinion_buffer_id(buffer[i])],
				      pinion_owner_word(buffer[i], self), memory_order_relaxed);
	return run;
}

int pinion_buffer_alloc_bulk(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t nr)
{
	uint32_t got = 0;
	int err = 0;

	while (!err && got < nr) {
		got += pop_run(cache, &buffer[got], nr - got);
		if (got < nr)
			err = pinion_cache_alloc(cache, &buffer[got]);
		if (got < nr && !err)
			got++;
	}
	return got ? (int)got : err;
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

/* Pushes those that lie in the loaded segment, are ours, and find room. */
static uint32_t push_run(struct pinion_cache *cache, const struct pinion_buffer *buffer,
			 uint32_t nr)
{
	uint32_t run = smaller(nr, (size_t)(cache->end - cache->top)), i;
	const uint32_t self = cache->self, first = cache->first, ids = cache->nr;
	_Atomic uint64_t *owner = cache->owner;
	const uint64_t freed = cache->freed;

	if (!run || !raise(cache->top, buffer, run))
		return 0;
#pragma GCC unroll 4
	for (i = 0; i < run; i++) {
		uint32_t id = pinion_buffer_id(buffer[i]);
		uint64_t word = pinion_owner_word(buffer[i], self);

		/* One after the other: a buffer that is named twice is refused the second time. */
		if (__builtin_expect(id - first >= ids, 0) ||
		    __builtin_expect(atomic_load_explicit(&owner[id], memory_order_relaxed) != word,
				     0))
			break;
		atomic_store_explicit(&owner[id], word + freed, memory_order_relaxed);
	}
	cache->top += i;
	return i;
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
