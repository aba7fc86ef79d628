/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Segments that come and go (pool/layout.h, slot.c, make.c, grow.c, attach.c; the view in
 * include/pinion/pool.h and ipc/window.h): the keeper retires segment A, and makes B in the same
 * slot, while a member of two threads attaches, looks, allocates and frees.
 *
 *     keeper                                    member
 *     ------                                    ------
 *     state, epoch := RETIRING (R5)  begin()    epoch, state (A5); LIVE? shape       slot_sync(),
 *     seize the magazines of the                   gone: unmap, come: map (R11)      attach()
 *        depot; all words in them?              seen := epoch (R6)
 *        no: put them back      close_depot()   not LIVE: both magazines go back     follow()
 *     state, epoch := GONE (R5)                 alloc, free: a magazine,             rack.c
 *     seen of all members (A6)?  find_slot()       and its word
 *        no magazine is out?                    an id of B comes: mapped? else       slot_meet()
 *     words, magazines, shape    make_place()      look; is it now?
 *     state, epoch := LIVE (R5)
 *     an id of B is sent                        the other thread: an id of B comes,
 *                                                  and is looked up in the view (A11)
 *
 * The member is admitted before, or when A is GONE, and may be killed at any step: then the keeper
 * recovers it. The keeper may be killed once between a state and its epoch: the next one begins with
 * slot_take_over(). (It has seen what the dead had: it goes on as the same process here.)
 * pinion_pool_resume() stores both again, in the same orders.
 *
 * Done without, since all holds so: the second look at the state in slot_copy(), which is for who
 * scribbles; the order of slot_changed(), since slot_sync() loads the epoch again; that of the
 * first load in slot_take_over(), since the kernel has said that who wrote is dead.
 *
 * A has a magazine with a buffer, and with others that nobody asks for, and an empty one (another
 * cache of the member may have it); in B both have buffers. An owner word is {generation, held?}.
 * A state tells its epoch here. R1 and A1 of magazines, R2 and A2 of the id are as in depot.pml and
 * ring.pml; where those that are out are counted (A1), and a dead member's empty one is given back
 * (R1), the order carries nothing: what was in one has come back in others, which were seized.
 * memory.pml has the memory.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R5_OF_THE_STATE        the_shape_is_of_the_state
 *     -DWITHOUT_A5_OF_THE_STATE        the_shape_is_of_the_state
 *     -DWITHOUT_R5_OF_THE_STATE        the_generation_is_of_now
 *     -DWITHOUT_A5_OF_THE_STATE        the_generation_is_of_now
 *     -DWITHOUT_R5_OF_THE_EPOCH        who_meets_an_id_gets_its_segment
 *     -DWITHOUT_A5_OF_THE_EPOCH        who_meets_an_id_gets_its_segment
 *     -DWITHOUT_R5_OF_THE_EPOCH        an_id_is_not_looked_up_in_another
 *     -DWITHOUT_A5_OF_THE_EPOCH        an_id_is_not_looked_up_in_another
 *     -DWITHOUT_R5_OF_TAKING_OVER      nobody_waits_for_ever
 *     -DTAKING_OVER_IS_LEFT_OUT        nobody_waits_for_ever
 *     -DTHE_EPOCH_BEFORE_THE_STATE     nobody_waits_for_ever
 *     -DWITHOUT_R6                     an_id_is_not_looked_up_in_another
 *     -DWITHOUT_A6                     an_id_is_not_looked_up_in_another
 *     -DWITHOUT_R11                    base_and_size_are_the_segments
 *     -DWITHOUT_A11                    base_and_size_are_the_segments
 *     -DTHE_NUMBER_BEFORE_THE_BASE     base_and_size_are_the_segments
 *     -DSEEN_BEFORE_UNMAPPING          an_id_is_not_looked_up_in_another
 *     -DSEEN_IS_NOT_WAITED_FOR         an_id_is_not_looked_up_in_another
 *     -DWITHOUT_A1_OF_SEIZING          what_is_held_does_not_go
 *     -DWITHOUT_A1_OF_COUNTING         nothing
 *     -DWITHOUT_R1_OF_RECOVERING       nothing
 *     -DTHE_COUNT_IS_LEFT_OUT          what_is_held_does_not_go
 *     -DMAGAZINES_OUT_ARE_NOT_COUNTED  none_is_lost
 *     -DTHE_DEAD_ARE_WAITED_FOR        nobody_waits_for_ever
 */

#define STATE 0
#define EPOCH 1
#define SHAPE 2
#define SEEN 3
#define MAGAZINE 4 /* and the next: the one that is empty in A */
#define EMPTY_ONE 5
#define WORD 6
#define VIEW_OF 7 /* of the member's process: which segment is mapped */
#define BASE 8 /* and size, of what the view has */
#define RING 9

#define LOCS 10
#define DEPTH 13
#define THREADS 3
#define KEEPER 0
#define MEMBER 1
#define OTHER 2 /* the member's other thread */

#include "claim.pml"
#include "memory.pml"

#ifdef WITHOUT_R5_OF_THE_STATE
#define R5_STATE RELAXED
#else
#define R5_STATE RELEASE
#endif
#ifdef WITHOUT_A5_OF_THE_STATE
#define A5_STATE RELAXED
#else
#define A5_STATE ACQUIRE
#endif
#ifdef WITHOUT_R5_OF_THE_EPOCH
#define R5_EPOCH RELAXED
#else
#define R5_EPOCH RELEASE
#endif
#ifdef WITHOUT_A5_OF_THE_EPOCH
#define A5_EPOCH RELAXED
#else
#define A5_EPOCH ACQUIRE
#endif
#ifdef WITHOUT_R5_OF_TAKING_OVER
#define R5_TAKING_OVER RELAXED
#else
#define R5_TAKING_OVER RELEASE
#endif
#ifdef WITHOUT_R6
#define R6 RELAXED
#else
#define R6 RELEASE
#endif
#ifdef WITHOUT_A6
#define A6 RELAXED
#else
#define A6 ACQUIRE
#endif
#ifdef WITHOUT_R11
#define R11 RELAXED
#else
#define R11 RELEASE
#endif
#ifdef WITHOUT_A11
#define A11 RELAXED
#else
#define A11 ACQUIRE
#endif
#ifdef WITHOUT_A1_OF_SEIZING
#define A1 RELAXED
#else
#define A1 ACQUIRE
#endif
#ifdef WITHOUT_A1_OF_COUNTING
#define A1_COUNTING RELAXED
#else
#define A1_COUNTING ACQUIRE
#endif
#ifdef WITHOUT_R1_OF_RECOVERING
#define R1_RECOVERING RELAXED
#else
#define R1_RECOVERING RELEASE
#endif

/* States, in the order in which they come. */
#define LIVE_A 0
#define RETIRING 1
#define GONE 2
#define LIVE_B 3

/* Segments: what a view has, and a shape tells. */
#define NONE 0
#define A 1
#define B 2

/* Where a magazine is. */
#define EMPTY 0
#define DEPOT 1
#define SERVICE 2
#define OUT 3 /* with the member */

#define OWNER(g, held) ((g) * 2 + (held))
#define HELD(word) ((word) % 2)

bool admitted;
bool killed[THREADS];
bool keeper_killed;
bool really_held; /* ghost */

/* --- keeper */

/* Its number is told: the member sees what the keeper did. */
inline admit(at)
{
	atomic {
		store(KEEPER, SEEN, at, RELAXED);
		heed(MEMBER, KEEPER);
		admitted = true
	}
}

inline store_epoch(what)
{
	if
	:: atomic { !keeper_killed -> keeper_killed = true; printf("the keeper is killed\n") }
#ifndef TAKING_OVER_IS_LEFT_OUT
		store(KEEPER, EPOCH, what, R5_TAKING_OVER)
#endif
	:: store(KEEPER, EPOCH, what, R5_EPOCH)
	fi
}

inline publish(what)
{
#ifdef THE_EPOCH_BEFORE_THE_STATE
	store_epoch(what);
	store(KEEPER, STATE, what, R5_STATE)
#else
	store(KEEPER, STATE, what, R5_STATE);
	store_epoch(what)
#endif
}

/* The dead stand still: one step. What is right already is stored again. */
inline recover()
{
	atomic {
		heed(KEEPER, MEMBER);
		heed(KEEPER, OTHER);
		recovered = true;
		really_held = false;
		it = newest(WORD) + HELD(newest(WORD));
		store(KEEPER, WORD, it, RELAXED);
		it = (newest(MAGAZINE) == OUT -> DEPOT : newest(MAGAZINE));
		store(KEEPER, MAGAZINE, it, RELEASE);
		it = (newest(EMPTY_ONE) == OUT -> EMPTY : newest(EMPTY_ONE));
		store(KEEPER, EMPTY_ONE, it, R1_RECOVERING);
		it = 0
	}
}

/* What lies in the magazine is its word's to say. */
inline seize_and_count()
{
	load(KEEPER, MAGAZINE, it, RELAXED);
	if
	:: it == DEPOT -> cas(KEEPER, MAGAZINE, DEPOT, SERVICE, A1, seized)
	:: else
	fi;
	if
	:: seized ->
		load(KEEPER, WORD, it, RELAXED);
#ifdef THE_COUNT_IS_LEFT_OUT
		it = 0;
#endif
		if
		:: HELD(it) -> seized = false; store(KEEPER, MAGAZINE, DEPOT, RELEASE)
		:: else
		fi
	:: else
	fi
}

/* Asks twice: at any time, and when nothing is in the way. */
inline retire()
{
	publish(RETIRING);
	do
	:: seized -> break
	:: !seized && killed[MEMBER] && !recovered -> recover()
	:: !seized && (!asked || asked == 1 && newest(MAGAZINE) == DEPOT && !HELD(newest(WORD))) ->
		asked++;
		seize_and_count()
	:: !seized && asked == 2 -> goto over
	od;
	claim(what_is_held_does_not_go, !really_held);
	publish(GONE)
}

#ifdef THE_DEAD_ARE_WAITED_FOR
#define TOLD false
#else
#define TOLD killed[MEMBER]
#endif

inline wait_for_the_member()
{
	do
	:: !admitted -> break
	:: TOLD && !recovered -> recover()
	:: !seen_it && newest(SEEN) >= GONE ->
		load(KEEPER, SEEN, it, A6);
		seen_it = it >= GONE
#ifdef SEEN_IS_NOT_WAITED_FOR
	:: !seen_it -> seen_it = true
#endif
#ifdef MAGAZINES_OUT_ARE_NOT_COUNTED
	:: seen_it || recovered -> break
#else
	:: (seen_it || recovered) && newest(EMPTY_ONE) != OUT ->
		load(KEEPER, EMPTY_ONE, it, A1_COUNTING);
		if
		:: it != OUT -> break
		:: else
		fi
#endif
	od;
	it = 0
}

inline grow()
{
	load(KEEPER, WORD, it, RELAXED);
	store(KEEPER, WORD, it + 2, RELAXED);
	store(KEEPER, MAGAZINE, DEPOT, RELAXED);
	store(KEEPER, EMPTY_ONE, DEPOT, RELAXED);
	store(KEEPER, SHAPE, B, RELAXED);
	publish(LIVE_B);
	store(KEEPER, RING, 1, RELEASE)
}

proctype keeper()
{
	byte it, asked;
	bool seized, seen_it, recovered;

	if
	:: admit(LIVE_A)
	:: skip
	fi;
	retire();
	if
	:: !admitted -> admit(GONE)
	:: skip
	fi;
	wait_for_the_member();
	grow();
over:
	it = 0
}

/* --- member */

#define NOT_YET 255
#define ATTACHED (epoch != NOT_YET)
#define ALLOCATES (state == LIVE_A || state == LIVE_B)

inline put_in_view(what)
{
#ifdef THE_NUMBER_BEFORE_THE_BASE
	store(MEMBER, VIEW_OF, what, R11);
	store(MEMBER, BASE, what, RELAXED)
#else
	store(MEMBER, BASE, what, RELAXED);
	store(MEMBER, VIEW_OF, what, R11)
#endif
}

inline map_or_unmap(was)
{
	if
	:: state == LIVE_B || state == GONE && was != NONE -> store(MEMBER, VIEW_OF, NONE, RELAXED)
	:: else
	fi;
	if
	:: state == LIVE_B -> mapped = B; put_in_view(B)
	:: state == GONE -> mapped = NONE
	:: state < GONE && was == NONE -> mapped = A; put_in_view(A)
	:: else
	fi
}

inline look_at_the_slot()
{
	load(MEMBER, STATE, state, A5_STATE);
	if
	:: state != GONE ->
		load(MEMBER, SHAPE, it, RELAXED);
		claim(the_shape_is_of_the_state, it == (state == LIVE_B -> B : A))
	:: else
	fi;
#ifdef SEEN_BEFORE_UNMAPPING
	store(MEMBER, SEEN, epoch, R6);
#endif
	map_or_unmap(mapped);
#ifndef SEEN_BEFORE_UNMAPPING
	store(MEMBER, SEEN, epoch, R6);
#endif
	it = 0
}

/* What is of a segment that is to go, or has gone, goes back to its depot. */
inline give_back_the_magazine()
{
	if
	:: rack && !ALLOCATES -> rack = false; store(MEMBER, MAGAZINE, DEPOT, RELEASE)
	:: else
	fi
}

inline give_back_the_empty_one()
{
	if
	:: spare && !ALLOCATES ->
		atomic {
			spare = false;
			claim(none_is_lost, newest(EMPTY_ONE) == OUT);
			store(MEMBER, EMPTY_ONE, EMPTY, RELEASE)
		}
	:: else
	fi
}

inline sync()
{
	load(MEMBER, EPOCH, it, A5_EPOCH);
	if
	:: it != epoch ->
		epoch = it;
		look_at_the_slot();
		give_back_the_magazine();
		give_back_the_empty_one()
	:: else -> it = 0
	fi
}

inline take_magazine()
{
	if
	:: !rack -> cas(MEMBER, MAGAZINE, DEPOT, OUT, ACQUIRE, rack)
	:: else
	fi
}

inline alloc()
{
	take_magazine();
	if
	:: rack ->
		atomic {
			load(MEMBER, WORD, it, RELAXED);
			claim(the_generation_is_of_now, it == newest(WORD));
			claim(none_is_held_twice, !really_held);
			really_held = true;
			held = true;
			it++;
			store(MEMBER, WORD, it, RELAXED);
			it = 0
		}
	:: else
	fi
}

inline free()
{
	take_magazine();
	if
	:: rack ->
		atomic {
			really_held = false;
			held = false;
			it = newest(WORD) + 1;
			store(MEMBER, WORD, it, RELAXED);
			it = 0
		}
		give_back_the_magazine()
	:: else
	fi
}

inline receive()
{
	load(MEMBER, RING, it, ACQUIRE);
	if
	:: it ->
		it = 0;
		met = true;
		meeting = mapped != B;
		claim(an_id_is_not_looked_up_in_another, mapped != A)
	:: else
	fi
}

inline be_a_member()
{
end_idle:
	do
	:: newest(EPOCH) != epoch || meeting ->
		sync();
		claim(who_meets_an_id_gets_its_segment, !meeting || mapped == B);
		meeting = false
	:: ALLOCATES && !held && had != state && !meeting -> had = state; alloc()
	:: state == LIVE_A && !spared ->
		d_step { spared = true; spare = true }
		swap(MEMBER, EMPTY_ONE, it, OUT, ACQUIRE) /* nobody else wants it */
	:: held && !meeting -> free()
	:: ATTACHED && !met && newest(RING) -> receive()
	od
}

proctype member()
{
	byte it, epoch = NOT_YET, state = GONE, mapped, had = GONE;
	bool rack, spare, spared, held, met, meeting;

end_of_member:
	{ admitted; be_a_member() } unless { killed[MEMBER] }
}

inline receive_elsewhere()
{
	admitted && newest(RING);
	load(OTHER, RING, it, ACQUIRE);
	if
	:: it ->
		load(OTHER, VIEW_OF, it, A11);
		claim(an_id_is_not_looked_up_in_another, it != A);
		if
		:: it == B ->
			load(OTHER, BASE, it, RELAXED);
			claim(base_and_size_are_the_segments, it == B)
		:: else
		fi
	:: else
	fi
}

proctype other()
{
	byte it;

end_of_other:
	{ receive_elsewhere() } unless { killed[MEMBER] }
}

proctype killer()
{
	if
	:: killed[MEMBER] = true
	:: skip
	fi
}

init {
	atomic {
		value[MESSAGE(MAGAZINE, 0)] = DEPOT;
		value[MESSAGE(SHAPE, 0)] = A;
		value[MESSAGE(STATE, 0)] = LIVE_A;
		run keeper();
		run member();
		run other();
		run killer()
	}
}
