/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_DOMAIN_H
#define POOL_DOMAIN_H

/*
 * A domain as its own library sees it, and the file format of its address table.
 *
 *     struct table                     kind, pool, and for each segment a base or an offset
 *     uint64_t page[...]               physical only: one address per page, segment by segment
 */

#include <assert.h>
#include <stddef.h>

#include <pinion/domain.h>
#include <pinion/hostmem.h>

#include "pool.h"

#define TABLE_MAGIC UINT64_C(0x6c6274736e6f6e69) /* "inonstbl" in memory */
#define TABLE_VERSION 1

struct table {
	uint64_t magic;
	uint32_t version;
	uint32_t kind; /* enum pinion_domain_kind */
	uint64_t pool; /* the pool's random id */
	uint64_t nr_pages;
	/* IOVA: bus address of the segment's first byte. PHYS: index of its first page. */
	uint64_t start[PINION_SEGMENT_MAX];
};

static_assert(offsetof(struct table, start) == 32, "the table's header is four words");

struct domain {
	struct pinion_domain pub; /* first: the caller's handle */
	const struct pinion_pool *pool;
	struct pinion_hostmem table; /* writable until domain_finish(), by its maker */
	int container;               /* VFIO: borrowed from the maker; -1 otherwise */
	void *pins;                  /* physical: see pin.h; NULL otherwise */
};

/* An unmapped table for @nr_pages pages (0: IOVA) and an empty domain around it. */
int domain_create(const struct pinion_pool *pool, enum pinion_domain_kind kind, size_t nr_pages,
		  struct domain **domain);

/* The maker has filled start[] and page[]: seal the table and fill the private part. */
int domain_finish(struct domain *domain);

/* Unmaps the table and frees; pins and mappings are gone already. */
void domain_discard(struct domain *domain);

static inline struct table *domain_table(const struct domain *domain)
{
	return domain->table.addr;
}

static inline uint64_t *domain_pages(const struct domain *domain)
{
	return (uint64_t *)(void *)((struct table *)domain->table.addr + 1);
}

/* Unmaps the segments below @nr from the container. -EIO when one was unmapped in part. */
int domain_unmap_vfio(const struct domain *domain, uint32_t nr);

#endif
