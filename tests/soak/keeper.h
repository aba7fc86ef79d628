/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_KEEPER_H
#define PINION_SOAK_KEEPER_H

/*
 * The keeper of a soak: makes or adopts the plan's pool, fills the seats with members, buries those
 * that died, grows and retires segments, and now and then waits until nobody is left and looks
 * whether everything is where it belongs. What the keeper must remember when it is killed itself is
 * on the board.
 */

#include "plan.h"

/* In a child of the supervisor: until the plan is fulfilled. Its exit status. */
int keeper_run(struct board *board, struct plan *plan);

#endif
