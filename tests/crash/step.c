/* SPDX-License-Identifier: BSD-3-Clause */
#include "step.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

/* Bounds of this program's text, from the linker. */
extern const char __executable_start[], etext[];

/* A breakpoint: the tracer sees SIGTRAP, with nothing left to step out of. */
static inline void marker(void)
{
	__asm__ volatile("int3" ::: "memory");
}

static struct stage *stage_make(void)
{
	void *page = mmap(NULL, sizeof(struct stage), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		tap_bail("no page to share with a child: %s", strerror(errno));
	return page;
}

__attribute__((noreturn)) static void child(const struct play *play, struct stage *stage,
					    int (*ask)(void *arg, int question))
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(2);
	stage->err = play->prepare(play->arg);
	if (stage->err)
		_exit(1);
	marker();
	stage->err = play->act(play->arg);
	atomic_store_explicit(&stage->done, 1, memory_order_release);
	marker();
	while (ask) {
		stage->answer = ask(play->arg, stage->question);
		stage->asked = 0;
		marker();
	}
	_exit(0);
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			tap_bail("waitpid: %s", strerror(errno));
	return status;
}

static bool trapped(int status)
{
	return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

int step_allowed(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? 1 : 0);
	if (pid < 0)
		return -errno;
	status = wait_for(pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static void await_marker(const struct tracee *tracee)
{
	const int status = wait_for(tracee->pid);

	if (!trapped(status))
		tap_bail("a child did not come to its start: status %#x, error %d",
			 (unsigned)status, tracee->stage->err);
}

void tracee_start_asked(struct tracee *tracee, const struct play *play,
			int (*ask)(void *arg, int question))
{
	*tracee = (struct tracee){.stage = stage_make()};
	tracee->pid = _Fork();
	if (tracee->pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (tracee->pid == 0)
		child(play, tracee->stage, ask);
	await_marker(tracee);
}

void tracee_start(struct tracee *tracee, const struct play *play)
{
	tracee_start_asked(tracee, play, NULL);
}

static void let_go(const struct tracee *tracee, enum __ptrace_request how)
{
	if (ptrace(how, tracee->pid, NULL, NULL))
		tap_bail("cannot step: %s", strerror(errno));
}

void step_pause(void)
{
	marker();
}

void tracee_resume(struct tracee *tracee)
{
	let_go(tracee, PTRACE_CONT);
	await_marker(tracee);
}

/* What a stop, or an end, means. */
static enum step judge(struct tracee *tracee, int status)
{
	if (!WIFSTOPPED(status))
		tracee->pid = 0; /* reaped: tracee_kill() has nobody to kill */
	if (!trapped(status))
		return STEP_DIED;
	return atomic_load_explicit(&tracee->stage->done, memory_order_acquire) ? STEP_DONE
										: STEP_MORE;
}

static enum step resume(struct tracee *tracee, enum __ptrace_request how)
{
	let_go(tracee, how);
	return judge(tracee, wait_for(tracee->pid));
}

enum step tracee_step(struct tracee *tracee)
{
	tracee->steps++;
	return resume(tracee, PTRACE_SINGLESTEP);
}

bool step_sleeps(pid_t pid)
{
	char path[64], text[256] = "";
	const char *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	(void)fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	/* Behind the name, which may have anything in it: proc_pid_stat(5). */
	state = strrchr(text, ')');
	return state && state[1] && state[2] == 'S';
}

static uint64_t peek_user(const struct tracee *tracee, size_t off)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, tracee->pid, off, NULL);
}

#define FUTEX_WAITV 449u /* futex_waitv(2), which not all headers know */

/* syscall is 0f 05; its number is in rax, the operation of futex(2) in rsi. ppoll(2) is the nap of
 * who waits for somebody that rings no bell. */
bool tracee_will_sleep(const struct tracee *tracee)
{
	const uint64_t rip = peek_user(tracee, offsetof(struct user, regs.rip));
	const long text = ptrace(PTRACE_PEEKTEXT, tracee->pid, rip, NULL);
	const uint64_t call = peek_user(tracee, offsetof(struct user, regs.rax));

	if ((text & 0xffff) != 0x050f)
		return false;
	return call == FUTEX_WAITV || call == SYS_ppoll ||
	       (call == SYS_futex && ((int)peek_user(tracee, offsetof(struct user, regs.rsi)) &
				      FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET);
}

enum step tracee_step_asleep(struct tracee *tracee, void (*wake)(void *arg), void *arg)
{
	tracee->steps++;
	let_go(tracee, PTRACE_SINGLESTEP);
	while (!step_sleeps(tracee->pid))
		sched_yield();
	wake(arg);
	return judge(tracee, wait_for(tracee->pid));
}

enum step tracee_call(struct tracee *tracee)
{
	return resume(tracee, PTRACE_SYSCALL);
}

enum step tracee_steps(struct tracee *tracee, uint64_t nr)
{
	enum step at = STEP_MORE;

	while (nr-- && at == STEP_MORE)
		at = tracee_step(tracee);
	return at;
}

/* One word of what ptrace(2) calls the user area: registers and debug registers. */
static void poke_user(const struct tracee *tracee, size_t off, uint64_t value)
{
	if (ptrace(PTRACE_POKEUSER, tracee->pid, off, value))
		tap_bail("cannot set a breakpoint: %s", strerror(errno));
}

/*
 * Stops before the instruction at @place, the first of the four hardware breakpoints: DR0 is the
 * address, bit 0 of DR7 enables it, and the rest of DR7 clear means "executed" (Intel SDM
 * 3B, 18.2.4). The kernel lets the instruction pass once when the child goes on.
 */
static void break_at(const struct tracee *tracee, uint64_t place)
{
	poke_user(tracee, offsetof(struct user, u_debugreg[0]),
		  place ? (uintptr_t)__executable_start + place : 0);
	poke_user(tracee, offsetof(struct user, u_debugreg[7]), place != 0);
}

enum step tracee_reach(struct tracee *tracee, const struct store *store)
{
	enum step at = STEP_MORE;

	if (!store->place)
		return tracee_steps(tracee, store->step);
	break_at(tracee, store->place);
	for (uint64_t i = 0; i < store->nth && at == STEP_MORE; i++)
		at = resume(tracee, PTRACE_CONT);
	if (at != STEP_MORE)
		return at;
	if (tracee_place(tracee) != store->place)
		tap_bail("a breakpoint stopped elsewhere than at %#jx", (uintmax_t)store->place);
	break_at(tracee, 0);
	tracee->steps = store->step - 1;
	return tracee_step(tracee);
}

enum step tracee_finish(struct tracee *tracee)
{
	const time_t until = time(NULL) + 60;
	int status = 0;

	let_go(tracee, PTRACE_CONT);
	while (waitpid(tracee->pid, &status, __WALL | WNOHANG) == 0) {
		if (time(NULL) > until)
			return STEP_MORE;
		sched_yield();
	}
	/* Neither end nor death: a stop that is not ours. */
	return judge(tracee, status) == STEP_DONE ? STEP_DONE : STEP_DIED;
}

int tracee_ask(struct tracee *tracee, int question)
{
	enum step at = STEP_DONE;

	tracee->stage->question = question;
	tracee->stage->asked = 1;
	/* Who came to its end by steps has the end marker before it. */
	for (int i = 0; i < 2 && at == STEP_DONE && tracee->stage->asked; i++)
		at = tracee_finish(tracee);
	return at == STEP_DONE && !tracee->stage->asked ? tracee->stage->answer : -ESRCH;
}

uint64_t step_places(void)
{
	return (uintptr_t)etext - (uintptr_t)__executable_start;
}

uint64_t step_place(const void *function)
{
	return (uintptr_t)function - (uintptr_t)__executable_start;
}

uint64_t tracee_place(const struct tracee *tracee)
{
	/* An error is -1, which is no address of ours either. */
	const uint64_t rip = (uint64_t)ptrace(PTRACE_PEEKUSER, tracee->pid,
					      offsetof(struct user, regs.rip), NULL);
	const uint64_t place = rip - (uintptr_t)__executable_start;

	return place < step_places() ? place : 0;
}

void tracee_kill(struct tracee *tracee)
{
	if (tracee->pid) {
		(void)kill(tracee->pid, SIGKILL);
		while (WIFSTOPPED(wait_for(tracee->pid)))
			;
	}
	(void)munmap(tracee->stage, sizeof(*tracee->stage));
	tracee->pid = 0;
}
