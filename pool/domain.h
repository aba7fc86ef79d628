/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_DOMAIN_H
#define POOL_DOMAIN_H

/*
 * A domain as its own library sees it.
 *
 *     domain.c         life: what the pool has and the domain does not, and the other way round
 *     domain_view.c    the part that look-ups read: one address for each buffer
 *     domain_table.c   the file that others attach
 *     domain_find.c    the index from bus addresses to buffers
 *     domain_audit.c   whether the table is still true
 *     domain_vfio.c    how a segment gets I/O virtual addresses
 *     domain_phys.c    how a segment gets physical ones
 */

#include <stdbool.h>
#include <stddef.h>

#include <pinion/domain.h>
#include <pinion/hostmem.h>
#include <pinion/vfioctl.h>

#include "pool.h"

struct domain;
struct pins;
struct bus_index;

/* One segment as the domain has it: a copy, because the pool's own may be gone or another by the
 * time it is unmapped. */
struct domain_segment {
	uint64_t inode; /* which file; 0: the domain has no such segment */
	uint64_t len;   /* bytes */
	uint32_t nr;    /* buffers */
	uint8_t shift;  /* log2 of the buffer size */
	uint8_t page_shift;
	uint64_t iova;     /* IOVA: of its first byte */
	uint64_t *page;    /* PHYS: address of each page; NULL otherwise */
	struct pins *pins; /* PHYS, in the maker; NULL otherwise */
	/* PHYS: page[] of the segment that had this slot before. A look-up that began earlier may
	 * still read it. */
	uint64_t *page_before;
};

/*
 * What differs between the kinds. begin() looks at what is common to the segments that will be
 * added (@nr of them, at least one); end() lets go of what it opened. add() fills iova or page
 * and pins, from pool->memory; remove() undoes it, from the copy alone.
 */
struct domain_ops {
	int (*begin)(struct domain *domain, uint32_t nr);
	int (*add)(struct domain *domain, uint32_t index);
	int (*remove)(struct domain *domain, uint32_t index);
	void (*end)(struct domain *domain);
};

struct domain {
	struct pinion_domain_head *head; /* mapped, and bus[] behind it */
	size_t view_len;
	struct pinion_pool *pool;
	struct watcher watcher;       /* of the pool's slots */
	const struct domain_ops *ops; /* NULL: attached */
	struct domain_segment segment[PINION_SEGMENT_MAX];

	struct pinion_hostmem table; /* the newest file; fd is for reading */
	bool table_is_old;           /* an update failed after it had dropped a segment */

	/* IOVA, in the maker. */
	struct pinion_domain_config config;
	struct pinion_vfio_iommu iommu; /* between begin() and end() */
	uint64_t next;                  /* where the next segment is tried: addresses go round */
	/* PHYS, in the maker. */
	int pagemap; /* between begin() and end() */

	struct bus_index *_Atomic index[2]; /* see domain_find.c */
	_Atomic uint64_t index_number;      /* index[number & 1] is in force */
	struct bus_index *outgrown;
};

static inline struct domain *domain_of(const struct pinion_domain *pub)
{
	return pinion_domain_head(pub)->own;
}

static inline struct pinion_domain *domain_pub(const struct domain *domain)
{
	return (struct pinion_domain *)(void *)(domain->head + 1);
}

static inline bool domain_has(const struct domain *domain, uint32_t index)
{
	return domain->segment[index].inode != 0;
}

static inline uint32_t domain_first_id(const struct domain *domain, uint32_t index)
{
	return index << domain->head->segment_shift;
}

static inline size_t domain_segment_pages(const struct domain_segment *segment)
{
	return (size_t)(segment->len >> segment->page_shift);
}

/* Bus address of byte @off of a segment. */
static inline uint64_t domain_segment_bus(const struct domain_segment *segment, uint64_t off)
{
	uint64_t page = UINT64_C(1) << segment->page_shift;

	if (!segment->page)
		return segment->iova + off;
	return segment->page[off >> segment->page_shift] + (off & (page - 1));
}

/* The segment @index of the pool, if this process has it, and which file it is; else 0. */
static inline uint64_t domain_pool_inode(const struct pinion_pool *pool, uint32_t index)
{
	return index < pool->geometry.nr_segments && pool->memory[index].addr ?
		       pool->segment[index].inode : 0;
}

/* domain.c: an empty domain, and one that has let go of everything. */
int domain_create(const struct pinion_pool *pool, enum pinion_domain_kind kind,
		  const struct domain_ops *ops, struct domain **domain);
void domain_discard(struct domain *domain);
/* The rest of create: maps the pool, or discards the domain. */
int domain_start(struct domain *domain, struct pinion_domain **pub);

/* domain_view.c. The part is read-only except between unlock and lock. */
int view_create(struct domain *domain, enum pinion_domain_kind kind);
void view_destroy(struct domain *domain);
/* Has memory for a segment's entries there, so that view_add() cannot fail. */
int view_reserve(struct domain *domain, uint32_t index);
int view_unlock(struct domain *domain);
void view_lock(struct domain *domain);
void view_add(struct domain *domain, uint32_t index);
void view_remove(struct domain *domain, uint32_t index);

/* domain_table.c: the newest file of what the domain has now, or of somebody else's. */
int table_create(const struct domain *domain, uint64_t generation, struct pinion_hostmem *table);
int table_attach(const struct pinion_pool *pool, int fd, struct pinion_hostmem *table);
/* Copies segments out of an attached table. -EPROTO when one cannot be. */
int table_read(struct domain *domain);
enum pinion_domain_kind table_kind(const struct pinion_hostmem *table);
uint64_t table_generation(const struct pinion_hostmem *table);

/* domain_find.c: makes the index of what the domain has now ready, and puts it in force. */
int index_prepare(struct domain *domain);
void index_publish(struct domain *domain);
void index_destroy(struct domain *domain);

/* One segment, for pinion_domain_audit(): @move is written when it is -ESTALE. */
int domain_audit_vfio(const struct domain *domain, uint32_t index, struct pinion_domain_move *move);
int domain_audit_phys(const struct domain *domain, uint32_t index, struct pinion_domain_move *move);

#endif
