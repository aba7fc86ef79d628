/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_PARTS_H
#define PINION_TESTS_PARTS_H

/*
 * The operations of broadcasts and fan-ins that are stepped. A new one is a line of a table and a
 * small function for each half, as in transfers.h:
 *
 *     set()  at full speed: brings all ends to where the operation begins
 *     act()  stepped: FIRST's operation and nothing else
 *
 * A wait is stepped from where it arms the bell, as in transfers.h; and what enters a fan-in from
 * where it touches the ring, since before that it looks for one of 4,096 lanes.
 */

#include "company.h"
#include "step.h"

struct part;

/* What is looked at when FIRST stands still. */
struct view {
	struct company *company;
	const struct part *part;
	const struct part *other; /* that of who is beside it, in a match; NULL else */
	const struct frame *earlier; /* a state before this one */
	struct frame now;
};

/* What might come of that, and what is wrong then, or NULL. */
struct fate {
	const char *name; /* NULL: the end of a table */
	const char *(*comes)(struct view *view);
};

struct part {
	const char *name;
	void (*set)(struct company *company);
	int (*act)(struct player *first);
	int result;       /* what act() returns */
	uint32_t batch;   /* what others then find more, all at once */
	uint32_t more;    /* and beside that, as a batch of its own */
	bool takes;       /* its result is how much came to it, or back to it */
	bool ends;        /* they may find the end as well */
	bool severs;      /* SECOND may find that it is cast out */
	uint32_t returns; /* loans that come back, all at once */
	const void *from; /* the function where stepping begins; NULL: at act() */
	void (*wake)(struct company *company); /* FIRST falls asleep, and this wakes it */

	/* SECOND was asleep when FIRST died: in sleep(), which returns 0 when it has heard of what
	 * rouse() does. */
	int (*sleep)(struct player *second);
	void (*rouse)(struct company *company);

	/* FIRST stands still, the others do this, FIRST goes on to its end, and returned @result:
	 * what is wrong then. */
	void (*meanwhile)(struct company *company);
	const char *(*afterwards)(struct company *company, int result);
	bool often;   /* after each instruction, not only after each store */
	bool severed; /* meanwhile() severs FIRST, which is to hear of it, in rest() at last */

	/* A player that has gone to sleep in a loop is about to wake; NULL: it does not do that. */
	bool (*is_called)(const struct player *player);

	const struct fate *fates;

	/* act() has ended, and the player does with its own state what is left to do: how much
	 * came, or came back, with PART_END for the end; or -errno. */
	int (*rest)(struct player *player, bool peer_is_dead);
};

#define PART_END 0x1000

/* Files of a broadcast: the ring, then the seat of each player that has one. */
enum { LENDING_RING, LENDING_SEAT };

extern const struct part lending_parts[]; /* of a broadcast */
extern const size_t nr_lending_parts;

/* Files of a fan-in: the ready set, then for each producer the ring from it and that to it. */
enum { LANES_READY, LANES_RING };

extern const struct part lanes_parts[]; /* of a fan-in */
extern const size_t nr_lanes_parts;

/* lending_fates.c */
extern const struct fate lending_of_producer[], lending_of_consumer[];
int lending_rest(struct player *player, bool peer_is_dead);

/* pinion_fanin_recv(), counted. */
int lanes_take(struct player *receiver, struct pinion_channel **channel, struct pinion_desc *desc,
	       uint32_t nr);

/* lanes_fates.c */
extern const struct fate lanes_of_producer[], lanes_of_receiver[];
int lanes_rest(struct player *player, bool peer_is_dead);

/* @player, as a child, comes to where stepping of @part begins. Asked when it has ended, it does
 * rest(): the question is whether its peer is dead. */
void part_enter(struct tracee *tracee, const struct part *part, struct player *player);

/* By name, or NULL. */
const struct part *part_find(const char *name);

/* How many there are, and each. */
size_t parts_nr(void);
const struct part *part_at(size_t i);

#endif
