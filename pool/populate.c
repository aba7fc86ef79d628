/* SPDX-License-Identifier: BSD-3-Clause */
#include "populate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <pinion/pool.h>

#include "sysfs.h"

struct work;

/* The workers of one node, and how far they have got in that node's jobs. */
struct crew {
	struct work *work;
	int node;
	uint32_t nr_workers;
	cpu_set_t cpus; /* where they run; none: wherever the caller may */
	uint32_t job;   /* the next piece is of this job, */
	size_t off;     /* from here */
};

/* The lock guards all that changes: off and job of the crews, running, done, err and failed. */
struct work {
	pthread_mutex_t lock;
	pthread_cond_t ended; /* running fell to 0 */
	const struct populate_job *job;
	uint32_t nr, nr_crews;
	struct crew crew[PINION_SEGMENT_MAX];
	int home; /* the node of jobs that name none */
	uint32_t running;
	uint64_t done, total;
	int err; /* the first */
	uint32_t failed;
};

struct piece {
	uint32_t job;
	size_t off, len;
};

static int node_of(const struct work *work, uint32_t job)
{
	return work->job[job].node < 0 ? work->home : work->job[job].node;
}

/*
 * How much of @left the next worker takes: half of its share, so that all end at about the same
 * time; at most what one system call should do, at least a page and what is worth a call.
 */
static size_t share(const struct crew *crew, size_t left, size_t page_size)
{
	size_t least = page_size > POPULATE_LEAST ? page_size : POPULATE_LEAST;
	size_t len = left / (2 * crew->nr_workers);

	if (len > PINION_HOSTMEM_STEP)
		len = PINION_HOSTMEM_STEP;
	len -= len % page_size;
	if (len < least)
		len = least;
	return len < left ? len : left;
}

/* The next piece of this crew's jobs. pre: the lock is held. */
static bool take(struct crew *crew, struct piece *piece)
{
	const struct work *work = crew->work;

	for (; crew->job < work->nr; crew->job++, crew->off = 0) {
		const struct pinion_hostmem *memory = work->job[crew->job].memory;
		size_t left = memory->len - crew->off;

		if (!left || node_of(work, crew->job) != crew->node)
			continue;
		piece->job = crew->job;
		piece->off = crew->off;
		piece->len = share(crew, left, memory->page_size);
		crew->off += piece->len;
		return true;
	}
	return false;
}

/* pre: the lock is held. */
static void note(struct work *work, const struct piece *piece, int err)
{
	if (!err) {
		work->done += piece->len;
	} else if (!work->err) {
		work->err = err;
		work->failed = piece->job;
	}
}

static void *worker(void *arg)
{
	struct crew *crew = arg;
	struct work *work = crew->work;
	struct piece piece;

	/* Only for speed: a cpuset may forbid it, and the policies place the pages all the same. */
	if (CPU_COUNT(&crew->cpus))
		(void)sched_setaffinity(0, sizeof(crew->cpus), &crew->cpus);
	pthread_mutex_lock(&work->lock);
	while (!work->err && take(crew, &piece)) {
		int err;

		pthread_mutex_unlock(&work->lock);
		err = pinion_hostmem_populate(work->job[piece.job].memory, piece.off, piece.len);
		pthread_mutex_lock(&work->lock);
		note(work, &piece, err);
	}
	if (!--work->running)
		pthread_cond_signal(&work->ended);
	pthread_mutex_unlock(&work->lock);
	return NULL;
}

/* None for a node of memory alone, and for one that sysfs does not tell of. */
static void read_cpus(int node, cpu_set_t *cpus)
{
	char path[64], list[SYSFS_MAX];
	const char *at = list;
	unsigned long first, last;

	CPU_ZERO(cpus);
	(void)snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node);
	if (!sysfs_read(path, list, sizeof(list)))
		return;
	while (sysfs_range(&at, &first, &last))
		for (unsigned long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
			CPU_SET(cpu, cpus);
}

/*
 * The caller's processors that belong to @node, else all of that node's. Who confined the caller
 * to some processors wants its workers there, too: where the caller runs must be known, which it
 * is not on a machine of more than CPU_SETSIZE processors (sched_getaffinity(2), EINVAL).
 */
static void choose_cpus(int node, cpu_set_t *cpus)
{
	cpu_set_t mine, both;

	CPU_ZERO(cpus);
	if (node < 0 || sched_getaffinity(0, sizeof(mine), &mine))
		return;
	read_cpus(node, cpus);
	CPU_AND(&both, &mine, cpus);
	if (CPU_COUNT(&both))
		*cpus = both;
}

static void gather_crew(struct work *work, int node)
{
	struct crew *crew = &work->crew[work->nr_crews];
	uint32_t nr;

	for (uint32_t i = 0; i < work->nr_crews; i++)
		if (work->crew[i].node == node)
			return;
	crew->work = work;
	crew->node = node;
	choose_cpus(node, &crew->cpus);
	nr = (uint32_t)CPU_COUNT(&crew->cpus);
	if (!nr)
		nr = 1;
	crew->nr_workers = nr < POPULATE_WORKERS ? nr : POPULATE_WORKERS;
	work->nr_crews++;
}

/* The caller's own node, to keep what names no node together, as one touching thread would. */
static int home_node(void)
{
	unsigned node;

	return getcpu(NULL, &node) ? -1 : (int)node;
}

static int start(struct crew *crew, pthread_t *thread)
{
	struct work *work = crew->work;
	int err;

	pthread_mutex_lock(&work->lock);
	work->running++;
	pthread_mutex_unlock(&work->lock);
	err = pthread_create(thread, NULL, worker, crew);
	if (!err)
		return 0;
	pthread_mutex_lock(&work->lock);
	work->running--;
	if (!work->err)
		work->err = -err;
	pthread_mutex_unlock(&work->lock);
	return -err;
}

/* Until the last worker is done; tells of progress meanwhile, but not of the end. */
static void watch(struct work *work, const struct populate_progress *progress)
{
	pthread_mutex_lock(&work->lock);
	while (work->running) {
		struct timespec until;
		uint64_t done;
		int err = 0;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += POPULATE_TICK_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		while (work->running && !err)
			err = pthread_cond_timedwait(&work->ended, &work->lock, &until);
		done = work->done;
		if (!work->running || !progress->call)
			continue;
		pthread_mutex_unlock(&work->lock);
		progress->call(progress->context, done, work->total);
		pthread_mutex_lock(&work->lock);
	}
	pthread_mutex_unlock(&work->lock);
}

/* Workers inherit the mask they are born with: no signal of the program's is ever theirs. */
static void run(struct work *work, const struct populate_progress *progress)
{
	pthread_t thread[PINION_SEGMENT_MAX * POPULATE_WORKERS];
	uint32_t nr = 0;
	sigset_t all, mask;
	int err = 0;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &mask);
	for (uint32_t i = 0; i < work->nr_crews; i++)
		for (uint32_t w = 0; !err && w < work->crew[i].nr_workers; w++) {
			err = start(&work->crew[i], &thread[nr]);
			nr += !err;
		}
	(void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
	watch(work, progress);
	while (nr)
		(void)pthread_join(thread[--nr], NULL);
}

static void populate_together(struct work *work, const struct populate_progress *progress)
{
	pthread_condattr_t attr;
	int state;

	/* A wait and a join are cancellation points, and no worker may outlive the call. */
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	/* On Linux these initialise memory and cannot fail. */
	(void)pthread_mutex_init(&work->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&work->ended, &attr);
	work->home = home_node();
	for (uint32_t i = 0; i < work->nr; i++)
		gather_crew(work, node_of(work, i));
	run(work, progress);
	(void)pthread_cond_destroy(&work->ended);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_destroy(&work->lock);
	(void)pthread_setcancelstate(state, NULL);
}

static void populate_alone(struct work *work)
{
	for (uint32_t i = 0; i < work->nr && !work->err; i++) {
		const struct pinion_hostmem *memory = work->job[i].memory;
		struct piece piece = {i, 0, memory->len};

		note(work, &piece, pinion_hostmem_populate(memory, 0, memory->len));
	}
}

int populate_jobs(const struct populate_job *job, uint32_t nr,
		  const struct populate_progress *progress, uint32_t *failed)
{
	struct work work = {.job = job, .nr = nr, .failed = nr};

	*failed = nr;
	for (uint32_t i = 0; i < nr; i++)
		if (__builtin_add_overflow(work.total, job[i].memory->len, &work.total))
			return -EOVERFLOW;
	if (work.total < POPULATE_ALONE)
		populate_alone(&work);
	else
		populate_together(&work, progress);
	*failed = work.failed;
	if (!work.err && progress->call)
		progress->call(progress->context, work.total, work.total);
	return work.err;
}
