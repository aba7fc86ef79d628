/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Each operation under a storm of signals: a timer's, every 100 us, whose handler does nothing and
 * restarts no system call. An operation succeeds or fails cleanly, and it comes to an end. Prints
 * TAP, a line for each operation.
 *
 *     storm           all of them
 *     storm NAME      one
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "scene.h"
#include "trial.h"

#define INTERVAL_US 100

/* Each operation goes on for so long, and never more often. */
#define GUST_NS UINT64_C(400000000)
#define TIMES_MAX 200

/* An operation that makes no progress between two signals never ends. */
#define PATIENCE_MS 15000

/* Shared between this process and the child that is in the storm. */
struct gust {
	struct trial trial;
	const struct operation *operation;
	unsigned times, survived;
	atomic_uint signals;
};

static struct gust *gust;

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void on_signal(int sig)
{
	(void)sig;
	(void)atomic_fetch_add_explicit(&gust->signals, 1, memory_order_relaxed);
}

static void rise(void)
{
	/* The first comes sooner or later, so that short operations are met everywhere. 37 and the
	 * interval have no common factor: all of its microseconds have their turn. */
	const suseconds_t first = 1 + (suseconds_t)gust->times * 37 % INTERVAL_US;
	const struct itimerval often = {{0, INTERVAL_US}, {0, first}};
	const struct sigaction action = {.sa_handler = on_signal};

	(void)sigaction(SIGALRM, &action, NULL);
	(void)setitimer(ITIMER_REAL, &often, NULL);
}

static void settle(void)
{
	const struct itimerval never = {{0, 0}, {0, 0}};

	(void)setitimer(ITIMER_REAL, &never, NULL);
}

/* In the child: again and again, until the time is over or something is wrong. */
static void blow(void)
{
	uint64_t end = now_ns() + GUST_NS;
	struct trial *trial = &gust->trial;

	do {
		*trial = (struct trial){.operation = gust->operation, .begin = rise,
					.end = settle, .allocation = -1,
					.warm = gust->times != 0};
		trial_run(trial);
		gust->times++;
		gust->survived += !trial->problem[0] && trial->returned == 0;
	} while (!trial->problem[0] && gust->times < TIMES_MAX && now_ns() < end);
}

/* Its end within the time limit, or it is ended. */
static void await(pid_t child)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	int status = 0;

	for (int i = 0; i < PATIENCE_MS; i++) {
		if (waitpid(child, &status, WNOHANG) == child) {
			if (status)
				(void)snprintf(gust->trial.problem, sizeof(gust->trial.problem),
					       "the process ended with status %#x", status);
			return;
		}
		(void)nanosleep(&ms, NULL);
	}
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	(void)snprintf(gust->trial.problem, sizeof(gust->trial.problem),
		       "it did not end within %d ms", PATIENCE_MS);
}

static bool gust_of(const struct operation *operation)
{
	pid_t child;

	*gust = (struct gust){.operation = operation};
	(void)fflush(NULL);
	child = fork();
	if (child < 0)
		return false;
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		blow();
		_exit(0);
	}
	await(child);
	scene_dir_remove(&gust->trial.scene);
	return operation->mistake ? strstr(gust->trial.problem, operation->mistake) != NULL
				  : !gust->trial.problem[0];
}

/* Hugepages that others took or gave back meanwhile are no fault, and hardly so each time. */
#define TRIES 5

static bool weather(const struct operation *operation)
{
	bool good = false;

	for (int i = 0; !good && i < TRIES; i++) {
		good = gust_of(operation);
		if (!gust->trial.machine)
			break;
	}
	return good;
}

/* More small pages than can be had between two signals: 64 MiB take some 20 ms. */
static int create_large(struct scene *scene)
{
	struct pinion_pool_config config = scene_config();

	config.nr_segments = 1;
	config.segment[0] =
		(struct pinion_segment_config){(size_t)64 << 20, 4096, 4096, PINION_NODE_ANY};
	return pinion_pool_create(&config, &scene->pool);
}

/* A mistake of our own making: a storm that does not find it would find nothing. */
static int wait_badly(struct scene *scene)
{
	KEEP_ERRNO;

	(void)scene;
	return poll(NULL, 0, 2) ? -errno : 0;
}

static const struct operation own_operations[] = {
	{.name = "pool create, 64 MiB of small pages", .run = create_large,
	 .undo = scene_pool_close},
	{.name = "planted: an interrupted wait is not told", .run = wait_badly,
	 .mistake = "without a sentence"},
	{0},
};

static int run_table(const struct operation *table, const char *name, unsigned *number)
{
	int failed = 0;

	for (const struct operation *o = table; o->name; o++) {
		const char *missing = operation_missing(o);
		bool good;

		if (name && strcmp(name, o->name) != 0)
			continue;
		if (missing) {
			printf("ok %u - %s # SKIP %s\n", ++*number, o->name, missing);
			continue;
		}
		good = weather(o);
		if (!good)
			printf("# %s: %s\n", o->name, gust->trial.problem);
		printf("%s %u - %s: %u times, %u signals: %u succeeded, %u failed cleanly\n",
		       good ? "ok" : "not ok", ++*number, o->name, gust->times,
		       atomic_load_explicit(&gust->signals, memory_order_relaxed),
		       gust->survived, gust->times - gust->survived);
		failed += !good;
	}
	return failed;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	unsigned number = 0;
	int failed = 0;

	gust = mmap(NULL, sizeof(*gust), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (gust == MAP_FAILED)
		return 2;
	for (const struct operation *const *table = operation_tables; *table; table++)
		failed += run_table(*table, name, &number);
	failed += run_table(own_operations, name, &number);
	printf("1..%u\n", number);
	return failed ? 1 : 0;
}
