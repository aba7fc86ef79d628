/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_MAKE_H
#define POOL_MAKE_H

/*
 * Making segments of a pool, whether it is new (create.c) or in use (grow.c): memory first, then
 * everything in the control area that belongs to the slot, and last of all the slot's state, which
 * shows it to others.
 */

#include "pool.h"

struct named;

/* What is to be made, and how. */
struct make_order {
	const struct pinion_segment_config *config; /* @nr of them */
	uint32_t first, nr;                         /* the slots where they go */
	const char *name;
	const struct named *named; /* NULL: memfds */
	mode_t mode;
	struct populate_progress progress;
};

/* The shapes alone: -EINVAL or -ENODEV with a sentence, in which they are segments @first and on.
 * @flags: of the pool. */
int make_check(const struct pinion_segment_config *config, uint32_t first, uint32_t nr,
	       uint32_t flags);

/* Distance of two buffers of that segment, in bytes. */
size_t make_stride(const struct pinion_segment_config *config, uint32_t flags);

/* A segment that stands, but that no slot has yet. */
struct made {
	struct pinion_hostmem memory;
	struct control_segment segment; /* all but its zone */
};

/* The memory of all of them; or of none: not either where their part of the control area would have
 * none. It takes the time of writing it. */
int make_segments(const struct pinion_pool *pool, const struct make_order *order,
		  struct made *made);

/* Undoes that for one. */
void make_undo(struct made *made, uint32_t slot, const struct named *named);

/*
 * Puts it into a slot that nobody else can see: all buffers begin free, in magazines filled in
 * order, lowest ids first; the other magazines are empty. The slot is still to be published.
 *
 * -ENOMEM  no memory for its part of the control area; the slot is as it was
 * pre: the pool is locked or one's own.
 */
int make_place(struct pinion_pool *pool, uint32_t slot, const struct made *made);

/* All buffers of the segment free, as above, and their generations go on. pre: likewise; and nobody
 * else has any, or a magazine. */
void make_fill(struct pinion_pool *pool, uint32_t slot);

/*
 * For a keeper that comes after one that was killed and may have been putting a segment into a slot
 * that had one before: what lies in its depot nobody saw, and is taken out of it. Nobody has a
 * magazine of a slot that is filled. pre: the pool is one's own, or nobody else is its keeper.
 */
void make_forsake(struct pinion_pool *pool);

/* Has the pages of the control area that @len bytes at @off touch. -ENOMEM */
int make_populate(const struct pinion_pool *pool, size_t off, size_t len);

/* Shows the slot to all members, in this state. pre: the pool is locked or one's own. */
void make_publish(struct pinion_pool *pool, uint32_t slot, enum slot_state state);

/* Bytes of the control area that a pool of @config will have, but for the rest of its last page; 0:
 * there can be no such pool. */
size_t make_control_len(const struct pinion_pool_config *config);

#endif
