/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_ROW_H
#define POOL_ROW_H

/*
 * A row: buffers whose ids follow each other, all at one generation.
 *
 * That is how a pool is cut, and bursts that are freed in the order in which they were allocated
 * keep it so (a magazine is a stack of them, bursts are copied in and out as they lie). The owner
 * words of a row are neighbours and all alike, so that one vector instruction tests or writes
 * several. Any other burst goes word by word.
 *
 * The orders. These are relaxed accesses to each word, for which C has no vectors: what is needed
 * of the machine is that a vector access is one access to each aligned word in it, in any order
 * (Intel SDM 3A 9.1.1 with 9.2.3.10; AMD APM 2 7.3.2; Arm DDI 0487 B2.2.1). As everywhere, nobody
 * reads the words for us before something is released behind them (buffer.h).
 *
 * All counts are multiples of ROW_STEP.
 */

#include <stdbool.h>
#include <stddef.h>

#include <pinion/buffer.h>

#define ROW_STEP 4u

/* ThreadSanitizer would take a vector for an access that is not atomic. */
#if defined(__SANITIZE_THREAD__)
#define ROW_BY_WORDS 1
#elif defined(__has_feature)
#define ROW_BY_WORDS __has_feature(thread_sanitizer)
#else
#define ROW_BY_WORDS 0
#endif

/* Vectors of 32 bytes are chosen when the program is loaded, for processors that have them. That is
 * too early for what a sanitizer adds, and clang's come without this. */
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !ROW_BY_WORDS
#define ROW_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define ROW_CLONES
#endif

typedef uint64_t row_vector __attribute__((vector_size(32), aligned(8), may_alias));

static inline row_vector *row_at(_Atomic uint64_t *owner)
{
	return (row_vector *)(void *)owner;
}

static inline bool row_is_zero(const row_vector *vector)
{
	return !((*vector)[0] | (*vector)[1] | (*vector)[2] | (*vector)[3]);
}

/* Can it be a row? Seen from both ends, which costs little where it is none. An id that would count
 * on into the generation begins none. */
static inline bool row_seems(const struct pinion_buffer *handle, uint32_t nr)
{
	if (ROW_BY_WORDS)
		return false;
	return nr && handle[nr - 1].bits == handle[0].bits + (nr - 1) &&
	       pinion_buffer_id(*handle) <= PINION_ID_MAX - nr;
}

/* Is it a row? */
static inline bool row_is(const struct pinion_buffer *handle, uint32_t nr)
{
	row_vector want = handle[0].bits + (row_vector){0, 1, 2, 3}, odd = {0};

#pragma GCC unroll 4
	for (size_t i = 0; i < nr; i += ROW_STEP, want += ROW_STEP)
		odd |= *(const row_vector *)&handle[i] ^ want;
	return row_is_zero(&odd);
}

/* The row that begins with @first. */
static inline void row_make(struct pinion_buffer *handle, uint32_t nr, struct pinion_buffer first)
{
	row_vector next = first.bits + (row_vector){0, 1, 2, 3};

#pragma GCC unroll 4
	for (size_t i = 0; i < nr; i += ROW_STEP, next += ROW_STEP)
		*(row_vector *)&handle[i] = next;
}

/* Is @from a row, and if @owner is given: do all its words from there on say @word? Copies it, with
 * @raise added to each handle, whether or not. */
static inline bool row_copy(struct pinion_buffer *to, const struct pinion_buffer *from, uint32_t nr,
			    uint64_t raise, _Atomic uint64_t *owner, uint64_t word)
{
	row_vector want = from[0].bits + (row_vector){0, 1, 2, 3}, odd = {0};

#pragma GCC unroll 4
	for (size_t i = 0; i < nr; i += ROW_STEP, want += ROW_STEP) {
		row_vector handles = *(const row_vector *)&from[i];

		odd |= handles ^ want;
		*(row_vector *)&to[i] = handles + raise;
		if (owner)
			odd |= *row_at(&owner[i]) ^ word;
	}
	return row_is_zero(&odd);
}

/* Do all of the words from there on say @word? */
static inline bool row_words_are(_Atomic uint64_t *owner, uint32_t nr, uint64_t word)
{
	row_vector odd = {0};

#pragma GCC unroll 4
	for (size_t i = 0; i < nr; i += ROW_STEP)
		odd |= *row_at(&owner[i]) ^ word;
	return row_is_zero(&odd);
}

/* Does one of them? */
static inline bool row_words_any(_Atomic uint64_t *owner, uint32_t nr, uint64_t word)
{
	row_vector hit = {0};

#pragma GCC unroll 4
	for (size_t i = 0; i < nr; i += ROW_STEP)
		hit |= (row_vector)(*row_at(&owner[i]) == word);
	return !row_is_zero(&hit);
}

static inline void row_words_set(_Atomic uint64_t *owner, uint32_t nr, uint64_t word)
{
#pragma GCC unroll 4
	for (size_t i = 0; i < nr; i += ROW_STEP)
		*row_at(&owner[i]) = word - (row_vector){0};
}

#endif
