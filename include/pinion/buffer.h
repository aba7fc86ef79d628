/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_BUFFER_H
#define PINION_BUFFER_H

/*
 * A buffer, and the one word that says whose it is.
 *
 * A buffer is a piece of a pool's hugepages, a power of two long and aligned to that: part of one
 * page, or a run of whole pages. Processes name it by a handle, struct pinion_buffer: the buffer's
 * id (the same number in every process, whatever the addresses) and the generation of the present
 * hold on it. A handle kept after the buffer was given away is recognised as stale, because each
 * change of hands raises the generation.
 *
 * Each buffer has one 64-bit owner word in the pool's control area, and that word is the truth:
 *
 *     {generation, HELD member}    one member holds it
 *     {generation, MAG magazine}   it lies free inside that magazine
 *
 * Magazines, depots and the caches of threads are only copies: they may be stale or lost, the
 * words decide. Who writes a word, and when:
 *
 *     step       stores, in this order
 *     refill     CAS magazine word DEPOT/EMPTY -> me (acquire, A1), then read its contents
 *     alloc      pop; word := HELD(me, g), relaxed
 *     send       private mark "out to that ring"; slot store-release (R2); word untouched
 *     receive    slot load-acquire (A2), copied; word == HELD(sender, g)?
 *                word := HELD(me, g+1); only later the credit, store-release (R3)
 *     re-use     of a slot by the sender: credit load-acquire (A3) first
 *     free       word := MAG(mine, g+1), relaxed; push
 *     deposit    CAS magazine word me -> DEPOT (release, R1); me -> EMPTY when no word names it
 *     consumer died   for own slots marked out to it whose word says HELD(me, g):
 *                word := HELD(me, g+1)
 *
 * A word is written by its holder until publication, then only by that ring's consumer; for the
 * dead, by recovery alone. That is why relaxed stores suffice for words: whoever reads one next
 * has acquired something (R1-A1, R2-A2, R3-A3) released after it.
 *
 * The bits. A handle has 28 bits of id and 35 of generation, and one bit is left over for the
 * lap of a ring's slot, which makes handle and slot the same word. 28 bits of id are 1 TiB of
 * 4 KiB buffers. A generation wraps after 34 G changes of hands of one buffer, an hour at ten
 * million a second; a handle would have to be kept unused for exactly that long to be taken for
 * a present one. An owner word has the generation at the same place and the holder where the
 * handle has its id, so that one becomes the other by one addition and one subtraction.
 *
 * Threads and processes: the calls here only compute, from what they are given, so that any thread
 * may make them. A handle is for one thread at a time where it is freed or sent (cache.h).
 *
 * Death: the words stay as the dead member left them. Once what that held was recovered,
 * the buffer's generation has moved on, and every handle of it is stale.
 */

#include <stdint.h>

#define PINION_ID_BITS 28
#define PINION_GENERATION_BITS 35
#define PINION_ID_MAX ((1u << PINION_ID_BITS) - 1)

/* A handle: generation << 28 | id; bit 63 is always clear. All zeroes names no buffer. */
struct pinion_buffer {
	uint64_t bits;
};

_Static_assert(sizeof(struct pinion_buffer) == 8, "a handle is one word of a ring slot");

/* Holder of a word: its low 24 bits, the kind above a 23-bit index. 0 is no holder. Bits 24 to 27
 * of a word are clear. */
#define PINION_HOLDER_BITS 24
#define PINION_HOLDER_MASK ((UINT64_C(1) << PINION_HOLDER_BITS) - 1)
#define PINION_HOLDER_INDEX_MASK ((1u << 23) - 1)
#define PINION_HOLDER_MAGAZINE (1u << 23)

#define PINION_GENERATION_MASK ((UINT64_C(1) << PINION_GENERATION_BITS) - 1)

/* The number of a buffer, 0 to PINION_ID_MAX: the same in every process, whoever holds it. */
static inline uint32_t pinion_buffer_id(struct pinion_buffer buffer)
{
	return (uint32_t)buffer.bits & PINION_ID_MAX;
}

/* The generation of the hold that a handle is good for: one more with each change of hands. */
static inline uint64_t pinion_buffer_generation(struct pinion_buffer buffer)
{
	return (buffer.bits >> PINION_ID_BITS) & PINION_GENERATION_MASK;
}

/* The handle of these two; what of either does not fit is cut off. It gives no right to a buffer:
 * whether it is a present one, the owner word says. */
static inline struct pinion_buffer pinion_buffer_make(uint32_t id, uint64_t generation)
{
	struct pinion_buffer buffer = {
		(generation & PINION_GENERATION_MASK) << PINION_ID_BITS | (id & PINION_ID_MAX)};

	return buffer;
}

/* The handle of the next hold. A carry out of the 35 bits would reach the lap's: after the last
 * generation comes 1, not 0, so that a handle of zeroes names no buffer, id 0 included. */
static inline struct pinion_buffer pinion_buffer_next(struct pinion_buffer buffer)
{
	struct pinion_buffer next = {buffer.bits + (UINT64_C(1) << PINION_ID_BITS)};

	if (__builtin_expect(next.bits >> 63 != 0, 0))
		next = pinion_buffer_make(pinion_buffer_id(buffer), 1);
	return next;
}

/* The word that says: @holder (HELD member, or MAG magazine) has @buffer at its generation.
 * pre: bit 63 of the handle is clear, as in every handle of ours. */
static inline uint64_t pinion_owner_word(struct pinion_buffer buffer, uint32_t holder)
{
	return buffer.bits - pinion_buffer_id(buffer) + holder;
}

/* Holders. Members start at 1, so that a word of zeroes (an id that never was) has none. */
static inline uint32_t pinion_owner_held(uint32_t member)
{
	return member + 1;
}

/* Magazines are numbered from 0; their kind tells them from members. */
static inline uint32_t pinion_owner_magazine(uint32_t magazine)
{
	return PINION_HOLDER_MAGAZINE | magazine;
}

/* Who has the buffer whose owner word that is: one of the two above; 0: there is no such buffer. */
static inline uint32_t pinion_owner_holder(uint64_t word)
{
	return (uint32_t)(word & PINION_HOLDER_MASK);
}

/* The handle under which the holder named in @word knows buffer @id. */
static inline struct pinion_buffer pinion_owner_buffer(uint64_t word, uint32_t id)
{
	return pinion_buffer_make(id, word >> PINION_ID_BITS);
}

#endif
