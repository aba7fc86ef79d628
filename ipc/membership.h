/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_MEMBERSHIP_H
#define IPC_MEMBERSHIP_H

/*
 * A pool from the files that came in a message, and the files for one that goes: control area, then
 * segments by slot.
 */

#include <pinion/pool.h>

struct membership {
	uint32_t member;   /* the number that we were admitted under */
	uint64_t segments; /* a bit for each slot whose file came */

	/* How the pool gets files that come later; see struct pinion_pool. */
	int (*fetch)(void *context, uint32_t slot, int *fd);
	void *context;
};

static inline unsigned membership_nr_files(const struct membership *membership)
{
	return 1 + (unsigned)__builtin_popcountll(membership->segments);
}

/* On success the pool owns membership_nr_files() of @files; on failure the caller does. */
int membership_open(const struct membership *membership, const int *files,
		    struct pinion_pool **pool);

/* What a message about @pool carries: @files has room for 1 + PINION_SEGMENT_MAX; returns how many,
 * and in @segments a bit for each slot whose file is among them. They stay the pool's. */
unsigned membership_files(const struct pinion_pool *pool, int *files, uint64_t *segments);

#endif
