/* SPDX-License-Identifier: BSD-3-Clause */
#include "process.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* What proc_stat(5) says of a process. */
struct status {
	char state;       /* of its first thread */
	long nr_threads;  /* field 20; of a zombie, itself included, 1 */
	uint64_t started; /* field 22 */
};

/* From behind the command's name, which may hold anything. */
static bool read_stat(pid_t pid, struct status *status)
{
	char path[32], line[512], *at;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	at = fgets(line, sizeof(line), file);
	(void)fclose(file);
	at = at ? strrchr(line, ')') : NULL;
	return at && sscanf(at + 1,
			    " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			    "%ld %*d %" SCNu64, &status->state, &status->nr_threads,
			    &status->started) == 3;
}

uint64_t process_started(pid_t pid)
{
	struct status status;

	return read_stat(pid, &status) ? status.started : 0;
}

/* A first thread that ended before the others shows as a zombie, and they still work. */
static bool is_zombie(const struct status *status)
{
	return (status->state == 'Z' || status->state == 'X') && status->nr_threads <= 1;
}

bool process_lives(pid_t pid, uint64_t started)
{
	struct status now;

	if (pid <= 0)
		return false;
	if (!read_stat(pid, &now))
		return !kill(pid, 0) || errno != ESRCH;
	return !is_zombie(&now) && (!started || now.started == started);
}

bool process_user(pid_t pid, uid_t *uid)
{
	char path[32], line[128];
	bool found = false;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	/* Real, effective, ... */
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, "Uid: %*u %u", uid) == 1;
	(void)fclose(file);
	return found;
}

/* No process has that number: besides ESRCH, kernels say EINVAL or ENOENT of one that has ended and
 * whose group lives on, and of a thread's number. */
static bool is_nobody(int error)
{
	return error == ESRCH || error == EINVAL || error == ENOENT;
}

/* Opened before it is looked at: what lives then is what was opened. */
int process_open(pid_t pid, uint64_t started)
{
	const int fd = pid > 0 ? pidfd_open(pid, 0) : -1;

	if (fd < 0)
		return pid <= 0 || is_nobody(errno) ? -ESRCH : -errno;
	if (process_lives(pid, started))
		return fd;
	(void)close(fd);
	return -ESRCH;
}
