/* SPDX-License-Identifier: BSD-3-Clause */
#include "plan.h"

#include "huge_support.h"

#define GROWN 3 /* segments beyond the base, at most */

/* A hugepage is the least that a segment can have: larger buffers keep the numbers small, so that
 * depots run dry and a check of all words takes no time. */
static void choose_sizes(struct plan *plan)
{
	static const size_t small[2][2] = {{256, 2048}, {512 * 256, 128 * 2048}};
	static const size_t huge[2][2] = {{8192, 32768}, {HUGE, HUGE}};

	for (int i = 0; i < 2; i++) {
		plan->size[i] = plan->kind == PLAN_SMALL ? small[0][i] : huge[0][i];
		plan->len[i] = plan->kind == PLAN_SMALL ? small[1][i] : huge[1][i];
	}
}

static struct pinion_segment_config segment(const struct plan *plan, int i, int node)
{
	return (struct pinion_segment_config){
		.len = plan->len[i],
		.buffer_size = plan->size[i],
		.page_size = plan->kind == PLAN_SMALL ? 4096 : HUGE,
		.node = node,
	};
}

static void choose_segments(struct plan *plan, int nodes)
{
	struct pinion_pool_config *config = &plan->config;

	for (int node = 0; node < nodes; node++)
		for (int i = 0; i < 2; i++)
			config->segment[config->nr_segments++] =
				segment(plan, i, nodes > 1 ? node : PINION_NODE_ANY);
	plan->nr_base = config->nr_segments;
	config->max_segments = plan->nr_base + GROWN;
}

void plan_make(struct plan *plan, enum plan_kind kind, const char *mount, int nodes,
	       uint64_t *random)
{
	/* Debugging writes every buffer at every turn: too slow but for the small ones. */
	static const uint32_t flags[] = {0, 0, 0, 0, 0, PINION_POOL_SCRUB, PINION_POOL_SCRUB,
					 PINION_POOL_DEBUG};

	*plan = (struct plan){.kind = kind};
	choose_sizes(plan);
	choose_segments(plan, nodes);
	plan->config.name = "soak";
	plan->config.flags = flags[test_below(random, kind == PLAN_SMALL ? 8 : 7)];
	plan->config.nr_members = 24;
	/* Two for each member, those of the dead that are not yet recovered included. */
	plan->config.nr_caches = 2 * SEATS;
	/* Small ones, so that exchanges with the depot are as frequent as can be. */
	plan->config.magazine_size =
		PINION_MAGAZINE_MIN + test_below(random, PINION_MAGAZINE_MIN + 1);
	if (kind >= PLAN_NAMED) {
		snprintf(plan->path, sizeof(plan->path), "%s/pool", mount);
		plan->config.path = plan->path;
	}
}

const char *plan_name(enum plan_kind kind)
{
	static const char *const names[] = {
		[PLAN_SMALL] = "memfds of 4 KiB pages",
		[PLAN_HUGE] = "memfds of hugepages",
		[PLAN_NAMED] = "named",
		[PLAN_MORTAL] = "named, keepers die",
	};

	return names[kind];
}

struct pinion_segment_config plan_segment(const struct plan *plan, int nodes, uint64_t *random)
{
	const int node = nodes > 1 ? (int)test_below(random, (uint32_t)nodes) : PINION_NODE_ANY;

	return segment(plan, (int)test_below(random, 2), node);
}
