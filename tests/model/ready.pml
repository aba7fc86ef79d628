/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The ready set (ipc/ready.h, ipc/fanin_heat.c, ipc/fanin_wait.c): two producers, each with a lane that is cold, and
 * the receiver, which goes by the bits, or sleeps at the set's bell.
 *
 *     producer of a lane                        receiver
 *     ------------------                        --------
 *     publish, fence                            summary not 0?                 fanin_take_posts()
 *     lane's bell LANE? CAS it to QUIET            exchange it with 0 (A6)
 *     word |= lane (R5)        ready_post()        exchange the word with 0 (A5)
 *     summary |= word (R6)                         its lanes are hot: bell := QUIET
 *     F1                                        look at a lane that is hot; nothing:
 *     set's bell ARMED? CAS it to QUIET,           bell := LANE, F2, look once more;
 *        wake                                      nothing: it is cold         fanin_cool()
 *                                               all are cold: set's bell := ARMED, F2,
 *                                                  summary 0? sleep            fanin_wait.c
 *                                               a patrol: a cold lane has something? hot
 *
 * What R5, A5, R6 and A6 forbid is that their processor performs things out of turn, so memory is
 * one for all here, and things out of turn are steps: without R5 a bit may be there before the
 * QUIET is (if the CAS fails after all, that was no execution: `impossible`), without R6 the summary
 * before the word; without A6 the word may have been read before the summary, without A5 the ring
 * before the word. The receiver's plain stores lie in a store buffer until F2, or longer. The
 * producer's fence between publishing and its look at the bell, left out or not, is bell.pml's.
 *
 * One producer has two messages, the other has one. A producer may be killed at any step. Its message, and a call that it took from the set's bell and
 * did not pass on, are left to the time limit of the wait and its patrol, which here help nobody
 * while all live.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R5                    no_call_is_lost
 *     -DWITHOUT_A5                    who_is_called_finds_something
 *     -DWITHOUT_R6                    no_call_is_lost
 *     -DWITHOUT_A6                    no_call_is_lost
 *     -DWITHOUT_F1                    no_call_is_lost
 *     -DWITHOUT_F2_OF_THE_SET         no_call_is_lost
 *     -DWITHOUT_F2_OF_THE_LANE        no_call_is_lost
 *     -DWITHOUT_THE_LOOK_AT_THE_LANE  no_call_is_lost
 *     -DWITHOUT_THE_LOOK_AT_THE_SET   no_call_is_lost
 *     -DTHE_DEAD_ARE_NOT_LOOKED_FOR   no_call_is_lost
 */

#define LANES 2
#define N(n) (2 - (n)) /* messages of a producer */

#include "claim.pml"

/* States of a bell. */
#define QUIET 0
#define ARMED 1
#define LANE 2
#define NOTHING 3 /* no store is buffered */

/* Bells: of the lanes, and of the set. */
#define SET LANES

byte published[LANES];
byte bell[LANES + 1];
byte word;
bit summary;

byte buffered[LANES + 1]; /* the receiver's newest store of a bell that is not in memory yet */
byte taken[LANES];
bit asleep;
bit dead;
bit impossible;
byte called[LANES]; /* ghost: messages published before the newest bit in word */

#define SOMETHING(n) (published[n] > taken[n])
#define BIT(n) (1 << (n))

inline drain(n)
{
	if
	:: buffered[n] != NOTHING -> bell[n] = buffered[n]; buffered[n] = NOTHING
	:: else
	fi
}

/* A second store pushes the first into memory, which is one of the things that a buffer may do. */
inline store_bell(n, what)
{
	d_step {
		drain(n);
		buffered[n] = what;
		printf("receiver stores: bell %d := %d\n", n, what)
	}
}

/* What happens at any time. */
proctype machine()
{
	do
	:: d_step { buffered[0] != NOTHING -> drain(0) }
	:: d_step { buffered[1] != NOTHING -> drain(1) }
	:: d_step { buffered[SET] != NOTHING -> drain(SET) }
	:: timeout ->
		claim(no_call_is_lost, impossible || !(SOMETHING(0) || SOMETHING(1)));
		break
	od
}

/* --- producer */

inline may_die()
{
	if
	:: atomic { !dead -> dead = 1; printf("producer %d is killed\n", n) }
		goto over
	:: skip
	fi
}

inline cas_bell(n, from)
{
	d_step {
		struck = bell[n] == from;
		bell[n] = (struck -> QUIET : bell[n]);
		printf("producer strikes bell %d: %d\n", n, struck)
	}
}

inline set_word()
{
	d_step {
		word = word | BIT(n);
		called[n] = at;
		printf("producer %d sets its bit\n", n)
	}
}

inline set_summary()
{
	d_step { summary = 1; printf("producer %d sets the summary\n", n) }
}

inline set_both()
{
	if
#ifdef WITHOUT_R6
	:: set_summary(); set_word()
#endif
	:: set_word(); may_die(); set_summary()
	fi
}

inline wake()
{
	cas_bell(SET, ARMED);
	if
	:: struck -> may_die(); d_step { asleep = 0; printf("producer %d wakes\n", n) }
	:: else
	fi
}

inline look_at_the_bell()
{
	d_step { armed = bell[SET] == ARMED; printf("producer %d: armed %d\n", n, armed) }
}

inline post()
{
	if
#ifdef WITHOUT_F1
	:: look_at_the_bell(); set_both()
#endif
	:: set_both(); may_die(); look_at_the_bell()
	fi;
	if
	:: armed -> armed = 0; wake()
	:: else
	fi
}

#ifdef WITHOUT_R5
/* Only if the bell says LANE then. */
inline strike_out_of_turn()
{
	set_both();
	cas_bell(n, LANE);
	impossible = impossible || !struck;
	look_at_the_bell();
	if
	:: armed -> armed = 0; wake()
	:: else
	fi
}
#endif

/* The bell said LANE a moment ago. */
inline strike()
{
	if
#ifdef WITHOUT_R5
	:: strike_out_of_turn()
#endif
	:: cas_bell(n, LANE);
		if
		:: struck -> may_die(); post()
		:: else
		fi
	fi;
	struck = 0
}

proctype producer(byte n)
{
	byte at;
	bit struck, armed;

	do
	:: at < N(n) ->
		d_step { at++; published[n] = at; printf("producer %d publishes %d\n", n, at) }
		may_die();
		if
		:: bell[n] == LANE -> strike()
		:: else
		fi
	:: break
	od;
over:
	at = 0
}

/* --- receiver */

#ifdef THE_DEAD_ARE_NOT_LOOKED_FOR
#define TIME_LIMIT false
#else
#define TIME_LIMIT (dead && (SOMETHING(0) || SOMETHING(1)))
#endif

inline fence()
{
	d_step { drain(0); drain(1); drain(SET) }
}

/* The ring, as it is or was. */
inline look_ahead(n)
{
#ifdef WITHOUT_A5
	if
	:: ahead[n] = published[n]
	:: skip
	fi
#else
	skip
#endif
}

/* @n is told by a bit, or by a look. */
inline heat(n)
{
	hot[n] = 1;
	store_bell(n, QUIET)
}

inline heat_if_called(n)
{
	if
	:: (bits & BIT(n)) && !hot[n] ->
		d_step {
			if
			:: ahead[n] == NOTHING -> ahead[n] = published[n]
			:: else
			fi;
			claim(who_is_called_finds_something, ahead[n] >= called[n] || impossible);
			ahead[n] = NOTHING
		}
		heat(n)
	:: else -> ahead[n] = NOTHING
	fi
}

inline take_word()
{
	d_step { bits = word; word = 0; printf("receiver takes the word: %d\n", bits) }
}

inline take_summary()
{
	d_step { summary = 0; printf("receiver takes the summary\n") }
}

inline heat_those_called()
{
	heat_if_called(0);
	heat_if_called(1);
	bits = 0
}

/* pre: the summary said so. */
inline take_posts()
{
	take_summary();
	look_ahead(0);
	look_ahead(1);
	take_word();
	heat_those_called()
}

/* Only if the summary says so then. */
inline take_posts_out_of_turn()
{
	impossible = 1;
	take_word();
end_out_of_turn:
	summary;
	impossible = 0;
	take_summary();
	heat_those_called()
}

inline cool(n)
{
	store_bell(n, LANE);
#ifndef WITHOUT_F2_OF_THE_LANE
	fence();
#endif
	if
#ifndef WITHOUT_THE_LOOK_AT_THE_LANE
	:: SOMETHING(n) -> store_bell(n, QUIET)
	:: !SOMETHING(n) -> hot[n] = 0
#else
	:: hot[n] = 0
#endif
	fi
}

inline look(n)
{
	if
	:: atomic { SOMETHING(n) -> taken[n]++ }
	:: atomic { !SOMETHING(n) -> skip }; cool(n)
	fi
}

/* In one step with the look at the bell, as the kernel has it. */
inline futex_wait()
{
	fence();
	d_step {
		if
		:: bell[SET] == ARMED -> asleep = 1; printf("receiver sleeps\n")
		:: else
		fi
	}
end_asleep:
	if
	:: !asleep
	:: TIME_LIMIT -> asleep = 0
	fi
}

inline sleep()
{
	store_bell(SET, ARMED);
#ifndef WITHOUT_F2_OF_THE_SET
	fence();
#endif
	if
#ifndef WITHOUT_THE_LOOK_AT_THE_SET
	:: summary
#endif
	:: else -> futex_wait()
	fi;
	store_bell(SET, QUIET)
}

#define COLD (!hot[0] && !hot[1])

proctype receiver()
{
	byte bits, ahead[LANES];
	bit hot[LANES], patrolled;

	ahead[0] = NOTHING;
	ahead[1] = NOTHING;
	do
	:: summary -> take_posts()
#ifdef WITHOUT_A6
	:: !summary -> take_posts_out_of_turn()
#endif
	:: hot[0] -> look(0)
	:: hot[1] -> look(1)
	:: COLD && !summary -> sleep()
	:: !patrolled && SOMETHING(0) && !hot[0] -> patrolled = 1; heat(0)
	:: COLD && !summary && TIME_LIMIT ->
		if
		:: SOMETHING(0) -> heat(0)
		:: SOMETHING(1) -> heat(1)
		fi
	od
}

init {
	byte n;

	atomic {
		for (n : 0 .. SET) {
			buffered[n] = NOTHING
		}
		bell[0] = LANE;
		bell[1] = LANE;
		run machine();
		run producer(0);
		run producer(1);
		run receiver()
	}
}
