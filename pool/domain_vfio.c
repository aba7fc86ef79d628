/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include <pinion/vfioctl.h>

#include "domain.h"
#include "fail.h"

/*
 * Mapping a pool into a VFIO container: each segment at one run of I/O virtual addresses, inside
 * the ranges that the kernel says the IOMMU can translate (they leave out its own reserved
 * windows, such as the MSI doorbell at 0xfee00000 on x86).
 */

/* Address 0 is valid for the IOMMU and a null pointer for everybody else: never handed out. */
#define LOWEST UINT64_C(0x100000)

static uint64_t align_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* The first place at or above *iova where @len bytes fit; false when there is none. */
static bool place(const struct pinion_vfio_iommu *iommu, uint64_t len, uint64_t align,
		  uint64_t *iova)
{
	for (uint32_t i = 0; i < iommu->nr_ranges; i++) {
		const struct pinion_vfio_range *range = &iommu->range[i];
		uint64_t at = align_up(*iova > range->start ? *iova : range->start, align);

		/* at < start: align_up() went past the end of 64 bits. */
		if (at >= range->start && at <= range->last && range->last - at >= len - 1) {
			*iova = at;
			return true;
		}
	}
	return false;
}

static int no_memlock(uint32_t index, uint64_t len)
{
	struct rlimit limit = {0, 0};

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	return pinion_fail(-ENOMEM,
			   "segment %u: the kernel does not map %ju MiB for DMA; RLIMIT_MEMLOCK is "
			   "%ju KiB: raise it (ulimit -l, or LimitMEMLOCK= of the service)",
			   index, (uintmax_t)(len >> 20), (uintmax_t)(limit.rlim_cur >> 10));
}

/* Maps one segment at the next place; another pool may have some (EEXIST): go on behind it. */
static int map_segment(struct domain *domain, const struct pinion_vfio_iommu *iommu,
		       uint32_t index, uint64_t *iova)
{
	const struct pinion_hostmem *memory = &domain->pool->memory[index];

	while (place(iommu, memory->len, memory->page_size, iova)) {
		int err = pinion_vfio_dma_map(domain->container, memory->addr, *iova, memory->len);

		if (!err) {
			domain_table(domain)->start[index] = *iova;
			*iova += memory->len;
			return 0;
		}
		if (err == -ENOMEM)
			return no_memlock(index, memory->len);
		if (err == -ENOSPC)
			return pinion_fail(err, "segment %u: the container has no map entries left "
					   "(module parameter vfio_iommu_type1.dma_entry_limit)",
					   index);
		if (err != -EEXIST)
			return pinion_fail(err, "segment %u: cannot map %zu bytes at IOVA %#jx: %s",
					   index, memory->len, (uintmax_t)*iova, strerror(-err));
		*iova += memory->page_size;
	}
	return pinion_fail(-ENOSPC, "segment %u: no range of the IOMMU has room for %zu bytes",
			   index, memory->len);
}

int domain_unmap_vfio(const struct domain *domain, uint32_t nr)
{
	int err = 0;

	for (uint32_t i = 0; i < nr; i++) {
		int this = pinion_vfio_dma_unmap(domain->container, domain_table(domain)->start[i],
						 domain->pool->memory[i].len);

		if (this)
			err = pinion_fail(this, "segment %u: cannot unmap it from the IOMMU: %s", i,
					  strerror(-this));
	}
	return err;
}

static int map_all(struct domain *domain)
{
	struct pinion_vfio_iommu iommu = {0};
	uint64_t iova = LOWEST;
	int err = pinion_vfio_iommu_info(domain->container, &iommu);

	if (err)
		return pinion_fail(err, "the container does not tell its IOVA ranges: %s (has a "
				   "group been added to it?)", strerror(-err));
	for (uint32_t i = 0; i < domain->pool->geometry.nr_segments; i++) {
		err = map_segment(domain, &iommu, i, &iova);
		if (err) {
			(void)domain_unmap_vfio(domain, i);
			return err;
		}
	}
	return 0;
}

int pinion_domain_create_vfio(struct pinion_pool *pool, int container, struct pinion_domain **out)
{
	KEEP_ERRNO;
	struct domain *domain;
	int err = domain_create(pool, PINION_DOMAIN_IOVA, 0, &domain);

	if (err)
		return err;
	domain->container = container;
	err = map_all(domain);
	if (err) {
		domain_discard(domain);
		return err;
	}
	err = domain_finish(domain);
	if (err) {
		(void)domain_unmap_vfio(domain, pool->geometry.nr_segments);
		domain_discard(domain);
		return err;
	}
	*out = &domain->pub;
	return 0;
}
