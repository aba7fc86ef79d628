/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_RESUME_H
#define PINION_RESUME_H

/*
 * A keeper that comes back: pools whose keeper was killed and started again, while the members
 * live on and use them.
 *
 * Members can write the control area. So what the keeper alone may say is kept where no member can
 * reach it: in a ledger of the keeper's own, beside the pool's files, with somebody who outlives it
 * (systemd's fd store, say). Of a pool it holds
 *
 *     the files       pinion_pool_export()
 *     the record      what the pool is, and which segments it has: struct pinion_pool_record
 *     the members     which number is which process: struct pinion_member_record for each number
 *
 *     the first keeper                        store, in this order
 *     ----------------                        --------------------
 *     pinion_pool_create()                    the files, the record, its own member number; only
 *     pinion_pool_watch()                     then admit somebody
 *     pinion_pool_admit()                     the member; only then tell that process
 *     pinion_pool_release()                   the number is free, once the call has returned
 *     pinion_pool_quota()                     the member
 *     pinion_pool_grow(), _retire()           what the watch is told of, while it is told
 *
 *     the next                                store
 *     --------                                -----
 *     pinion_pool_resume()                    its own member number, before it does anything else
 *       living == 0 in the report:              and all other numbers are free
 *     pinion_pool_watch()
 *     pinion_pool_recover(), _release()       as ever, for each of the dead: the keepers of before
 *                                             are among them, under the numbers that they had
 *
 * The watch is told what becomes of a segment before any member can see it:
 *
 *     pinion_pool_grow()      (slot, fd)   it comes: nobody can meet an id in it as yet
 *     pinion_pool_retire()    (slot, fd)   nothing more will be allocated from it
 *                             (slot, fd)   it is empty, and goes
 *                             (slot, -1)   its pages are given back: the file is of no use any more
 *
 * Each time: store the file if there is one that is not stored yet; then the record; then drop the
 * file if there is none any more. The moment at which the record is stored decides. Killed before
 * it, the change was never made, and nobody saw any of it; killed at any instruction after it, the
 * change is made, by pinion_pool_resume() if need be.
 *
 * A record is stored as a whole or not at all: write it beside the last one, then switch. (Half of
 * one is refused by its sum, and then the pool cannot be had back.) It holds numbers alone, and is
 * good for the same build of the library or one with the same stamp.
 *
 * A member that was admitted before its process was known (pid 0), and stored so, counts as gone
 * until that process has attached or become it, and its number may be another's then. Whoever has
 * not done so when the keeper dies must not do it afterwards: see pinion_pool_adopt().
 *
 * Files are found again by their inode: a slot's is segment[slot].inode of the record. One that is
 * stored under a slot of which the record knows no segment is left over from a change that was not
 * recorded, or not dropped: give it to pinion_pool_resume() all the same, and drop it afterwards.
 *
 * Trust: nothing that pinion_pool_resume() does depends on what a member may have written over the
 * keeper's part of the control area: it is set right again from record and ledger. Owner words and
 * magazines are the members' own, see pool.h: while one of them lives, buffers can be nobody's.
 * When none does, all is free, whatever was written.
 *
 * Threads: all of these are for the keeper's one thread (pool.h). Processes: one keeper at a time;
 * that the one before is gone is for the caller to know.
 *
 * A named pool (named.h) keeps its files in its directory: record and members alone are stored, the
 * watch has no file to store or drop, and pinion_pool_resume_named() finds files by the record.
 * (Where no record was stored, pinion_pool_adopt() believes what the control area says.)
 *
 * Death: killed at whatever moment, pinion_pool_resume() works with what is stored then.
 */

#include <stdint.h>
#include <sys/types.h>

#include <pinion/named.h>
#include <pinion/pool.h>

/* One slot. Of a segment, as made; without one, all but @state is 0. */
struct pinion_segment_record {
	uint64_t state;        /* the library's: what became of it, and when */
	uint64_t len;          /* bytes of its file */
	uint64_t inode;        /* of its file */
	uint32_t nr;           /* buffers; 0: no segment */
	int32_t node;          /* as in struct pinion_segment_stat */
	uint8_t buffer_shift;  /* log2 of bytes */
	uint8_t stride_shift;  /* from one buffer to the next */
	uint8_t page_shift;
	uint8_t zone;          /* see pinion_pool_stat() */
	uint8_t reserved[4];
};

/* What a keeper knows of its pool, and nobody else may say. */
struct pinion_pool_record {
	uint64_t magic, stamp;  /* of a record, and of the layout */
	uint64_t pool;          /* its random number */
	uint64_t epoch;         /* of the newest change of a slot */
	uint64_t control_len;   /* bytes of the control area */
	uint64_t control_inode; /* of its file */
	uint32_t segment_shift; /* ids per segment, log2 */
	uint32_t nr_segments;   /* slots */
	uint32_t nr_members, nr_caches, magazine_size, flags; /* struct pinion_pool_config */
	struct pinion_segment_record segment[PINION_SEGMENT_MAX];
	uint64_t sum; /* over all of the above */
};

/* What the ledger has for one member number. All 0: it is free. */
struct pinion_member_record {
	uint32_t admitted; /* 0: free, whatever the control area says */
	int32_t pid;       /* 0: not known, see pinion_pool_admit(); as the member wrote it */
	uint64_t started;  /* when that process did, for a pid is used again; 0: not known */
	uint64_t quota;    /* pinion_pool_quota() */
};

/*
 * pinion_pool_record() - what has to be stored of a pool as it is now.
 *
 * Not from within a watch, which is given its record.
 *
 * -EPERM   this process neither made the pool nor took it over, or is the child of one that did
 */
int pinion_pool_record(const struct pinion_pool *pool, struct pinion_pool_record *record);

/*
 * pinion_member_record() - what has to be stored of a member with process @pid.
 *
 * Whose pidfd the caller has: if that says afterwards that it lives, this was about it.
 *
 * -ESRCH  there is no such process, or /proc cannot be read
 */
int pinion_member_record(pid_t pid, struct pinion_member_record *record);

/*
 * pinion_pool_watch() - from now on be told before a segment comes or goes; NULL: no more.
 *
 * @store does what stands above, and returns 0; or -errno if it could not, and then the call fails
 * with that and the segment stays as it was. (What is returned to the last, of pages given back, is
 * not looked at.) It is called with the pool locked, within pinion_pool_grow() and _retire(): it
 * calls nothing of this pool, and is quick, since threads of this process that look for new
 * segments wait for it. @fd is the pool's: pass, do not close.
 *
 * -EPERM   this process neither made the pool nor took it over, or is the child of one that did
 */
int pinion_pool_watch(struct pinion_pool *pool,
		      int (*store)(void *context, uint32_t slot, int fd,
				   const struct pinion_pool_record *record),
		      void *context);

/*
 * pinion_pool_resume() - be the keeper of a pool again.
 *
 * @members: record->nr_members of them. Sets the control area's header, slots and members right,
 * and gives the caller a member number. If no member lives, all that the dead held is recovered,
 * and all numbers but the caller's are free. If some live, nothing is recovered: what the dead
 * published to them may be in transit, and the caller knows how to tell (pinion_pool_recover()).
 * A process that executed itself anew is among the living, as the keeper that it was.
 *
 * On success the pool owns @fds, and has closed those that it has no use for; on failure they
 * remain the caller's. A call that fails changes nothing, but for -ENOMEM in recovery, which may be
 * half done: it is done again by the next call.
 *
 * -EPROTO  not a record, half of one, or one of another layout
 * -EINVAL  a file is missing, is not the one in the record, or not sealed; the sentence says which
 * -EAGAIN  all member numbers are admitted, and some of them live: end all of those
 * -ENOMEM, -EMFILE, ...  as of pinion_pool_attach()
 */
int pinion_pool_resume(const struct pinion_pool_fds *fds, const struct pinion_pool_record *record,
		       const struct pinion_member_record *members, struct pinion_pool **pool,
		       struct pinion_adoption *report);

/*
 * pinion_pool_resume_named() - the same, of a named pool that no keeper has.
 *
 * Errors as of pinion_pool_resume(), but that files of hugetlbfs are not sealed, and
 * -ENOENT  there is no such pool
 * -EINVAL  also: PATH is not a directory on a hugetlbfs mount
 * -EBUSY   its keeper lives
 * -EPERM   files of another user, or that others may write
 */
int pinion_pool_resume_named(const char *path, const struct pinion_pool_record *record,
			     const struct pinion_member_record *members, struct pinion_pool **pool,
			     struct pinion_adoption *report);

#endif
