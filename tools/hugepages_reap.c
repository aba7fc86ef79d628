/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reap: files on hugetlbfs that hold pages though nobody uses them.
 *
 * A program that is killed leaves its files, and with them its pages, until somebody removes them.
 * An orphan is a file that no process has open or mapped. What is not: the files of a named pool
 * (pinion/named.h), a directory with a file "control", which outlives all its processes on purpose;
 * its next keeper comes for the data. Those are kept whatever pattern is given. One user makes
 * both, the directory and that file. Where the file is another's, as anybody could make it in a
 * directory that all may write, it says nothing: the files beside it are kept, and listed.
 *
 * Nothing goes without a pattern. Before a file goes, the kernel is asked as well: it grants a
 * write lease (fcntl(2)) only on a file that nobody else has open, which covers what /proc does not
 * show.
 *
 * What could not be looked at is never unused: it stays, and the exit status says so. Where a
 * process could not, nothing goes, nor does --dry-run print that it would; a list is printed, and
 * then the exit status says that it may hold too much.
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

/* Is it of a named pool? */
enum pool { NO_POOL, POOL, STRANGE_POOL /* a "control" that is not of the directory's owner */ };

struct reap {
	const struct options *opt;
	struct hp_users users;
	bool sees_all;  /* every process was looked at */
	size_t orphans; /* seen without a pattern */
	size_t matched;
	enum exit_code code;
	char shown[4 * PATH_MAX]; /* the path of the file that is looked at, for a terminal */
};

static bool is_matched(const struct options *opt, const char *path)
{
	for (int i = 0; i < opt->nr_operands; i++)
		if (strcmp(opt->operands[i], path) == 0 ||
		    fnmatch(opt->operands[i], path, FNM_PATHNAME | FNM_PERIOD) == 0)
			return true;
	return false;
}

/* enum pool; -errno: nobody knows. Whatever has the name "control" counts, a link too; a strange
 * one does not keep itself. */
static int pool_of(const struct hp_file *file)
{
	struct stat control, dir;

	if (fstatat(file->dir, CONTROL, &control, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? NO_POOL : -errno;
	if (fstat(file->dir, &dir))
		return -errno;
	if (control.st_uid == dir.st_uid)
		return POOL;
	return strcmp(file->name, CONTROL) == 0 ? NO_POOL : STRANGE_POOL;
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

static void orphan_print(const char *path, const struct stat *status, const char *note)
{
	const struct passwd *owner = getpwuid(status->st_uid);
	char held[HP_SIZE_TEXT], user[32], age[32], maker[128];

	if (owner)
		snprintf(user, sizeof(user), "%.31s", owner->pw_name);
	else
		snprintf(user, sizeof(user), "user %u", status->st_uid);
	age_format(status->st_mtime, age, sizeof(age));
	maker_guess(path, maker, sizeof(maker));
	printf("%s: %s, of %s, %s old%s%s\n", path,
	       hp_size_format((uint64_t)status->st_blocks * HP_BLOCK, held), user, age, maker,
	       note);
}

/* What failed first decides; that something is in use is no failure, and does if nothing failed. */
static int leave(struct reap *reap, enum exit_code code)
{
	if (reap->code == EXIT_DONE || reap->code == EXIT_IN_USE)
		reap->code = code;
	return 0;
}

static int say_held(struct reap *reap, const struct hp_use *use)
{
	char name[HP_COMMAND_TEXT];

	warnx("%s: process %d (%s) has it %s", reap->shown, use->pid,
	      hp_name_format(use->command, name, sizeof(name)), use->mapped ? "mapped" : "open");
	return leave(reap, EXIT_IN_USE);
}

static int say_pool(struct reap *reap)
{
	warnx("%s: of a named pool, which outlives its processes: kept", reap->shown);
	fprintf(stderr, "  what to do: take the pool over, or remove it as a whole with "
			"pinion_pool_unlink()\n");
	return leave(reap, EXIT_IN_USE);
}

static int say_strange(struct reap *reap)
{
	warnx("%s: beside it is a file \"" CONTROL "\" that is not of the directory's owner: kept",
	      reap->shown);
	fprintf(stderr, "  what to do: if no named pool is there, reap that file first\n");
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

/* A name that is no more: the file has gone with it, or -ESTALE: it has another one now. */
static int gone_check(int fd)
{
	struct stat status;

	if (fstat(fd, &status))
		return -errno;
	return status.st_nlink ? -ESTALE : -ENOENT;
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
	if (err == -ENOENT)
		err = gone_check(fd);
	close(fd);
	return err;
}

/*
 * The line of --dry-run is to be looked at, and then reap to be run. Given to a shell, rm(1) goes
 * the way down anew, by the path: through a link that a user has put in the place of a directory
 * meanwhile, and to whatever has the name by then, in use or not.
 */
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
				       "by whom" : "%s: another file has that name by now, or "
						   "the file another name: kept", reap->shown);
		return leave(reap, EXIT_IN_USE);
	}
	if (err)
		return leave(reap, say_errno(err, file->path));
	printf("removed ");
	orphan_print(reap->shown, file->status, "");
	return 0;
}

static void orphan_list(struct reap *reap, const struct hp_file *file, int pool)
{
	reap->orphans++;
	orphan_print(reap->shown, file->status, pool == STRANGE_POOL ?
		     "; kept for a file \"" CONTROL "\" beside it, not of the directory's owner" :
		     "");
}

static int file_look(void *argument, const struct hp_file *file)
{
	struct reap *reap = argument;

	hp_name_format(file->path, reap->shown, sizeof(reap->shown));
	if (file->err)
		return leave(reap, say_unseen(file->err, file->path));
	const struct hp_use *use = hp_users_of(&reap->users, file->status->st_dev,
					       file->status->st_ino);
	const bool acts = reap->opt->nr_operands != 0;

	if (acts && !is_matched(reap->opt, file->path))
		return 0;
	const int pool = pool_of(file);

	reap->matched += acts;
	if (pool < 0)
		return leave(reap, say_errno(pool, file->path));
	if (!acts && !use && pool != POOL)
		orphan_list(reap, file, pool);
	if (!acts)
		return 0;
	if (pool)
		return pool == POOL ? say_pool(reap) : say_strange(reap);
	return use ? say_held(reap, use) : orphan_reap(reap, file);
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

	if (!reap->sees_all && acts)
		return say_blind(reap);
	(void)hp_files_all(&reap->opt->sys, mounts, 0, reap, file_look);
	if (acts && !reap->matched && reap->code == EXIT_DONE) {
		warnx("no file on a hugetlbfs mount matches");
		return EXIT_NOT_FOUND;
	}
	if (!acts && !reap->orphans && reap->code == EXIT_DONE)
		printf("no file that nobody has open\n");
	if (!reap->sees_all)
		(void)leave(reap, say_blind(reap));
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
