/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_RING_WAIT_H
#define IPC_RING_WAIT_H

/*
 * How a receiver waits at its ring, or at several: it looks for a while, then sleeps at the bells,
 * and never beyond its time limit. The loop is that of vigil.h; here
 *
 *     arm every bell, one fence for all
 *     look at every ring
 *     sleep until a bell is struck, the time is over, or peers are to be looked for
 *     ... again, as long as there is nothing
 *     disarm every bell
 */

#include "ring.h"

struct ring_waiter {
	struct ring *ring;
	/* Any reason to go on? 1: a descriptor. -EPIPE, -EPROTO: nothing will come. 0: none. */
	int (*ready)(void *context);
	/* The peer of @pidfd died. Looked for ten times a second. */
	void (*gone)(void *context);
	void *context;
	int pidfd; /* -1: somebody else watches it */
	struct ring *sends; /* what this end sends on; NULL: nothing. See ring_waiter_tell() */
};

/* Who waits may wait for the answer of one that was not told of the question. */
static inline void ring_waiter_tell(const struct ring_waiter *waiter)
{
	if (waiter->sends)
		(void)ring_tell(waiter->sends);
}

/*
 * At the rings of @nr receivers, 1 to BELL_ANY_MAX. @which: on entry the one told last, behind
 * which the look begins; on return the one that is ready, when one is.
 * 0: ready. -ETIMEDOUT, -EINTR: see pinion_ring_wait().
 */
int ring_wait(const struct ring_waiter *waiter, uint32_t nr, uint64_t timeout_ns, uint32_t *which);

/* The @i-th of @receivers, an array that only its owner knows. 0, or why nobody can wait there. */
typedef int ring_waiter_at(const void *receivers, uint32_t i, struct ring_waiter *waiter);

/* ring_wait() at @nr of them. -EINVAL: none, or more than BELL_ANY_MAX. Else what @at says. */
int ring_wait_any(const void *receivers, ring_waiter_at *at, uint32_t nr, uint64_t timeout_ns,
		  uint32_t *which);

#endif
