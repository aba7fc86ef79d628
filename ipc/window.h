/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_WINDOW_H
#define IPC_WINDOW_H

/*
 * Which ids name buffers, for a batch of descriptors: asked once for each segment in a row, and not
 * once for each of them. A window of zeroes is empty.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/pool.h>

/*
 * The ids of one segment and the size of its buffers, as a batch found them: next to all of its
 * buffers lie in the segment of the one before. For one call, since segments come and go.
 */
struct window {
	uint32_t first, nr;
	size_t size;
};

/* Is there a buffer with this id, mapped here? Moves the window to its segment. */
static inline bool window_reach(struct window *window, const struct pinion_view *view, uint32_t id)
{
	const uint32_t first = id >> view->segment_shift << view->segment_shift;
	uint32_t nr;

	if (__builtin_expect(id - window->first < window->nr, 1))
		return true;
	if (id >= view->nr_ids)
		return false;
	/* Once: another thread may be unmapping it. */
	nr = atomic_load_explicit(&pinion_view_segment_of(view, id)->nr,
				  memory_order_acquire); /* A11 */
	if (id - first >= nr)
		return false;
	window->first = first;
	window->nr = nr;
	window->size = pinion_view_segment_of(view, id)->size;
	return true;
}

#endif
