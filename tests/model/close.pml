/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Orderly close of a channel's ring (ipc/channel_recv.c, channel_reclaim.c): two buffers are on their way or not, and
 * either end closes when it likes.
 *
 *     sender                                    receiver
 *     ------                                    --------
 *     mark, slot (R2)          send()           slot (A2); something? word == HELD(sender)?
 *     producer_closed (R4),    close_tx()          word := HELD(receiver)         recv()
 *        at any time or never                   nothing: producer_closed (A4)?    why_empty()
 *     consumer_closed (A4)?    reclaim()           look once more; nothing: -EPIPE
 *        each word that still says              consumer_closed (R4), its last    close_rx()
 *        HELD(me) := HELD(me), next               act, at any time
 *        generation
 *
 * A sender may look at consumer_closed before it sends (-EPIPE) or may have looked too early and
 * send into a ring that is closed already: that, too, comes back. Here it always does what comes
 * before the end of a channel: it waits for consumer_closed and reclaims.
 *
 * Either may be killed at any step, which is as good as that it closed: the kernel says so, and who
 * hears it has seen what the dead had. That is the thread itself, which looks at a pidfd, or another
 * one of its process, which says so in a flag (pinion_channel_sever(): R4; channel_is_gone(): A4).
 * What the dead held, and the rest of a dead sender's, is left to recovery (handoff.pml).
 *
 * A slot is one location, since ring.pml has the halves. memory.pml has the memory. Ghost: who
 * really holds a buffer. A word is HELD(sender) 0, HELD(receiver) 1, HELD(sender) again 2.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R4_OF_THE_PRODUCER    epipe_only_when_all_was_seen
 *     -DWITHOUT_A4_OF_THE_CONSUMER    epipe_only_when_all_was_seen
 *     -DWITHOUT_THE_LAST_LOOK         epipe_only_when_all_was_seen
 *     -DWITHOUT_R4_OF_THE_CONSUMER    none_is_held_twice
 *     -DWITHOUT_A4_OF_THE_PRODUCER    none_is_held_twice
 *     -DCLOSED_BEFORE_THE_LAST_TAKE   none_is_held_twice
 *     -DRECLAIM_WITHOUT_CLOSED        none_is_held_twice
 *     -DWITHOUT_R4_OF_SEVERING        none_is_held_twice
 *     -DWITHOUT_R4_OF_SEVERING        epipe_only_when_all_was_seen
 *     -DWITHOUT_A4_OF_THE_SEVERED     none_is_held_twice
 *     -DWITHOUT_A4_OF_THE_SEVERED     epipe_only_when_all_was_seen
 *     -DTHE_DEAD_ARE_WAITED_FOR       nobody_waits_for_ever
 *     -DTHE_DEAD_ARE_NOT_HEEDED       none_is_held_twice
 *     -DTHE_DEAD_ARE_NOT_HEEDED       epipe_only_when_all_was_seen
 */

#define N 2

#define SLOT(p) (p)
#define WORD(b) (2 + (b))
#define PRODUCER_CLOSED 4
#define CONSUMER_CLOSED 5
#define SEVERED(end) (6 + (end)) /* private to its process */

#define LOCS 8
#define DEPTH 3
#define THREADS 3
#define SENDER 0
#define RECEIVER 1
#define OTHER_THREAD 2 /* of either */

#include "claim.pml"
#include "memory.pml"

#ifdef WITHOUT_R4_OF_THE_PRODUCER
#define R4_PRODUCER RELAXED
#else
#define R4_PRODUCER RELEASE
#endif
#ifdef WITHOUT_A4_OF_THE_CONSUMER
#define A4_CONSUMER RELAXED
#else
#define A4_CONSUMER ACQUIRE
#endif
#ifdef WITHOUT_R4_OF_THE_CONSUMER
#define R4_CONSUMER RELAXED
#else
#define R4_CONSUMER RELEASE
#endif
#ifdef WITHOUT_A4_OF_THE_PRODUCER
#define A4_PRODUCER RELAXED
#else
#define A4_PRODUCER ACQUIRE
#endif
#ifdef WITHOUT_R4_OF_SEVERING
#define R4_SEVERING RELAXED
#else
#define R4_SEVERING RELEASE
#endif
#ifdef WITHOUT_A4_OF_THE_SEVERED
#define A4_SEVERED RELAXED
#else
#define A4_SEVERED ACQUIRE
#endif

#define WITH_SENDER 0
#define IN_TRANSIT 1
#define WITH_RECEIVER 2

byte holder[N];     /* ghost */
bool killed[THREADS];

#ifdef THE_DEAD_ARE_WAITED_FOR
#define DEAD(who) false
#else
#define DEAD(who) killed[who]
#endif

inline heed_the_dead(me, who)
{
#ifdef THE_DEAD_ARE_NOT_HEEDED
	skip
#else
	heed(me, who)
#endif
}

inline hear_of_death(me, who)
{
	heed_the_dead(me, who);
	closed = 1
}

/* When both have ended: processes end in the order opposite to that of their making. */
active proctype audit()
{
	byte b;

	(_nr_pr == 1);
	do
	:: b < N -> claim(none_is_lost, killed[SENDER] || holder[b] != IN_TRANSIT); b++
	:: else -> break
	od
}

inline sever(end, who)
{
#ifdef THE_DEAD_ARE_WAITED_FOR
	skip
#else
	heed_the_dead(OTHER_THREAD, who);
	store(OTHER_THREAD, SEVERED(end), 1, R4_SEVERING)
#endif
}

/* And the thread that hears of it first. */
active proctype killer()
{
	if
	:: killed[SENDER] = true; sever(RECEIVER, SENDER)
	:: skip
	fi;
	if
	:: killed[RECEIVER] = true; sever(SENDER, RECEIVER)
	:: skip
	fi
}

inline reclaim()
{
#ifndef RECLAIM_WITHOUT_CLOSED
	do
	:: closed -> break
	:: !closed && newest(CONSUMER_CLOSED) -> load(SENDER, CONSUMER_CLOSED, closed, A4_PRODUCER)
	:: !closed && DEAD(RECEIVER) -> hear_of_death(SENDER, RECEIVER)
	:: !closed && newest(SEVERED(SENDER)) -> load(SENDER, SEVERED(SENDER), closed, A4_SEVERED)
	od;
#endif
	do
	:: slot < at ->
		load(SENDER, WORD(slot), word, RELAXED);
		if
		:: word == 0 ->
			atomic {
				claim(none_is_held_twice, holder[slot] == IN_TRANSIT);
				holder[slot] = WITH_SENDER;
				store(SENDER, WORD(slot), 2, RELAXED)
			}
		:: else -> word = 0
		fi;
		slot++
	:: else -> break
	od
}

inline send_and_close()
{
	do
	:: at < N ->
		load(SENDER, CONSUMER_CLOSED, closed, A4_PRODUCER); /* send() gives -EPIPE */
		if
		:: closed -> break
		:: else
		fi;
		d_step {
			holder[at] = IN_TRANSIT;
			at++
		}
		store(SENDER, SLOT(at - 1), 1, RELEASE)
	:: break
	od;
	if
	:: store(SENDER, PRODUCER_CLOSED, 1, R4_PRODUCER)
	:: skip
	fi;
	reclaim()
}

active proctype sender()
{
	byte at, slot, word;
	bit closed;

	{ send_and_close() } unless { killed[SENDER] }
}

/* pre: slot at is published, and was loaded. */
inline take()
{
	load(RECEIVER, WORD(at), word, RELAXED);
	claim(nobody_is_called_a_liar, word == 0);
#ifdef CLOSED_BEFORE_THE_LAST_TAKE
	if
	:: store(RECEIVER, CONSUMER_CLOSED, 1, R4_CONSUMER)
	:: skip
	fi;
#endif
	atomic {
		claim(none_is_held_twice, holder[at] == IN_TRANSIT);
		holder[at] = WITH_RECEIVER;
		store(RECEIVER, WORD(at), 1, RELAXED);
		at++;
		there = 0
	}
}

inline look()
{
	if
	:: at < N -> load(RECEIVER, SLOT(at), there, ACQUIRE)
	:: else
	fi
}

/* recv() until -EPIPE, or until the receiver has had enough. */
inline receive()
{
	do
	:: look();
		if
		:: there -> take()
		:: else ->
			if
			:: load(RECEIVER, PRODUCER_CLOSED, closed, A4_CONSUMER)
			:: DEAD(SENDER) -> hear_of_death(RECEIVER, SENDER)
			:: newest(SEVERED(RECEIVER)) ->
				load(RECEIVER, SEVERED(RECEIVER), closed, A4_SEVERED)
			fi;
			if
			:: closed ->
#ifndef WITHOUT_THE_LAST_LOOK
				look();
#endif
				if
				:: there -> take()
				:: else ->
					claim(epipe_only_when_all_was_seen,
					      at == N || !newest(SLOT(at)));
					break
				fi
			:: else ->
				if
				:: (at < N && newest(SLOT(at))) || newest(PRODUCER_CLOSED) ||
					DEAD(SENDER)
				:: break
				fi
			fi
		fi
	:: break
	od
}

active proctype receiver()
{
	byte at, word;
	bit there, closed;

	{ receive(); store(RECEIVER, CONSUMER_CLOSED, 1, R4_CONSUMER) } unless { killed[RECEIVER] }
}
