/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_POST_H
#define PINION_TESTS_POST_H

/*
 * The files of segments, for tracer and children: what a session is between processes that are
 * no relatives.
 *
 *     those of the first state   kept by the tracer, inherited by each child
 *     those that children make   sent by them, as any courier does, before others can meet an id in
 *                                them; each stays in a socket, one for each slot that was without a
 *                                segment, and whoever asks gets a copy
 */

#include <stdint.h>

#include "pool.h"

/* Keeps copies of all files of @pool. */
void post_open(const struct pinion_pool *pool);
void post_close(void);

/* No child has made any. */
void post_clear(void);

/* For struct courier: sends the file. */
void post_announce(struct courier *courier, uint32_t slot, int fd);

/* For pinion_pool.fetch: a file of the caller's own, or -ENOENT. */
int post_fetch(void *context, uint32_t slot, int *fd);

#endif
