/* SPDX-License-Identifier: BSD-3-Clause */
/* What a sender waits for: room in its ring, and that all of it was taken. */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "channel_inside.h"
#include "fail.h"
#include "vigil.h"

/*
 * Who takes rings no bell: that would cost a receiver a fence for each sender that might sleep. So
 * a sender looks again and again, after naps that grow from the first to the longest. Its peer's
 * death ends a nap.
 */
#define NAP_FIRST_NS UINT64_C(50000)
#define NAP_LONGEST_NS UINT64_C(1000000)

struct sender {
	struct pinion_channel *channel;
	bool (*enough)(struct pinion_channel *channel);
	bool found;      /* that it is, by the last look */
	uint64_t nap_ns; /* the next one */
};

static bool is_gone(const struct pinion_channel *channel)
{
	return channel_is_gone(channel, &channel->tx.shared->consumer_closed);
}

/* The peer comes first: what it took before it went is seen behind that. */
static bool look(void *context)
{
	struct sender *sender = context;
	bool gone;

	channel_look(sender->channel);
	gone = is_gone(sender->channel);
	sender->found = sender->enough(sender->channel);
	return gone || sender->found;
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

/* -EPIPE: the peer is gone, and it is not enough. */
static int wait_until(struct pinion_channel *channel,
		      bool (*enough)(struct pinion_channel *channel), uint64_t timeout_ns)
{
	static const struct vigil vigil = {look, arm, nap, NULL};
	struct sender sender = {channel, enough, false, NAP_FIRST_NS};
	uint64_t deadline = vigil_later(bell_now_ns(), timeout_ns);
	int err = look(&sender) ? 0 : vigil_sleep(&vigil, &sender, deadline);

	return err || sender.found ? err : -EPIPE;
}

/* Or something else that send() has to say. */
static bool has_room(struct pinion_channel *channel)
{
	return channel_over(channel) == -EPROTO || ring_room(&channel->tx, 1);
}

int channel_wait_to_send(struct pinion_channel *channel, uint64_t timeout_ns)
{
	int err = wait_until(channel, has_room, timeout_ns);

	return err == -EPIPE ? 0 : err; /* send() says that */
}

/* As send() says it. */
static int why_not(struct pinion_channel *channel)
{
	if (channel_over(channel) == -EPROTO)
		return -EPROTO;
	if (is_gone(channel))
		return -EPIPE;
	return ring_room(&channel->tx, 1) < 0 ? channel_break_off(channel) : 0;
}

int pinion_channel_wait_room(struct pinion_channel *channel, uint64_t timeout_ns)
{
	KEEP_ERRNO;
	int err;

	if (!channel->tx.shared)
		return -EACCES;
	channel_follow(channel);
	err = channel_wait_to_send(channel, timeout_ns);
	return err ? err : why_not(channel);
}

/* By the words, since credit comes late, and a liar's at any time. Buffers are taken in order: as
 * long as the last is not, one look says so. */
static bool is_drained(struct pinion_channel *channel)
{
#ifdef PINION_PLANTED_DRAIN
	/* The first alone, for tests/crash, which shows that it would notice. */
	uint32_t back = channel->tx.slots;
#else
	uint32_t back = 1;
#endif

	for (; back <= channel->tx.slots; back++) {
		uint64_t slot = (channel->tx.at - back) & (channel->tx.slots - 1);
		struct pinion_buffer sent = channel->out[slot];

		if (sent.bits && channel_is_held(channel->view->owner, sent, channel->self))
			return false;
	}
	return true;
}

int pinion_channel_drain(struct pinion_channel *channel, uint64_t timeout_ns)
{
	KEEP_ERRNO;

	if (!channel->tx.shared)
		return -EACCES;
	channel_follow(channel);
	return wait_until(channel, is_drained, timeout_ns);
}
