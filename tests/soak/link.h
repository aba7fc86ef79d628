/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_LINK_H
#define PINION_SOAK_LINK_H

/*
 * A link: two rings between neighbouring seats, whose files all processes inherit. Its life, which
 * the board keeps so that it goes on when the keeper is killed:
 *
 *     keeper                                   member of either seat
 *     ------                                   ---------------------
 *     both seats LIVE, both old ends done:
 *       empties the rings, new serial
 *                                              sees its life in its end: opens a channel
 *                                              sends, receives
 *     one of them died:
 *       handles that it published towards
 *       the other are in transit: recover()
 *       end[it].dead = serial                  sees it: severs, drains, reclaims, closes
 *                                              end[its own].closed = serial
 *     release() of the dead
 */

#include <pinion/channel.h>

#include "board.h"

#define LINK_SLOTS 8 /* small, so that rings fill up and go round */

/* By the supervisor: the files. 0, or -errno. */
int link_create_all(struct board *board);
void link_destroy_all(struct board *board);

/* The links of @seat: @side 0 is the link to the next seat, 1 the one to the seat before. In it the
 * seat has end @side. */
static inline struct link *link_of(struct board *board, uint32_t seat, uint32_t side)
{
	return &board->link[side ? (seat + SEATS - 1) % SEATS : seat];
}

static inline uint32_t link_neighbour(uint32_t seat, uint32_t side)
{
	return (seat + (side ? SEATS - 1 : 1)) % SEATS;
}

/* --- the keeper's side */

/* Makes links anew whose ends are done. 0, or -errno. */
int link_renew(struct board *board);

/* The member of @seat is dead: its neighbours may know. */
void link_bury(struct board *board, uint32_t seat);

/* Has every living neighbour drained what the dead of @seat sent? */
bool link_drained(struct board *board, uint32_t seat);

/* Adds what the dead of @seat published towards living neighbours; @buffer has room for
 * 2 * LINK_SLOTS. Their number, or -errno. */
int link_published(struct board *board, struct pinion_pool *pool, uint32_t seat,
		   struct pinion_buffer *buffer);

#endif
