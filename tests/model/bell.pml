/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The bell (ipc/bell.h, ipc/ring_wait.c): no wake-up is lost, though the sender has no fence.
 *
 *     receiver                                  sender, for each message
 *     --------                                  ------
 *     look; something? take it                  publish
 *     nothing: poll again                       F1, if fenced or not registered   bell_strike()
 *     either:  fenced := 0       bell_relax()   state not QUIET? then
 *     nothing: fenced := 1,      bell_arm()        state once more; CAS it to QUIET,
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
 * message. Whether the sender is registered is chosen at the start. While the sender lives there is
 * no time limit in the wait: what the model proves is that none is needed.
 *
 * Also chosen is what the kernel may fail to do, each time anew:
 *
 *     REFUSES    membarrier. bell_relax() then leaves the fence on, and who arms waits out a grace
 *                (bell_fence()): what the sender stored before it is in memory at its end, and what
 *                it read ahead before it is used or forgotten, as is the store that it read ahead of.
 *                What else the sender does meanwhile may be in its buffer, or ahead, at the end as ever
 *     NO_MEMORY  a byte. The sender arms the bell again, and does not stop before it has told
 *                (pinion_channel_told())
 *
 * Nobody is killed then, or the model would be four times as large.
 *
 * Either may be killed before and after each of its accesses. What is in its store buffer then still
 * gets to memory. A sender never waits here, so that a receiver's death keeps it from nothing. What
 * wakes a receiver whose sender is dead is one of three:
 *
 *     TOLD      somebody speaks for the dead: another thread of the receiver's process (ring_wake_self()),
 *               or a keeper (pinion_broadcast_orphan()). It says so, as one message more, and tolls: it
 *               strikes, and wakes whatever the state says (bell_toll()). A keeper may be killed at any
 *               access as well; the next one does it all again
 *     WATCHES   the receiver has a pidfd. It ends a sleep at the futex from time to time to look at that
 *               one (look_for_peers()); in a loop both it and the byte end the sleep (ring_fd.c)
 *     ALONE     neither: its own time limit (vigil.c), and what it makes of that is its caller's
 *
 * Who hears of a death does so when the kernel says it, or much later than a store takes: what the
 * dead has published is in memory then.
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
 *     -DBELIEVES_WITHOUT_REGISTRATION    no_wake_up_is_lost
 *     -DWITHOUT_THE_GRACE                no_wake_up_is_lost
 *     -DWITHOUT_ARMING_AGAIN             no_wake_up_is_lost
 *     -DWITHOUT_TELLING_AGAIN            no_wake_up_is_lost
 *     -DSTRIKE_FOR_A_TOLL                no_wake_up_is_lost
 *     -DTOLL_UNLESS_IT_WAS_SAID          no_wake_up_is_lost
 *     -DNO_KEEPER_COMES_AFTER            nobody_sleeps_for_the_dead
 *     -DWITHOUT_THE_PIDFD                nobody_sleeps_for_the_dead
 *     -DWITHOUT_THE_TIME_LIMIT           nobody_sleeps_for_the_dead
 */

#define N 3           /* messages */
#define DEATH (N + 1) /* the last one, of the sender's end */

#define SENDER 0 /* and who speaks for it */
#define RECEIVER 1
#define SPEAKER 2

/* How a receiver hears of the sender's death; 0 before that. */
#define TOLD 1
#define WATCHES 2
#define ALONE 3

/* What the kernel may fail to do; 0: nothing. */
#define REFUSES 1
#define NO_MEMORY 2

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
bit old[LOCS];           /* that, or the store in its buffer, is from before the grace */
byte trouble;
bit registered;
byte hears;
bit killed[3];
bit stopped; /* the sender stops, and lives */
bit said;    /* the death, and whoever slept was woken */
byte asleep; /* at the futex: ARMED, in its loop: ARMED_FD, or QUIET: not at all */
bit byte_there;
byte taken;

#define OWN(me, loc) buffered[(me) * LOCS + (loc)]
#define READ(me, loc) (OWN(me, loc) != NOTHING -> OWN(me, loc) : memory[loc])

inline drain(me, loc)
{
	if
	:: OWN(me, loc) != NOTHING ->
		memory[loc] = OWN(me, loc);
		OWN(me, loc) = NOTHING;
		old[loc] = (me == SENDER -> 0 : old[loc])
	:: else
	fi
}

inline forget(loc)
{
	ahead[loc] = NOTHING;
	old[loc] = 0
}

inline barrier(me)
{
	d_step {
		drain(me, PUBLISHED);
		drain(me, STATE);
		drain(me, FENCED);
		if
		:: me == SENDER -> forget(STATE); forget(FENCED)
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
		/* Whatever goes ahead of a store is behind it soon: both are done by the grace's end. */
		old[PUBLISHED] = (old[loc] && OWN(SENDER, PUBLISHED) != NOTHING -> 1 : old[PUBLISHED]);
		forget(loc);
		printf("sender loads: location %d is %d\n", loc, into)
	}
}

/* The sender is dead, and it is time to look: at a pidfd, or at the clock. */
#ifdef WITHOUT_THE_PIDFD
#define MAY_WATCH 0
#else
#define MAY_WATCH (hears == WATCHES)
#endif
#ifdef WITHOUT_THE_TIME_LIMIT
#define HAS_A_LIMIT 0
#else
#define HAS_A_LIMIT (hears == ALONE)
#endif
#define TIME (killed[SENDER] && (MAY_WATCH || HAS_A_LIMIT) && OWN(SENDER, PUBLISHED) == NOTHING)

/* Who speaks for the dead has its fence right before what it loads: read ahead is read in turn there. */
#define READS (!killed[SENDER] && !stopped)

/* Nobody but the receiver goes on. */
#define STILL                                                                                      \
	(OWN(SENDER, PUBLISHED) == NOTHING && OWN(RECEIVER, STATE) == NOTHING &&                   \
	 OWN(RECEIVER, FENCED) == NOTHING && (killed[SENDER] -> hears != TOLD || said : stopped))
/* The receiver neither; but see TIME. */
#define SLEEPS (asleep == ARMED || asleep == ARMED_FD && !byte_there)

/* What happens at any time. */
proctype machine()
{
end:	do
	:: d_step { OWN(SENDER, PUBLISHED) != NOTHING -> drain(SENDER, PUBLISHED) }
	:: d_step { OWN(RECEIVER, STATE) != NOTHING -> drain(RECEIVER, STATE) }
	:: d_step { OWN(RECEIVER, FENCED) != NOTHING -> drain(RECEIVER, FENCED) }
	:: d_step { READS && ahead[STATE] == NOTHING -> ahead[STATE] = READ(SENDER, STATE) }
	:: d_step { READS && ahead[FENCED] == NOTHING -> ahead[FENCED] = READ(SENDER, FENCED) }
	:: d_step { old[STATE] -> forget(STATE) }
	:: d_step { old[FENCED] -> forget(FENCED) }
	:: d_step {
			STILL && SLEEPS && !TIME ->
			claim(no_wake_up_is_lost, taken == memory[PUBLISHED]);
			claim(nobody_sleeps_for_the_dead,
			      taken != memory[PUBLISHED] || !killed[SENDER])
		}
	od
}

/* The sender and who speaks for it, or the receiver. What the dead has read is of no more use. */
proctype killer()
{
end_nobody_is_killed:
	trouble == 0;
	if
	:: killed[RECEIVER] = 1
	:: atomic {
			killed[SENDER] = 1;
			registered = 0;
			forget(STATE);
			forget(FENCED);
			if
			:: hears = TOLD
			:: hears = WATCHES
			:: hears = ALONE
			fi
		}
	fi;
end_nobody_else_is_killed:
	hears == TOLD && !said -> killed[SPEAKER] = 1
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

/* No byte: the next strike is to try again. A CAS, on memory: a receiver that has moved stays so. */
inline arm_again()
{
	d_step {
		if
#ifndef WITHOUT_ARMING_AGAIN
		:: memory[STATE] == QUIET -> memory[STATE] = ARMED_FD
#endif
		:: else
		fi;
		untold = 1;
		printf("sender has no memory for a byte\n")
	}
}

inline wake()
{
	load_sender(STATE, state);
	cas_to_quiet(state, struck);
	if
	:: struck ->
		barrier(SENDER); /* a system call */
		if
		:: d_step {
				if
				:: state == ARMED_FD -> byte_there = 1
				:: state != ARMED_FD && asleep == ARMED -> asleep = QUIET
				:: else
				fi;
				printf("sender wakes\n")
			}
		:: trouble == NO_MEMORY && state == ARMED_FD -> arm_again()
		fi
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

inline send_all()
{
	do
	:: at < N -> at++; store(SENDER, PUBLISHED, at); strike()
#ifdef WITHOUT_TELLING_AGAIN
	:: break
#else
	:: untold -> untold = 0; strike()
	:: !untold -> break
#endif
	od
}

proctype sender()
{
	byte at, fenced, state;
	bit struck, untold;

	{ send_all(); stopped = 1 } unless {
		atomic { killed[SENDER] -> at = 0; fenced = 0; state = 0; struck = 0 }
	}
}

/* Wherever the receiver sleeps: a byte, and a futex wake. */
inline toll()
{
	strike();
#ifndef STRIKE_FOR_A_TOLL
	barrier(SENDER);
	d_step { byte_there = 1; printf("the bell tolls: a byte\n") }
	d_step {
		if
		:: asleep == ARMED -> asleep = QUIET
		:: else
		fi;
		printf("the bell tolls: a wake-up\n")
	}
#endif
}

/* The kernel does not know it as one that needs no fence. Its buffer is the dead's, which is empty
 * when the kernel has said so, and where nobody else writes any more. */
inline speak()
{
	d_step { fenced = 0; state = 0; struck = 0 }
	barrier(SENDER);
#ifdef TOLL_UNLESS_IT_WAS_SAID
	if
	:: memory[PUBLISHED] != DEATH -> store(SENDER, PUBLISHED, DEATH); toll()
	:: else
	fi
#else
	store(SENDER, PUBLISHED, DEATH);
	toll()
#endif
}

proctype speaker()
{
	byte fenced, state;
	bit struck, untold;

end_the_sender_lives:
	hears == TOLD;
	{ speak(); goto through } unless { killed[SPEAKER] };
#ifndef NO_KEEPER_COMES_AFTER
	speak();
#endif
through:
	said = 1
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
	if
	:: membarrier(); unfenced = 1; store(RECEIVER, FENCED, 0)
	:: trouble == REFUSES
	fi
}

inline grace()
{
	barrier(RECEIVER);
	d_step {
		old[PUBLISHED] = (OWN(SENDER, PUBLISHED) != NOTHING);
		old[STATE] = (ahead[STATE] != NOTHING);
		old[FENCED] = (ahead[FENCED] != NOTHING);
		printf("receiver waits out a grace\n")
	}
#ifndef WITHOUT_THE_GRACE
	!old[PUBLISHED] && !old[STATE] && !old[FENCED]
#endif
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
		if
		:: membarrier()
		:: trouble == REFUSES -> grace()
		fi;
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
	if
	:: asleep == QUIET
	:: d_step { asleep && TIME -> asleep = QUIET; late = 1 }
	fi
}

/* The loop, in which nothing else happens, and what pinion_channel_done() does at its end. */
inline loop_wait()
{
	barrier(RECEIVER);
	d_step { asleep = ARMED_FD; printf("receiver sleeps in its loop\n") }
end_in_the_loop:
	if
	:: d_step { byte_there -> asleep = QUIET }
	:: d_step { TIME -> asleep = QUIET; late = 1 }
	fi;
	store(RECEIVER, STATE, QUIET);
	barrier(RECEIVER);
	byte_there = 0;
	hear()
}

#define SOMETHING (memory[PUBLISHED] > taken)

/* It was late when nothing was there. A look at the pidfd: it is as if told, and tolls for itself,
 * where nobody else is at the bell any more. */
inline hear()
{
	if
	:: late && !SOMETHING && hears == WATCHES ->
		barrier(RECEIVER);
		d_step {
			memory[PUBLISHED] = DEATH;
			memory[STATE] = QUIET;
			byte_there = 1;
			late = 0;
			printf("receiver hears of the death\n")
		}
	:: late && !SOMETHING && hears == ALONE -> goto over /* -ETIMEDOUT */
	:: else -> late = 0
	fi
}

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
		fi;
		hear()
	od;
	late = 0;
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

inline receive_all()
{
end_polling:
	do
	:: atomic { SOMETHING -> taken = memory[PUBLISHED] }
	:: taken == DEATH -> break
	:: atomic { taken != DEATH && !unfenced -> skip }; relax()
	:: atomic { !SOMETHING && taken != DEATH -> skip }; sleep()
	:: atomic { !SOMETHING && taken != DEATH -> skip }; sleep_in_the_loop()
	od;
over:
	skip
}

/* The dead sleeps no longer, and nobody asks what it has taken. */
proctype receiver()
{
	bit unfenced, late;

	{ receive_all() } unless {
		atomic {
			killed[RECEIVER] -> asleep = QUIET;
			byte_there = 0;
			taken = 0;
			unfenced = 0;
			late = 0
		}
	}
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
		if
		:: trouble = 0
		:: trouble = REFUSES
		:: trouble = NO_MEMORY
		fi;
		run machine();
		run killer();
		run sender();
		run speaker();
		run receiver()
	}
}
