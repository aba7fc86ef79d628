/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The depot (pool/depot.h): one magazine and two buffers, which two members hand to one another, while the
 * keeper takes the magazine out and puts it back.
 *
 *     member                                    keeper
 *     ------                                    ------
 *     claim    word, relaxed; DEPOT or EMPTY?   seize    word, relaxed; DEPOT? CAS it to
 *              CAS it to me (A1)                         SERVICE (A1)
 *     copy     contents; an id counts if its    restore  word := DEPOT (R1)
 *              owner word names this magazine   forget   who filled it: CAS DEPOT to DEPOT
 *     alloc    owner word := HELD, and the
 *              payload is written
 *     free     owner word := MAG, next
 *              generation
 *     deposit  contents, word := DEPOT or
 *              EMPTY (R1)
 *
 * The members come three times, whichever likes to; the keeper does one of its acts, or none. What is
 * relaxed in the code is so here: contents, owner words, the first look at the magazine's word.
 * Payloads are plain. memory.pml has the memory. Who stops stops: nobody waits here. What becomes of
 * a magazine whose holder is dead is in handoff.pml.
 *
 * The magazine's word is HELD(member), DEPOT + number of ids (EMPTY: none) or SERVICE + number. An
 * owner word is {generation, holder}.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R1                    none_is_held_twice
 *     -DWITHOUT_R1                    none_is_lost
 *     -DWITHOUT_R1                    payload_is_ones_own
 *     -DWITHOUT_A1                    none_is_held_twice
 *     -DWITHOUT_A1                    none_is_lost
 *     -DWITHOUT_A1                    payload_is_ones_own
 *     -DWITHOUT_R1_OF_THE_KEEPER      none_is_held_twice
 *     -DWITHOUT_A1_OF_THE_KEEPER      none_is_held_twice
 *     -DTHE_WORD_BEFORE_THE_CONTENTS  none_is_lost
 *     -DA_STORE_FOR_THE_CLAIM         none_is_held_twice
 *     -DA_STORE_FOR_FORGETTING        none_is_held_twice
 */

#define NB 2
#define VISITS 3

#define MAGAZINE 0
#define CONTENT(i) (1 + (i))
#define WORD(b) (3 + (b))
#define PAYLOAD(b) (5 + (b))

#define LOCS 7
#define DEPTH 9
#define THREADS 3
#define KEEPER 2

/* Holders: members are 0 and 1. */
#define MAG 2
#define DEPOT 8
#define SERVICE 16

#include "claim.pml"
#include "memory.pml"

#ifdef WITHOUT_R1
#define R1 RELAXED
#else
#define R1 RELEASE
#endif
#ifdef WITHOUT_A1
#define A1 RELAXED
#else
#define A1 ACQUIRE
#endif
#ifdef WITHOUT_R1_OF_THE_KEEPER
#define R1_KEEPER RELAXED
#else
#define R1_KEEPER RELEASE
#endif
#ifdef WITHOUT_A1_OF_THE_KEEPER
#define A1_KEEPER RELAXED
#else
#define A1_KEEPER ACQUIRE
#endif

#define OWNER(g, who) ((g) * 4 + (who))
#define HOLDER(word) ((word) % 4)
#define GENERATION(word) ((word) / 4)

byte visits = VISITS;   /* that are still to come */
byte really[NB] = MAG; /* ghost: who has it */

#define HERE(b) (really[b] == MAG)

inline copy_one(i)
{
	load(self, CONTENT(i), id, RELAXED);
	atomic {
		load(self, WORD(id), owner, RELAXED);
		if
		:: HOLDER(owner) == MAG -> generation[id] = GENERATION(owner); cached[id] = true
		:: else
		fi;
		id = 0;
		owner = 0
	}
}

/* Of what the magazine's word says is in it. */
inline copy()
{
	if
	:: word > DEPOT -> copy_one(0)
	:: else
	fi;
	if
	:: word > DEPOT + 1 -> copy_one(1)
	:: else
	fi;
	claim(none_is_lost, (!HERE(0) || cached[0]) && (!HERE(1) || cached[1]))
}

inline alloc(b)
{
	atomic {
		claim(the_generation_is_of_now, OWNER(generation[b], MAG) == newest(WORD(b)));
		claim(none_is_held_twice, HERE(b));
		really[b] = self;
		cached[b] = false;
		held[b] = true;
		store(self, WORD(b), OWNER(generation[b], self), RELAXED)
	}
	atomic {
		claim(payload_is_ones_own, race_free(self, PAYLOAD(b)));
		store(self, PAYLOAD(b), self, RELAXED)
	}
}

inline free(b)
{
	atomic {
		really[b] = MAG;
		held[b] = false;
		cached[b] = true;
		generation[b]++;
		store(self, WORD(b), OWNER(generation[b], MAG), RELAXED)
	}
}

inline work_on(b)
{
	if
	:: cached[b] -> alloc(b)
	:: held[b] -> free(b)
	:: skip
	fi
}

inline write_contents()
{
	if
	:: cached[0] -> store(self, CONTENT(0), 0, RELAXED)
	:: else
	fi;
	if
	:: cached[1] -> store(self, CONTENT(cached[0]), 1, RELAXED)
	:: else
	fi
}

inline forget_what_was_there(b)
{
	cached[b] = false;
	generation[b] = (held[b] -> generation[b] : 0)
}

inline deposit()
{
#ifndef THE_WORD_BEFORE_THE_CONTENTS
	write_contents();
#endif
	store(self, MAGAZINE, DEPOT + cached[0] + cached[1], R1);
#ifdef THE_WORD_BEFORE_THE_CONTENTS
	write_contents();
#endif
	d_step { forget_what_was_there(0); forget_what_was_there(1) }
}

inline claim_magazine()
{
	load(self, MAGAZINE, word, RELAXED);
	if
	:: word >= DEPOT && word < SERVICE ->
#ifdef A_STORE_FOR_THE_CLAIM
		load(self, MAGAZINE, word, A1);
		store(self, MAGAZINE, self, RELAXED);
		done = true
#else
		cas(self, MAGAZINE, word, self, A1, done)
#endif
	:: else
	fi
}

proctype member(byte self)
{
	byte word, id, owner, generation[NB];
	bool done, cached[NB], held[NB];

	do
	:: atomic { visits > 0 -> visits-- };
		claim_magazine();
		if
		:: done ->
			copy();
			work_on(0);
			work_on(1);
			deposit()
		:: else
		fi;
		d_step { word = 0; done = false }
	:: break
	od
}

inline seize_and_restore()
{
	load(KEEPER, MAGAZINE, word, RELAXED);
	if
	:: word > DEPOT && word < SERVICE ->
		cas(KEEPER, MAGAZINE, word, word - DEPOT + SERVICE, A1_KEEPER, done);
		if
		:: done -> store(KEEPER, MAGAZINE, word, R1_KEEPER)
		:: else
		fi
	:: else
	fi
}

/* Relaxed is enough: the new message carries what the one before did. */
inline forget()
{
	load(KEEPER, MAGAZINE, word, RELAXED);
	if
	:: word > DEPOT && word < SERVICE ->
#ifdef A_STORE_FOR_FORGETTING
		if
		:: word == newest(MAGAZINE) -> store(KEEPER, MAGAZINE, word, RELEASE)
		:: else
		fi
#else
		cas(KEEPER, MAGAZINE, word, word, RELAXED, done)
#endif
	:: else
	fi
}

proctype keeper()
{
	byte word;
	bool done;

	if
	:: seize_and_restore()
	:: forget()
	:: skip
	fi
}

init {
	atomic {
		value[MESSAGE(MAGAZINE, 0)] = DEPOT + 2;
		value[MESSAGE(CONTENT(1), 0)] = 1;
		value[MESSAGE(WORD(0), 0)] = OWNER(1, MAG);
		value[MESSAGE(WORD(1), 0)] = OWNER(1, MAG);
		run member(0);
		run member(1);
		run keeper()
	}
}
