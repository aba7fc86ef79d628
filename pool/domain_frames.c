/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "domain.h"
#include "fail.h"

/*
 * Physical addresses in a process without privilege. To pin takes none, to see where takes some: so
 * the process pins, then asks somebody who maps the same pages and may see them, and copies what is
 * said. The pins are its own, and end with it and its device, whatever becomes of whom it asked.
 */

static int begin(struct domain *domain, uint32_t nr)
{
	(void)nr;
	return phys_check_pages(domain->pool);
}

/* Asked once all new segments are pinned. */
static int ask(struct domain *domain)
{
	int fd, err = domain->ask(domain->ask_context, domain->pool, &fd);

	if (err)
		return err;
	err = table_attach(domain->pool, fd, &domain->frames);
	(void)close(fd);
	return err;
}

static int copy_pages(struct domain *domain, uint32_t index)
{
	int err = domain->frames.addr ? 0 : ask(domain);

	return err ? err : table_read_pages(&domain->frames, domain, index);
}

static void end(struct domain *domain)
{
	table_discard(&domain->frames);
}

int domain_create_frames(struct pinion_pool *pool, domain_ask *ask_whom, void *context,
			 struct pinion_domain **out)
{
	static const struct domain_ops ops = {begin, phys_pin, copy_pages, phys_unpin, end};
	struct domain *domain;
	int err = domain_create(pool, PINION_DOMAIN_PHYS, &ops, &domain);

	if (err)
		return err;
	domain->ask = ask_whom;
	domain->ask_context = context;
	return domain_start(domain, out);
}

/* The other side, which need not have touched the pages as yet. */

static int see_segment(struct domain *domain, uint32_t index, int pagemap)
{
	const struct pinion_hostmem *memory = &domain->pool->memory[index];
	struct domain_segment *segment = &domain->segment[index];
	int err = 0;

	domain_describe(domain, index);
	segment->inode = domain->pool->segment[index].inode;
	segment->page = calloc(domain_segment_pages(segment), sizeof(*segment->page));
	if (!segment->page)
		return pinion_fail(-ENOMEM, "no memory for page addresses");
	for (size_t i = 0; !err && i < domain_segment_pages(segment); i++)
		err = phys_read_page(pagemap, memory, i, &segment->page[i]);
	if (err == -EPERM)
		return phys_hidden();
	return err ? pinion_fail(err, "segment %u: cannot read its physical addresses: %s", index,
				 strerror(-err)) : 0;
}

/* A domain with no more than what a table is made from. */
int frames_create(const struct pinion_pool *pool, int pagemap, struct pinion_hostmem *table)
{
	struct domain *seen = calloc(1, sizeof(*seen));
	int err = seen ? phys_check_pages(pool)
		       : pinion_fail(-ENOMEM, "no memory for page addresses");

	if (!seen)
		return err;
	seen->pool = (struct pinion_pool *)(uintptr_t)pool;
	for (uint32_t i = 0; !err && i < PINION_SEGMENT_MAX; i++)
		if (domain_pool_inode(pool, i))
			err = see_segment(seen, i, pagemap);
	if (!err)
		err = table_create(seen, PINION_DOMAIN_PHYS, 1, table);
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		free(seen->segment[i].page);
	free(seen);
	return err;
}
