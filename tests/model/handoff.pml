/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Owner words (include/pinion/buffer.h), the hand-off of a channel (ipc/channel_send.c, channel_recv.c) and recovery
 * (pool/recovery.c): two members, a ring of two slots, two buffers, three magazines. Either member
 * may die between any two shared accesses, and so may recovery, which is then run again.
 *
 *     sender                      receiver                      recovery
 *     ------                      --------                      --------
 *     refill  magazine word,      receive  slot, copied         recover  slots of the dead: in
 *             its contents                 word HELD(sender,g)?          transit to the living
 *     alloc   word := HELD                 word := HELD, g+1             1 words of the dead not
 *     send    credit                       credit                          in transit := MAG(r,g+1)
 *             last one taken?     free     word := MAG, g+1              2 magazines, from words
 *             mark, slot          deposit  contents,            wait     until the receiver drained
 *     deposit magazine word                magazine word                 the ring, or is dead
 *     receiver dead? for marks:   sender dead and nothing       release  1 and 2 again, for one
 *       word := HELD(me, g+1)       there? drained                       alone: nothing in transit
 *
 * A process dies by going to its end, which it may do wherever it accesses what is shared.
 *
 * Memory here is sequentially consistent: what R1 to R3 and A1 to A3 carry is the matter of recovery.pml,
 * and a slot is one location. What is private is lost with the process, and its steps are taken
 * together with the shared access that follows. What a dead member has written stands still, and is
 * read in one step.
 *
 * Ghost: who really has a buffer. It changes with the step that hands the buffer over, and each
 * step that takes a buffer claims that it is its to take.
 *
 * What is claimed is claimed of every state: while nobody is dead, or the dead were seen to, each
 * buffer has a living holder, or lies in a magazine that will be found, or is on its way to the
 * living. Generations end at LAST, where a buffer is no longer sent or freed; one buffer goes round
 * twice, so that slots are used again; with ONE_SLOT also while the other buffer is still to be
 * taken from it. A member slot is not used again.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DONE_SLOT                         nothing
 *     -DTHE_GENERATION_STANDS_STILL      nobody_is_called_a_liar
 *     -DCREDIT_BEFORE_THE_WORD           nobody_is_called_a_liar
 *     -DCREDIT_BEFORE_THE_WORD           none_is_held_twice
 *     -DTHE_LOOK_AT_SLOTS_IS_LEFT_OUT    none_is_held_twice
 *     -DRELEASE_BEFORE_DRAINED           none_is_held_twice
 *     -DMAGAZINES_BEFORE_WORDS           none_is_lost
 *     -DMAGAZINES_FROM_THEIR_CONTENTS    none_is_held_twice
 *     -DMAGAZINES_FROM_THEIR_CONTENTS    none_is_lost
 *     -DTHE_WORD_BEFORE_THE_CONTENTS     none_is_lost
 *     -DRECLAIM_IS_LEFT_OUT              none_is_lost
 */

#define LAST(b) ((b) == 0 -> 4 : 2)

#define NB 2
#define NM 3
#ifdef CREDIT_BEFORE_THE_WORD
#define ONE_SLOT
#endif
#ifdef ONE_SLOT
#define SLOTS 1
#else
#define SLOTS 2
#endif

/* Holders: of words, magazines, and really. */
#define SENDER 0
#define RECEIVER 1
#define MAG 2 /* and up: a magazine (of words) */
#define DEPOT 5
#define EMPTY 6
#define SERVICE 7
#define TRANSIT 8
#define LOST 9 /* its holder is dead */
#define NONE 15

#include "claim.pml"

/* Shared memory. */
byte word_holder[NB];
byte word_generation[NB];
byte magazine[NM];       /* holder */
byte content[NM * NB];   /* by magazine and id: generation, 0: not in it */
byte slot_id[2]; /* SLOTS of them are used */
byte slot_generation[2];
bit slot_lap[2];
byte credit;             /* positions here are modulo two laps */

/* What pidfds tell, and members acknowledge. */
bit dead[2];
bit drained;             /* the receiver, of the dead sender's ring */
bit released[2];
bit reclaimed;           /* by the sender, of the dead receiver's ring */

bit about[2];            /* whom recovery is about just now */
byte really[NB];         /* ghost */

hidden byte h;
hidden byte k;

#define CONTENT(m, b) content[(m) * NB + (b)]
#define WORD_IS(b, g, who) (word_holder[b] == (who) && word_generation[b] == (g))
#define NEXT(p) (((p) + 1) % (2 * SLOTS))
#define LAP(p) (1 - (p) / SLOTS)
#define AHEAD(p, q) (((p) + 2 * SLOTS - (q)) % (2 * SLOTS)) /* from q to p */

#ifdef THE_GENERATION_STANDS_STILL
#define RAISE(g) (g)
#else
#define RAISE(g) ((g) + 1)
#endif

inline set_word(b, g, who)
{
	word_generation[b] = g;
	word_holder[b] = who;
	printf("word %d := {%d, holder %d}\n", b, g, who)
}

/* Ghost: the buffer goes from one holder to the next. */
inline hand(b, from, to)
{
	claim(none_is_held_twice, really[b] == (from));
	really[b] = to
}

/* The rest of what dies is private, and cleared so that no state is told from another by it. */
inline die(me)
{
	dead[me] = 1;
	for (h : 0 .. NB - 1) {
		if
		:: really[h] == me -> really[h] = LOST
		:: else
		fi
	}
	h = 0;
	printf("%d dies\n", me)
}

/* A magazine for what is freed, and its way back to the depot. Private: mine, mine's contents in
 * cached[]. */
inline take_empty()
{
	d_step {
		k = 0;
		do
		:: k < NM && magazine[k] != EMPTY -> k++
		:: else -> break
		od;
		if
		:: k < NM ->
			magazine[k] = RECEIVER;
			mine = k;
			printf("receiver takes magazine %d\n", k)
		:: else
		fi
	}
}

inline free(b)
{
	d_step {
		hand(b, RECEIVER, MAG + mine);
		cached[b] = RAISE(held[b]);
		held[b] = 0;
		set_word(b, cached[b], MAG + mine);
		printf("receiver frees %d\n", b)
	}
}

inline write_contents()
{
	CONTENT(mine, 0) = cached[0];
	CONTENT(mine, 1) = cached[1]
}

inline write_magazine_word(me)
{
	magazine[mine] = (cached[0] || cached[1] -> DEPOT : EMPTY);
	printf("%d deposits magazine %d\n", me, mine)
}

inline let_go()
{
	mine = NONE;
	cached[0] = 0;
	cached[1] = 0
}

inline deposit()
{
#ifdef THE_WORD_BEFORE_THE_CONTENTS
	d_step { write_magazine_word(RECEIVER) }
	if
	:: d_step { write_contents(); let_go() }
	:: goto dies
	fi
#else
	d_step { write_contents() }
	if
	:: d_step { write_magazine_word(RECEIVER); let_go() }
	:: goto dies
	fi
#endif
}

/* --- sender */

inline refill()
{
	d_step {
		k = 0;
		do
		:: k < NM && magazine[k] != DEPOT -> k++
		:: else -> break
		od;
		if
		:: k < NM -> magazine[k] = SENDER; mine = k; printf("sender refills from %d\n", k)
		:: else
		fi
	}
	if
	:: mine != NONE -> d_step { cached[0] = CONTENT(mine, 0); cached[1] = CONTENT(mine, 1) }
	:: mine != NONE -> goto dies
	:: else
	fi
}

inline alloc(b)
{
	d_step {
		hand(b, MAG + mine, SENDER);
		held[b] = cached[b];
		cached[b] = 0;
		set_word(b, held[b], SENDER);
		printf("sender allocates %d\n", b)
	}
}

/* The slot's last buffer: b is sent only if that was taken. */
inline send(b)
{
	if
	:: AHEAD(at, known) == SLOTS -> known = credit
	:: else
	fi;
	if
	:: AHEAD(at, known) < SLOTS ->
		claim(nobody_is_called_a_liar,
		      !out_generation[at % SLOTS] ||
		      !WORD_IS(out_id[at % SLOTS], out_generation[at % SLOTS], SENDER));
		if
		:: d_step {
				hand(b, SENDER, TRANSIT);
				out_id[at % SLOTS] = b;
				out_generation[at % SLOTS] = held[b];
				slot_id[at % SLOTS] = b;
				slot_generation[at % SLOTS] = held[b];
				slot_lap[at % SLOTS] = LAP(at);
				held[b] = 0;
				printf("sender sends %d in slot %d\n", b, at % SLOTS);
				at = NEXT(at)
			}
		:: goto dies
		fi
	:: else
	fi
}

/* The receiver is dead: pre. */
inline reclaim(s)
{
	if
	:: d_step {
			if
			:: out_generation[s] && WORD_IS(out_id[s], out_generation[s], SENDER) ->
				hand(out_id[s], TRANSIT, SENDER);
				held[out_id[s]] = out_generation[s] + 1;
				set_word(out_id[s], held[out_id[s]], SENDER);
				printf("sender takes %d back\n", out_id[s])
			:: else
			fi;
			out_generation[s] = 0;
			out_id[s] = 0
		}
	:: goto dies
	fi
}

#define MAY_SEND(b) (held[b] && held[b] < LAST(b) && !dead[RECEIVER])
#define MAY_FREE(b) (held[b] && held[b] < LAST(b) && mine != NONE)

proctype sender()
{
	byte held[NB], cached[NB], out_id[2], out_generation[2], at, known;
	byte mine = NONE;

end:	do
	:: mine == NONE -> refill()
	:: cached[0] -> alloc(0)
	:: !cached[0] && cached[1] -> alloc(1)
	:: mine != NONE && !cached[0] && !cached[1] ->
		d_step { write_magazine_word(SENDER); let_go() }
	:: MAY_SEND(0) -> send(0)
	:: MAY_SEND(1) -> send(1)
	:: dead[RECEIVER] && !reclaimed ->
#ifndef RECLAIM_IS_LEFT_OUT
		reclaim(0);
		reclaim(1);
#endif
		reclaimed = 1
	:: goto dies
	od;
dies:
	atomic {
		die(SENDER);
		held[0] = 0;
		held[1] = 0;
		cached[0] = 0;
		cached[1] = 0;
		out_id[0] = 0;
		out_id[1] = 0;
		out_generation[0] = 0;
		out_generation[1] = 0;
		at = 0;
		known = 0;
		mine = 0
	}
}

/* --- receiver */

inline give()
{
	d_step { credit = at; printf("receiver gives credit\n") }
}

inline receive()
{
	d_step {
		id = slot_id[at % SLOTS];
		generation = slot_generation[at % SLOTS];
		at = NEXT(at);
		printf("receiver copies a slot: {%d, %d}\n", generation, id)
	}
	claim(nobody_is_called_a_liar, WORD_IS(id, generation, SENDER));
#ifdef CREDIT_BEFORE_THE_WORD
	if
	:: give()
	:: goto dies
	fi;
#endif
	if
	:: d_step {
			hand(id, TRANSIT, RECEIVER);
			held[id] = RAISE(generation);
			set_word(id, held[id], RECEIVER);
			id = 0;
			generation = 0
		}
	:: goto dies
	fi
#ifndef CREDIT_BEFORE_THE_WORD
	;
	if
	:: give()
	:: goto dies
	fi
#endif
}

#define PUBLISHED(p) (slot_generation[(p) % SLOTS] && slot_lap[(p) % SLOTS] == LAP(p))

proctype receiver()
{
	byte held[NB], cached[NB], id, generation, at;
	byte mine = NONE;

end:	do
	:: PUBLISHED(at) -> receive()
	:: dead[SENDER] && !drained && !PUBLISHED(at) -> drained = 1
	:: mine == NONE && (held[0] || held[1]) -> take_empty()
	:: MAY_FREE(0) -> free(0)
	:: !MAY_FREE(0) && MAY_FREE(1) -> free(1)
	:: cached[0] || cached[1] -> deposit()
	:: goto dies
	od;
dies:
	atomic {
		die(RECEIVER);
		held[0] = 0;
		held[1] = 0;
		cached[0] = 0;
		cached[1] = 0;
		id = 0;
		generation = 0;
		at = 0;
		mine = 0
	}
}

/* --- recovery */

#define IMAGE(m, b) image[(m) * NB + (b)]
#define OF_THE_DEAD(who) ((who) == SENDER && about[SENDER] || (who) == RECEIVER && about[RECEIVER])
#define IN_TRANSIT(b) (transit && word_holder[b] == SENDER &&                                      \
		       (slot_id[0] == (b) && slot_generation[0] == word_generation[b] ||           \
			slot_id[1] == (b) && slot_generation[1] == word_generation[b]))

/* Which magazines are ours, and what the words say is in them. */
inline survey()
{
	d_step {
		for (h : 0 .. NM - 1) {
			ours[h] = OF_THE_DEAD(magazine[h]) || magazine[h] == SERVICE;
			for (k : 0 .. NB - 1) {
#ifdef MAGAZINES_FROM_THEIR_CONTENTS
				IMAGE(h, k) = (ours[h] -> CONTENT(h, k) : 0)
#else
				IMAGE(h, k) = (ours[h] && word_holder[k] == MAG + h ->
					       word_generation[k] : 0)
#endif
			}
		}
		h = 0;
		k = 0
	}
}

/* r := a magazine of ours; else an empty one, or one of the depot with room, becomes SERVICE's. */
inline find_room(b)
{
	d_step {
		r = 0;
		do
		:: r < NM && !ours[r] -> r++
		:: else -> break
		od
	}
	if
	:: r == NM ->
		d_step {
			r = 0;
			do
			:: r < NM && magazine[r] != EMPTY -> r++
			:: else -> break
			od;
			if
			:: r == NM ->
				r = 0;
				do
				:: r < NM && !(magazine[r] == DEPOT &&
					       (!CONTENT(r, 0) || !CONTENT(r, 1))) -> r++
				:: else -> break
				od;
				IMAGE(r, 0) = CONTENT(r, 0);
				IMAGE(r, 1) = CONTENT(r, 1)
			:: else
			fi;
			claim(recovery_finds_a_magazine, r < NM);
			magazine[r] = SERVICE;
			ours[r] = 1;
			printf("recovery claims magazine %d\n", r)
		}
	:: else
	fi
}

/* Step 1. What was really on its way to a dead receiver is nobody's now. */
inline move_word(b)
{
	if
	:: OF_THE_DEAD(word_holder[b]) && !IN_TRANSIT(b) ->
		d_step { was_holder = word_holder[b]; was_generation = word_generation[b] }
		find_room(b);
		if
		:: d_step {
				if
				:: WORD_IS(b, was_generation, was_holder) -> /* the CAS */
					if
					:: really[b] == TRANSIT && dead[RECEIVER] ->
						really[b] = LOST
					:: else
					fi;
					hand(b, LOST, MAG + r);
					IMAGE(r, b) = was_generation + 1;
					set_word(b, was_generation + 1, MAG + r);
					printf("recovery moves %d\n", b)
				:: else
				fi;
				was_holder = 0;
				was_generation = 0;
				r = 0
			}
		:: goto dies
		fi
	:: else
	fi
}

/* Step 2. */
inline release_magazine(m)
{
	if
	:: ours[m] -> d_step { CONTENT(m, 0) = IMAGE(m, 0); CONTENT(m, 1) = IMAGE(m, 1) }
		if
		:: d_step {
				magazine[m] = (IMAGE(m, 0) || IMAGE(m, 1) -> DEPOT : EMPTY);
#ifndef MAGAZINES_BEFORE_WORDS
				ours[m] = 0;
				IMAGE(m, 0) = 0;
				IMAGE(m, 1) = 0;
#endif
				printf("recovery releases magazine %d\n", m)
			}
		:: goto dies
		fi
	:: ours[m] -> goto dies
	:: else
	fi
}

inline release_magazines()
{
	release_magazine(0);
	release_magazine(1);
	release_magazine(2)
}

/* About about[], with what is in transit left alone or not. */
inline recover()
{
	survey();
#ifdef MAGAZINES_BEFORE_WORDS
	release_magazines();
#endif
	move_word(0);
	move_word(1)
#ifndef MAGAZINES_BEFORE_WORDS
	;
	release_magazines()
#endif
}

/* All of D, when nothing is known of the receiver but that it lives, or is dead, too. */
inline recover_all()
{
	d_step {
		about[SENDER] = dead[SENDER] && !released[SENDER];
		about[RECEIVER] = dead[RECEIVER] && !released[RECEIVER];
#ifndef THE_LOOK_AT_SLOTS_IS_LEFT_OUT
		transit = !dead[RECEIVER];
#endif
		printf("recovery: about sender %d, receiver %d\n", about[SENDER], about[RECEIVER])
	}
	recover();
	d_step { about[SENDER] = 0; about[RECEIVER] = 0 }
}

/* One alone, of whom nothing can be in transit any more. */
inline release(me)
{
	d_step {
		about[SENDER] = 0;
		about[RECEIVER] = 0;
		about[me] = 1;
		transit = 0;
		printf("recovery: release of %d\n", me)
	}
	recover();
	d_step { released[me] = 1; about[me] = 0 }
}

#ifdef RELEASE_BEFORE_DRAINED
#define NOTHING_IN_TRANSIT 1
#else
#define NOTHING_IN_TRANSIT (drained || dead[RECEIVER])
#endif

#define UNSEEN(me) (dead[me] && !released[me])

proctype recovery()
{
	byte image[NM * NB], r, was_holder, was_generation;
	byte deaths; /* heard of */
	bit ours[NM], transit;

end:	do
	:: deaths < dead[SENDER] + dead[RECEIVER] && (UNSEEN(SENDER) || UNSEEN(RECEIVER)) ->
		deaths = dead[SENDER] + dead[RECEIVER];
		recover_all()
	:: UNSEEN(RECEIVER) -> release(RECEIVER)
	:: UNSEEN(SENDER) && NOTHING_IN_TRANSIT -> release(SENDER)
	od;
dies:
	atomic {
		for (h : 0 .. NM - 1) {
			ours[h] = 0;
			IMAGE(h, 0) = 0;
			IMAGE(h, 1) = 0
		}
		h = 0;
		about[SENDER] = 0;
		about[RECEIVER] = 0;
		r = 0;
		was_holder = 0;
		was_generation = 0;
		transit = 0;
		deaths = 0;
		printf("recovery dies\n")
	}
	goto end
}

/* --- at any time */

#define IN_GOOD_HANDS(b)                                                                           \
	(really[b] <= RECEIVER && word_holder[b] == really[b] && !dead[really[b]] ||               \
	 really[b] >= MAG && really[b] < MAG + NM && word_holder[b] == really[b] &&                \
		 (magazine[really[b] - MAG] <= RECEIVER && !dead[magazine[really[b] - MAG]] ||     \
		  magazine[really[b] - MAG] == DEPOT &&                                            \
			  CONTENT(really[b] - MAG, b) == word_generation[b]) ||                    \
	 really[b] == TRANSIT && !dead[SENDER] && !dead[RECEIVER])

/* The dead were seen to. */
#define QUIET                                                                                      \
	((!dead[SENDER] || released[SENDER]) && (!dead[RECEIVER] || released[RECEIVER]) &&         \
	 (dead[SENDER] || !dead[RECEIVER] || reclaimed))

active proctype audit()
{
end:	do
	:: d_step {
			QUIET && !(IN_GOOD_HANDS(0) && IN_GOOD_HANDS(1)) ->
			claim(none_is_lost, false)
		}
	od
}

init {
	atomic {
		magazine[0] = DEPOT;
		magazine[1] = EMPTY;
		magazine[2] = EMPTY;
		for (h : 0 .. NB - 1) {
			word_generation[h] = 1;
			word_holder[h] = MAG;
			CONTENT(0, h) = 1;
			really[h] = MAG
		}
		h = 0;
		run sender();
		run receiver();
		run recovery()
	}
}
