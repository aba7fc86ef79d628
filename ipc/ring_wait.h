/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_RING_WAIT_H
#define IPC_RING_WAIT_H

/*
 * How a receiver waits at its ring: it looks for a few microseconds, then sleeps at the bell, and
 * never beyond its time limit.
 */

#include "ring.h"

struct ring_waiter {
	/* Is there any reason to go on, a descriptor or another? */
	bool (*ready)(void *context);
	/* Called after each sleep; NULL: nothing to do then. */
	void (*woken)(void *context);
	void *context;
	uint64_t slice_ns; /* the longest sleep between two calls of woken; 0: no limit */
};

/* 0: ready, or woken for nothing. -ETIMEDOUT, -EINTR: see pinion_ring_wait(). */
int ring_wait(struct ring *ring, const struct ring_waiter *waiter, uint64_t timeout_ns);

#endif
