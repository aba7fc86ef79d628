/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_PEER_H
#define IPC_PEER_H

/*
 * Who is at the other end of a socket, in a way that a re-used pid cannot fake.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct peer_identity {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int pidfd; /* readable once the process is gone */
};

/* False: it has ended, though it may be a zombie still. A stopped one is alive. */
bool peer_is_alive(int pidfd);

/*
 * -ESRCH: it died already.
 *
 * Before Linux 6.5 that is not seen if another process of the same user has its pid by now: then it
 * is that one, its pidfd included, if it also has the socket to speak on.
 */
int peer_identify(int socket, struct peer_identity *identity);

/*
 * A message came whose sender, the kernel says, has pid @sender: is that the process of
 * @identity?
 *
 * pre: @identity was made before the message was sent. If its pidfd's process lives, both had
 * the pid at once: the same. If it is gone, and what has the pid now (if anything) is gone as
 * well, then so is the sender, and it makes no difference. Otherwise the pid was re-used.
 */
bool peer_is_sender(const struct peer_identity *identity, pid_t sender);

#endif
