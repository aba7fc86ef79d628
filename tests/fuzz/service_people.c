/* SPDX-License-Identifier: BSD-3-Clause */
#include "service_people.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* On a stack that the sanitizers do not know, in a process that they do not know either. */
#define UNWATCHED \
	__attribute__((disable_sanitizer_instrumentation, no_sanitize("coverage"), noinline))

static struct sockaddr_un destination;
static socklen_t destination_len;

void people_go_to(const struct sockaddr_un *address, socklen_t len)
{
	destination = *address;
	destination_len = len;
}

UNWATCHED static int connect_one(void)
{
	long fd = syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && syscall(SYS_connect, fd, &destination, destination_len)) {
		(void)syscall(SYS_close, fd);
		return -1;
	}
	return (int)fd;
}

UNWATCHED static int live(void *arg)
{
	struct person *person = arg;
	char order;

	/* Not longer than the fuzzer, whose output it has open as well. */
	(void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	while (syscall(SYS_read, person->orders[1], &order, 1) == 1) {
		if (order == 'n')
			person->last = (int)syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
		else
			person->last = connect_one();
		/* Forgotten with the uid. */
		(void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
		(void)syscall(SYS_write, person->orders[1], &order, 1);
	}
	return 0;
}

/* The fuzzer's clock is a signal. */
static int tell(struct person *person, char order)
{
	ssize_t got;

	do
		got = write(person->orders[0], &order, 1);
	while (got < 0 && errno == EINTR);
	do
		got = read(person->orders[0], &order, 1);
	while (got < 0 && errno == EINTR);
	return got == 1 ? person->last : -1;
}

bool person_comes(struct person *person, bool nobody)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, person->orders))
		return false;
	person->pid = clone(live, person->stack + sizeof(person->stack),
			    CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, person);
	if (person->pid < 0) {
		(void)close(person->orders[0]);
		(void)close(person->orders[1]);
		person->pid = 0;
		return false;
	}
	if (nobody)
		(void)tell(person, 'n');
	return true;
}

int person_connects(struct person *person)
{
	return tell(person, 'c');
}

void person_dies(struct person *person)
{
	if (!person->pid)
		return;
	(void)kill(person->pid, SIGKILL);
	while (waitpid(person->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	(void)close(person->orders[0]);
	(void)close(person->orders[1]);
	person->pid = 0;
}
