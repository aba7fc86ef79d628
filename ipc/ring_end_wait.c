/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h, of rings that stand alone. */
#include <errno.h>

#include <pinion/wait.h>

#include "fail.h"
#include "ring_end.h"
#include "ring_fd.h"

static struct ring *receiving(struct pinion_ring *ring)
{
	return ring_end_of(ring, PINION_RING_RECV);
}

/* A receiver whose descriptor there is. */
static bool has_fd(struct pinion_ring *ring)
{
	const struct ring *rx = receiving(ring);

	return rx && rx->fd.socket >= 0;
}

static int waiter_at(const void *rings, uint32_t i, struct ring_waiter *waiter)
{
	struct pinion_ring *const *ring = rings;

	if (!receiving(ring[i]))
		return -EINVAL;
	*waiter = ring_end_waiter(ring[i]);
	return 0;
}

int pinion_ring_wait_any(struct pinion_ring *const *ring, uint32_t nr, uint64_t timeout_ns,
			 uint32_t *which)
{
	KEEP_ERRNO;

	return ring_wait_any(ring, waiter_at, nr, timeout_ns, which);
}

void pinion_ring_set_spin(struct pinion_ring *ring, uint64_t ns)
{
	ring_end_waiter(ring).ring->spin_ns = ns;
}

int pinion_ring_fd(struct pinion_ring *ring)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = ring_end_waiter(ring);

	if (!receiving(ring))
		return pinion_fail(-EINVAL, "this end of a ring sends: nothing comes here");
	return ring_fd_open(&waiter);
}

int pinion_ring_notify_fd(struct pinion_ring *ring)
{
	int fd = pinion_ring_fd(ring);

	return fd < 0 ? fd : receiving(ring)->hand.socket;
}

int pinion_ring_set_notify(struct pinion_ring *ring, int fd)
{
	KEEP_ERRNO;
	struct ring *tx = ring_end_of(ring, PINION_RING_SEND);

	if (!tx)
		return pinion_fail(-EINVAL, "this end of a ring receives: it notifies nobody");
	return ring_fd_notify(tx, fd);
}

int pinion_ring_told(struct pinion_ring *ring)
{
	KEEP_ERRNO;
	struct ring *tx = ring_end_of(ring, PINION_RING_SEND);

	return (tx ? ring_tell(tx) : ring_tell_self(receiving(ring))) ? 0 : -ENOBUFS;
}

int pinion_ring_prepare(struct pinion_ring *ring)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = ring_end_waiter(ring);

	return has_fd(ring) ? ring_fd_prepare(&waiter) : -EINVAL;
}

int pinion_ring_done(struct pinion_ring *ring)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = ring_end_waiter(ring);
	int err;

	if (!has_fd(ring))
		return -EINVAL;
	err = ring_fd_done(&waiter);
	if (err)
		ring_end_lied_to(ring);
	return err;
}
