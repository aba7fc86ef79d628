/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRAP_PLANTED_HEAD_H
#define PINION_TESTS_TRAP_PLANTED_HEAD_H

/*
 * Planted bugs, put before the first line of what maps a ring, or joins a pool, by the compiler
 * (-include): the number of slots is looked at for the check, and again for its logarithm; and
 * words of the control area are copied twice.
 */

#include "once.h"
#include "ring.h"

static inline uint32_t planted_log2(const struct ring_shared *shared)
{
	const uint32_t slots = *(const volatile uint32_t *)&shared->slots;
	uint32_t shift = 0;

	while (shift < 31 && !(slots >> shift & 1))
		shift++;
	return shift;
}

static inline void planted_copy(void *to, const void *from, size_t len)
{
	once_copy(to, from, len);
	once_copy(to, from, len);
}

#define __builtin_ctz(slots) planted_log2(shared)
#define once_copy planted_copy

#endif
