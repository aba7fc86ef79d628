/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_LAYOUT_H
#define POOL_LAYOUT_H

/*
 * The control area: a file format that several processes, and later releases, read at once.
 *
 *     struct control                                  one page: stamp, geometry, segment slots
 *     struct control_member  [nr_members]             written by the keeper
 *     _Atomic uint64_t seen [nr_members]              written by each member
 *     _Atomic uint32_t cache [nr_caches]              who has a cache open
 *     _Atomic uint64_t owner [segments << shift]      one word per buffer: the truth (buffer.h)
 *     _Atomic uint64_t magazine [segments * stride]   one word per magazine
 *     _Atomic uint64_t depot [...]                    hint: a bit per magazine, "is in the depot"
 *     _Atomic uint64_t empty [...]                    hint: a bit per magazine, "is empty"
 *     _Atomic uint32_t content [segments * stride][magazine_size]   ids inside, valid while DEPOT
 *
 * No pointers: ids and offsets, of fixed width. Every array has the same stride for each segment
 * slot, so that all offsets follow from the numbers of the geometry; a small or absent segment
 * leaves a hole, and holes of the (sparse) file cost nothing.
 *
 * A magazine holds buffers of one segment only, the one in whose stride it lies. A segment that
 * goes takes its magazines along, and leaves nothing of itself in others.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/cache.h>
#include <pinion/pool.h>

#define CONTROL_MAGIC UINT64_C(0x6c6f6f706e6f6e69) /* "inonpool" in memory */
#ifdef PINION_PLANTED_LAYOUT /* for tests/proc: a build that this one cannot share a pool with */
#define CONTROL_VERSION 255
#else
#define CONTROL_VERSION 4
#endif

/*
 * A magazine's word: holder in the low 24 bits (as in an owner word), number of ids in the 16
 * above, and in the upper 24 who put the ids in (a holder; 0: not known).
 *
 *     holder          meaning                                      next, by whom
 *     HELD member     a thread of that member has it               DEPOT or EMPTY, by that thread
 *     DEPOT           one or more buffers inside, contents valid   HELD, by anyone's CAS
 *     EMPTY           no owner word names it                       HELD, by anyone's CAS
 *     SERVICE         the keeper has it: recovery fills it, or     DEPOT or EMPTY, by the keeper
 *                     its segment is going
 *
 * Forbidden: HELD -> EMPTY while a word names it (those buffers would be lost), and any move of
 * another member's HELD by anyone but recovery (its thread may be pushing).
 */
#define MAGAZINE_DEPOT (PINION_HOLDER_INDEX_MASK - 2)
#define MAGAZINE_EMPTY (PINION_HOLDER_INDEX_MASK - 1)
#define MAGAZINE_SERVICE (PINION_HOLDER_INDEX_MASK)
static_assert(PINION_MEMBER_MAX < MAGAZINE_DEPOT, "members and depot states are told apart");

/*
 * A segment slot's state. Written by the keeper alone, read by all.
 *
 *     ABSENT, GONE -> LIVE      grow: shape, owner words and magazines stand
 *     LIVE -> RETIRING          nothing is allocated from it any more; frees go on
 *     RETIRING -> GONE          all of it is free and in the keeper's magazines: memory given back
 *
 * Its word is the epoch of the change above these two bits, so that a slot used again is told
 * from the one before.
 *
 *     R5  slot state, then control.epoch, store-release   carry shape, words and magazines
 *     A5  control.epoch, then slot state, load-acquire    by members that look for changes
 *     R6  seen[member] store-release                      carries "I have unmapped what is GONE"
 *     A6  seen[member] load-acquire                       by the keeper, before it uses a slot anew
 */
enum slot_state {
	SLOT_ABSENT = 0,
	SLOT_LIVE = 1,
	SLOT_RETIRING = 2,
	SLOT_GONE = 3,
};

static inline enum slot_state slot_state_of(uint64_t word)
{
	return (enum slot_state)(word & 3);
}

static inline uint64_t slot_word(uint64_t epoch, enum slot_state state)
{
	return epoch << 2 | state;
}

/*
 * A ticket, a word of cache[]: the holder bits of who has a cache open, or 0.
 *
 *     R7  0, store-release             carries the cache's magazines, back in the depot, and hints
 *     A7  0 -> me, CAS-acquire         counts on them: there are enough for nr_caches
 */

/* One segment, as made. Constant while its slot is LIVE or RETIRING. */
struct control_segment {
	uint64_t len;          /* bytes */
	uint64_t inode;        /* of its file: tells apart those of one shape */
	uint32_t nr;           /* buffers */
	int32_t node;          /* where its pages were found; -1: on several */
	uint8_t buffer_shift;  /* what users see */
	uint8_t stride_shift;  /* from one buffer to the next: larger where there are red zones */
	uint8_t page_shift;
	uint8_t zone;          /* see pinion_pool_stat() */
	uint8_t reserved[4];
};

struct control_slot {
	_Atomic uint64_t state;
	struct control_segment segment;
};

/* The numbers from which all offsets follow. */
struct control_geometry {
	uint32_t segment_shift; /* ids per segment, log2 */
	uint32_t nr_segments;   /* slots */
	uint32_t nr_members;
	uint32_t nr_caches; /* open at once */
	uint32_t magazine_size;
	uint32_t flags; /* PINION_POOL_* */
};

struct control {
	uint64_t magic; /* written last */
	uint64_t stamp;
	uint64_t pool; /* random; address tables carry it too */
	struct control_geometry geometry;
	_Atomic uint64_t epoch; /* raised by the keeper with every change of a slot */
	struct control_slot slot[PINION_SEGMENT_MAX];
};

/*
 * A member's slot. Written by the keeper; and by the member itself, which sets joined and goodbye,
 * and pid and started where the keeper did not know them. Members read it at attach, and their
 * quota when they refill. What a keeper goes by it knows by itself, but for the goodbye: any member
 * can write here.
 *
 *     FREE -> LIVE          admit
 *     LIVE, DEAD -> GONE    an adopter, of who is gone and cannot be recovered yet
 *     LIVE, GONE -> DEAD    recover, first act
 *     DEAD -> FREE          release, last act: nothing names the slot any more
 *     LIVE -> FREE          dismiss: nobody was told of it
 *     FREE -> DEAD          the keeper, of one it has not released: somebody wrote over it
 *     all -> LIVE, FREE     resume, as its record says
 */
enum member_state {
	MEMBER_FREE = 0,
	MEMBER_LIVE = 1,
	MEMBER_DEAD = 2,
	MEMBER_GONE = 3,
};

/* A keeper may be killed before its answer is out: did the member ever get as far as to attach?
 * By compare and swap from INVITED: to JOINED by the member; to TOO_LATE by an adopter that does
 * not want to wait for what may never come. Such a number is not used again while its process
 * lives.
 *
 *     R9  joined = JOINED, CAS-release    carries "I have mapped all that I was sent"
 *     A9  joined, CAS-acquire             by an adopter, which waits for such a member
 */
enum member_joined {
	MEMBER_INVITED = 0,
	MEMBER_JOINED = 1,
	MEMBER_TOO_LATE = 2,
};

/*
 * A member's last act, for a keeper that cannot hear it otherwise. The goodbye is the secret that
 * the keeper gave to it alone: no other can say it (but unsay it; then its process's end tells).
 *
 *     R8  goodbye, store-release    carries "I have nothing under way any more"
 *     A8  goodbye, load-acquire     by a keeper that looks for who left
 */
struct control_member {
	_Atomic uint32_t state;
	_Atomic int32_t pid;
	_Atomic uint64_t started; /* of that process, see proc_stat(5); tells a reused pid */
	_Atomic uint64_t quota;   /* bytes it may have at once; 0: no limit */
	_Atomic uint32_t joined;  /* enum member_joined */
	uint32_t reserved;
	_Atomic uint64_t goodbye; /* 0: none */
};

/* Offsets that another process relies on. */
static_assert(sizeof(struct control_segment) == 32, "segments are laid out alike everywhere");
static_assert(sizeof(struct control_slot) == 40, "a slot is five words");
static_assert(offsetof(struct control, epoch) == 48, "geometry ends at 48");
static_assert(offsetof(struct control, slot) == 56, "slots follow the epoch");
static_assert(sizeof(struct control) <= 4096, "the header is one page");
static_assert(sizeof(struct control_member) == 40, "a member is five words");

/*
 * The stamp: what must agree for two builds to share a control area. Any change of a size above
 * changes it; a change of meaning must raise CONTROL_VERSION.
 */
#define CONTROL_STAMP                                                                        \
	((uint64_t)CONTROL_VERSION << 56 | (uint64_t)PINION_ID_BITS << 48 |                  \
	 (uint64_t)PINION_GENERATION_BITS << 40 | (uint64_t)sizeof(struct control_slot) << 32 | \
	 (uint64_t)sizeof(struct control) << 12 | (uint64_t)sizeof(struct control_member))

/* Where everything is, in bytes from the start; computed, never stored. */
struct layout {
	uint32_t stride; /* magazines per segment, a multiple of 64: bitmaps do not share words */
	size_t member, seen, cache, owner, magazine, depot, empty, content;
	size_t len;
};

/* pre: control_geometry_check() accepted @geometry. */
void layout_compute(const struct control_geometry *geometry, struct layout *layout);

/* 0, or -EINVAL for numbers that no pool of this layout has. */
int control_geometry_check(const struct control_geometry *geometry);

/* Magazines that a segment of @nr buffers has: as many as they fill, and those that caches can
 * hold: two each, one more while exchanging, and one for recovery. */
uint32_t layout_magazines(const struct control_geometry *geometry, uint32_t nr);

/* Bytes of one magazine's contents. */
static inline size_t layout_content(const struct control_geometry *geometry)
{
	return geometry->magazine_size * sizeof(uint32_t);
}

static inline uint64_t magazine_word(uint32_t holder, uint32_t nr, uint32_t filler)
{
	return (uint64_t)filler << 40 | (uint64_t)nr << PINION_HOLDER_BITS | holder;
}

/* The peer may have scribbled: its user clamps it to what a magazine can hold. */
static inline uint32_t magazine_word_nr(uint64_t word)
{
	return (uint32_t)(word >> PINION_HOLDER_BITS) & 0xffff;
}

static inline uint32_t magazine_word_filler(uint64_t word)
{
	return (uint32_t)(word >> 40);
}

#endif
