/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * One receiver that sleeps at several bells (ipc/ring_wait.c): no sender's wake-up is lost. Of one bell, its
 * other ways to sleep, and what a kernel that refuses does to it, bell.pml has more; here is what many share:
 * one fence, one barrier of the kernel, and one sleep.
 *
 *     receiver                                      each sender, for each message
 *     --------                                      ------
 *     look at every ring; something? take it        publish
 *     of any ring, when it likes,                   F1, if fenced or not registered
 *       a barrier, fenced := 0    bell_relax()      state not QUIET? then CAS it to QUIET, and
 *     nothing anywhere:                               futex wake
 *       of each ring fenced := 1, if it was 0,
 *         and state := ARMED      announce()
 *       F2, and one membarrier, if any was 0
 *       look at every ring; nothing:
 *         futex wait at all states, or
 *         at the first for a slice  sleep_at_all()
 *       of each ring state := QUIET disarm()
 *
 * Memory and store buffers are as in bell.pml: those of one process go to memory in any order but for one
 * location's, and a sender may have read fenced and state ahead of their turn, since its last barrier. One
 * membarrier is a barrier of each sender that is registered, at another moment for each.
 *
 * The first sender has one message, the second two. Whether the second is registered is chosen at the start;
 * whether the kernel waits at several words (-ENOSYS: it does not), at each sleep anew. A slice ends by itself,
 * so that who sleeps for one does not sleep for ever.
 *
 * Either sender may stop for ever at each of its accesses, in the midst of a message as well. It wakes nobody
 * then, which is for a time limit or a pidfd; but it keeps the receiver from nothing that the other one sends.
 *
 * What is nobody else's business is done along with an access beside it. So is a barrier: what it empties may
 * have gone to memory by itself before, and what F1 comes behind may have been read ahead of its turn.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_F1                       no_wake_up_is_lost
 *     -DWITHOUT_F2                       no_wake_up_is_lost
 *     -DWITHOUT_MEMBARRIER               no_wake_up_is_lost
 *     -DBARRIER_FOR_THE_FIRST            no_wake_up_is_lost
 *     -DBARRIER_OF_ONE_SENDER            no_wake_up_is_lost
 *     -DFENCE_BEFORE_THE_LAST            no_wake_up_is_lost
 *     -DFENCED_OF_THE_FIRST              no_wake_up_is_lost
 *     -DLOOK_AT_THE_FIRST                no_wake_up_is_lost
 *     -DLOOK_BEFORE_ARMING               no_wake_up_is_lost
 *     -DLOOK_BEFORE_THE_FENCE            no_wake_up_is_lost
 *     -DSLEEP_AT_THE_FIRST               no_wake_up_is_lost
 */

#define RINGS 2
#define MESSAGES(ring) (1 + (ring))

/* Locations, of each ring. */
#define PUBLISHED 0 /* messages: stands for slots */
#define STATE 1
#define FENCED 2
#define LOCS 3
#define QUIET 0
#define ARMED 1

#define NOTHING 255

#include "claim.pml"

#define AT(ring, loc) ((ring) * LOCS + (loc))

byte memory[RINGS * LOCS];
byte buffered[RINGS * LOCS]; /* published: by the sender, else by the receiver; or NOTHING */
byte ahead[RINGS * LOCS];    /* what the ring's sender has read ahead of its turn, or NOTHING */
bit registered[RINGS];
bit unfenced[RINGS]; /* the receiver's own: it has told that ring's sender to leave the fence out */
bit begun[RINGS];    /* to read ahead before that is to have one's store in the buffer for longer */
bit stopped[RINGS];  /* it has sent all that it ever will */
bit halted[RINGS];   /* for ever, at any access */
bit queued[RINGS];   /* at the futex of that ring's state */
bit woken, asleep;
bit sliced; /* asleep at the first word, and not for long */
byte taken[RINGS];

inline drain(at)
{
	if
	:: buffered[at] != NOTHING -> memory[at] = buffered[at]; buffered[at] = NOTHING
	:: else
	fi
}

/* What it has read is of no more use. */
inline forget(ring)
{
	ahead[AT(ring, STATE)] = NOTHING;
	ahead[AT(ring, FENCED)] = NOTHING
}

inline barrier_of_sender(ring)
{
	d_step {
		drain(AT(ring, PUBLISHED));
		forget(ring)
	}
}

inline barrier_of_receiver()
{
	d_step {
		drain(AT(0, STATE));
		drain(AT(0, FENCED));
		drain(AT(1, STATE));
		drain(AT(1, FENCED))
	}
}

/* Of one location one store at a time: a second one pushes the first into memory. */
inline store(ring, loc, what)
{
	d_step {
		drain(AT(ring, loc));
		buffered[AT(ring, loc)] = what;
		printf("ring %d: location %d := %d\n", ring, loc, what)
	}
}

inline load_sender(ring, loc, into)
{
	d_step {
		if
		:: ahead[AT(ring, loc)] != NOTHING -> into = ahead[AT(ring, loc)]
		:: else -> into = memory[AT(ring, loc)]
		fi;
		ahead[AT(ring, loc)] = NOTHING;
		printf("sender %d loads: location %d is %d\n", ring, loc, into)
	}
}

#ifdef SLEEP_AT_THE_FIRST
#define SLICE_ENDS 0
#else
#define SLICE_ENDS sliced
#endif
#define STILL                                                                                      \
	((stopped[0] || halted[0]) && (stopped[1] || halted[1]) && NO_STORES)
#define NO_STORES                                                                                  \
	(buffered[0] == NOTHING && buffered[1] == NOTHING && buffered[2] == NOTHING &&             \
	 buffered[3] == NOTHING && buffered[4] == NOTHING && buffered[5] == NOTHING)

#define GOES(at) d_step { buffered[at] != NOTHING -> drain(at) }
#define READS(ring, loc)                                                                           \
	d_step {                                                                                   \
		begun[ring] && !stopped[ring] && !halted[ring] && ahead[AT(ring, loc)] == NOTHING -> \
		ahead[AT(ring, loc)] = memory[AT(ring, loc)]                                       \
	}

/* What happens at any time. */
proctype machine()
{
end:	do
	:: GOES(AT(0, PUBLISHED))
	:: GOES(AT(1, PUBLISHED))
	:: GOES(AT(0, STATE))
	:: GOES(AT(1, STATE))
	:: GOES(AT(0, FENCED))
	:: GOES(AT(1, FENCED))
	:: READS(0, STATE)
	:: READS(1, STATE)
	:: READS(0, FENCED)
	:: READS(1, FENCED)
	:: d_step {
			STILL && asleep && !SLICE_ENDS ->
			claim(no_wake_up_is_lost,
			      (halted[0] || taken[0] == memory[AT(0, PUBLISHED)]) &&
				      (halted[1] || taken[1] == memory[AT(1, PUBLISHED)]))
		}
	od
}

proctype killer()
{
end_nobody_stops:
	if
	:: d_step { !stopped[0] -> halted[0] = 1; forget(0) }
	:: d_step { !stopped[1] -> halted[1] = 1; forget(1) }
	fi
}

/* --- senders */

/* The CAS, on memory: false when the receiver has moved since the load. */
inline cas_to_quiet(ring, struck)
{
	d_step {
		if
		:: memory[AT(ring, STATE)] == ARMED -> memory[AT(ring, STATE)] = QUIET; struck = 1
		:: else
		fi;
		printf("sender %d strikes: %d\n", ring, struck)
	}
}

inline wake(ring)
{
	d_step {
		if
		:: queued[ring] -> woken = 1; asleep = 0
		:: else
		fi;
		printf("sender %d wakes\n", ring)
	}
}

inline strike(ring)
{
	atomic {
		load_sender(ring, FENCED, seen);
		if
#ifndef WITHOUT_F1
		:: seen || !registered[ring] -> barrier_of_sender(ring) /* F1 */
#endif
		:: else
		fi
	};
	atomic {
		load_sender(ring, STATE, seen);
		if
		:: seen == QUIET -> goto next
		:: else -> seen = 0
		fi
	};
	atomic {
		cas_to_quiet(ring, struck);
		if
		:: !struck -> goto next
		:: else -> struck = 0
		fi
	};
	atomic { barrier_of_sender(ring); wake(ring) }
}

proctype sender(byte ring)
{
	byte at, seen;
	bit struck;

	{
next:		do
		:: atomic { at < MESSAGES(ring) -> at++; store(ring, PUBLISHED, at); begun[ring] = 1 };
			strike(ring)
		:: atomic { at == MESSAGES(ring) -> stopped[ring] = 1; forget(ring); break }
		od
	} unless {
		atomic { halted[ring] -> at = 0; seen = 0; struck = 0 }
	}
}

/* --- the receiver */

inline barrier_if_registered(ring)
{
	d_step {
		if
		:: registered[ring] -> barrier_of_sender(ring)
		:: else
		fi;
		printf("membarrier at sender %d\n", ring)
	}
}

inline membarrier()
{
#ifdef BARRIER_OF_ONE_SENDER
	atomic { barrier_of_receiver(); barrier_if_registered(0) };
#else
	if
	:: atomic { barrier_of_receiver(); barrier_if_registered(0) }; barrier_if_registered(1)
	:: atomic { barrier_of_receiver(); barrier_if_registered(1) }; barrier_if_registered(0)
	fi;
#endif
	barrier_of_receiver()
}

inline announce(ring)
{
	atomic {
#ifdef FENCED_OF_THE_FIRST
		if
		:: unfenced[ring] && ring == 0 -> store(ring, FENCED, 1)
#else
		if
		:: unfenced[ring] -> store(ring, FENCED, 1)
#endif
		:: else
		fi
	};
	store(ring, STATE, ARMED)
}

#ifdef BARRIER_FOR_THE_FIRST
#define ANY_UNFENCED unfenced[0]
#else
#define ANY_UNFENCED (unfenced[0] || unfenced[1])
#endif

#ifdef WITHOUT_F2
#define F2 skip
#else
#define F2 barrier_of_receiver()
#endif

/* bell_fence(), for all of them. */
inline fence()
{
	if
#ifndef WITHOUT_MEMBARRIER
	:: atomic { ANY_UNFENCED -> F2 }; membarrier()
	:: atomic { !ANY_UNFENCED -> F2 }
#else
	:: F2
#endif
	fi;
	d_step { unfenced[0] = 0; unfenced[1] = 0 }
}

inline look_at(ring)
{
	found = found || memory[AT(ring, PUBLISHED)] > taken[ring]
}

inline look()
{
	atomic { found = 0; look_at(0) };
#ifndef LOOK_AT_THE_FIRST
	look_at(1)
#endif
}

inline arm()
{
#ifdef LOOK_BEFORE_ARMING
	look();
#endif
	announce(0);
#ifdef FENCE_BEFORE_THE_LAST
	fence();
	announce(1);
	look()
#else
	announce(1);
#ifdef LOOK_BEFORE_THE_FENCE
	look();
	fence()
#else
	fence()
#ifndef LOOK_BEFORE_ARMING
	;
	look()
#endif
#endif
#endif
}

/* The kernel queues at one word after the other, each in one step with the look at it. */
inline queue_at(ring)
{
	d_step {
		if
		:: memory[AT(ring, STATE)] == ARMED -> queued[ring] = 1
		:: else -> woken = 1
		fi
	}
}

inline get_up()
{
	asleep = 0;
	sliced = 0;
	woken = 0;
	queued[0] = 0;
	queued[1] = 0
}

inline sleep_at_all()
{
	atomic { barrier_of_receiver(); queue_at(0) };
	if
	:: queue_at(1)
	:: sliced = 1
	fi;
	d_step { asleep = !woken; printf("receiver sleeps: %d, in a slice: %d\n", asleep, sliced) }
end_asleep:
	if
	:: d_step { !asleep -> get_up() }
	:: d_step { asleep && SLICE_ENDS -> get_up() }
	fi
}

inline sleep()
{
	do
	:: arm();
		if
		:: found -> break
		:: else
		fi;
		sleep_at_all();
		look();
		if
		:: found -> break
		:: else
		fi
	od;
	/* disarm() */
	atomic { found = 0; store(0, STATE, QUIET) };
	store(1, STATE, QUIET)
}

#define THERE(ring) (memory[AT(ring, PUBLISHED)] > taken[ring])
#define ALL_TAKEN (taken[0] == MESSAGES(0) && taken[1] == MESSAGES(1))

inline relax(ring)
{
	membarrier();
	atomic { unfenced[ring] = 1; store(ring, FENCED, 0) }
}

proctype receiver()
{
	bit found;

end_polling:
	do
	:: atomic { THERE(0) -> taken[0] = memory[AT(0, PUBLISHED)] }
	:: atomic { THERE(1) -> taken[1] = memory[AT(1, PUBLISHED)] }
	:: ALL_TAKEN -> break
	:: atomic { !THERE(0) && !THERE(1) && !ALL_TAKEN -> skip }; sleep()
	:: atomic { !unfenced[0] && !ALL_TAKEN -> skip }; relax(0)
	:: atomic { !unfenced[1] && !ALL_TAKEN -> skip }; relax(1)
	od
}

init {
	byte at;

	atomic {
		for (at : 0 .. RINGS * LOCS - 1) {
			buffered[at] = NOTHING;
			ahead[at] = NOTHING
		}
		memory[AT(0, FENCED)] = 1;
		memory[AT(1, FENCED)] = 1;
		registered[0] = 1;
		if
		:: registered[1] = 1
		:: registered[1] = 0
		fi;
		run machine();
		run killer();
		run sender(0);
		run sender(1);
		run receiver()
	}
}
