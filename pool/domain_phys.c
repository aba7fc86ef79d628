/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "domain.h"
#include "fail.h"
#include "pin.h"

/*
 * Physical addresses, for devices that no IOMMU stands before. Pages are pinned first and their
 * addresses read afterwards: the other way round they could move in between.
 */

/* Pages asked about at once: on the stack, so that an audit needs no memory. */
#define MAPPED_BATCH 512

static int hidden(void)
{
	return pinion_fail(-EPERM, "the kernel hides physical addresses from this process: it "
			   "needs CAP_SYS_ADMIN (page frame number 0 is no address)");
}

int phys_check_pages(const struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (domain_pool_inode(pool, i) && pool->segment[i].page_shift == 12)
			return pinion_fail(-ENOTSUP, "segment %u has pages of 4 KiB: DMA by "
					   "physical address wants hugepages", i);
	return 0;
}

/* In a process that attached, a page may be in no page table yet. */
static int read_page(int pagemap, const struct pinion_hostmem *memory, size_t page, uint64_t *phys)
{
	size_t off = page * memory->page_size;
	const char *addr = (const char *)memory->addr + off;
	int err = pinion_hostmem_phys(pagemap, addr, memory->page_size, phys, 1);

	if (err != -EFAULT)
		return err;
	err = pinion_hostmem_populate(memory, off, memory->page_size);
	/* Where nothing comes, nothing is. Of a page that is broken, say, that is not true. */
	if (err)
		return err == -ENOMEM ? -EFAULT : err;
	return pinion_hostmem_phys(pagemap, addr, memory->page_size, phys, 1);
}

static int unread(int err, uint32_t index)
{
	return pinion_fail(err, "segment %u: cannot read its physical addresses: %s", index,
			   strerror(-err));
}

static int open_pagemap(int *pagemap)
{
	int err = pinion_hostmem_pagemap_open(pagemap);

	/* A process that changed its uid may not even open its own. */
	if (err == -EACCES)
		return hidden();
	return err ? pinion_fail(err, "cannot open /proc/self/pagemap: %s", strerror(-err)) : 0;
}

/* Privilege is asked for before pinning: who lacks it as well as memlock is to be told what
 * matters. Whatever else is wrong with that page is found out later. */
static int begin(struct domain *domain, uint32_t nr)
{
	uint64_t phys;
	uint32_t i = 0;
	int err = phys_check_pages(domain->pool);

	(void)nr;
	if (!err)
		err = open_pagemap(&domain->pagemap);
	if (err)
		return err;
	while (!domain_pool_inode(domain->pool, i))
		i++;
	err = read_page(domain->pagemap, &domain->pool->memory[i], 0, &phys);
	return err == -EPERM ? hidden() : 0;
}

static void end(struct domain *domain)
{
	if (domain->pagemap >= 0)
		(void)close(domain->pagemap);
	domain->pagemap = -1;
}

int phys_pin(struct domain *domain, uint32_t index)
{
	return pins_create(&domain->pool->memory[index], index, &domain->segment[index].pins);
}

/* The array of pages stays: see page_before. */
int phys_unpin(struct domain *domain, uint32_t index)
{
	pins_destroy(domain->segment[index].pins);
	return 0;
}

int phys_read_pages(struct domain *domain, uint32_t index, int pagemap)
{
	const struct pinion_hostmem *memory = &domain->pool->memory[index];
	const size_t nr = domain_segment_pages(&domain->segment[index]);
	uint64_t *page = calloc(nr, sizeof(*page));
	int err;

	if (!page)
		return pinion_fail(-ENOMEM, "no memory for %zu page addresses", nr);
	err = pinion_hostmem_phys(pagemap, memory->addr, memory->page_size, page, nr);
	if (!err) {
		domain->segment[index].page = page;
		return 0;
	}
	free(page);
	return err == -EPERM ? hidden() : unread(err, index);
}

/* One that was punched out since it was mapped is another already: of that nothing is known. */
static int note(const struct pinion_hostmem *memory, int pagemap, uint64_t *page, size_t nr)
{
	int err = pinion_hostmem_phys(pagemap, memory->addr, memory->page_size, page, nr);

	if (err != -EFAULT)
		return err;
	err = pinion_hostmem_populate(memory, 0, memory->len);
	return err ? err : pinion_hostmem_phys(pagemap, memory->addr, memory->page_size, page, nr);
}

static bool is_limit(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE;
}

int phys_note(struct domain *domain, uint32_t index)
{
	const size_t nr = domain_segment_pages(&domain->segment[index]);
	uint64_t *page = calloc(nr, sizeof(*page));
	int pagemap, err = page ? pinion_hostmem_pagemap_open(&pagemap) : -ENOMEM;

	if (!err) {
		err = note(&domain->pool->memory[index], pagemap, page, nr);
		(void)close(pagemap);
	}
	if (!err) {
		domain->segment[index].mapped = page;
		return 0;
	}
	free(page);
	return is_limit(err) ? unread(err, index) : 0;
}

static int locate(struct domain *domain, uint32_t index)
{
	return phys_read_pages(domain, index, domain->pagemap);
}

int pinion_domain_create_phys(struct pinion_pool *pool, struct pinion_domain **out)
{
	KEEP_ERRNO;
	static const struct domain_ops ops = {begin, phys_pin, locate, phys_unpin, end};
	struct domain *domain;
	int err = domain_create(pool, PINION_DOMAIN_PHYS, &ops, &domain);

	return err ? err : domain_start(domain, out);
}

/* Nothing is there, or not one whole page. Any other error says nothing of the page. */
static bool is_nowhere(int err)
{
	return err == -EFAULT || err == -EINVAL;
}

static int audit_page(const struct domain *domain, int pagemap, struct pinion_domain_move *move)
{
	const struct pinion_hostmem *memory = &domain->pool->memory[move->segment];
	int err = read_page(pagemap, memory, move->page, &move->is);

	move->was = domain->segment[move->segment].page[move->page];
	if (err == -EPERM)
		return hidden();
	if (err && !is_nowhere(err))
		return unread(err, move->segment);
	if (err)
		move->is = 0;
	if (move->is == move->was)
		return 0;
	return pinion_fail(-ESTALE, "segment %u: page %ju was at physical address %#jx and is now "
			   "at %#jx (0: nowhere): stop the device", move->segment,
			   (uintmax_t)move->page, (uintmax_t)move->was, (uintmax_t)move->is);
}

/* Leaves the page that moved in @move, when one did. */
static int audit_segment(const struct domain *domain, int pagemap, uint32_t index,
			 struct pinion_domain_move *move)
{
	size_t nr = domain_segment_pages(&domain->segment[index]);
	int err = 0;

	move->segment = index;
	for (size_t page = 0; !err && page < nr; page++) {
		move->page = page;
		err = audit_page(domain, pagemap, move);
	}
	return err;
}

int domain_audit_phys(const struct domain *domain, uint32_t index, struct pinion_domain_move *move)
{
	int pagemap, err = open_pagemap(&pagemap);

	if (err)
		return err;
	err = audit_segment(domain, pagemap, index, move);
	(void)close(pagemap);
	return err;
}

static int audit_mapped_page(const struct domain *domain, int pagemap, uint32_t index, size_t page,
			     struct pinion_domain_move *move)
{
	const struct domain_segment *segment = &domain->segment[index];
	const struct pinion_hostmem *memory = &domain->pool->memory[index];
	uint64_t phys = 0;
	int err = read_page(pagemap, memory, page, &phys);

	if (err == -EPERM)
		return err;
	if (err && !is_nowhere(err))
		return unread(err, index);
	if (!err && phys == segment->mapped[page])
		return 0;
	*move = (struct pinion_domain_move){
		index, page, segment->iova + page * memory->page_size, 0};
	return pinion_fail(-ESTALE, "segment %u: page %zu, at IOVA %#jx, was punched out, and "
			   "another stands in its place: stop the device", index, page,
			   (uintmax_t)move->was);
}

/* Many at once as long as all are as they were: base pages are many. */
static int audit_mapped(const struct domain *domain, int pagemap, uint32_t index,
			struct pinion_domain_move *move)
{
	const struct domain_segment *segment = &domain->segment[index];
	const struct pinion_hostmem *memory = &domain->pool->memory[index];
	const size_t nr = domain_segment_pages(segment);
	uint64_t is[MAPPED_BATCH];
	int err = 0;

	for (size_t page = 0, now; !err && page < nr; page += now) {
		const char *addr = (const char *)memory->addr + page * memory->page_size;

		now = nr - page < MAPPED_BATCH ? nr - page : MAPPED_BATCH;
		if (!pinion_hostmem_phys(pagemap, addr, memory->page_size, is, now) &&
		    !memcmp(is, segment->mapped + page, now * sizeof(*is)))
			continue;
		for (size_t i = page; !err && i < page + now; i++)
			err = audit_mapped_page(domain, pagemap, index, i, move);
	}
	return err;
}

/*
 * What the IOMMU has mapped is pinned and stays where it is (in an iommufd as long as a device is
 * in the space), so a page that lies elsewhere came into the file after it. Without privilege
 * nothing is said: neither where the maker had none, nor in one that has given it up since.
 */
int domain_audit_mapped(const struct domain *domain, uint32_t index,
			struct pinion_domain_move *move)
{
	int pagemap, err = -EPERM;

	if (domain->segment[index].mapped)
		err = pinion_hostmem_pagemap_open(&pagemap);
	if (err == -EPERM || err == -EACCES)
		return 0;
	if (err)
		return unread(err, index);
	err = audit_mapped(domain, pagemap, index, move);
	(void)close(pagemap);
	return err == -EPERM ? 0 : err;
}
