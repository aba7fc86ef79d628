/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_PLAN_H
#define PINION_SOAK_PLAN_H

/*
 * A plan: one pool of a soak, chosen at random, and what is to happen with it.
 */

#include "board.h"

enum plan_kind {
	PLAN_SMALL, /* sealed memfds in pages of 4 KiB: needs nothing of the machine */
	PLAN_HUGE,  /* sealed memfds in hugepages */
	PLAN_NAMED, /* files on a hugetlbfs mount */
	PLAN_MORTAL, /* the same, and the keeper is killed as well */
};

struct plan {
	enum plan_kind kind;
	struct pinion_pool_config config;
	size_t size[2];    /* bytes of a buffer: of the two kinds that there are */
	size_t len[2];     /* bytes of a segment of each */
	uint32_t nr_base;  /* segments that are never retired: both sizes on each node */
	uint64_t until;    /* this many members were killed, in all plans together */
	char path[256];
};

/* @mount: a hugetlbfs for those that want one. */
void plan_make(struct plan *plan, enum plan_kind kind, const char *mount, int nodes,
	       uint64_t *random);
const char *plan_name(enum plan_kind kind);

/* A segment to grow by. */
struct pinion_segment_config plan_segment(const struct plan *plan, int nodes, uint64_t *random);

#endif
