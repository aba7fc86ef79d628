/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_COMPANY_H
#define PINION_TESTS_COMPANY_H

/*
 * Three members of a pool and what runs between more than two of them: a broadcast, or a fan-in.
 *
 *     KEEPER           the tracer, as the one who recovers
 *     FIRST            a child that is stepped
 *     SECOND, THIRD    the tracer too
 *
 * As in pair.h all ends are brought to where an operation begins in the tracer, which then forks,
 * and leaves FIRST's ends to the child. What is shared is the pool's control area and the files
 * that lie between the ends. These are made anew each time: a broadcast's ring is sealed by its
 * producer and has no second one.
 */

#include <pinion/broadcast.h>
#include <pinion/channel.h>
#include <pinion/fanin.h>

#include "snapshot.h"

#define SLOTS 16u /* of each ring */
#define COMPANY_FILES 5
#define COMPANY_BYTES 1024u /* of each file, that are used */
#define COMPANY_BUFFERS 128u

enum { FIRST, SECOND, THIRD, PLAYERS }; /* the member is one more */

struct player {
	uint32_t member;
	int peer; /* whom an operation of its own is about: SECOND, and of all others FIRST */
	struct pinion_pool *pool;
	struct pinion_cache *cache;

	/* The ends that it has; NULL: none. */
	struct pinion_broadcast *broadcast;
	struct pinion_seat *seat;
	struct pinion_fanin *fanin;
	struct pinion_channel *channel[PLAYERS]; /* by the one at its other end */

	uint32_t number[PLAYERS]; /* a broadcast's: of its consumers */
	uint32_t looks;           /* a fan-in's: calls of recv */

	struct pinion_desc desc[SLOTS + 1]; /* to send; or what came, and to look for more */
	uint32_t nr;                        /* how many of them */
	int file[2];                        /* to open */

	/* Of what was sent, when an operation begins. */
	uint32_t due; /* to this one, and not received */
	uint32_t out; /* by this one, and not collected */
};

/* The shared state, copied. */
struct frame {
	struct snapshot control;
	char file[COMPANY_FILES][COMPANY_BYTES];
};

struct company {
	struct pinion_pool *pool; /* the keeper's */
	struct snapshot base;     /* nothing held, no end open */
	struct player player[PLAYERS];
	struct {
		int fd;
		void *addr; /* NULL: no such file */
	} file[COMPANY_FILES];
};

/* Of FIRST and SECOND. */
static inline int company_other(int player)
{
	return player == FIRST ? SECOND : FIRST;
}

void company_open(struct company *company);
void company_close(struct company *company);

/* Back to the first state, with no end open. pre: no child has any. */
void company_reset(struct company *company);

/* File @i is @fd from now on. pre: before anybody seals it. */
void company_file(struct company *company, int i, int fd);

void frame_take(struct frame *frame, const struct company *company);
void frame_load(const struct frame *frame, struct company *company);
bool frame_same(const struct frame *frame, const struct company *company);
void frame_close(struct frame *frame);

/* The word of a buffer, now. */
uint64_t company_word(const struct company *company, uint32_t id);

/* For the set-up; what cannot fail there ends the program. */
void company_must(bool holds, const char *what);

/* desc[] of @player := @nr buffers of its own. */
void player_draw(struct player *player, uint32_t nr);

/* A process that goes on as the tracer in @sleep(@player), and is asleep in the kernel now. */
pid_t player_sleep(struct player *player, int (*sleep)(struct player *player));

/* It falls asleep, and never wakes: its bell stays armed. */
void player_doze(struct player *player, int (*sleep)(struct player *player));

#endif
