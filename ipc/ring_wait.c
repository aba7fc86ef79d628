/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring_wait.h"

#include <errno.h>

/* How often an empty ring is looked at before the receiver arms the bell: a few microseconds,
 * less than what a sleep and a wake-up cost. */
#define SPINS 2000

static bool spin(const struct ring_waiter *waiter)
{
	for (int i = 0; i < SPINS; i++) {
		if (waiter->ready(waiter->context))
			return true;
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
	}
	return false;
}

static uint64_t sleep_until(const struct ring_waiter *waiter, uint64_t deadline)
{
	uint64_t now = bell_now_ns();

	if (waiter->slice_ns && deadline > now && deadline - now > waiter->slice_ns)
		return now + waiter->slice_ns;
	return deadline;
}

/* One sleep. -EAGAIN: nothing yet, go on. */
static int sleep_once(struct ring *ring, const struct ring_waiter *waiter, uint64_t deadline)
{
	struct bell *bell = &ring->shared->bell;
	uint64_t until = sleep_until(waiter, deadline);
	int err;

	bell_arm(bell, &ring->ear);
	if (waiter->ready(waiter->context))
		return 0;
	err = bell_wait(bell, until);
	if (err == -EINTR || waiter->ready(waiter->context))
		return err == -EINTR ? err : 0;
	/* By the clock, not by the futex: a peer that rings for nothing keeps nobody longer. */
	return bell_now_ns() >= deadline ? -ETIMEDOUT : -EAGAIN;
}

int ring_wait(struct ring *ring, const struct ring_waiter *waiter, uint64_t timeout_ns)
{
	uint64_t now = bell_now_ns(), deadline = now + timeout_ns;
	int err = -EAGAIN;

	if (deadline < now)
		deadline = UINT64_MAX;
	if (spin(waiter))
		return 0;
	/* The sender may wait for the slots that we hold back. */
	if (ring->at != ring->credit)
		ring_give(ring);
	while (err == -EAGAIN) {
		err = sleep_once(ring, waiter, deadline);
		if (waiter->woken)
			waiter->woken(waiter->context);
	}
	bell_disarm(&ring->shared->bell);
	return err;
}
