/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reap: files on hugetlbfs that hold pages though nobody uses them.
 *
 * A program that is killed leaves its files, and with them its pages, until somebody removes them.
 * An orphan is a file that no process has open or mapped. What is not: the files of a named pool
 * (pinion/named.h), a directory with a file "control", which outlives all its processes on purpose;
 * its next keeper comes for the data. Those are kept whatever pattern is given.
 *
 * Nothing goes without a pattern. Before a file goes, the kernel is asked as well: it grants a
 * write lease (fcntl(2)) only on a file that nobody else has open, which covers what /proc does not
 * show.
 */
#include "hugepages_command.h"
#include "hugepages_files.h"
#include "hugepages_text.h"
#include "hugepages_users.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONTROL "control" /* of a named pool: pool/named.h */

enum {
	MINUTE = 60,
	HOUR = 60 * MINUTE,
	DAY = 24 * HOUR,
};

/* The first PID namespace has this inode (PROC_PID_INIT_INO, linux/proc_ns.h): in any other one,
 * /proc does not show all processes. */
static const char all_processes[] = "pid:[4026531836]";

struct reap {
	const struct options *opt;
	struct hp_users users;
	bool sees_all;  /* every process was looked at */
	size_t orphans; /* seen without a pattern */
	size_t matched;
	enum exit_code code;
};

static bool is_matched(const struct options *opt, const char *path)
{
	for (int i = 0; i < opt->nr_operands; i++)
		if (strcmp(opt->operands[i], path) == 0 ||
		    fnmatch(opt->operands[i], path, FNM_PATHNAME | FNM_PERIOD) == 0)
			return true;
	return false;
}

static bool is_of_pool(const struct hp_sys *sys, const char *path)
{
	const int len = (int)(strrchr(path, '/') - path);
	char control[PATH_MAX];

	return snprintf(control, sizeof(control), "%s%.*s/" CONTROL, sys->root, len, path) <
	       PATH_MAX && !access(control, F_OK);
}

static void age_format(time_t since, char *text, size_t room)
{
	const time_t now = time(NULL), age = now > since ? now - since : 0;

	if (age >= DAY)
		snprintf(text, room, "%jd days", (intmax_t)(age / DAY));
	else if (age >= HOUR)
		snprintf(text, room, "%jd hours", (intmax_t)(age / HOUR));
	else
		snprintf(text, room, "%jd minutes", (intmax_t)(age / MINUTE));
}

/* What its name says of a file: SPDK and DPDK name theirs after process and prefix. */
static void maker_guess(const char *path, char *text, size_t room)
{
	const char *name = strrchr(path, '/') + 1;
	const char *map = strstr(name, "map_");
	unsigned int pid;

	if (sscanf(name, "spdk_pid%umap_", &pid) == 1)
		snprintf(text, room, "; by its name SPDK's process %u left it", pid);
	else if (map && map > name && map[4] && map[4 + strspn(map + 4, "0123456789")] == '\0')
		snprintf(text, room, "; by its name DPDK left it, with the prefix %.*s",
			 (int)(map - name), name);
	else
		text[0] = '\0';
}

static void orphan_print(const char *path, const struct stat *status)
{
	const struct passwd *owner = getpwuid(status->st_uid);
	char held[HP_SIZE_TEXT], user[32], age[32], maker[128];

	if (owner)
		snprintf(user, sizeof(user), "%.31s", owner->pw_name);
	else
		snprintf(user, sizeof(user), "user %u", status->st_uid);
	age_format(status->st_mtime, age, sizeof(age));
	maker_guess(path, maker, sizeof(maker));
	printf("%s: %s, of %s, %s old%s\n", path,
	       hp_size_format((uint64_t)status->st_blocks * HP_BLOCK, held), user, age,
	       maker);
}

static int leave(struct reap *reap, enum exit_code code)
{
	reap->code = code;
	return 0;
}

static int say_held(struct reap *reap, const char *path, const struct hp_use *use)
{
	warnx("%s: process %d (%s) has it %s", path, use->pid, use->command,
	      use->mapped ? "mapped" : "open");
	return leave(reap, EXIT_IN_USE);
}

static int say_pool(struct reap *reap, const char *path)
{
	warnx("%s: of a named pool, which outlives its processes: kept", path);
	fprintf(stderr, "  what to do: take the pool over, or remove it as a whole with "
			"pinion_pool_unlink()\n");
	return leave(reap, EXIT_IN_USE);
}

/* -EAGAIN: somebody has it open, says the kernel. Where it has no leases, /proc has to do; where it
 * refuses one (EACCES without CAP_LEASE), nobody knows. */
static int alone(int fd)
{
	if (!fcntl(fd, F_SETLEASE, F_WRLCK) || errno == EINVAL || errno == EOPNOTSUPP ||
	    errno == ENOTTY)
		return 0;
	return errno == EBUSY ? -EAGAIN : -errno;
}

/*
 * The lease lasts until the file is closed: who opens it meanwhile waits, and then has a file
 * without a name, as if they had come a moment earlier.
 */
static int entry_remove(int dir, const char *name, const struct stat *expected)
{
	const int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return -errno;
	int err = fstat(fd, &status) ? -errno : 0;

	if (!err && (status.st_dev != expected->st_dev || status.st_ino != expected->st_ino))
		err = -ESTALE;
	err = err ? err : alone(fd);
	if (!err && unlinkat(dir, name, 0))
		err = -errno;
	close(fd);
	return err;
}

/*
 * Users may make directories there, and put a link in the place of one while we work. What goes is
 * still a file of this mount: @expected is (hp_files_each()), and the file that is compared with it
 * and the one that goes are of the same directory.
 */
static int file_remove(const struct hp_sys *sys, const char *path, const struct stat *expected)
{
	char full[PATH_MAX];

	if (snprintf(full, sizeof(full), "%s%s", sys->root, path) >= PATH_MAX)
		return -ENAMETOOLONG;
	char *slash = strrchr(full, '/');

	*slash = '\0';
	const int dir = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return -errno;
	const int err = entry_remove(dir, slash + 1, expected);

	close(dir);
	return err;
}

static int orphan_reap(struct reap *reap, const char *path, const struct stat *status)
{
	if (reap->opt->sys.dry_run) {
		printf("rm %s\n", path);
		return 0;
	}
	const int err = file_remove(&reap->opt->sys, path, status);

	if (err == -EAGAIN) {
		warnx("%s: the kernel says that it is open; /proc does not show by whom", path);
		return leave(reap, EXIT_IN_USE);
	}
	if (err)
		return leave(reap, say_errno(err, path));
	printf("removed ");
	orphan_print(path, status);
	return 0;
}

static int file_look(void *argument, const char *path, const struct stat *status)
{
	struct reap *reap = argument;
	const struct hp_use *use = hp_users_of(&reap->users, status->st_dev, status->st_ino);
	const bool pool = is_of_pool(&reap->opt->sys, path);

	if (!reap->opt->nr_operands) {
		if (use || pool)
			return 0;
		reap->orphans++;
		orphan_print(path, status);
		return 0;
	}
	if (!is_matched(reap->opt, path))
		return 0;
	reap->matched++;
	if (pool)
		return say_pool(reap, path);
	return use ? say_held(reap, path, use) : orphan_reap(reap, path, status);
}

static bool sees_all(const struct hp_sys *sys, const struct hp_users *users)
{
	char path[PATH_MAX], text[64];

	if (users->hidden ||
	    snprintf(path, sizeof(path), "%s/proc/self/ns/pid", sys->root) >= PATH_MAX)
		return false;
	const ssize_t len = readlink(path, text, sizeof(text) - 1);

	text[len < 0 ? 0 : len] = '\0';
	/* With hidepid (proc(5)) those of others are not even listed: the first is one of them. */
	return strcmp(text, all_processes) == 0 && (*sys->root || !access("/proc/1/maps", R_OK));
}

static enum exit_code say_blind(const struct reap *reap)
{
	if (reap->users.hidden)
		warnx("%zu processes could not be looked at, and may use what looks unused",
		      reap->users.hidden);
	else
		warnx("this is a container: processes outside may use what looks unused");
	fprintf(stderr, "  what to do: as root, outside containers\n");
	return EXIT_PERMISSION;
}

static enum exit_code mounts_reap(struct reap *reap, const struct hp_mounts *mounts)
{
	const bool acts = reap->opt->nr_operands != 0;

	if (!reap->sees_all && acts && !reap->opt->sys.dry_run)
		return say_blind(reap);
	for (size_t i = 0; i < mounts->nr; i++) {
		if (!hp_mounts_is_first(mounts, &mounts->list[i]))
			continue;
		const int err = hp_files_each(&reap->opt->sys, &mounts->list[i], reap, file_look);

		if (err)
			return say_errno(err, mounts->list[i].path);
	}
	if (acts && !reap->matched) {
		warnx("no file on a hugetlbfs mount matches");
		return EXIT_NOT_FOUND;
	}
	if (!acts && !reap->orphans)
		printf("no file that nobody has open\n");
	if (!reap->sees_all)
		(void)say_blind(reap);
	return reap->code;
}

enum exit_code command_reap(const struct options *opt)
{
	struct reap reap = { .opt = opt, .code = EXIT_DONE };
	struct hp_mounts mounts;
	int err = hp_mounts_get(&opt->sys, &mounts);
	enum exit_code code = EXIT_FAILED;

	if (err)
		return say_errno(err, "mount table");
	/* When somebody opens a file while we have the lease, that is all that we are told by. */
	signal(SIGIO, SIG_IGN);
	err = hp_users_get(&opt->sys, &mounts, &reap.users);
	if (!err) {
		reap.sees_all = sees_all(&opt->sys, &reap.users);
		code = mounts_reap(&reap, &mounts);
		hp_users_free(&reap.users);
	}
	hp_mounts_free(&mounts);
	return err ? say_errno(err, "processes") : code;
}
