/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_LAYOUT_H
#define POOL_LAYOUT_H

/*
 * The control area: a file format that several processes, and later releases, read at once.
 *
 *     struct control                                  one page: stamp, geometry, segments
 *     struct control_member  [nr_members]             written by the keeper
 *     _Atomic uint64_t owner [segments << shift]      one word per buffer: the truth (buffer.h)
 *     _Atomic uint64_t magazine [segments * stride]   one word per magazine
 *     _Atomic uint64_t depot [...]                    hint: a bit per magazine, "is in the depot"
 *     _Atomic uint64_t empty [...]                    hint: a bit per magazine, "is empty"
 *     struct control_content [segments * stride]      ids inside, valid while DEPOT
 *
 * No pointers: ids and offsets, of fixed width. Every array has the same stride for each segment,
 * so that all offsets follow from the four numbers of the geometry; a small segment leaves a
 * hole, and holes of the (sparse) file cost nothing.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/cache.h>
#include <pinion/pool.h>

#define CONTROL_MAGIC UINT64_C(0x6c6f6f706e6f6e69) /* "inonpool" in memory */
#define CONTROL_VERSION 1

/*
 * A magazine's word: holder in the low 24 bits (as in an owner word), number of ids above.
 *
 *     holder          meaning                                     next, by whom
 *     HELD member     a thread of that member has it              DEPOT or EMPTY, by that thread
 *     DEPOT           1 to 64 buffers lie inside, contents valid  HELD, by anyone's CAS
 *     EMPTY           no owner word names it                      HELD, by anyone's CAS
 *     SERVICE         recovery is filling it                      DEPOT or EMPTY, by recovery
 *
 * Forbidden: HELD -> EMPTY while a word names it (those buffers would be lost), and any move of
 * another member's HELD by anyone but recovery (its thread may be pushing).
 */
#define MAGAZINE_DEPOT (PINION_HOLDER_INDEX_MASK - 2)
#define MAGAZINE_EMPTY (PINION_HOLDER_INDEX_MASK - 1)
#define MAGAZINE_SERVICE (PINION_HOLDER_INDEX_MASK)
static_assert(PINION_MEMBER_MAX < MAGAZINE_DEPOT, "members and depot states are told apart");

struct control_content {
	_Atomic uint32_t id[PINION_MAGAZINE_SIZE];
};

/* One segment, as made. Written once, before the area is shared. */
struct control_segment {
	uint64_t len;   /* bytes */
	uint64_t inode; /* of its file: tells apart those of one shape */
	uint32_t nr;    /* buffers */
	int32_t node;   /* where its pages were found; -1: on several */
	uint8_t buffer_shift;
	uint8_t page_shift;
	uint8_t zone;
	uint8_t reserved[5];
};

/* The numbers from which all offsets follow. */
struct control_geometry {
	uint32_t segment_shift; /* ids per segment, log2 */
	uint32_t nr_segments;
	uint32_t nr_members;
	uint32_t nr_caches; /* open at once */
};

struct control {
	uint64_t magic;
	uint64_t stamp;
	uint64_t pool; /* random; address tables carry it too */
	struct control_geometry geometry;
	struct control_segment segment[PINION_SEGMENT_MAX];
};

/*
 * A member's slot. Written by the keeper alone; members read it at attach.
 *
 *     FREE -> LIVE    admit
 *     LIVE -> DEAD    recover, first act
 *     DEAD -> FREE    release, last act: nothing names the slot any more
 */
enum member_state {
	MEMBER_FREE = 0,
	MEMBER_LIVE = 1,
	MEMBER_DEAD = 2,
};

struct control_member {
	_Atomic uint32_t state;
	_Atomic int32_t pid;
};

/* Offsets that another process relies on. */
static_assert(sizeof(struct control_segment) == 32, "segments are laid out alike everywhere");
static_assert(offsetof(struct control, segment) == 40, "geometry ends at 40");
static_assert(sizeof(struct control) <= 4096, "the header is one page");
static_assert(sizeof(struct control_member) == 8, "a member is one word");
static_assert(sizeof(struct control_content) == 256, "a magazine's contents are four lines");

/*
 * The stamp: what must agree for two builds to share a control area. Any change of a size above
 * changes it; a change of meaning must raise CONTROL_VERSION.
 */
#define CONTROL_STAMP                                                                            \
	((uint64_t)CONTROL_VERSION << 56 | (uint64_t)PINION_ID_BITS << 48 |                      \
	 (uint64_t)PINION_GENERATION_BITS << 40 | (uint64_t)PINION_MAGAZINE_SIZE << 28 |         \
	 (uint64_t)sizeof(struct control) << 12 | (uint64_t)sizeof(struct control_segment) << 4 | \
	 (uint64_t)sizeof(struct control_member) >> 3)

/* Where everything is, in bytes from the start; computed, never stored. */
struct layout {
	uint32_t stride; /* magazines per segment, a multiple of 64: bitmaps do not share words */
	size_t member, owner, magazine, depot, empty, content;
	size_t len;
};

/* pre: control_geometry_check() accepted @geometry. */
void layout_compute(const struct control_geometry *geometry, struct layout *layout);

/* 0, or -EINVAL for numbers that no pool of this layout has. */
int control_geometry_check(const struct control_geometry *geometry);

/* Magazines that segment @index of these has: as its buffers fill, and for the first of a zone
 * those that caches can hold: two each, one more while exchanging, and one for recovery. */
uint32_t layout_magazines(const struct control_geometry *geometry,
			  const struct control_segment *segment, uint32_t index);

static inline uint64_t magazine_word(uint32_t holder, uint32_t nr)
{
	return (uint64_t)nr << PINION_HOLDER_BITS | holder;
}

/* The peer may have scribbled: clamped to what a magazine can hold. */
static inline uint32_t magazine_word_nr(uint64_t word)
{
	uint64_t nr = word >> PINION_HOLDER_BITS;

	return nr > PINION_MAGAZINE_SIZE ? PINION_MAGAZINE_SIZE : (uint32_t)nr;
}

#endif
