/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_PAGES_H
#define PINION_PAGES_H

/*
 * Hugepages of this machine's nodes, as the kernel counts them now. What is reserved and was not
 * touched yet it counts for all nodes at once, so that is among the free ones here.
 */

#include <stddef.h>
#include <stdint.h>

/* Of one size on one node. */
struct pages {
	int node;
	uint64_t size; /* bytes */
	uint64_t total, free;
};

/*
 * Returns how many entries there are in @all, by node: one for each size that it has any of; one
 * with a total of 0 if it has none. 0: the kernel does not tell. The caller frees @all.
 */
size_t pages_read(const char *root, struct pages **all);

#endif
