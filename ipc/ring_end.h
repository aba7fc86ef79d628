/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_RING_END_H
#define IPC_RING_END_H

/*
 * One end of a ring as the floor itself sees it, beyond its public header.
 */

#include <pinion/ring.h>

#include "ring_wait.h"

/* NULL: this is the other end. */
struct ring *ring_end_of(struct pinion_ring *ring, enum pinion_ring_end end);

/* Its peer broke a rule; counted once. */
void ring_end_lied_to(struct pinion_ring *ring);

/* pre: it receives. */
struct ring_waiter ring_end_waiter(struct pinion_ring *ring);

#endif
