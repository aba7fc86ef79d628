/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_PLANTED_H
#define PINION_TESTS_FUZZ_PLANTED_H

/*
 * Planted bugs, one at a time: put before the first line of a ring's users, or of the member's side
 * of segments, by the compiler (-include), with PLANTED_ID, PLANTED_LEN, PLANTED_ROW,
 * PLANTED_CREDIT, PLANTED_MEET or PLANTED_FILE.
 */

#include "ring.h"

#include <sys/stat.h>

#include <pinion/pool.h>

#include "slot.h"

#if defined(PLANTED_ID) /* any id names a buffer, of a segment's size */
#include "window.h"
static inline bool planted_reach(struct window *window, const struct pinion_view *view, uint32_t id)
{
	if (!window_reach(window, view, id))
		*window = (struct window){id, 1, pinion_view_segment_of(view, 0)->size};
	return true;
}
#define window_reach planted_reach
#elif defined(PLANTED_LEN) /* buffers have no end */
static inline const struct pinion_view_segment *planted_segment(const struct pinion_view *view,
								uint32_t id)
{
	static struct pinion_view_segment endless;

	endless = *pinion_view_segment_of(view, id);
	endless.size = PINION_DESC_LEN_MAX;
	return &endless;
}
#define pinion_view_segment_of planted_segment
#elif defined(PLANTED_ROW) /* what has the ends of a row is one */
#include "desc_row.h"
#define desc_row_is(desc, nr, size) ((void)(size), true)
#elif defined(PLANTED_CREDIT) /* whatever the peer says was given back */
static inline int64_t planted_room(struct ring *ring, uint32_t nr)
{
	uint64_t used;

	ring->credit = atomic_load_explicit(&ring->shared->credit, memory_order_acquire);
	used = ring->at - ring->credit;
	return ring->slots - used < nr ? (int64_t)(ring->slots - used) : nr;
}
#define ring_room planted_room
#elif defined(PLANTED_MEET) /* no segment there: perhaps its file is still to come */
static inline int planted_meet(struct pinion_pool *pool, uint32_t id)
{
	int err = slot_meet(pool, id);

	return err == -EINVAL ? -EAGAIN : err;
}
#define slot_meet planted_meet
#elif defined(PLANTED_FILE) /* whatever file comes is the segment's */
#define fstat(fd, status) ((void)(fd), (status)->st_ino = segment->inode, 0)
#else
#error "which bug?"
#endif

#endif
