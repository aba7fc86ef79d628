/* SPDX-License-Identifier: BSD-3-Clause */
#include "content.h"

#include "fetch.h"
#include "row.h"

/*
 * Mostly a magazine is made of rows (row.h), so it is gone through by chunks: one that is a row
 * takes a few vectors, another goes id by id. A refill of 256 that was nothing but ids took 27
 * instructions for each, one of rows takes 10.
 */
#define CHUNK 8u

typedef uint32_t chunk_vector __attribute__((vector_size(4 * CHUNK), aligned(4), may_alias));
typedef uint32_t step_vector __attribute__((vector_size(4 * ROW_STEP), aligned(4), may_alias));

static inline uint32_t id_at(const _Atomic uint32_t *content)
{
	return atomic_load_explicit(content, memory_order_relaxed);
}

/* Somebody else wrote these words, so their lines are asked for first, to be written: alloc does.
 * Of a row those of both ends, which may be two. */
static void fetch_words(const _Atomic uint32_t *content, const _Atomic uint64_t *owner)
{
	const uint32_t first = id_at(content), last = id_at(&content[CHUNK - 1]);

	fetch_to_write(&owner[first]);
	fetch_to_write(&owner[last]);
	if (last - first == CHUNK - 1)
		return;
	for (uint32_t i = 1; i < CHUNK - 1; i++)
		fetch_to_write(&owner[id_at(&content[i])]);
}

static void read_each(const _Atomic uint32_t *content, uint32_t nr, const _Atomic uint64_t *owner,
		      const struct depot_range *range, struct pinion_magazine *magazine)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t id = id_at(&content[i]);
		uint64_t word;

		if (id - range->base >= range->nr_ids)
			continue;
		word = atomic_load_explicit(&owner[id], memory_order_relaxed);
		if (pinion_owner_holder(word) == magazine->holder)
			magazine->buffer[magazine->nr++] = pinion_owner_buffer(word, id);
	}
}

/* The first id of a chunk that is a row of @range; false if it is none. */
static inline bool row_begins(const _Atomic uint32_t *content, const struct depot_range *range,
			      uint32_t *first)
{
	const chunk_vector ids = *(const chunk_vector *)(const void *)content;
	const uint32_t id = id_at(content), at = id - range->base;
	const row_vector odd = (row_vector)(ids ^ (id + (chunk_vector){0, 1, 2, 3, 4, 5, 6, 7}));

	*first = id;
	return row_is_zero(&odd) && at < range->nr_ids && range->nr_ids - at >= CHUNK;
}

/* All of a chunk, if that is one row at one generation. */
static inline bool read_row(const _Atomic uint32_t *content, _Atomic uint64_t *owner,
			    const struct depot_range *range, struct pinion_magazine *magazine)
{
	uint64_t word;
	uint32_t id;

	if (ROW_BY_WORDS || !row_begins(content, range, &id))
		return false;
	word = atomic_load_explicit(&owner[id], memory_order_relaxed);
	if (pinion_owner_holder(word) != magazine->holder ||
	    !row_words_are(&owner[id], CHUNK, word))
		return false;
	row_make(&magazine->buffer[magazine->nr], CHUNK, pinion_owner_buffer(word, id));
	magazine->nr += CHUNK;
	return true;
}

ROW_CLONES void content_read(const _Atomic uint32_t *content, uint32_t nr, _Atomic uint64_t *owner,
			     const struct depot_range *range, struct pinion_magazine *magazine)
{
	const uint32_t whole = nr - nr % CHUNK;

	for (uint32_t i = 0; i < whole; i += CHUNK)
		fetch_words(&content[i], owner);
	magazine->nr = 0;
	for (uint32_t i = 0; i < whole; i += CHUNK)
		if (!read_row(&content[i], owner, range, magazine))
			read_each(&content[i], CHUNK, owner, range, magazine);
	read_each(&content[whole], nr - whole, owner, range, magazine);
}

/* By vectors whatever they are: no order is asked of these stores but that they come before the
 * magazine's word. */
ROW_CLONES void content_write(_Atomic uint32_t *content, const struct pinion_magazine *magazine)
{
	const uint32_t whole = ROW_BY_WORDS ? 0 : magazine->nr - magazine->nr % ROW_STEP;

	for (uint32_t i = 0; i < whole; i += ROW_STEP)
		*(step_vector *)(void *)&content[i] = __builtin_convertvector(
			*(const row_vector *)&magazine->buffer[i] & PINION_ID_MAX, step_vector);
	for (uint32_t i = whole; i < magazine->nr; i++)
		atomic_store_explicit(&content[i], pinion_buffer_id(magazine->buffer[i]),
				      memory_order_relaxed);
}
