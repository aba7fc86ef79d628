/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_DESC_ROW_H
#define IPC_DESC_ROW_H

/*
 * Descriptors whose buffers are a row (pool/row.h): what a burst is that was allocated as one.
 * They, their owner words and the marks of who sends them go by vectors: in a burst of 32, a third
 * of the instructions. Only what is good in every respect goes that way; whatever is not goes one
 * by one, where it is found out which it is.
 */

#include <pinion/ring.h>

#include "row.h"
#include "window.h"

/* Less than this is not worth the looking. */
#define DESC_ROW_MIN (2 * ROW_STEP)

/* May they be a row, of buffers that @window can reach? How many, from the first on: a multiple of
 * ROW_STEP, 0 for none. */
static inline uint32_t desc_row_seems(const struct pinion_desc *desc, uint32_t nr,
				      const struct pinion_view *view, struct window *window)
{
	const uint32_t row = nr - nr % ROW_STEP, id = pinion_buffer_id(desc->buffer);

	if (ROW_BY_WORDS || row < DESC_ROW_MIN || id > PINION_ID_MAX - row ||
	    desc[row - 1].buffer.bits != desc->buffer.bits + (row - 1))
		return 0;
	if (!window_reach(window, view, id))
		return 0;
	return window->nr - (id - window->first) < row ? 0 : row;
}

/* Are they one, and is none said to be longer than @size? A row_vector is two descriptors; of two
 * vectors one is made of the handles, one of what is beside them. */
static inline bool desc_row_is(const struct pinion_desc *desc, uint32_t nr, size_t size)
{
	const row_vector *at = (const row_vector *)(const void *)desc;
	row_vector want = desc->buffer.bits + (row_vector){0, 2, 1, 3};
	row_vector odd = {0}, left = {0};

#pragma GCC unroll 2
	for (uint32_t i = 0; i < nr; i += ROW_STEP, at += 2, want += ROW_STEP) {
		row_vector handle = __builtin_shufflevector(at[0], at[1], 0, 4, 2, 6);
		row_vector rest = __builtin_shufflevector(at[0], at[1], 1, 5, 3, 7);

		odd |= handle ^ want;
		left |= size - (rest & UINT32_MAX); /* the length is its lower half */
	}
	odd |= left >> 63; /* less than nothing is left */
	return row_is_zero(&odd);
}

#endif
