/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_FILES_H
#define TOOLS_HUGEPAGES_FILES_H

/*
 * The files of hugetlbfs mounts, at any depth. Links are not followed, nor what is mounted below.
 *
 * Users may make directories there, and put another one or a link in the place of one at any
 * moment. So the way down is by descriptors, each directory opened in the one above it; a path is
 * for people. What is asked or done of a file goes through the descriptor of its directory, and
 * then all of it is about the same directory, wherever that has been moved.
 *
 * A file system may be mounted in several places, and not all can be reached: another mount may lie
 * over one, or over the way there. Then it is walked at another, and told where there is none.
 */

#include "hugepages_mounts.h"

#include <sys/stat.h>

struct hp_file {
	int dir;          /* descriptor of its directory, open while @each runs */
	const char *name; /* in that directory */
	const char *path; /* from the machine's root, as it was on the way down */
	const struct stat *status;
	int err;          /* 0, or -errno: it could not be looked at, and has no more than a path.
			   * -ESTALE: a whole mount, which cannot be reached */
};

/*
 * Calls @each with every plain file, and with every file or directory that could not be looked at,
 * until it fails; then that is returned. What vanished meanwhile is passed over.
 */
int hp_files_each(const struct hp_sys *sys, const struct hp_mount *mount, void *argument,
		  int (*each)(void *argument, const struct hp_file *file));

/* The same of all mounts with pages of @size, or with 0 of any; each file system once. */
int hp_files_all(const struct hp_sys *sys, const struct hp_mounts *mounts, uint64_t size,
		 void *argument, int (*each)(void *argument, const struct hp_file *file));

#endif
