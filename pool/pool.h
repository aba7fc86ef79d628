/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_POOL_H
#define POOL_POOL_H

/*
 * A pool as its own library sees it: private copies of everything that shared memory says about
 * shape, and typed pointers to the arrays that are really shared.
 */

#include <pinion/hostmem.h>
#include <pinion/pool.h>

#include "layout.h"

struct pinion_pool {
	struct pinion_view view; /* first: pinion_pool_view() */
	uint32_t member;
	uint32_t nr_zones;
	uint64_t id; /* random, the same in all processes */

	/* Copied once from the control area and checked; never read back. */
	struct control_geometry geometry;
	struct layout layout;
	struct control_segment segment[PINION_SEGMENT_MAX];

	struct pinion_hostmem control;
	struct pinion_hostmem memory[PINION_SEGMENT_MAX];

	/* Into the control area. */
	struct control_member *members;
	_Atomic uint64_t *magazine;
	_Atomic uint64_t *depot; /* bitmaps of hints */
	_Atomic uint64_t *empty;
	struct control_content *content;
};

/* Fills pointers, view and zone count from geometry and segments.
 * pre: control and memory[] are mapped, geometry and segment[] set. */
void pool_open_view(struct pinion_pool *pool, uint32_t member);

/* Unmaps and closes all, and frees the struct. Works on one that is half made. */
void pool_discard(struct pinion_pool *pool);

/* Takes an admission back that nobody was told of. */
void pool_dismiss(struct pinion_pool *pool, uint32_t member);

/* Magazines of segment @index are first .. first + nr - 1. */
static inline uint32_t pool_magazine_first(const struct pinion_pool *pool, uint32_t index)
{
	return index * pool->layout.stride;
}

/* Hugepages of the whole pool. */
static inline size_t pool_nr_pages(const struct pinion_pool *pool)
{
	size_t nr = 0;

	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		nr += pool->segment[i].len >> pool->segment[i].page_shift;
	return nr;
}

static inline uint32_t pool_magazine_nr(const struct pinion_pool *pool, uint32_t index)
{
	return layout_magazines(&pool->geometry, pool->segment, index);
}

#endif
