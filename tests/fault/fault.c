/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Each operation, with each of its system calls failing once with each errno it may have, and each
 * of its allocations failing once. Prints TAP, a line for each operation.
 *
 *     fault                      all of them
 *     fault --planted            faults of our own making, each of which must be found
 *     fault --tell [NAME]        a line for each fault as well: what it led to
 *     fault --one NAME MODE WHAT NUMBER CHOICE      the one that a complaint names
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "inject.h"
#include "scene.h"
#include "trial.h"

/* Others may take hugepages while we count them, but hardly each time. */
#define TRIES 5

/* One that is never reached means that an operation goes on without end. */
#define CALLS_MAX 5000

struct count {
	unsigned calls, allocations; /* most seen */
	unsigned faults, survived;   /* survived: the operation succeeded all the same */
	unsigned problems;
	unsigned beside; /* of those, others than the planted mistake */
};

struct run {
	const struct operation *operation;
	struct trial *trial; /* shared with the child */
	struct inject_result result;
	struct count count;
	bool tell;
};

static void child(void *arg)
{
	trial_run(arg);
}

/* A child, and what became of it. False: there can be none. */
static bool try(struct run *run, bool warm, const struct inject_plan *plan, long allocation)
{
	for (int i = 0; i < TRIES; i++) {
		*run->trial = (struct trial){.operation = run->operation, .begin = inject_begin,
					     .end = inject_end, .allocation = allocation,
					     .warm = warm};
		if (inject(plan, child, run->trial, &run->result))
			return false;
		scene_dir_remove(&run->trial->scene);
		if (!run->trial->machine)
			break;
	}
	if (!run->trial->finished)
		(void)snprintf(run->trial->problem, sizeof(run->trial->problem),
			       "the process ended with status %#x", run->result.status);
	return true;
}

static void print_fault(const struct run *run, bool warm, const struct inject_plan *plan,
			long allocation)
{
	const struct trial *trial = run->trial;
	const char *mode = warm ? "warm" : "cold";

	if (allocation >= 0)
		printf("# --one '%s' %s allocation %ld 0: NULL -> ", run->operation->name, mode,
		       allocation);
	else if (plan->call == INJECT_NO_CALL)
		printf("# --one '%s' %s nothing 0 0: -> ", run->operation->name, mode);
	else
		printf("# --one '%s' %s call %u %u: %s = %ld -> ", run->operation->name, mode,
		       plan->call, plan->choice,
		       run->result.name ? run->result.name : "no such call", run->result.value);
	printf("%d '%s'%s%s\n", trial->returned, trial->returned < 0 ? trial->sentence : "",
	       trial->problem[0] ? " PROBLEM: " : "", trial->problem);
}

/* Whether a bare call may say this of that fault: what went wrong, or what its header tells. A
 * count too short is no error of the kernel's, and is -EIO. */
static bool is_documented(const struct operation *operation, int returned, long value)
{
	const int *may = operation->may;

	while (may && *may && *may != returned)
		may++;
	return returned == (value < 0 ? value : -EIO) || (may && *may);
}

static void judge(struct run *run, bool warm, const struct inject_plan *plan, long allocation)
{
	struct trial *trial = run->trial;
	const long value = allocation >= 0 ? -ENOMEM : run->result.value;

	if (run->operation->bare && !trial->problem[0] && trial->returned < 0 &&
	    !is_documented(run->operation, trial->returned, value))
		(void)snprintf(trial->problem, sizeof(trial->problem),
			       "returned %d for %ld, which its header does not tell",
			       trial->returned, value);
	run->count.faults++;
	run->count.survived += !trial->problem[0] && trial->returned == 0;
	run->count.problems += trial->problem[0] != '\0';
	if (trial->problem[0] && run->operation->mistake &&
	    !strstr(trial->problem, run->operation->mistake))
		run->count.beside++;
	if (run->tell || (trial->problem[0] && !run->operation->mistake))
		print_fault(run, warm, plan, allocation);
}

/* What nobody can tell from a good end: that of a file, that of a directory (the C library takes
 * ENOENT for it), and as many bytes as were asked for. */
static bool is_no_fault(const struct inject_result *result)
{
	if (result->number == SYS_getdents64)
		return result->value == -ENOENT;
	if (result->number == SYS_read && result->value == 0)
		return true;
	return result->value > 0 && (unsigned long long)result->value >= result->len;
}

static void all_calls(struct run *run, bool warm)
{
	struct inject_plan plan = {0, 0};

	while (plan.call < CALLS_MAX) {
		if (!try(run, warm, &plan, -1)) {
			run->count.problems++;
			return;
		}
		if (run->result.calls > run->count.calls)
			run->count.calls = run->result.calls;
		if (run->result.number < 0)
			return;
		if (run->result.injected) {
			if (!run->operation->bare || !is_no_fault(&run->result))
				judge(run, warm, &plan, -1);
			plan.choice++;
		} else {
			plan.call++;
			plan.choice = 0;
		}
	}
	run->count.problems++;
}

static void all_allocations(struct run *run, bool warm)
{
	const struct inject_plan none = {INJECT_NO_CALL, 0};
	unsigned nr = 0;

	while (nr < CALLS_MAX && try(run, warm, &none, nr)) {
		/* One that did not come to tell has met its fault. */
		if (run->trial->finished && !run->trial->refused)
			break;
		judge(run, warm, &none, nr++);
		if (nr > run->count.allocations)
			run->count.allocations = nr;
	}
}

/* What does not work undisturbed says nothing about faults. */
static bool works(struct run *run, bool warm)
{
	const struct inject_plan none = {INJECT_NO_CALL, 0};

	if (!try(run, warm, &none, -1)) {
		run->count.problems++;
		return false;
	}
	if (run->trial->problem[0])
		judge(run, warm, &none, -1);
	return !run->trial->problem[0];
}

static void all_faults(struct run *run)
{
	/* The headers have no first steps: all of theirs are met warm. */
	for (int warm = run->operation->bare; warm < 2; warm++) {
		if (!works(run, warm))
			continue;
		all_calls(run, warm);
		all_allocations(run, warm);
	}
}

/* One TAP line. A planted mistake is good when it was found, and none beside it. */
static bool report(const struct run *run, unsigned number)
{
	const struct count *count = &run->count;
	bool good = run->operation->mistake ? count->problems && !count->beside
					    : !count->problems;

	printf("%s %u - %s: %u calls, %u allocations, %u faults: %u refused with a reason, "
	       "%u survived, %u problems\n", good ? "ok" : "not ok", number,
	       run->operation->name, count->calls, count->allocations, count->faults,
	       count->faults - count->survived - count->problems, count->survived,
	       count->problems);
	(void)fflush(stdout);
	return good;
}

struct wish {
	bool planted, tell;
	const char *name; /* NULL: all */
};

static bool wanted(const struct wish *wish, const struct operation *operation)
{
	return !wish->name || !strcmp(wish->name, operation->name);
}

/* Returns how many failed; *@number counts lines. */
static int run_table(const struct operation *table, const struct wish *wish, struct trial *shared,
		     unsigned *number)
{
	int failed = 0;

	for (const struct operation *o = table; o->name; o++) {
		struct run run = {.operation = o, .trial = shared, .tell = wish->tell};
		const char *missing = operation_missing(o);

		if (!wanted(wish, o))
			continue;
		if (missing) {
			printf("ok %u - %s # SKIP %s\n", ++*number, o->name, missing);
			continue;
		}
		all_faults(&run);
		failed += !report(&run, ++*number);
	}
	return failed;
}

static int run_all(const struct wish *wish, struct trial *shared)
{
	unsigned number = 0;
	int failed = 0;

	if (wish->planted)
		failed = run_table(planted_operations, wish, shared, &number);
	else
		for (const struct operation *const *table = operation_tables; *table; table++)
			failed += run_table(*table, wish, shared, &number);
	printf("1..%u\n", number);
	return failed ? 1 : 0;
}

static const struct operation *find(const char *name)
{
	for (const struct operation *const *table = operation_tables; *table; table++)
		for (const struct operation *o = *table; o->name; o++)
			if (!strcmp(o->name, name))
				return o;
	for (const struct operation *o = planted_operations; o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

/* NAME MODE WHAT NUMBER CHOICE */
static int run_one(char **word, struct trial *shared)
{
	struct run run = {.operation = find(word[0]), .trial = shared, .tell = true};
	struct inject_plan plan = {INJECT_NO_CALL, (unsigned)atoi(word[4])};
	bool warm = !strcmp(word[1], "warm");
	long allocation = -1;

	if (!run.operation) {
		(void)fprintf(stderr, "fault: there is no operation '%s'\n", word[0]);
		return 2;
	}
	if (!strcmp(word[2], "call"))
		plan.call = (unsigned)atoi(word[3]);
	else if (!strcmp(word[2], "allocation"))
		allocation = atol(word[3]);
	if (!try(&run, warm, &plan, allocation))
		return 2;
	judge(&run, warm, &plan, allocation);
	return run.count.problems ? 1 : 0;
}

static void nothing(void *arg)
{
	(void)arg;
	inject_begin();
	inject_end();
}

/* Where a process may not trace its own child (a container's filter), there is nothing to see. */
static bool can_trace(void)
{
	const struct inject_plan none = {INJECT_NO_CALL, 0};
	struct inject_result result;

	return !inject(&none, nothing, NULL, &result) && WIFEXITED(result.status);
}

int main(int argc, char **argv)
{
	struct wish wish = {false, false, NULL};
	struct trial *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return 2;
	if (!can_trace()) {
		printf("1..0 # SKIP a process may not trace its child here\n");
		return 0;
	}
	if (argc == 7 && !strcmp(argv[1], "--one"))
		return run_one(&argv[2], shared);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--planted"))
			wish.planted = true;
		else if (!strcmp(argv[i], "--tell"))
			wish.tell = true;
		else
			wish.name = argv[i];
	}
	return run_all(&wish, shared);
}
