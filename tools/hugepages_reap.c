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
 *
 * What could not be looked at is never unused: it stays, and the exit status says so.
 */
#include "hugepages_command.h"
#include "hugepages_files.h"
#include "hugepages_shell.h"
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

/* 1: it is; 0; -errno: nobody knows. Whatever has the name "control" counts, a link too. */
static int is_of_pool(const struct hp_file *file)
{
	struct stat status;

	if (!fstatat(file->dir, CONTROL, &status, AT_SYMLINK_NOFOLLOW))
		return 1;
	return errno == ENOENT ? 0 : -errno;
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

static bool is_same(const struct stat *left, const struct stat *right)
{
	return left->st_dev == right->st_dev && left->st_ino == right->st_ino;
}

/* -ESTALE: the name is another file's by now. */
static int name_check(const struct hp_file *file)
{
	struct stat now;

	if (fstatat(file->dir, file->name, &now, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return is_same(&now, file->status) ? 0 : -ESTALE;
}

/*
 * The lease lasts until the file is closed: who opens it meanwhile waits, and then has a file
 * without a name, as if they had come a moment earlier. No call removes a file by its descriptor:
 * one who may rename files of that directory can still swap names after the last look, and then
 * loses the other one.
 */
static int file_remove(const struct hp_file *file)
{
	const int fd = openat(file->dir, file->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return errno == ELOOP ? -ESTALE : -errno;
	int err = fstat(fd, &status) ? -errno : is_same(&status, file->status) ? 0 : -ESTALE;

	err = err ? err : alone(fd);
	err = err ? err : name_check(file);
	if (!err && unlinkat(file->dir, file->name, 0))
		err = -errno;
	close(fd);
	return err;
}

static int orphan_reap(struct reap *reap, const struct hp_file *file)
{
	if (reap->opt->sys.dry_run) {
		printf("rm ");
		hp_word_print(file->path);
		printf("\n");
		return 0;
	}
	const int err = file_remove(file);

	if (err == -ENOENT)
		return 0; /* somebody else removed it */
	if (err == -EAGAIN || err == -ESTALE) {
		warnx(err == -EAGAIN ? "%s: the kernel says that it is open; /proc does not show "
				       "by whom" : "%s: another file has that name by now: kept",
		      file->path);
		return leave(reap, EXIT_IN_USE);
	}
	if (err)
		return leave(reap, say_errno(err, file->path));
	printf("removed ");
	orphan_print(file->path, file->status);
	return 0;
}

static void orphan_list(struct reap *reap, const struct hp_file *file)
{
	reap->orphans++;
	orphan_print(file->path, file->status);
}

static int file_look(void *argument, const struct hp_file *file)
{
	struct reap *reap = argument;

	if (file->err)
		return leave(reap, say_errno(file->err, file->path));
	const struct hp_use *use = hp_users_of(&reap->users, file->status->st_dev,
					       file->status->st_ino);
	const bool acts = reap->opt->nr_operands != 0;

	if (acts && !is_matched(reap->opt, file->path))
		return 0;
	const int pool = is_of_pool(file);

	reap->matched += acts;
	if (pool < 0)
		return leave(reap, say_errno(pool, file->path));
	if (!acts && !use && !pool)
		orphan_list(reap, file);
	if (!acts)
		return 0;
	if (pool)
		return say_pool(reap, file->path);
	return use ? say_held(reap, file->path, use) : orphan_reap(reap, file);
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
	for (size_t i = 0; i < mounts->nr; i++)
		if (hp_mounts_is_first(mounts, &mounts->list[i]))
			(void)hp_files_each(&reap->opt->sys, &mounts->list[i], reap, file_look);
	if (acts && !reap->matched && reap->code == EXIT_DONE) {
		warnx("no file on a hugetlbfs mount matches");
		return EXIT_NOT_FOUND;
	}
	if (!acts && !reap->orphans && reap->code == EXIT_DONE)
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
