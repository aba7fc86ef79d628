/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_IOVA_H
#define PINION_IOVA_H

/*
 * Which I/O virtual addresses are free: an allocator for one address space of an IOMMU.
 *
 *     what the IOMMU can do                      what is mapped
 *     ---------------------                      --------------
 *     pinion_iova_init(&space, page, extent, room)
 *     pinion_iova_add(&space, start, last)       each usable range
 *     pinion_iova_reserve(&space, start, last)   each region to stay away from
 *                                                pinion_iova_alloc(&space, len, align, &iova)
 *                                                map len bytes at iova
 *                                                ... devices work ...
 *                                                unmap them
 *                                                pinion_iova_free(&space, iova, len)
 *
 * An address is chosen by alloc (the lowest that fits), by alloc_within (the lowest between two
 * limits), or by the caller: alloc_at, and alloc_va for the address that memory has in this
 * process, so that a pointer is a bus address. Nothing is mapped here: that is the IOMMU's driver's
 * (vfioctl.h), which may know mappings of others and refuse what this allocator holds free.
 *
 * Where ranges come from on Linux: pinion_vfio_iommu_info() or IOMMU_IOAS_IOVA_RANGES. They leave
 * out what the kernel reserves: on x86 0xfee00000 to 0xfeefffff, where interrupts are written; on
 * Arm a window at 0x8000000 for the same. /sys/kernel/iommu_groups/N/reserved_regions lists such
 * regions; of these VFIO's ranges have only those called direct-relaxable. What is left to reserve
 * is the caller's own: address 0, windows of other devices. An address space of iommufd without a
 * device says 0 to 2^64 - 1: ranges are given by their last address, so that one can end there.
 *
 * Memory: the array of extents is the caller's, and no call allocates. So it runs where there is no
 * malloc, cannot fail to free, and has a bound that can be worked out: with A allocations at a time
 *
 *     nr <= 2 * A + ranges + reserved regions
 *
 * VFIO makes 65,535 mappings at most, 3 MiB of extents; a driver that maps a few pools needs a few
 * dozen, on its stack or in its own struct. Who knows no A moves to a larger array on -ENOBUFS
 * (pinion_iova_move()). A space has nothing to undo: it ends with its array.
 *
 * Time: the array is in ascending order. free, find, alloc_at look in it by halves; alloc goes from
 * its lower limit on; all but find then move what stands behind. So O(nr), of 24 bytes each: a
 * microsecond with five hundred extents, a third of a millisecond with the 131,071 of all of VFIO's
 * mappings. The call that maps pins pages and costs more; a tree would want memory for its nodes.
 *
 * Fragmentation: what is allocated never moves, so -ENOSPC can come with enough bytes free in
 * pieces that are too short (pinion_iova_stat() says how long the longest is). Gaps left by an
 * alignment stay free, for smaller ones. Remedy: allocate the large and the aligned first, ask for
 * no more alignment than the device or the page size wants.
 *
 * Threads: callers serialise; any number may read (find, stat, the array) while none changes.
 * Processes: over fork the child has a copy that no longer hears of the parent's. One of the two
 * may go on. Death: nothing remains here. Mappings live as long as the container's last
 * descriptor: who goes on with that begins a new space, and alloc_at for each that it knows of.
 *
 * Caveats, each with its remedy:
 *  - An address that was freed may be handed out at once. Unmap first, free then: an unmap that
 *    failed keeps its address. Who would rather have a late DMA fault than hit somebody else gives
 *    alloc_within a lower limit that goes round.
 *  - Address 0 is handed out if a range has it, and looks like NULL: pinion_iova_reserve(s, 0, 0).
 *  - Devices with 32 address bits: highest = UINT32_MAX. The lowest first is what takes their
 *    addresses away: others ask from 2^32 on, and for any only after -ENOSPC.
 *  - Ranges narrow when another device joins the address space: reserve what lies between the new
 *    ones. The kernel lets none join that would take what is mapped.
 *  - Ranges that touch become one: an allocation may lie across them. None of Linux's touch.
 *
 * Calls return 0 or -errno, do not touch errno, and change nothing when they fail.
 *
 * Sources: <linux/vfio.h>, <linux/iommufd.h>, drivers/vfio/vfio_iommu_type1.c (dma_entry_limit,
 * vfio_iommu_resv_exclude()), IOAPIC_RANGE_START of the Intel and MSI_IOVA_BASE of the Arm driver
 * in drivers/iommu, Documentation/ABI/testing/sysfs-kernel-iommu_groups of Linux.
 * Needs the C library and no operating system. C99, C11, C++17; includes no other header of ours.
 */

/* For headers that follow: nothing here needs POSIX. */
#if !defined(_DEFAULT_SOURCE) && !defined(_FEATURES_H)
#define _DEFAULT_SOURCE 1
#endif

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Addresses from start to last, both included. */
struct pinion_iova_extent {
	uint64_t start, last;
	bool used; /* one allocation; else free */
};

/*
 * An address space. All may be read, to walk it: extent[0] to extent[nr - 1] ascend and do not
 * overlap; two free ones do not touch; what none has is outside the ranges or reserved. start and
 * last + 1 are multiples of page_size.
 */
struct pinion_iova_space {
	struct pinion_iova_extent *extent;
	size_t nr, room;
	uint64_t page_size; /* bytes, a power of two */
};

/* Sums, in bytes: UINT64_MAX stands for 2^64 as well. */
struct pinion_iova_usage {
	uint64_t free_len, used_len;
	uint64_t largest_len; /* of the longest free extent */
	size_t nr_free, nr_used;
};

/* The first extent that ends at or behind iova, by its index; nr when there is none. */
static inline size_t pinion_iova_index(const struct pinion_iova_space *space, uint64_t iova)
{
	size_t low = 0, high = space->nr;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (space->extent[middle].last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Put the nr extents of with in the place of gone others, from index i on; -ENOBUFS when they
 * would be too many. */
static inline int pinion_iova_splice(struct pinion_iova_space *space, size_t i, size_t gone,
				     const struct pinion_iova_extent *with, size_t nr)
{
	struct pinion_iova_extent *at;

	if (nr > gone && nr - gone > space->room - space->nr)
		return -ENOBUFS;
	at = space->extent + i;
	memmove(at + nr, at + gone, (space->nr - i - gone) * sizeof(*at));
	memcpy(at, with, nr * sizeof(*at));
	space->nr = space->nr - gone + nr;
	return 0;
}

/* Do two neighbours make one? pre: left ends before right starts. */
static inline bool pinion_iova_joins(const struct pinion_iova_extent *left,
				     const struct pinion_iova_extent *right)
{
	return !left->used && !right->used && left->last + 1 == right->start;
}

/* Put a free extent in the place of gone others, from index i on, joined with its neighbours. */
static inline int pinion_iova_put(struct pinion_iova_space *space, size_t i, size_t gone,
				  uint64_t start, uint64_t last)
{
	struct pinion_iova_extent one = { start, last, false };

	if (i > 0 && pinion_iova_joins(&space->extent[i - 1], &one)) {
		one.start = space->extent[--i].start;
		gone++;
	}
	if (i + gone < space->nr && pinion_iova_joins(&one, &space->extent[i + gone])) {
		one.last = space->extent[i + gone].last;
		gone++;
	}
	return pinion_iova_splice(space, i, gone, &one, 1);
}

/* Make [start, last] of the free extent at index i an allocation. */
static inline int pinion_iova_take(struct pinion_iova_space *space, size_t i, uint64_t start,
				   uint64_t last)
{
	const struct pinion_iova_extent was = space->extent[i];
	struct pinion_iova_extent with[3];
	size_t nr = 0;

	with[nr] = was;
	with[nr].last = start - 1;
	nr += was.start < start;
	with[nr].start = start;
	with[nr].last = last;
	with[nr++].used = true;
	with[nr] = was;
	with[nr].start = last + 1;
	nr += last < was.last;
	return pinion_iova_splice(space, i, 1, with, nr);
}

/* Whole pages, at least one? */
static inline bool pinion_iova_len_ok(const struct pinion_iova_space *space, uint64_t len)
{
	return len != 0 && (len & (space->page_size - 1)) == 0;
}

/*
 * Begin an address space with no usable address. page_size: of the IOMMU, the smallest (of VFIO's
 * page_sizes the lowest bit; iommufd's out_iova_alignment); every address and length is a multiple
 * of it. The array has room for so many extents, and is the space's as long as it is used.
 *
 * -EINVAL  page_size is no power of two
 */
static inline int pinion_iova_init(struct pinion_iova_space *space, uint64_t page_size,
				   struct pinion_iova_extent *extent, size_t room)
{
	if (page_size == 0 || (page_size & (page_size - 1)) != 0)
		return -EINVAL;
	space->extent = extent;
	space->nr = 0;
	space->room = room;
	space->page_size = page_size;
	return 0;
}

/*
 * Go on in another array, and copy there what the old one has, which is the caller's again. With
 * the array of now: it has become longer, or may be cut.
 * pre: the two are one, or do not overlap.
 *
 * -ENOBUFS  room for fewer than nr extents
 */
static inline int pinion_iova_move(struct pinion_iova_space *space,
				   struct pinion_iova_extent *extent, size_t room)
{
	if (room < space->nr)
		return -ENOBUFS;
	if (space->nr > 0)
		memmove(extent, space->extent, space->nr * sizeof(*extent));
	space->extent = extent;
	space->room = room;
	return 0;
}

/*
 * The addresses from start to last can be used: whole pages of them; less than a page adds nothing.
 * Add ranges first and reserve then: what was reserved and is added again is no longer reserved.
 *
 * -EINVAL   last < start
 * -EEXIST   some of it can be used already: nothing was added
 * -ENOBUFS  the array is full: pinion_iova_move()
 */
static inline int pinion_iova_add(struct pinion_iova_space *space, uint64_t start, uint64_t last)
{
	const uint64_t mask = space->page_size - 1;
	const uint64_t from = (start + mask) & ~mask;
	size_t i;

	if (last < start)
		return -EINVAL;
	/* from < start: past the end of 64 bits. */
	if (from < start || from > last || last - from < mask)
		return 0;
	/* Cut to pages by its length less one, for the length may be 2^64. */
	last = from + (((last - from - mask) & ~mask) + mask);
	i = pinion_iova_index(space, from);
	if (i < space->nr && space->extent[i].start <= last)
		return -EEXIST;
	return pinion_iova_put(space, i, 0, from, last);
}

/*
 * Stay away from start to last, and from the rest of the pages that these lie in. What of them is
 * outside the ranges, or reserved already, is no matter.
 *
 * -EINVAL   last < start
 * -EBUSY    some of it is allocated: free that first
 * -ENOBUFS  the array is full: pinion_iova_move()
 */
static inline int pinion_iova_reserve(struct pinion_iova_space *space, uint64_t start,
				      uint64_t last)
{
	const uint64_t mask = space->page_size - 1, from = start & ~mask, to = last | mask;
	struct pinion_iova_extent with[2];
	size_t i = pinion_iova_index(space, from), end, nr = 0;

	if (last < start)
		return -EINVAL;
	for (end = i; end < space->nr && space->extent[end].start <= to; end++)
		if (space->extent[end].used)
			return -EBUSY;
	if (end == i)
		return 0;
	with[nr] = space->extent[i];
	with[nr].last = from - 1;
	nr += space->extent[i].start < from;
	with[nr] = space->extent[end - 1];
	with[nr].start = to + 1;
	nr += to < space->extent[end - 1].last;
	return pinion_iova_splice(space, i, end - i, with, nr);
}

/* Where len bytes start, that lie in a free extent and between two limits; false if nowhere. */
static inline bool pinion_iova_fits(const struct pinion_iova_extent *extent, uint64_t len,
				    uint64_t align, uint64_t lowest, uint64_t highest,
				    uint64_t *iova)
{
	const uint64_t from = extent->start > lowest ? extent->start : lowest;
	const uint64_t to = extent->last < highest ? extent->last : highest;
	const uint64_t at = (from + (align - 1)) & ~(align - 1);

	*iova = at;
	/* at < from: past the end of 64 bits. */
	return !extent->used && at >= from && at <= to && to - at >= len - 1;
}

/*
 * Allocate len bytes, all of them from lowest to highest, both included: at the lowest multiple of
 * align (a power of two; of less than a page, 0 too: a page) where they are free.
 *
 * -EINVAL   len is 0 or no multiple of the page size; align is no power of two; highest < lowest
 * -ENOSPC   no free extent between the limits has so much room. See "Fragmentation" above
 * -ENOBUFS  the array is full: pinion_iova_move()
 */
static inline int pinion_iova_alloc_within(struct pinion_iova_space *space, uint64_t len,
					   uint64_t align, uint64_t lowest, uint64_t highest,
					   uint64_t *iova)
{
	uint64_t at = 0;
	size_t i;

	if (!pinion_iova_len_ok(space, len) || (align & (align - 1)) != 0 || highest < lowest)
		return -EINVAL;
	if (align < space->page_size)
		align = space->page_size;
	i = pinion_iova_index(space, lowest);
	for (; i < space->nr && space->extent[i].start <= highest; i++) {
		if (pinion_iova_fits(&space->extent[i], len, align, lowest, highest, &at)) {
			const int err = pinion_iova_take(space, i, at, at + (len - 1));

			if (err == 0)
				*iova = at;
			return err;
		}
	}
	return -ENOSPC;
}

/* The same without limits. */
static inline int pinion_iova_alloc(struct pinion_iova_space *space, uint64_t len, uint64_t align,
				    uint64_t *iova)
{
	return pinion_iova_alloc_within(space, len, align, 0, UINT64_MAX, iova);
}

/*
 * Allocate the len bytes at iova, and no others.
 *
 * -EINVAL   iova or len is no multiple of the page size; len is 0; they go past the end of 64 bits
 * -ERANGE   some of them are outside the ranges, or reserved: no free will help
 * -EEXIST   some of them are allocated
 * -ENOBUFS  the array is full: pinion_iova_move()
 */
static inline int pinion_iova_alloc_at(struct pinion_iova_space *space, uint64_t iova, uint64_t len)
{
	const uint64_t last = iova + (len - 1);
	uint64_t next = iova;
	size_t i = pinion_iova_index(space, iova);

	if (!pinion_iova_len_ok(space, len) || (iova & (space->page_size - 1)) != 0 || last < iova)
		return -EINVAL;
	if (i < space->nr && !space->extent[i].used && space->extent[i].start <= iova &&
	    space->extent[i].last >= last)
		return pinion_iova_take(space, i, iova, last);
	/* Not in one free extent. Extents without a gap between them: then some are used. */
	for (; i < space->nr && space->extent[i].start <= next; i++) {
		if (space->extent[i].last >= last)
			return -EEXIST;
		next = space->extent[i].last + 1;
	}
	return -ERANGE;
}

/*
 * Allocate the addresses that len bytes have in this process: a pointer into them is a bus address.
 * Errors of pinion_iova_alloc_at(); -ERANGE is what an IOMMU of 39 bits gives on x86-64, where
 * memory lies at 47: use pinion_iova_alloc(), or map the memory (mmap(2) with an address) lower.
 */
static inline int pinion_iova_alloc_va(struct pinion_iova_space *space, const void *addr,
				       uint64_t len)
{
	return pinion_iova_alloc_at(space, (uint64_t)(uintptr_t)addr, len);
}

/*
 * Give back an allocation, whole. Free neighbours become one with it. pre: nothing is mapped there.
 *
 * -EINVAL  not an allocation of this address and length: freed before, or never allocated here
 */
static inline int pinion_iova_free(struct pinion_iova_space *space, uint64_t iova, uint64_t len)
{
	const size_t i = pinion_iova_index(space, iova);

	/* len 0 is none: no allocation has 2^64 bytes. */
	if (i == space->nr || !space->extent[i].used || space->extent[i].start != iova ||
	    space->extent[i].last - iova != len - 1)
		return -EINVAL;
	return pinion_iova_put(space, i, 1, iova, space->extent[i].last);
}

/*
 * The allocation that has an address, such as one that the IOMMU reported a fault for.
 *
 * -ENOENT  none has it
 */
static inline int pinion_iova_find(const struct pinion_iova_space *space, uint64_t iova,
				   struct pinion_iova_extent *extent)
{
	const size_t i = pinion_iova_index(space, iova);

	if (i == space->nr || !space->extent[i].used || space->extent[i].start > iova)
		return -ENOENT;
	*extent = space->extent[i];
	return 0;
}

/* total and the bytes of an extent, at most UINT64_MAX. */
static inline uint64_t pinion_iova_sum(uint64_t total, const struct pinion_iova_extent *extent)
{
	const uint64_t less = extent->last - extent->start; /* by one */

	return less >= UINT64_MAX - total ? UINT64_MAX : total + less + 1;
}

/* What is free and what is used. */
static inline void pinion_iova_stat(const struct pinion_iova_space *space,
				    struct pinion_iova_usage *usage)
{
	size_t i;

	memset(usage, 0, sizeof(*usage));
	for (i = 0; i < space->nr; i++) {
		const struct pinion_iova_extent *extent = &space->extent[i];
		const uint64_t len = pinion_iova_sum(0, extent);

		if (extent->used) {
			usage->used_len = pinion_iova_sum(usage->used_len, extent);
			usage->nr_used++;
			continue;
		}
		usage->free_len = pinion_iova_sum(usage->free_len, extent);
		usage->largest_len = len > usage->largest_len ? len : usage->largest_len;
		usage->nr_free++;
	}
}

#endif
