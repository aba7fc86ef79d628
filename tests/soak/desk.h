/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_DESK_H
#define PINION_SOAK_DESK_H

/*
 * The keeper's desk: what the parts of the keeper share while it lives. What must outlive it is on
 * the board.
 */

#include "ledger.h"
#include "plan.h"
#include "pool.h"

struct keeper {
	struct board *board;
	struct plan *plan;
	struct pinion_pool *pool;
	struct courier courier; /* writes on the board where files are */
	struct ledger ledger;
	int pidfd[SEATS]; /* -1: none */
	uint64_t random;
	uint64_t last_death; /* when, ns */
};

extern struct keeper keeper; /* the one of this process */

/* A keeper under a plan that says so is killed in one of so many of its everyday calls, and of the
 * others, which also take longer. desk_mortal(): the call that follows may be the last. */
#define MORTALITY 128
#define MORTALITY_RARE 8

void desk_mortal(enum doing what);

#define KEEPER_DO(what, call) \
	(desk_mortal(what), WHILE_DOING(&keeper.board->keeper_doing, what, call))

/* A call of the library failed that must not. */
void desk_problem(const char *what, int err);

static inline struct seat *seat_at(uint32_t i)
{
	return &keeper.board->seat[i];
}

static inline enum seat_state state_of(uint32_t i)
{
	return atomic_load_explicit(&seat_at(i)->state, memory_order_relaxed);
}

static inline void set_state(uint32_t i, enum seat_state state)
{
	atomic_store_explicit(&seat_at(i)->state, state, memory_order_release);
}

/* Is the number of the seat's member still that member's? */
static inline bool is_admitted(uint32_t i)
{
	const struct control_member *slot = &keeper.pool->members[seat_at(i)->number];

	return atomic_load(&slot->state) != MEMBER_FREE &&
	       atomic_load(&slot->pid) == seat_at(i)->pid;
}

/* 0 or more: readable when that process is dead. -errno: it is gone already. */
int desk_open_pidfd(pid_t pid);

#endif
