/* SPDX-License-Identifier: BSD-3-Clause */
#include "hunt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared.h"
#include "step.h"
#include "tap.h"

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC | \
		 PTRACE_O_EXITKILL)

/* So long without a stop, and asleep, not only waiting for its turn on a busy machine: it has
 * nothing to do. */
#define IDLE_NS 15000000

/* So long, and it hangs, or never comes. */
#define PATIENCE_NS UINT64_C(20000000000)

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* 0: nothing within @ns; else as waitpid(2) has it. SIGCHLD is blocked, see hunt_open(). */
static pid_t await(pid_t pid, int *status, uint64_t ns)
{
	const uint64_t until = now_ns() + ns;
	const struct timespec nap = {0, 5000000};
	sigset_t set;
	pid_t got;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (!(got = waitpid(pid, status, WNOHANG | __WALL)) && now_ns() < until)
		(void)sigtimedwait(&set, NULL, &nap);
	return got;
}

static int event_of(int status)
{
	return status >> 16;
}

static void resume(pid_t pid, enum __ptrace_request how, int signal)
{
	if (ptrace(how, pid, NULL, (void *)(uintptr_t)signal) && errno != ESRCH)
		tap_bail("ptrace: %s", strerror(errno));
}

/* To its next stop that @how leads to; signals pass. */
static enum stop run(struct hunt *hunt, enum __ptrace_request how, bool (*over)(void *arg),
		     void *arg)
{
	const int wanted = how == PTRACE_SYSCALL ? SIGTRAP | 0x80 : SIGTRAP;
	int status = 0, signal = 0;

	for (;;) {
		const uint64_t until = now_ns() + PATIENCE_NS;
		pid_t got;

		resume(hunt->service, how, signal);
		while (!(got = await(hunt->service, &status, IDLE_NS)))
			if (over(arg) && step_sleeps(hunt->service))
				return STOP_IDLE;
			else if (now_ns() > until)
				tap_bail("neither a stop of the service, nor an end");
		if (got < 0 || !WIFSTOPPED(status))
			return STOP_GONE;
		if (WSTOPSIG(status) == wanted && !event_of(status))
			return STOP_HERE;
		signal = event_of(status) || WSTOPSIG(status) == SIGTRAP ||
				 WSTOPSIG(status) == (SIGTRAP | 0x80)
				 ? 0
				 : WSTOPSIG(status);
	}
}

enum stop hunt_call(struct hunt *hunt, bool (*over)(void *arg), void *arg)
{
	return run(hunt, PTRACE_SYSCALL, over, arg);
}

enum stop hunt_step(struct hunt *hunt, bool (*over)(void *arg), void *arg)
{
	return run(hunt, PTRACE_SINGLESTEP, over, arg);
}

bool hunt_at_call(const struct hunt *hunt)
{
	struct user_regs_struct regs;
	long word;

	if (ptrace(PTRACE_GETREGS, hunt->service, NULL, &regs))
		return false;
	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, hunt->service, (void *)regs.rip, NULL);
	return !errno && (word & 0xffff) == 0x050f; /* syscall */
}

/* In one already: it stands where it entered it. */
static bool in_call(const struct hunt *hunt)
{
	struct __ptrace_syscall_info info;

	return ptrace(PTRACE_GET_SYSCALL_INFO, hunt->service, (void *)sizeof(info), &info) > 0 &&
	       info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

/* A stop that is certain to come soon: of an instruction that is no system call, or of one behind
 * it. Nobody looks at the clock meanwhile, there are millions of them. */
static enum stop await_trap(struct hunt *hunt, enum __ptrace_request how)
{
	int status, signal = 0;

	do {
		resume(hunt->service, how, signal);
		if (waitpid(hunt->service, &status, __WALL) < 0 || !WIFSTOPPED(status))
			return STOP_GONE;
		signal = event_of(status) ? 0 : WSTOPSIG(status);
	} while (signal != SIGTRAP);
	return STOP_HERE;
}

static void poke(const struct hunt *hunt, int debug_register, uint64_t value)
{
	const size_t at = offsetof(struct user, u_debugreg) + 8 * (size_t)debug_register;

	if (ptrace(PTRACE_POKEUSER, hunt->service, at, value))
		tap_bail("cannot set a breakpoint: %s", strerror(errno));
}

/* At full speed to the first of them, by the hardware's breakpoints: registers 0 to 3 are the
 * addresses, and every other bit of the lowest eight of register 7 enables one (Intel SDM 3B,
 * 18.2.4). */
static enum stop run_past(struct hunt *hunt, const struct aim *aim)
{
	enum stop at;

	for (int i = 0; i < aim->nr_past; i++)
		poke(hunt, i, aim->past[i]);
	poke(hunt, 7, 0x55 & ((1u << 2 * aim->nr_past) - 1));
	at = await_trap(hunt, PTRACE_CONT);
	if (at == STOP_HERE)
		poke(hunt, 7, 0);
	return at;
}

enum stop hunt_store(struct hunt *hunt, uint64_t until_ns)
{
	static struct shared shared;
	struct aim aim;

	if (in_call(hunt))
		return STOP_CALL;
	/* What is mapped changes in system calls alone. */
	shared_look(&shared, hunt->service);
	while (now_ns() < until_ns) {
		enum stop at;

		shared_aim(&shared, hunt->service, &aim);
		if (aim.call)
			return STOP_CALL;
		at = aim.nr_past ? run_past(hunt, &aim) : await_trap(hunt, PTRACE_SINGLESTEP);
		if (at != STOP_HERE)
			return at;
		if (shared_changed(hunt->service, &aim))
			return STOP_HERE;
	}
	return STOP_LATE;
}

static void interrupt(pid_t pid)
{
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		tap_bail("process %d cannot be stopped: %s", (int)pid, strerror(errno));
}

static int await_stop(pid_t pid)
{
	int status;

	if (await(pid, &status, PATIENCE_NS) != pid || !WIFSTOPPED(status))
		tap_bail("process %d does not stop", (int)pid);
	return status;
}

/* To the very stop that was asked for. Another one may be of before, and then this one is still to
 * come, or have come in its place: asked for once more while it stands, it comes for certain. */
static void stop(pid_t pid)
{
	interrupt(pid);
	while (event_of(await_stop(pid)) != PTRACE_EVENT_STOP) {
		interrupt(pid);
		resume(pid, PTRACE_CONT, 0);
	}
}

void hunt_hold(struct hunt *hunt)
{
	stop(hunt->service);
}

void hunt_go(struct hunt *hunt)
{
	resume(hunt->service, PTRACE_CONT, 0);
}

/* Signals that wait for the whole of a process; 0: it is gone. */
static uint64_t waiting_for(pid_t pid)
{
	char path[64], line[128];
	uint64_t set = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "ShdPnd: %" SCNx64, &set) == 1)
			break;
	if (file)
		(void)fclose(file);
	return set;
}

/* Both take signals from a descriptor, so that no stop comes of them. One that the manager sent
 * later would be for the next service. */
bool hunt_tell_end(struct hunt *hunt)
{
	const uint64_t until = now_ns() + PATIENCE_NS;

	(void)kill(hunt->manager, SIGHUP);
	while (!(waiting_for(hunt->service) & UINT64_C(1) << (SIGTERM - 1)))
		if (now_ns() > until)
			return false;
	return true;
}

void hunt_kill(struct hunt *hunt)
{
	int status = 0;
	pid_t got;

	(void)kill(hunt->service, SIGKILL);
	/* Stops of before may still be told. */
	do
		got = await(hunt->service, &status, PATIENCE_NS);
	while (got == hunt->service && WIFSTOPPED(status));
}

static pid_t find_child(pid_t parent)
{
	char path[64];
	FILE *file;
	int pid = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%d", &pid) != 1)
		tap_bail("the manager has no service");
	(void)fclose(file);
	return pid;
}

/* In the manager's store. */
static const struct ledger *map_ledger(pid_t manager)
{
	char path[64], target[64];
	void *addr = MAP_FAILED;

	for (int fd = 3; addr == MAP_FAILED && fd < 1024; fd++) {
		ssize_t len;
		int copy;

		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)manager, fd);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		if (strncmp(target, "/memfd:ledger", 13))
			continue;
		copy = open(path, O_RDONLY | O_CLOEXEC);
		addr = mmap(NULL, sizeof(struct ledger), PROT_READ, MAP_SHARED, copy, 0);
		(void)close(copy);
	}
	if (addr == MAP_FAILED)
		tap_bail("no ledger is stored");
	return addr;
}

static void seize(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)OPTIONS))
		tap_bail("cannot trace process %d: %s", (int)pid, strerror(errno));
}

void hunt_open(struct hunt *hunt, pid_t manager)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	*hunt = (struct hunt){.manager = manager, .service = find_child(manager)};
	hunt->ledger = map_ledger(manager);
	seize(hunt->manager);
	seize(hunt->service);
}

/* To a stop with @event, past others. */
static bool run_to(pid_t pid, int event)
{
	int status;

	while (await(pid, &status, PATIENCE_NS) == pid && WIFSTOPPED(status)) {
		if (event_of(status) == event)
			return true;
		resume(pid, PTRACE_CONT, 0);
	}
	return false;
}

bool hunt_next(struct hunt *hunt)
{
	unsigned long pid;

	if (!run_to(hunt->manager, PTRACE_EVENT_FORK) ||
	    ptrace(PTRACE_GETEVENTMSG, hunt->manager, NULL, &pid))
		return false;
	resume(hunt->manager, PTRACE_CONT, 0);
	hunt->service = (pid_t)pid;
	return run_to(hunt->service, PTRACE_EVENT_EXEC);
}

static bool refresh(void *seen, const void *now, size_t len)
{
	if (!memcmp(seen, now, len))
		return false;
	memcpy(seen, now, len);
	return true;
}

bool hunt_glance(const struct hunt *hunt, struct glance *glance)
{
	const struct ledger *now = hunt->ledger;
	bool changed = refresh(glance->pool, now->pool, sizeof(glance->pool));

	changed |= refresh(glance->pairing, now->pairing, sizeof(glance->pairing));
	for (int i = 0; i < 2; i++)
		changed |= refresh(glance->member[i], now->member[i], sizeof(glance->member[i]));
	return changed;
}
