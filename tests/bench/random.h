/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

/* The order in which bus_addr looks up: the same for every implementation and run. */

#include <stdint.h>

#define RANDOM_NR 2048u      /* handles in the order: 16 KiB, half a first level cache */
#define RANDOM_TIMES 131072u /* look-ups of a block */

/* The i-th number below @n. Mixing as in splitmix64 (Steele et al., OOPSLA 2014). */
static inline uint32_t random_below(uint32_t i, uint32_t n)
{
	uint64_t z = (i + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ (z >> 31)) % n);
}

#endif
