/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_NAMED_H
#define POOL_NAMED_H

/*
 * The files of a named pool: a directory on a hugetlbfs mount that outlives its makers.
 *
 *     PATH/control     the control area
 *     PATH/0 ...       segments, by index
 *
 *     the keeper that makes it          a keeper that takes it over     whoever else may
 *     ------------------------          ---------------------------     ----------------
 *     named_make(), which locks         named_lookup()                  named_lookup()
 *     named_create() for each file      named_lock()                    named_open()
 *       (the magic of the control       named_open() for each file        segment_map()
 *       area is stored last of all)       segment_map()                 named_close()
 *     named_close(): the pool stays     named_close()
 *     named_unlink(), named_close(): it is gone once nobody has it mapped
 *
 * Trust: files on hugetlbfs take no seals (they carry F_SEAL_SEAL alone, from birth). Whoever can
 * open them can shorten them or punch holes, and others that touch what was there die of SIGBUS.
 * So named pools are for processes that trust each other with their lives: one user's, or one
 * group's when asked for. Nothing is opened that another user could have made or can change: the
 * directory and each file belong to the effective user or to root.
 *
 * Pages: a mount has pages of one size, so all segments and the control area of a named pool have
 * it, too. Files are sparse and only populated pages cost, but a control area costs one page at
 * least: on a mount with 1 GiB pages, 1 GiB.
 *
 * The lock is the keeper's for its life: an flock on the directory, through a description that no
 * one else is ever given. The child of a fork gives its copy up at once, so that it does not keep
 * a dead parent's lock. An exec does, too.
 *
 * Death: a maker killed half-way leaves a directory without control area, or with one whose magic
 * is 0. A keeper killed while it unlinks leaves no control area either, since that goes first.
 * Both are removed by named_unlink() under the lock, which nobody holds any more.
 *
 * Threads: calls on different objects may run at once. One thread at a time for one object.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NAMED_CONTROL "control"
#define NAMED_WHAT_MAX 16 /* bytes of a file's name, the final 0 included */

struct named {
	char *path;
	int dir;             /* -1 in the child of a fork, if it was locked */
	size_t page_size;    /* of the mount, in bytes */
	struct named *other; /* the next that this process has locked */
	bool locked;
};

/* The name of the file of segment @index. */
void named_segment(uint32_t index, char what[NAMED_WHAT_MAX]);

/*
 * A new directory @path, locked; @mode is that of the files to come: 0 or 0600 for the user
 * alone, 0660 (or 0640, to read) for the group of the directory as well.
 *
 * -EEXIST  there is something of that name: take it over, or unlink it
 * -EINVAL  not on a hugetlbfs mount, or @mode has other bits
 * -EBUSY   somebody else was faster and has it locked
 */
int named_make(const char *path, mode_t mode, struct named **named);

/*
 * A directory that is there, not locked.
 *
 * -ENOENT  there is none
 * -EINVAL  not on a hugetlbfs mount, or no directory
 * -EPERM   it belongs to another user, or others may write to it
 */
int named_lookup(const char *path, struct named **named);

/*
 * Makes this process the keeper.
 * -EBUSY   another is
 * -ENOENT  the pool was unlinked meanwhile
 */
int named_lock(struct named *named);

/* Closes and unlocks. NULL is no harm. */
void named_close(struct named *named);

/*
 * A new file of @len bytes, a multiple of the page size; @mode as for named_make().
 * -EEXIST  there is one: the pool is not new
 */
int named_create(const struct named *named, const char *what, size_t len, mode_t mode, int *fd);

/*
 * A file that is there. @len is its length, which whoever has it open can still change.
 *
 * -ENOENT  there is none: a half-made pool, if this is the control area
 * -EPROTO  it is empty: its maker was killed before it had a length
 * -EPERM   the file is another user's, is writable by others, has a second name, or is no plain
 *          file of this mount
 */
int named_open(const struct named *named, const char *what, int *fd, size_t *len);

/* Removes one file. It is no error if there is none. */
void named_drop(const struct named *named, const char *what);

/* The same for segment @index, and gives its pages back though others may have it mapped still:
 * they find zeroes there. */
void named_drop_segment(const struct named *named, uint32_t index);

/*
 * Removes the pool's files and the directory: what is mapped stays, until unmapped. pre: locked.
 * -ENOTEMPTY  something in the directory is not of the pool, and is left there
 */
int named_unlink(const struct named *named);

#endif
