/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The broadcast (include/pinion/broadcast.h, ipc/broadcast.h): one producer lends each buffer to two consumers, and
 * has it back when both have returned it, or were severed. One of them may be killed, at any step.
 *
 *     producer                                  each consumer
 *     --------                                  -------------
 *     admit    begin := position (R10)          join    begin (A10)
 *     sever    ended := SEVERED (R9), fence,    copy    slot (A2); ended? (A9)
 *              a consumer that is dead, or         nothing there, and it ended: look again
 *              any                              check   word, relaxed; not as it should be:
 *     slot free?  returned of each (A8)            severed? (A9)
 *     fill     word, payload                    read    the payload
 *     publish  slot (R2)                        return  severed? (A9); then returned (R8)
 *     end      ended := ENDED (R9)              leave   closed (R8), at any time
 *
 *     keeper, when the producer is dead
 *     ------
 *     end; the last buffer is lent where position returned (A8) is published: by its lap (lent())
 *     else it is freed: the payload is written
 *
 * Three loans go through one slot. The slot is one location here, {lap, position + 1}: that its
 * halves cannot be torn, and that a batch comes at once, ring.pml shows; who reads it goes by its
 * lap alone. Buffer and slot go together. One consumer was admitted before the first loan, the other
 * is just before the last, or never. returned and closed are one location. memory.pml has the memory; the
 * kernel's word of a death gives the keeper the view of the dead.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R2                  nobody_is_called_a_liar
 *     -DWITHOUT_A2                  nothing
 *     -DWITHOUT_A2_AND_THE_FENCE    nobody_is_called_a_liar
 *     -DWITHOUT_R8                  no_loan_is_written_over
 *     -DWITHOUT_A8                  no_loan_is_written_over
 *     -DWITHOUT_R9                  epipe_only_when_all_was_seen
 *     -DWITHOUT_A9                  epipe_only_when_all_was_seen
 *     -DWITHOUT_THE_LAST_LOOK       epipe_only_when_all_was_seen
 *     -DWITHOUT_THE_FENCE_OF_R9     who_was_severed_knows_it
 *     -DWITHOUT_THE_FENCE_OF_A9     who_was_severed_knows_it
 *     -DWITHOUT_THE_FENCE_OF_R9     nobody_is_called_a_liar
 *     -DWITHOUT_THE_FENCE_OF_A9     nobody_is_called_a_liar
 *     -DWITHOUT_A9_BEFORE_RETURN    who_was_severed_knows_it
 *     -DWITHOUT_A9_AFTER_THE_SLOT   none_is_taken_for_another
 *     -DWITHOUT_R10                 none_is_taken_for_another
 *     -DWITHOUT_A10                 none_is_taken_for_another
 *     -DRETURNED_BEFORE_READ        no_loan_is_written_over
 *     -DONE_CONSUMER_COUNTS         no_loan_is_written_over
 *     -DTHE_KEEPER_LOOKS_AT_ONE     no_loan_is_written_over
 *     -DTHE_DEAD_ARE_WAITED_FOR     nobody_waits_for_ever
 *     -DORPHANS_ARE_NOT_TOLD        nobody_waits_for_ever
 */

#define N 3
#define CONSUMERS 2

#define SLOT 0
#define PAYLOAD 1 /* stands for the owner word, too: both are written before R2 and read after A2 */
#define RETURNED(c) (2 + (c))
#define ENDED(c) (4 + (c))
#define BEGIN 6 /* of consumer 1 */
#define READ(c) (7 + (c)) /* a ghost: positions whose payload that consumer has read */

#define LOCS 9
#define DEPTH (N + 2)
#define THREADS (1 + CONSUMERS)
#define FENCES
#define PRODUCER 0
#define CONSUMER(c) (1 + (c))

/* Of ended. */
#define OPEN 0
#define OVER 1
#define SEVERED 2

#define LEFT 255   /* instead of what was returned */
#define POISON 255 /* payload of what the keeper has freed */

#include "claim.pml"
#include "memory.pml"

#ifdef WITHOUT_R2
#define R2 RELAXED
#else
#define R2 RELEASE
#endif
#ifdef WITHOUT_A2_AND_THE_FENCE
#define WITHOUT_A2
#define WITHOUT_THE_FENCE_OF_A9
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
#ifdef WITHOUT_R10
#define R10 RELAXED
#else
#define R10 RELEASE
#endif
#ifdef WITHOUT_A10
#define A10 RELAXED
#else
#define A10 ACQUIRE
#endif

#ifdef ONE_CONSUMER_COUNTS
#define COUNTED(c) ((c) == 0)
#else
#define COUNTED(c) true
#endif
#ifdef THE_KEEPER_LOOKS_AT_ONE
#define LOOKED_AT(c) ((c) == 0)
#else
#define LOOKED_AT(c) true
#endif

#define PUBLISHED(slot, p) ((slot) && ((slot) - 1) % 2 == (p) % 2)

bool killed[THREADS];    /* what a pidfd says */
bool open[CONSUMERS];    /* the producer's own record, as are those below */
byte begin_of[CONSUMERS];
byte sent;               /* ghost: positions that were published */

proctype killer()
{
	if
	:: killed[PRODUCER] = true
	:: killed[CONSUMER(0)] = true
	:: killed[CONSUMER(1)] = true
	:: skip
	fi
}

/* --- producer */

/* One that is dead or severed uses nothing of what it reads. */
#define done_with(p, c)                                                                            \
	(!open[c] || killed[CONSUMER(c)] || newest(ENDED(c)) == SEVERED || begin_of[c] > (p) ||    \
	 knows(PRODUCER, READ(c)) > (p))

/* The buffer of position p is about to be written. */
inline claim_back(p)
{
	claim(no_loan_is_written_over, done_with(p, 0) && done_with(p, 1))
}

/* A fence is private, and goes with what is before it. */
inline seat_end(c, how)
{
	atomic {
		store(PRODUCER, ENDED(c), how, R9);
#ifndef WITHOUT_THE_FENCE_OF_R9
		fence(PRODUCER, RELEASE);
#endif
		open[c] = open[c] && how != SEVERED
	}
}

inline admit()
{
	atomic {
		open[1] = true;
		begin_of[1] = at;
		store(PRODUCER, BEGIN, at + 1, R10)
	}
}

#ifdef THE_DEAD_ARE_WAITED_FOR
#define GONE(c) false
#else
#define GONE(c) killed[CONSUMER(c)]
#endif

/* Position p is back from consumer c. */
inline collect(p, c)
{
	do
	:: !open[c] || begin_of[c] > p || !COUNTED(c) -> break
	:: open[c] && GONE(c) -> seat_end(c, SEVERED)
	:: atomic { open[c] && begin_of[c] <= p && newest(RETURNED(c)) > p ->
			load(PRODUCER, RETURNED(c), returned, A8);
			if
			:: returned > p -> returned = 0; break
			:: else -> returned = 0
			fi
		}
	od
}

inline fill()
{
	store(PRODUCER, PAYLOAD, at + 1, RELAXED)
}

inline publish()
{
	atomic {
		at++;
		sent = at;
		store(PRODUCER, SLOT, at, R2)
	}
}

inline end(c)
{
	if
	:: open[c] -> seat_end(c, OVER)
	:: else
	fi
}

inline produce()
{
	do
	:: at < N ->
		if
		:: at == N - 1 -> admit()
		:: open[0] && at > 0 -> seat_end(0, SEVERED)
		:: skip
		fi;
		if
		:: at > 0 ->
			collect(at - 1, 0); /* the other has no loan before the last */
			claim_back(at - 1)
		:: else
		fi;
		fill();
		publish()
	:: else -> break
	od;
	end(0);
	end(1);
	collect(N - 1, 0);
	collect(N - 1, 1);
	claim_back(N - 1)
}

/* In the place of the dead producer, whose lists are lost: open[] is only for claims here. */
inline orphan(c)
{
	load(PRODUCER, ENDED(c), how, RELAXED);
	if
	:: how == OPEN -> seat_end(c, OVER)
	:: else -> how = 0
	fi
}

/* Has consumer c a loan of what is in the slot? */
inline wait_until_not_lent(c, first)
{
	do
	:: newest(ENDED(c)) == SEVERED || !LOOKED_AT(c) || killed[CONSUMER(c)] || first == 0 -> break
	:: else ->
		load(PRODUCER, RETURNED(c), returned, A8);
		if
		:: returned == LEFT -> break
		:: returned < first - 1 -> returned = first - 1
		:: else
		fi;
		if
		:: !PUBLISHED(newest(SLOT), returned) -> break
		:: else -> newest(RETURNED(c)) > returned || killed[CONSUMER(c)]
		fi
	od;
	returned = 0
}

proctype producer()
{
	byte at, returned, how;

	{ produce(); goto over } unless { killed[PRODUCER] };
#ifndef ORPHANS_ARE_NOT_TOLD
	orphan(0);
	orphan(1);
#endif
	wait_until_not_lent(0, 1);
	wait_until_not_lent(1, newest(BEGIN));
	if
	:: sent -> claim_back(sent - 1); store(PRODUCER, PAYLOAD, POISON, RELAXED)
	:: else
	fi;
over:
	skip
}

/* --- consumers */

inline look_at_ended(c)
{
	atomic {
#ifndef WITHOUT_THE_FENCE_OF_A9
		fence(CONSUMER(c), ACQUIRE);
#endif
		load(CONSUMER(c), ENDED(c), how, A9)
	}
}

inline join(c)
{
	if
	:: c == 1 ->
end_not_admitted:
		do
		:: newest(BEGIN) ->
			load(CONSUMER(1), BEGIN, at, A10);
			if
			:: at -> at--; break
			:: else
			fi
		:: newest(ENDED(1)) && !newest(BEGIN) -> goto over
		od
	:: else
	fi
}

/* The slot, then ended, which says why nothing is there. Severed: over. */
inline receive(c)
{
	load(CONSUMER(c), SLOT, slot, A2);
	atomic {
#ifndef WITHOUT_A9_AFTER_THE_SLOT
		look_at_ended(c);
#endif
		if
		:: how == SEVERED -> goto over
		:: how != SEVERED && PUBLISHED(slot, at) -> how = OPEN
		:: how != SEVERED && !PUBLISHED(slot, at) -> slot = 0
		fi
	}
}

inline look_once_more(c)
{
	atomic {
#ifndef WITHOUT_THE_LAST_LOOK
		load(CONSUMER(c), SLOT, slot, A2);
#endif
		how = OPEN;
		if
		:: PUBLISHED(slot, at) -> slot = 0
		:: else -> claim(epipe_only_when_all_was_seen, at == sent); goto over
		fi
	}
}

/* Is the word as it should be? Or was the buffer taken from us? Else it would be a lie. */
inline believe(c)
{
	atomic {
		claim(none_is_taken_for_another, slot == at + 1);
		load(CONSUMER(c), PAYLOAD, payload, RELAXED);
		if
		:: payload == at + 1
		:: else ->
			look_at_ended(c);
			claim(nobody_is_called_a_liar, how == SEVERED);
			goto over
		fi;
		payload = 0
	}
}

inline read_payload(c)
{
	atomic {
		load(CONSUMER(c), PAYLOAD, payload, RELAXED);
		mark(CONSUMER(c), READ(c), at + 1)
	}
}

/* Whoever was severed must not use what it read. */
inline use(c)
{
	atomic {
#ifndef WITHOUT_A9_BEFORE_RETURN
		look_at_ended(c);
#endif
		if
		:: how == SEVERED -> goto over
		:: else
		fi;
		claim(who_was_severed_knows_it, payload == at + 1);
		payload = 0;
		how = OPEN
	}
}

inline give_back(c)
{
	store(CONSUMER(c), RETURNED(c), at + 1, R8)
}

inline use_and_return(c)
{
#ifdef RETURNED_BEFORE_READ
	give_back(c);
	read_payload(c);
	use(c);
	d_step { slot = 0; at++ }
#else
	read_payload(c);
	use(c);
	atomic { give_back(c); slot = 0; at++ }
#endif
}

inline consume(c)
{
	join(c);
	do
	:: receive(c);
		if
		:: slot -> believe(c); use_and_return(c)
		:: !slot && how == OVER -> look_once_more(c)
		:: atomic { !slot && how == OPEN && (PUBLISHED(newest(SLOT), at) || newest(ENDED(c))) }
		fi
	:: break
	od;
over:
	atomic {
		mark(CONSUMER(c), READ(c), LEFT);
		store(CONSUMER(c), RETURNED(c), LEFT, R8)
	}
}

proctype consumer(byte c)
{
	byte at, slot, payload, how;

	{ consume(c) } unless { killed[CONSUMER(c)] };
	d_step { at = 0; slot = 0; payload = 0; how = 0 }
}

init {
	atomic {
		open[0] = true;
		run killer();
		run producer();
		run consumer(0);
		run consumer(1)
	}
}
