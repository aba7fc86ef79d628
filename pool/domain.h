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
 *     domain_vfio.c    how a segment gets I/O virtual addresses, from what iommu.c has
 *     domain_phys.c    how a segment gets physical ones, and where pages lie now
 *     domain_frames.c  how it gets those in a process that may not see them
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <pinion/domain.h>
#include <pinion/hostmem.h>
#include <pinion/iova.h>
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
	uint64_t *mapped;  /* IOVA, in the maker: where each page lay then; NULL: not known */
	uint64_t *page;    /* PHYS: address of each page; NULL otherwise */
	struct pins *pins; /* PHYS, in the maker; NULL otherwise */
	bool moved;        /* an audit has found it elsewhere than the table says */
	/* PHYS: page[] of the segment that had this slot before. A look-up that began earlier may
	 * still read it. */
	uint64_t *page_before;
};

/*
 * What differs between the kinds. begin() looks at what is common to the segments that will be
 * added (@nr of them, at least one); end() lets go of what it opened. add() maps or pins a segment,
 * from pool->memory, and fills iova; remove() undoes it, from the copy alone. locate() fills page,
 * or mapped, once all new segments were added; NULL: neither.
 */
struct domain_ops {
	int (*begin)(struct domain *domain, uint32_t nr);
	int (*add)(struct domain *domain, uint32_t index);
	int (*locate)(struct domain *domain, uint32_t index);
	int (*remove)(struct domain *domain, uint32_t index);
	void (*end)(struct domain *domain);
};

/*
 * Somebody who sees physical addresses, for a process that may not. open() may wait, and says
 * whether it may ask at all: then the pool is not locked. ask() gives a table, made after this call
 * began, with at least @segments, a bit for each slot; @fd becomes the caller's.
 */
struct domain_source {
	int (*open)(void *context, const struct pinion_pool *pool, void **session);
	int (*ask)(void *session, uint64_t segments, int *fd);
	void (*close)(void *session);
	void *context;
};

/* Enough, whatever is mapped: see iova.h. */
#define DOMAIN_EXTENTS (PINION_VFIO_RANGES + 2 * PINION_SEGMENT_MAX)

struct domain {
	struct pinion_domain_head *head; /* mapped, and bus[] behind it */
	size_t view_len;
	struct pinion_pool *pool;
	struct watcher watcher;       /* of the pool's slots */
	const struct domain_ops *ops; /* NULL: attached */
	pid_t pid; /* whose maps and pins they are: a forked child has a copy of the rest */
	struct domain_segment segment[PINION_SEGMENT_MAX];

	struct pinion_hostmem table; /* the newest file; fd is for reading */
	bool table_is_old;           /* an update failed after it had dropped a segment */
	/* The generation whose addresses are all true, as far as is known, or 0: none is. Written
	 * with the pool locked. Relaxed: what it says of addresses nobody reads by it. */
	_Atomic uint64_t current;

	/* IOVA, in the maker. */
	struct pinion_domain_config config;
	struct pinion_iova_space space; /* between begin() and end(): what is left, in extent */
	struct pinion_iova_extent extent[DOMAIN_EXTENTS];
	uint64_t next; /* where the next segment is tried: addresses go round */
	/* PHYS, in the maker. */
	int pagemap;                  /* between begin() and end() */
	struct domain_source source;  /* open NULL: none */
	void *session;                /* with it, in an update; NULL: there is nothing to ask */
	struct pinion_hostmem answer; /* its table, until end(); addr NULL: not asked for yet */

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

/* The copy's shape, from the pool. */
static inline void domain_describe(struct domain *domain, uint32_t index)
{
	const struct control_segment *from = &domain->pool->segment[index];
	struct domain_segment *to = &domain->segment[index];

	to->len = from->len;
	to->nr = from->nr;
	to->shift = from->stride_shift;
	to->page_shift = from->page_shift;
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
/* May this process change what is mapped and pinned? -ECHILD in a forked child of who may. */
int domain_check_own(const struct domain *domain);
/* The rest of create: maps the pool, or discards the domain. */
int domain_start(struct domain *domain, struct pinion_domain **pub);

/* From here on addresses that anybody kept are not current. */
static inline void domain_lapse(struct domain *domain)
{
	atomic_store_explicit(&domain->current, 0, memory_order_relaxed);
}

/* domain_view.c. The part is read-only except between unlock and lock. */
int view_create(struct domain *domain, enum pinion_domain_kind kind);
void view_destroy(struct domain *domain);
/* Has memory for a segment's entries there, so that view_add() cannot fail. */
int view_reserve(struct domain *domain, uint32_t index);
int view_unlock(struct domain *domain);
void view_lock(struct domain *domain);
void view_add(struct domain *domain, uint32_t index);
void view_remove(struct domain *domain, uint32_t index);

/* domain_table.c: a file of what the domain has now, or somebody else's; and back. */
int table_create(const struct domain *domain, enum pinion_domain_kind kind, uint64_t generation,
		 struct pinion_hostmem *table);
int table_attach(const struct pinion_pool *pool, int fd, struct pinion_hostmem *table);
void table_discard(struct pinion_hostmem *table);
/* Copies one segment's pages. -EAGAIN: it has another file there than the pool has. */
int table_read_pages(const struct pinion_hostmem *table, struct domain *domain, uint32_t index);
/* Copies segments out of an attached table. -EPROTO when one cannot be. */
int table_read(struct domain *domain);
enum pinion_domain_kind table_kind(const struct pinion_hostmem *table);
uint64_t table_generation(const struct pinion_hostmem *table);

/* domain_find.c: makes the index of what the domain has now ready, and puts it in force. */
int index_prepare(struct domain *domain);
void index_publish(struct domain *domain);
void index_destroy(struct domain *domain);

/* domain_phys.c, for domain_frames.c: pages that may be pinned for DMA, and are. */
int phys_check_pages(const struct pinion_pool *pool);
int phys_pin(struct domain *domain, uint32_t index);
int phys_unpin(struct domain *domain, uint32_t index);
/* Copies the addresses of a segment's pages, all of which are in this process's page table. */
int phys_read_pages(struct domain *domain, uint32_t index, int pagemap);
/* For domain_vfio.c: notes where the pages lie that were just mapped, where the kernel shows that
 * to this process. -ENOMEM, -EMFILE, -ENFILE */
int phys_note(struct domain *domain, uint32_t index);

/* domain_frames.c: a domain of physical addresses that @source knows. */
int domain_create_from(struct pinion_pool *pool, const struct domain_source *source,
		       struct pinion_domain **domain);
/* Around an update, unlocked. Nothing without a source, or without new segments. */
int source_open(struct domain *domain);
void source_close(struct domain *domain);
/* The other side: a table of @segments, in a process whose @pagemap shows frames. -EAGAIN: a page
 * is not in its page table. */
int frames_create(const struct pinion_pool *pool, int pagemap, uint64_t segments,
		  struct pinion_hostmem *table);

/* One segment, for pinion_domain_audit(): @move is written when it is -ESTALE. */
int domain_audit_vfio(const struct domain *domain, uint32_t index, struct pinion_domain_move *move);
int domain_audit_phys(const struct domain *domain, uint32_t index, struct pinion_domain_move *move);
/* Where the maker knows what was mapped, and sees what is there now: nothing otherwise. */
int domain_audit_mapped(const struct domain *domain, uint32_t index,
			struct pinion_domain_move *move);
int domain_audit_told(const struct domain *domain, uint32_t index, struct pinion_domain_move *move);

#endif
