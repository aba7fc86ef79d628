/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_AUDIT_H
#define PINIOND_AUDIT_H

/*
 * Pages that somebody punched out of a pool's files.
 *
 * Seals keep members from shortening a file, not from giving pages of it back: madvise(2) with
 * MADV_REMOVE and fallocate(2) with FALLOC_FL_PUNCH_HOLE work for all who may write to it. What was
 * in there is gone. Who touches it next gets another page, or SIGBUS if hugepages have run out; a
 * device that has the page pinned goes on with the old one. Members trust each other so far
 * (pool.h). The service cannot prevent it, but says so: once in the log, and in what pinion(1) is
 * told.
 *
 *     whole  -> damaged   pages are missing: nobody is attached to the pool any more. Its members
 *                         stay: they may be the ones who can still save something
 *     damaged -> whole    the segments that lack pages were retired (order.c). Nothing mends a
 *                         control area: end the pool
 *
 * What was found is in the ledger, and a service that is started again knows it; of a pool with a
 * path also when that was ended, and is adopted. What was punched out while none ran is found where
 * nobody has touched it since; of a control area it is not, for what that has then counts as the
 * most it had. Without a store all begins with whole pools.
 *
 * Each half second, in two ways:
 *
 *     files   st_blocks of every file. It falls by what is punched out, and rises again when
 *             anybody touches the hole.
 *     pages   is each page still in this process's own page table? A hole takes it out of all of
 *             them, and who touches it has it in his own alone: move_pages(2) tells.
 *
 * What they see, measured on Linux 6.18, and with 2 MiB pages the same whether the hole was made by
 * MADV_REMOVE or by PUNCH_HOLE:
 *
 *                       a hole   touched again by a member
 *     4 KiB pages       files    nothing
 *     hugepages         files    pages
 *
 * Base pages may be swapped out, and are in no table then: of them, and of control areas, only
 * st_blocks is asked. A hole there that was touched again within half a second is not seen.
 * st_blocks of a control area also rises as slots come into use: less than it once had is what
 * counts.
 *
 * What else is not seen: a hole in a segment that is not yet all in our table and was touched again
 * (a service that comes back gets there batch by batch); one that this process was the first to
 * touch (it does in pools with PINION_POOL_DEBUG alone); and, where the kernel lets processes share
 * page tables (x86, mappings of 1 GiB and more), one that a member touched.
 *
 * A page that is being moved is in no table for a moment: one that is missing is looked at again
 * before it counts.
 *
 * As base pages are not looked for in our table, they are taken out of it in each turn: what is
 * the pools' does not count as the service's memory. (Hugepages do not anyhow.)
 *
 * Work of a turn: one fstat(2) for each file, of which a pool has 65 at most, and a look at 2,048
 * pages (4 GiB in pages of 2 MiB), shared evenly by the pools: 0.2 us each, and 1 us when it is put
 * into our table first. More pages than that are gone through in turn. Nothing is waited for.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;
struct service;

/* Of one pool; all 0 at first. */
struct audit {
	uint64_t punched;      /* a bit for each slot whose segment lacks pages */
	bool control_punched;  /* the control area does */
	uint64_t control_most; /* bytes that it had at most */
	uint64_t ours;         /* a bit for each slot that is all in our page table */
	uint32_t slot;         /* where looking at pages goes on ... */
	size_t page;
	bool suspect;          /* ... and one there was missing at the last look */
};

/* From now on, with the loop. */
int audit_start(struct service *service);

/* Does it lack pages? */
bool audit_is_damaged(const struct pool *pool);

/* What the ledger has of a pool that was taken up again. */
void audit_recall(struct pool *pool);

/* The segment of @slot went, and whatever was wrong with it. */
void audit_forget(struct pool *pool, uint32_t slot);

#endif
