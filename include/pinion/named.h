/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_NAMED_H
#define PINION_NAMED_H

/*
 * Named pools: pools that outlive all their processes, as files on a hugetlbfs mount.
 *
 *     the first keeper                            a later one
 *     ----------------                            -----------
 *     config.path = "/dev/hugepages/capture";
 *     pinion_pool_create(&config, &pool);
 *       ... killed, or pinion_pool_destroy()      pinion_pool_adopt("/dev/hugepages/capture", ...)
 *                                                   ... pool and data are there, all is repaired
 *                                                 pinion_pool_unlink("/dev/hugepages/capture")
 *
 * PATH becomes a directory with one file for the control area and one for each segment. All
 * segments have the page size of the mount; others are made by
 * mount -t hugetlbfs -o pagesize=1G none DIR
 * Members get the files from the keeper, as those of any pool.
 *
 * Trust: files on hugetlbfs cannot be sealed. Whoever may open them can shorten them under the
 * others, who die of SIGBUS then. So they are for processes of one user, or of one group where
 * config.mode says so; files of other users are refused by all sides.
 *
 * Threads: each of these calls is for one thread, which uses the pool for nothing else meanwhile.
 * One keeper at a time: the keeper's process holds a lock for as long as it has the pool.
 * Death: whatever is killed at whatever moment, adopt or unlink works afterwards.
 */

#include <pinion/pool.h>

/* What a process that takes a pool over finds. */
struct pinion_adoption {
	uint32_t dead;   /* members whose process is gone; to pinion_pool_adopt(), or that left */
	uint32_t living; /* the other members */
	struct pinion_recovery recovery;
};

/*
 * pinion_pool_adopt() - take over a named pool that no keeper has.
 *
 * Checks the layout's stamp and each file, as attaching does, and gives the caller a member number.
 * If no member lives, all that the dead held is recovered and their numbers are released. If some
 * live, what the dead published to them may be in transit, which this call cannot know: it recovers
 * nothing, and the caller does, with pinion_pool_recover() for each of the dead.
 *
 * What the pool is and who is in it is read from the control area, which members can write; a
 * keeper that stored its record (resume.h) need not believe it: pinion_pool_resume_named().
 *
 * -ENOENT  there is no such pool
 * -EBUSY   its keeper lives
 * -EPROTO  of another layout, or killed while it was made: pinion_pool_unlink() it
 * -EPERM   files of another user, or that others may write
 * -EINVAL  PATH is not a directory on a hugetlbfs mount, or a segment's file is missing or does not
 *          fit the control area; the sentence says which
 * -EAGAIN  all member numbers are taken, and some by processes that live, so that none can be
 *          released: end all of those (one number more than members leaves one for a next keeper)
 * -ENOMEM, -EMFILE, ...  as of pinion_pool_attach(); recovery may be half done then, and is done
 *          again by the next call
 *
 * When nobody lives all is free afterwards, whatever was written to the control area.
 *
 * Trust: who lives is what the control area says, and members can write there. One whose slot was
 * written over counts as gone, and what it held goes to others, though a device may be writing to
 * it. With a record (resume.h) it does not: that is where a keeper has it from.
 *
 * A member admitted with pid 0 is nobody as yet, and counts as gone until its process has attached
 * or become it; its number may be another's then. pre: whoever has not done so when the keeper dies
 * does not do it afterwards, but is admitted anew. (A child that is still to become one, say, asks
 * to end with its parent: prctl(PR_SET_PDEATHSIG).)
 */
int pinion_pool_adopt(const char *path, struct pinion_pool **pool,
		      struct pinion_adoption *adoption);

/*
 * pinion_pool_unlink() - remove a named pool: its pages are free once nobody has it mapped.
 *
 * -ENOENT  there is no such pool
 * -EINVAL  PATH is not a directory on a hugetlbfs mount
 * -EPERM   it is another user's, or others may write to it
 * -EBUSY   its keeper lives: end that, or have it call pinion_pool_destroy() first
 * -ENOTEMPTY  something that is not of the pool lies in the directory, and was left there
 */
int pinion_pool_unlink(const char *path);

#endif
