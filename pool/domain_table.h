/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_DOMAIN_TABLE_H
#define POOL_DOMAIN_TABLE_H

/*
 * The file format of an address table: what a domain's maker seals and others attach.
 *
 *     struct table        one page: kind, pool, generation, and the segments by their slots
 *     uint64_t page[...]  physical only: one address per page, segment by segment
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/pool.h>

#define TABLE_MAGIC UINT64_C(0x6c6274736e6f6e69) /* "inonstbl" in memory */
#define TABLE_VERSION 2
#define TABLE_PAGES ((size_t)4096) /* where page[] begins, in bytes */

struct table_segment {
	uint64_t inode; /* of its file; 0: no such segment */
	uint64_t len;   /* bytes */
	/* IOVA: bus address of the segment's first byte. PHYS: index of its first page. */
	uint64_t start;
	uint8_t shift; /* log2 of the buffer size */
	uint8_t page_shift;
	uint8_t reserved[6];
};

struct table {
	uint64_t magic;
	uint32_t version;
	uint32_t kind;       /* enum pinion_domain_kind */
	uint64_t pool;       /* the pool's random id */
	uint64_t generation; /* from 1; a changed table is another file with the next one */
	uint64_t nr_pages;   /* PHYS: of all segments; IOVA: 0 */
	struct table_segment segment[PINION_SEGMENT_MAX];
};

static_assert(sizeof(struct table_segment) == 32, "segments are laid out alike everywhere");
static_assert(offsetof(struct table, segment) == 40, "the table's header is five words");
static_assert(sizeof(struct table) <= TABLE_PAGES, "pages begin behind the header");

#endif
