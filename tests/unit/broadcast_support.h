/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_BROADCAST_SUPPORT_H
#define PINION_TESTS_BROADCAST_SUPPORT_H

/*
 * The rings of broadcasts, for tests. PINION_BROADCAST_START says at which position they begin, 0
 * otherwise. The build runs tests of broadcasts a second time just below 2^64, as those of rings
 * (ring_support.h).
 */

#include "broadcast.h"
#include "support.h"

static inline uint64_t broadcast_start(void)
{
	const char *start = getenv("PINION_BROADCAST_START");

	return start != NULL ? strtoull(start, NULL, 0) : 0;
}

/* pinion_broadcast_create(), but for that. */
static inline int broadcast_begin(uint32_t slots, int *fd)
{
	return broadcast_make(slots, broadcast_start(), fd);
}

static inline int broadcast_file(uint32_t slots)
{
	int fd = -1;

	assert_int_equal(broadcast_begin(slots, &fd), 0);
	return fd;
}

#endif
