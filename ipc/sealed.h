/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_SEALED_H
#define IPC_SEALED_H

/*
 * A file of shared memory that nobody can shorten: of a ring, a ready set, a broadcast.
 *
 *     maker                                 who gets the file
 *     -----                                 -----------------
 *     sealed_make()                         sealed_map()
 *     lays it out                           reads the layout once, checks it
 *     sealed_leave(), passes the file  ->   works; unmaps
 *
 * All of it is populated when it is made: a touch later must not meet a full machine. It is mapped
 * only if it is sealed against shrinking: an access behind its end would be a SIGBUS.
 */

#include <stddef.h>

#include <pinion/hostmem.h>

/* @name: of the file, and for sentences. @seals: beside those that keep its size. */
int sealed_make(const char *name, size_t len, int seals, struct pinion_hostmem *memory);

/* Unmaps what was laid out; the file. */
int sealed_leave(const struct pinion_hostmem *memory);

/*
 * Maps a file of @least to @most bytes. @what: for sentences.
 * -EPROTO  its size or its seals are not those of such a file
 * -EPERM   it is sealed against writing, and @protection has PROT_WRITE
 */
int sealed_map(int fd, const char *what, size_t least, size_t most, int protection, void **addr,
	       size_t *len);

#endif
