/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The ring (ipc/ring.h, ipc/desc16.h): one sender, one receiver, two slots, five descriptors.
 *
 *     sender                                    receiver
 *     ------                                    --------
 *     room?   credit (A3)                       copy    head and body of slots (A2), in any order,
 *     fill    the payloads, plain                       until one has the wrong lap
 *     check   was the slot's last buffer        take    read the payload; word := taken
 *             taken? word, relaxed              give    credit (R3), now or later, at the latest
 *     publish all but the first of a batch,             when the ring is found empty
 *             relaxed, then body and head       before the credit: of what was copied at once, a
 *             (R2) of the first                 body is written back as it was
 *
 * Five descriptors go through two slots, so that a slot has the laps 1, 0 and 1 again. A head or
 * body is {lap, position + 1}: the position is what handle, length and tag stand for. Buffer and
 * slot go together here: the buffer of position p is filled again for p + 2, when the credit says
 * that p was done with (reserve, put, commit; peek, release). The payload stands for the owner word
 * as the sender left it, too: both are written before R2 and read after A2.
 *
 * Either may be killed at any step; the other goes on to where nothing comes any more.
 *
 * The 16-byte load of desc16_load() is two 8-byte loads in either order, which is all that is
 * promised of it. memory.pml has the memory.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R2                 payload_is_seen
 *     -DWITHOUT_A2                 payload_is_seen
 *     -DFIRST_SLOT_FIRST           a_batch_is_seen_whole_or_not_at_all
 *     -DLAP_IN_THE_HEAD_ALONE      no_descriptor_is_torn
 *     -DWITHOUT_R3                 credit_says_that_the_word_has_changed
 *     -DWITHOUT_R3                 no_slot_is_written_before_it_was_copied
 *     -DWITHOUT_A3                 credit_says_that_the_word_has_changed
 *     -DWITHOUT_A3                 no_slot_is_written_before_it_was_copied
 *     -DCREDIT_BEFORE_THE_WORDS    credit_says_that_the_word_has_changed
 *     -DWRITE_BACK_AFTER_CREDIT    nobody_waits_for_ever
 *     -DHELD_BACK_FOR_EVER         nobody_waits_for_ever
 *     -DTHE_DEAD_ARE_WAITED_FOR    nobody_waits_for_ever
 */

#define N 5
#define S 2

#define HEAD(p) ((p) % S)
#define BODY(p) (2 + (p) % S)
#define PAYLOAD(p) (4 + (p) % S)
#define WORD(p) (6 + (p) % S)
#define CREDIT 8
#define COPIED 9 /* a ghost: positions that the receiver has copied, their payloads read */

#define LOCS 10
#ifdef CREDIT_BEFORE_THE_WORDS
#define DEPTH (2 * N + 1)
#else
#define DEPTH (N + 1)
#endif
#define THREADS 2
#define SENDER 0
#define RECEIVER 1

#include "claim.pml"
#include "memory.pml"

#define LAP(p) (1 - ((p) / S) % 2)
#define PUBLISHED(half, p) ((half) / 128 == LAP(p))
#define SLOT_VALUE(p) (LAP(p) * 128 + (p) + 1)

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
#ifdef WITHOUT_R3
#define R3 RELAXED
#else
#define R3 RELEASE
#endif
#ifdef WITHOUT_A3
#define A3 RELAXED
#else
#define A3 ACQUIRE
#endif

bool killed[THREADS];

#ifdef THE_DEAD_ARE_WAITED_FOR
#define DEAD(who) false
#else
#define DEAD(who) killed[who]
#endif

/* One of them, or none. */
active proctype killer()
{
	if
	:: killed[SENDER] = true
	:: killed[RECEIVER] = true
	:: skip
	fi
}

bit inside[N + 1]; /* ghost: this position is in a batch, and not its first */

/* The first slot of a batch: its head alone is released, and carries all that was written before. */
inline open_gate(p)
{
	store(SENDER, BODY(p), SLOT_VALUE(p), RELAXED);
	store(SENDER, HEAD(p), SLOT_VALUE(p), R2)
}

/* Those behind it. */
inline put(p)
{
	store(SENDER, BODY(p), SLOT_VALUE(p), RELAXED);
	store(SENDER, HEAD(p), SLOT_VALUE(p), RELAXED)
}

/* nr := how many of the nr that are wanted have room; waits for the first. */
inline reserve()
{
	do
	:: S - (at - credit) >= nr -> break
	:: DEAD(RECEIVER) -> goto over
	:: else ->
		load(SENDER, CREDIT, credit, A3);
		if
		:: at - credit == S -> newest(CREDIT) > credit || DEAD(RECEIVER)
		:: at - credit < S && S - (at - credit) < nr -> nr = S - (at - credit)
		:: else
		fi
	od
}

/* pre: reserved. What position p - S had in this slot must be over. */
inline fill(p)
{
	if
	:: p >= S ->
		load(SENDER, WORD(p), word, RELAXED);
		claim(credit_says_that_the_word_has_changed, word == p - S + 1);
		word = 0;
		claim(no_slot_is_written_before_it_was_copied, knows(SENDER, COPIED) > p - S)
	:: else
	fi;
	store(SENDER, PAYLOAD(p), p + 1, RELAXED)
}

inline send_all()
{
	do
	:: at < N ->
		if
		:: nr = 1
		:: at + 2 <= N -> nr = 2
		fi;
		reserve();
		fill(at);
		if
		:: nr == 2 ->
			fill(at + 1);
			inside[at + 1] = 1;
#ifdef FIRST_SLOT_FIRST
			open_gate(at);
			put(at + 1)
#else
			put(at + 1);
			open_gate(at)
#endif
		:: else -> open_gate(at)
		fi;
		at = at + nr
	:: else -> break
	od;
over:
	skip
}

active proctype sender()
{
	byte at, credit, nr, word;

	{ send_all() } unless { killed[SENDER] }
}

inline load_slot(p)
{
	if
	:: load(RECEIVER, HEAD(p), head, A2); load(RECEIVER, BODY(p), body, A2)
	:: load(RECEIVER, BODY(p), body, A2); load(RECEIVER, HEAD(p), head, A2)
	fi
}

#ifdef LAP_IN_THE_HEAD_ALONE
#define THERE(p) (PUBLISHED(head, p))
#else
#define THERE(p) (PUBLISHED(head, p) && PUBLISHED(body, p))
#endif

inline give()
{
	store(RECEIVER, CREDIT, at, R3);
	given = at
}

/* The last of the line that was copied at once: here a line is two slots. */
inline write_back(p)
{
	store(RECEIVER, BODY(p), SLOT_VALUE(p), RELAXED)
}

/* The payload is read before the slot is given back, as a receiver does that peeks. */
inline take()
{
	d_step {
		claim(payload_is_seen,
		      race_free(RECEIVER, PAYLOAD(at)) && newest(PAYLOAD(at)) == at + 1);
		mark(RECEIVER, COPIED, at + 1)
	}
	store(RECEIVER, WORD(at), at + 1, RELAXED);
	at++;
	if
#ifndef HELD_BACK_FOR_EVER
	:: give()
#endif
	:: skip
	fi
}

/* An empty ring: what was held back goes, and something must come. */
inline idle()
{
#ifndef HELD_BACK_FOR_EVER
	if
	:: given != at -> give()
	:: else
	fi;
#endif
	if
	:: PUBLISHED(newest(HEAD(at)), at) && PUBLISHED(newest(BODY(at)), at)
	:: DEAD(SENDER) -> goto over
	fi
}

inline receive_all()
{
	do
	:: at < N ->
		if
		:: most = 1
		:: at + 2 <= N -> most = 2
		fi;
		do
		:: got < most ->
			load_slot(at + got);
			if
			:: THERE(at + got) ->
				d_step {
					claim(no_descriptor_is_torn, head == body);
					claim(none_is_lost_or_seen_twice_or_out_of_order,
					      head % 128 == at + got + 1);
					got++;
					head = 0;
					body = 0
				}
			:: else ->
				d_step {
					claim(a_batch_is_seen_whole_or_not_at_all,
					      !inside[at + got]);
					head = 0;
					body = 0
				}
				break
			fi
		:: else -> break
		od;
		most = 0;
		if
		:: got == 0 -> idle()
		:: else
#ifdef CREDIT_BEFORE_THE_WORDS
			-> store(RECEIVER, CREDIT, at + got, R3)
#endif
		fi;
		whole = got == 2;
#ifndef WRITE_BACK_AFTER_CREDIT
		if
		:: whole -> write_back(at + 1)
		:: else
		fi;
#endif
		do
		:: got > 0 -> take(); got--
		:: else -> break
		od;
#ifdef WRITE_BACK_AFTER_CREDIT
		if
		:: whole -> write_back(at - 1)
		:: else
		fi;
#endif
		whole = false
	:: else -> break
	od;
over:
	skip
}

active proctype receiver()
{
	byte at, given, got, most, head, body;
	bool whole;

	{ receive_all() } unless { killed[RECEIVER] }
}
