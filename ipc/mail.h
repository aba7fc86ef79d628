/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_MAIL_H
#define IPC_MAIL_H

/*
 * Messages of a fixed size, with files, over a SOCK_SEQPACKET socket: whole or not at all, and
 * never waited for. What a message means is for message.h and wire.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than that the kernel does not allow in one message (unix(7), SCM_MAX_FD). */
#define MAIL_FILES_MAX 253

/* Who sent it, as the kernel says (SO_PASSCRED must be on to get it). */
struct mail_sender {
	int32_t pid; /* 0: not told */
};

/* 0, -EAGAIN, or what sendmsg says. Never blocks and never raises SIGPIPE. */
int mail_send(int fd, const void *data, size_t len, const int *files, unsigned nr_files);

/*
 * One message of exactly @len bytes. Received files are O_CLOEXEC and the caller's.
 * @nr_files: room in @files on entry, number on return; surplus ones are closed.
 * -EAGAIN nothing there; -EPIPE the other end is closed; -EPROTO a message of another size;
 * -EMFILE it is in @data, but not all of its files could be opened, and none is.
 */
int mail_recv(int fd, void *data, size_t len, int *files, unsigned *nr_files,
	      struct mail_sender *sender);

/* Do messages to this socket, and to those accepted from it later, bring files? At first they do.
 * Who sends one where they do not is told -EPERM. 0 or -errno: before Linux 6.16 they always do. */
int mail_allow_files(int fd, bool allowed);

/* Closes @nr files that came along; not even a socket that its sender made linger is waited for. */
void mail_close_files(const int *files, unsigned nr);

/* Closes the socket. What was not received goes first, as its files might be waited for as well.
 * Who inherited the socket does not receive on it any more either. */
void mail_hang_up(int fd);

#endif
