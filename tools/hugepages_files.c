/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_files.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int hp_files_each(const struct hp_sys *sys, const struct hp_mount *mount, void *argument,
		  int (*each)(void *argument, const char *path, const struct stat *status))
{
	char top[PATH_MAX];
	char *const tops[] = { top, NULL };
	int err = 0;

	if (snprintf(top, sizeof(top), "%s%s", sys->root, mount->path) >= PATH_MAX)
		return -ENAMETOOLONG;
	FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);

	if (!walk)
		return -errno;
	for (FTSENT *entry; !err && (entry = fts_read(walk));) {
		/* Of this mount alone: another may lie over it, and a link in the place of a
		 * directory leads anywhere. */
		if (entry->fts_info == FTS_F && entry->fts_statp->st_dev == mount->dev)
			err = each(argument, entry->fts_path + strlen(sys->root),
				   entry->fts_statp);
		else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
			err = -entry->fts_errno;
	}
	fts_close(walk);
	return err;
}
