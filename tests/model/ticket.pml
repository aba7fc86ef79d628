/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Tickets (pool/layout.h, cache.c, recovery.c): who has one opens a cache, and finds magazines for it. Here there is
 * one ticket, and as many magazines as one cache takes: one. Two members come for it, twice each.
 *
 *     member                                    keeper, of a member that was killed
 *     ------                                    ------
 *     ticket 0? CAS it to me (A7)  take_ticket()   magazine EMPTY? hint := 1       survey_magazine()
 *     hint? magazine EMPTY?        depot_claim_       the dead's?                  release_image()
 *        CAS it to me (A1),           empty()            hint := 0,
 *        hint := 0                                       magazine := EMPTY (R1),
 *     ...                                                hint := 1
 *     magazine := EMPTY (R1),      rack_destroy()     ticket the dead's? 0 (R7)    release_tickets()
 *        hint := 1
 *     ticket := 0 (R7)             give_ticket()
 *
 * Either member may be killed at any step, one of the two. A hint is set and cleared by fetch-or and
 * fetch-and, relaxed, as in the code; here it is one bit. Who gets no ticket goes. With more tickets
 * than one there are more magazines than all caches together can hold, and what others do with theirs
 * is depot.pml's matter. memory.pml has the memory.
 *
 * Weakenings, and what each breaks (check reads these lines, README.md tells how it comes about):
 *
 *     -DWITHOUT_R7                    who_has_a_ticket_finds_a_magazine
 *     -DWITHOUT_A7                    who_has_a_ticket_finds_a_magazine
 *     -DWITHOUT_R7_OF_RECOVERY        who_has_a_ticket_finds_a_magazine
 *     -DA_STORE_FOR_THE_TICKET        who_has_a_ticket_finds_a_magazine
 *     -DTHE_TICKET_BEFORE_THE_REST    who_has_a_ticket_finds_a_magazine
 *     -DTHE_DEADS_TICKET_FIRST        who_has_a_ticket_finds_a_magazine
 *     -DHINTS_ARE_NOT_SET_AGAIN       who_has_a_ticket_finds_a_magazine
 *     -DTHE_DEADS_TICKET_IS_LEFT      no_ticket_is_lost
 */

#define VISITS 2 /* of each */

#define TICKET 0
#define MAGAZINE 1
#define HINT 2

#define LOCS 3
#define DEPTH 14
#define THREADS 3
#define KEEPER 2

/* What ticket and magazine say, but for who has them: members are 0 and 1. */
#define NOBODY 2

#include "claim.pml"
#include "memory.pml"

#ifdef WITHOUT_R7
#define R7 RELAXED
#else
#define R7 RELEASE
#endif
#ifdef WITHOUT_A7
#define A7 RELAXED
#else
#define A7 ACQUIRE
#endif
#ifdef WITHOUT_R7_OF_RECOVERY
#define R7_OF_RECOVERY RELAXED
#else
#define R7_OF_RECOVERY RELEASE
#endif

bool killed[2];

/* --- member */

inline take_ticket()
{
	load(self, TICKET, it, RELAXED);
	if
	:: it == NOBODY ->
#ifdef A_STORE_FOR_THE_TICKET
		load(self, TICKET, it, A7);
		store(self, TICKET, self, RELAXED);
		has_ticket = true
#else
		cas(self, TICKET, NOBODY, self, A7, has_ticket)
#endif
	:: else
	fi
}

inline claim_magazine()
{
	load(self, HINT, it, RELAXED);
	if
	:: it ->
		load(self, MAGAZINE, it, RELAXED);
		atomic {
			if
			:: it == NOBODY && newest(MAGAZINE) == NOBODY -> /* the CAS */
				swap(self, MAGAZINE, it, self, ACQUIRE);
				has_magazine = true
			:: else
			fi
		}
	:: else
	fi;
	claim(who_has_a_ticket_finds_a_magazine, has_magazine);
	if
	:: has_magazine -> swap(self, HINT, it, 0, RELAXED)
	:: else
	fi
}

inline deposit(who)
{
	store(who, MAGAZINE, NOBODY, RELEASE);
	swap(who, HINT, it, 1, RELAXED)
}

inline close_cache()
{
#ifdef THE_TICKET_BEFORE_THE_REST
	store(self, TICKET, NOBODY, R7);
	deposit(self)
#else
	deposit(self);
	store(self, TICKET, NOBODY, R7)
#endif
}

inline visit()
{
	take_ticket();
	if
	:: has_ticket -> claim_magazine(); close_cache()
	:: else
	fi;
	d_step { it = 0; has_ticket = false; has_magazine = false; visits++ }
}

proctype member(byte self)
{
	byte it, visits;
	bool has_ticket, has_magazine;

	{
		do
		:: visits < VISITS -> visit()
		:: break
		od
	} unless { killed[self] }
}

/* --- keeper */

inline release_ticket()
{
	load(KEEPER, TICKET, it, RELAXED);
	if
	:: it == dead -> store(KEEPER, TICKET, NOBODY, R7_OF_RECOVERY)
	:: else
	fi
}

inline release_magazine()
{
	load(KEEPER, MAGAZINE, it, RELAXED);
	if
#ifndef HINTS_ARE_NOT_SET_AGAIN
	:: it == NOBODY -> swap(KEEPER, HINT, it, 1, RELAXED)
#endif
	:: it == dead -> swap(KEEPER, HINT, it, 0, RELAXED); deposit(KEEPER)
	:: else
	fi
}

inline recover()
{
	heed(KEEPER, dead);
#ifdef THE_DEADS_TICKET_FIRST
	release_ticket();
	release_magazine();
#else
	release_magazine();
#ifndef THE_DEADS_TICKET_IS_LEFT
	release_ticket();
#endif
#endif
	claim(no_ticket_is_lost, newest(TICKET) != dead)
}

proctype keeper()
{
	byte it, dead;

end_nobody_is_dead:
	if
	:: killed[0] -> dead = 0
	:: killed[1] -> dead = 1
	fi;
	recover()
}

proctype killer()
{
	if
	:: killed[0] = true
	:: killed[1] = true
	:: skip
	fi
}

init {
	atomic {
		value[MESSAGE(TICKET, 0)] = NOBODY;
		value[MESSAGE(MAGAZINE, 0)] = NOBODY;
		value[MESSAGE(HINT, 0)] = 1;
		run member(0);
		run member(1);
		run keeper();
		run killer()
	}
}
