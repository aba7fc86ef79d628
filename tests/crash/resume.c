/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A keeper of memfds that dies after each instruction of grow and retire, and of resume: taking up
 * what the one before had begun, and, where nobody lives, burying all. What outlives it is the
 * control area, and what its watch had stored: files and record (../unit/ledger_support.h). After
 * each instruction that changed any of these:
 *
 *  - no member could see a change that was not recorded
 *  - the next keeper gets the pool back, also when it is killed at once and another comes
 *  - every slot is what the record says: the segment is all there, or not at all
 *  - what the living hold is theirs, nothing else is held once the dead are buried
 *  - what was going can be made to go, and each slot without a segment can be grown into
 *
 * and the same if nobody lives any more. Then real kills, after each of these instructions.
 */

#include <malloc.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "ledger_support.h"
#include "pin.h"
#include "pool_support.h"
#include "record.h"
#include "recount.h"
#include "slots.h"
#include "snapshot.h"
#include "tap.h"
#include "tracks.h"

#define SLOTS 3u
#define SIZE 64u
#define NR 64u
#define HELD 5u         /* by this process, which is member 0 */
#define HELD_BY_DEAD 3u /* by the keeper that dies */

static const struct pinion_segment_config segment = {NR * SIZE, SIZE, 4096, PINION_NODE_ANY};

struct task {
	const char *name;
	int (*act)(struct pinion_pool *pool);
	/* What a keeper before was at when it was killed, right behind so many records; or NULL. */
	int (*begun)(struct pinion_pool *pool);
	uint32_t records;
	bool all_dead; /* nobody else lives any more */
};

static int grow_one(struct pinion_pool *pool)
{
	uint32_t slot;

	return pinion_pool_grow(pool, &segment, &slot);
}

static int retire_one(struct pinion_pool *pool)
{
	return pinion_pool_retire(pool, 1);
}

static int come_and_go(struct pinion_pool *pool)
{
	int err = grow_one(pool);

	return err ? err : pinion_pool_retire(pool, 2);
}

static int go_and_come(struct pinion_pool *pool)
{
	int err = retire_one(pool);

	return err ? err : grow_one(pool);
}

/* All there is. */
static struct {
	struct pinion_pool *pool; /* of this process, which made it */
	struct ledger ledger;
	struct snapshot base;
	char *found; /* room for the control area, as the next keeper finds it */
	struct ledger_page page; /* as it was then */
	struct tracee tracee;
	const struct task *task;
} scene;

/* --- the keeper, a child */

static struct pinion_pool *keeper;

/* Of one before it, in the same process: its files, how many records it has still to store, and
 * where that ends. */
static struct {
	struct pinion_pool_fds fds;
	uint32_t records;
	jmp_buf killed;
} before;

static int store_and_die(void *context, uint32_t slot, int fd,
			 const struct pinion_pool_record *record)
{
	const int err = ledger_store(context, slot, fd, record);

	before.fds.segment[slot] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (!--before.records)
		longjmp(before.killed, 1);
	return err;
}

/* Its handle stays behind as it was, locked. Its number is that of a process that is gone. */
static int begin_and_die(const struct task *task)
{
	int err = pinion_pool_watch(keeper, store_and_die, &scene.ledger);

	before.fds = pool_files(keeper);
	before.records = task->records;
	if (!err && !setjmp(before.killed)) {
		(void)task->begun(keeper); /* does not come back */
		return -EPROTO;
	}
	scene.ledger.page->member[1].started++;
	scene.ledger.page->member[0].started += task->all_dead;
	return err;
}

/* Takes @nr; the cache stays open. */
static int hold(struct pinion_pool *pool, uint32_t nr)
{
	const struct pinion_cache_config wish = {.buffer_size = SIZE, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	int err = pinion_cache_open(pool, &wish, &cache);

	while (!err && nr--)
		err = pinion_buffer_alloc(cache, &buffer);
	return err;
}

/* It has some when it dies, too. */
static int prepare(void *arg)
{
	int err = ledger_resume(&scene.ledger, &keeper, NULL);

	(void)arg;
	if (!err)
		err = pinion_member_record(
			getpid(), &scene.ledger.page->member[pinion_pool_member(keeper)]);
	if (!err)
		err = hold(keeper, HELD_BY_DEAD);
	if (!err && scene.task->begun)
		return begin_and_die(scene.task);
	return err ? err : pinion_pool_watch(keeper, ledger_store, &scene.ledger);
}

/* The next keeper, with what the one before has left. */
static int resume_after(struct pinion_pool *pool)
{
	(void)pool;
	return pinion_pool_resume(&before.fds, ledger_record(&scene.ledger),
				  scene.ledger.page->member, &keeper, NULL);
}

static const struct task tasks[] = {
	{.name = "grow", .act = grow_one},
	{.name = "retire", .act = retire_one},
	{.name = "grow_retire", .act = come_and_go},
	{.name = "retire_grow", .act = go_and_come},
	{.name = "resume_grown", .act = resume_after, .begun = grow_one, .records = 1},
	{.name = "resume_retiring", .act = resume_after, .begun = retire_one, .records = 1},
	{.name = "resume_gone", .act = resume_after, .begun = retire_one, .records = 2},
	{.name = "resume_alone", .act = resume_after, .begun = grow_one, .records = 1,
	 .all_dead = true},
};
#define NR_TASKS (sizeof(tasks) / sizeof(tasks[0]))

static int act(void *arg)
{
	(void)arg;
	return scene.task->act(keeper);
}

static void keeper_start(void)
{
	const struct play play = {prepare, act, NULL};
	struct pinion_pool_fds fds;

	ledger_collect(&scene.ledger);
	ledger_files_close(&scene.ledger.kept);
	fds = pool_files(scene.pool);
	fds.nr_segments = PINION_SEGMENT_MAX;
	for (uint32_t i = SLOTS; i < PINION_SEGMENT_MAX; i++)
		fds.segment[i] = -1;
	scene.ledger.kept = fds;
	snapshot_load(&scene.base, scene.pool);
	memcpy(scene.ledger.page, &scene.page, sizeof(scene.page));
	tracee_start(&scene.tracee, &play);
}

/* --- the next */

/* What it comes back to: the real files, or a copy of the control area. */
struct remains {
	struct pinion_pool_record record;
	struct pinion_member_record member[LEDGER_MEMBERS];
	struct pinion_pool_fds fds;
};

static struct remains remains_take(bool copy, bool all_dead)
{
	struct remains remains = {.record = *ledger_record(&scene.ledger)};
	struct stat status;

	memcpy(remains.member, scene.ledger.page->member, sizeof(remains.member));
	remains.member[1].started++; /* the child may only stand still, but is to be dead */
	remains.member[0].started += all_dead;
	remains.fds = ledger_files(&scene.ledger);
	if (!copy)
		return remains;
	(void)close(remains.fds.control);
	remains.fds.control = snapshot_file(scene.pool);
	if (fstat(remains.fds.control, &status))
		tap_bail("fstat: %s", strerror(errno));
	remains.record.control_inode = status.st_ino;
	record_close(&remains.record);
	return remains;
}

/* Could a member see what the next keeper will not know of? */
static const char *shown_too_early(const struct pinion_pool_record *record)
{
	for (uint32_t s = 0; s < SLOTS; s++) {
		const uint64_t shown = scene.pool->shared->slot[s].state;

		if (shown > record->segment[s].state)
			return "a change is shown that is not recorded";
	}
	return NULL;
}

static int resume(const struct remains *remains, struct pinion_pool **pool,
		  struct pinion_adoption *report)
{
	struct pinion_pool_fds fds = remains->fds;
	int err;

	fds.control = fcntl(fds.control, F_DUPFD_CLOEXEC, 3);
	for (uint32_t i = 0; i < fds.nr_segments; i++)
		if (fds.segment[i] >= 0)
			fds.segment[i] = fcntl(fds.segment[i], F_DUPFD_CLOEXEC, 3);
	err = pinion_pool_resume(&fds, &remains->record, remains->member, pool, report);
	if (err)
		ledger_files_close(&fds);
	return err;
}

/* Everything goes that is going, and comes once more. */
static const char *renew(struct pinion_pool *pool, uint32_t held)
{
	for (uint32_t s = 0; s < SLOTS; s++)
		if (slot_state_of(pool->state[s]) == SLOT_RETIRING && pinion_pool_retire(pool, s))
			return pinion_error_text();
	/* Who holds some lives, and looks now. */
	pool->seen[0] = pool->epoch;
	while (pool_total(pool) < SLOTS * NR)
		if (grow_one(pool))
			return pinion_error_text();
	if (pool_free(pool) != SLOTS * NR - held)
		return "not all that came anew is free";
	return pool_problem(pool);
}

static const char *check_pool(struct pinion_pool *pool, const struct remains *remains,
			      uint32_t held)
{
	const char *problem = slots_wrong(pool, &remains->record);

	/* Where nobody lived all numbers were released. */
	if (!problem && held)
		problem = recount_release(pool, 1);
	if (!problem)
		problem = pool_problem(pool);
	if (!problem && pool_free(pool) != pool_total(pool) - held)
		problem = "a buffer is held, and by nobody, or one of the living's was taken";
	return problem ? problem : renew(pool, held);
}

/* The report of one that @found it so. */
static const char *report_wrong(const struct snapshot *found, const struct pinion_pool *pool,
				const struct pinion_adoption *report, bool all_dead)
{
	if ((report->living == 0) != all_dead)
		return "resume takes the living for dead, or the dead for living";
	if (all_dead)
		return recount_buried(found, pool, &report->recovery);
	if (report->recovery.returned || report->recovery.magazines || report->recovery.transit)
		return "resume reports a recovery where some live";
	return NULL;
}

/* Once of two times: the first is killed before it does anything more. */
static const char *check_once(const struct remains *remains, bool all_dead, bool first)
{
	const struct snapshot found = {scene.pool->control.len, scene.found};
	struct pinion_adoption report;
	struct pinion_pool *pool;
	const char *problem;

	memcpy(found.bytes, scene.pool->control.addr, found.len);
	if (resume(remains, &pool, &report))
		return pinion_error_text();
	problem = slots_wrong(pool, &remains->record);
	/* Of a copy, the second finds what the first has left of that. */
	if (!problem && first)
		problem = report_wrong(&found, pool, &report, all_dead);
	if (!problem && !first)
		problem = check_pool(pool, remains, all_dead ? 0 : HELD);
	(void)pinion_pool_destroy(pool);
	return problem;
}

static const char *check(bool copy, bool all_dead)
{
	struct remains remains = remains_take(copy, all_dead);
	const char *problem = shown_too_early(&remains.record);

	if (!problem)
		problem = check_once(&remains, all_dead, true);
	if (!problem)
		problem = check_once(&remains, all_dead, false);
	ledger_files_close(&remains.fds);
	return problem;
}

/* --- every instruction */

struct sweep {
	struct tracks tracks;
	uint64_t points;
	struct fault fault;
	struct snapshot last;
	uint32_t record; /* which one counted then */
	uint32_t files;
};

static uint32_t files(void)
{
	uint32_t set = 0;

	ledger_collect(&scene.ledger);
	for (uint32_t i = 0; i < SLOTS; i++)
		set |= (uint32_t)(scene.ledger.kept.segment[i] >= 0) << i;
	return set;
}

static void look(struct sweep *sweep)
{
	const uint32_t record = scene.ledger.page->current, had = files();
	const char *problem;

	sweep->points++;
	if (sweep->tracks.nr && record == sweep->record && had == sweep->files &&
	    snapshot_same(&sweep->last, scene.pool))
		return;
	tracks_add(&sweep->tracks, &scene.tracee);
	snapshot_take(&sweep->last, scene.pool);
	sweep->record = record;
	sweep->files = had;
	problem = check(true, scene.task->all_dead);
	fault_note(&sweep->fault, &scene.tracee, problem ? problem : check(true, true));
}

static void sweep_run(struct sweep *sweep)
{
	enum step at = STEP_MORE;

	tracks_open(&sweep->tracks);
	keeper_start();
	look(sweep);
	while (at == STEP_MORE) {
		at = tracks_step(&sweep->tracks, &scene.tracee);
		look(sweep);
	}
	if (at == STEP_DIED || scene.tracee.stage->err)
		tap_bail("%s failed by itself", scene.task->name);
	tracee_kill(&scene.tracee);
	free(sweep->last.bytes);
}

/* --- real kills */

static void kill_after(const struct store *store, struct fault *fault)
{
	keeper_start();
	if (tracee_reach(&scene.tracee, store) == STEP_DONE && store->place)
		tap_bail("%s did not come to its store at %#jx again", scene.task->name,
			 (uintmax_t)store->place);
	tracee_kill(&scene.tracee);
	ledger_collect(&scene.ledger);
	fault_note(fault, &scene.tracee, check(false, scene.task->all_dead));
}

static void crash(const struct task *task)
{
	struct sweep sweep = {0};
	struct fault fault = {0};

	scene.task = task;
	sweep_run(&sweep);
	for (uint64_t i = 0; i < sweep.tracks.nr; i++)
		kill_after(&sweep.tracks.store[i], &fault);
	fault_tell(&sweep.fault, task->name);
	fault_tell(&fault, task->name);
	tap_result(!sweep.fault.nr && !fault.nr,
		   "%s: %ju points, %ju states, %ju wrong; %ju kills, %ju wrong", task->name,
		   (uintmax_t)sweep.points, (uintmax_t)sweep.tracks.nr,
		   (uintmax_t)sweep.fault.nr, (uintmax_t)sweep.tracks.nr, (uintmax_t)fault.nr);
	tracks_close(&sweep.tracks);
}

/* Two segments of three, and this process as a member that holds some of the first. */
static void scene_open(void)
{
	const struct pinion_pool_config config = {
		.nr_members = LEDGER_MEMBERS,
		.nr_caches = 2,
		.magazine_size = PINION_MAGAZINE_MIN,
		.max_segments = SLOTS,
		.nr_segments = 2,
		.segment = {segment, segment},
	};
	const struct pinion_cache_config wish = {.buffer_size = SIZE, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	struct pinion_cache *cache;

	(void)mallopt(M_MMAP_THRESHOLD, 4096); /* as ./scene.c */
	if (pinion_pool_create(&config, &scene.pool) || ledger_open(&scene.ledger) ||
	    ledger_store_pool(&scene.ledger, scene.pool))
		tap_bail("no pool: %s", pinion_error_text());
	if (pinion_cache_open(scene.pool, &wish, &cache))
		tap_bail("no cache: %s", pinion_error_text());
	for (uint32_t i = 0; i < HELD; i++)
		if (pinion_buffer_alloc(cache, &buffer))
			tap_bail("no buffer");
	(void)pinion_cache_close(cache);
	snapshot_take(&scene.base, scene.pool);
	scene.found = malloc(scene.base.len);
	if (!scene.found)
		tap_bail("no memory for a copy of the control area");
	scene.page = *scene.ledger.page;
}

static void scene_close(void)
{
	ledger_close(&scene.ledger);
	(void)pinion_pool_destroy(scene.pool);
	free(scene.base.bytes);
	free(scene.found);
}

/* All are, or those that are named. */
static bool is_meant(const struct task *task, int nr, char **names)
{
	for (int i = 0; i < nr; i++)
		if (!strcmp(names[i], task->name))
			return true;
	return nr == 0;
}

int main(int argc, char **argv)
{
	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	scene_open();
	tap_plan(argc > 1 ? argc - 1 : (int)NR_TASKS);
	for (size_t i = 0; i < NR_TASKS; i++)
		if (is_meant(&tasks[i], argc - 1, argv + 1))
			crash(&tasks[i]);
	scene_close();
	return tap_status();
}
