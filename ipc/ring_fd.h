/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_RING_FD_H
#define IPC_RING_FD_H

/*
 * A receiver that sleeps in a loop of its own: a descriptor that becomes readable. wait.h tells how
 * it is used, bell.h how the sender knows.
 *
 * It is one end of a pair of datagram sockets. The receiver made it and nobody else ever has it.
 * The sender gets the other end, and may be hostile, or think that the receiver is:
 *
 *     eventfd   who holds it shares its flags and its count: saturated, drained, or made to block
 *     pipe      a write that stops at a page of its own (of FUSE, say) holds the pipe's mutex, and
 *               a non-blocking read waits as long: 1.8 s of 2 in a trial, and as long as one likes.
 *               Who holds one end can open the other. SIGPIPE.
 *     stream    a close is an end of file, readable for ever, though somebody has a copy
 *     datagram  each call says for itself that it does not wait (MSG_DONTWAIT); bytes are copied
 *               before any lock; a close is not noticed, as it should be: a pidfd tells of deaths
 *
 * What is left: a datagram may carry files, and the last close of a file may take long. From 6.16
 * on the kernel keeps them out (SO_PASSRIGHTS). Before, a datagram is looked at first, and one with
 * files stays where it is and ends the channel; closing the socket may then take long.
 */

#include "ring_wait.h"

/* Receiver: the descriptor to watch. The first call makes it, and only that can fail. */
int ring_fd_open(const struct ring_waiter *waiter);

/* Receiver: 0: the descriptor will say. Else what the waiter's ready says. pre: ring_fd_open(). */
int ring_fd_prepare(const struct ring_waiter *waiter);

/* -EPROTO: the peer sends files. */
int ring_fd_done(const struct ring_waiter *waiter);

/* Sender: @socket, of which it keeps a duplicate, is where strikes go. */
int ring_fd_notify(struct ring *ring, int socket);

#endif
