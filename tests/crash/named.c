/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A keeper of a named pool, killed before and after each of its system calls. Whoever adopts has
 * something to repair: who made the pool and a member beside it are dead, with buffers, magazines
 * and a ticket each. Then another adopts the pool, if it was ever finished and is not being
 * removed, and it is whole:
 *
 *  - nothing is held, and every segment is all there or not at all
 *  - numbers and tickets of the dead are free, and no handle of theirs is good for anything
 *  - every buffer can be allocated, and freed
 *  - files and pages are those of its segments and of the control area, and no more
 *  - it can be grown into every slot, and what was going can be made to go
 *
 * In any case it can be removed, and nothing of it is left.
 *
 * What lies between two system calls is the control area's part: crash.c. Adoption is in no table
 * there, so it is also killed after each of its stores to that area.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pinion/error.h>
#include <pinion/named.h>

#include "estate.h"
#include "halts.h"
#include "pool_support.h"
#include "recount.h"
#include "tap.h"

/* What the dead took, each: more than one segment has, and some. */
#define TAKEN_BY_OTHER 80
#define TAKEN_BY_MAKER 12

/* What a keeper does when it is killed. */
struct task {
	const char *name;
	int (*act)(struct pinion_pool *pool);
	bool exists; /* the pool, before it */
	bool adopts; /* it, before act(), which is given it */
	bool ends;   /* act() makes or removes the pool, which need not be adoptable in between */
	bool stores; /* what it stores is stepped nowhere else */
};

struct keeper {
	const struct task *task;
	struct pinion_pool *pool;
};

static int retire_one(struct pinion_pool *pool)
{
	return pinion_pool_retire(pool, 1);
}

static int adopt(struct pinion_pool *pool)
{
	return pinion_pool_adopt(estate_path(), &pool, NULL);
}

static int unlink_all(struct pinion_pool *pool)
{
	(void)pool;
	return pinion_pool_unlink(estate_path());
}

static int create(struct pinion_pool *pool)
{
	return pinion_pool_create(estate_config(), &pool);
}

static const struct task tasks[] = {
	{.name = "create", .act = create, .ends = true},
	{.name = "adopt", .act = adopt, .exists = true, .stores = true},
	{.name = "grow", .act = estate_grow, .exists = true, .adopts = true},
	{.name = "retire", .act = retire_one, .exists = true, .adopts = true},
	{.name = "unlink", .act = unlink_all, .exists = true, .ends = true},
};
#define NR_TASKS (sizeof(tasks) / sizeof(tasks[0]))

static int prepare(void *arg)
{
	struct keeper *keeper = arg;

	return keeper->task->adopts ? pinion_pool_adopt(estate_path(), &keeper->pool, NULL) : 0;
}

static int act(void *arg)
{
	struct keeper *keeper = arg;

	return keeper->task->act(keeper->pool);
}

/* --- the dead */

static int live_and_die(void *arg)
{
	struct pinion_pool *pool, *other;
	struct pinion_pool_fds fds;
	uint32_t member;

	(void)arg;
	if (pinion_pool_create(estate_config(), &pool) ||
	    pinion_pool_admit(pool, getpid(), &member))
		return 1;
	fds = pool_files(pool);
	if (pinion_pool_attach(&fds, member, &other))
		return 2;
	return estate_hold(other, TAKEN_BY_OTHER) || estate_hold(pool, TAKEN_BY_MAKER) ? 3 : 0;
}

/* By processes that are gone then: nobody keeps it, and no member lives. */
static void make(void)
{
	if (support_child(live_and_die, NULL))
		tap_bail("no named pool can be made");
	estate_left();
}

static void begin(const void *arg, uint32_t nr, struct tracee *victim)
{
	const struct task *task = arg;
	struct keeper keeper = {.task = task};
	const struct play play = {prepare, act, &keeper};

	(void)nr;
	if (task->exists)
		make();
	tracee_start(victim, &play);
}

/* --- the next keeper */

static const char *adopt_and_check(const struct task *task)
{
	struct snapshot before = {0};
	struct pinion_adoption adoption;
	struct pinion_pool *pool;
	const char *problem;
	int err;

	if (task->exists)
		estate_copy(&before);
	err = pinion_pool_adopt(estate_path(), &pool, &adoption);
	if (task->ends && (err == -EPROTO || err == -ENOENT))
		problem = NULL;
	else if (err)
		problem = pinion_error_text();
	else
		problem = before.len ? recount_buried(&before, pool, &adoption.recovery) : NULL;
	if (!err) {
		problem = problem ? problem : estate_wrong(pool, task->exists);
		(void)pinion_pool_destroy(pool);
	}
	free(before.bytes);
	return problem;
}

static const char *look(const void *arg)
{
	static char why[256];
	const char *problem = adopt_and_check(arg);

	/* A sentence of the library's is good until its next one. */
	snprintf(why, sizeof(why), "%s", problem ? problem : "");
	problem = estate_removed_wrong();
	return *why ? why : problem;
}

int main(void)
{
	const char *problem = estate_open();

	if (problem)
		return tap_skip(problem);
	tap_plan(NR_TASKS + 1);
	for (size_t i = 0; i < NR_TASKS; i++) {
		const struct halts halts = {tasks[i].name, begin, look, &tasks[i]};

		halts_calls(&halts);
		if (tasks[i].stores)
			halts_stores(&halts);
	}
	estate_close();
	return tap_status();
}
