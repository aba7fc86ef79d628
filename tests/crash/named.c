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

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <pinion/error.h>
#include <pinion/named.h>

#include "make.h"
#include "named.h"
#include "pin.h"
#include "pool_support.h"
#include "snapshot.h"
#include "step.h"
#include "tap.h"
#include "tracks.h"

#define PAGE ((size_t)2 << 20)
#define SLOTS 3u

/* Pages that a pool of this test may have: a control area of one, segments of one each. */
#define PAGES (1 + SLOTS)

/* What the dead took, each: more than one segment has, and some. */
#define TAKEN_BY_OTHER 80
#define TAKEN_BY_MAKER 12

#define SEGMENT {PAGE, PAGE / 64, PAGE, PINION_NODE_ANY}

static const struct pinion_segment_config segment = SEGMENT;

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

static char mount_path[] = "/tmp/pinion-crash-XXXXXX", pool_path[64];

/* Two segments of three. */
static const struct pinion_pool_config config = {
	.path = pool_path,
	.nr_members = 4,
	.nr_caches = 2,
	.magazine_size = PINION_MAGAZINE_MIN,
	.max_segments = SLOTS,
	.nr_segments = 2,
	.segment = {SEGMENT, SEGMENT},
};

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

static int create(struct pinion_pool *pool)
{
	return pinion_pool_create(&config, &pool);
}

static const struct task tasks[] = {
	{.name = "create", .act = create, .ends = true},
	{.name = "adopt", .act = adopt, .exists = true, .stores = true},
	{.name = "grow", .act = grow_one, .exists = true, .adopts = true},
	{.name = "retire", .act = retire_one, .exists = true, .adopts = true},
	{.name = "unlink", .act = unlink_all, .exists = true, .ends = true},
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

/* --- the dead */

/* Takes @nr buffers and frees a quarter of them; the cache stays open. */
static int hold(struct pinion_pool *pool, uint32_t nr)
{
	const struct pinion_cache_config wish = {.buffer_size = segment.buffer_size,
						 .node = PINION_NODE_ANY};
	struct pinion_buffer buffer[TAKEN_BY_OTHER];
	struct pinion_cache *cache;
	int err = pinion_cache_open(pool, &wish, &cache);

	for (uint32_t i = 0; !err && i < nr; i++)
		err = pinion_buffer_alloc(cache, &buffer[i]);
	for (uint32_t i = 0; !err && i < nr / 4; i++)
		err = pinion_buffer_free(cache, buffer[i]);
	return err;
}

static int live_and_die(void *arg)
{
	struct pinion_pool *pool, *other;
	struct pinion_pool_fds fds;
	uint32_t member;

	(void)arg;
	if (pinion_pool_create(&config, &pool) || pinion_pool_admit(pool, getpid(), &member))
		return 1;
	fds = pool_files(pool);
	if (pinion_pool_attach(&fds, member, &other))
		return 2;
	return hold(other, TAKEN_BY_OTHER) || hold(pool, TAKEN_BY_MAKER) ? 3 : 0;
}

/* Its control area: how much of the one page is used, what is there, and what the dead left. */
static size_t control_len;
static struct snapshot left;

static const char *control_map(void)
{
	const int fd = open(support_path(pool_path, NAMED_CONTROL), O_RDONLY | O_CLOEXEC);
	const void *addr = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	if (addr == MAP_FAILED)
		tap_bail("no look at the control area: %s", strerror(errno));
	(void)close(fd);
	return addr;
}

static void control_unmap(const char *control)
{
	(void)munmap((void *)(uintptr_t)control, PAGE);
}

/* By processes that are gone then: nobody keeps it, and no member lives. */
static void make(void)
{
	const char *control;

	if (support_child(live_and_die, NULL))
		tap_bail("no named pool can be made");
	control = control_map();
	memcpy(left.bytes, control, control_len);
	control_unmap(control);
}

/* --- the next keeper */

static uint32_t segments(const struct pinion_pool *pool)
{
	uint32_t nr = 0;

	for (uint32_t s = 0; s < SLOTS; s++)
		nr += pool_has_segment(pool, s);
	return nr;
}

/* Buffers that can be allocated: of what is going none can. */
static uint32_t pool_live(const struct pinion_pool *pool)
{
	uint32_t nr = 0;

	for (uint32_t s = 0; s < SLOTS; s++)
		if (slot_state_of(pool->state[s]) == SLOT_LIVE)
			nr += pool->segment[s].nr;
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

/* Of all that the dead were or had, nobody has anything. */
static const char *dead_wrong(const struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		if (i != pool->member && pool->members[i].state != MEMBER_FREE)
			return "a number of the dead is not free";
	for (uint32_t i = 0; i < pool->geometry.nr_caches; i++)
		if (pool->cache[i])
			return "a ticket of the dead is not free";
	return NULL;
}

static const char *handles_wrong(const struct pinion_pool *pool)
{
	for (uint32_t id = 0; id < pool->view.nr_ids; id++) {
		const struct pinion_buffer now = {pool->view.owner[id]};
		const struct pinion_buffer was = {
			snapshot_word(&left, pool, &pool->view.owner[id])};
		const uint32_t holder = pinion_owner_holder(was.bits);

		if (holder && !(holder & PINION_HOLDER_MAGAZINE) && !generation_rose(now, was))
			return "a handle of the dead is good";
	}
	return NULL;
}

/* All there is can be had at once, and given back. */
static const char *drain(struct pinion_pool *pool)
{
	static struct pinion_buffer held[SLOTS * 64 + 1];
	const struct pinion_cache_config wish = {.buffer_size = segment.buffer_size,
						 .node = PINION_NODE_ANY};
	struct pinion_cache *cache;
	uint32_t nr = 0, lost = 0;

	if (pinion_cache_open(pool, &wish, &cache))
		return pinion_error_text();
	while (nr <= SLOTS * 64 && !pinion_buffer_alloc(cache, &held[nr]))
		nr++;
	if (nr != pool_live(pool))
		return "not all that is free can be allocated, or some of it twice";
	while (nr)
		lost += pinion_buffer_free(cache, held[--nr]) != 0;
	(void)pinion_cache_close(cache);
	return lost ? "an allocated buffer cannot be freed" : pool_problem(pool);
}

static const char *check(struct pinion_pool *pool, const struct task *task)
{
	const char *problem = pool_problem(pool);

	if (!problem && pool_free(pool) != pool_total(pool))
		problem = "a buffer is held, and by nobody";
	if (!problem)
		problem = dead_wrong(pool);
	if (!problem && task->exists)
		problem = handles_wrong(pool);
	if (!problem)
		problem = drain(pool);
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
	problem = check(pool, task);
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

/* --- killed */

static void begin(const struct task *task, struct tracee *tracee)
{
	struct keeper keeper = {.task = task};
	const struct play play = {prepare, act, &keeper};

	if (task->exists)
		make();
	tracee_start(tracee, &play);
}

static void kill_here(const struct task *task, struct tracee *tracee, const char *where,
		      uint64_t nr, uint32_t *wrong)
{
	const char *problem;

	tracee_kill(tracee);
	problem = adopt_and_check(task);
	if (!problem)
		problem = remove_and_check();
	if (problem && !(*wrong)++)
		tap_remark("killed at %s %ju: %s", where, (uintmax_t)nr, problem);
	(void)pinion_pool_unlink(pool_path);
}

/* Killed at its @nr-th stop. False when it had come to its end before. */
static bool kill_at(const struct task *task, uint32_t nr, uint32_t *wrong)
{
	enum step at = STEP_MORE;
	struct tracee tracee;

	begin(task, &tracee);
	for (uint32_t i = 0; i < nr && at == STEP_MORE; i++)
		at = tracee_call(&tracee);
	if (at == STEP_DIED || (at == STEP_DONE && tracee.stage->err))
		tap_bail("%s failed by itself", task->name);
	kill_here(task, &tracee, "stop", nr, wrong);
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

/* Steps it from its start to its end, and notes what stored to the control area. */
static void follow(const struct task *task, struct tracks *tracks)
{
	struct snapshot last = {control_len, malloc(control_len)};
	enum step at = STEP_MORE;
	struct tracee tracee;
	const char *control;

	begin(task, &tracee);
	control = control_map();
	memcpy(last.bytes, control, control_len);
	while (at == STEP_MORE) {
		at = tracks_step(tracks, &tracee);
		if (!memcmp(last.bytes, control, control_len))
			continue;
		tracks_add(tracks, &tracee);
		memcpy(last.bytes, control, control_len);
	}
	if (at == STEP_DIED || tracee.stage->err)
		tap_bail("%s failed by itself", task->name);
	tracee_kill(&tracee);
	control_unmap(control);
	free(last.bytes);
	(void)pinion_pool_unlink(pool_path);
}

static void kill_after_each_store(const struct task *task)
{
	struct tracks tracks;
	struct tracee tracee;
	uint32_t wrong = 0;

	tracks_open(&tracks);
	follow(task, &tracks);
	for (uint64_t i = 0; i < tracks.nr; i++) {
		begin(task, &tracee);
		if (tracee_reach(&tracee, &tracks.store[i]) == STEP_DONE && tracks.store[i].place)
			tap_bail("%s did not come to its store at %#jx again", task->name,
				 (uintmax_t)tracks.store[i].place);
		kill_here(task, &tracee, "store", i, &wrong);
	}
	tap_result(tracks.nr && !wrong, "%s: killed after %ju stores, %u wrong", task->name,
		   (uintmax_t)tracks.nr, wrong);
	tracks_close(&tracks);
}

static void open_left(void)
{
	control_len = make_control_len(&config);
	left = (struct snapshot){control_len, calloc(1, control_len)};
	if (!control_len || control_len > PAGE || !left.bytes)
		tap_bail("a control area of %zu bytes", control_len);
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
	(void)mallopt(M_MMAP_THRESHOLD, 4096); /* as ./scene.c */
	pin_here();
	open_left();
	tap_plan(NR_TASKS + 1);
	for (size_t i = 0; i < NR_TASKS; i++) {
		kill_everywhere(&tasks[i]);
		if (tasks[i].stores)
			kill_after_each_store(&tasks[i]);
	}
	unmount_own();
	free(left.bytes);
	return tap_status();
}
