/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Two members that ask and answer each other over one channel (include/pinion/request.h, ipc/request.c): the rings are
 * full now and then, and nobody ever waits for room.
 *
 *     either member                                                                         the other
 *     -------------                                                                         ---------
 *     fewer than depth outstanding? room?        request_send()   -- request -->            the same
 *     copy one or two, take them; as much as a step held back? credit   request_recv()
 *        a request: fewer than peer_depth unanswered?
 *        an answer: anything outstanding?
 *     room?                                      request_answer() -- answer -->
 *     empty: credit for the rest                 why_empty()
 *     wait for what comes, never for credit      channel_wait()
 *
 * Credit wakes nobody, and an answer without room is taken for the peer's lie. Both are right because of one sum, which
 * open() checks: depth + peer_depth + STEP <= S. The depths are any two that fit. A member asks as long as it likes,
 * and answers when it likes; when both have had enough, and all is answered, they end. Each may be killed at any step;
 * the other hears of it from the kernel.
 *
 * Memory is sequentially consistent: what slots and credit carry is in ring.pml, and nothing else is shared. What a
 * member finds in its ring it may find late, but a sleeper is woken (bell.pml).
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_DEPTHS                       an_answer_has_room
 *     -DWITHOUT_DEPTHS                       nobody_waits_for_ever
 *     -DEACH_DEPTH_BY_ITSELF                 an_answer_has_room
 *     -DTHE_SUM_WITHOUT_WHAT_IS_HELD_BACK    an_answer_has_room
 *     -DTHE_SUM_WITHOUT_WHAT_IS_HELD_BACK    who_may_ask_has_room
 *     -DTHE_SUM_WITHOUT_WHAT_IS_HELD_BACK    nobody_waits_for_ever
 *     -DUNHEARD_IS_WHAT_COUNTS               nobody_is_called_a_liar
 *     -DUNHEARD_IS_WHAT_COUNTS               an_answer_has_room
 *     -DHEARD_BEFORE_THE_CREDIT              an_answer_has_room
 *     -DHEARD_BEFORE_THE_CREDIT              nobody_waits_for_ever
 *     -DITS_OWN_ANSWER_FIRST                 nobody_waits_for_ever
 *     -DTHE_DEAD_ARE_WAITED_FOR              nobody_waits_for_ever
 */

#define S 4    /* slots of either ring */
#define STEP 2 /* so many at a time are given back: less than that is held back */
#define BATCH 2
#define BUFFERS 5 /* that a member has to ask with */

#define REQUEST 0
#define ANSWER 1

#define OTHER(me) (1 - (me))

#include "claim.pml"

#ifdef EACH_DEPTH_BY_ITSELF
#define MOST_OF_OTHER(depth) (S - STEP)
#else
#ifdef THE_SUM_WITHOUT_WHAT_IS_HELD_BACK
#define MOST_OF_OTHER(depth) (S - (depth))
#else
#define MOST_OF_OTHER(depth) (S - STEP - (depth))
#endif
#endif

chan ring[2] = [S] of { bit }; /* by sender: published, not yet taken */
byte used[2];                  /* by sender: published, and no credit as yet */
byte limit[2];
byte outstanding[2]; /* own requests without an answer */
byte unanswered[2];  /* the other's, in hand */
byte held_back[2];   /* by receiver: taken, and no credit given */
bool enough[2];      /* asks no more */
bool killed[2];

#define ROOM(me) (used[me] < S)
#define SOMETHING_FOR(me) (len(ring[OTHER(me)]) > 0)

#ifdef WITHOUT_DEPTHS
#define MAY_ASK(me) (outstanding[me] < BUFFERS)
#define MAY_HAVE_ASKED(me) true
#else
#define MAY_ASK(me) (outstanding[me] < limit[me])
#define MAY_HAVE_ASKED(me) (unanswered[OTHER(me)] < limit[me])
#endif

#ifdef ITS_OWN_ANSWER_FIRST
#define MAY_ANSWER(me) (unanswered[me] > 0 && outstanding[me] == 0)
#else
#define MAY_ANSWER(me) (unanswered[me] > 0)
#endif

#ifdef THE_DEAD_ARE_WAITED_FOR
#define DEAD(who) false
#else
#define DEAD(who) killed[who]
#endif

/* Each of them, or one, or none. */
active proctype killer()
{
	if
	:: killed[0] = true
	:: skip
	fi;
	if
	:: killed[1] = true
	:: skip
	fi
}

inline publish(me, what)
{
	ring[me] ! what;
	used[me]++;
	printf("%d sends %d\n", me, what)
}

/* No room is -EAGAIN: then it waits, as any receiver does, for something to come. */
inline ask(me)
{
	atomic {
		claim(who_may_ask_has_room, ROOM(me));
		stuck = !ROOM(me)
	}
	if
	:: atomic { !stuck -> publish(me, REQUEST); outstanding[me]++ }
	:: SOMETHING_FOR(me)
	:: DEAD(OTHER(me)) -> break
	fi;
	stuck = false
}

/* No room: the library calls the other a liar; who trusts it would wait. */
inline answer(me)
{
	claim(an_answer_has_room, ROOM(me));
	if
	:: atomic { ROOM(me) -> publish(me, ANSWER); unanswered[me]-- }
	:: DEAD(OTHER(me)) -> break
	fi
}

inline give(me)
{
	used[OTHER(me)] = used[OTHER(me)] - held_back[me];
	held_back[me] = 0
}

inline admit(me)
{
	if
	:: what == REQUEST ->
		claim(nobody_is_called_a_liar, MAY_HAVE_ASKED(OTHER(me)));
		unanswered[me]++;
#ifdef UNHEARD_IS_WHAT_COUNTS
		outstanding[OTHER(me)]--
#endif
	:: else ->
#ifndef UNHEARD_IS_WHAT_COUNTS
		claim(nobody_is_called_a_liar, outstanding[me] > 0);
		outstanding[me]--
#endif
		what = 0
	fi
}

/* Copied, then taken, and the credit goes before the caller hears of it. */
inline hear(me)
{
	if
	:: got = 1
	:: len(ring[OTHER(me)]) >= BATCH -> got = BATCH
	fi;
	d_step {
		held_back[me] = held_back[me] + got;
		do
		:: got > 0 -> ring[OTHER(me)] ? what; admit(me); got--
		:: else -> break
		od;
#ifndef HEARD_BEFORE_THE_CREDIT
		if
		:: held_back[me] >= STEP -> give(me)
		:: else
		fi
#endif
	}
}

/* When the ring is found empty; if the order were wrong, when what was heard is answered. */
#ifdef HEARD_BEFORE_THE_CREDIT
#define GIVES_REST(me) (held_back[me] > 0 && !MAY_ANSWER(me))
#else
#define GIVES_REST(me) (held_back[me] > 0 && !SOMETHING_FOR(me))
#endif

#define SETTLED (outstanding[0] + outstanding[1] + unanswered[0] + unanswered[1] == 0)

inline talk(me)
{
	do
	:: !enough[me] && MAY_ASK(me) -> ask(me)
	:: MAY_ANSWER(me) -> answer(me)
	:: SOMETHING_FOR(me) -> hear(me)
	:: atomic { GIVES_REST(me) -> give(me) }
	:: atomic { !enough[me] -> enough[me] = true }
	:: enough[me] && enough[OTHER(me)] && SETTLED -> break
	:: DEAD(OTHER(me)) -> break
	od
}

proctype member(bit me)
{
	byte got, what;
	bool stuck;

	{ talk(me) } unless { killed[me] }
}

init
{
	byte mine, theirs;

	atomic {
		select(mine : 0 .. S - STEP);
		select(theirs : 0 .. MOST_OF_OTHER(mine));
		limit[0] = mine;
		limit[1] = theirs;
		run member(0);
		run member(1)
	}
}
