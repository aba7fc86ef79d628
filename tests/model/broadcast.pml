/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The broadcast (include/pinion/broadcast.h): one producer lends each buffer to two consumers, and
 * has it back when both have returned it, or died.
 *
 *     producer                                  each consumer
 *     --------                                  -------------
 *     slot free?  returned of each (A8), or     copy    slot (A2)
 *                 its pidfd says it is dead     read    the payload
 *     fill        the payload, plain            return  returned (R8)
 *     publish     slot (R2)
 *
 * Three loans go through two slots. A slot is one location here, {position + 1}: that its halves
 * cannot be torn, and that a batch comes at once, ring.pml shows. Buffer and slot go together. A
 * consumer may die between any two steps, and takes none after that. memory.pml has the memory.
 *
 * Not here: a consumer that is severed while it lives (R9, A9, a sequence lock), a producer that
 * dies (its loans are what is in transit in handoff.pml), consumers that come later.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R2               payload_is_seen
 *     -DWITHOUT_A2               payload_is_seen
 *     -DWITHOUT_R8               no_loan_is_written_over
 *     -DWITHOUT_A8               no_loan_is_written_over
 *     -DRETURNED_BEFORE_READ     no_loan_is_written_over
 *     -DONE_CONSUMER_COUNTS      no_loan_is_written_over
 *     -DTHE_DEAD_ARE_WAITED_FOR  nobody_waits_for_ever
 */

#define N 3
#define S 2
#define CONSUMERS 2

#define SLOT(p) ((p) % S)
#define PAYLOAD(p) (2 + (p) % S)
#define RETURNED(c) (4 + (c))
#define READ(c) (6 + (c)) /* a ghost: positions whose payload that consumer has read */

#define LOCS 8
#define DEPTH (N + 1)
#define THREADS (1 + CONSUMERS)
#define PRODUCER 0
#define CONSUMER(c) (1 + (c))

#include "claim.pml"
#include "memory.pml"

#ifdef WITHOUT_R2
#define R2 RELAXED
#else
#define R2 RELEASE
#endif
#ifdef WITHOUT_A2
#define A2 RELAXED
#else
#define A2 ACQUIRE
#endif
#ifdef WITHOUT_R8
#define R8 RELAXED
#else
#define R8 RELEASE
#endif
#ifdef WITHOUT_A8
#define A8 RELAXED
#else
#define A8 ACQUIRE
#endif

#ifdef ONE_CONSUMER_COUNTS
#define COUNTED 1
#else
#define COUNTED CONSUMERS
#endif

#ifdef THE_DEAD_ARE_WAITED_FOR
#define SEVERED(c) false
#else
#define SEVERED(c) dead[c]
#endif

bool dead[CONSUMERS]; /* what a pidfd says */

/* Position p is back from consumer c, or c is dead. */
inline collect(p, c)
{
	do
	:: SEVERED(c) -> break
	:: else ->
		load(PRODUCER, RETURNED(c), returned, A8);
		if
		:: returned > p -> break
		:: else -> newest(RETURNED(c)) > p || SEVERED(c)
		fi
	od;
	returned = 0
}

inline collect_all(p)
{
	c = 0;
	do
	:: c < COUNTED -> collect(p, c); c++
	:: else -> break
	od;
	c = 0
}

#define done_with(p, c) (dead[c] || knows(PRODUCER, READ(c)) > (p))

active proctype producer()
{
	byte at, c, returned;

	do
	:: at < N ->
		if
		:: at >= S ->
			collect_all(at - S);
			claim(no_loan_is_written_over,
			      done_with(at - S, 0) && done_with(at - S, 1))
		:: else
		fi;
		store(PRODUCER, PAYLOAD(at), at + 1, RELAXED);
		store(PRODUCER, SLOT(at), at + 1, R2);
		at++
	:: else -> break
	od;
	/* The last loans come back, too. */
	collect_all(N - 1)
}

inline read_payload(c)
{
	d_step {
		claim(payload_is_seen,
		      race_free(CONSUMER(c), PAYLOAD(at)) && newest(PAYLOAD(at)) == at + 1);
		mark(CONSUMER(c), READ(c), at + 1)
	}
}

inline take(c)
{
#ifdef RETURNED_BEFORE_READ
	store(CONSUMER(c), RETURNED(c), at + 1, R8);
	read_payload(c);
#else
	read_payload(c);
	store(CONSUMER(c), RETURNED(c), at + 1, R8);
#endif
	at++
}

active [CONSUMERS] proctype consumer()
{
	byte at, slot, c = _pid - 1;

	do
	:: at == N -> break
	:: at < N -> dead[c] = true; break
	:: at < N ->
		load(CONSUMER(c), SLOT(at), slot, A2);
		if
		:: slot == at + 1 ->
			slot = 0;
			take(c)
		:: else ->
			slot = 0;
			newest(SLOT(at)) == at + 1
		fi
	od
}
