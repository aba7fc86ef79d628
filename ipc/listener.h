/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_LISTENER_H
#define IPC_LISTENER_H

/*
 * The listening Unix socket of a rendezvous: its file, its permissions, and what happens when a
 * killed keeper left the file behind.
 */

#include <sys/types.h>
#include <sys/un.h>

struct listener {
	int fd;
	int lock; /* on PATH.lock, held for life */
	struct sockaddr_un address;
};

/* What sockets accepted from now on have from it: credentials come with every message, and files
 * with none, where the kernel can keep them out. 0 or -errno. */
int listener_prepare(int fd);

/* -EADDRINUSE: somebody listens there. A socket that a killed keeper left is replaced. */
int listener_open(struct listener *listener, const char *path, mode_t mode);

/* Removes the files too. */
void listener_close(struct listener *listener);

/* A connection, or -EAGAIN, or what accept4() says. */
int listener_accept(const struct listener *listener);

#endif
