/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_NEIGHBOUR_H
#define PINION_SOAK_NEIGHBOUR_H

/*
 * A member's dealings with the members of the seats beside it: see link.h.
 */

#include "work.h"

/* Sends, receives, or says farewell to the dead, whatever is due on @side. */
void neighbour_visit(struct work *work, uint32_t side);

/* Farewell to the dead of both sides, so that the keeper can release them. */
void neighbour_mourn(struct work *work);

/* Closes both channels in good order. */
void neighbour_leave(struct work *work);

#endif
