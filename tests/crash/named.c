/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A keeper of a named pool, killed before and after each of its system calls. Then another adopts
 * the pool, if it was ever finished and is not being removed, and it is whole:
 *
 *  - nothing is held, and every segment is all there or not at all
 *  - files and pages are those of its segments and of the control area, and no more
 *  - it can be grown into every slot, and what was going can be made to go
 *
 * In any case it can be removed, and nothing of it is left.
 *
 * What lies between two system calls is the control area's part: crash.c.
 */

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <pinion/error.h>
#include <pinion/named.h>

#include "pin.h"
#include "pool_support.h"
#include "step.h"
#include "tap.h"

#define PAGE ((size_t)2 << 20)
#define SLOTS 3u

/* Pages that a pool of this test may have: a control area of one, segments of one each. */
#define PAGES (1 + SLOTS)

static const struct pinion_segment_config segment = {PAGE, PAGE / 64, PAGE, PINION_NODE_ANY};

/* What a keeper does when it is killed. */
struct task {
	const char *name;
	int (*act)(struct pinion_pool *pool);
	bool exists; /* the pool, before it */
	bool adopts; /* it, before act(), which is given it */
	bool ends;   /* act() makes or removes the pool, which need not be adoptable in between */
};

struct keeper {
	const struct task *task;
	struct pinion_pool *pool;
};

static char mount_path[] = "/tmp/pinion-crash-XXXXXX", pool_path[64];

/* A mount of our own, which goes with this process however it ends; so do its pages. */
static int mount_own(void)
{
	if (!mkdtemp(mount_path))
		return -errno;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", mount_path, "hugetlbfs", 0, "pagesize=2M,size=16M"))
		return -errno;
	snprintf(pool_path, sizeof(pool_path), "%s/pool", mount_path);
	return 0;
}

static void unmount_own(void)
{
	(void)umount(mount_path);
	(void)rmdir(mount_path);
}

/* Pages of the mount that files have. */
static uint32_t pages(void)
{
	struct statfs fs;

	if (statfs(mount_path, &fs))
		tap_bail("statfs: %s", strerror(errno));
	return (uint32_t)(fs.f_blocks - fs.f_bfree);
}

static uint32_t files(void)
{
	DIR *dir = opendir(pool_path);
	const struct dirent *entry;
	uint32_t nr = 0;

	if (!dir)
		tap_bail("opendir: %s", strerror(errno));
	while ((entry = readdir(dir)))
		nr += entry->d_name[0] != '.';
	(void)closedir(dir);
	return nr;
}

static int grow_one(struct pinion_pool *pool)
{
	uint32_t slot;

	return pinion_pool_grow(pool, &segment, &slot);
}

static int retire_one(struct pinion_pool *pool)
{
	return pinion_pool_retire(pool, 1);
}

static int adopt(struct pinion_pool *pool)
{
	return pinion_pool_adopt(pool_path, &pool, NULL);
}

static int unlink_all(struct pinion_pool *pool)
{
	(void)pool;
	return pinion_pool_unlink(pool_path);
}

/* Two segments of three. */
static int create(struct pinion_pool *pool)
{
	const struct pinion_pool_config config = {
		.path = pool_path,
		.nr_members = 4,
		.nr_caches = 2,
		.magazine_size = PINION_MAGAZINE_MIN,
		.max_segments = SLOTS,
		.nr_segments = 2,
		.segment = {segment, segment},
	};

	return pinion_pool_create(&config, &pool);
}

static const struct task tasks[] = {
	{"create", create, false, false, true},
	{"adopt", adopt, true, false, false},
	{"grow", grow_one, true, true, false},
	{"retire", retire_one, true, true, false},
	{"unlink", unlink_all, true, false, true},
};
#define NR_TASKS (sizeof(tasks) / sizeof(tasks[0]))

static int prepare(void *arg)
{
	struct keeper *keeper = arg;

	return keeper->task->adopts ? pinion_pool_adopt(pool_path, &keeper->pool, NULL) : 0;
}

static int act(void *arg)
{
	struct keeper *keeper = arg;

	return keeper->task->act(keeper->pool);
}

static int create_alone(void *arg)
{
	return create(arg) != 0;
}

/* By a process that is gone then: nobody keeps it, and no member lives. */
static void make(void)
{
	if (support_child(create_alone, NULL))
		tap_bail("no named pool can be made");
}

static uint32_t segments(const struct pinion_pool *pool)
{
	uint32_t nr = 0;

	for (uint32_t s = 0; s < SLOTS; s++)
		nr += pool_has_segment(pool, s);
	return nr;
}

/* Everything comes and goes once more. */
static const char *renew(struct pinion_pool *pool)
{
	for (uint32_t s = 0; s < SLOTS; s++)
		if (slot_state_of(pool->state[s]) == SLOT_RETIRING && pinion_pool_retire(pool, s))
			return pinion_error_text();
	while (segments(pool) < SLOTS)
		if (grow_one(pool))
			return pinion_error_text();
	if (pages() != PAGES || files() != PAGES)
		return "a pool with a segment in every slot has files or pages too many or too few";
	return pool_problem(pool);
}

static const char *check(struct pinion_pool *pool)
{
	const char *problem = pool_problem(pool);

	if (!problem && pool_free(pool) != pool_total(pool))
		problem = "a buffer is held, and by nobody";
	if (!problem && files() != 1 + segments(pool))
		problem = "a file is left that is no segment's, or one lacks";
	if (!problem && pages() != 1 + segments(pool))
		problem = "pages are left that are no segment's, or some lack";
	return problem ? problem : renew(pool);
}

static const char *adopt_and_check(const struct task *task)
{
	static char why[256];
	struct pinion_pool *pool;
	const char *problem;
	int err = pinion_pool_adopt(pool_path, &pool, NULL);

	if (task->ends && (err == -EPROTO || err == -ENOENT))
		return NULL;
	if (err)
		return pinion_error_text();
	problem = check(pool);
	snprintf(why, sizeof(why), "%s", problem ? problem : "");
	(void)pinion_pool_destroy(pool);
	return problem ? why : NULL;
}

static const char *remove_and_check(void)
{
	int err = pinion_pool_unlink(pool_path);

	if (err && err != -ENOENT)
		return pinion_error_text();
	if (!access(pool_path, F_OK) || pages())
		return "something is left of a pool that was removed";
	return NULL;
}

/* Killed at its @nr-th stop. False when it had come to its end before. */
static bool kill_at(const struct task *task, uint32_t nr, uint32_t *wrong)
{
	struct keeper keeper = {.task = task};
	const struct play play = {prepare, act, &keeper};
	enum step at = STEP_MORE;
	struct tracee tracee;
	const char *problem;

	if (task->exists)
		make();
	tracee_start(&tracee, &play);
	for (uint32_t i = 0; i < nr && at == STEP_MORE; i++)
		at = tracee_call(&tracee);
	if (at == STEP_DIED || (at == STEP_DONE && tracee.stage->err))
		tap_bail("%s failed by itself", task->name);
	tracee_kill(&tracee);
	problem = adopt_and_check(task);
	if (!problem)
		problem = remove_and_check();
	if (problem && !(*wrong)++)
		tap_remark("killed at stop %u: %s", nr, problem);
	(void)pinion_pool_unlink(pool_path);
	return at == STEP_MORE;
}

static void kill_everywhere(const struct task *task)
{
	uint32_t nr = 0, wrong = 0;

	while (kill_at(task, nr, &wrong))
		nr++;
	tap_result(!wrong, "%s: killed at %u entries and exits of system calls, %u wrong",
		   task->name, nr, wrong);
}

int main(void)
{
	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	if (support_read_long("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") < 16)
		return tap_skip("fewer than 16 hugepages of 2 MiB are free");
	if (mount_own()) {
		(void)rmdir(mount_path);
		return tap_skip("cannot mount hugetlbfs: needs root");
	}
	pin_here();
	tap_plan(NR_TASKS);
	for (size_t i = 0; i < NR_TASKS; i++)
		kill_everywhere(&tasks[i]);
	unmount_own();
	return tap_status();
}
