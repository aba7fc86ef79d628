/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of segments that a pool grows by, and which peers are owed them. */
#include <errno.h>
#include <stddef.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "channel.h"
#include "rendezvous_inside.h"
#include "ring.h"

#define AGAIN_NS 100000000 /* as often as one who waits looks by himself */

int rendezvous_open_timer(struct pinion_rendezvous *rendezvous)
{
	int err, timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (timer < 0)
		return -errno;
	err = rendezvous_watch(rendezvous, timer, rendezvous);
	if (err)
		(void)close(timer);
	else
		rendezvous->timer = timer;
	return err;
}

void rendezvous_hear_timer(const struct pinion_rendezvous *rendezvous)
{
	uint64_t rounds;

	(void)!read(rendezvous->timer, &rounds, sizeof(rounds));
}

static void owe(struct pinion_rendezvous *rendezvous)
{
	const struct itimerspec once = {.it_value = {.tv_nsec = AGAIN_NS}};

	(void)timerfd_settime(rendezvous->timer, 0, &once, NULL);
	rendezvous->owes = true;
}

/* One file to one peer, or a note that it is owed. */
static void send_segment(struct pinion_rendezvous *rendezvous, struct peer *peer, uint32_t slot,
			 int fd)
{
	const struct message message = {.magic = MESSAGE_MAGIC,
					.version = MESSAGE_VERSION,
					.kind = MESSAGE_SEGMENT,
					.slot = slot};
	uint64_t bit = UINT64_C(1) << slot;

	if (peer->socket < 0 || (peer->state != WELCOMED && peer->state != JOINED))
		return;
	peer->owed &= ~bit;
	if (message_send(peer->socket, &message, &fd, 1)) {
		peer->owed |= bit;
		owe(rendezvous);
	}
}

/* Behind a file that came late: its member may sleep at a descriptor of that segment, which was as
 * if it were not there (stuck.h). The file is in its socket before the strike, and whoever arms a
 * bell looks there again behind it. From any thread, as ring_tell(). */
static void wake(const struct peer *peer)
{
	struct ring *tx = peer->channel ? channel_tx(peer->channel) : NULL;

	if (tx && tx->shared)
		ring_strike(tx);
}

void rendezvous_announce(struct courier *courier, uint32_t slot, int fd)
{
	struct pinion_rendezvous *rendezvous =
		(void *)((char *)courier - offsetof(struct pinion_rendezvous, courier));
	struct peer *peer;

	LIST_FOREACH(peer, &rendezvous->peers, link)
	send_segment(rendezvous, peer, slot, fd);
}

void rendezvous_pay(struct pinion_rendezvous *rendezvous)
{
	struct pinion_pool_fds fds;
	struct peer *peer;

	if (!rendezvous->owes)
		return;
	rendezvous->owes = false;
	pinion_pool_export(rendezvous->pool, &fds);
	LIST_FOREACH(peer, &rendezvous->peers, link)
	for (uint32_t i = 0; peer->owed && i < fds.nr_segments; i++) {
		if (!(peer->owed >> i & 1))
			continue;
		peer->owed &= ~(UINT64_C(1) << i);
		if (fds.segment[i] < 0)
			continue;
		send_segment(rendezvous, peer, i, fds.segment[i]);
		if (!(peer->owed >> i & 1))
			wake(peer);
	}
}
