/* SPDX-License-Identifier: BSD-3-Clause */
#include "inject.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errnos.h"

/* The marks are getpriority() of users that nobody has: harmless, and nobody else's. */
#define MARK_BEGIN 0x70696e01u
#define MARK_END 0x70696e02u
#define MARK_PAUSE 0x70696e03u

/* Longest life of a child in seconds: then it hangs, and SIGALRM ends it. */
#define PATIENCE 20

enum phase { BEFORE, INSIDE, PAUSED, AFTER };

struct tracer {
	const struct inject_plan *plan;
	struct inject_result *result;
	pid_t child;
	pid_t victim; /* the thread whose planned call is under way; 0: none */
	enum phase phase;
};

static void mark(unsigned which)
{
	(void)syscall(SYS_getpriority, PRIO_USER, which);
}

void inject_begin(void)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	/* The tracer sees this stop, and follows from there on. */
	(void)syscall(SYS_tgkill, getpid(), gettid(), SIGSTOP);
	mark(MARK_BEGIN);
}

void inject_end(void)
{
	mark(MARK_END);
}

void inject_pause(void)
{
	mark(MARK_PAUSE);
}

void inject_resume(void)
{
	mark(MARK_BEGIN);
}

static void poke(pid_t thread, size_t reg, long value)
{
	(void)ptrace(PTRACE_POKEUSER, thread, reg, value);
}

/* The planned call is here: what is it to return, and is it still made? */
static void arm(struct tracer *tracer, pid_t thread, const struct __ptrace_syscall_info *info)
{
	struct inject_result *result = tracer->result;
	const long number = (long)info->entry.nr;
	const struct errnos *errnos = errnos_of(number, info->entry.args[1]);

	result->number = number;
	result->name = errnos->name;
	result->len = info->entry.args[2];
	if (tracer->plan->choice >= errnos_nr(errnos))
		return;
	result->injected = 1;
	result->value = errnos->value[tracer->plan->choice];
	tracer->victim = thread;
	if (!errnos->done)
		poke(thread, offsetof(struct user, regs.orig_rax), -1);
}

static void at_entry(struct tracer *tracer, pid_t thread, const struct __ptrace_syscall_info *info)
{
	if (info->entry.nr == SYS_getpriority && info->entry.args[1] == MARK_BEGIN) {
		tracer->phase = INSIDE;
		return;
	}
	if (info->entry.nr == SYS_getpriority && info->entry.args[1] == MARK_PAUSE)
		tracer->phase = PAUSED;
	if (info->entry.nr == SYS_getpriority && info->entry.args[1] == MARK_END)
		tracer->phase = AFTER;
	if (tracer->phase != INSIDE)
		return;
	if (tracer->result->calls++ == tracer->plan->call)
		arm(tracer, thread, info);
}

static void at_syscall(struct tracer *tracer, pid_t thread)
{
	struct __ptrace_syscall_info info = {0};

	if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		at_entry(tracer, thread, &info);
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && thread == tracer->victim) {
		poke(thread, offsetof(struct user, regs.rax), tracer->result->value);
		tracer->victim = 0;
	}
}

/* A stop of one thread; returns the signal that it is to get when it goes on. */
static int at_stop(struct tracer *tracer, pid_t thread, int status)
{
	int sig = WSTOPSIG(status);

	if (sig == (SIGTRAP | 0x80)) {
		at_syscall(tracer, thread);
		return 0;
	}
	/* The child's own in inject_begin(), and that with which each new thread starts. */
	if (sig == SIGSTOP) {
		if (thread == tracer->child)
			(void)ptrace(PTRACE_SETOPTIONS, thread, NULL,
				     PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE |
					     PTRACE_O_EXITKILL);
		return 0;
	}
	return sig == SIGTRAP ? 0 : sig;
}

/* Until the child is gone, and with it each of its threads. */
static int follow(struct tracer *tracer)
{
	for (;;) {
		int status, sig;
		pid_t thread = waitpid(-1, &status, __WALL);

		if (thread < 0 && errno == EINTR)
			continue;
		if (thread < 0)
			return -errno;
		if (WIFSTOPPED(status)) {
			sig = at_stop(tracer, thread, status);
			(void)ptrace(tracer->phase == AFTER ? PTRACE_CONT : PTRACE_SYSCALL, thread,
				     NULL, (void *)(intptr_t)sig);
		} else if (thread == tracer->child) {
			tracer->result->status = status;
			return 0;
		}
	}
}

int inject(const struct inject_plan *plan, void (*body)(void *arg), void *arg,
	   struct inject_result *result)
{
	struct tracer tracer = {.plan = plan, .result = result};

	*result = (struct inject_result){.number = -1};
	(void)fflush(NULL);
	tracer.child = fork();
	if (tracer.child < 0)
		return -errno;
	if (tracer.child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)alarm(PATIENCE);
		body(arg);
		_exit(0);
	}
	return follow(&tracer);
}
