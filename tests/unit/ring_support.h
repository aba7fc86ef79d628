/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_RING_SUPPORT_H
#define PINION_TESTS_RING_SUPPORT_H

/*
 * What the tests of rings share: their files, and descriptors that can be told from each other.
 *
 * PINION_RING_START says at which position the rings of tests begin, 0 otherwise. The build runs
 * them a second time just below 2^64.
 */

#include <pinion/ring.h>

#include "ring.h"
#include "support.h"

/* pinion_ring_create(), but for that. */
static inline int ring_begin(uint32_t slots, int *fd)
{
	const char *start = getenv("PINION_RING_START");

	return ring_make(slots, start != NULL ? strtoull(start, NULL, 0) : 0, fd);
}

static inline int ring_file(uint32_t slots)
{
	int fd = -1;

	assert_int_equal(ring_begin(slots, &fd), 0);
	return fd;
}

static inline struct pinion_desc desc_of(uint32_t i)
{
	return (struct pinion_desc){pinion_buffer_make(i, i + 1), i * 3 & PINION_DESC_LEN_MAX, ~i};
}

static inline void assert_desc(const struct pinion_desc *desc, uint32_t i)
{
	const struct pinion_desc want = desc_of(i);

	assert_memory_equal(desc, &want, sizeof(want));
}

#endif
