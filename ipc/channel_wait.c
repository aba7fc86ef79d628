/* SPDX-License-Identifier: BSD-3-Clause */
/* How this end of a channel waits, and wait.h, of channels. */
#include <errno.h>
#include <poll.h>

#include <pinion/wait.h>

#include "channel_inside.h"
#include "fail.h"
#include "ring_fd.h"
#include "slot.h"

_Static_assert(PINION_WAIT_ANY_MAX == BELL_ANY_MAX, "as many as the kernel takes");
_Static_assert(PINION_SPIN_DEFAULT_NS == RING_SPIN_NS, "what the header promises");

/* Something that can be taken. */
static bool has_some(const struct pinion_channel *channel)
{
	return ring_ready(&channel->rx) &&
	       !stuck_at(&channel->stuck, channel->rx.at, channel->pool);
}

/* Any reason to go on, as struct ring_waiter has it. */
static int reason(const struct pinion_channel *channel)
{
	int over = channel_over(channel);

	if (over)
		return over;
	if (has_some(channel))
		return 1;
	if (!channel_is_gone(channel, &channel->rx.shared->producer_closed))
		return 0;
	/* It may have published just before it closed: look once more. */
	return has_some(channel) ? 1 : -EPIPE;
}

static int something_to_say(void *context)
{
	return reason(context);
}

bool channel_ready(const struct pinion_channel *channel)
{
	return reason(channel) != 0;
}

void channel_look(struct pinion_channel *channel)
{
	struct pollfd gone = {.fd = channel->pidfd, .events = POLLIN};

	if (channel->pidfd >= 0 && poll(&gone, 1, 0) > 0)
		pinion_channel_sever(channel);
	(void)ring_tell(&channel->tx);
}

void channel_follow(struct pinion_channel *channel)
{
	slot_follow(channel->pool);
}

static void peer_is_gone(void *context)
{
	pinion_channel_sever(context);
}

struct ring_waiter channel_waiter(struct pinion_channel *channel)
{
	return (struct ring_waiter){
		.ring = &channel->rx,
		.ready = something_to_say,
		.gone = peer_is_gone,
		.context = channel,
		.pidfd = channel->pidfd,
		.sends = channel->tx.shared ? &channel->tx : NULL,
	};
}

int pinion_channel_wait(struct pinion_channel *channel, uint64_t timeout_ns)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = channel_waiter(channel);
	uint32_t which = 0;

	channel_follow(channel);
	if (!channel->rx.shared)
		return channel_wait_to_send(channel, timeout_ns);
	return ring_wait(&waiter, 1, timeout_ns, &which);
}

static int waiter_at(const void *channels, uint32_t i, struct ring_waiter *waiter)
{
	struct pinion_channel *const *channel = channels;

	channel_follow(channel[i]);
	*waiter = channel_waiter(channel[i]);
	return waiter->ring->shared ? 0 : -EACCES;
}

int pinion_channel_wait_any(struct pinion_channel *const *channel, uint32_t nr, uint64_t timeout_ns,
			    uint32_t *which)
{
	KEEP_ERRNO;

	return ring_wait_any(channel, waiter_at, nr, timeout_ns, which);
}

void pinion_channel_set_spin(struct pinion_channel *channel, uint64_t ns)
{
	channel_rx(channel)->spin_ns = ns;
}

int pinion_channel_fd(struct pinion_channel *channel)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = channel_waiter(channel);

	if (!waiter.ring->shared)
		return pinion_fail(-EACCES, "this end of the channel may not receive");
	return ring_fd_open(&waiter);
}

int channel_add_socket(struct pinion_channel *channel, int socket)
{
	const struct ring_waiter waiter = channel_waiter(channel);

	return ring_fd_add(&waiter, socket);
}

int pinion_channel_notify_fd(struct pinion_channel *channel)
{
	int fd = pinion_channel_fd(channel);

	return fd < 0 ? fd : channel_rx(channel)->hand.socket;
}

int pinion_channel_set_notify(struct pinion_channel *channel, int fd)
{
	KEEP_ERRNO;

	if (!channel_tx(channel)->shared)
		return pinion_fail(-EACCES, "this end of the channel may not send");
	return ring_fd_notify(channel_tx(channel), fd);
}

/* Both: a sever wakes this end's own loop. */
int pinion_channel_told(struct pinion_channel *channel)
{
	KEEP_ERRNO;
	bool heard = ring_tell_self(&channel->rx);

	return ring_tell(&channel->tx) && heard ? 0 : -ENOBUFS;
}

int pinion_channel_prepare(struct pinion_channel *channel)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = channel_waiter(channel);
	int what;

	if (!waiter.ring->shared)
		return -EACCES;
	if (waiter.ring->fd.socket < 0)
		return -EINVAL;
	channel_follow(channel);
	what = ring_fd_prepare(&waiter);
	/* What may lie there all the same is stuck. */
	return what == -EPIPE ? channel_give_up(channel) : what;
}

int pinion_channel_done(struct pinion_channel *channel)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = channel_waiter(channel);
	int err;

	if (!waiter.ring->shared)
		return -EACCES;
	if (waiter.ring->fd.socket < 0)
		return -EINVAL;
	err = ring_fd_done(&waiter);
	if (err)
		pinion_channel_reject(channel);
	return err;
}
