/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_users.h"
#include "hugepages_text.h"

#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/kcmp.h>

/* One mapping of hugepages: numa_maps knows it by its address only. */
struct mapping {
	uint64_t start;
	uint64_t size; /* bytes of a page */
};

/* One process that is looked at, thread by thread. */
struct look {
	const struct hp_sys *sys;
	const struct hp_mounts *mounts;
	struct hp_users *users;
	char dir[PATH_MAX - 16]; /* /proc/PID/task/TID, and room for the name of a file there */
	struct hp_use about;     /* who it is */
	pid_t read;              /* thread whose descriptors were last read to their end, or 0 */
	size_t nr_lines;         /* of this thread's maps */
	bool has_maps;           /* they were read; all threads have the same */
	bool is_hidden;          /* something could not be looked at */
	size_t nr_mappings;
	struct mapping *mappings;
};

/* Gone meanwhile is no error: then it uses nothing. */
static bool has_ended(int err)
{
	return err == -ENOENT || err == -ESRCH;
}

static FILE *look_open(const struct look *look, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", look->dir, name);
	return fopen(path, "re");
}

/* The entry of this process and file, made if there is none. */
static int use_get(struct look *look, dev_t dev, ino_t ino, uint64_t size, struct hp_use **use)
{
	struct hp_users *users = look->users;

	for (size_t i = users->nr; i > 0 && users->uses[i - 1].pid == look->about.pid; i--)
		if (users->uses[i - 1].dev == dev && users->uses[i - 1].ino == ino) {
			*use = &users->uses[i - 1];
			return 0;
		}
	struct hp_use *more = reallocarray(users->uses, users->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	users->uses = more;
	*use = &more[users->nr++];
	**use = look->about;
	(*use)->dev = dev;
	(*use)->ino = ino;
	(*use)->size = size;
	return 0;
}

static int mapping_add(struct look *look, uint64_t start, uint64_t size)
{
	struct mapping *more = reallocarray(look->mappings, look->nr_mappings + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	look->mappings = more;
	more[look->nr_mappings++] = (struct mapping){ .start = start, .size = size };
	return 0;
}

/* "START-END PERMS OFFSET MAJOR:MINOR INODE PATH" */
static int maps_line(struct look *look, const char *line)
{
	uint64_t start, end, ino;
	unsigned int major, minor;
	struct hp_use *use;

	look->nr_lines++;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %x:%x %" SCNu64, &start, &end, &major,
		   &minor, &ino) != 5)
		return -EBADMSG;
	const dev_t dev = makedev(major, minor);
	const struct hp_mount *mount = hp_mounts_on(look->mounts, dev);

	if (!mount)
		return 0;
	int err = use_get(look, dev, ino, mount->size, &use);

	if (!err)
		use->mapped += end - start;
	return err ? err : mapping_add(look, start, mount->size);
}

static int each_line(struct look *look, const char *name,
		     int (*each)(struct look *, const char *))
{
	FILE *file = look_open(look, name);
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	if (!file)
		return -errno;
	errno = 0;
	while (!err && getline(&line, &room, file) > 0)
		err = each(look, line);
	if (!err && !feof(file))
		err = errno ? -errno : -EIO;
	free(line);
	fclose(file);
	return err;
}

static int touched_add(struct look *look, uint64_t size, int node, uint64_t pages)
{
	struct hp_users *users = look->users;

	for (size_t i = users->nr_touched; i > 0; i--) {
		struct hp_touched *touched = &users->touched[i - 1];

		if (touched->pid != look->about.pid)
			break;
		if (touched->size == size && touched->node == node) {
			touched->pages += pages;
			return 0;
		}
	}
	struct hp_touched *more = reallocarray(users->touched, users->nr_touched + 1,
					       sizeof(*more));

	if (!more)
		return -ENOMEM;
	users->touched = more;
	more[users->nr_touched++] = (struct hp_touched){
		.pid = look->about.pid, .size = size, .node = node, .pages = pages };
	return 0;
}

/* "START POLICY … N0=3 N1=1 …": whole hugepages, by node. */
static int numa_line(struct look *look, const char *line)
{
	uint64_t start, pages, size = 0;
	int node, err = 0;

	if (sscanf(line, "%" SCNx64, &start) != 1)
		return 0;
	for (size_t i = 0; i < look->nr_mappings; i++)
		if (look->mappings[i].start == start)
			size = look->mappings[i].size;
	if (!size)
		return 0;
	for (const char *at = line; !err && (at = strchr(at, ' ')); at++)
		if (sscanf(at, " N%d=%" SCNu64, &node, &pages) == 2)
			err = touched_add(look, size, node, pages);
	return err;
}

/*
 * Does not ask a server over the network, which might not answer, for a file that is not ours. Nor
 * for more than the device until that is ours: where a user mounted FUSE, even root is told no more
 * (fs/fuse/dir.c, fuse_getattr).
 */
static int open_file(struct look *look, int dir, const char *name)
{
	const int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
	struct statx status;
	struct hp_use *use;

	if (statx(dir, name, flags, 0, &status)) {
		look->is_hidden |= !has_ended(-errno); /* closed meanwhile */
		return 0;
	}
	const dev_t dev = makedev(status.stx_dev_major, status.stx_dev_minor);
	const struct hp_mount *mount = hp_mounts_on(look->mounts, dev);

	if (!mount)
		return 0;
	if (statx(dir, name, flags, STATX_BASIC_STATS, &status)) {
		look->is_hidden |= !has_ended(-errno);
		return 0;
	}
	if (!S_ISREG(status.stx_mode))
		return 0;
	const int err = use_get(look, dev, status.stx_ino, mount->size, &use);

	if (!err) {
		use->is_open = true;
		use->open = status.stx_blocks * HP_BLOCK;
	}
	return err;
}

/* Calls @each with every name in a directory that does not begin with a dot, until it fails. */
static int each_name(struct look *look, const char *path,
		     int (*each)(struct look *, int dir, const char *name))
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (errno = 0, entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = each(look, dirfd(dir), entry->d_name);
	if (!err && errno)
		err = -errno;
	closedir(dir);
	return err;
}

static void command_read(struct look *look)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/proc/%d/comm", look->sys->root, look->about.pid);
	FILE *file = fopen(path, "re");

	if (!file || !fgets(look->about.command, sizeof(look->about.command), file))
		strlcpy(look->about.command, "?", sizeof(look->about.command));
	look->about.command[strcspn(look->about.command, "\n")] = '\0';
	if (file)
		fclose(file);
}

/*
 * Has this thread the table of descriptors that was read last? Nearly all have. It is not compared
 * with the leader, which may have ended, and has none then: of a thousand threads that share one
 * table, each would be looked at. A kernel without kcmp(2) says nothing: then they are.
 */
static bool shares_files(const struct look *look, pid_t thread)
{
	return !*look->sys->root && look->read &&
	       syscall(SYS_kcmp, look->read, thread, KCMP_FILES, 0, 0) == 0;
}

static int maps_look(struct look *look)
{
	look->nr_lines = 0;
	const int err = each_line(look, "maps", maps_line);

	/* A thread that has ended has none, whoever else goes on. */
	look->has_maps = !err && look->nr_lines;
	/* It goes through all page tables: only where there is something to find. A kernel without
	 * NUMA has no such file; then the numbers by node are missing. */
	if (look->has_maps && look->nr_mappings)
		(void)each_line(look, "numa_maps", numa_line);
	return err;
}

static int files_look(struct look *look)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/fd", look->dir);
	return each_name(look, path, open_file);
}

static int thread_look(struct look *look, int tasks, const char *thread)
{
	const pid_t tid = (pid_t)strtol(thread, NULL, 10);

	(void)tasks;
	snprintf(look->dir, sizeof(look->dir), "%s/proc/%d/task/%s", look->sys->root,
		 look->about.pid, thread);
	const int maps = look->has_maps ? 0 : maps_look(look);
	const bool shares = shares_files(look, tid);
	const int files = shares ? 0 : files_look(look);

	if (!shares && !files)
		look->read = tid;
	look->is_hidden |= (maps && !has_ended(maps)) || (files && !has_ended(files));
	return maps == -ENOMEM || files == -ENOMEM ? -ENOMEM : 0;
}

static int process_look(const struct hp_sys *sys, const struct hp_mounts *mounts, pid_t pid,
			struct hp_users *users)
{
	struct look look = { .sys = sys, .mounts = mounts, .users = users, .about.pid = pid };
	char path[PATH_MAX];

	command_read(&look);
	snprintf(path, sizeof(path), "%s/proc/%d/task", sys->root, pid);
	const int err = each_name(&look, path, thread_look);

	free(look.mappings);
	users->hidden += look.is_hidden || (err && !has_ended(err));
	return err == -ENOMEM ? err : 0;
}

static bool is_ours(const struct hp_sys *sys, pid_t pid)
{
	return !*sys->root && pid == getpid();
}

int hp_users_get(const struct hp_sys *sys, const struct hp_mounts *mounts, struct hp_users *users)
{
	char path[PATH_MAX];
	uint64_t pid;
	int err = 0;

	*users = (struct hp_users){ 0 };
	snprintf(path, sizeof(path), "%s/proc", sys->root);
	DIR *dir = opendir(path);

	if (!dir)
		return -errno;
	for (struct dirent *entry; !err && (errno = 0, entry = readdir(dir));)
		if (!hp_count_parse(entry->d_name, &pid) && pid <= INT_MAX &&
		    !is_ours(sys, (pid_t)pid))
			err = process_look(sys, mounts, (pid_t)pid, users);
	if (!err && errno)
		err = -errno;
	closedir(dir);
	if (err)
		hp_users_free(users);
	return err;
}

void hp_users_free(struct hp_users *users)
{
	free(users->uses);
	free(users->touched);
	*users = (struct hp_users){ 0 };
}

const struct hp_use *hp_users_of(const struct hp_users *users, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < users->nr; i++)
		if (users->uses[i].dev == dev && users->uses[i].ino == ino)
			return &users->uses[i];
	return NULL;
}
