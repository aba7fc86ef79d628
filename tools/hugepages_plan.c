/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_plan.h"

#include <errno.h>
#include <time.h>

#include "hugepages_interrupt.h"

enum {
	TRIES = 3,                 /* the first, and two after compaction: more never helped */
	PAUSE_NS = 100000000,      /* lets other CPUs give back the pages they cache */
};

void hp_plan_init(struct hp_plan *plan, const struct hp_sys *sys)
{
	plan->sys = sys;
	plan->nr = 0;
}

int hp_plan_add(struct hp_plan *plan, int node, uint64_t size, struct hp_target **target)
{
	struct hp_counts counts;
	uint64_t memory;

	for (size_t i = 0; i < plan->nr; i++)
		if (plan->targets[i].node == node && plan->targets[i].size == size)
			return -EEXIST;
	if (plan->nr == HP_MAX_NODES)
		return -E2BIG;
	int err = hp_counts_get(plan->sys, node, size, &counts);

	err = err ? err : hp_node_memory_get(plan->sys, node, &memory);
	if (err)
		return err;
	*target = &plan->targets[plan->nr++];
	**target = (struct hp_target){
		.node = node,
		.size = size,
		.before = counts.total - counts.surplus,
		.used = counts.total - counts.free,
		.most = memory / size,
		.want = counts.total - counts.surplus,
		.got = counts.total - counts.surplus,
	};
	return 0;
}

/* pre: some node has room, that is, the sum of all is below what all could have. */
static struct hp_target *fewest(struct hp_plan *plan)
{
	struct hp_target *found = NULL;

	for (size_t i = 0; i < plan->nr; i++) {
		struct hp_target *target = &plan->targets[i];

		if (target->want < target->most && (!found || target->want < found->want))
			found = target;
	}
	return found;
}

static uint64_t spare(const struct hp_target *target)
{
	return target->want > target->used ? target->want - target->used : 0;
}

static struct hp_target *most_spare(struct hp_plan *plan)
{
	struct hp_target *found = plan->targets;

	for (size_t i = 1; i < plan->nr; i++)
		if (spare(&plan->targets[i]) > spare(found))
			found = &plan->targets[i];
	return found;
}

/* Page by page: a machine has at most some hundred thousand, and this is plainly right. */
void hp_plan_level(struct hp_plan *plan, uint64_t pages, bool shrink)
{
	uint64_t sum = 0, most = 0;

	for (size_t i = 0; i < plan->nr; i++) {
		sum += plan->targets[i].want;
		most += plan->targets[i].most;
	}
	/* More than all of them could have: leave it to one, and to hp_plan_excess to say so. */
	if (plan->nr && pages > most && pages > sum) {
		plan->targets[0].want = pages;
		return;
	}
	for (struct hp_target *to; sum < pages && (to = fewest(plan)); sum++)
		to->want++;
	for (; plan->nr && shrink && sum > pages; sum--) {
		struct hp_target *from = most_spare(plan);

		/* No page is spare: a target below its pages in use makes the caller refuse. */
		if (from->want == 0)
			from = plan->targets;
		while (from->want == 0)
			from++;
		from->want--;
	}
}

const struct hp_target *hp_plan_blocker(const struct hp_plan *plan)
{
	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];

		if (target->want < target->before && target->want < target->used)
			return target;
	}
	return NULL;
}

const struct hp_target *hp_plan_excess(const struct hp_plan *plan)
{
	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];

		if (target->want > target->before && target->want > target->most)
			return target;
	}
	return NULL;
}

/* Writes and reads back; `now` is what the kernel made of it. */
static int pages_try(const struct hp_plan *plan, const struct hp_target *target, uint64_t pages,
		     uint64_t *now)
{
	struct hp_counts counts;
	int err = hp_pages_set(plan->sys, target->node, target->size, pages);

	err = err ? err : hp_counts_get(plan->sys, target->node, target->size, &counts);
	if (!err)
		*now = plan->sys->dry_run ? pages : counts.total - counts.surplus;
	return err;
}

static bool is_stopped(bool is_way_back)
{
	return hp_interrupt_came() && !is_way_back;
}

/*
 * Up to TRIES times, as free memory may only lie scattered. Trying to shrink again is no use. A
 * signal is looked for before each, and ends it: the kernel breaks off for one that comes, not for
 * one that has. (Compaction it does not break off, seconds per GiB.) The way back is not given up.
 */
static int pages_reach(const struct hp_plan *plan, const struct hp_target *target, uint64_t pages,
		       bool is_way_back, uint64_t *now)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	int err = 0;

	for (int i = 0; i < TRIES && !err && (!i || *now < pages); i++) {
		if (i && !is_stopped(is_way_back)) {
			hp_compact(plan->sys, target->node);
			nanosleep(&pause, NULL);
		}
		if (is_stopped(is_way_back))
			break;
		err = pages_try(plan, target, pages, now);
	}
	return err;
}

/* A target whose number never changed needs no write, which would fail as the first one did. */
static bool is_as_before(const struct hp_plan *plan, const struct hp_target *target)
{
	struct hp_counts counts;

	return !hp_counts_get(plan->sys, target->node, target->size, &counts) &&
	       counts.total - counts.surplus == target->before;
}

static int rollback(const struct hp_plan *plan)
{
	int worst = 0;

	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];
		uint64_t now = target->before;

		if (target->want == target->before || is_as_before(plan, target))
			continue;
		if (pages_reach(plan, target, target->before, true, &now) || now != target->before)
			worst = -ENOTRECOVERABLE;
	}
	return worst;
}

/* All nodes are tried even after one fell short, so that the report is complete. */
int hp_plan_apply(struct hp_plan *plan)
{
	int result = 0;

	for (size_t i = 0; i < plan->nr && result != -EINTR; i++) {
		struct hp_target *target = &plan->targets[i];

		if (target->want == target->before)
			continue;
		const int err = pages_reach(plan, target, target->want, false, &target->got);

		if (hp_interrupt_came())
			result = -EINTR;
		else if (err && (!result || result == -ENOSPC))
			result = err;
		else if (target->got != target->want && !result)
			result = -ENOSPC;
	}
	return result && rollback(plan) ? -ENOTRECOVERABLE : result;
}
