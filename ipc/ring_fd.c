/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring_fd.h"

#include <poll.h>

int ring_fd_open(const struct ring_waiter *waiter)
{
	struct ring *ring = waiter->ring;
	int err = 0;

	if (ring->fd.socket < 0)
		err = bell_fd_open(&ring->fd, waiter->pidfd, &ring->hand.socket);
	return err ? err : bell_fd_watched(&ring->fd);
}

int ring_fd_add(const struct ring_waiter *waiter, int socket)
{
	int fd = ring_fd_open(waiter);

	return fd < 0 ? fd : bell_fd_add(&waiter->ring->fd, socket);
}

int ring_fd_prepare(const struct ring_waiter *waiter)
{
	struct ring *ring = waiter->ring;
	int ready = waiter->ready(waiter->context);

	ring_waiter_tell(waiter);
	if (ready)
		return ready;
	ring_give_rest(ring);
	bell_arm(&ring->shared->bell, &ring->ear, BELL_ARMED_FD);
	ready = waiter->ready(waiter->context);
	if (ready)
		bell_disarm(&ring->shared->bell);
	return ready;
}

int ring_fd_done(const struct ring_waiter *waiter)
{
	struct pollfd peer = {.fd = waiter->pidfd, .events = POLLIN};
	struct ring *ring = waiter->ring;
	int err;

	ring_waiter_tell(waiter);
	bell_disarm(&ring->shared->bell);
	err = bell_fd_drain(&ring->fd);
	/* Also where there is something to receive: to a loop that hears of changes only, this was
	 * the word of both. */
	if (!err && waiter->pidfd >= 0 && poll(&peer, 1, 0) > 0)
		waiter->gone(waiter->context);
	return err;
}

int ring_fd_notify(struct ring *ring, int socket)
{
	int err = bell_fd_keep(&ring->hand.socket, socket);

	if (err)
		return err;
	/* Strikes before this left the bell armed. */
	ring_strike(ring);
	ring_post(ring);
	return 0;
}
