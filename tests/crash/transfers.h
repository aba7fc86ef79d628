/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRANSFERS_H
#define PINION_TESTS_TRANSFERS_H

/*
 * The operations of channels, of requests and of rings that are stepped. A new one is a line of the
 * table and a small function for each half, as in operations.h:
 *
 *     set()  at full speed: brings both ends to where the operation begins
 *     act()  stepped: FIRST's operation and nothing else
 *
 * A wait that looks two thousand times before it sleeps is stepped from where it arms the bell: all
 * that goes before it is in one that finds something.
 */

#include "pair.h"

struct transfer {
	const char *name;
	void (*set)(struct pair *pair);
	int (*act)(struct side *first);
	int result;       /* what act() returns */
	uint32_t batch;   /* what SECOND then finds more in its ring, all at once */
	bool gives;       /* credit: if not, it was not the path that is meant */
	bool woken;       /* FIRST falls asleep, and SECOND then sends it what it has */
	bool alone;       /* it is about RING_ALONE */
	bool calls;       /* SECOND's loop, which slept, is called */
	bool bereft;      /* SECOND is dead, and recovered, when it begins */
	bool brief;       /* killed after its stores alone */
	const void *from; /* the function where stepping begins; NULL: at act() */
};

extern const struct transfer transfers[];
extern const size_t nr_transfers;

/* By name, or NULL: one of these, or one that only a duel can end. */
const struct transfer *transfer_find(const char *name);

#endif
