/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_SEGMENT_H
#define POOL_SEGMENT_H

/*
 * A segment's memory: hugepages on the node that was asked for, or an error that says which
 * page is missing where. Nothing of it is shared before it is verified.
 *
 *     a file of its own (sealed memfd, or a file of a named pool)
 *       -> mapped at a multiple of its buffer size -> bound -> populated -> verified -> sealed
 *
 * All segments of one call take each step together: their nodes are populated at the same time.
 */

#include <pinion/hostmem.h>
#include <pinion/pool.h>

#include "named.h"
#include "populate.h"

/* One segment to be made. */
struct segment_order {
	const struct pinion_segment_config *config;
	uint32_t index;                /* in the pool: for sentences and names of files */
	struct pinion_hostmem *memory; /* out: the file, mapped */
	int node; /* out: where all pages were found; -1: on several */
};

struct segment_options {
	const char *name;          /* of the memfds, for people */
	const struct named *named; /* files of this named pool instead; NULL: memfds */
	mode_t mode;               /* of those files: see named_create() */
	size_t control; /* bytes of base pages that the control area will take for them */
	struct populate_progress progress;
};

/*
 * Makes all of 1 to PINION_SEGMENT_MAX segments, or none: on failure files, mappings and pages
 * are gone again. pre: segment_config_check() accepted each.
 *
 * -ENOMEM  too few free pages; the sentence says of what, where, and the command that mends it
 * -EXDEV   a page is on another node, or of another size
 * -EINVAL  a named pool's mount has other pages than a segment wants
 * -EAGAIN  no thread can be started
 */
int segments_create(struct segment_order *order, uint32_t nr,
		    const struct segment_options *options);

/*
 * Maps a segment's file at a multiple of max(page_size, buffer_size), so that each buffer is
 * aligned to its own size. Checks, ownership of @fd and errors as pinion_hostmem_attach(); no
 * sentence.
 */
int segment_map(int fd, size_t len, size_t page_size, size_t buffer_size,
		struct pinion_hostmem *memory);

/* The shape alone: -EINVAL or -ENODEV with a sentence. */
int segment_config_check(const struct pinion_segment_config *config, uint32_t index);

#endif
