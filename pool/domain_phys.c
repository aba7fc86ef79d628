/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "domain.h"
#include "fail.h"
#include "pin.h"

/*
 * Physical addresses, for devices that no IOMMU stands before. Pages are pinned first and their
 * addresses read afterwards: the other way round they could move in between.
 */

static int check_pages(const struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		if (pool->segment[i].page_shift == 12)
			return pinion_fail(-ENOTSUP, "segment %u has pages of 4 KiB: DMA by "
					   "physical address wants hugepages", i);
	return 0;
}

static int hidden(void)
{
	return pinion_fail(-EPERM, "the kernel hides physical addresses from this process: it "
			   "needs CAP_SYS_ADMIN (page frame number 0 is no address)");
}

/* Asked before pinning: who lacks this as well as memlock is to be told what matters. Whatever
 * else is wrong is found out later. */
static int check_privilege(const struct pinion_pool *pool)
{
	const struct pinion_hostmem *memory = &pool->memory[0];
	uint64_t phys;
	int pagemap, err = pinion_hostmem_pagemap_open(&pagemap);

	if (err)
		return err == -EACCES ? hidden() : 0;
	/* In a process that attached, this page is in no page table yet. */
	err = pinion_hostmem_populate(memory, 0, memory->page_size);
	if (!err)
		err = pinion_hostmem_phys(pagemap, memory->addr, memory->page_size, &phys, 1);
	(void)close(pagemap);
	return err == -EPERM ? hidden() : 0;
}

static int read_segment(struct domain *domain, int pagemap, uint32_t index, uint64_t *next)
{
	const struct pinion_hostmem *memory = &domain->pool->memory[index];
	size_t nr = memory->len / memory->page_size;
	int err = pinion_hostmem_phys(pagemap, memory->addr, memory->page_size,
				      domain_pages(domain) + *next, nr);

	if (err == -EPERM)
		return hidden();
	if (err)
		return pinion_fail(err, "segment %u: cannot read its physical addresses: %s", index,
				   strerror(-err));
	domain_table(domain)->start[index] = *next;
	*next += nr;
	return 0;
}

static int read_addresses(struct domain *domain)
{
	uint64_t next = 0;
	int pagemap = -1, err = pinion_hostmem_pagemap_open(&pagemap);

	/* A process that changed its uid may not even open its own. */
	if (err == -EACCES)
		return hidden();
	if (err)
		return pinion_fail(err, "cannot open /proc/self/pagemap: %s", strerror(-err));
	for (uint32_t i = 0; !err && i < domain->pool->geometry.nr_segments; i++)
		err = read_segment(domain, pagemap, i, &next);
	(void)close(pagemap);
	return err;
}

int pinion_domain_create_phys(struct pinion_pool *pool, struct pinion_domain **out)
{
	KEEP_ERRNO;
	struct domain *domain;
	struct pins *pins = NULL;
	int err = check_pages(pool);

	if (!err)
		err = check_privilege(pool);
	if (!err)
		err = domain_create(pool, PINION_DOMAIN_PHYS, pool_nr_pages(pool), &domain);
	if (err)
		return err;
	err = pins_create(pool, &pins);
	domain->pins = pins;
	if (!err)
		err = read_addresses(domain);
	if (!err)
		err = domain_finish(domain);
	if (err) {
		pins_destroy(pins);
		domain_discard(domain);
		return err;
	}
	*out = &domain->pub;
	return 0;
}
