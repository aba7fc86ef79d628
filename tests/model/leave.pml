/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A member that comes and leaves while keepers change (pool/layout.h, member.c, resume.c and the service's former.c). It
 * was admitted by a keeper that was killed before it could say more; the next one knows it by its slot alone.
 *
 *     member                                     the next keeper
 *     ------                                     ---------------
 *     map the pool                               is the member's number in no ledger?
 *     joined INVITED? CAS it to JOINED (R9)         joined INVITED? CAS it to TOO_LATE (A9)
 *        it was not: go                             JOINED already: the dead wait for it
 *     take the buffer: word := held              until it said goodbye (A8), or the kernel says dead:
 *     give it to another: word := theirs            wait
 *     goodbye := its secret (R8)                 is the word the member's? word := free   recovery
 *
 * The buffer goes on to another member: that is the store of the word "theirs", for which the member itself stands
 * (the receiver's is ordered before the member's goodbye by the credit, ring.pml). The member may be killed at any step.
 * memory.pml has the memory.
 *
 * R9 and A9 carry nothing that this keeper reads: which of the two came first, the CAS alone decides.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R8                    none_is_held_twice
 *     -DWITHOUT_A8                    none_is_held_twice
 *     -DWITHOUT_R9                    nothing
 *     -DWITHOUT_A9                    nothing
 *     -DGOODBYE_BEFORE_THE_REST       none_is_held_twice
 *     -DA_STORE_FOR_TOO_LATE          the_dead_wait_for_who_is_in
 *     -DIN_BEFORE_IT_ASKED            the_dead_wait_for_who_is_in
 *     -DTHE_NEXT_CLEARS_IT            nobody_waits_for_ever
 *     -DTHE_DEAD_ARE_WAITED_FOR       nobody_waits_for_ever
 */

#define GOODBYE 0
#define JOINED_WORD 1
#define WORD 2

#define LOCS 3
#define DEPTH 6
#define THREADS 2
#define MEMBER 0
#define KEEPER 1

/* GOODBYE */
#define NONE 0
#define SAID 1
/* JOINED_WORD */
#define INVITED 0
#define JOINED 1
#define TOO_LATE 2
/* WORD */
#define FREE 0
#define HELD 1
#define THEIRS 2

#include "claim.pml"
#include "memory.pml"

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
#ifdef WITHOUT_R9
#define R9 RELAXED
#else
#define R9 RELEASE
#endif
#ifdef WITHOUT_A9
#define A9 RELAXED
#else
#define A9 ACQUIRE
#endif

bool killed;
bool gone;    /* a member that was refused ends, and the kernel says so */
bool in;      /* ghost: the member is in, and may send and receive */
bool refused; /* ghost: this keeper does not wait for it */

/* --- member */

inline join()
{
#ifdef IN_BEFORE_IT_ASKED
	in = true;
#endif
	cas(MEMBER, JOINED_WORD, INVITED, JOINED, R9, done);
	if
	:: done -> d_step { in = true; claim(the_dead_wait_for_who_is_in, !refused) }
	:: else
	fi
}

inline leave()
{
	store(MEMBER, GOODBYE, SAID, R8)
}

inline come_and_go()
{
	join();
	if
	:: in ->
		store(MEMBER, WORD, HELD, RELAXED);
#ifdef GOODBYE_BEFORE_THE_REST
		leave();
		store(MEMBER, WORD, THEIRS, RELAXED)
#else
		store(MEMBER, WORD, THEIRS, RELAXED);
		leave()
#endif
	:: else -> gone = true
	fi
}

proctype member()
{
	bool done;

	{ come_and_go() } unless { killed }
}

/* --- keeper */

inline uninvite()
{
#ifdef A_STORE_FOR_TOO_LATE
	load(KEEPER, JOINED_WORD, it, A9);
	if
	:: it == INVITED -> store(KEEPER, JOINED_WORD, TOO_LATE, RELAXED); refused = true
	:: else
	fi
#else
	cas(KEEPER, JOINED_WORD, INVITED, TOO_LATE, A9, done);
	if
	:: done -> refused = true
	:: else -> load(KEEPER, JOINED_WORD, it, A9)
	fi
#endif
}

inline await_end()
{
	do
	:: load(KEEPER, GOODBYE, it, A8);
		if
		:: it == SAID -> break
		:: else
		fi;
		if
		:: newest(GOODBYE) == SAID
#ifndef THE_DEAD_ARE_WAITED_FOR
		:: killed || gone -> heed(KEEPER, MEMBER); break
#endif
		fi
	od
}

inline recover()
{
	load(KEEPER, WORD, it, RELAXED);
	if
	:: it == HELD ->
		claim(none_is_held_twice, newest(WORD) == HELD);
		store(KEEPER, WORD, FREE, RELEASE)
	:: else
	fi
}

proctype keeper()
{
	byte it;
	bool done;

#ifdef THE_NEXT_CLEARS_IT
	store(KEEPER, GOODBYE, NONE, RELAXED);
#endif
	uninvite();
	it = 0;
	claim(the_dead_wait_for_who_is_in, !(refused && in));
	await_end();
	recover()
}

proctype killer()
{
	if
	:: killed = true
	:: skip
	fi
}

init {
	atomic {
		value[MESSAGE(GOODBYE, 0)] = NONE;
		value[MESSAGE(JOINED_WORD, 0)] = INVITED;
		value[MESSAGE(WORD, 0)] = FREE;
		run member();
		run keeper();
		run killer()
	}
}
