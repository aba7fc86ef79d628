/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking over a named pool: whatever its keeper was doing when it was killed, the next one finds
 * a pool that is whole; and with its record the members as well. Keepers are children of the test,
 * which end without a word.
 */

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include <pinion/named.h>

#include "huge_support.h"

#include "ledger_support.h"
#include "make.h"
#include "member.h"
#include "named.h"
#include "process.h"
#include "slot.h"

static char root[SUPPORT_PATH_LEN]; /* a hugetlbfs of this process's own mount namespace */
static char path[2 * SUPPORT_PATH_LEN];

static struct pinion_segment_config huge_segment(size_t size)
{
	return (struct pinion_segment_config){HUGE, size, HUGE, PINION_NODE_ANY};
}

static struct pinion_pool_config config_of(uint32_t nr_segments)
{
	struct pinion_pool_config config = {
		.path = path, .nr_segments = nr_segments, .max_segments = 2, .nr_members = 4};

	for (uint32_t i = 0; i < nr_segments; i++)
		config.segment[i] = huge_segment(4096);
	return config;
}

static struct pinion_pool *make(uint32_t nr_segments)
{
	const struct pinion_pool_config config = config_of(nr_segments);

	return pool_make_from(&config);
}

static struct pinion_pool *adopt(struct pinion_adoption *adoption)
{
	struct pinion_pool *pool = NULL;
	const int err = pinion_pool_adopt(path, &pool, adoption);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return pool;
}

static void end(struct pinion_pool *pool)
{
	assert_int_equal(pinion_pool_destroy(pool), 0);
	assert_int_equal(pinion_pool_unlink(path), 0);
}

static void how_long_its_control_area_is_can_be_told_before(void **state)
{
	const struct pinion_pool_config config = config_of(2);
	const size_t len = make_control_len(&config);
	struct pinion_pool *pool = make(2);

	(void)state;
	assert_true(len > 0);
	assert_int_equal((len + HUGE - 1) / HUGE * HUGE, pool->control.len);
	end(pool);
}

/* Children: a keeper that is gone when its function returns. */

static int hold_some(void *arg)
{
	struct pinion_pool *pool = make(2);
	struct pinion_cache *cache = cache_make(pool, 4096);
	struct pinion_buffer buffer[100];

	(void)arg;
	take(cache, buffer, 100);
	give(cache, buffer, 30);
	return 0;
}

static void what_a_killed_keeper_held_comes_back(void **state)
{
	struct pinion_adoption adoption = {0};
	struct pinion_pool *pool;

	(void)state;
	assert_int_equal(support_child(hold_some, NULL), 0);
	pool = adopt(&adoption);
	assert_int_equal(adoption.dead, 1);
	assert_int_equal(adoption.living, 0);
	assert_int_equal(adoption.recovery.returned, 70);
	assert_pool_whole(pool);
	end(pool);
}

/* The control area as the next keeper will find it. */
static struct control *map_stored(size_t *len)
{
	const int fd = open(support_path(path, NAMED_CONTROL), O_RDWR | O_CLOEXEC);
	struct stat status;
	void *addr;

	assert_int_equal(fstat(fd, &status), 0);
	*len = (size_t)status.st_size;
	addr = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(addr != MAP_FAILED);
	close(fd);
	return addr;
}

/* Nobody has it locked: a lock that stayed would be -EBUSY at the next bit. */
static void a_named_pool_of_another_layout_is_eproto_and_left_alone(void **state)
{
	struct pinion_adoption adoption = {0};
	struct pinion_pool *pool = NULL;
	struct control *control;
	size_t len;
	void *was;

	(void)state;
	assert_int_equal(support_child(hold_some, NULL), 0);
	control = map_stored(&len);
	was = malloc(len);
	assert_non_null(was);
	for (int bit = 0; bit < 64; bit++) {
		control->stamp ^= UINT64_C(1) << bit;
		memcpy(was, control, len);
		assert_int_equal(pinion_pool_adopt(path, &pool, &adoption), -EPROTO);
		assert_sentence("use the same release");
		assert_null(pool);
		assert_memory_equal(control, was, len);
		assert_int_equal(access(support_path(path, "0"), F_OK), 0);
		control->stamp ^= UINT64_C(1) << bit;
	}
	free(was);
	assert_int_equal(munmap(control, len), 0);
	pool = adopt(&adoption);
	assert_int_equal(adoption.recovery.returned, 70);
	assert_pool_whole(pool);
	end(pool);
}

/* As far as grow() comes before it publishes the slot. */
static int grow_half(void *arg)
{
	struct pinion_pool *pool = make(1);
	const struct pinion_segment_config config = huge_segment(4096);
	const struct make_order order = {
		.config = &config, .first = 1, .nr = 1, .name = "test", .named = pool->named};
	struct made made;

	if (make_segments(pool, &order, &made))
		return 1;
	if (*(const bool *)arg) {
		pool_lock(pool);
		return make_place(pool, 1, &made) ? 1 : 0;
	}
	return 0;
}

static void grow_again(void)
{
	const struct pinion_segment_config config = huge_segment(4096);
	struct pinion_pool *pool = adopt(NULL);
	uint32_t slot = 77;
	int err;

	assert_int_equal(access(support_path(path, "1"), F_OK), -1);
	assert_pool_whole(pool);
	err = pinion_pool_grow(pool, &config, &slot);
	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	assert_int_equal(slot, 1);
	assert_int_equal(pool_total(pool), 2 * HUGE / 4096);
	assert_pool_whole(pool);
	end(pool);
}

static void a_keeper_killed_while_it_grows_leaves_nothing_in_the_way(void **state)
{
	(void)state;
	for (int placed = 0; placed < 2; placed++) {
		bool arg = placed;

		assert_int_equal(support_child(grow_half, &arg), 0);
		grow_again();
	}
}

/* As far as retire() comes before it gives the memory back. */
static int retire_half(void *arg)
{
	struct pinion_pool *pool = make(2);
	const struct depot_range range = depot_range(pool, 1);

	(void)arg;
	pool_lock(pool);
	make_publish(pool, 1, SLOT_RETIRING);
	depot_seize(pool, &range);
	make_publish(pool, 1, SLOT_GONE);
	return 0;
}

static void a_keeper_killed_while_it_retires_leaves_nothing_in_the_way(void **state)
{
	(void)state;
	assert_int_equal(support_child(retire_half, NULL), 0);
	grow_again();
}

/* Of three numbers one is @arg's, a process that lives; two are this one's, which soon ends. */
static int fill(void *arg)
{
	struct pinion_pool_config config = config_of(1);
	struct pinion_pool *pool;
	uint32_t member;

	config.nr_members = 3;
	pool = pool_make_from(&config);
	return pinion_pool_admit(pool, *(const pid_t *)arg, &member) ||
	       pinion_pool_admit(pool, getpid(), &member);
}

/* Then it is no pool that is not there, which -ENOENT says, and which one makes. */
static void a_pool_whose_file_is_missing_is_einval_and_not_enoent(void **state)
{
	struct pinion_pool *pool = NULL;
	char file[sizeof(path) + 2], aside[sizeof(path) + 8];

	(void)state;
	assert_int_equal(support_child(hold_some, NULL), 0);
	(void)snprintf(file, sizeof(file), "%s/1", path);
	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(rename(file, aside), 0);
	assert_int_equal(pinion_pool_adopt(path, &pool, NULL), -EINVAL);
	assert_sentence("pool/1: the file of this segment is missing");
	assert_null(pool);
	assert_int_equal(rename(aside, file), 0);
	pool = adopt(NULL);
	assert_int_equal(pool_total(pool), 2 * HUGE / 4096);
	assert_pool_whole(pool);
	end(pool);
	assert_int_equal(pinion_pool_adopt(path, &pool, NULL), -ENOENT);
}

static pid_t start_idler(void)
{
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (pid == 0)
		pause();
	return pid;
}

static void a_pool_full_of_the_dead_is_adopted_once_none_of_it_lives(void **state)
{
	struct pinion_adoption adoption = {0};
	struct pinion_pool *pool = NULL;
	pid_t pid = start_idler();

	(void)state;
	assert_int_equal(support_child(fill, &pid), 0);
	assert_int_equal(pinion_pool_adopt(path, &pool, &adoption), -EAGAIN);
	assert_sentence("2 of them are dead, and 1 lives: end all that live");
	assert_null(pool);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	pool = adopt(&adoption);
	assert_int_equal(adoption.dead, 3);
	assert_int_equal(adoption.living, 0);
	assert_pool_whole(pool);
	end(pool);
}

/* With a record, and this process as a member: what the next keeper goes by. */

#define OURS 1

struct task {
	struct ledger ledger;
	bool retires; /* rather than grows */
	int stores;   /* so many records before it is killed in the watch; -1: not there */
};

static int store_or_die(void *context, uint32_t slot, int fd,
			const struct pinion_pool_record *record)
{
	struct task *task = context;

	if (task->stores-- == 0)
		(void)kill(getpid(), SIGKILL);
	return ledger_store(&task->ledger, slot, fd, record);
}

static int keep(void *arg)
{
	const struct pinion_segment_config config = huge_segment(4096);
	const pid_t parent = getppid();
	struct task *task = arg;
	struct pinion_pool *pool = make(task->retires ? 2 : 1);
	struct pinion_cache *cache = cache_make(pool, 4096);
	struct pinion_buffer held;
	uint32_t member, slot;

	if (ledger_store_pool(&task->ledger, pool) ||
	    pinion_pool_watch(pool, store_or_die, task) ||
	    pinion_pool_admit(pool, parent, &member) || member != OURS ||
	    pinion_member_record(parent, &task->ledger.page->member[OURS]))
		return 1;
	if (task->retires)
		(void)(pinion_cache_close(cache) || pinion_pool_retire(pool, 1));
	else if (pinion_buffer_alloc(cache, &held) || pinion_pool_grow(pool, &config, &slot))
		return 2;
	(void)kill(getpid(), SIGKILL);
	return 3;
}

static struct pinion_pool *keeper_dies(struct task *task)
{
	struct pinion_pool *ours = NULL;
	struct pinion_pool_fds fds;

	assert_int_equal(ledger_open(&task->ledger), 0);
	assert_int_equal(support_child(keep, task), 128 + SIGKILL);
	ledger_collect(&task->ledger);
	fds = ledger_files(&task->ledger);
	assert_int_equal(pinion_pool_attach(&fds, OURS, &ours), 0);
	return ours;
}

static int try_to_resume(struct task *task, struct pinion_pool **pool,
			 struct pinion_adoption *adoption)
{
	return pinion_pool_resume_named(path, ledger_record(&task->ledger),
					task->ledger.page->member, pool, adoption);
}

static struct pinion_pool *resume(struct task *task)
{
	struct pinion_adoption adoption = {0};
	struct pinion_pool *pool = NULL;
	const int err = try_to_resume(task, &pool, &adoption);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	assert_int_equal(adoption.living, 1);
	assert_int_equal(adoption.dead, 1);
	assert_int_equal(pinion_pool_recover(pool, 0, NULL, 0, NULL), 0);
	assert_int_equal(pinion_pool_release(pool, 0, NULL), 0);
	return pool;
}

static void end_both(struct task *task, struct pinion_pool *pool, struct pinion_pool *ours)
{
	assert_int_equal(pinion_pool_detach(ours), 0);
	ledger_close(&task->ledger);
	end(pool);
}

/* To nobody, for its keeper is gone; its process lives on. */
static void who_said_goodbye_counts_as_dead(void **state)
{
	struct pinion_adoption adoption = {0};
	struct task task = {.stores = -1};
	struct pinion_pool *ours = keeper_dies(&task), *pool;

	(void)state;
	member_leave(ours, 4711);
	assert_int_equal(pinion_pool_detach(ours), 0);
	ledger_close(&task.ledger);
	pool = adopt(&adoption);
	assert_int_equal(adoption.dead, 2);
	assert_int_equal(adoption.living, 0);
	assert_pool_whole(pool);
	end(pool);
}

static void by_its_record_a_pool_is_had_back_whatever_members_wrote_over_it(void **state)
{
	struct task task = {.stores = -1};
	struct pinion_pool *ours = keeper_dies(&task), *pool;
	struct pinion_cache *cache = cache_make(ours, 4096);
	struct pinion_buffer mine[10];

	(void)state;
	take(cache, mine, 10);
	memset(ours->shared, 0x5a, sizeof(*ours->shared));
	ours->members[OURS].state = MEMBER_FREE;
	ours->members[3].state = MEMBER_LIVE;
	pool = resume(&task);
	assert_int_equal(pinion_pool_member(pool), 2);
	assert_int_equal(pool->members[OURS].state, MEMBER_LIVE);
	assert_int_equal(pool->members[3].state, MEMBER_FREE);
	assert_int_equal(pinion_pool_held(pool, OURS), 10);
	assert_int_equal(pool_total(pool), 2 * HUGE / 4096);
	give(cache, mine, 10);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
	end_both(&task, pool, ours);
}

/* So many records stored before the kill, and what becomes of segment 1 then. */
static void killed_after(bool retires, int stores, enum slot_state becomes)
{
	struct task task = {.retires = retires, .stores = stores};
	struct pinion_pool *ours = keeper_dies(&task), *pool = resume(&task);
	const bool stands = becomes == SLOT_LIVE || becomes == SLOT_RETIRING;
	const struct pinion_segment_config config = huge_segment(4096);
	uint32_t slot = 77;

	assert_int_equal(slot_state_of(pool->state[1]), becomes);
	assert_int_equal(access(support_path(path, "1"), F_OK), stands ? 0 : -1);
	(void)slot_sync(ours);
	if (stands)
		assert_int_equal(pinion_pool_retire(pool, 1), 0);
	(void)slot_sync(ours);
	assert_int_equal(pinion_pool_grow(pool, &config, &slot), 0);
	assert_int_equal(slot, 1);
	assert_pool_whole(pool);
	end_both(&task, pool, ours);
}

static void a_change_of_a_named_pool_is_made_once_its_record_is_stored(void **state)
{
	(void)state;
	killed_after(false, 0, SLOT_ABSENT);
	killed_after(false, 1, SLOT_LIVE);
	killed_after(true, 0, SLOT_LIVE);
	killed_after(true, 1, SLOT_RETIRING);
	killed_after(true, 2, SLOT_GONE);
	killed_after(true, 3, SLOT_GONE);
}

static void a_pool_that_is_not_that_of_the_record_is_left_alone(void **state)
{
	struct task task = {.stores = -1};
	struct pinion_pool *ours = keeper_dies(&task), *pool = NULL, *other;

	(void)state;
	other = adopt(NULL);
	assert_int_equal(try_to_resume(&task, &pool, NULL), -EBUSY);
	end(other);
	assert_int_equal(try_to_resume(&task, &pool, NULL), -ENOENT);
	other = make(1);
	assert_int_equal(pinion_pool_destroy(other), 0);
	assert_int_equal(try_to_resume(&task, &pool, NULL), -EINVAL);
	other = adopt(NULL);
	assert_pool_whole(other);
	end_both(&task, other, ours);
}

static void a_pool_is_not_had_back_while_a_file_of_its_record_is_missing(void **state)
{
	static const char *const what[] = {NAMED_CONTROL, "0"};
	struct task task = {.stores = -1};
	struct pinion_pool *ours = keeper_dies(&task), *pool = NULL;
	char file[sizeof(path) + 16], aside[sizeof(path) + 16];

	(void)state;
	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	for (size_t i = 0; i < sizeof(what) / sizeof(*what); i++) {
		(void)snprintf(file, sizeof(file), "%s/%s", path, what[i]);
		assert_int_equal(rename(file, aside), 0);
		assert_int_equal(try_to_resume(&task, &pool, NULL), -EINVAL);
		assert_sentence(file);
		assert_sentence("is missing");
		assert_null(pool);
		assert_int_equal(rename(aside, file), 0);
	}
	end_both(&task, resume(&task), ours);
}

static void *wait_for_a_word(void *arg)
{
	char word;

	_exit(read(*(const int *)arg, &word, 1) == 1 ? 0 : 1);
}

/* A child whose first thread is gone; the other ends with the first byte that comes. */
static pid_t headless(int way[2])
{
	pthread_t thread;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (pthread_create(&thread, NULL, wait_for_a_word, &way[0]))
			_exit(2);
		pthread_exit(NULL);
	}
	return pid;
}

/* As proc_stat(5) shows it, field 3. */
static char state_of(pid_t pid)
{
	char name[64], state = 0;
	FILE *file;

	(void)snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	file = fopen(name, "re");
	assert_non_null(file);
	(void)!fscanf(file, "%*d %*s %c", &state);
	fclose(file);
	return state;
}

/* Another than its first: the number of no process. */
static pid_t thread_of(pid_t pid)
{
	char name[64];
	const struct dirent *entry;
	pid_t thread = 0;
	DIR *dir;

	(void)snprintf(name, sizeof(name), "/proc/%d/task", (int)pid);
	dir = opendir(name);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (atoi(entry->d_name) && atoi(entry->d_name) != pid)
			thread = atoi(entry->d_name);
	closedir(dir);
	assert_true(thread > 0);
	return thread;
}

static void a_process_without_its_first_thread_lives(void **state)
{
	int way[2], status = -1;
	uint64_t started;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(way), 0);
	pid = headless(way);
	started = process_started(pid);
	while (state_of(pid) != 'Z')
		usleep(1000);
	assert_true(process_lives(pid, started));
	assert_int_equal(process_open(thread_of(pid), 0), -ESRCH);
	assert_int_equal(write(way[1], "", 1), 1);
	/* Dead, but not yet waited for. */
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_false(process_lives(pid, started));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(process_lives(pid, started));
	close(way[0]);
	close(way[1]);
}

/* A mount of our own, which goes with this process however it ends. */
static int mount_root(void)
{
	support_dir_create(root);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/pool", root);
	return mount("none", root, "hugetlbfs", 0, "pagesize=2M");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		huge_test(a_process_without_its_first_thread_lives),
		huge_test(how_long_its_control_area_is_can_be_told_before),
		huge_test(what_a_killed_keeper_held_comes_back),
		huge_test(who_said_goodbye_counts_as_dead),
		huge_test(a_named_pool_of_another_layout_is_eproto_and_left_alone),
		huge_test(a_pool_whose_file_is_missing_is_einval_and_not_enoent),
		huge_test(a_pool_full_of_the_dead_is_adopted_once_none_of_it_lives),
		huge_test(a_keeper_killed_while_it_grows_leaves_nothing_in_the_way),
		huge_test(a_keeper_killed_while_it_retires_leaves_nothing_in_the_way),
		huge_test(by_its_record_a_pool_is_had_back_whatever_members_wrote_over_it),
		huge_test(a_change_of_a_named_pool_is_made_once_its_record_is_stored),
		huge_test(a_pool_that_is_not_that_of_the_record_is_left_alone),
		huge_test(a_pool_is_not_had_back_while_a_file_of_its_record_is_missing),
	};
	int status;

	if (huge_count().free - huge_count().promised < 8)
		return support_skip("fewer than 8 hugepages of 2 MiB are free");
	if (mount_root() == 0) {
		status = cmocka_run_group_tests(tests, NULL, NULL);
		umount(root);
	} else {
		status = support_skip("cannot mount hugetlbfs: needs root");
	}
	rmdir(root);
	return status;
}
