/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "domain.h"
#include "fail.h"

/*
 * Physical addresses in a process without privilege. To pin takes none, to see where takes some: so
 * the process pins, asks somebody who maps the same files and may see, and copies what is said. The
 * pins are its own, and end with it and its device, whatever becomes of whom it asked.
 *
 * That the pages are the same must be seen: a member may punch one out of its file, and another one
 * comes in its place, which nobody has pinned. But then the first is in no page table any more. So
 * each page is looked for in our own once the answer is here: one that never left it was in the
 * file all the while, and is the one that the other side saw. (Unless a thread of this very process
 * touched the hole; and where the kernel lets processes share page tables, x86 and mappings of
 * 1 GiB and more, unless any member did.)
 */

static bool has_new(const struct domain *domain)
{
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++) {
		const uint64_t inode = domain_pool_inode(domain->pool, i);

		if (inode && inode != domain->segment[i].inode)
			return true;
	}
	return false;
}

int source_open(struct domain *domain)
{
	bool wanted;

	if (!domain->source.open)
		return 0;
	pool_lock(domain->pool);
	wanted = has_new(domain);
	pool_unlock(domain->pool);
	return wanted ? domain->source.open(domain->source.context, domain->pool, &domain->session)
		      : 0;
}

void source_close(struct domain *domain)
{
	if (domain->session)
		domain->source.close(domain->session);
	domain->session = NULL;
}

static int begin(struct domain *domain, uint32_t nr)
{
	(void)nr;
	if (!domain->session)
		return pinion_fail(-EAGAIN, "the pool has changed meanwhile: try again");
	return phys_check_pages(domain->pool);
}

/* For all that are pinned and not located. */
static int ask(struct domain *domain)
{
	uint64_t wanted = 0;
	int fd, err;

	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (domain_has(domain, i) && !domain->segment[i].page)
			wanted |= UINT64_C(1) << i;
	err = domain->source.ask(domain->session, wanted, &fd);
	if (err)
		return err;
	err = table_attach(domain->pool, fd, &domain->answer);
	(void)close(fd);
	return err;
}

/* The first page that is not in our page table, if there is one: -ESTALE. */
static int find_missing(const struct domain *domain, uint32_t index, size_t *page)
{
	const struct pinion_hostmem *memory = &domain->pool->memory[index];
	const size_t nr = memory->len / memory->page_size;
	int ignored, err = 0;

	for (*page = 0; !err && *page < nr; ++*page)
		err = pinion_hostmem_node((char *)memory->addr + *page * memory->page_size,
					  memory->page_size, &ignored, 1);
	*page -= err != 0;
	return err == -EFAULT ? -ESTALE : err;
}

static int complain(int err, uint32_t index, size_t page)
{
	if (err == -ESTALE)
		return pinion_fail(err, "segment %u: page %zu was punched out of it: stop the "
				   "device", index, page);
	return pinion_fail(err, "segment %u: cannot tell whether it has all its pages: %s", index,
			   strerror(-err));
}

static int locate(struct domain *domain, uint32_t index)
{
	int err = domain->answer.addr ? 0 : ask(domain);
	size_t page;

	if (!err)
		err = table_read_pages(&domain->answer, domain, index);
	if (err)
		return err;
	err = find_missing(domain, index, &page);
	return err ? complain(err, index, page) : 0;
}

static void end(struct domain *domain)
{
	table_discard(&domain->answer);
}

int domain_create_from(struct pinion_pool *pool, const struct domain_source *source,
		       struct pinion_domain **out)
{
	static const struct domain_ops ops = {begin, phys_pin, locate, phys_unpin, end};
	struct domain *domain;
	int err = domain_create(pool, PINION_DOMAIN_PHYS, &ops, &domain);

	if (err)
		return err;
	domain->source = *source;
	return domain_start(domain, out);
}

int domain_audit_told(const struct domain *domain, uint32_t index, struct pinion_domain_move *move)
{
	size_t page;
	int err = find_missing(domain, index, &page);

	if (err == -ESTALE)
		*move = (struct pinion_domain_move){
			index, page, domain->segment[index].page[page], 0};
	return err ? complain(err, index, page) : 0;
}

/* The other side. A page that is not in its table is not fetched: of a hole that would be another
 * page, and hide the hole. */

static int see_segment(struct domain *seen, uint32_t index, int pagemap)
{
	int err;

	domain_describe(seen, index);
	err = phys_read_pages(seen, index, pagemap);
	if (err == -EFAULT)
		return pinion_fail(-EAGAIN, "segment %u: not all of its pages were looked at as "
				   "yet: try again", index);
	if (!err)
		seen->segment[index].inode = seen->pool->segment[index].inode;
	return err;
}

/* A domain with no more than what a table is made from. */
int frames_create(const struct pinion_pool *pool, int pagemap, uint64_t segments,
		  struct pinion_hostmem *table)
{
	struct domain *seen = calloc(1, sizeof(*seen));
	int err;

	if (!seen)
		return pinion_fail(-ENOMEM, "no memory for page addresses");
	seen->pool = (struct pinion_pool *)(uintptr_t)pool;
	err = phys_check_pages(pool);
	for (uint32_t i = 0; !err && i < PINION_SEGMENT_MAX; i++)
		if (segments >> i & 1 && domain_pool_inode(pool, i))
			err = see_segment(seen, i, pagemap);
	if (!err)
		err = table_create(seen, PINION_DOMAIN_PHYS, 1, table);
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		free(seen->segment[i].page);
	free(seen);
	return err;
}
