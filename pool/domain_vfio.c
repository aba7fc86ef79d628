/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "domain.h"
#include "fail.h"
#include "iommu.h"

/*
 * Mapping a pool for an IOMMU (iommu.h): each segment at one run of I/O virtual addresses, inside
 * the ranges that the kernel says the IOMMU can translate (they leave out its own reserved
 * windows, such as the MSI doorbell at 0xfee00000 on x86).
 */

/* Address 0 is valid for the IOMMU and a null pointer for everybody else: never handed out. */
#define LOWEST UINT64_C(0x100000)

static int no_memlock(uint32_t index, uint64_t len)
{
	struct rlimit limit = {0, 0};

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	return pinion_fail(-ENOMEM,
			   "segment %u: the kernel does not map %ju MiB for DMA; RLIMIT_MEMLOCK is "
			   "%ju KiB: raise it (ulimit -l, or LimitMEMLOCK= of the service)",
			   index, (uintmax_t)(len >> 20), (uintmax_t)(limit.rlim_cur >> 10));
}

/* One call for a whole segment. -EEXIST is for the caller to judge and leaves no sentence. */
static int map_at(struct domain *domain, uint32_t index, uint64_t iova)
{
	const struct pinion_hostmem *memory = &domain->pool->memory[index];
	int err = iommu_map(&domain->config, memory->addr, iova, memory->len);

	if (err == -ENOMEM)
		return no_memlock(index, memory->len);
	if (err == -ENOSPC)
		return pinion_fail(err, "segment %u: the container has no map entries left (module "
				   "parameter vfio_iommu_type1.dma_entry_limit)", index);
	if (err && err != -EEXIST)
		return pinion_fail(err, "segment %u: cannot map %zu bytes at IOVA %#jx: %s", index,
				   memory->len, (uintmax_t)iova, strerror(-err));
	if (!err)
		domain->segment[index].iova = iova;
	return err;
}

/* At the next place from @from on; another pool may have some (EEXIST): go on behind it. */
static int map_from(struct domain *domain, uint32_t index, uint64_t from)
{
	const struct domain_segment *segment = &domain->segment[index];
	uint8_t shift = segment->shift > segment->page_shift ? segment->shift : segment->page_shift;
	uint64_t align = UINT64_C(1) << shift, iova = 0;

	for (; from >= iova; from = iova + align) {
		int err = pinion_iova_alloc_within(&domain->space, segment->len, align, from,
						   UINT64_MAX, &iova);

		if (err)
			break;
		err = map_at(domain, index, iova);
		if (!err)
			domain->next = iova + segment->len;
		if (err != -EEXIST)
			return err;
		(void)pinion_iova_free(&domain->space, iova, segment->len);
	}
	return pinion_fail(-ENOSPC, "segment %u: no range of the IOMMU has room for %ju bytes",
			   index, (uintmax_t)segment->len);
}

/* Addresses of segments that are gone come last: who still has an old table then more likely
 * meets a fault of the IOMMU than another segment. */
static int map_linear(struct domain *domain, uint32_t index)
{
	uint64_t base = domain->config.base > LOWEST ? domain->config.base : LOWEST;
	int err = -ENOSPC;

	if (domain->next > base)
		err = map_from(domain, index, domain->next);
	return err == -ENOSPC ? map_from(domain, index, base) : err;
}

/* In words: which hole between the usable addresses is in the way of [va, last]. */
static int out_of_range(const struct domain *domain, uint32_t index, uint64_t va, uint64_t last)
{
	uint64_t hole = 0; /* where the extent before the next one ends */

	for (size_t i = 0; i < domain->space.nr; i++) {
		const struct pinion_iova_extent *extent = &domain->space.extent[i];

		if (hole < extent->start && va < extent->start && last >= hole)
			return pinion_fail(-ERANGE, "segment %u lies at %#jx to %#jx in this "
					   "process, and of the IOMMU's addresses %#jx to %#jx are "
					   "reserved: use the linear policy", index, (uintmax_t)va,
					   (uintmax_t)last, (uintmax_t)hole,
					   (uintmax_t)(extent->start - 1));
		hole = extent->last + 1;
	}
	return pinion_fail(-ERANGE, "segment %u lies at %#jx to %#jx in this process, and the "
			   "IOMMU's addresses end at %#jx: use the linear policy", index,
			   (uintmax_t)va, (uintmax_t)last, (uintmax_t)(hole - 1));
}

static int map_identity(struct domain *domain, uint32_t index)
{
	const void *addr = domain->pool->memory[index].addr;
	uint64_t va = (uintptr_t)addr, last = va + (domain->segment[index].len - 1);
	int err = pinion_iova_alloc_va(&domain->space, addr, domain->segment[index].len);

	if (err == -ERANGE)
		return out_of_range(domain, index, va, last);
	if (!err)
		err = map_at(domain, index, va);
	if (err == -EEXIST)
		return pinion_fail(err, "segment %u: something in %#jx to %#jx is mapped in this "
				   "container already: use the linear policy", index, (uintmax_t)va,
				   (uintmax_t)last);
	return err;
}

static int add(struct domain *domain, uint32_t index)
{
	return domain->config.policy == PINION_IOVA_IDENTITY ? map_identity(domain, index)
							     : map_linear(domain, index);
}

static int unmap(struct domain *domain, uint32_t index)
{
	struct domain_segment *segment = &domain->segment[index];
	int err = iommu_unmap(&domain->config, segment->iova, segment->len);

	free(segment->mapped);
	segment->mapped = NULL;
	return err ? pinion_fail(err, "segment %u: cannot unmap it from the IOMMU: %s", index,
				 strerror(-err)) : 0;
}

/* Anew each time: ranges narrow when a group joins. The kernel knows what others have mapped, and
 * segments bring their own alignment, so that addresses are counted in bytes here. */
static int space_begin(struct domain *domain, const struct pinion_vfio_iommu *iommu)
{
	struct pinion_iova_space *space = &domain->space;
	int err = pinion_iova_init(space, 1, domain->extent, DOMAIN_EXTENTS);

	for (uint32_t i = 0; !err && i < iommu->nr_ranges; i++)
		err = pinion_iova_add(space, iommu->range[i].start, iommu->range[i].last);
	for (uint32_t i = 0; !err && i < PINION_SEGMENT_MAX; i++)
		if (domain_has(domain, i))
			err = pinion_iova_alloc_at(space, domain->segment[i].iova,
						   domain->segment[i].len);
	return err ? pinion_fail(err, "the IOMMU's ranges are no longer those that the pool is "
				 "mapped in") : 0;
}

/* Entries are looked at first: a pool that does not fit is not mapped half. 0 entries may also
 * mean that the kernel does not say; then mapping tells. */
static int begin(struct domain *domain, uint32_t nr)
{
	struct pinion_vfio_iommu iommu;
	int err = iommu_info(&domain->config, &iommu);

	if (err)
		return pinion_fail(err, "the %s does not tell its IOVA ranges: %s (has %s)",
				   domain->config.ioas ? "iommufd" : "container", strerror(-err),
				   domain->config.ioas ? "it such an address space?"
						       : "a group been added to it?");
	if (iommu.dma_avail && iommu.dma_avail < nr)
		return pinion_fail(-ENOSPC, "the container has %u map entries left and %u segments "
				   "need one each (module parameter "
				   "vfio_iommu_type1.dma_entry_limit)",
				   iommu.dma_avail, nr);
	return space_begin(domain, &iommu);
}

static void end(struct domain *domain)
{
	(void)domain;
}

int pinion_domain_create_iova(struct pinion_pool *pool, const struct pinion_domain_config *config,
			      struct pinion_domain **out)
{
	KEEP_ERRNO;
	static const struct domain_ops ops = {begin, add, phys_note, unmap, end};
	struct domain *domain;
	int err;

	if (config->policy != PINION_IOVA_LINEAR && config->policy != PINION_IOVA_IDENTITY)
		return pinion_fail(-EINVAL, "policy %d for I/O virtual addresses is none",
				   (int)config->policy);
	err = domain_create(pool, PINION_DOMAIN_IOVA, &ops, &domain);
	if (err)
		return err;
	domain->config = *config;
	return domain_start(domain, out);
}

int pinion_domain_create_vfio(struct pinion_pool *pool, int container, struct pinion_domain **out)
{
	struct pinion_domain_config config = {.container = container};

	return pinion_domain_create_iova(pool, &config, out);
}

/*
 * The kernel lists no mappings, but it refuses to map where one is: asked for one page at the
 * segment's address, it must say EEXIST. If it maps it, nothing was there, and nothing will be; nor
 * is anything where no address is one any more (EINVAL). Other errors do not tell.
 */
static int probe(const struct domain *domain, uint32_t index)
{
	const struct domain_segment *segment = &domain->segment[index];
	const struct pinion_hostmem *memory = &domain->pool->memory[index];
	int err = iommu_map(&domain->config, memory->addr, segment->iova, memory->page_size);

	if (err == -EEXIST)
		return 0;
	if (!err)
		(void)iommu_unmap(&domain->config, segment->iova, memory->page_size);
	return !err || err == -EINVAL ? -ESTALE : err;
}

int domain_audit_vfio(const struct domain *domain, uint32_t index, struct pinion_domain_move *move)
{
	const struct domain_segment *segment = &domain->segment[index];
	/* Who attached has no container to ask. */
	int err = domain->ops ? probe(domain, index) : 0;

	if (!err)
		return 0;
	if (err != -ESTALE)
		return pinion_fail(err, "segment %u: cannot tell whether it is still mapped at "
				   "IOVA %#jx: %s", index, (uintmax_t)segment->iova,
				   strerror(-err));
	move->segment = index;
	move->page = 0;
	move->was = segment->iova;
	move->is = 0;
	return pinion_fail(-ESTALE, "segment %u: nothing is mapped at IOVA %#jx any more: stop the "
			   "device", index, (uintmax_t)segment->iova);
}
