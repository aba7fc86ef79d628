/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_PRETEND_H
#define PINION_TESTS_PRETEND_H

/*
 * A domain without a device: as if an IOMMU mapped each segment of a pool where it is easy to
 * tell.
 */

#include "domain.h"

#define PRETEND_BASE UINT64_C(0x100000000) /* of the first segment, and from each to the next */

/* Added to all of this process: tells its domains from those of others. */
static uint64_t pretend_off;

static inline int pretend_begin(struct domain *domain, uint32_t nr)
{
	(void)domain, (void)nr;
	return 0;
}

static inline int pretend_add(struct domain *domain, uint32_t index)
{
	domain->segment[index].iova = PRETEND_BASE * (index + 1) + pretend_off;
	return 0;
}

static inline int pretend_remove(struct domain *domain, uint32_t index)
{
	(void)domain, (void)index;
	return 0;
}

static inline void pretend_end(struct domain *domain)
{
	(void)domain;
}

static inline int pretend(struct pinion_pool *pool, struct pinion_domain **out)
{
	static const struct domain_ops ops = {pretend_begin, pretend_add, NULL, pretend_remove,
					      pretend_end};
	struct domain *domain;
	int err = domain_create(pool, PINION_DOMAIN_IOVA, &ops, &domain);

	return err ? err : domain_start(domain, out);
}

/* Where byte @off of @buffer is to be found. */
static inline uint64_t pretended(const struct pinion_pool *pool, struct pinion_buffer buffer,
				 uint32_t off)
{
	const uint32_t id = pinion_buffer_id(buffer), shift = pool->geometry.segment_shift;
	const uint64_t in_segment = id & ((UINT32_C(1) << shift) - 1);

	return PRETEND_BASE * ((id >> shift) + 1) + pretend_off +
	       in_segment * pinion_buffer_size(pool, buffer) + off;
}

#endif
