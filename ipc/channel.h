/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

/*
 * What sessions, and ways to wait, ask of a channel beyond its public header.
 */

#include <pinion/channel.h>

#include "ring_wait.h"

/* From now on wait() notices that the peer, whose pidfd this is, has died. The fd is borrowed. */
void channel_watch(struct pinion_channel *channel, int pidfd);

/* Lets go without a word to the peer: for the child of a fork, whose channel it is not. */
void channel_abandon(struct pinion_channel *channel);

/* How its receiving thread waits; and the ring on which it sends. */
struct ring_waiter channel_waiter(struct pinion_channel *channel);
struct ring *channel_tx(struct pinion_channel *channel);

#endif
