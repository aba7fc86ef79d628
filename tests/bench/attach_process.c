/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attach_process: a whole process that joins a pool and ends, for a timer of whole processes
 * (hyperfine) to start again and again.
 *
 *     attach_process hold LEN huge|4k    makes a pool, prints WORDS, keeps it until end of input
 *     attach_process pinion WORDS        attaches as a member and ends
 *     attach_process bare WORDS          maps the same files and ends
 *
 * WORDS are: PID CONTROL SEGMENT MEMBER. The pool's files are opened through /proc/PID/fd, as a
 * timer passes no descriptors on.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool.h"

static int hold(const char *len, const char *pages)
{
	const struct bench b = {.huge = !strcmp(pages, "huge")};
	struct pinion_pool *pool = bench_pool(&b, strtoul(len, NULL, 0), 4096);
	struct pinion_pool_fds fds;
	uint32_t member;

	bench_check(pinion_pool_admit(pool, getpid(), &member));
	pinion_pool_export(pool, &fds);
	printf("%d %d %d %u\n", (int)getpid(), fds.control, fds.segment[0], member);
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	return pinion_pool_destroy(pool) ? 1 : 0;
}

static int open_fd(const char *pid, const char *fd)
{
	char path[64];
	int opened;

	(void)snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, fd);
	opened = open(path, O_RDWR | O_CLOEXEC);
	if (opened < 0)
		bench_die("%s: %s", path, strerror(errno));
	return opened;
}

static int join(const struct pinion_pool_fds *fds, const char *member)
{
	struct pinion_pool *pool;

	bench_check(pinion_pool_attach(fds, (uint32_t)strtoul(member, NULL, 10), &pool));
	return 0;
}

static void map(int fd)
{
	struct stat status;

	if (fstat(fd, &status))
		bench_die("fstat: %s", strerror(errno));
	if (mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
	    MAP_FAILED)
		bench_die("mmap: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct pinion_pool_fds fds = {.nr_segments = 1};

	if (argc == 4 && !strcmp(argv[1], "hold"))
		return hold(argv[2], argv[3]);
	if (argc != 6)
		bench_die("usage: attach_process hold LEN huge|4k | pinion WORDS | bare WORDS");
	fds.control = open_fd(argv[2], argv[3]);
	fds.segment[0] = open_fd(argv[2], argv[4]);
	if (!strcmp(argv[1], "pinion"))
		return join(&fds, argv[5]);
	map(fds.control);
	map(fds.segment[0]);
	return 0;
}
