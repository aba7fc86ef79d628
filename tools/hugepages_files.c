/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/magic.h>

struct walk {
	dev_t dev; /* of the mount */
	void *argument;
	int (*each)(void *argument, const struct hp_file *file);
	char path[PATH_MAX]; /* where it is */
};

/* Taken away since it was seen, or something else is in its place: no directory of ours. */
static bool is_gone(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ELOOP;
}

static int report(const struct walk *walk, int err)
{
	const struct hp_file file = { .dir = -1, .path = walk->path, .err = err };

	return is_gone(err) ? 0 : walk->each(walk->argument, &file);
}

/* The descriptor, or -errno. -ENOENT: it is on another file system, which is mounted there. */
static int directory_open(int above, const char *name, dev_t dev)
{
	const int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return -errno;
	const int err = fstat(fd, &status) ? -errno : status.st_dev != dev ? -ENOENT : 0;

	if (err)
		close(fd);
	return err ? err : fd;
}

/* A file is handed on; of a directory @below becomes the descriptor. */
static int entry_look(struct walk *walk, int dir, const char *name, int *below)
{
	struct stat status;
	const struct hp_file file = { dir, name, walk->path, &status, 0 };

	if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW))
		return report(walk, -errno);
	if (status.st_dev != walk->dev)
		return 0;
	if (S_ISREG(status.st_mode))
		return walk->each(walk->argument, &file);
	if (!S_ISDIR(status.st_mode))
		return 0;
	*below = directory_open(dir, name, walk->dev);
	return *below < 0 ? report(walk, *below) : 0;
}

/* NULL at the end, with @err 0, or when reading failed. */
static const char *next_name(DIR *dir, int *err)
{
	const struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	*err = entry ? 0 : -errno;
	return entry ? entry->d_name : NULL;
}

/* Closes @fd. @len is that of the directory's path; as deep as a path is long, one descriptor each.
 * Where these run out, that directory is one that could not be looked at. */
static int directory_walk(struct walk *walk, int fd, size_t len)
{
	DIR *dir = fdopendir(fd);
	int err = 0, failed = 0;

	if (!dir) {
		failed = -errno;
		close(fd);
		return report(walk, failed);
	}
	for (const char *name; !err && (name = next_name(dir, &failed));) {
		const size_t room = sizeof(walk->path) - len;
		const int more = snprintf(walk->path + len, room, "/%s", name);
		int below = -1;

		err = (size_t)more >= room ? report(walk, -ENAMETOOLONG)
					   : entry_look(walk, fd, name, &below);
		if (below >= 0)
			err = directory_walk(walk, below, len + (size_t)more);
		walk->path[len] = '\0';
	}
	if (!err && failed)
		err = report(walk, failed);
	closedir(dir);
	return err;
}

/*
 * -ESTALE: something else is where the mount should be. Another may lie over it, or may have been
 * put there since the mount table was read; or this one was taken away since, and its device number
 * given to another. A test's tree is no hugetlbfs.
 */
static int top_open(const struct hp_sys *sys, const struct hp_mount *mount)
{
	char full[PATH_MAX];
	struct statfs status;

	if (snprintf(full, sizeof(full), "%s%s", sys->root, mount->path) >= PATH_MAX)
		return -ENAMETOOLONG;
	const int fd = directory_open(AT_FDCWD, full, mount->dev);

	if (fd < 0)
		return is_gone(fd) ? -ESTALE : fd;
	if (*sys->root)
		return fd;
	const int err = fstatfs(fd, &status) ? -errno :
			status.f_type != HUGETLBFS_MAGIC ? -ESTALE : 0;

	if (err)
		close(fd);
	return err ? err : fd;
}

/* Closes @fd, which is the top of the mount, or -errno. */
static int mount_walk(const struct hp_mount *mount, int fd, void *argument,
		      int (*each)(void *argument, const struct hp_file *file))
{
	struct walk walk = { .dev = mount->dev, .argument = argument, .each = each };
	const int len = snprintf(walk.path, sizeof(walk.path), "%s", mount->path);

	return fd < 0 ? report(&walk, fd) : directory_walk(&walk, fd, (size_t)len);
}

int hp_files_each(const struct hp_sys *sys, const struct hp_mount *mount, void *argument,
		  int (*each)(void *argument, const struct hp_file *file))
{
	return mount_walk(mount, top_open(sys, mount), argument, each);
}

/* The top of the first mount of @mount's device that can be reached, which @mount becomes, or why
 * none can. One that shows all of the file system goes before one that does not. */
static int any_open(const struct hp_sys *sys, const struct hp_mounts *mounts,
		    const struct hp_mount **mount)
{
	const dev_t dev = (*mount)->dev;
	int first = 0;

	for (size_t i = 0; i < 2 * mounts->nr; i++) {
		const struct hp_mount *other = &mounts->list[i % mounts->nr];

		if (!other->path || other->dev != dev || other->is_part != (i >= mounts->nr))
			continue;
		const int fd = top_open(sys, other);

		if (fd >= 0 || !first)
			*mount = other;
		if (fd >= 0)
			return fd;
		first = first ? first : fd;
	}
	return first;
}

int hp_files_all(const struct hp_sys *sys, const struct hp_mounts *mounts, uint64_t size,
		 void *argument, int (*each)(void *argument, const struct hp_file *file))
{
	int err = 0;

	for (size_t i = 0; i < mounts->nr && !err; i++) {
		const struct hp_mount *mount = &mounts->list[i];

		if (!hp_mounts_is_first(mounts, mount) || (size && mount->size != size))
			continue;
		const int fd = any_open(sys, mounts, &mount);

		err = mount_walk(mount, fd, argument, each);
	}
	return err;
}
