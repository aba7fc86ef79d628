/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_MIDWAY_H
#define PINION_TESTS_MIDWAY_H

/*
 * A service that does not get to where it serves.
 *
 * It is killed on its way, as it enters a system call: between the
 * lock of its named pool, when its ledger is in the store, and the first look for events. Started
 * again by its manager, it is left alone.
 *
 * Or it opens no pidfd, when it is started again.
 *
 *  - midway_main(): this program run in the service's place, as midway_run() has it run; does not
 *    return then. Otherwise it does nothing.
 *  - midway_run(): under a manager with a store. False: there were fewer calls than @nth, and it
 *    serves without having been killed.
 *  - midway_run_blind(): the same, for the second.
 */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "service_support.h"

#define MIDWAY_SERVICE "MIDWAY_SERVICE"
#define MIDWAY_NTH "MIDWAY_NTH"

/* Which call @pid is about to enter; -1: something else happened to it. */
static inline long midway_entered(pid_t pid, int status)
{
	struct __ptrace_syscall_info info = {0};

	if (WSTOPSIG(status) != (SIGTRAP | 0x80) ||
	    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return -1;
	return (long)info.entry.nr;
}

/* A signal that is to be passed on, or 0. */
static inline int midway_signal(int status)
{
	const int number = WSTOPSIG(status);

	return number == (SIGTRAP | 0x80) || status >> 16 == PTRACE_EVENT_STOP ? 0 : number;
}

/* Until it is dead or serves; a tracer's end lets go of it. */
static inline void midway_trace(pid_t pid, int nth)
{
	bool made = false, locked = false;
	int status;

	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		const long nr = midway_entered(pid, status);

		made |= nr == SYS_memfd_create;
		locked |= made && nr == SYS_flock;
		if (nr == SYS_epoll_wait || nr == SYS_epoll_pwait)
			return;
		if (locked && nr >= 0 && !nth--)
			(void)kill(pid, SIGKILL);
		(void)ptrace(PTRACE_SYSCALL, pid, NULL, midway_signal(status));
	}
}

/* Nobody's child, so that the service has none. */
static inline void midway_doom(int nth)
{
	const pid_t doomed = getpid();
	int ready[2];

	if (pipe2(ready, O_CLOEXEC))
		_exit(125);
	if (!fork()) {
		if (fork())
			_exit(0);
		if (ptrace(PTRACE_SEIZE, doomed, NULL, PTRACE_O_TRACESYSGOOD) ||
		    ptrace(PTRACE_INTERRUPT, doomed, NULL, NULL))
			_exit(125);
		(void)write(ready[1], "", 1);
		midway_trace(doomed, nth);
		_exit(0);
	}
	(void)wait(NULL);
	close(ready[1]);
	if (read(ready[0], &(char){0}, 1) != 1)
		_exit(125);
	close(ready[0]);
}

/* As if there were no room for one more file. */
static inline void midway_blind(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EMFILE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(125);
}

/* To the first of its manager comes nothing that was stored. */
static inline void midway_main(char **arguments)
{
	const char *service = getenv(MIDWAY_SERVICE), *nth = getenv(MIDWAY_NTH);

	if (!service)
		return;
	if (nth && !getenv("LISTEN_FDS"))
		midway_doom(atoi(nth));
	else if (!nth && getenv("LISTEN_FDS"))
		midway_blind();
	execv(service, arguments);
	_exit(127);
}

static inline void midway_run_as_told(struct service_process *service)
{
	char *real = strdup(getenv("PINIOND"));
	char self[SUPPORT_PATH_LEN] = {0};

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_int_equal(setenv(MIDWAY_SERVICE, real, 1), 0);
	assert_int_equal(setenv("PINIOND", self, 1), 0);
	service_run_managed(service, "2048");
	assert_int_equal(setenv("PINIOND", real, 1), 0);
	assert_int_equal(unsetenv(MIDWAY_SERVICE), 0);
	free(real);
}

static inline bool midway_run(struct service_process *service, int nth)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", nth);
	assert_int_equal(setenv(MIDWAY_NTH, text, 1), 0);
	midway_run_as_told(service);
	assert_int_equal(unsetenv(MIDWAY_NTH), 0);
	return service_number("restarts") > 0;
}

static inline void midway_run_blind(struct service_process *service)
{
	midway_run_as_told(service);
}

#endif
