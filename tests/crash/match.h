/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_MATCH_H
#define PINION_TESTS_MATCH_H

/*
 * FIRST and SECOND of a company at once, of whom one gives, and the other takes: as a bout
 * (bout.h). THIRD, which takes or gives beside them, lives on in the tracer. Nobody else moves
 * meanwhile.
 *
 * In every case, with burial:
 *
 *     both live      the taker has all that was sent, once; a lender has all back, once; a loop
 *                    that sleeps was called
 *     SECOND dies    the keeper recovers it; FIRST ends, and has its due, as far as the dead came,
 *                    with a batch of it whole or not at all, and the end of it; or it has back what
 *                    the dead did not take, or return. Then the keeper releases it
 *     both die       the keeper recovers both; THIRD has its due or its own back
 *
 * Or both give, to THIRD, which stands still in the tracer, or looks once between: see rivals.c.
 */

#include "bout.h"
#include "parts.h"

struct match {
	const char *name;
	void (*set)(struct company *company, int giver);
	int giver;                  /* FIRST or SECOND */
	const char *first, *second; /* their parts: act() and where it begins */
};

/* What THIRD has of FIRST and SECOND, its rivals. */
struct tally {
	uint32_t came[2];
	bool end[2]; /* of its channel */
};

/* One as it is fought. */
struct contest {
	struct company *company;
	const struct match *match;
	const struct part *part[2]; /* FIRST's and SECOND's */
	struct frame start;
	uint32_t held[PLAYERS]; /* at the start */
	struct tally tally;     /* of rivals, up to where FIRST goes on */
};

/* All that live have ended. */
struct ending {
	bool dead;                    /* SECOND is */
	struct tracee *giver, *taker; /* NULL: dead */
	int gave, took;               /* what they returned, if they live */
};

/* What the giver sent in its act. */
int ending_sent(const struct view *view, const struct ending *ending);

/* May so much of it have come? Of the dead each batch whole, or not at all. */
bool ending_is_fair(const struct view *view, const struct ending *ending, int came);

/* How a match is judged. Each gives what is wrong, or NULL. @view: its part is the giver's. */
struct judge {
	/* Both are dead. */
	const char *(*both_die)(struct view *view, int giver);

	/* SECOND is, and FIRST is in the midst of it. */
	const char *(*bury)(struct view *view, int giver);

	/* FIRST alone is in the midst of it. NULL: nothing happens. */
	const char *(*between)(struct view *view, struct contest *contest,
			       const struct ending *ending);

	const char *(*settle)(struct view *view, const struct contest *contest,
			      const struct ending *ending);
};

extern const struct match lending_matches[], lanes_matches[];
extern const size_t nr_lending_matches, nr_lanes_matches;

/* Where THIRD stands still, and where it looks between. */
extern const struct match rival_matches[], watched_rival_matches[];
extern const size_t nr_rival_matches, nr_watched_rival_matches;

extern const struct judge lending_judge, lanes_judge; /* in *_fates.c */
extern const struct judge rivals_judge, watched_rivals_judge; /* in rivals.c */

#endif
