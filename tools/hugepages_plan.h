/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_PLAN_H
#define TOOLS_HUGEPAGES_PLAN_H

/*
 * A plan: how many pages each node is to have, and the change from here to there as one step.
 *
 *     hp_plan_init        nothing asked yet
 *     hp_plan_add         a node and a size, as the kernel has it now: want = before
 *     .want = …           by node (parse), or over all nodes (hp_plan_level)
 *     hp_plan_blocker     a node that has too many pages in use for its target?
 *     hp_plan_excess      a node that has less memory than its target?
 *     hp_plan_apply       all targets reached, or all put back
 *
 * Counts are persistent pages (hugepages_sysfs.h). One process at a time: take hp_lock first.
 */

#include "hugepages_sysfs.h"

struct hp_target {
	int node;
	uint64_t size;   /* bytes of one page */
	uint64_t before; /* pages when the plan was made */
	uint64_t used;   /* of all pages then, those in use: no write can take them away */
	uint64_t most;   /* pages the node could have if all its memory were hugepages */
	uint64_t want;
	uint64_t got;    /* what the kernel gave before anything was put back */
};

struct hp_plan {
	const struct hp_sys *sys;
	size_t nr;
	struct hp_target targets[HP_MAX_NODES];
};

void hp_plan_init(struct hp_plan *plan, const struct hp_sys *sys);

/* -EEXIST: this node and size stand in the plan already. -ENOENT: the machine has no such node. */
int hp_plan_add(struct hp_plan *plan, int node, uint64_t size, struct hp_target **target);

/*
 * Spreads `pages` over all targets as evenly as what is there allows: missing pages go to the node
 * that has fewest, as long as it has memory. Above the number nothing is taken away unless
 * `shrink`, and then first from the node with most pages that are not in use.
 */
void hp_plan_level(struct hp_plan *plan, uint64_t pages, bool shrink);

/*
 * First target that asks for more than its node has memory, or NULL. To be refused before trying:
 * the kernel would empty every cache, stall for minutes, and fall short all the same.
 */
const struct hp_target *hp_plan_excess(const struct hp_plan *plan);

/* First target below the pages in use, or NULL: the plan can be tried. */
const struct hp_target *hp_plan_blocker(const struct hp_plan *plan);

/*
 * 0: every node has what was wanted. -ENOSPC: some node got less, or kept more, after compaction
 * and retries; `got` tells what. -EINTR: a signal came in the middle (hugepages_interrupt.h).
 * -errno: a counter could not be written or read. In all these cases the numbers of before were
 * written back; -ENOTRECOVERABLE: that failed too.
 */
int hp_plan_apply(struct hp_plan *plan);

#endif
