/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_DIAL_H
#define IPC_DIAL_H

/*
 * Connecting to whoever keeps pools at a path, within a time that is known.
 */

/* How long the other side may take to accept, and then for each answer. */
#define DIAL_PATIENCE_MS 2000

/* A blocking socket, connected. Leaves a sentence. -ETIMEDOUT: nobody accepts. */
int dial_connect(const char *path, int *fd);

/* A non-blocking one, now or not at all; -EAGAIN: too many wait there. No sentence. */
int dial_try(const char *path, int *fd);

/* Until there is something to read: 0, or -ETIMEDOUT after the patience. Signals do not end it. */
int dial_wait(int fd);

#endif
