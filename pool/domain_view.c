/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "domain.h"
#include "fail.h"

/*
 * The part that look-ups read. It is one private mapping with room for every id that the pool can
 * ever have. It never moves, so that look-ups need no pointer but the caller's, and it can be
 * written for the moment of a change alone: a stray store of the program kills the program, and no
 * device is told a wrong address.
 *
 * Ids without a buffer must read as PINION_BUS_UNKNOWN, and there are many: a pool with one
 * segment uses one slot of 64. So one small file full of it is mapped again and again, and what is
 * written becomes a page of this process's own (MAP_PRIVATE). The file has 1/128 of the whole:
 * half of what one segment takes, and few enough mappings (of 65,530 that a process may have).
 */

#define REPEATS 128

/* Ids that segments of a pool can have: all slots, but no more than a handle names. */
static size_t ids(const struct pinion_pool *pool)
{
	size_t nr = (size_t)PINION_SEGMENT_MAX << pool->geometry.segment_shift;

	return nr > (size_t)PINION_ID_MAX + 1 ? (size_t)PINION_ID_MAX + 1 : nr;
}

static int make_unknown(size_t len, struct pinion_hostmem *file)
{
	int err = pinion_hostmem_create("pinion-unknown", len, pinion_hostmem_base_page(), file);

	if (!err)
		err = pinion_hostmem_populate(file, 0, len);
	for (size_t i = 0; !err && i < len / sizeof(uint64_t); i++)
		((uint64_t *)file->addr)[i] = PINION_BUS_UNKNOWN;
	return err;
}

/* pre: [bus, bus + len) is mapped already, by something that may be replaced. */
static int map_unknown(char *bus, size_t len, size_t piece)
{
	struct pinion_hostmem file = {.fd = -1};
	int err = make_unknown(piece, &file);

	for (size_t off = 0; !err && off < len; off += piece)
		if (mmap(bus + off, len - off < piece ? len - off : piece, PROT_READ,
			 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file.fd, 0) == MAP_FAILED)
			err = -errno;
	/* In a program that has called mlockall(2), a locked mapping that becomes writable would
	 * have all of its pages copied at once. */
	if (!err && munlock(bus, len))
		err = -errno;
	if (file.addr)
		(void)pinion_hostmem_destroy(&file);
	return err;
}

int view_create(struct domain *domain, enum pinion_domain_kind kind)
{
	size_t page = pinion_hostmem_base_page();
	size_t bus = (ids(domain->pool) * sizeof(uint64_t) + page - 1) & ~(page - 1);
	size_t piece = (bus / REPEATS + page - 1) & ~(page - 1);
	/* The head ends where bus[] begins, which is where a page does. */
	char *addr = mmap(NULL, page + bus, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err;

	if (addr == MAP_FAILED)
		return pinion_fail(-errno, "no address space for %zu MiB of bus addresses: %s",
				   bus >> 20, strerror(errno));
	err = map_unknown(addr + page, bus, piece);
	if (!err && mprotect(addr, page + bus, PROT_READ | PROT_WRITE))
		err = -errno;
	if (err) {
		(void)munmap(addr, page + bus);
		return pinion_fail(err, "no memory for %zu KiB of bus addresses: %s", piece >> 10,
				   strerror(-err));
	}
	domain->view_len = page + bus;
	domain->head = (struct pinion_domain_head *)(void *)(addr + page) - 1;
	domain->head->own = domain;
	domain->head->kind = kind;
	domain->head->segment_shift = domain->pool->geometry.segment_shift;
	atomic_store_explicit(&domain->head->linear, UINT32_MAX, memory_order_relaxed);
	return 0;
}

/* Where the mapping begins: the head may be smaller than its page. */
static void *view_addr(const struct domain *domain)
{
	return (char *)domain_pub(domain) - pinion_hostmem_base_page();
}

void view_destroy(struct domain *domain)
{
	(void)munmap(view_addr(domain), domain->view_len);
}

int view_unlock(struct domain *domain)
{
	if (mprotect(view_addr(domain), domain->view_len, PROT_READ | PROT_WRITE))
		return pinion_fail(-errno, "cannot open a domain's addresses for writing: %s",
				   strerror(errno));
	return 0;
}

/* Taking a right away from whole mappings allocates nothing, so that it does not fail. */
void view_lock(struct domain *domain)
{
	(void)mprotect(view_addr(domain), domain->view_len, PROT_READ);
}

/* pre: unlocked. */
int view_reserve(struct domain *domain, uint32_t index)
{
	const size_t page = pinion_hostmem_base_page();
	size_t off = (size_t)domain_first_id(domain, index) * sizeof(uint64_t);
	size_t end = off + domain->segment[index].nr * sizeof(uint64_t);
	size_t first = off & ~(page - 1);
	int err;

	do
		err = madvise((char *)domain_pub(domain) + first, end - first, MADV_POPULATE_WRITE);
	while (err && errno == EINTR);
	return err ? pinion_fail(-errno, "no memory for %u bus addresses: %s",
				 domain->segment[index].nr, strerror(errno)) : 0;
}

/* Buffers of several physical pages lie behind their first byte for certain only in its page. */
static uint32_t linear_of(const struct domain_segment *segment)
{
	if (!segment->page || segment->shift <= segment->page_shift || segment->page_shift >= 32)
		return UINT32_MAX;
	return (UINT32_C(1) << segment->page_shift) - 1;
}

/* What is said of a segment stands before its first entry does (R5): a look-up that sees an
 * entry sees it all. */
void view_add(struct domain *domain, uint32_t index)
{
	const struct domain_segment *from = &domain->segment[index];
	struct pinion_domain_segment *to = &domain->head->segment[index];
	_Atomic uint64_t *bus = domain_pub(domain)->bus + domain_first_id(domain, index);
	uint32_t linear = linear_of(from);

	to->shift = from->shift;
	to->page_shift = from->page_shift;
	atomic_store_explicit(&to->page, from->page, memory_order_release); /* R5 */
	if (linear < atomic_load_explicit(&domain->head->linear, memory_order_relaxed))
		atomic_store_explicit(&domain->head->linear, linear, memory_order_relaxed);
	for (uint32_t i = 0; i < from->nr; i++)
		atomic_store_explicit(&bus[i], domain_segment_bus(from, (uint64_t)i << from->shift),
				      memory_order_release); /* R5 */
}

void view_remove(struct domain *domain, uint32_t index)
{
	const struct domain_segment *from = &domain->segment[index];
	_Atomic uint64_t *bus = domain_pub(domain)->bus + domain_first_id(domain, index);

	for (uint32_t i = 0; i < from->nr; i++)
		atomic_store_explicit(&bus[i], PINION_BUS_UNKNOWN, memory_order_relaxed);
	atomic_store_explicit(&domain->head->segment[index].page, NULL, memory_order_relaxed);
}
