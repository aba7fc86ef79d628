/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keepers that come back: killed children of the test, whose files, record and members it has, and
 * whose pool others go on using. What a kill between two instructions leaves: ../crash/resume.c.
 */

#include <sched.h>
#include <sys/prctl.h>

#include "pool_support.h"

#include "ledger_support.h"
#include "member.h"
#include "process.h"
#include "record.h"

#define SLOTS 4
#define OURS 1 /* the number of this process */

/* What a keeper does before it is killed. */
struct task {
	struct ledger ledger;
	int (*act)(struct task *task, struct pinion_pool *pool);
	int call; /* of the watch in which it is killed, from 1; 0: none */
	bool before; /* ... it has stored anything */
};

static int store_or_die(void *context, uint32_t slot, int fd,
			const struct pinion_pool_record *record)
{
	struct task *task = context;
	const bool now = task->call && --task->call == 0;
	int err;

	if (now && task->before)
		(void)kill(getpid(), SIGKILL);
	err = ledger_store(&task->ledger, slot, fd, record);
	if (now)
		(void)kill(getpid(), SIGKILL);
	return err;
}

static struct pinion_pool_config config_of(uint32_t segments)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);

	config.magazine_size = 16;
	config.nr_segments = segments;
	config.max_segments = SLOTS;
	for (uint32_t i = 1; i < segments; i++)
		config.segment[i] = config.segment[0];
	return config;
}

/* Two segments, and our process as a member; then act(); then it is killed. */
static int keep(void *arg)
{
	const struct pinion_pool_config config = config_of(2);
	const pid_t parent = getppid();
	struct task *task = arg;
	struct pinion_pool *pool;
	uint32_t member;

	if (pinion_pool_create(&config, &pool) || ledger_store_pool(&task->ledger, pool) ||
	    pinion_pool_watch(pool, store_or_die, task))
		return 1;
	if (pinion_pool_admit(pool, parent, &member) || member != OURS ||
	    pinion_member_record(parent, &task->ledger.page->member[OURS]))
		return 2;
	if (task->act != NULL && task->act(task, pool))
		return 3;
	(void)kill(getpid(), SIGKILL);
	return 4;
}

static void keeper_dies(struct task *task)
{
	assert_int_equal(ledger_open(&task->ledger), 0);
	assert_int_equal(support_child(keep, task), 128 + SIGKILL);
	ledger_collect(&task->ledger);
}

/* As a member that the ledger says is this process. */
static struct pinion_pool *join(struct task *task)
{
	struct pinion_pool_fds fds = ledger_files(&task->ledger);
	struct pinion_pool *pool = NULL;

	assert_int_equal(pinion_pool_attach(&fds, OURS, &pool), 0);
	return pool;
}

static struct pinion_pool *resume(struct task *task, uint32_t living, uint32_t dead)
{
	struct pinion_adoption adoption = {0};
	struct pinion_pool *pool = NULL;
	const int err = ledger_resume(&task->ledger, &pool, &adoption);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	assert_int_equal(adoption.living, living);
	assert_int_equal(adoption.dead, dead);
	assert_int_equal(pinion_pool_watch(pool, ledger_store, &task->ledger), 0);
	return pool;
}

/* Keepers of before. The ledger follows: first of all our own number, then no more of theirs. */
static void bury_keepers(struct task *task, struct pinion_pool *pool)
{
	struct pinion_member_record *member = task->ledger.page->member;

	assert_int_equal(pinion_member_record(getpid(), &member[pinion_pool_member(pool)]), 0);
	for (uint32_t i = 0; i < LEDGER_MEMBERS; i++) {
		if (!member[i].admitted || process_lives(member[i].pid, member[i].started))
			continue;
		assert_int_equal(pinion_pool_recover(pool, i, NULL, 0, NULL), 0);
		assert_int_equal(pinion_pool_release(pool, i, NULL), 0);
		member[i] = (struct pinion_member_record){0};
	}
}

static void end(struct task *task, struct pinion_pool *pool, struct pinion_pool *ours)
{
	if (ours != NULL)
		assert_int_equal(pinion_pool_detach(ours), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
	ledger_close(&task->ledger);
}

static void assert_all_can_be_had(struct pinion_pool *pool, uint32_t nr)
{
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer all[SLOTS * 64 + 1];

	assert_int_equal(take_all(cache, all, SLOTS * 64 + 1), nr);
	for (uint32_t i = 0; i < nr; i++)
		memset(pinion_buffer_addr(pool, all[i]), (int)i, BUFFER);
	give(cache, all, nr);
	assert_int_equal(pinion_cache_close(cache), 0);
}

static int hold_some(struct task *task, struct pinion_pool *pool)
{
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer buffer[50];

	(void)task;
	take(cache, buffer, 50);
	give(cache, buffer, 20);
	return 0;
}

/* Our process never attached: the ledger says nothing of it. */
static void where_nobody_lives_all_comes_back_at_once(void **state)
{
	struct task task = {.act = hold_some};
	struct pinion_adoption adoption = {0};
	struct pinion_pool *pool = NULL;

	(void)state;
	keeper_dies(&task);
	task.ledger.page->member[OURS] = (struct pinion_member_record){0};
	assert_int_equal(ledger_resume(&task.ledger, &pool, &adoption), 0);
	assert_int_equal(adoption.dead, 1);
	assert_int_equal(adoption.living, 0);
	assert_int_equal(adoption.recovery.returned, 30);
	assert_int_equal(pinion_pool_member(pool), 0);
	for (int i = 1; i < LEDGER_MEMBERS; i++)
		assert_int_equal(pool->members[i].state, MEMBER_FREE);
	assert_pool_whole(pool);
	assert_int_equal(grow(pool, 64, BUFFER), 2);
	assert_int_equal(pinion_pool_retire(pool, 0), 0);
	assert_all_can_be_had(pool, 128);
	end(&task, pool, NULL);
}

static uint64_t ink; /* 0: zeroes; else random numbers begin with it */

static int write_over_all(struct task *task, struct pinion_pool *pool)
{
	uint64_t *word = (void *)pool->shared;

	(void)task;
	for (size_t i = 0; i < pool->control.len / sizeof(*word); i++)
		word[i] = ink ? test_random(&ink) : 0;
	return 0;
}

/* Words of everybody's and of nobody's, magazines that no one has, contents that cannot be. */
static void where_nobody_lives_all_is_free_whatever_was_written(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct task task = {.act = write_over_all};
		struct pinion_pool *pool;

		ink = i ? test_random(&random) : 0;
		keeper_dies(&task);
		task.ledger.page->member[OURS] = (struct pinion_member_record){0};
		pool = resume(&task, 0, 1);
		assert_pool_whole(pool);
		assert_all_can_be_had(pool, 128);
		assert_int_equal(grow(pool, 64, BUFFER), 2);
		assert_int_equal(pinion_pool_retire(pool, 0), 0);
		assert_all_can_be_had(pool, 128);
		end(&task, pool, NULL);
	}
}

/* One word each that is not as it must be, and nothing else: what no sum of buffers shows. */

static uint32_t find_magazine(const struct pinion_pool *pool, uint32_t holder, uint32_t nr)
{
	for (uint32_t m = 0; m < pool_magazine_nr(pool, 0); m++)
		if (pinion_owner_holder(pool->magazine[m]) == holder &&
		    magazine_word_nr(pool->magazine[m]) == nr)
			return m;
	fail_msg("no such magazine");
	return 0;
}

static void spoil_twice_in_one(struct pinion_pool *pool)
{
	const uint32_t m = find_magazine(pool, MAGAZINE_DEPOT, 6);

	pool_content(pool, m)[6] = pool_content(pool, m)[0];
	pool->magazine[m] = magazine_word(MAGAZINE_DEPOT, 7, 0);
}

static void spoil_too_many(struct pinion_pool *pool)
{
	pool->magazine[find_magazine(pool, MAGAZINE_DEPOT, 16)] =
		magazine_word(MAGAZINE_DEPOT, 17, 0);
}

static void spoil_empty_with_some(struct pinion_pool *pool)
{
	pool->magazine[find_magazine(pool, MAGAZINE_EMPTY, 0)] =
		magazine_word(MAGAZINE_EMPTY, 3, 0);
}

static void spoil_filler(struct pinion_pool *pool)
{
	pool->magazine[find_magazine(pool, MAGAZINE_DEPOT, 6)] =
		magazine_word(MAGAZINE_DEPOT, 6, 5);
}

/* Behind those that the segment has. */
static void spoil_spare(struct pinion_pool *pool)
{
	pool->magazine[pool_magazine_nr(pool, 0)] = magazine_word(7, 0, 0);
}

static void spoil_generation(struct pinion_pool *pool)
{
	const uint32_t holder = pinion_owner_holder(pool->view.owner[0]);

	pool->view.owner[0] = pinion_owner_word(pinion_buffer_make(0, 0), holder);
}

static void spoil_hint(struct pinion_pool *pool)
{
	pool->depot[0] = 0;
}

static void (*const spoils[])(struct pinion_pool *pool) = {
	spoil_twice_in_one, spoil_too_many, spoil_empty_with_some, spoil_filler, spoil_spare,
	spoil_generation,   spoil_hint,
};
static size_t spoil;

/* It has ten: a magazine of the six others lies in the depot, and empty ones do. */
static int spoil_one_word(struct task *task, struct pinion_pool *pool)
{
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer held[10];

	(void)task;
	take(cache, held, 10);
	if (pinion_cache_close(cache))
		return 1;
	spoils[spoil](pool);
	return 0;
}

static void assert_as_made(const struct pinion_pool *pool)
{
	for (uint32_t s = 0; s < 2; s++)
		for (uint32_t m = pool_magazine_nr(pool, s); m < pool->layout.stride; m++) {
			const uint64_t word = pool->magazine[pool_magazine_first(pool, s) + m];

			assert_true(!word || word == magazine_word(MAGAZINE_EMPTY, 0, 0));
		}
	for (uint32_t m = 0; m < pool_magazine_nr(pool, 0); m++)
		assert_int_equal(magazine_word_filler(pool->magazine[m]), 0);
	assert_int_not_equal(pinion_owner_buffer(pool->view.owner[0], 0).bits, 0);
}

static void where_nobody_lives_a_single_wrong_word_is_set_right(void **state)
{
	(void)state;
	for (spoil = 0; spoil < sizeof(spoils) / sizeof(spoils[0]); spoil++) {
		struct task task = {.act = spoil_one_word};
		struct pinion_pool *pool;

		keeper_dies(&task);
		task.ledger.page->member[OURS] = (struct pinion_member_record){0};
		pool = resume(&task, 0, 1);
		assert_pool_whole(pool);
		assert_as_made(pool);
		assert_all_can_be_had(pool, 128);
		end(&task, pool, NULL);
	}
}

static void where_some_live_the_caller_recovers_the_dead(void **state)
{
	struct task task = {.act = hold_some};
	struct pinion_pool *pool, *ours;
	struct pinion_recovery back;
	struct pinion_cache *cache;
	struct pinion_buffer mine[10];

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	cache = cache_make(ours, BUFFER);
	take(cache, mine, 10);
	pool = resume(&task, 1, 1);
	assert_int_equal(pinion_pool_member(pool), 2);
	assert_int_equal(pinion_pool_held(pool, 0), 30);
	assert_int_equal(pinion_pool_recover(pool, 0, NULL, 0, &back), 0);
	assert_int_equal(back.returned, 30);
	assert_int_equal(pinion_pool_release(pool, 0, NULL), 0);
	assert_int_equal(pinion_pool_held(pool, OURS), 10);
	give(cache, mine, 10);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
	assert_all_can_be_had(ours, 128);
	end(&task, pool, ours);
}

/* A member in a process of its own, which works until there is a word for it. */
struct worker {
	struct task *task;
	pid_t pid;
	int way[2];
	_Atomic uint64_t *rounds;
};

static int work(struct worker *worker)
{
	struct pinion_pool_fds fds = ledger_files(&worker->task->ledger);
	struct pinion_cache_config wish = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_buffer held[40];
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	char word;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pinion_pool_attach(&fds, OURS, &pool) || pinion_cache_open(pool, &wish, &cache))
		return 1;
	while (recv(worker->way[1], &word, 1, MSG_DONTWAIT) < 0) {
		for (int i = 0; i < 40; i++) {
			if (pinion_buffer_alloc(cache, &held[i]))
				return 2;
			memset(pinion_buffer_addr(pool, held[i]), i, BUFFER);
		}
		for (int i = 0; i < 40; i++) {
			const char *at = pinion_buffer_addr(pool, held[i]);

			if (at[0] != i || at[BUFFER - 1] != i || pinion_buffer_free(cache, held[i]))
				return 3;
		}
		(void)atomic_fetch_add(worker->rounds, 1);
		(void)sched_yield();
	}
	return pinion_cache_close(cache) || pinion_pool_detach(pool) ? 4 : 0;
}

static void worker_goes_on(const struct worker *worker)
{
	const uint64_t was = atomic_load(worker->rounds);
	const uint64_t until = test_now_ns() + 10000000000u;

	while (atomic_load(worker->rounds) < was + 100 && test_now_ns() < until)
		(void)sched_yield();
	assert_true(atomic_load(worker->rounds) >= was + 100);
}

static void worker_start(struct worker *worker, struct task *task)
{
	worker->task = task;
	worker->rounds = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(worker->rounds, MAP_FAILED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, worker->way), 0);
	worker->pid = fork();
	assert_true(worker->pid >= 0);
	if (worker->pid == 0)
		_exit(work(worker));
	assert_int_equal(pinion_member_record(worker->pid, &task->ledger.page->member[OURS]), 0);
	worker_goes_on(worker);
}

static void worker_stop(struct worker *worker)
{
	int status = -1;

	assert_int_equal(write(worker->way[0], "", 1), 1);
	assert_int_equal(waitpid(worker->pid, &status, 0), worker->pid);
	assert_int_equal(status, 0);
	close(worker->way[0]);
	close(worker->way[1]);
	munmap((void *)worker->rounds, 4096);
}

/* In a slot that is free as soon as the member has looked. */
static uint32_t grow_soon(struct pinion_pool *pool)
{
	const struct pinion_segment_config more = segment_of(64, BUFFER);
	uint32_t slot = 0;

	while (pinion_pool_grow(pool, &more, &slot) == -ENOSPC)
		(void)sched_yield();
	return slot;
}

/* One more keeper: the pool gets a segment, and another goes; then it is killed. */
static int keep_on(void *arg)
{
	struct worker *worker = arg;
	struct pinion_pool *pool = resume(worker->task, 1, 1);
	uint32_t slot;

	worker_goes_on(worker);
	bury_keepers(worker->task, pool);
	slot = grow_soon(pool);
	worker_goes_on(worker);
	while (pinion_pool_retire(pool, slot))
		(void)sched_yield();
	(void)grow_soon(pool);
	(void)hold_some(worker->task, pool);
	(void)kill(getpid(), SIGKILL);
	return 1;
}

static void a_member_works_on_through_the_deaths_of_its_keepers(void **state)
{
	struct task task = {.act = hold_some};
	struct worker worker = {0};
	struct pinion_pool *pool;

	(void)state;
	keeper_dies(&task);
	worker_start(&worker, &task);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(support_child(keep_on, &worker), 128 + SIGKILL);
		ledger_collect(&task.ledger);
		worker_goes_on(&worker);
	}
	pool = resume(&task, 1, 1);
	bury_keepers(&task, pool);
	assert_int_equal(pool_total(pool), SLOTS * 64);
	worker_stop(&worker);
	bury_keepers(&task, pool);
	assert_pool_whole(pool);
	end(&task, pool, NULL);
}

static void scribble(struct pinion_pool *pool, uint64_t *random)
{
	unsigned char *byte = (void *)pool->shared;

	for (size_t i = 0; i < sizeof(struct control); i++)
		byte[i] = (unsigned char)test_random(random);
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		pool->members[i].state = (uint32_t)test_below(random, 5);
		pool->members[i].pid = (int32_t)test_below(random, 1000);
		pool->members[i].started = test_random(random);
		pool->members[i].quota = 1;
	}
}

static int grow_and_retire(struct task *task, struct pinion_pool *pool)
{
	(void)task;
	grow(pool, 64, BUFFER);
	return pinion_pool_retire(pool, 0);
}

static void assert_right(const struct pinion_pool *pool, const struct control *was)
{
	const struct control *now = pool->shared;

	assert_memory_equal(now, was, offsetof(struct control, epoch));
	assert_true(now->epoch > was->epoch);
	for (uint32_t i = 0; i < SLOTS; i++) {
		assert_int_equal(now->slot[i].state, was->slot[i].state);
		if (slot_state_of(was->slot[i].state) == SLOT_LIVE)
			assert_memory_equal(&now->slot[i].segment, &was->slot[i].segment,
					    sizeof(now->slot[i].segment));
	}
	for (uint32_t i = 0; i < LEDGER_MEMBERS; i++) {
		assert_int_equal(pool->members[i].state, i <= 2 ? MEMBER_LIVE : MEMBER_FREE);
		assert_int_equal(pool->members[i].quota, 0);
	}
	assert_int_equal(pool->members[OURS].pid, getpid());
	assert_int_equal(pool->members[OURS].started, process_started(getpid()));
}

static void what_members_scribbled_over_the_keepers_part_is_repaired(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct task task = {.act = grow_and_retire};
		struct pinion_pool *pool, *ours, *third;
		struct pinion_cache *cache;
		struct pinion_buffer held;
		struct control was;

		keeper_dies(&task);
		ours = join(&task);
		cache = cache_make(ours, BUFFER);
		take(cache, &held, 1);
		memcpy(&was, ours->shared, sizeof(was));
		scribble(ours, &random);
		pool = resume(&task, 1, 1);
		assert_right(pool, &was);
		bury_keepers(&task, pool);
		give(cache, &held, 1);
		assert_int_equal(pinion_cache_close(cache), 0);
		assert_all_can_be_had(ours, 128);
		third = pool_join(pool);
		assert_int_equal(pinion_pool_member(third), 0);
		assert_all_can_be_had(third, 128);
		assert_int_equal(pinion_pool_detach(third), 0);
		assert_pool_whole(pool);
		end(&task, pool, ours);
	}
}

/* Kills in the watch: in which call of it, and what must have become of the segment. */

struct moment {
	int (*act)(struct task *task, struct pinion_pool *pool);
	int call;
	bool before;
	uint32_t slot;
	enum slot_state becomes;
};

static int grow_one(struct task *task, struct pinion_pool *pool)
{
	(void)task;
	grow(pool, 64, BUFFER);
	return 1; /* it was to be killed there */
}

static int retire_one(struct task *task, struct pinion_pool *pool)
{
	(void)task;
	(void)pinion_pool_retire(pool, 1);
	return 1;
}

static const struct moment moments[] = {
	{grow_one, 1, true, 2, SLOT_ABSENT},     {grow_one, 1, false, 2, SLOT_LIVE},
	{retire_one, 1, true, 1, SLOT_LIVE},     {retire_one, 1, false, 1, SLOT_RETIRING},
	{retire_one, 2, true, 1, SLOT_RETIRING}, {retire_one, 2, false, 1, SLOT_GONE},
	{retire_one, 3, true, 1, SLOT_GONE},     {retire_one, 3, false, 1, SLOT_GONE},
};

static void assert_moment(const struct moment *moment)
{
	struct task task = {.act = moment->act, .call = moment->call, .before = moment->before};
	const bool stands = moment->becomes == SLOT_LIVE || moment->becomes == SLOT_RETIRING;
	struct pinion_pool *pool, *ours;
	uint32_t allocated = 64;

	keeper_dies(&task);
	ours = join(&task); /* which has every file, and goes by the control area */
	pool = resume(&task, 1, 1);
	assert_int_equal(slot_state_of(pool->state[moment->slot]), moment->becomes);
	assert_int_equal(slot_state_of(pool->shared->slot[moment->slot].state), moment->becomes);
	assert_int_equal(pool_has_segment(pool, moment->slot), stands);
	bury_keepers(&task, pool);
	assert_pool_whole(pool);
	for (uint32_t i = 1; i < SLOTS; i++)
		allocated += slot_state_of(pool->state[i]) == SLOT_LIVE ? 64 : 0;
	if (moment->becomes == SLOT_LIVE && moment->slot == 2)
		assert_int_equal(pass(pool, ours, 2), 0);
	assert_all_can_be_had(ours, allocated);
	if (stands)
		assert_int_equal(pinion_pool_retire(pool, moment->slot), 0);
	assert_all_can_be_had(ours, stands && moment->becomes == SLOT_LIVE ? allocated - 64
									    : allocated);
	assert_int_equal(grow(pool, 64, BUFFER), moment->slot);
	assert_pool_whole(pool);
	end(&task, pool, ours);
}

static void a_change_is_made_once_its_record_is_stored_and_not_before(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
		assert_moment(&moments[i]);
}

/* Its pages are given back though a member has it mapped, and does not look. */
static void the_file_of_a_segment_that_went_is_emptied(void **state)
{
	struct task task = {.act = retire_one, .call = 2};
	struct pinion_pool *pool, *ours;
	struct stat status;

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	assert_int_equal(fstat(task.ledger.kept.segment[1], &status), 0);
	assert_int_not_equal(status.st_blocks, 0);
	pool = resume(&task, 1, 1);
	assert_int_equal(fstat(task.ledger.kept.segment[1], &status), 0);
	assert_int_equal(status.st_blocks, 0);
	assert_int_equal(fstat(task.ledger.kept.segment[0], &status), 0);
	assert_int_not_equal(status.st_blocks, 0);
	end(&task, pool, ours);
}

/* A watch that looks at what members could see by then. */
struct log {
	struct pinion_pool *pool;
	uint32_t nr, slot[8];
	bool file[8];
	enum slot_state told[8], shown[8];
	int err; /* to be returned by call number @fails */
	uint32_t fails;
};

static int note(void *context, uint32_t slot, int fd, const struct pinion_pool_record *record)
{
	struct log *log = context;
	const uint32_t i = log->nr++;

	assert_true(i < 8);
	log->slot[i] = slot;
	log->file[i] = fd >= 0;
	log->told[i] = slot_state_of(record->segment[slot].state);
	log->shown[i] = slot_state_of(log->pool->shared->slot[slot].state);
	return log->nr == log->fails ? log->err : 0;
}

static void the_watch_is_told_before_anybody_sees(void **state)
{
	const struct pinion_pool_config config = config_of(1);
	static const enum slot_state told[] = {SLOT_LIVE, SLOT_RETIRING, SLOT_GONE, SLOT_GONE};
	static const enum slot_state shown[] = {SLOT_ABSENT, SLOT_LIVE, SLOT_RETIRING, SLOT_GONE};
	struct log log = {.pool = pool_make_from(&config)};

	(void)state;
	assert_int_equal(pinion_pool_watch(log.pool, note, &log), 0);
	assert_int_equal(grow(log.pool, 64, BUFFER), 1);
	assert_int_equal(log.nr, 1);
	assert_int_equal(pinion_pool_retire(log.pool, 1), 0);
	assert_int_equal(log.nr, 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(log.slot[i], 1);
		assert_int_equal(log.file[i], i < 3);
		assert_int_equal(log.told[i], told[i]);
		assert_int_equal(log.shown[i], shown[i]);
	}
	assert_int_equal(pinion_pool_watch(log.pool, NULL, NULL), 0);
	assert_int_equal(grow(log.pool, 64, BUFFER), 1);
	assert_int_equal(log.nr, 4);
	assert_int_equal(pinion_pool_destroy(log.pool), 0);
}

static void what_cannot_be_stored_is_not_done(void **state)
{
	const struct pinion_segment_config more = segment_of(64, BUFFER);
	const struct pinion_pool_config config = config_of(1);
	struct log log = {.pool = pool_make_from(&config), .err = -EDQUOT};
	uint32_t slot = 77;

	(void)state;
	assert_int_equal(pinion_pool_watch(log.pool, note, &log), 0);
	/* A slot that never had a segment, and one that had. */
	for (int used = 0; used < 2; used++) {
		log.nr = 0;
		log.fails = 1;
		errno = 4711;
		assert_int_equal(pinion_pool_grow(log.pool, &more, &slot), -EDQUOT);
		assert_int_equal(errno, 4711);
		assert_sentence("segment 1: the record of it could not be stored");
		assert_int_equal(slot, 77);
		assert_pool_whole(log.pool);
		assert_int_equal(pool_total(log.pool), 64);
		assert_int_equal(grow(log.pool, 64, BUFFER), 1);
		log.fails = 3; /* RETIRING */
		assert_int_equal(pinion_pool_retire(log.pool, 1), -EDQUOT);
		assert_int_equal(slot_state_of(log.pool->state[1]), SLOT_LIVE);
		assert_all_can_be_had(log.pool, 128);
		log.fails = 5; /* RETIRING is stored, GONE is not */
		assert_int_equal(pinion_pool_retire(log.pool, 1), -EDQUOT);
		assert_int_equal(slot_state_of(log.pool->state[1]), SLOT_RETIRING);
		assert_pool_whole(log.pool);
		assert_int_equal(pinion_pool_retire(log.pool, 1), 0);
	}
	assert_int_equal(pinion_pool_destroy(log.pool), 0);
}

/* Numbers. */

/* Admitted, and killed before the ledger had it. */
static int admit_one_more(struct task *task, struct pinion_pool *pool)
{
	uint32_t member;

	(void)task;
	return pinion_pool_admit(pool, getppid(), &member);
}

static void a_number_that_was_not_stored_is_free(void **state)
{
	struct task task = {.act = admit_one_more};
	struct pinion_pool *pool, *ours;

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	assert_int_equal(ours->members[2].state, MEMBER_LIVE);
	pool = resume(&task, 1, 1);
	assert_int_equal(pinion_pool_member(pool), 2);
	end(&task, pool, ours);
}

/* Not even where its process lives on: the caller sees it there, and buries it. */
static void a_goodbye_that_no_keeper_heard_is_not_lost(void **state)
{
	struct task task = {.act = hold_some};
	struct pinion_pool *pool, *ours;

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	member_leave(ours, 4711);
	pool = resume(&task, 1, 1);
	assert_int_equal(member_goodbye(&pool->members[OURS]), 4711);
	assert_int_equal(pinion_pool_recover(pool, OURS, NULL, 0, NULL), 0);
	assert_int_equal(pinion_pool_release(pool, OURS, NULL), 0);
	end(&task, pool, ours);
}

static void a_pid_that_is_used_again_is_another_process(void **state)
{
	struct task task = {.act = hold_some};
	struct pinion_pool *pool;

	(void)state;
	keeper_dies(&task);
	task.ledger.page->member[0].pid = getpid(); /* which started later than what had it then */
	task.ledger.page->member[OURS].started--;
	pool = resume(&task, 0, 2);
	assert_int_equal(pinion_pool_member(pool), 0);
	assert_pool_whole(pool);
	end(&task, pool, NULL);
}

static void a_member_that_wrote_down_itself_who_it_is_counts(void **state)
{
	struct task task = {0};
	struct pinion_pool *pool, *ours;

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	task.ledger.page->member[OURS] =
		(struct pinion_member_record){.admitted = 1, .quota = 4096};
	pool = resume(&task, 1, 1);
	assert_int_equal(pool->members[OURS].pid, getpid());
	assert_int_equal(pool->members[OURS].quota, 4096);
	end(&task, pool, ours);
}

static void a_keeper_killed_as_soon_as_it_was_back_is_followed_by_another(void **state)
{
	struct task task = {.act = hold_some};
	struct pinion_pool *pool, *ours;

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	for (int i = 0; i < 3; i++) {
		pool = resume(&task, 1, 1); /* with a number that the ledger never had */
		assert_int_equal(pinion_pool_member(pool), 2);
		assert_int_equal(pinion_pool_destroy(pool), 0);
	}
	pool = resume(&task, 1, 1);
	bury_keepers(&task, pool);
	assert_pool_whole(pool);
	assert_all_can_be_had(ours, 128);
	end(&task, pool, ours);
}

/* Refusals: nothing is changed, and the files stay the caller's. */

static int attempt(struct task *task, struct pinion_pool *ours,
		   const struct pinion_pool_fds *fds, const struct pinion_pool_record *record)
{
	struct pinion_adoption adoption = {.living = 77};
	struct pinion_pool *pool = NULL;
	void *was = malloc(ours->control.len);
	int err;

	assert_non_null(was);
	memcpy(was, ours->control.addr, ours->control.len);
	errno = 4711;
	err = pinion_pool_resume(fds, record, task->ledger.page->member, &pool, &adoption);
	assert_int_equal(errno, 4711);
	assert_null(pool);
	assert_int_equal(adoption.living, 77);
	assert_memory_equal(was, ours->control.addr, ours->control.len);
	free(was);
	return err;
}

static void a_wrong_record_is_refused(void **state)
{
	struct task task = {0};
	struct pinion_pool *pool, *ours;
	struct pinion_pool_fds fds;
	unsigned char bad[sizeof(struct pinion_pool_record)];

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	fds = ledger_files(&task.ledger);
	for (size_t i = 0; i < sizeof(bad); i++) {
		memcpy(bad, ledger_record(&task.ledger), sizeof(bad));
		bad[i] ^= 0x10;
		assert_int_equal(attempt(&task, ours, &fds, (const void *)bad), -EPROTO);
	}
	assert_sentence("stored in part");
	ledger_files_close(&fds);
	pool = resume(&task, 1, 1);
	end(&task, pool, ours);
}

/* Whole, but of no pool, or not of this. */
static void a_record_of_another_pool_is_refused(void **state)
{
	struct task task = {0};
	struct pinion_pool *pool, *ours;
	struct pinion_pool_fds fds;

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	fds = ledger_files(&task.ledger);
	for (int i = 0; i < 8; i++) {
		struct pinion_pool_record bad = *ledger_record(&task.ledger);

		bad.nr_segments += i == 0 ? 100 : 0;
		bad.nr_members = i == 1 ? 0 : bad.nr_members;
		bad.control_len += i == 2 ? 4096 : 0;
		bad.segment[0].nr += i == 3;
		bad.segment[0].stride_shift = i == 4 ? 3 : bad.segment[0].stride_shift;
		bad.segment[1].state += i == 5 ? UINT64_C(400) : 0;
		bad.control_inode += i == 6;
		bad.segment[1].inode += i == 7;
		bad.sum = 0;
		assert_int_equal(attempt(&task, ours, &fds, &bad), -EPROTO);
		record_close(&bad);
		assert_int_equal(attempt(&task, ours, &fds, &bad), i < 6 ? -EPROTO : -EINVAL);
	}
	ledger_files_close(&fds);
	pool = resume(&task, 1, 1);
	end(&task, pool, ours);
}

/* A file of the same shape and bytes, which could be shortened. */
static int unsealed(void)
{
	const int fd = memfd_create("unsealed", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 64 * BUFFER), 0);
	return fd;
}

static void wrong_files_are_refused(void **state)
{
	struct task task = {0};
	struct pinion_pool *pool, *ours;
	struct pinion_pool_fds fds, bad;
	const int loose = unsealed();

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	fds = bad = ledger_files(&task.ledger);
	bad.segment[1] = -1;
	assert_int_equal(attempt(&task, ours, &bad, ledger_record(&task.ledger)), -EINVAL);
	assert_sentence("segment 1: its file is missing");
	bad.segment[1] = fds.segment[0];
	assert_int_equal(attempt(&task, ours, &bad, ledger_record(&task.ledger)), -EINVAL);
	assert_sentence("segment 1: the file is not the one");
	bad.segment[1] = loose;
	assert_int_equal(attempt(&task, ours, &bad, ledger_record(&task.ledger)), -EINVAL);
	assert_sentence("segment 1: the file is not sealed");
	bad = fds;
	bad.nr_segments = 1;
	assert_int_equal(attempt(&task, ours, &bad, ledger_record(&task.ledger)), -EINVAL);
	bad = fds;
	bad.control = fds.segment[0];
	assert_int_equal(attempt(&task, ours, &bad, ledger_record(&task.ledger)), -EINVAL);
	assert_sentence("not the control area");
	bad.control = loose;
	assert_int_equal(attempt(&task, ours, &bad, ledger_record(&task.ledger)), -EINVAL);
	close(loose);
	ledger_files_close(&fds);
	pool = resume(&task, 1, 1);
	end(&task, pool, ours);
}

static void without_a_number_nothing_is_taken_over(void **state)
{
	struct task task = {0};
	struct pinion_pool *pool, *ours;
	struct pinion_pool_fds fds;

	(void)state;
	keeper_dies(&task);
	ours = join(&task);
	fds = ledger_files(&task.ledger);
	for (int i = 2; i < LEDGER_MEMBERS; i++)
		task.ledger.page->member[i] = task.ledger.page->member[0];
	assert_int_equal(attempt(&task, ours, &fds, ledger_record(&task.ledger)), -EAGAIN);
	ledger_files_close(&fds);
	task.ledger.page->member[5] = (struct pinion_member_record){0};
	pool = resume(&task, 1, LEDGER_MEMBERS - 2);
	assert_int_equal(pinion_pool_member(pool), 5);
	end(&task, pool, ours);
}

static void who_is_no_keeper_has_nothing_to_record(void **state)
{
	struct pinion_pool_record record;
	struct pinion_member_record member;
	struct pinion_pool *pool = pool_make(64), *peer = pool_join(pool);

	(void)state;
	assert_int_equal(pinion_pool_record(peer, &record), -EPERM);
	assert_int_equal(pinion_pool_watch(peer, note, NULL), -EPERM);
	assert_int_equal(pinion_member_record(INT32_MAX, &member), -ESRCH);
	assert_int_equal(pinion_member_record(getpid(), &member), 0);
	assert_int_equal(member.started, process_started(getpid()));
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(where_nobody_lives_all_comes_back_at_once),
		pool_test(where_nobody_lives_all_is_free_whatever_was_written),
		pool_test(where_nobody_lives_a_single_wrong_word_is_set_right),
		pool_test(where_some_live_the_caller_recovers_the_dead),
		pool_test(a_member_works_on_through_the_deaths_of_its_keepers),
		pool_test(what_members_scribbled_over_the_keepers_part_is_repaired),
		pool_test(a_change_is_made_once_its_record_is_stored_and_not_before),
		pool_test(the_file_of_a_segment_that_went_is_emptied),
		pool_test(the_watch_is_told_before_anybody_sees),
		pool_test(what_cannot_be_stored_is_not_done),
		pool_test(a_number_that_was_not_stored_is_free),
		pool_test(a_goodbye_that_no_keeper_heard_is_not_lost),
		pool_test(a_pid_that_is_used_again_is_another_process),
		pool_test(a_member_that_wrote_down_itself_who_it_is_counts),
		pool_test(a_keeper_killed_as_soon_as_it_was_back_is_followed_by_another),
		pool_test(a_wrong_record_is_refused),
		pool_test(a_record_of_another_pool_is_refused),
		pool_test(wrong_files_are_refused),
		pool_test(without_a_number_nothing_is_taken_over),
		pool_test(who_is_no_keeper_has_nothing_to_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
