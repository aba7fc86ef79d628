/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sockets by which the ends of a channel wake each other's loops. They are made here, since no
 * client may send files.
 *
 * Whoever closes a socket last closes the files that wait in it, which may take as long as their
 * sender likes. Where a strike goes nothing can wait (bell_fd_pair()): that one is kept. The other
 * one is given to who is to be woken, once, and let go of before a client can put something there:
 * into its own only its device process sends, and that of a device process goes before the client
 * has the other end. If there is no room to tell it by then, the kernel must keep files out.
 */
#include "service.h"

#include <unistd.h>

#include "bell_fd.h"

static void let_go(int *socket)
{
	if (*socket >= 0)
		(void)close(*socket);
	*socket = -1;
}

void doorbell_init(struct pairing *pairing)
{
	for (enum side side = CLIENT; side <= DEVICE; ++side)
		pairing->woken_by[side] = pairing->strikes[side] = -1;
}

int doorbell_make(struct pairing *pairing)
{
	int end[2], err = 0;

	for (enum side side = CLIENT; !err && side <= DEVICE; ++side) {
		if (!pairing->end[side]->loop)
			continue;
		err = bell_fd_pair(end);
		if (err)
			return err;
		pairing->woken_by[side] = end[0];
		pairing->strikes[side] = end[1];
	}
	return err;
}

void doorbell_close(struct pairing *pairing)
{
	for (enum side side = CLIENT; side <= DEVICE; ++side) {
		let_go(&pairing->woken_by[side]);
		let_go(&pairing->strikes[side]);
	}
}

bool doorbell_is_whole(const struct pairing *pairing)
{
	return !pairing->end[CLIENT]->loop || pairing->strikes[CLIENT] >= 0;
}

unsigned doorbell_files(const struct pairing *pairing, enum side side, int *files, int32_t *which)
{
	const int own = pairing->woken_by[side], other = pairing->strikes[other_side(side)];
	unsigned nr = 0;

	if (own >= 0) {
		files[nr++] = own;
		*which |= WIRE_WAKEN;
	}
	if (other >= 0) {
		files[nr++] = other;
		*which |= WIRE_NOTIFY;
	}
	return nr;
}

void doorbell_given(struct pairing *pairing, enum side side)
{
	let_go(&pairing->woken_by[side]);
	/* Nobody else strikes there; a device process may have to be told again. */
	if (side == CLIENT)
		let_go(&pairing->strikes[DEVICE]);
}

bool doorbell_can_wait(const struct pairing *pairing)
{
	const int socket = pairing->woken_by[DEVICE];

	return socket < 0 || !mail_allow_files(socket, false);
}
