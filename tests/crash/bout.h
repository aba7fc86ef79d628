/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_BOUT_H
#define PINION_TESTS_BOUT_H

/*
 * Two children at once: FIRST stopped within an operation, and SECOND does not wait.
 *
 *     FIRST    steps to N ....................... goes on to its end, and is right
 *     SECOND              steps to its end, and is right, within bounded steps
 *     tracer              after each: both die here, at (N, M)
 *
 * and the same with SECOND killed at M: the keeper recovers it, and FIRST goes on as if nothing had
 * happened. N is each store of FIRST, and more; M, where both die, is each step of SECOND.
 *
 * Who sleeps for as long as it takes is stopped in front of that, until the other has ended. Who
 * has a short time limit sleeps, and that limit is what ends it beside one that is stopped.
 *
 * What they work on, and what must hold, is the arena's: a channel (duel.c), or what runs between
 * more than two (duel_many.c).
 */

#include "fault.h"
#include "tracks.h"

#define BOUT_REGIONS 8u

struct bout;

/* Those that give a sentence say what is wrong, or NULL. */
struct arena {
	/* Brings all to where the operations begin, starts one and two, and says where the shared
	 * state lies: as many bytes each time. */
	void (*enter)(struct bout *bout);

	/* Both are dead. The shared state is afterwards as it was. */
	const char *(*nobody)(struct bout *bout);

	/* SECOND has ended, or is buried; FIRST is still to go on. NULL: nothing happens. */
	void (*between)(struct bout *bout);

	/* SECOND alone is dead, and FIRST has still to take what is on its way. */
	const char *(*bury)(struct bout *bout);

	/* What an operation returned. */
	const char *(*result)(const struct bout *bout, bool first);

	/* FIRST has ended, and so has SECOND, if it is not dead. */
	void (*settle)(struct bout *bout);

	/* Nobody is left. */
	const char *(*after)(struct bout *bout);
};

struct bout {
	const struct arena *arena;
	void *ground;     /* the arena's own */
	const char *name; /* of the duel */
	bool planted;     /* there is a bug: the claim is that something is wrong */
	bool limited;     /* nobody is stopped where it would sleep: its time is soon over */
	bool unrelieved; /* FIRST sleeps on when SECOND is dead: that is what a time limit is for */

	struct tracee one, two;
	struct {
		const void *addr;
		size_t len;
	} region[BOUT_REGIONS]; /* where the shared state lies now */
	uint32_t regions;
	uint64_t death; /* of SECOND, after so many of its steps; 0: it lives */

	/* Private. */
	uint64_t length, other; /* FIRST's by itself; SECOND's, after it */
	uint64_t longest;       /* SECOND's, beside FIRST wherever that was stopped */
	struct tracks tracks;   /* FIRST's stores by itself */
	struct store where;     /* N */
	char *last;             /* the shared state that was looked at */
	bool looked;
	uint64_t *known; /* states that were checked: hashes, in a table that has room */
	uint64_t stalls, deaths;
	uint64_t points, states; /* (N, M) that were looked at; those that were checked */
	struct fault fault;
	char again[128]; /* arguments for the first fault */
};

/* A region more of the shared state. For enter(). */
void bout_region(struct bout *bout, const void *addr, size_t len);

/* Something is wrong, if @problem is not NULL; @tracee tells where. */
void bout_note(struct bout *bout, const struct tracee *tracee, const char *problem);

/* A bout about what @bout has in its first fields: N is each store of FIRST, and for about @steps
 * of both anywhere; then for about @steps with SECOND dead. The result is one claim. */
void bout_all(struct bout *bout, uint64_t steps, uint64_t *random);

/* One, as a report names it: FIRST stopped after @step, SECOND killed after @death, if not 0. */
void bout_one(struct bout *bout, uint64_t step, uint64_t death);

/* PINION_STEPS, or @usual. Each duel has the same share: the shorter it is, the more N. */
uint64_t bout_steps(uint64_t usual);

#endif
