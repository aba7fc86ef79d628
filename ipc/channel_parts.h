/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_CHANNEL_PARTS_H
#define IPC_CHANNEL_PARTS_H

/*
 * A channel from the files that come in ATTACHED or JOINED (wire.h): the ring to send on, the ring
 * to receive on, the pidfd of the other end, and what wakes the two in loops of theirs.
 */

#include <pinion/channel.h>

#include "wire.h"

#define PARTS_PIDFD 2 /* where it is among them */

/* How many @message says that there are. */
unsigned parts_nr(const struct wire *message);

/* The pidfd is to live as long as the channel; the others are done with. On failure there is no
 * channel. pre: so many are in @files. */
int parts_open(struct pinion_pool *pool, const struct wire *message, const int *files,
	       struct pinion_channel **channel);

/* Closes all of them but the pidfd. */
void parts_close(const struct wire *message, const int *files);

#endif
