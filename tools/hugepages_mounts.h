/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_MOUNTS_H
#define TOOLS_HUGEPAGES_MOUNTS_H

/*
 * Where hugepages can be in files: the hugetlbfs mounts of this process's mount namespace, from
 * /proc/self/mountinfo (proc_pid_mountinfo(5)), and the kernel's own, which have no path. On those
 * lie memfds, anonymous hugepages and System V segments.
 *
 * A file system is known by its device number, which /proc/PID/maps shows for each mapping, and by
 * that the size of its pages.
 */

#include "hugepages_sysfs.h"

#include <sys/types.h>

enum { HP_BLOCK = 512 }; /* bytes in a unit of st_blocks, whatever the file system (stat(2)) */

struct hp_mount {
	dev_t dev;
	uint64_t size;  /* bytes of a page */
	char *path;     /* NULL: the kernel's own */
	bool is_part;   /* not all of the file system is there, but a directory of it */
	char *type;     /* of the file system */
	char *options;  /* as the file system shows them: "rw,pagesize=2M,…" */
};

struct hp_mounts {
	size_t nr;
	struct hp_mount *list;
};

/* All hugetlbfs mounts, in the order in which they were made; then the kernel's own. */
int hp_mounts_get(const struct hp_sys *sys, struct hp_mounts *mounts);

void hp_mounts_free(struct hp_mounts *mounts);

/* The one that is on this device, or NULL: no hugepages are there. */
const struct hp_mount *hp_mounts_on(const struct hp_mounts *mounts, dev_t dev);

/* Has it a path, and is it the first of its device? One that is mounted twice is told from two. */
bool hp_mounts_is_first(const struct hp_mounts *mounts, const struct hp_mount *mount);

/*
 * What is mounted on exactly this path, the last if several are, whatever its type; the size is 0
 * if it is no hugetlbfs. -ENOENT: nothing is. Given back with hp_mount_free().
 */
int hp_mount_at(const struct hp_sys *sys, const char *path, struct hp_mount *mount);

void hp_mount_free(struct hp_mount *mount);

/* The value of an option, or false if the mount does not show it: it has the default. */
bool hp_mount_option(const struct hp_mount *mount, const char *name, char *value, size_t room);

#endif
