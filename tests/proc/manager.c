/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * manager - what of systemd a service with an fd store needs, for tests that cannot have systemd.
 *
 *     manager MAX COMMAND ARGUMENT...
 *
 * Runs COMMAND, keeps up to MAX descriptors that it sends (sd_notify(3): FDSTORE=1, FDNAME=,
 * FDSTOREREMOVE=1; beyond MAX they are dropped, and nobody is told, as systemd 252 does), and runs
 * it again with them (sd_listen_fds(3)), in the opposite order, whenever it dies of a signal.
 * SIGTERM is passed on, and then its end is ours; SIGHUP has it end in order, and run again, as
 * `systemctl restart` does. The real systemd is tried in tests/vm.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORE_MAX 4096
#define TEXT_MAX 4096

static struct {
	char *name;
	int fd;
} store[STORE_MAX];
static unsigned nr_stored, max_stored;

static int open_notify(char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* An abstract one: nothing to remove. */
	(void)snprintf(path, sizeof(address.sun_path), "@pinion-manager-%d", (int)getpid());
	memcpy(address.sun_path + 1, path + 1, strlen(path) - 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address,
			   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))))
		err(1, "notification socket");
	return fd;
}

/* The value of NAME= in a message of lines, or NULL. */
static const char *field(char *text, const char *name, char value[TEXT_MAX])
{
	const size_t len = strlen(name);

	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) || line[len] != '=')
			continue;
		(void)snprintf(value, TEXT_MAX, "%.*s", (int)strcspn(line + len + 1, "\n"),
			       line + len + 1);
		return value;
	}
	return NULL;
}

static void remove_all(const char *name)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < nr_stored; i++) {
		if (strcmp(store[i].name, name)) {
			store[kept++] = store[i];
			continue;
		}
		close(store[i].fd);
		free(store[i].name);
	}
	nr_stored = kept;
}

static void put(const char *name, int fd)
{
	if (nr_stored >= max_stored) {
		close(fd);
		return;
	}
	store[nr_stored].name = strdup(name);
	store[nr_stored++].fd = fd;
}

/* One message; false: there is none. */
static bool hear(int notify)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * 16)];
		struct cmsghdr align;
	} control;
	char text[TEXT_MAX] = {0}, name[TEXT_MAX], value[TEXT_MAX];
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(notify, &message, MSG_CMSG_CLOEXEC) < 0)
		return false;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	if (!field(text, "FDNAME", name))
		return true;
	if (field(text, "FDSTOREREMOVE", value))
		remove_all(name);
	else if (field(text, "FDSTORE", value) && fd >= 0)
		put(name, fd);
	return true;
}

/* In the child: descriptors 3 and up are what is stored, backwards. */
static void pass_store(void)
{
	char *names = calloc(nr_stored + 1, TEXT_MAX / 16), number[16];

	/* Out of the way first: the numbers wanted may be in use by others of them. */
	for (unsigned i = 0; i < nr_stored; i++)
		store[i].fd = fcntl(store[i].fd, F_DUPFD_CLOEXEC, 3 + 2 * STORE_MAX);
	for (unsigned i = 0; i < nr_stored; i++) {
		if (dup2(store[nr_stored - 1 - i].fd, 3 + (int)i) < 0)
			_exit(126);
		if (i)
			strcat(names, ":");
		strcat(names, store[nr_stored - 1 - i].name);
	}
	(void)snprintf(number, sizeof(number), "%u", nr_stored);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	(void)snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
}

static pid_t run(char **command)
{
	const pid_t pid = fork();
	sigset_t none;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (nr_stored)
		pass_store();
	execv(command[0], command);
	_exit(127);
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const int notify = open_notify(path), signals = open_signals();
	struct pollfd want[] = {{notify, POLLIN, 0}, {signals, POLLIN, 0}};
	struct signalfd_siginfo info;
	bool again = false;
	pid_t child;
	int status;

	if (argc < 3)
		errx(2, "usage: manager MAX COMMAND ARGUMENT...");
	max_stored = (unsigned)atoi(argv[1]) < STORE_MAX ? (unsigned)atoi(argv[1]) : STORE_MAX;
	setenv("NOTIFY_SOCKET", path, 1);
	child = run(argv + 2);
	for (;;) {
		(void)poll(want, 2, -1);
		while (hear(notify))
			;
		while (read(signals, &info, sizeof(info)) == sizeof(info)) {
			if (info.ssi_signo != SIGCHLD)
				kill(child, SIGTERM);
			again |= info.ssi_signo == SIGHUP;
		}
		if (waitpid(child, &status, WNOHANG) != child)
			continue;
		if (WIFEXITED(status) && !again)
			return WEXITSTATUS(status);
		again = false;
		/* What it said last lies in the socket. */
		while (hear(notify))
			;
		child = run(argv + 2);
	}
}
