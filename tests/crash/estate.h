/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_ESTATE_H
#define PINION_TESTS_ESTATE_H

/*
 * A named pool on a hugetlbfs mount of this process's own, two segments of three: what its dead
 * leave, and whether the next keeper finds all of it.
 *
 *     estate_open()
 *       a child makes it, and dies
 *       estate_left()                 what there is then
 *       the next are killed over it
 *       pinion_pool_adopt(), ...      by one that finds nobody else alive
 *       estate_wrong()
 *       estate_removed_wrong()
 *     estate_close()
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/cache.h>
#include <pinion/pool.h>

#include "snapshot.h"

#define ESTATE_SLOTS 3u
#define ESTATE_NR 64u /* buffers of a segment, which is one page */
#define ESTATE_SIZE (((size_t)2 << 20) / ESTATE_NR)

/* Of a pool; and of each of its segments. */
const struct pinion_pool_config *estate_config(void);
const struct pinion_segment_config *estate_segment(void);
const char *estate_path(void);

/* Mounts, and readies this process for stepping others. NULL, or why it cannot; nothing is left of
 * it when this process ends, however it does. */
const char *estate_open(void);
void estate_close(void);

/* Its control area, to look at, and how much of it is used. pre: there is one. */
const char *estate_map(void);
void estate_unmap(const char *control);
size_t estate_len(void);

/* @copy := its control area, if there is one; @copy starts as {0}. */
void estate_copy(struct snapshot *copy);

/* As a member might, over the magazines of the first segment: what lies in them is nobody's. */
void estate_scribble(void);

/* Takes note of what everybody has at this moment. */
void estate_left(void);

/* Opens a cache, takes @nr buffers and frees a quarter of them. The cache stays open. */
int estate_hold(struct pinion_pool *pool, uint32_t nr);

/* Adds a segment of the usual kind. */
int estate_grow(struct pinion_pool *pool);

/* What this pool contradicts: nobody but the caller, its keeper, has anything; all can be had, and
 * can come and go. With @left no handle noted by estate_left() is good. NULL: nothing. */
const char *estate_wrong(struct pinion_pool *pool, bool left);

/* Removes it, if there is one, and says what is left. */
const char *estate_removed_wrong(void);

#endif
