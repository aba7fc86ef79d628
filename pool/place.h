/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_PLACE_H
#define POOL_PLACE_H

/*
 * Where pages are: bound before the first touch, verified after, and what to say when there are
 * too few. A policy only asks; what counts is what the kernel tells of each page afterwards.
 */

#include <pinion/hostmem.h>

#include "segment.h"

/*
 * Base pages, which nobody reserves: is there memory for those that the orders ask for, and beside
 * them for @control bytes of the control area? Where there is not, populating would not fail, but
 * call the kernel's OOM killer, which ends some process.
 * (A limit of the cgroup, memory.max, is not looked at: what counts against it is in part cache
 * that the kernel would give up, and the limits of the groups above count as well.)
 *
 * -ENOMEM  there is not; the sentence says of what, and where
 */
int place_fits(const struct segment_order *order, uint32_t nr, size_t control);

/* Pages of @memory come from the node of the configuration, from nowhere else. 0 or -errno. */
int place_bind(const struct segment_order *order);

/*
 * Every page of the size and on the node that was asked for; sets order->node.
 * -EXDEV  one is not; the sentence says which
 */
int place_verify(struct segment_order *order);

/*
 * The sentence for @err: pages like those of order[failed] are not to be had. It names the node
 * that has too few. pre: what the orders had got is free again, so it is counted with the rest.
 */
int place_too_few(const struct segment_order *order, uint32_t nr, uint32_t failed, int err);

/*
 * The same of a named pool's control area, which has @pages hugepages from any node. The command
 * counts @later too, those of the pool's segments, or it would be one too few after the other.
 */
int place_control_too_few(size_t page_size, size_t pages, size_t later, int err);

#endif
