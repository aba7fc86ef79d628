/* SPDX-License-Identifier: BSD-3-Clause */
/* populate.h: every page once, who does it, what is told meanwhile, and how it stops. */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "pool_support.h"

#include "populate.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

/*
 * The library's madvise() and pthread_create() are these: they look, and fail where they are
 * told to. Pages of 4 KiB need no reservation, and not even memory when madvise() only pretends.
 */
static struct {
	pthread_mutex_t lock;
	pthread_t caller;
	unsigned char *seen; /* by page of the one memory that is watched: times populated */
	const char *base;
	size_t len;
	int calls, foreign, unblocked, oversized; /* of madvise() */
	int fail_at;                              /* this call fails, counted from 1; 0: none */
	long sleep_us;                            /* and each other one lasts so long */
	int inside;                               /* calls that have begun and not ended */
	int tasks;                                /* as the test begins: a sanitizer has some */
	int threads, refuse_at;                   /* of pthread_create() */
	int cpu, elsewhere;                       /* calls on another processor; -1: any will do */
} spy = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void look(const char *addr, size_t len)
{
	sigset_t mask;

	spy.calls++;
	spy.elsewhere += spy.cpu >= 0 && sched_getcpu() != spy.cpu;
	spy.oversized += len > PINION_HOSTMEM_STEP;
	if (!pthread_equal(pthread_self(), spy.caller)) {
		spy.foreign++;
		pthread_sigmask(SIG_SETMASK, NULL, &mask);
		spy.unblocked += !sigismember(&mask, SIGUSR1) || !sigismember(&mask, SIGINT);
	}
	for (size_t at = 0; spy.seen != NULL && at < len; at += PAGE)
		if (addr + at >= spy.base && addr + at < spy.base + spy.len)
			spy.seen[(size_t)(addr + at - spy.base) / PAGE]++;
}

int madvise(void *addr, size_t len, int advice)
{
	bool fails;

	if (advice != MADV_POPULATE_WRITE)
		return (int)syscall(SYS_madvise, addr, len, advice);
	pthread_mutex_lock(&spy.lock);
	look(addr, len);
	fails = spy.calls == spy.fail_at;
	spy.inside++;
	pthread_mutex_unlock(&spy.lock);
	if (spy.sleep_us && !fails)
		usleep((useconds_t)spy.sleep_us);
	pthread_mutex_lock(&spy.lock);
	spy.inside--;
	pthread_mutex_unlock(&spy.lock);
	errno = EFAULT;
	return fails ? -1 : 0;
}

/* The linker gives every caller this one (--wrap): a sanitizer's own stays where it was. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *),
			  void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *),
			  void *arg)
{
	if (++spy.threads == spy.refuse_at)
		return EAGAIN;
	return __real_pthread_create(thread, attr, f, arg);
}

/* A memory that is only an address: nothing touches it here. */
static struct pinion_hostmem range(size_t len)
{
	void *addr = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(addr != MAP_FAILED);
	return (struct pinion_hostmem){-1, addr, len, PAGE};
}

/* Threads of this process. One that was joined may be listed for a moment longer. */
static int tasks(void)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	int nr = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		nr += entry->d_name[0] != '.';
	closedir(dir);
	return nr;
}

static int reset(void **state)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	(void)state;
	memset(&spy, 0, sizeof(spy));
	spy.lock = lock;
	spy.caller = pthread_self();
	spy.cpu = -1;
	spy.tasks = tasks();
	return support_fds_before(state);
}

static int no_thread_is_left(void **state)
{
	for (int i = 0; i < 1000 && tasks() != spy.tasks; i++)
		usleep(1000);
	return tasks() != spy.tasks || support_fds_after(state);
}

static const struct populate_progress silent;

static void every_page_is_populated_once(void **state)
{
	const size_t lens[] = {PAGE, 63 * MIB, 64 * MIB, 65 * MIB + PAGE, 300 * MIB - PAGE};
	uint32_t failed;

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct pinion_hostmem memory = range(lens[i]);
		const struct populate_job job = {&memory, -1};

		spy.base = memory.addr;
		spy.len = lens[i];
		spy.seen = calloc(lens[i] / PAGE, 1);
		assert_int_equal(populate_jobs(&job, 1, &silent, &failed), 0);
		for (size_t page = 0; page < lens[i] / PAGE; page++)
			assert_int_equal(spy.seen[page], 1);
		assert_int_equal(spy.oversized, 0);
		free(spy.seen);
		assert_int_equal(munmap(memory.addr, memory.len), 0);
	}
}

static void little_memory_needs_no_thread(void **state)
{
	struct pinion_hostmem memory = range(63 * MIB);
	const struct populate_job job = {&memory, 0};
	uint32_t failed;

	(void)state;
	assert_int_equal(populate_jobs(&job, 1, &silent, &failed), 0);
	assert_int_equal(spy.threads, 0);
	assert_int_equal(spy.foreign, 0);
	assert_int_equal(munmap(memory.addr, memory.len), 0);
}

static void much_memory_is_populated_by_workers_that_block_all_signals(void **state)
{
	struct pinion_hostmem memory = range(256 * MIB);
	const struct populate_job job = {&memory, 0};
	cpu_set_t cpus;
	uint32_t failed;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	assert_int_equal(populate_jobs(&job, 1, &silent, &failed), 0);
	assert_int_equal(spy.foreign, spy.calls);
	assert_int_equal(spy.unblocked, 0);
	assert_true(spy.threads >= 1 && spy.threads <= POPULATE_WORKERS);
	if (CPU_COUNT(&cpus) > 1)
		assert_true(spy.threads > 1);
	assert_int_equal(munmap(memory.addr, memory.len), 0);
}

/* Confined to one processor, the caller gets one worker, on that one. */
static void workers_stay_on_the_callers_processors(void **state)
{
	struct pinion_hostmem memory = range(256 * MIB);
	const struct populate_job job = {&memory, -1};
	const int cpu = sched_getcpu();
	cpu_set_t one, was;
	uint32_t failed;

	(void)state;
	assert_true(cpu >= 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned)cpu, &one);
	spy.cpu = cpu;
	assert_int_equal(sched_getaffinity(0, sizeof(was), &was), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(populate_jobs(&job, 1, &silent, &failed), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(was), &was), 0);
	assert_int_equal(spy.threads, 1);
	assert_int_equal(spy.elsewhere, 0);
	assert_int_equal(munmap(memory.addr, memory.len), 0);
}

struct told {
	pthread_t thread;
	uint64_t done, total, last_ns, shortest_ns;
	int calls, elsewhere, backwards;
};

static void tell(void *context, uint64_t done, uint64_t total)
{
	struct told *told = context;
	const uint64_t now = test_now_ns();

	told->elsewhere += !pthread_equal(pthread_self(), told->thread);
	told->backwards += done < told->done || done > total;
	if (told->calls++ > 0 && done < total && now - told->last_ns < told->shortest_ns)
		told->shortest_ns = now - told->last_ns;
	told->done = done;
	told->total = total;
	told->last_ns = now;
}

/* 512 MiB are at least eight pieces; at 100 ms each, two workers need 400 ms or more. */
static void progress_is_told_in_the_callers_thread_and_not_too_often(void **state)
{
	struct told told = {.thread = pthread_self(), .shortest_ns = UINT64_MAX};
	struct pinion_hostmem memory = range(512 * MIB), small = range(PAGE);
	const struct populate_job job[] = {{&memory, 0}, {&small, -1}};
	const struct populate_progress progress = {tell, &told};
	uint32_t failed;

	(void)state;
	spy.sleep_us = 100000;
	assert_int_equal(populate_jobs(job, 2, &progress, &failed), 0);
	assert_int_equal(told.done, 512 * MIB + PAGE);
	assert_int_equal(told.total, 512 * MIB + PAGE);
	assert_true(told.calls >= 4);
	assert_int_equal(told.elsewhere, 0);
	assert_int_equal(told.backwards, 0);
	assert_true(told.shortest_ns >= POPULATE_TICK_NS);

	/* What takes no time is told of once. */
	spy.sleep_us = 0;
	told = (struct told){.thread = pthread_self()};
	assert_int_equal(populate_jobs(&job[1], 1, &progress, &failed), 0);
	assert_int_equal(told.calls, 1);
	assert_int_equal(told.done, PAGE);
	assert_int_equal(munmap(memory.addr, memory.len), 0);
	assert_int_equal(munmap(small.addr, small.len), 0);
}

static void a_worker_that_fails_stops_the_others(void **state)
{
	struct told told = {.thread = pthread_self()};
	struct pinion_hostmem first = range(64 * MIB), second = range(4096 * MIB);
	const struct populate_job job[] = {{&first, -1}, {&second, -1}};
	const struct populate_progress progress = {tell, &told};
	uint32_t failed = 77;

	(void)state;
	/* The others are at theirs for long after that one has failed, however late its thread. */
	spy.sleep_us = 100000;
	spy.fail_at = 1;
	assert_int_equal(populate_jobs(job, 2, &progress, &failed), -ENOMEM);
	assert_int_equal(failed, 0);
	/* Each of the others ends the piece it is at, and may just have taken another. */
	assert_true(spy.calls <= 2 * POPULATE_WORKERS);
	assert_true(told.done < told.total || told.calls == 0);

	spy.calls = 0;
	spy.sleep_us = 1000;
	spy.fail_at = 30;
	assert_int_equal(populate_jobs(job, 2, &progress, &failed), -ENOMEM);
	assert_int_equal(failed, 1);
	assert_int_equal(munmap(first.addr, first.len), 0);
	assert_int_equal(munmap(second.addr, second.len), 0);
}

static void little_memory_that_is_not_there_is_enomem(void **state)
{
	struct pinion_hostmem memory = range(MIB);
	const struct populate_job job[] = {{&memory, -1}, {&memory, -1}, {&memory, -1}};
	uint32_t failed = 77;

	(void)state;
	spy.fail_at = 2;
	assert_int_equal(populate_jobs(job, 3, &silent, &failed), -ENOMEM);
	assert_int_equal(failed, 1);
	assert_int_equal(spy.calls, 2);
	assert_int_equal(munmap(memory.addr, memory.len), 0);
}

/* Neither the first nor a later thread that is refused leaves one behind. */
static void no_thread_to_be_had_is_eagain(void **state)
{
	struct pinion_hostmem memory = range(256 * MIB);
	const struct populate_job job = {&memory, 0};
	uint32_t failed = 77;
	int most;

	(void)state;
	assert_int_equal(populate_jobs(&job, 1, &silent, &failed), 0);
	most = spy.threads;
	for (int i = 1; i <= most; i++) {
		spy.threads = 0;
		spy.refuse_at = i;
		assert_int_equal(populate_jobs(&job, 1, &silent, &failed), -EAGAIN);
		assert_int_equal(failed, 1);
		assert_int_equal(spy.threads, i);
	}
	assert_int_equal(munmap(memory.addr, memory.len), 0);
}

static void *populate_and_end(void *arg)
{
	const struct populate_job job = {arg, 0};
	uint32_t failed = 77;
	void *result = (void *)(intptr_t)populate_jobs(&job, 1, &silent, &failed);

	/* The request was kept, and the way the caller takes cancellation is what it was. */
	pthread_testcancel();
	return result;
}

/* Its wait is a cancellation point; had it taken effect there, workers would be left. */
static void a_cancelled_caller_leaves_no_worker(void **state)
{
	struct pinion_hostmem memory = range(256 * MIB);
	void *result = NULL;
	pthread_t thread;

	(void)state;
	spy.sleep_us = 50000;
	assert_int_equal(pthread_create(&thread, NULL, populate_and_end, &memory), 0);
	usleep(20000);
	assert_int_equal(pthread_cancel(thread), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	/* One that was left would be asleep in its call. */
	pthread_mutex_lock(&spy.lock);
	assert_int_equal(spy.inside, 0);
	pthread_mutex_unlock(&spy.lock);
	assert_int_equal(munmap(memory.addr, memory.len), 0);
}

static void more_bytes_than_can_be_counted_is_eoverflow(void **state)
{
	struct pinion_hostmem memory = {-1, NULL, SIZE_MAX & ~(PAGE - 1), PAGE};
	const struct populate_job job[] = {{&memory, -1}, {&memory, -1}};
	uint32_t failed = 77;

	(void)state;
	assert_int_equal(populate_jobs(job, 2, &silent, &failed), -EOVERFLOW);
	assert_int_equal(failed, 2);
	assert_int_equal(spy.calls, 0);
}

#define populate_test(f) cmocka_unit_test_setup_teardown(f, reset, no_thread_is_left)

static void *nothing(void *arg)
{
	return arg;
}

int main(void)
{
	pthread_t first;
	const struct CMUnitTest tests[] = {
		populate_test(every_page_is_populated_once),
		populate_test(little_memory_needs_no_thread),
		populate_test(much_memory_is_populated_by_workers_that_block_all_signals),
		populate_test(workers_stay_on_the_callers_processors),
		populate_test(progress_is_told_in_the_callers_thread_and_not_too_often),
		populate_test(a_worker_that_fails_stops_the_others),
		populate_test(little_memory_that_is_not_there_is_enomem),
		populate_test(no_thread_to_be_had_is_eagain),
		populate_test(a_cancelled_caller_leaves_no_worker),
		populate_test(more_bytes_than_can_be_counted_is_eoverflow),
	};

	/* With the first thread a sanitizer starts one of its own, which then stays. */
	if (pthread_create(&first, NULL, nothing, NULL) || pthread_join(first, NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
