/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_PAIR_H
#define PINION_TESTS_PAIR_H

/*
 * Two members of a pool and what runs between them: a channel, and beside it a ring by itself, or a
 * channel more, of one way.
 *
 *     member  who
 *     KEEPER  the tracer, as the one who recovers
 *     FIRST   one end: a child that is stepped
 *     SECOND  the other: the tracer too, or a child (duel.c)
 *
 * Both ends are brought to where an operation begins in the tracer, which can make them move in
 * turn. Then it forks (_Fork(3), of which the library does not hear): the child goes on as FIRST,
 * private state and all, and the tracer leaves that end alone.
 *
 * What is shared is the pool's control area and the files of four rings. A look into what might
 * become of them is taken in a fork of the tracer, on the real thing, while the children stand
 * still; then the shared state is put back. So SECOND's private state is what it would be.
 */

#include <pinion/channel.h>
#include <pinion/request.h>

#include "snapshot.h"

/* Slots: so many that not each message gives credit (ring_take() in ipc/ring.h). */
#define RING 32u
#define RING_BYTES 1024u /* of its file that are used */
#define ROW 8u           /* buffers that go by vectors (DESC_ROW_MIN) */

#define PAIR_FIRST 1u /* 0 is the keeper */
#define PAIR_SECOND 2u
#define PAIR_MEMBERS 4u
#define PAIR_BUFFERS 128u /* twice what a ring holds, and what lies in caches */

enum { RING_TO_SECOND, RING_TO_FIRST, RING_ALONE, RING_MORE, RINGS };

/* One end. */
struct side {
	uint32_t member;
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_channel *channel;     /* NULL: closed */
	struct pinion_channel *more;        /* over RING_MORE; NULL: not open */
	struct pinion_ring *ring;           /* of RING_ALONE; NULL: not open */
	struct pinion_requester *requester; /* over the channel; NULL: none */
	struct pinion_desc desc[RING];      /* to send; or what came */
	uint32_t nr;                        /* how many of them */
	int notify;                         /* where the other's loop is called */

	/* By id: what it sent last. */
	struct pinion_buffer sent[PAIR_BUFFERS];
};

/* The shared state, copied. */
struct still {
	struct snapshot control;
	char ring[RINGS][RING_BYTES];
};

struct pair {
	struct pinion_pool *pool; /* the keeper's */
	struct {
		int fd;
		void *addr;
	} ring[RINGS];
	struct still base; /* the first state: rings that nobody used, nothing held */
	struct side first, second;
	bool sends;  /* of RING_ALONE: FIRST does */
	uint32_t at; /* of RING_ALONE: how many passed before the operation */
};

void pair_open(struct pair *pair);
void pair_close(struct pair *pair);

/* Back to the first state, with new ends. pre: no child has them. */
void pair_reset(struct pair *pair);

void still_take(struct still *still, const struct pair *pair);
void still_load(const struct still *still, struct pair *pair);
bool still_same(const struct still *still, const struct pair *pair);
void still_close(struct still *still);

/* Slots that their receivers gave back, over all rings: a sum that changes with each credit. */
uint64_t pair_credit(const struct pair *pair);

/* For the set-up of operations; what cannot fail here ends the program. */

/* desc[] of @side := @nr buffers of its own. */
void side_draw(struct side *side, uint32_t nr);

/* The same, of buffers whose ids follow each other, which go by vectors (ipc/desc_row.h). */
void side_draw_row(struct side *side, uint32_t nr);

/* Sends all of desc[]. */
void side_send(struct side *side);

/* Draws and sends @nr. */
void side_post(struct side *side, uint32_t nr);

/* Receives exactly @nr into desc[]. */
void side_take(struct side *side, uint32_t nr);

/* What desc[] holds goes back to the pool. */
void side_free(struct side *side);

/* Both ends have sent and received @nr, so that rings and credit are there. */
void pair_cycle(struct pair *pair, uint32_t nr);

/* Opens RING_ALONE for both, @first being a sender or a receiver, and brings it to @nr. */
void pair_ring(struct pair *pair, enum pinion_ring_end first, uint32_t nr);

/* Opens RING_MORE, for @to to receive on. Nothing is ever sent there: it is one more to wait
 * for. */
void pair_more(struct pair *pair, struct side *to);

/* From here on both have a channel of one way instead, from @from, over which @nr have passed.
 * pre: nothing went over the other. */
void pair_one_way(struct pair *pair, struct side *from, uint32_t nr);

/* @to receives in a loop: its descriptor is there, and the other knows where to strike. */
void pair_loop(struct pair *pair, struct side *to);

/* @side's loop, if it sleeps, is about to wake. */
bool side_is_called(const struct side *side);

/* The @i-th descriptor that ever passes RING_ALONE. */
struct pinion_desc pair_desc(uint32_t i);

/* Both have a requester over their channel: FIRST may ask @depth at a time, SECOND @peer_depth. */
void pair_talk(struct pair *pair, uint32_t depth, uint32_t peer_depth);

/* What the @i-th request of desc[] is about: its context. */
void *side_context(uint32_t i);

/* @side draws and asks @nr. */
void side_ask(struct side *side, uint32_t nr);

/* What came to the requester of @side, exactly @nr, is in desc[]. */
void side_hear(struct side *side, uint32_t nr);

/* @side's receiver is asleep at its channel, and will never wake: its bell is armed. */
void side_doze(struct pair *pair, struct side *side);

#endif
