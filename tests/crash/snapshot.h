/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SNAPSHOT_H
#define PINION_TESTS_SNAPSHOT_H

/*
 * The shared state of a pool, copied: its control area, byte for byte. What lies in the buffers
 * is nobody's business here.
 *
 * A shadow is another pool of the same shape with the same memory, but a control area of its own.
 * A snapshot loaded into it is what the pool would be had everybody died at that moment: the
 * library's own recovery then runs there, while the real pool and its members stand still.
 */

#include <stdbool.h>
#include <stddef.h>

#include "pool.h"

struct snapshot {
	size_t len; /* bytes */
	char *bytes;
};

/* @snapshot := the control area of @pool. It may be used again, and starts as {0}. */
void snapshot_take(struct snapshot *snapshot, const struct pinion_pool *pool);

/* The control area of @pool := @snapshot; and whom its keeper knows to be dead, for no slot lies
 * here. What else this process believes of it is another matter, see picture.h. */
void snapshot_load(const struct snapshot *snapshot, struct pinion_pool *pool);

/* Does the control area of @pool have these very bytes? */
bool snapshot_same(const struct snapshot *snapshot, const struct pinion_pool *pool);

/* One word in a snapshot, named by where @pool has it. */
uint64_t snapshot_word(const struct snapshot *snapshot, const struct pinion_pool *pool,
		       const _Atomic uint64_t *word);

/* Who had cache ticket @index in a snapshot. */
uint32_t snapshot_ticket(const struct snapshot *snapshot, const struct pinion_pool *pool,
			 uint32_t index);

/* A sealed file that is a copy of the control area of @pool. */
int snapshot_file(const struct pinion_pool *pool);

/* A shadow of @pool, of which this process is the same member, and keeper. */
struct pinion_pool *shadow_open(const struct pinion_pool *pool);

#endif
