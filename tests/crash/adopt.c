/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A keeper that takes a named pool over beside a member that lives, and buries the dead, killed at
 * each of its system calls and after each of its stores. It adopts, or resumes by a record.
 *
 *     member  who
 *     MAKER   made the pool, and is dead; maybe in the midst of grow or retire
 *     OTHER   is dead too; of what it sent to LIVING, some is in transit
 *     LIVING  a child that stands still while keepers come and go: somewhere in the midst of what
 *             it does, another place for each kill. Then it goes on to its end
 *     3       the keeper that is killed
 *     4       this process, the keeper after it
 *
 * The one after it recovers all but what is in transit, LIVING goes on, and the dead are released:
 *
 *  - each report is what was counted before; and every slot is what the record says
 *  - LIVING sends, receives all that it was sent, unharmed, gets back what OTHER never took, and
 *    then can have each buffer of the pool at once
 *  - it has in the end what it believes to have, and nobody else has anything
 *
 * When LIVING is dead, too, the pool is whole: estate_wrong().
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pinion/channel.h>
#include <pinion/error.h>
#include <pinion/named.h>

#include "channel.h"
#include "estate.h"
#include "halts.h"
#include "ledger_support.h"
#include "member.h"
#include "named.h"
#include "pool_support.h"
#include "recount.h"
#include "ring_support.h"
#include "slots.h"
#include "tap.h"
#include "tracks.h"

#define MAKER 0u
#define OTHER 1u
#define LIVING 2u

#define SLOTS ESTATE_SLOTS
#define RING 16u
#define SENT 6u             /* in transit, or received */
#define HELD_BY_OTHER 34u
#define SAID 4u             /* and what LIVING sent, in vain */
#define BUFFERS (SLOTS * ESTATE_NR)

struct task {
	const char *name;
	bool records;   /* resumes, by what was stored */
	bool alone;     /* LIVING was killed as well, where it stood */
	bool scribbled; /* ... and had written over magazines */
	bool drained;   /* LIVING has heard all that OTHER sent: it is released as well */
	/* What MAKER was at when it was killed, right behind so many records; or NULL. */
	int (*begun)(struct pinion_pool *pool);
	uint32_t stored;
	bool again; /* a segment had come into the third slot before, and gone */
	/* At how many places LIVING stands while all stores are passed: a little way from where it
	 * may stand at all, and then where that begins. None where the stores are those of another
	 * task; to find them is most of what this program does. */
	uint32_t places;
};

/* Where LIVING is. */
enum phase { WORKS, DRAINED, TAKES_ALL };

/* What processes tell of, and what was stored of the pool. */
struct common {
	struct ledger_page ledger;
	_Atomic enum phase phase;
	struct pinion_buffer held[BUFFERS]; /* by LIVING, in the end */
	uint32_t nr_held, heard;
	uint32_t had[SLOTS]; /* by LIVING, of each slot, when it took all */
};

static struct common *common;
static struct ledger ledger;    /* of it the page: files are where they are */
static int to_living, to_other; /* rings */
static struct tracee living;
static struct tracks places;    /* of LIVING */

/* Those where it stands while others are killed. */
static struct {
	uint64_t first, nr;
} stands;

static int retire_one(struct pinion_pool *pool)
{
	return pinion_pool_retire(pool, 1);
}

static const struct task tasks[] = {
	{.name = "adopt", .places = 2},
	{.name = "adopt_drained", .drained = true, .places = 1},
	{.name = "adopt_alone", .alone = true, .places = 1},
	{.name = "adopt_growing", .begun = estate_grow, .again = true},
	{.name = "resume", .records = true, .places = 1},
	{.name = "resume_drained", .records = true, .drained = true},
	{.name = "resume_alone", .records = true, .alone = true, .places = 1},
	{.name = "resume_scribbled",
	 .records = true,
	 .alone = true,
	 .scribbled = true,
	 .places = 1},
	{.name = "resume_growing", .records = true, .begun = estate_grow},
	{.name = "resume_growing_again", .records = true, .begun = estate_grow, .again = true},
	{.name = "resume_grown", .records = true, .begun = estate_grow, .stored = 1, .places = 1},
	{.name = "resume_retiring", .records = true, .begun = retire_one, .stored = 1, .places = 1},
	{.name = "resume_gone", .records = true, .begun = retire_one, .stored = 2},
};
#define NR_TASKS (sizeof(tasks) / sizeof(tasks[0]))

/* --- the dead */

/* OTHER sends, each with its id inside; and holds more than its magazines have room for, so that a
 * keeper needs others to bring that back. */
static int post_and_hold(struct pinion_pool *other)
{
	const struct pinion_cache_config wish = {.buffer_size = ESTATE_SIZE,
						 .node = PINION_NODE_ANY};
	struct pinion_channel *channel;
	struct pinion_cache *cache;
	int err = pinion_cache_open(other, &wish, &cache);

	if (!err)
		err = pinion_channel_open(other, to_living, to_other, LIVING, &channel);
	for (uint32_t i = 0; !err && i < SENT + HELD_BY_OTHER; i++) {
		struct pinion_desc desc = {.len = ESTATE_SIZE};

		err = pinion_buffer_alloc(cache, &desc.buffer);
		if (err || i >= SENT)
			continue;
		*(uint32_t *)pinion_buffer_addr(other, desc.buffer) =
			pinion_buffer_id(desc.buffer);
		err = pinion_channel_send(channel, &desc, 1) == 1 ? 0 : -EIO;
	}
	return err;
}

/* A watch: how many records are still to be stored before it is killed. */
static int store_or_die(void *context, uint32_t slot, int fd,
			const struct pinion_pool_record *record)
{
	uint32_t *left = context;

	(void)slot;
	(void)fd;
	if (*left)
		ledger_store_record(&ledger, record);
	if (*left <= 1)
		_exit(0);
	--*left;
	return 0;
}

static int store_all(struct pinion_pool *pool)
{
	struct pinion_pool_record record;
	int err = pinion_pool_record(pool, &record);

	if (err)
		return err;
	ledger_store_record(&ledger, &record);
	common->ledger.member[LIVING].admitted = 1;
	err = pinion_member_record(getpid(), &common->ledger.member[MAKER]);
	return err ? err : pinion_member_record(getpid(), &common->ledger.member[OTHER]);
}

static int come_and_go(struct pinion_pool *pool)
{
	const int err = estate_grow(pool);

	return err ? err : pinion_pool_retire(pool, 2);
}

static int live_and_die(void *arg)
{
	const struct task *task = arg;
	uint32_t stored = task->stored, member;
	struct pinion_pool *pool, *other;
	struct pinion_pool_fds fds;

	if (pinion_pool_create(estate_config(), &pool) || (task->again && come_and_go(pool)) ||
	    pinion_pool_admit(pool, getpid(), &member) || pinion_pool_admit(pool, 0, &member))
		return 1;
	fds = pool_files(pool);
	if (pinion_pool_attach(&fds, OTHER, &other) || store_all(pool))
		return 2;
	if (post_and_hold(other) || estate_hold(pool, 6))
		return 3;
	if (!task->begun)
		return 0;
	if (pinion_pool_watch(pool, store_or_die, &stored))
		return 4;
	(void)task->begun(pool); /* does not come back */
	return 5;
}

/* --- LIVING */

static struct {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_channel *channel;
} self;

static int file_of(const char *what)
{
	return open(support_path(estate_path(), what), O_RDWR | O_CLOEXEC);
}

static int draw(uint32_t nr)
{
	int err = 0;

	while (!err && nr--) {
		err = pinion_buffer_alloc(self.cache, &common->held[common->nr_held]);
		if (!err)
			common->nr_held++;
	}
	return err;
}

static int put(uint32_t nr)
{
	int err = 0;

	while (!err && nr--)
		err = pinion_buffer_free(self.cache, common->held[--common->nr_held]);
	return err;
}

/* The channel's own errors tell of its end. */
static int hear(uint32_t nr)
{
	struct pinion_desc desc;
	int got = 1;

	while (nr && (got = pinion_channel_recv(self.channel, &desc, 1)) == 1) {
		if (*(uint32_t *)pinion_buffer_addr(self.pool, desc.buffer) !=
		    pinion_buffer_id(desc.buffer))
			return -EIO;
		common->held[common->nr_held++] = desc.buffer;
		common->heard++;
		nr--;
	}
	return got < 0 ? got : 0;
}

static int say(uint32_t nr)
{
	int sent = 1;

	while (nr-- && sent == 1) {
		const struct pinion_desc desc = {common->held[--common->nr_held], ESTATE_SIZE, 0};

		sent = pinion_channel_send(self.channel, &desc, 1);
	}
	return sent < 0 ? sent : 0;
}

static int living_prepare(void *arg)
{
	const struct pinion_cache_config wish = {.buffer_size = ESTATE_SIZE,
						 .node = PINION_NODE_ANY};
	struct pinion_pool_fds fds = {.nr_segments = 2, .control = file_of(NAMED_CONTROL)};
	int err;

	(void)arg;
	fds.segment[0] = file_of("0");
	fds.segment[1] = file_of("1");
	err = pinion_pool_attach(&fds, LIVING, &self.pool);
	if (!err)
		err = pinion_cache_open(self.pool, &wish, &self.cache);
	if (!err)
		err = pinion_channel_open(self.pool, to_other, to_living, OTHER, &self.channel);
	if (!err)
		err = draw(12);
	return err ? err : say(2);
}

/* Told that OTHER is dead: all that it sent is heard; what it did not take comes back. */
static int drain(void)
{
	int err, nr;

	pinion_channel_sever(self.channel);
	err = hear(SENT); /* more than there are, so that the end is heard, too */
	if (err != -EPIPE)
		return err ? err : -EIO;
	nr = pinion_channel_reclaim(self.channel, self.cache);
	return common->heard == SENT && nr == (int)SAID ? 0 : -EIO;
}

/* As much as there is, and then all but a few go. */
static int draw_all(void)
{
	int err;

	do
		err = draw(1);
	while (!err);
	if (err != -ENOMEM)
		return err;
	for (uint32_t i = 0; i < common->nr_held; i++)
		common->had[slot_of(self.pool, common->held[i])]++;
	return put(common->nr_held - 5);
}

static int living_act(void *arg)
{
	int err = hear(2);

	(void)arg;
	if (!err)
		err = put(7);
	if (!err)
		err = draw(4);
	if (!err)
		err = say(2);
	if (!err)
		err = drain();
	common->phase = DRAINED;
	if (!err)
		err = put(6);
	if (!err)
		err = draw(8);
	common->phase = TAKES_ALL;
	return err ? err : draw_all();
}

/* At its start. */
static void living_start(const struct task *task)
{
	const struct play play = {living_prepare, living_act, NULL};

	memset(common, 0, sizeof(*common));
	if (ring_begin(RING, &to_living) || ring_begin(RING, &to_other))
		tap_bail("no rings: %s", pinion_error_text());
	if (support_child(live_and_die, (void *)(uintptr_t)task))
		tap_bail("no named pool can be made");
	tracee_start(&living, &play);
}

static void rings_close(void)
{
	(void)close(to_living);
	(void)close(to_other);
}

/* --- keepers */

static bool is_dead(const struct pinion_pool *pool, uint32_t member)
{
	const struct control_member *slot = &pool->members[member];

	return member != pool->member && slot->state != MEMBER_FREE &&
	       (slot->state == MEMBER_DEAD || member_goodbye(slot) || !member_lives(slot));
}

static int take_over(const struct task *task, struct pinion_pool **pool,
		     struct pinion_adoption *report)
{
	if (!task->records)
		return pinion_pool_adopt(estate_path(), pool, report);
	return pinion_pool_resume_named(estate_path(), ledger_record(&ledger),
					common->ledger.member, pool, report);
}

/* What OTHER has in transit to LIVING. */
static int transit_of(struct pinion_pool *pool, struct pinion_buffer *transit)
{
	struct pinion_channel *channel;
	int nr = pinion_channel_open(pool, to_other, to_living, OTHER, &channel);

	if (nr)
		return nr;
	nr = (int)pinion_channel_published(channel, transit);
	channel_abandon(channel);
	return nr;
}

static int release(struct pinion_pool *pool, uint32_t member)
{
	const int err = pinion_pool_release(pool, member, NULL);

	if (!err)
		common->ledger.member[member] = (struct pinion_member_record){0};
	return err;
}

/* All of the dead; released are those of whom LIVING has nothing to hear any more. */
static int bury(struct pinion_pool *pool, bool drained)
{
	struct pinion_buffer transit[RING];
	int err = 0, nr = transit_of(pool, transit);

	for (uint32_t i = 0; nr >= 0 && !err && i < pool->geometry.nr_members; i++)
		if (is_dead(pool, i))
			err = pinion_pool_recover(pool, i, transit, (uint32_t)nr, NULL);
	for (uint32_t i = 0; nr >= 0 && !err && i < pool->geometry.nr_members; i++)
		if (is_dead(pool, i) && (drained || i != OTHER))
			err = release(pool, i);
	return nr < 0 ? nr : err;
}

static int keeper_prepare(void *arg)
{
	(void)arg;
	return 0;
}

static int keeper_act(void *arg)
{
	const struct task *task = arg;
	struct pinion_pool *pool;
	int err = take_over(task, &pool, NULL);

	if (!err)
		err = pinion_member_record(getpid(),
					   &common->ledger.member[pinion_pool_member(pool)]);
	return err ? err : bury(pool, task->drained);
}

/* --- and the one after it, which is this process */

static const char *recover_wrong(struct pinion_pool *pool)
{
	struct pinion_buffer transit[RING];
	const int nr = transit_of(pool, transit);
	const char *problem = nr < 0 ? pinion_error_text() : NULL;

	for (uint32_t i = 0; !problem && i < pool->geometry.nr_members; i++)
		if (is_dead(pool, i))
			problem = recount_recover(pool, i, transit, (uint32_t)nr);
	return problem;
}

static const char *release_wrong(struct pinion_pool *pool)
{
	const char *problem = NULL;

	for (uint32_t i = 0; !problem && i < pool->geometry.nr_members; i++) {
		if (!is_dead(pool, i))
			continue;
		problem = recount_release(pool, i);
		common->ledger.member[i] = (struct pinion_member_record){0};
	}
	return problem;
}

/* It has ended, and all have heard of each other. */
static const char *living_wrong(const struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < common->nr_held; i++) {
		const struct pinion_buffer buffer = common->held[i];
		const uint64_t word = pool->view.owner[pinion_buffer_id(buffer)];

		if (word != pinion_owner_word(buffer, pinion_owner_held(LIVING)))
			return "what the living hold is not theirs";
	}
	for (uint32_t s = 0; s < 2; s++)
		if (slot_state_of(pool->state[s]) == SLOT_LIVE && common->had[s] != ESTATE_NR)
			return "the living could not have all that is free";
	if (pool_total(pool) - pool_free(pool) != common->nr_held)
		return "somebody holds more than the living believe to have";
	return pool_problem(pool);
}

static const char *go_on_wrong(void)
{
	if (tracee_finish(&living) != STEP_DONE)
		return "the living did not go on to its end";
	if (living.stage->err)
		return "the living had an error";
	return NULL;
}

/* With a keeper that has just come. */
static const char *beside_wrong(const struct task *task, struct pinion_pool *pool,
				const struct pinion_adoption *report)
{
	const char *problem = NULL;

	if (report->living != 1 || report->recovery.returned || report->recovery.magazines)
		problem = "the living are not found, or a recovery is reported beside them";
	if (!problem && task->records)
		problem = slots_wrong(pool, ledger_record(&ledger));
	if (!problem)
		problem = recover_wrong(pool);
	if (!problem)
		problem = go_on_wrong();
	if (!problem)
		problem = release_wrong(pool);
	return problem ? problem : living_wrong(pool);
}

static const char *alone_wrong(const struct task *task)
{
	struct snapshot before = {0};
	struct pinion_adoption report;
	struct pinion_pool *pool;
	const char *problem;

	estate_copy(&before);
	if (take_over(task, &pool, &report)) {
		free(before.bytes);
		return pinion_error_text();
	}
	/* What was written over cannot be counted. */
	problem = task->scribbled ? NULL : recount_buried(&before, pool, &report.recovery);
	if (!problem)
		problem = estate_wrong(pool, !task->scribbled);
	free(before.bytes);
	(void)pinion_pool_destroy(pool);
	return problem;
}

/* And then LIVING dies as well. */
static const char *living_and_alone_wrong(const struct task *task)
{
	struct pinion_adoption report;
	struct pinion_pool *pool;
	const char *problem;

	if (take_over(task, &pool, &report))
		return pinion_error_text();
	problem = beside_wrong(task, pool, &report);
	/* This process lives on, and is not to be found when it comes again. */
	member_leave(pool, 1);
	(void)pinion_pool_destroy(pool);
	tracee_kill(&living);
	return problem ? problem : alone_wrong(task);
}

/* --- killed */

static void begin(const void *arg, uint32_t nr, struct tracee *victim)
{
	const struct task *task = arg;
	const struct play play = {keeper_prepare, keeper_act, (void *)(uintptr_t)arg};
	const struct store *place = &places.store[stands.first + nr % stands.nr];

	living_start(task);
	if (tracee_reach(&living, place) == STEP_DONE)
		tap_bail("the living did not come to its place again");
	if (task->alone)
		tracee_kill(&living);
	if (task->scribbled)
		estate_scribble();
	estate_left();
	tracee_start(victim, &play);
}

static const char *look(const void *arg)
{
	static char why[256];
	const struct task *task = arg;
	const char *problem = task->alone ? alone_wrong(task) : living_and_alone_wrong(task);

	snprintf(why, sizeof(why), "%s", problem ? problem : "");
	rings_close();
	problem = estate_removed_wrong();
	return *why ? why : problem;
}

/* LIVING alone: its start, and each of its stores to the control area, until it takes all; those
 * from where it has drained, where a task asks for that. */
static void find_places(const struct task *task)
{
	struct snapshot last = {0};
	const char *control;

	tracks_open(&places);
	living_start(task);
	stands.first = 0;
	tracks_add(&places, &living);
	estate_copy(&last);
	control = estate_map();
	while (tracks_step(&places, &living) == STEP_MORE && common->phase != TAKES_ALL) {
		if (!memcmp(last.bytes, control, last.len))
			continue;
		tracks_add(&places, &living);
		memcpy(last.bytes, control, last.len);
		if (task->drained && common->phase == WORKS)
			stands.first = places.nr;
	}
	stands.nr = places.nr - stands.first;
	if (common->phase != TAKES_ALL || places.nr <= stands.first)
		tap_bail("the living failed by itself: %d", living.stage->err);
	free(last.bytes);
	estate_unmap(control);
	tracee_kill(&living);
	rings_close();
	(void)pinion_pool_unlink(estate_path());
}

/* All stores of the keeper, beside LIVING at one place. */
static void stores_beside(const struct task *task, uint64_t place)
{
	char name[96];
	const struct halts halts = {name, begin, look, task};

	stands.first = place;
	stands.nr = 1;
	snprintf(name, sizeof(name), "%s, beside one at store %ju of %ju", task->name,
		 (uintmax_t)place, (uintmax_t)places.nr);
	halts_stores(&halts);
}

static void crash(const struct task *task)
{
	const struct halts halts = {task->name, begin, look, task};
	uint64_t first, nr;

	find_places(task);
	first = stands.first;
	nr = stands.nr;
	halts_calls(&halts);
	for (uint32_t i = 0; i < task->places; i++)
		stores_beside(task, first + (i ? 0 : nr / 4));
	tracks_close(&places);
}

/* Of all, or of the one that is named. */
int main(int argc, char **argv)
{
	const char *problem = estate_open();
	int claims = 0;

	if (problem)
		return tap_skip(problem);
	common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (common == MAP_FAILED)
		tap_bail("no page to share with children: %s", strerror(errno));
	ledger.page = &common->ledger;
	for (size_t i = 0; i < NR_TASKS; i++)
		if (argc < 2 || !strcmp(argv[1], tasks[i].name))
			claims += 1 + (int)tasks[i].places;
	if (!claims)
		tap_bail("there is no task %s", argv[1]);
	tap_plan(claims);
	for (size_t i = 0; i < NR_TASKS; i++)
		if (argc < 2 || !strcmp(argv[1], tasks[i].name))
			crash(&tasks[i]);
	estate_close();
	return tap_status();
}
