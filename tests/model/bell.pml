/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The bell (ipc/bell.h, ipc/ring_wait.c): no wake-up is lost, though the sender has no fence.
 *
 *     receiver                                  sender, for each message
 *     --------                                  ------
 *     look; something? take it                  publish
 *     nothing: poll again                       F1, if fenced or not registered   bell_strike()
 *        or    fenced := 0       bell_relax()   state not QUIET? then
 *        or    fenced := 1,      bell_arm()        state once more; CAS it to QUIET,
 *              state := ARMED or ARMED_FD,         and, by what it was:           bell_wake()
 *              F2, and membarrier after a            ARMED: futex wake
 *              time without fences                   ARMED_FD: a byte
 *              look; nothing:                    bell_wait(), or a loop
 *                futex wait, or wait for a byte
 *              state := QUIET                    bell_disarm()
 *
 * Each process has a store buffer, which gives its stores to memory one by one, at any time, those
 * to one location in their order (weaker than x86-64, where all are). A load takes the process's
 * own newest store of that location, or memory. Loads go ahead of their turn, too: the sender may
 * have read fenced and state at any time since its last barrier.
 *
 * A barrier empties the buffer, and forgets what was read ahead: F1, F2, a system call. membarrier
 * (GLOBAL_EXPEDITED) is a barrier of the caller, and one of the sender, if registered, wherever
 * that is just then. A futex wait looks at memory, and sleeps, in one step; a wake-up likewise.
 *
 * The receiver may relax, poll and sleep as often as it likes, and the sender may stop after any
 * message. Whether the sender is registered is chosen at the start. There is no time limit in the
 * wait: what the model proves is that none is needed.
 *
 * The sender may be killed before it strikes, or when it has said QUIET and woken nobody. Who speaks
 * for it then (a keeper, or another thread of the receiver's) says so, as one message more, and
 * tolls: it strikes, and wakes whatever the state says.                          bell_toll()
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_F1                       no_wake_up_is_lost
 *     -DWITHOUT_F2                       no_wake_up_is_lost
 *     -DWITHOUT_MEMBARRIER               no_wake_up_is_lost
 *     -DFENCED_STAYS_0                   no_wake_up_is_lost
 *     -DFENCED_AFTER_THE_BARRIER         no_wake_up_is_lost
 *     -DARMED_AFTER_THE_BARRIER          no_wake_up_is_lost
 *     -DWITHOUT_THE_SECOND_LOOK          no_wake_up_is_lost
 *     -DWAKE_WITHOUT_A_WORD              no_wake_up_is_lost
 *     -DSTORE_FOR_THE_CAS                no_wake_up_is_lost
 *     -DSTRIKE_FOR_A_TOLL                no_wake_up_is_lost
 *     -DBELIEVES_WITHOUT_REGISTRATION    no_wake_up_is_lost
 */

#define N 3 /* messages, but for that of its death */

#define SENDER 0
#define RECEIVER 1

/* Locations. */
#define PUBLISHED 0 /* messages published: stands for slots, and for producer_closed */
#define STATE 1
#define FENCED 2
#define LOCS 3
#define QUIET 0
#define ARMED 1
#define ARMED_FD 2

#define NOTHING 255

#include "claim.pml"

byte memory[LOCS];
byte buffered[2 * LOCS]; /* newest store not yet in memory, or NOTHING */
byte ahead[LOCS];        /* what the sender has read ahead of its turn, or NOTHING */
bit registered;
byte asleep; /* at the futex: ARMED, in its loop: ARMED_FD, or QUIET: not at all */
bit byte_there;
byte taken;

#define OWN(me, loc) buffered[(me) * LOCS + (loc)]
#define READ(me, loc) (OWN(me, loc) != NOTHING -> OWN(me, loc) : memory[loc])

inline drain(me, loc)
{
	if
	:: OWN(me, loc) != NOTHING -> memory[loc] = OWN(me, loc); OWN(me, loc) = NOTHING
	:: else
	fi
}

inline barrier(me)
{
	d_step {
		drain(me, PUBLISHED);
		drain(me, STATE);
		drain(me, FENCED);
		if
		:: me == SENDER -> ahead[STATE] = NOTHING; ahead[FENCED] = NOTHING
		:: else
		fi
	}
}

/* One store of a location is buffered at a time; a second one pushes the first into memory, which
 * is one of the things that a buffer may do. */
inline store(me, loc, what)
{
	d_step {
		drain(me, loc);
		OWN(me, loc) = what;
		printf("%d stores: location %d := %d\n", me, loc, what)
	}
}

inline load_sender(loc, into)
{
	d_step {
		if
		:: OWN(SENDER, loc) == NOTHING && ahead[loc] != NOTHING -> into = ahead[loc]
		:: else -> into = READ(SENDER, loc)
		fi;
		ahead[loc] = NOTHING;
		printf("sender loads: location %d is %d\n", loc, into)
	}
}

/* What happens at any time. */
proctype machine()
{
	do
	:: d_step { OWN(SENDER, PUBLISHED) != NOTHING -> drain(SENDER, PUBLISHED) }
	:: d_step { OWN(RECEIVER, STATE) != NOTHING -> drain(RECEIVER, STATE) }
	:: d_step { OWN(RECEIVER, FENCED) != NOTHING -> drain(RECEIVER, FENCED) }
	:: d_step { ahead[STATE] == NOTHING -> ahead[STATE] = READ(SENDER, STATE) }
	:: d_step { ahead[FENCED] == NOTHING -> ahead[FENCED] = READ(SENDER, FENCED) }
	:: timeout ->
		claim(no_wake_up_is_lost, !asleep || taken == memory[PUBLISHED]);
		break
	od
}

/* The CAS, on memory: false when the receiver has moved since the load. */
inline cas_to_quiet(state, struck)
{
	d_step {
		if
#ifndef STORE_FOR_THE_CAS
		:: memory[STATE] != state -> struck = 0
#endif
		:: else ->
			struck = 1;
#ifndef WAKE_WITHOUT_A_WORD
			memory[STATE] = QUIET
#endif
		fi;
		printf("sender strikes: state was %d, so it believes; struck %d\n", state, struck)
	}
}

inline may_die()
{
	if
	:: !dead -> goto killed
	:: skip
	fi
}

inline wake()
{
	load_sender(STATE, state);
	cas_to_quiet(state, struck);
	if
	:: struck ->
		may_die();
		barrier(SENDER); /* a system call */
		d_step {
			if
			:: state == ARMED_FD -> byte_there = 1
			:: state != ARMED_FD && asleep == ARMED -> asleep = QUIET
			:: else
			fi;
			printf("sender wakes\n")
		}
	:: else
	fi;
	state = 0;
	struck = 0
}

inline strike()
{
	load_sender(FENCED, fenced);
	if
#ifdef BELIEVES_WITHOUT_REGISTRATION
	:: fenced ->
#else
	:: fenced || !registered ->
#endif
#ifndef WITHOUT_F1
		barrier(SENDER) /* F1 */
#else
		skip
#endif
	:: else
	fi;
	fenced = 0;
	load_sender(STATE, state);
	if
	:: state != QUIET -> wake()
	:: else
	fi
}

/* Wherever the receiver sleeps. */
inline toll()
{
	strike();
#ifndef STRIKE_FOR_A_TOLL
	barrier(SENDER);
	d_step {
		byte_there = 1;
		if
		:: asleep == ARMED -> asleep = QUIET
		:: else
		fi;
		printf("the bell tolls\n")
	}
#endif
}

/* And who speaks for it, whom the kernel does not know. What the dead had in its buffer is in memory,
 * and nobody else writes there, so that one process is enough. */
proctype sender()
{
	byte at, fenced, state;
	bit struck, dead;

	do
	:: at < N -> at++; store(SENDER, PUBLISHED, at); may_die(); strike()
	:: goto over
	od;
killed:
	dead = 1;
	d_step { registered = 0; state = 0; struck = 0; printf("the sender is killed\n") };
	barrier(SENDER);
	at++;
	store(SENDER, PUBLISHED, at);
	toll();
over:
	skip
}

inline membarrier()
{
	barrier(RECEIVER);
	d_step {
		if
		:: registered -> barrier(SENDER)
		:: else
		fi;
		printf("membarrier\n")
	}
	barrier(RECEIVER)
}

inline relax()
{
	membarrier();
	unfenced = 1;
	store(RECEIVER, FENCED, 0)
}

inline arm(how)
{
#ifdef FENCED_AFTER_THE_BARRIER
	store(RECEIVER, STATE, how);
	barrier(RECEIVER);
	if
	:: unfenced -> membarrier(); store(RECEIVER, FENCED, 1); unfenced = 0
	:: else
	fi
#else
#ifndef FENCED_STAYS_0
	if
	:: unfenced -> store(RECEIVER, FENCED, 1)
	:: else
	fi;
#endif
#ifndef ARMED_AFTER_THE_BARRIER
	store(RECEIVER, STATE, how);
#endif
#ifndef WITHOUT_F2
	barrier(RECEIVER); /* F2 */
#endif
	if
	:: unfenced ->
#ifndef WITHOUT_MEMBARRIER
		membarrier();
#endif
		unfenced = 0
	:: else
	fi
#ifdef ARMED_AFTER_THE_BARRIER
	;
	store(RECEIVER, STATE, how)
#endif
#endif
}

/* In one step with the look at the word, as the kernel has it. */
inline futex_wait()
{
	barrier(RECEIVER);
	d_step {
		if
		:: memory[STATE] == ARMED -> asleep = ARMED; printf("receiver sleeps\n")
		:: else
		fi
	}
end_asleep:
	asleep == QUIET
}

/* The loop, in which nothing else happens, and what pinion_channel_done() does at its end. */
inline loop_wait()
{
	barrier(RECEIVER);
	d_step { asleep = ARMED_FD; printf("receiver sleeps in its loop\n") }
end_in_the_loop:
	d_step { byte_there -> asleep = QUIET };
	store(RECEIVER, STATE, QUIET);
	barrier(RECEIVER);
	byte_there = 0
}

#define SOMETHING (memory[PUBLISHED] > taken)

inline sleep()
{
	do
	:: arm(ARMED);
#ifndef WITHOUT_THE_SECOND_LOOK
		if
		:: SOMETHING -> break
		:: else
		fi;
#endif
		futex_wait();
		if
		:: SOMETHING -> break
		:: else
		fi
	od;
	store(RECEIVER, STATE, QUIET) /* bell_disarm() */
}

inline sleep_in_the_loop()
{
	arm(ARMED_FD);
#ifdef WITHOUT_THE_SECOND_LOOK
	loop_wait()
#else
	if
	:: SOMETHING -> store(RECEIVER, STATE, QUIET)
	:: else -> loop_wait()
	fi
#endif
}

proctype receiver()
{
	bit unfenced;

end_polling:
	do
	:: atomic { SOMETHING -> taken = memory[PUBLISHED] }
	:: atomic { !SOMETHING && !unfenced -> skip }; relax()
	:: atomic { !SOMETHING -> skip }; sleep()
	:: atomic { !SOMETHING -> skip }; sleep_in_the_loop()
	od
}

init {
	byte loc;

	atomic {
		memory[FENCED] = 1;
		for (loc : 0 .. 2 * LOCS - 1) {
			buffered[loc] = NOTHING
		}
		ahead[STATE] = NOTHING;
		ahead[FENCED] = NOTHING;
		if
		:: registered = 1
		:: registered = 0
		fi;
		run machine();
		run sender();
		run receiver()
	}
}
