/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_DOMAIN_H
#define PINION_DOMAIN_H

/*
 * A domain: one device's view of a pool, and the table of bus addresses that goes with it.
 *
 *     device process                              a member that may see addresses
 *     --------------                              -------------------------------
 *     pinion_domain_create_vfio() or _phys()
 *     pinion_domain_fd()          ------------->  pinion_domain_attach()
 *     pinion_buffer_iova() / _phys() / _bus()     the same
 *     pinion_domain_destroy()                     pinion_domain_detach()
 *
 * Two kinds. Through an IOMMU (VFIO) each segment is mapped linearly, so that an I/O virtual
 * address is one base per segment plus an offset. Without one, devices take physical addresses,
 * one per page, read from /proc/self/pagemap after the pages were pinned.
 *
 * A device address is only ever computed from this table, never from anything a producer sent.
 * The table lives in a file of its own, written once and then sealed: nobody can change it any
 * more, not even its maker; holders of its fd can read it and nothing else.
 *
 * The types keep the kinds apart: an I/O virtual address where a physical one is wanted does not
 * compile. Drivers that serve both kinds use pinion_buffer_bus(), which gives what this domain's
 * device understands.
 *
 * Threads: create and destroy are for one thread; the look-ups are for all.
 * Death: a VFIO mapping lives as long as the container fd is open anywhere; pins of a physical
 * domain die with the process that made it.
 */

#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/pool.h>

typedef struct {
	uint64_t addr;
} pinion_iova;

typedef struct {
	uint64_t addr;
} pinion_phys;

enum pinion_domain_kind {
	PINION_DOMAIN_IOVA = 1,
	PINION_DOMAIN_PHYS = 2,
};

/* Public for the inline look-ups; private copies, constant once made. */
struct pinion_domain_segment {
	uint64_t base;          /* IOVA: bus address of id 0, were it in this segment */
	const uint64_t *page;   /* PHYS: physical address of each page, read-only mapping */
	uint64_t first;         /* PHYS: byte offset of the segment's first id, as (id << shift) */
	uint8_t shift;          /* log2 of the buffer size */
	uint8_t page_shift;     /* log2 of the page size */
};

struct pinion_domain {
	enum pinion_domain_kind kind;
	uint32_t segment_shift;
	struct pinion_domain_segment segment[PINION_SEGMENT_MAX];
};

/*
 * pinion_domain_create_vfio() - map every segment into a VFIO container's IOMMU.
 *
 * @container has its IOMMU type set (pinion_vfio_group_open() does it). Addresses are taken from
 * the ranges that the kernel reports (apertures, without reserved windows), never address 0.
 * All segments are mapped or none.
 *
 * -ENOMEM  RLIMIT_MEMLOCK is too small for the pool (ulimit -l)
 * -ENOSPC  the IOMMU's ranges have no room for a segment, or the container no map entries left
 */
int pinion_domain_create_vfio(struct pinion_pool *pool, int container,
			      struct pinion_domain **domain);

/*
 * pinion_domain_create_phys() - pin every page and read its physical address.
 *
 * -EPERM   the kernel hides page frame numbers: CAP_SYS_ADMIN is needed. (An address of 0 is
 *          never handed out.)
 * -ENOTSUP pages of 4 KiB are not for DMA by physical address; or the kernel cannot pin
 *          (io_uring is disabled: sysctl kernel.io_uring_disabled)
 * -ENOMEM  RLIMIT_MEMLOCK is too small for the pool (ulimit -l)
 */
int pinion_domain_create_phys(struct pinion_pool *pool, struct pinion_domain **domain);

/* Unmaps (VFIO) or unpins (physical), and frees. pre: the device is quiet.
 * -EIO  the kernel unmapped less than asked: close the container, which unmaps the rest */
int pinion_domain_destroy(struct pinion_domain *domain);

/* A read-only file with the table. It belongs to the domain: pass it, do not close it. */
int pinion_domain_fd(const struct pinion_domain *domain);

/*
 * pinion_domain_attach() - use a table made elsewhere. Takes @fd over on success.
 * -EPROTO  not a table of this pool or this layout
 */
int pinion_domain_attach(const struct pinion_pool *pool, int fd, struct pinion_domain **domain);
int pinion_domain_detach(struct pinion_domain *domain);

/*
 * The bus address of byte @off of a buffer. One load and one add for an IOVA.
 * pre: @buffer came from alloc or recv; @off < its size; the domain is of that kind.
 */
static inline pinion_iova pinion_buffer_iova(const struct pinion_domain *domain,
					     struct pinion_buffer buffer, uint32_t off)
{
	uint32_t id = pinion_buffer_id(buffer);
	const struct pinion_domain_segment *segment =
		&domain->segment[id >> domain->segment_shift];
	pinion_iova iova = {segment->base + ((uint64_t)id << segment->shift) + off};

	return iova;
}

static inline pinion_phys pinion_buffer_phys(const struct pinion_domain *domain,
					     struct pinion_buffer buffer, uint32_t off)
{
	uint32_t id = pinion_buffer_id(buffer);
	const struct pinion_domain_segment *segment =
		&domain->segment[id >> domain->segment_shift];
	uint64_t at = ((uint64_t)id << segment->shift) - segment->first + off;
	uint64_t in_page = at & ((UINT64_C(1) << segment->page_shift) - 1);
	pinion_phys phys = {segment->page[at >> segment->page_shift] + in_page};

	return phys;
}

/* What this domain's device is to be told, whatever the kind. */
static inline uint64_t pinion_buffer_bus(const struct pinion_domain *domain,
					 struct pinion_buffer buffer, uint32_t off)
{
	if (domain->kind == PINION_DOMAIN_IOVA)
		return pinion_buffer_iova(domain, buffer, off).addr;
	return pinion_buffer_phys(domain, buffer, off).addr;
}

#endif
