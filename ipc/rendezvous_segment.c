/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of segments that a pool grows by, and which peers are owed them. */
#include <stddef.h>

#include "rendezvous_inside.h"

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
		rendezvous->owes = true;
	}
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
		if (fds.segment[i] >= 0)
			send_segment(rendezvous, peer, i, fds.segment[i]);
	}
}
