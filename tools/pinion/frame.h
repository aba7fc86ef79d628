/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_FRAME_H
#define PINION_FRAME_H

/*
 * One picture of `pinion top`: lines of characters, each with a colour, made from an answer to
 * QUERY "stat" and the one before it. It knows nothing of terminals: top.c shows it on one, and
 * --once prints its text.
 *
 * First come the hugepages of each node: how many of them are free, and how many each pool has.
 *
 * Of each zone (a pool's buffers of one size on one node) there is a map of one or two lines: a
 * cell a share, with the sign and colour of the member that holds it ('?': nobody who is listed
 * does; '-': it is counted neither as held nor as free; '.': it is free, in a cache or not).
 * Whoever holds a part of it has at least one cell, as long as there are cells for all.
 * Where there are several zones, and a service of another release counts a member's buffers over
 * all of them, what is held is '?', and the title says so.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pages.h"

#define FRAME_COLS_MAX 512
#define FRAME_COLOURS 6 /* 1 to 6; 0: the terminal's own */

enum frame_sort {
	SORT_HELD,
	SORT_RATE,
	SORT_NUMBER,
	SORTS,
};

struct frame_view {
	const json_t *now, *before; /* before: NULL if there was none */
	uint64_t span_ns;           /* between the two */
	const struct pages *pages;  /* at the time of @now */
	size_t nr_pages;
	enum frame_sort sort;
};

struct frame_line {
	char text[FRAME_COLS_MAX + 1]; /* printable ASCII, to the first 0 */
	uint8_t colour[FRAME_COLS_MAX];
};

struct frame {
	size_t cols;
	size_t nr;
	struct frame_line *line;
};

/* Replaces what is in @frame, which begins as {0}. @cols is brought between 40 and the most. */
void frame_draw(struct frame *frame, const struct frame_view *view, size_t cols);
void frame_print(const struct frame *frame, FILE *out);
void frame_free(struct frame *frame);

/* "held", "rate", "number" */
const char *frame_sort_name(enum frame_sort sort);

#endif
