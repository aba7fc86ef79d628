/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The hand-off of handoff.pml and the recovery after a death, in a memory as weak as C11 allows: two buffers go there,
 * one comes back, and at any step one of the two members dies (include/pinion/buffer.h, ipc/channel_send.c,
 * channel_recv.c, channel_reclaim.c, pool/depot.c, pool/recovery.c).
 *
 *     sender                          receiver                        keeper, when one is dead
 *     ------                          --------                        ------------------------
 *     alloc   word := HELD(me, g)     slot (A2); word ==              heed it
 *     credit (A3); is the word of     HELD(sender, g)?                slots of a dead sender: in transit
 *             the slot's last buffer  word := HELD(me, g+1)           magazines of the dead, words in them
 *             another by now?         credit (R3)                     each word HELD(dead), not in transit:
 *     send    slot (R2)               free    word := MAG(m, g+1)        CAS to MAG(r, g+1)
 *     refill  CAS of a magazine       deposit contents, DEPOT (R1)    its magazines: contents, DEPOT (R1)
 *             (A1), contents, words,  sender dead? heed it, take      a dead sender's: wait until the
 *             alloc                      what is there; drained          receiver drained, heed it; words
 *     receiver dead? heed it          refill, as the sender              again, none in transit
 *        word still HELD(me, g)?
 *        := HELD(me, g+1)
 *
 * Every access to an owner word is relaxed. What is read there is carried by R2-A2, R3-A3, R1-A1, by the kernel, which
 * lets whoever hears of a death see all that the dead has seen, and by the receiver's word that it has drained the
 * ring: the claims say that this is enough, the weakenings that each is needed. The last two of them have a second
 * line of defence: CAS or the receiver's word, either alone will do.
 *
 * The sender has magazine 0 in hand at the start, with both buffers, the receiver 1, empty; 2 lies in the depot, empty.
 * Both buffers go through one slot, so that the second waits for credit. The receiver may free the first, and either
 * may refill once from what it finds, from the other's deposit or from what recovery has released, and take one.
 *
 * Left out: both dead, a keeper that is killed, a buffer that goes round twice (handoff.pml has them, sequentially
 * consistent). A slot is one location that names its position instead of a lap (ring.pml has halves and laps); contents
 * are one location, a set of ids, and the CAS of a magazine does not fail (depot.pml). There are no hints, tickets,
 * payloads and batches.
 *
 * Ghost: who really has a buffer. memory.pml has the memory.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R2                      nobody_is_called_a_liar
 *     -DWITHOUT_A2                      nobody_is_called_a_liar
 *     -DWITHOUT_R3                      nobody_is_called_a_liar
 *     -DWITHOUT_A3                      nobody_is_called_a_liar
 *     -DCREDIT_BEFORE_THE_WORD          nobody_is_called_a_liar
 *     -DCREDIT_BEFORE_THE_WORD          none_is_held_twice
 *     -DWITHOUT_R1_OF_THE_MEMBER        none_is_lost
 *     -DWITHOUT_R1_OF_RECOVERY          none_is_lost
 *     -DWITHOUT_A1                      none_is_lost
 *     -DTHE_WORD_BEFORE_THE_CONTENTS    none_is_lost
 *     -DTHE_KEEPER_HEEDS_NOBODY         none_is_lost
 *     -DTHE_SENDER_HEEDS_NOBODY         none_is_held_twice
 *     -DTHE_RECEIVER_HEEDS_NOBODY       drained_when_all_was_taken
 *     -DTHE_LOOK_AT_SLOTS_IS_LEFT_OUT   none_is_held_twice
 *     -DRELEASE_BEFORE_DRAINED          none_is_held_twice
 *     -DDRAINED_CARRIES_NOTHING         nothing
 *     -DA_STORE_FOR_THE_CAS             nothing
 *     -DNEITHER_OF_THE_TWO              none_is_held_twice
 */

#define NB 2
#define NM 3

#define SLOT 0
#define CREDIT 1
#define WORD(b) (2 + (b))
#define MAGAZINE(m) (4 + (m))
#define CONTENT(m) (7 + (m))

#define LOCS 10
#define DEPTH 9
#define THREADS 3
#define SENDER 0
#define RECEIVER 1
#define KEEPER 2

/* Holders: of words, magazines, and really. */
#define MAG(m) (2 + (m))
#define DEPOT 5
#define EMPTY 6
#define SERVICE 7
#define TRANSIT 8
#define LOST 9 /* its holder is dead */

#include "claim.pml"
#include "memory.pml"

#define OWNER(g, who) ((g) * 8 + (who))
#define HOLDER(word) ((word) % 8)
#define GENERATION(word) ((word) / 8)

/* Never 0. */
#define SLOT_VALUE(p, g, b) ((p) * 64 + (g) * 2 + (b))
#define PUBLISHED(slot, p) ((slot) && (slot) / 64 == (p))
#define SLOT_GENERATION(slot) ((slot) % 64 / 2)
#define SLOT_ID(slot) ((slot) % 2)

#ifdef NEITHER_OF_THE_TWO
#define DRAINED_CARRIES_NOTHING
#define A_STORE_FOR_THE_CAS
#endif

#ifdef WITHOUT_R1_OF_THE_MEMBER
#define R1_MEMBER RELAXED
#else
#define R1_MEMBER RELEASE
#endif
#ifdef WITHOUT_R1_OF_RECOVERY
#define R1_RECOVERY RELAXED
#else
#define R1_RECOVERY RELEASE
#endif
#ifdef WITHOUT_A1
#define A1 RELAXED
#else
#define A1 ACQUIRE
#endif
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

bool killed[2];
bool reclaimed; /* by the sender, of the dead receiver's ring */
bool drained;   /* by the receiver, of the dead sender's */
bool released;
byte really[NB]; /* ghost */

/* Ghost: the buffer goes from one holder to the next. */
inline hand(b, from, to)
{
	claim(none_is_held_twice, really[b] == (from));
	really[b] = to
}

inline lose(who)
{
	if
	:: really[0] == who -> really[0] = LOST
	:: else
	fi;
	if
	:: really[1] == who -> really[1] = LOST
	:: else
	fi
}

proctype killer()
{
end_nobody_dies:
	if
	:: d_step { killed[SENDER] = true; lose(SENDER); printf("the sender dies\n") }
	:: d_step { killed[RECEIVER] = true; lose(RECEIVER); printf("the receiver dies\n") }
	fi
}

/* --- either member */

/* An id in a magazine's contents counts if its word agrees. */
inline copy_one(me)
{
	load(me, WORD(b), word, RELAXED);
	d_step {
		copied = (HOLDER(word) == MAG(m) -> copied | 1 << b : copied);
		generation[b] = GENERATION(word);
		word = 0
	}
}

#define FOUND(which) (really[which] != MAG(m) || copied & (1 << (which)))

inline copy(me)
{
	load(me, CONTENT(m), set, RELAXED);
	for (b : 0 .. NB - 1) {
		if
		:: set & (1 << b) -> copy_one(me)
		:: else
		fi
	}
	claim(none_is_lost, FOUND(0) && FOUND(1))
}

/* One of what was found. The others stay in the magazine, which is ours. */
inline alloc(me)
{
	atomic {
		copied -> b = (copied & 1 -> 0 : 1);
		claim(the_generation_is_of_now, OWNER(generation[b], MAG(m)) == newest(WORD(b)));
		hand(b, MAG(m), me);
		store(me, WORD(b), OWNER(generation[b], me), RELAXED)
	}
}

#define IN_DEPOT(which) (newest(MAGAZINE(which)) == DEPOT)

/* The CAS of a magazine: depot.pml has those that fail. */
inline refill(me, other)
{
	atomic {
		visits && (IN_DEPOT(1) || IN_DEPOT(other));
		visits--;
		if
		:: IN_DEPOT(1) -> m = 1
		:: IN_DEPOT(other) -> m = other
		fi;
		swap(me, MAGAZINE(m), word, me, A1)
	}
	copy(me);
	alloc(me);
	d_step {
		copied = 0;
		set = 0;
		b = 0;
		m = 0;
		generation[0] = 0;
		generation[1] = 0
	}
}

/* --- sender */

/* The slot's last buffer must have been taken. */
inline check()
{
	do
	:: credit == at -> break
	:: credit != at && newest(CREDIT) == at -> load(SENDER, CREDIT, credit, A3)
	:: killed[RECEIVER] -> goto sent
	od;
	load(SENDER, WORD(at - 1), word, RELAXED);
	claim(nobody_is_called_a_liar, word != OWNER(1, SENDER));
	word = 0
}

/* The buffer's number is its position's. */
inline send()
{
	atomic {
		hand(at, SENDER, TRANSIT);
		at++;
		store(SENDER, SLOT, SLOT_VALUE(at - 1, 1, at - 1), R2)
	}
}

inline first_alloc()
{
	atomic {
		hand(at, MAG(0), SENDER);
		store(SENDER, WORD(at), OWNER(1, SENDER), RELAXED)
	}
}

inline reclaim()
{
#ifndef THE_SENDER_HEEDS_NOBODY
	heed(SENDER, RECEIVER);
#endif
	if
	:: at ->
		load(SENDER, WORD(at - 1), word, RELAXED);
		if
		:: word == OWNER(1, SENDER) ->
			atomic {
				hand(at - 1, TRANSIT, SENDER);
				store(SENDER, WORD(at - 1), OWNER(2, SENDER), RELAXED)
			}
		:: else
		fi;
		word = 0
	:: else
	fi;
	reclaimed = true
}

inline send_all()
{
	first_alloc();
	send();
	first_alloc();
	check();
	send();
sent:
end_sender:
	do
	:: refill(SENDER, 2)
	:: killed[RECEIVER] && !reclaimed -> reclaim()
	od
}

proctype sender()
{
	byte at, credit, word, m, b, set, copied, generation[NB], visits = 1;

	{ send_all() } unless { killed[SENDER] }
}

/* --- receiver */

inline take()
{
	load(RECEIVER, WORD(SLOT_ID(slot)), word, RELAXED);
	claim(nobody_is_called_a_liar, word == OWNER(SLOT_GENERATION(slot), SENDER));
	word = 0;
#ifdef CREDIT_BEFORE_THE_WORD
	store(RECEIVER, CREDIT, at + 1, R3);
#endif
	atomic {
		hand(SLOT_ID(slot), TRANSIT, RECEIVER);
		store(RECEIVER, WORD(SLOT_ID(slot)), OWNER(SLOT_GENERATION(slot) + 1, RECEIVER), RELAXED);
		at++
	}
#ifndef CREDIT_BEFORE_THE_WORD
	store(RECEIVER, CREDIT, at, R3)
#endif
}

inline receive()
{
	load(RECEIVER, SLOT, slot, A2);
	if
	:: PUBLISHED(slot, at) -> take()
	:: else -> nothing = hears
	fi;
	d_step {
		slot = 0;
		drained = nothing;
		claim(drained_when_all_was_taken,
		      !drained || really[0] != TRANSIT && really[1] != TRANSIT)
	}
}

/* What comes after that is the last look, once nothing is there. */
inline hear()
{
#ifndef THE_RECEIVER_HEEDS_NOBODY
	heed(RECEIVER, SENDER);
#endif
	hears = true
}

inline free_and_deposit()
{
	atomic {
		hand(0, RECEIVER, MAG(1));
		mine = false;
		store(RECEIVER, WORD(0), OWNER(3, MAG(1)), RELAXED)
	}
	store(RECEIVER, CONTENT(1), 1, RELAXED);
	store(RECEIVER, MAGAZINE(1), DEPOT, R1_MEMBER)
}

inline receive_all()
{
end_receiver:
	do
	:: (PUBLISHED(newest(SLOT), at) || hears) && !drained -> receive()
	:: at && mine -> free_and_deposit()
	:: killed[SENDER] && !hears -> hear()
	:: refill(RECEIVER, 0)
	od
}

proctype receiver()
{
	byte at, slot, word, m, b, set, copied, generation[NB], visits = 1;
	bool mine = true, hears, nothing;

	{ receive_all() } unless { killed[RECEIVER] }
}

/* --- keeper */

inline survey()
{
	for (m : 0 .. NM - 1) {
		load(KEEPER, MAGAZINE(m), word, RELAXED);
		ours[m] = word == it;
	}
}

/* A word that names one of our magazines belongs into its image. */
inline gather()
{
	for (b : 0 .. NB - 1) {
		load(KEEPER, WORD(b), word, RELAXED);
		if
		:: HOLDER(word) >= MAG(0) && ours[HOLDER(word) - MAG(0)] ->
			image[HOLDER(word) - MAG(0)] = image[HOLDER(word) - MAG(0)] | 1 << b
		:: else
		fi
	}
}

/* One of ours, or the one that is empty: no member takes that one here. */
inline find_room()
{
	if
	:: ours[0] -> r = 0
	:: ours[1] -> r = 1
	:: ours[2] -> r = 2
	:: else ->
		r = 2;
		swap(KEEPER, MAGAZINE(2), was, SERVICE, A1);
		claim(recovery_finds_a_magazine, was == EMPTY);
		ours[2] = true
	fi
}

#define IN_TRANSIT(b) (transit && SLOT_ID(transit) == (b) && SLOT_GENERATION(transit) == GENERATION(word))

#define RAISED OWNER(GENERATION(word) + 1, MAG(r))
#ifdef A_STORE_FOR_THE_CAS
#define AS_IT_WAS true
#else
#define AS_IT_WAS (newest(WORD(b)) == word)
#endif

/* Step 1. A CAS that fails is one that stores what was there. */
inline move_word()
{
	load(KEEPER, WORD(b), word, RELAXED);
	if
	:: HOLDER(word) == it && !IN_TRANSIT(b) ->
		find_room();
		atomic {
			done = AS_IT_WAS;
			claim(none_is_held_twice, !done || really[b] == LOST);
			really[b] = (done -> MAG(r) : really[b]);
			image[r] = image[r] | done << b;
			to = (done -> RAISED : newest(WORD(b)));
			swap(KEEPER, WORD(b), was, to, RELAXED);
			done = false
		}
		r = 0;
		to = 0;
		was = 0
	:: else
	fi
}

/* Step 2. */
inline release_magazine()
{
	to = (image[m] -> DEPOT : EMPTY);
#ifdef THE_WORD_BEFORE_THE_CONTENTS
	store(KEEPER, MAGAZINE(m), to, R1_RECOVERY);
	store(KEEPER, CONTENT(m), image[m], RELAXED)
#else
	store(KEEPER, CONTENT(m), image[m], RELAXED);
	store(KEEPER, MAGAZINE(m), to, R1_RECOVERY)
#endif
}

inline release_magazines()
{
	for (m : 0 .. NM - 1) {
		if
		:: ours[m] -> release_magazine()
		:: else
		fi;
		d_step { ours[m] = false; image[m] = 0; to = 0 }
	}
}

inline recover()
{
	survey();
	gather();
	for (b : 0 .. NB - 1) {
		move_word()
	}
	release_magazines();
	word = 0
}

inline heed_the_dead()
{
#ifndef THE_KEEPER_HEEDS_NOBODY
	heed(KEEPER, it);
#endif
#ifndef THE_LOOK_AT_SLOTS_IS_LEFT_OUT
	load(KEEPER, SLOT, transit, RELAXED);
#endif
	skip
}

/* The receiver's word comes through a socket, or the rendezvous: the kernel orders it. */
inline hear_that_it_drained()
{
	transit = 0;
#ifndef RELEASE_BEFORE_DRAINED
	drained;
#endif
#ifndef DRAINED_CARRIES_NOTHING
	heed(KEEPER, RECEIVER)
#endif
}

/* Nothing is in transit to a dead receiver; what it was sent is its sender's to take back. */
proctype keeper()
{
	byte it, word, was, to, m, b, r, transit, image[NM];
	bool done, again, ours[NM];

end_all_live:
	if
	:: killed[SENDER] -> it = SENDER
	:: killed[RECEIVER] -> it = RECEIVER
	fi;
	heed_the_dead();
	do
	:: recover();
		if
		:: it == SENDER && !again -> hear_that_it_drained(); again = true
		:: else -> break
		fi
	od;
	released = true
}

/* --- at any time */

#define IN_GOOD_HANDS(b)                                                                           \
	(really[b] <= RECEIVER && HOLDER(newest(WORD(b))) == really[b] ||                          \
	 really[b] >= MAG(0) && really[b] <= MAG(2) && HOLDER(newest(WORD(b))) == really[b] &&     \
		 (newest(MAGAZINE(really[b] - MAG(0))) <= RECEIVER &&                              \
			  !killed[newest(MAGAZINE(really[b] - MAG(0)))] ||                         \
		  newest(MAGAZINE(really[b] - MAG(0))) == DEPOT &&                                 \
			  newest(CONTENT(really[b] - MAG(0))) & (1 << b)) ||                       \
	 really[b] == TRANSIT && !killed[SENDER] && !killed[RECEIVER])

/* The dead were seen to. */
#define SEEN_TO (killed[SENDER] && released || killed[RECEIVER] && released && reclaimed)

proctype audit()
{
end:	do
	:: d_step { SEEN_TO && !(IN_GOOD_HANDS(0) && IN_GOOD_HANDS(1)) -> claim(none_is_lost, false) }
	od
}

init {
	atomic {
		value[MESSAGE(MAGAZINE(0), 0)] = SENDER;
		value[MESSAGE(MAGAZINE(1), 0)] = RECEIVER;
		value[MESSAGE(MAGAZINE(2), 0)] = EMPTY;
		value[MESSAGE(WORD(0), 0)] = OWNER(1, MAG(0));
		value[MESSAGE(WORD(1), 0)] = OWNER(1, MAG(0));
		really[0] = MAG(0);
		really[1] = MAG(0);
		run killer();
		run sender();
		run receiver();
		run keeper();
		run audit()
	}
}
