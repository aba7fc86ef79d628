/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h, of channels. */
#include <errno.h>

#include <pinion/wait.h>

#include "channel.h"
#include "fail.h"
#include "ring_fd.h"

_Static_assert(PINION_WAIT_ANY_MAX == BELL_ANY_MAX, "as many as the kernel takes");
_Static_assert(PINION_SPIN_DEFAULT_NS == RING_SPIN_NS, "what the header promises");

int pinion_channel_wait_any(struct pinion_channel *const *channel, uint32_t nr,
			    uint64_t timeout_ns, uint32_t *which)
{
	KEEP_ERRNO;
	struct ring_waiter waiter[BELL_ANY_MAX];

	if (!nr || nr > BELL_ANY_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < nr; i++)
		waiter[i] = channel_waiter(channel[i]);
	return ring_wait(waiter, nr, timeout_ns, which);
}

void pinion_channel_set_spin(struct pinion_channel *channel, uint64_t ns)
{
	channel_rx(channel)->spin_ns = ns;
}

int pinion_channel_fd(struct pinion_channel *channel)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = channel_waiter(channel);

	return ring_fd_open(&waiter);
}

int pinion_channel_notify_fd(struct pinion_channel *channel)
{
	int fd = pinion_channel_fd(channel);

	return fd < 0 ? fd : channel_rx(channel)->hand.socket;
}

int pinion_channel_set_notify(struct pinion_channel *channel, int fd)
{
	KEEP_ERRNO;

	return ring_fd_notify(channel_tx(channel), fd);
}

int pinion_channel_prepare(struct pinion_channel *channel)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = channel_waiter(channel);

	return waiter.ring->fd.socket < 0 ? -EINVAL : ring_fd_prepare(&waiter);
}

int pinion_channel_done(struct pinion_channel *channel)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = channel_waiter(channel);
	int err;

	if (waiter.ring->fd.socket < 0)
		return -EINVAL;
	err = ring_fd_done(&waiter);
	if (err)
		pinion_channel_reject(channel);
	return err;
}
