/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring_wait.h"

#include <errno.h>
#include <poll.h>

#include "vigil.h"

/* How long a receiver sleeps before it looks whether its peer lives, where it has a pidfd. */
#define LOOK_NS UINT64_C(100000000)

/* On a kernel that waits at one bell at a time (before 5.16): how long at the first one, before the
 * others are looked at. */
#define SLICE_NS UINT64_C(1000000)

/* Looks between two at the clock, which costs as much as one of them. */
#define LOOKS 16

/* All that one call waits for. */
struct crowd {
	const struct ring_waiter *waiter;
	uint32_t nr;
	uint32_t first;   /* looked at before the others */
	uint32_t ready;   /* the one that is */
	uint64_t look_ns; /* when to look for peers; UINT64_MAX: never */
	uint64_t deadline_ns;
};

static bool look(void *context)
{
	struct crowd *crowd = context;
	uint32_t i = crowd->first;

	for (uint32_t n = 0; n < crowd->nr; n++) {
		const struct ring_waiter *waiter = &crowd->waiter[i];

		if (waiter->ready(waiter->context)) {
			crowd->ready = i;
			return true;
		}
		i = i + 1 < crowd->nr ? i + 1 : 0;
	}
	return false;
}

/* The shortest that any of them was told; 0 looks once. */
static uint64_t spin_ns(const struct crowd *crowd)
{
	uint64_t least = crowd->waiter[0].ring->spin_ns;

	for (uint32_t i = 1; i < crowd->nr; i++)
		if (crowd->waiter[i].ring->spin_ns < least)
			least = crowd->waiter[i].ring->spin_ns;
	return least;
}

static bool spin(struct crowd *crowd, uint64_t now)
{
	uint64_t until = vigil_later(now, spin_ns(crowd));

	if (until > crowd->deadline_ns)
		until = crowd->deadline_ns;
	for (; now < until; now = bell_now_ns())
		if (vigil_spin(look, crowd, LOOKS))
			return true;
	return false;
}

/* Their senders may wait for the slots that we hold back, or for what they were not told of. */
static void give(const struct crowd *crowd)
{
	for (uint32_t i = 0; i < crowd->nr; i++) {
		struct ring *ring = crowd->waiter[i].ring;

		ring_give_rest(ring);
		ring_waiter_tell(&crowd->waiter[i]);
	}
}

static void announce(const struct crowd *crowd)
{
	bool unfenced = false;

	for (uint32_t i = 0; i < crowd->nr; i++) {
		struct ring *ring = crowd->waiter[i].ring;

		unfenced |= ring->ear.unfenced;
		bell_announce(&ring->shared->bell, &ring->ear, BELL_ARMED);
	}
	bell_fence(unfenced);
	for (uint32_t i = 0; i < crowd->nr; i++)
		crowd->waiter[i].ring->ear.unfenced = false;
}

static bool arm(void *context)
{
	announce(context);
	return look(context);
}

static void disarm(const struct crowd *crowd)
{
	for (uint32_t i = 0; i < crowd->nr; i++)
		bell_disarm(&crowd->waiter[i].ring->shared->bell);
}

static int sleep_at_all(const struct crowd *crowd, uint64_t until)
{
	struct bell *bell[BELL_ANY_MAX];
	uint64_t slice;
	int err;

	for (uint32_t i = 0; i < crowd->nr; i++)
		bell[i] = &crowd->waiter[i].ring->shared->bell;
	err = bell_wait_any(bell, crowd->nr, until);
	if (err != -ENOSYS)
		return err;
	slice = vigil_later(bell_now_ns(), SLICE_NS);
	return bell_wait(bell[0], slice < until ? slice : until);
}

static int sleep_once(void *context, uint64_t deadline_ns)
{
	const struct crowd *crowd = context;
	uint64_t until = deadline_ns < crowd->look_ns ? deadline_ns : crowd->look_ns;

	if (crowd->nr > 1)
		return sleep_at_all(crowd, until);
	return bell_wait(&crowd->waiter[0].ring->shared->bell, until);
}

/* Where nobody else does it for us. */
static void look_for_peers(struct crowd *crowd, uint64_t now)
{
	struct pollfd peer[BELL_ANY_MAX];

	for (uint32_t i = 0; i < crowd->nr; i++)
		peer[i] = (struct pollfd){.fd = crowd->waiter[i].pidfd, .events = POLLIN};
	if (poll(peer, crowd->nr, 0) > 0)
		for (uint32_t i = 0; i < crowd->nr; i++)
			if (peer[i].revents)
				crowd->waiter[i].gone(crowd->waiter[i].context);
	crowd->look_ns = vigil_later(now, LOOK_NS);
}

static void tend(void *context, uint64_t now)
{
	struct crowd *crowd = context;

	for (uint32_t i = 0; i < crowd->nr; i++)
		ring_waiter_tell(&crowd->waiter[i]);
	if (crowd->look_ns != UINT64_MAX && (now >= crowd->look_ns || now >= crowd->deadline_ns))
		look_for_peers(crowd, now);
}

static bool watches(const struct ring_waiter *waiter, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (waiter[i].pidfd >= 0)
			return true;
	return false;
}

int ring_wait(const struct ring_waiter *waiter, uint32_t nr, uint64_t timeout_ns, uint32_t *which)
{
	static const struct vigil vigil = {look, arm, sleep_once, tend};
	struct crowd crowd = {.waiter = waiter, .nr = nr};
	uint64_t now = bell_now_ns();
	int err;

	crowd.first = *which < nr - 1 ? *which + 1 : 0;
	crowd.deadline_ns = vigil_later(now, timeout_ns);
	crowd.look_ns = watches(waiter, nr) ? vigil_later(now, LOOK_NS) : UINT64_MAX;
	if (!look(&crowd) && !spin(&crowd, now)) {
		give(&crowd);
		err = vigil_sleep(&vigil, &crowd, crowd.deadline_ns);
		disarm(&crowd);
		if (err)
			return err;
	}
	*which = crowd.ready;
	return 0;
}

int ring_wait_any(const void *receivers, ring_waiter_at *at, uint32_t nr, uint64_t timeout_ns,
		  uint32_t *which)
{
	struct ring_waiter waiter[BELL_ANY_MAX];

	if (!nr || nr > BELL_ANY_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < nr; i++) {
		int err = at(receivers, i, &waiter[i]);

		if (err)
			return err;
	}
	return ring_wait(waiter, nr, timeout_ns, which);
}
