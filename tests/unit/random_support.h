/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_RANDOM_SUPPORT_H
#define PINION_TESTS_RANDOM_SUPPORT_H

/*
 * Numbers that PINION_SEED repeats. xorshift64*, Vigna 2016: good enough to choose operations.
 */

#include "support.h"

#include <sys/random.h>
#include <time.h>

static inline uint64_t test_seed(void)
{
	const char *given = getenv("PINION_SEED");
	uint64_t seed = 0;

	if (given != NULL)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uint64_t)time(NULL);
	seed |= 1; /* the generator stays at 0 for ever */
	print_message("# PINION_SEED=%#jx\n", (uintmax_t)seed);
	return seed;
}

static inline uint64_t test_random(uint64_t *random)
{
	*random ^= *random >> 12;
	*random ^= *random << 25;
	*random ^= *random >> 27;
	return *random * UINT64_C(2685821657736338717);
}

static inline uint32_t test_below(uint64_t *random, uint32_t bound)
{
	return (uint32_t)((test_random(random) >> 32) * bound >> 32);
}

#endif
