/* SPDX-License-Identifier: BSD-3-Clause */
/* How an end of a channel waits that may only send. */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "channel_inside.h"
#include "vigil.h"

/*
 * Credit rings no bell: that would cost a receiver a fence for each sender that might sleep. So a
 * sender that has nothing to receive looks again and again, after naps that grow from the first to
 * the longest. Its peer's death ends a nap.
 */
#define NAP_FIRST_NS UINT64_C(50000)
#define NAP_LONGEST_NS UINT64_C(1000000)

struct sender {
	struct pinion_channel *channel;
	uint64_t nap_ns; /* the next one */
};

/* The peer comes first: else its death would be told only once the ring is full. */
static bool look(void *context)
{
	const struct sender *sender = context;
	struct pinion_channel *channel = sender->channel;

	channel_look(channel);
	return channel_is_set(&channel->broken) ||
	       channel_is_gone(channel, &channel->tx.shared->consumer_closed) ||
	       ring_room(&channel->tx, 1);
}

/* Nobody rings. */
static bool arm(void *context)
{
	(void)context;
	return false;
}

static int nap(void *context, uint64_t deadline_ns)
{
	struct sender *sender = context;
	struct pollfd peer = {.fd = sender->channel->pidfd, .events = POLLIN};
	uint64_t now = bell_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
	struct timespec time = {.tv_nsec = (long)(left < sender->nap_ns ? left : sender->nap_ns)};

	sender->nap_ns = 2 * sender->nap_ns < NAP_LONGEST_NS ? 2 * sender->nap_ns : NAP_LONGEST_NS;
	return ppoll(&peer, 1, &time, NULL) < 0 && errno == EINTR ? -EINTR : 0;
}

int channel_wait_to_send(struct pinion_channel *channel, uint64_t timeout_ns)
{
	static const struct vigil vigil = {look, arm, nap, NULL};
	struct sender sender = {.channel = channel, .nap_ns = NAP_FIRST_NS};
	uint64_t deadline = vigil_later(bell_now_ns(), timeout_ns);

	return look(&sender) ? 0 : vigil_sleep(&vigil, &sender, deadline);
}
