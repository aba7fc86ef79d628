/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_RING_FD_H
#define IPC_RING_FD_H

/* How the receiver of a ring sleeps in a loop of its own: at a descriptor (bell_fd.h). */

#include "ring_wait.h"

/* Receiver: the descriptor to watch. The first call makes it, and only that can fail. */
int ring_fd_open(const struct ring_waiter *waiter);

/* Receiver: strikes come to @socket as well, see bell_fd_add(). pre: the waiter has a pidfd. */
int ring_fd_add(const struct ring_waiter *waiter, int socket);

/* Receiver: 0: the descriptor will say. Else what the waiter's ready says. pre: ring_fd_open(). */
int ring_fd_prepare(const struct ring_waiter *waiter);

/* -EPROTO: the peer sends files. */
int ring_fd_done(const struct ring_waiter *waiter);

/* Sender: @socket, of which it keeps a duplicate, is where strikes go: those of the ring's bell,
 * and of its ready set's. */
int ring_fd_notify(struct ring *ring, int socket);

#endif
