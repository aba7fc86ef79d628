/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_BELL_FD_H
#define IPC_BELL_FD_H

/*
 * A bell that is heard in a loop of the receiver's own: a descriptor that becomes readable. wait.h
 * tells how it is used, bell.h how the sender knows.
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
 * files stays where it is; closing the socket may then take long.
 *
 * At the sender's end nobody reads, so that it is shut for that, by each who has it: nothing comes
 * there any more that the last who closes it would have to close. Files that wait there before the
 * sender keeps it are told by /proc; where that is not mounted, or before Linux 5.6, closing that
 * end may take long.
 *
 * A third process may make the pair, and give an end to each of the two: piniond, which takes no
 * files from clients. The receiver then watches that one beside its own. Here it is not datagram
 * sockets: who has the receiver's end of those can let others send to it, and whoever closes it
 * last would close what they sent. What comes to one of SOCK_SEQPACKET comes from the other end,
 * which the receiver never has. Its end of file makes it readable for ever, so that it is then
 * watched no more: a sender that hung up leaves the receiver asleep, as one who sends nothing does.
 */

#include <stdbool.h>

/* What the receiver watches; -1: none. */
struct bell_fd {
	int socket; /* readable when the bell was struck */
	int given;  /* likewise; what bell_fd_pair() made elsewhere */
	int epoll;  /* over these and another descriptor, where there is one */
	bool clean; /* the kernel keeps files out of the sockets */
};

#define BELL_FD_NONE ((struct bell_fd){.socket = -1, .given = -1, .epoll = -1})

/* @other: what else makes it readable; -1: nothing. @strikes: where strikes go. */
int bell_fd_open(struct bell_fd *fd, int other, int *strikes);
void bell_fd_close(const struct bell_fd *fd);

/* For two others: [0] is for bell_fd_add(), of one, [1] for bell_fd_keep(), of the other. */
int bell_fd_pair(int end[2]);

/* Strikes come to @socket too, of which it keeps a duplicate. pre: there is another descriptor, and
 * none was added. -EINVAL: not such a socket. */
int bell_fd_add(struct bell_fd *fd, int socket);

/* The descriptor for the loop. */
static inline int bell_fd_watched(const struct bell_fd *fd)
{
	return fd->epoll >= 0 ? fd->epoll : fd->socket;
}

/* Takes what was sent, a bounded number of bytes. -EPROTO: somebody sends files. */
int bell_fd_drain(const struct bell_fd *fd);

/* pre: there is another descriptor. From now on that one alone makes it readable. */
void bell_fd_deafen(const struct bell_fd *fd);

/* Sender: a duplicate of @socket, shut for reading, in the place of the one in @strikes.
 * -EINVAL: not such a socket, or files wait at that end. */
int bell_fd_keep(int *strikes, int socket);

#endif
