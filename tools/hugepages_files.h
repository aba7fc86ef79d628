/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_FILES_H
#define TOOLS_HUGEPAGES_FILES_H

/*
 * The files of a hugetlbfs mount, at any depth. Links are not followed, nor what is mounted below.
 */

#include "hugepages_mounts.h"

#include <sys/stat.h>

/*
 * Calls @each with every plain file until it fails; @path begins at the root of the machine.
 * -errno of a directory that could not be read, or what @each returned.
 */
int hp_files_each(const struct hp_sys *sys, const struct hp_mount *mount, void *argument,
		  int (*each)(void *argument, const char *path, const struct stat *status));

#endif
