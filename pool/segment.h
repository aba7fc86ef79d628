/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_SEGMENT_H
#define POOL_SEGMENT_H

/*
 * A segment's memory: hugepages on the node that was asked for, or an error that says which
 * page is missing where. Nothing of it is shared before it is verified.
 */

#include <pinion/hostmem.h>
#include <pinion/pool.h>

/*
 * Makes, binds, populates and verifies one segment. @index is for the sentences.
 * @node: where all pages were found to be; -1 when none was asked for and they are on several.
 */
int segment_create(const struct pinion_segment_config *config, const char *name, uint32_t index,
		   struct pinion_hostmem *memory, int *node);

/* The shape alone: -EINVAL or -ENODEV with a sentence. */
int segment_config_check(const struct pinion_segment_config *config, uint32_t index);

#endif
