/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

/*
 * What sessions, requesters, fan-ins and ways to wait ask of a channel beyond its public header.
 */

#include <stdbool.h>

#include <pinion/channel.h>

#include "ring_wait.h"

/* From now on wait() notices that the peer, whose pidfd this is, has died. The fd is borrowed. */
void channel_watch(struct pinion_channel *channel, int pidfd);

/* The peer was given the other end of @socket, by who made the pair (bell_fd_pair()), and wakes
 * pinion_channel_fd() by that; a duplicate is kept. pre: channel_watch(). */
int channel_add_socket(struct pinion_channel *channel, int socket);

/* Lets go without a word to the peer: for the child of a fork, whose channel it is not. */
void channel_abandon(struct pinion_channel *channel);

/* How its receiving thread waits; and the rings. */
struct ring_waiter channel_waiter(struct pinion_channel *channel);
struct ring *channel_tx(struct pinion_channel *channel);
struct ring *channel_rx(struct pinion_channel *channel);

/* For the receiving thread: is there a reason to call recv, a descriptor or another; and a look at
 * the peer's pidfd, if there is one, which may give such a reason. */
bool channel_ready(const struct pinion_channel *channel);
void channel_look(struct pinion_channel *channel);

/* For who is about to wait: slots of segments that went can be used again (pool/slot.h). */
void channel_follow(struct pinion_channel *channel);

/* How many descriptors may be under way in either ring, sent and not taken, so that the other end
 * always finds room for them. 0 where a ring is not there. */
uint32_t channel_room(const struct pinion_channel *channel);

#endif
