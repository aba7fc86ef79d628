/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_DESC16_H
#define IPC_DESC16_H

/*
 * A descriptor out of a slot, or into one, in one piece: both halves at once, a third of the work
 * of two.
 *
 * Only the head of a batch's first slot is released (R2, ring.h), so what carries is the load of
 * that head. Halves may be loaded in either order: one of the round before has the wrong lap.
 * x86-64 acquires with every load and moves at least 8 bytes at once, which is all that is asked of
 * it here; assembly keeps the compiler from reading a slot twice. Elsewhere, and for
 * ThreadSanitizer, which does not see assembly, each half moves by itself.
 *
 *     A2  slot load-acquire, by the receiver    pairs with R2, see ring.h
 */

#include <pinion/ring.h>

#if defined(__SANITIZE_THREAD__) || !defined(__SSE2__)
#define DESC16_BY_HALVES 1
#elif defined(__has_feature)
#define DESC16_BY_HALVES __has_feature(thread_sanitizer)
#else
#define DESC16_BY_HALVES 0
#endif

#if DESC16_BY_HALVES

/* False: not published in this lap; @desc is nothing then. */
static inline bool desc16_load(const struct pinion_slot *slot, struct pinion_lap lap,
			       struct pinion_desc *desc)
{
	uint64_t head = atomic_load_explicit(&slot->head, memory_order_acquire) ^ lap.head; /* A2 */
	uint64_t body = atomic_load_explicit(&slot->body, memory_order_acquire) ^ lap.body; /* A2 */

	desc->buffer.bits = head;
	desc->len = (uint32_t)body;
	desc->tag = (uint32_t)(body >> 32);
	return !(head & PINION_SLOT_HEAD_LAP) && !(body & PINION_SLOT_BODY_LAP);
}

/* Four, of a line: all or nothing. */
static inline bool desc16_load_line(const struct pinion_slot *slot, struct pinion_lap lap,
				    struct pinion_desc *desc)
{
	for (int i = 0; i < 4; i++)
		if (!desc16_load(&slot[i], lap, &desc[i]))
			return false;
	return true;
}

static inline void desc16_store(struct pinion_slot *slot, struct pinion_lap lap,
				const struct pinion_desc *desc)
{
	pinion_slot_store(slot, desc, lap);
}

#else

#include <emmintrin.h>

/* Signs of the four 32-bit pieces: the head's lap is that of piece 1, the body's of 2. */
static inline bool desc16_published(__m128i v)
{
	return !(_mm_movemask_ps(_mm_castsi128_ps(v)) & 6);
}

static inline __m128i desc16_laps(struct pinion_lap lap)
{
	return _mm_set_epi64x((long long)lap.body, (long long)lap.head);
}

static inline bool desc16_load(const struct pinion_slot *slot, struct pinion_lap lap,
			       struct pinion_desc *desc)
{
	__m128i v;

	__asm__ volatile("movdqa %1, %0" : "=x"(v) : "m"(*slot) : "memory"); /* A2 */
	v = _mm_xor_si128(v, desc16_laps(lap));
	_mm_storeu_si128((__m128i *)(void *)desc, v);
	return desc16_published(v);
}

static inline bool desc16_load_line(const struct pinion_slot *slot, struct pinion_lap lap,
				    struct pinion_desc *desc)
{
	const __m128i laps = desc16_laps(lap);
	__m128i *to = (__m128i *)(void *)desc, v[4];

	/* A2, in order */
	__asm__ volatile("movdqa %4, %0\n\tmovdqa %5, %1\n\tmovdqa %6, %2\n\tmovdqa %7, %3"
			 : "=&x"(v[0]), "=&x"(v[1]), "=&x"(v[2]), "=&x"(v[3])
			 : "m"(slot[0]), "m"(slot[1]), "m"(slot[2]), "m"(slot[3])
			 : "memory");
	for (int i = 0; i < 4; i++) {
		v[i] = _mm_xor_si128(v[i], laps);
		_mm_storeu_si128(&to[i], v[i]);
	}
	return desc16_published(_mm_or_si128(_mm_or_si128(v[0], v[1]), _mm_or_si128(v[2], v[3])));
}

/* Relaxed, as pinion_slot_store(), which is faster where @desc was written a moment ago. */
static inline void desc16_store(struct pinion_slot *slot, struct pinion_lap lap,
				const struct pinion_desc *desc)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)desc);

	_mm_store_si128((__m128i *)(void *)slot, _mm_xor_si128(v, desc16_laps(lap)));
}

#endif

#endif
