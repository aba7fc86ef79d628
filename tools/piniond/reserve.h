/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_RESERVE_H
#define PINIOND_RESERVE_H

/*
 * Hugepages for pools that are about to be made: each node's number is raised by what is missing,
 * read back, and put back everywhere where any node falls short.
 *
 * What is free counts, but for what the kernel has promised to somebody who has not touched it yet:
 * nobody knows on which node that will be. Pages stay reserved when the service ends.
 *
 * A signal that ends the process does so once all is put back.
 *
 * It takes root and a /sys that can be written. Between this and the making of the pools somebody
 * else may take the pages; then making says so.
 */

#include <stdint.h>

#include "../hugepages_sysfs.h"

struct reserve_wish {
	int node; /* -1: any */
	uint64_t page_size;
	uint64_t pages;
};

/*
 * 0, or -errno after a line in the log that says which node, what was wanted, what came, and what
 * to do. -ENOSPC: too few, and all is as it was; -ENOTRECOVERABLE: not even that.
 */
int reserve(const struct hp_sys *sys, const struct reserve_wish *wish, uint32_t nr);

#endif
