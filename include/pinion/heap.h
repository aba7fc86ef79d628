/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_HEAP_H
#define PINION_HEAP_H

/*
 * Which bytes of some memory are free: the account of a heap whose memory a device, or another
 * process, may write. It stands on iova.h.
 *
 *     the one that allocates                      one that is told
 *     ----------------------                      ----------------
 *     pinion_heap_init(&heap, 64, ...)            pinion_heap_init(&heap, 64, ...)
 *     pinion_heap_add(&heap, len, 2 MiB, &s)      pinion_heap_unpack(&heap, table, len, ...)
 *     pinion_heap_set_pages(&heap, s, page)           ^
 *     pinion_heap_pack(&heap, ...)  -- the table -----+
 *     pinion_heap_alloc(&heap, len, ..., &off)
 *     send off                      --------------->  pinion_heap_locate(&heap, off, len, &spot)
 *     pinion_heap_free(&heap, off)
 *
 * A heap is made of segments, each of pages of one size. A byte is known by its offset in the heap,
 * one number that is the same for everybody. Offset 0 is no byte's. Where a segment is mapped each
 * process knows by itself: there is no pointer in here. Nothing of the account lies in the memory
 * that it tells of, so whatever a device writes there, the account holds. hostheap.h puts it over
 * memory of Linux; others, over whatever they have.
 *
 * Why iova.h keeps the account: a heap that must not write into its memory needs what an allocator
 * of addresses needs, extents outside, none of them freed in part, and none that alloc loses. Only
 * the choice of a place is this header's own: it knows pages, and which of them touch.
 *
 * Where an allocation may lie:
 *
 *     PINION_HEAP_ANYWHERE    in one segment
 *     PINION_HEAP_IN_PAGE     in one page: it does not straddle, and is contiguous for any device
 *     PINION_HEAP_CONTIGUOUS  across the border of two pages only if their bus addresses touch:
 *                             set_pages or set_linear has told them. Of others, as IN_PAGE
 *
 * Alignment is real: a segment begins, for the account and in bus addresses, at a multiple of its
 * page size; so it does in a process that maps it there (for hugepages Linux does nothing else).
 * More than a page cannot be asked for.
 *
 * Memory: segments and extents are arrays of the caller's, and no call allocates. Each allocation
 * takes two extents at most, and each segment one: nr <= 2 * A + segments. On -ENOBUFS:
 * pinion_iova_move(&heap.space, ...) to a longer array. free never needs one.
 *
 * Time: alloc looks at each extent from the lowest on, and in CONTIGUOUS at each page border of
 * those that are free: O(nr + pages). free moves what stands behind. So a microsecond for both with
 * five hundred extents, some thirty with eight thousand; locate takes a few nanoseconds. It is
 * meant for queues, lists and pools that live long; buffers that come and go by the million are
 * pool.h's.
 *
 * Threads: callers serialise; any number may look (locate, find, from_bus) while none changes.
 * Processes: who made the heap allocates. Death: nothing remains; offsets that were sent are valid
 * as long as the memory is.
 *
 * Caveats, each with its remedy:
 *  - What is freed may be handed out at once: the device must be done with it.
 *  - A free of an offset that has been handed out again meanwhile cannot be told from a right one.
 *  - Memory is not cleared: what the last owner left is there. Clear what strangers may read.
 *  - Segments cannot be taken away. Who must shrink makes another heap.
 *
 * Calls return 0 or -errno, do not touch errno, and change nothing when they fail.
 *
 * Needs the C library and no operating system. C99, C11, C++17; includes iova.h and no other header
 * of ours.
 */

#include <pinion/iova.h>

/* No bus address. */
#define PINION_HEAP_NOWHERE UINT64_MAX

/* Where an allocation may lie: see above. */
enum pinion_heap_place {
	PINION_HEAP_ANYWHERE,
	PINION_HEAP_IN_PAGE,
	PINION_HEAP_CONTIGUOUS
};

/* All in bytes. start: of the heap's offsets, a multiple of page_size. */
struct pinion_heap_segment {
	uint64_t start, len;
	uint64_t page_size;
	const uint64_t *page; /* bus address of each page; NULL: they are at linear, one behind */
	uint64_t linear;      /* the other, or PINION_HEAP_NOWHERE */
};

/* All may be read. segment[0] to segment[nr - 1] ascend, with a gap between them; the extents of
 * space are what is free and what is allocated. */
struct pinion_heap {
	struct pinion_iova_space space;
	struct pinion_heap_segment *segment;
	size_t nr, room;
};

/* Where some bytes are. */
struct pinion_heap_spot {
	size_t segment; /* its index */
	uint64_t off;   /* from the beginning of the segment, in bytes */
	uint64_t bus;   /* of the first byte, or PINION_HEAP_NOWHERE */
	uint64_t run;   /* so many of the bytes follow each other on the bus: the next of them is
			 * elsewhere. Without bus addresses: so many are in one page */
};

/* What a packed heap begins with, and what it has for each segment; then the pages' bus addresses,
 * of the first segment first. Numbers are in the order of the processor: it does not travel. */
struct pinion_heap_head {
	uint64_t magic; /* PINION_HEAP_MAGIC */
	uint64_t nr_segments;
};

struct pinion_heap_entry {
	uint64_t len, page_size; /* bytes */
	uint64_t linear;         /* bus address of the first byte, or PINION_HEAP_NOWHERE */
	uint64_t nr_pages;       /* whose bus addresses follow: all of the segment, or none */
};

/* "pinheap1" */
#define PINION_HEAP_MAGIC UINT64_C(0x31706165686e6970)

/* A power of two? */
static inline bool pinion_heap_is_power(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/*
 * Begin a heap without memory. granule: allocations begin at a multiple of it and are as long; a
 * cache line (64) keeps what a device writes apart from what others do. Both arrays are the heap's
 * as long as it is used; there is nothing to undo.
 *
 * -EINVAL  granule is no power of two
 */
static inline int pinion_heap_init(struct pinion_heap *heap, uint64_t granule,
				   struct pinion_heap_segment *segment, size_t room,
				   struct pinion_iova_extent *extent, size_t nr_extents)
{
	const int err = pinion_iova_init(&heap->space, granule, extent, nr_extents);

	if (err < 0)
		return err;
	heap->segment = segment;
	heap->nr = 0;
	heap->room = room;
	return 0;
}

/* Where a segment would begin: behind the last one, at a multiple of its page, with a gap, so that
 * no extent reaches across; false past the end of 64 bits. */
static inline bool pinion_heap_place_segment(const struct pinion_heap *heap, uint64_t len,
					     uint64_t page_size, uint64_t *start)
{
	uint64_t end = 0;

	if (heap->nr > 0)
		end = heap->segment[heap->nr - 1].start + heap->segment[heap->nr - 1].len;
	/* The next page: not the one that begins at end. */
	if (page_size > UINT64_MAX - end)
		return false;
	*start = (end & ~(page_size - 1)) + page_size;
	return len <= UINT64_MAX - *start;
}

/* A segment of this shape, without bus addresses and of no one's account; see pinion_heap_add(). */
static inline int pinion_heap_append(struct pinion_heap *heap, uint64_t len, uint64_t page_size)
{
	struct pinion_heap_segment *segment = heap->segment + heap->nr;
	uint64_t start = 0;

	if (!pinion_heap_is_power(page_size) || page_size < heap->space.page_size || len == 0 ||
	    len % page_size != 0)
		return -EINVAL;
	if (heap->nr == heap->room)
		return -ENOBUFS;
	if (!pinion_heap_place_segment(heap, len, page_size, &start))
		return -ERANGE;
	segment->start = start;
	segment->len = len;
	segment->page_size = page_size;
	segment->page = NULL;
	segment->linear = PINION_HEAP_NOWHERE;
	heap->nr++;
	return 0;
}

/*
 * Add len bytes, in pages of page_size, all of them free, as the segment of the next index.
 *
 * -EINVAL   page_size is no power of two, or less than the granule; len is 0 or no multiple of it
 * -ERANGE   the offsets would go past the end of 64 bits
 * -ENOBUFS  one of the arrays is full
 */
static inline int pinion_heap_add(struct pinion_heap *heap, uint64_t len, uint64_t page_size,
				  size_t *index)
{
	const struct pinion_heap_segment *segment;
	int err = pinion_heap_append(heap, len, page_size);

	if (err < 0)
		return err;
	segment = heap->segment + heap->nr - 1;
	err = pinion_iova_add(&heap->space, segment->start, segment->start + (len - 1));
	if (err < 0) {
		heap->nr--;
		return err;
	}
	*index = heap->nr - 1;
	return 0;
}

/* Can len bytes be at this bus address, pages at multiples of their size? */
static inline bool pinion_heap_bus_ok(uint64_t bus, uint64_t len, uint64_t page_size)
{
	/* The last byte is not NOWHERE either. */
	return bus % page_size == 0 && len < UINT64_MAX - bus;
}

/*
 * Tell the bus address of each page of a segment; the array stays the caller's, and is read as long
 * as the heap is used. What is allocated already stays where it is, whatever it was asked for.
 *
 * -ERANGE  no segment has this index
 * -EINVAL  an address is no multiple of the page size, or goes past the end of 64 bits
 */
static inline int pinion_heap_set_pages(struct pinion_heap *heap, size_t index,
					const uint64_t *page)
{
	struct pinion_heap_segment *segment;
	uint64_t i;

	if (index >= heap->nr)
		return -ERANGE;
	segment = heap->segment + index;
	for (i = 0; i < segment->len / segment->page_size; i++)
		if (!pinion_heap_bus_ok(page[i], segment->page_size, segment->page_size))
			return -EINVAL;
	segment->page = page;
	segment->linear = PINION_HEAP_NOWHERE;
	return 0;
}

/*
 * A whole segment is at one bus address: an IOMMU maps it there. Errors of pinion_heap_set_pages():
 * map it at a multiple of the page size, or alignments would not be the device's.
 */
static inline int pinion_heap_set_linear(struct pinion_heap *heap, size_t index, uint64_t bus)
{
	struct pinion_heap_segment *segment;

	if (index >= heap->nr)
		return -ERANGE;
	segment = heap->segment + index;
	if (!pinion_heap_bus_ok(bus, segment->len, segment->page_size))
		return -EINVAL;
	segment->page = NULL;
	segment->linear = bus;
	return 0;
}

/* The segment that has an offset, or NULL. */
static inline const struct pinion_heap_segment *pinion_heap_segment_of(
	const struct pinion_heap *heap, uint64_t off)
{
	size_t low = 0, high = heap->nr;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct pinion_heap_segment *segment = heap->segment + middle;

		if (off < segment->start)
			high = middle;
		else if (off - segment->start >= segment->len)
			low = middle + 1;
		else
			return segment;
	}
	return NULL;
}

/* The segment behind one, the first behind NULL; NULL behind the last. To walk them all. */
static inline const struct pinion_heap_segment *pinion_heap_next(
	const struct pinion_heap *heap, const struct pinion_heap_segment *segment)
{
	const struct pinion_heap_segment *next = segment == NULL ? heap->segment : segment + 1;

	return heap->nr > 0 && next < heap->segment + heap->nr ? next : NULL;
}

/* Is it known that the pages before and behind a border touch on the bus? */
static inline bool pinion_heap_touch(const struct pinion_heap_segment *segment, uint64_t border)
{
	const uint64_t i = (border - segment->start) / segment->page_size;

	return segment->page != NULL &&
	       segment->page[i - 1] + segment->page_size == segment->page[i];
}

/* The first border between off and off + len, these two left out, that an allocation of this place
 * must not cross; 0 if there is none. pre: all of them are in the segment. */
static inline uint64_t pinion_heap_border(const struct pinion_heap_segment *segment, uint64_t off,
					  uint64_t len, enum pinion_heap_place place)
{
	const uint64_t size = segment->page_size, last = off + (len - 1);
	uint64_t border = (off & ~(size - 1)) + size;

	/* What is linear has no borders: not even to be counted, for a stranger's table may say of
	 * how many. */
	if (place == PINION_HEAP_ANYWHERE ||
	    (place == PINION_HEAP_CONTIGUOUS && segment->linear != PINION_HEAP_NOWHERE))
		return 0;
	for (; border <= last; border += size)
		if (place == PINION_HEAP_IN_PAGE || !pinion_heap_touch(segment, border))
			return border;
	return 0;
}

/* Where len bytes start that lie in an extent and as place says; false if nowhere. */
static inline bool pinion_heap_fits(const struct pinion_heap_segment *segment,
				    const struct pinion_iova_extent *extent, uint64_t len,
				    uint64_t align, enum pinion_heap_place place, uint64_t *off)
{
	uint64_t at = extent->start, border;

	/* NULL: an extent in no segment, which is none of this heap's. */
	if (segment == NULL || align > segment->page_size ||
	    (place == PINION_HEAP_IN_PAGE && len > segment->page_size))
		return false;
	/* No sum wraps: a segment ends before 64 bits do, and align is a page of it at most. */
	do {
		at = (at + (align - 1)) & ~(align - 1);
		if (at > extent->last || extent->last - at < len - 1)
			return false;
		border = pinion_heap_border(segment, at, len, place);
		*off = at;
		at = border;
	} while (border != 0);
	return true;
}

/* A length in whole granules; 0 if it is 0 or has none. */
static inline uint64_t pinion_heap_round(const struct pinion_heap *heap, uint64_t len)
{
	const uint64_t mask = heap->space.page_size - 1;

	return len > UINT64_MAX - mask ? 0 : (len + mask) & ~mask;
}

/*
 * Allocate len bytes (whole granules of them), at the lowest multiple of align, a power of two,
 * where they are free and place is kept. align 0, and less than a granule: a granule.
 *
 * -EINVAL   len is 0; align is no power of two; no such place
 * -ENOSPC   nothing free is as long, aligned and placed so. pinion_iova_stat(&heap.space, ...) says
 *           what is free in how many pieces. More than a page of alignment, or IN_PAGE, or more
 *           than a page where no pages touch, there will never be
 * -ENOBUFS  the array of extents is full: pinion_iova_move()
 */
static inline int pinion_heap_alloc(struct pinion_heap *heap, uint64_t len, uint64_t align,
				    enum pinion_heap_place place, uint64_t *off)
{
	const uint64_t whole = pinion_heap_round(heap, len);
	uint64_t at = 0;
	size_t i;

	if (len == 0 || (align & (align - 1)) != 0 || (unsigned)place > PINION_HEAP_CONTIGUOUS)
		return -EINVAL;
	if (align < heap->space.page_size)
		align = heap->space.page_size;
	for (i = 0; i < heap->space.nr && whole != 0; i++) {
		const struct pinion_iova_extent *extent = &heap->space.extent[i];

		if (!extent->used && extent->last - extent->start >= whole - 1 &&
		    pinion_heap_fits(pinion_heap_segment_of(heap, extent->start), extent, whole,
				     align, place, &at)) {
			const int err = pinion_iova_alloc_at(&heap->space, at, whole);

			if (err < 0)
				return err;
			*off = at;
			return 0;
		}
	}
	return -ENOSPC;
}

/*
 * The allocation that has an offset: where it begins, and its length in bytes, whole granules.
 *
 * -ENOENT  none has it
 */
static inline int pinion_heap_find(const struct pinion_heap *heap, uint64_t off, uint64_t *start,
				   uint64_t *len)
{
	struct pinion_iova_extent extent;
	const int err = pinion_iova_find(&heap->space, off, &extent);

	if (err < 0)
		return err;
	*start = extent.start;
	*len = extent.last - extent.start + 1;
	return 0;
}

/*
 * Give back an allocation. pre: no device works on it.
 *
 * -EINVAL  no allocation begins there: it was freed before, or is not of this heap
 */
static inline int pinion_heap_free(struct pinion_heap *heap, uint64_t off)
{
	uint64_t start = 0, len = 0;

	if (pinion_heap_find(heap, off, &start, &len) < 0)
		return -EINVAL;
	return pinion_iova_free(&heap->space, off, len);
}

/*
 * Make an allocation shorter or longer, where it is. place is looked at for what it becomes longer
 * by: made shorter, it stays as it lies.
 *
 * -EINVAL   no allocation begins there; len is 0; no such place
 * -ENOSPC   what is behind it is not free, or place would not be kept: allocate anew, and copy
 * -ENOBUFS  the array of extents is full: pinion_iova_move()
 */
static inline int pinion_heap_resize(struct pinion_heap *heap, uint64_t off, uint64_t len,
				     enum pinion_heap_place place)
{
	const uint64_t whole = pinion_heap_round(heap, len);
	const struct pinion_heap_segment *segment = pinion_heap_segment_of(heap, off);
	uint64_t start = 0, was = 0;
	int err;

	if (len == 0 || (unsigned)place > PINION_HEAP_CONTIGUOUS ||
	    pinion_heap_find(heap, off, &start, &was) < 0 || start != off)
		return -EINVAL;
	if (whole == 0 || whole > segment->len - (off - segment->start) ||
	    (whole > was && pinion_heap_border(segment, off, whole, place) != 0))
		return -ENOSPC;
	pinion_iova_free(&heap->space, off, was);
	err = pinion_iova_alloc_at(&heap->space, off, whole);
	/* What was there fits again: there are as many extents as before. */
	if (err < 0)
		pinion_iova_alloc_at(&heap->space, off, was);
	return err == -EEXIST ? -ENOSPC : err;
}

/*
 * Where len bytes at an offset are. Any bytes of a segment, allocated or not: an offset that a
 * stranger sent is checked here against the memory, and against allocations with find. A list of
 * pieces for a device: locate, take run bytes at bus, and go on behind them.
 *
 * -EINVAL  len is 0
 * -ERANGE  they are not all in one segment
 */
static inline int pinion_heap_locate(const struct pinion_heap *heap, uint64_t off, uint64_t len,
				     struct pinion_heap_spot *spot)
{
	const struct pinion_heap_segment *segment = pinion_heap_segment_of(heap, off);
	uint64_t in, border;

	if (len == 0)
		return -EINVAL;
	if (segment == NULL || len > segment->len - (off - segment->start))
		return -ERANGE;
	in = off - segment->start;
	border = pinion_heap_border(segment, off, len, PINION_HEAP_CONTIGUOUS);
	spot->segment = (size_t)(segment - heap->segment);
	spot->off = in;
	spot->run = border != 0 ? border - off : len;
	if (segment->page != NULL)
		spot->bus = segment->page[in / segment->page_size] + in % segment->page_size;
	else
		spot->bus = segment->linear != PINION_HEAP_NOWHERE ? segment->linear + in
								  : PINION_HEAP_NOWHERE;
	return 0;
}

/*
 * The way back: the offset in the heap of a place in a segment.
 *
 * -ERANGE  there is no such segment, or it has no such byte
 */
static inline int pinion_heap_offset(const struct pinion_heap *heap, size_t segment, uint64_t in,
				     uint64_t *off)
{
	if (segment >= heap->nr || in >= heap->segment[segment].len)
		return -ERANGE;
	*off = heap->segment[segment].start + in;
	return 0;
}

/* Where a bus address lies in a segment, in bytes from its beginning; false if it does not. */
static inline bool pinion_heap_has_bus(const struct pinion_heap_segment *segment, uint64_t bus,
				       uint64_t *in)
{
	const uint64_t mask = segment->page_size - 1;
	uint64_t i;

	if (segment->page == NULL) {
		*in = bus - segment->linear;
		return segment->linear != PINION_HEAP_NOWHERE && bus >= segment->linear &&
		       *in < segment->len;
	}
	for (i = 0; i < segment->len / segment->page_size; i++) {
		if (segment->page[i] == (bus & ~mask)) {
			*in = i * segment->page_size + (bus & mask);
			return true;
		}
	}
	return false;
}

/*
 * The offset of the byte at a bus address, such as one that a device reported: each page is looked
 * at.
 *
 * -ENOENT  none of the heap's bytes is known to be there
 */
static inline int pinion_heap_from_bus(const struct pinion_heap *heap, uint64_t bus, uint64_t *off)
{
	const struct pinion_heap_segment *segment = NULL;
	uint64_t in = 0;

	while ((segment = pinion_heap_next(heap, segment)) != NULL) {
		if (pinion_heap_has_bus(segment, bus, &in)) {
			*off = segment->start + in;
			return 0;
		}
	}
	return -ENOENT;
}

/* Entry of a segment in a table, with its bus addresses or without. */
static inline struct pinion_heap_entry pinion_heap_describe(
	const struct pinion_heap_segment *segment, bool with_bus)
{
	struct pinion_heap_entry entry = { segment->len, segment->page_size, PINION_HEAP_NOWHERE,
					   0 };

	if (with_bus) {
		entry.linear = segment->linear;
		if (segment->page != NULL)
			entry.nr_pages = segment->len / segment->page_size;
	}
	return entry;
}

/* Bytes that pinion_heap_pack() writes. */
static inline size_t pinion_heap_packed_len(const struct pinion_heap *heap, bool with_bus)
{
	const struct pinion_heap_segment *segment = NULL;
	size_t len = sizeof(struct pinion_heap_head);

	while ((segment = pinion_heap_next(heap, segment)) != NULL) {
		const struct pinion_heap_entry entry = pinion_heap_describe(segment, with_bus);

		len += sizeof(entry) + (size_t)entry.nr_pages * sizeof(uint64_t);
	}
	return len;
}

/*
 * Write the table of segments, for another process; with bus addresses only for one that may know
 * them. What is allocated is not in it: that changes, and is told by offsets.
 *
 * -ENOBUFS  room, in bytes, is less than pinion_heap_packed_len()
 */
static inline int pinion_heap_pack(const struct pinion_heap *heap, bool with_bus, void *table,
				   size_t room)
{
	const struct pinion_heap_head head = { PINION_HEAP_MAGIC, heap->nr };
	const struct pinion_heap_segment *segment = NULL;
	unsigned char *at = (unsigned char *)table, *pages;

	if (room < pinion_heap_packed_len(heap, with_bus))
		return -ENOBUFS;
	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	pages = at + heap->nr * sizeof(struct pinion_heap_entry);
	while ((segment = pinion_heap_next(heap, segment)) != NULL) {
		const struct pinion_heap_entry entry = pinion_heap_describe(segment, with_bus);
		const size_t len = (size_t)entry.nr_pages * sizeof(uint64_t);

		memcpy(at, &entry, sizeof(entry));
		at += sizeof(entry);
		if (len > 0)
			memcpy(pages, segment->page, len);
		pages += len;
	}
	return 0;
}

/* Append what an entry says, with its pages, which are the first of nr that page has; how many of
 * them it took, or -EBADMSG. */
static inline int pinion_heap_take_entry(struct pinion_heap *heap,
					 const struct pinion_heap_entry *entry,
					 const uint64_t *page, size_t nr)
{
	const size_t index = heap->nr;

	if (pinion_heap_append(heap, entry->len, entry->page_size) < 0 || entry->nr_pages > nr)
		return -EBADMSG;
	if (entry->nr_pages != 0 && (entry->nr_pages != entry->len / entry->page_size ||
				     entry->linear != PINION_HEAP_NOWHERE ||
				     pinion_heap_set_pages(heap, index, page) < 0))
		return -EBADMSG;
	if (entry->linear != PINION_HEAP_NOWHERE &&
	    pinion_heap_set_linear(heap, index, entry->linear) < 0)
		return -EBADMSG;
	return 0;
}

/*
 * Take over a table that another process wrote, into a heap that was begun and has no segments: to
 * look up, since nothing is free in it. Everything is checked, whatever the sender meant: sizes,
 * sums, addresses.
 * pre: table is a copy that the sender cannot reach, at a multiple of 8 bytes; it is kept as long
 * as the heap is used, for the pages' addresses are read from it.
 *
 * -EEXIST    the heap has segments
 * -EBADMSG   no table: its sender lies, or is of another version
 * -ENOBUFS   more segments than the array has room for
 */
static inline int pinion_heap_unpack(struct pinion_heap *heap, const void *table, size_t len)
{
	const unsigned char *at = (const unsigned char *)table;
	struct pinion_heap_head head;
	struct pinion_heap_entry entry;
	const uint64_t *page;
	size_t i, nr;
	int err = 0;

	if (heap->nr != 0)
		return -EEXIST;
	if (len < sizeof(head) || len % sizeof(uint64_t) != 0)
		return -EBADMSG;
	memcpy(&head, at, sizeof(head));
	at += sizeof(head);
	len -= sizeof(head);
	if (head.magic != PINION_HEAP_MAGIC || head.nr_segments > len / sizeof(entry))
		return -EBADMSG;
	if (head.nr_segments > heap->room)
		return -ENOBUFS;
	len -= (size_t)head.nr_segments * sizeof(entry);
	page = (const uint64_t *)(const void *)(at + (size_t)head.nr_segments * sizeof(entry));
	nr = len / sizeof(*page);
	for (i = 0; i < head.nr_segments && err == 0; i++) {
		memcpy(&entry, at + i * sizeof(entry), sizeof(entry));
		err = pinion_heap_take_entry(heap, &entry, page, nr);
		if (err == 0) {
			page += entry.nr_pages;
			nr -= (size_t)entry.nr_pages;
		}
	}
	/* What nobody counted is no part of a table. */
	if (err == 0 && nr != 0)
		err = -EBADMSG;
	if (err < 0)
		heap->nr = 0;
	return err;
}

#endif
