/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "domain.h"
#include "domain_table.h"
#include "fail.h"

static size_t table_len(size_t nr_pages)
{
	return (TABLE_PAGES + nr_pages * sizeof(uint64_t) + 4095) & ~(size_t)4095;
}

static const struct table *table_of(const struct pinion_hostmem *file)
{
	return file->addr;
}

static uint64_t *pages_of(const struct pinion_hostmem *file)
{
	return (uint64_t *)(void *)((char *)file->addr + TABLE_PAGES);
}

enum pinion_domain_kind table_kind(const struct pinion_hostmem *file)
{
	return table_of(file)->kind == PINION_DOMAIN_PHYS ? PINION_DOMAIN_PHYS : PINION_DOMAIN_IOVA;
}

uint64_t table_generation(const struct pinion_hostmem *file)
{
	return table_of(file)->generation;
}

/* Segments in order; pages of one behind those of the other. */
static void fill(const struct domain *domain, enum pinion_domain_kind kind, uint64_t generation,
		 size_t nr_pages, const struct pinion_hostmem *file)
{
	struct table *table = file->addr;
	uint64_t next = 0;

	*table = (struct table){
		.magic = TABLE_MAGIC,
		.version = TABLE_VERSION,
		.kind = kind,
		.pool = domain->pool->id,
		.generation = generation,
		.nr_pages = nr_pages,
	};
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++) {
		const struct domain_segment *from = &domain->segment[i];

		if (!domain_has(domain, i))
			continue;
		table->segment[i] = (struct table_segment){
			.inode = from->inode,
			.len = from->len,
			.start = from->page ? next : from->iova,
			.shift = from->shift,
			.page_shift = from->page_shift,
		};
		if (!from->page)
			continue;
		memcpy(pages_of(file) + next, from->page, domain_segment_pages(from) * 8);
		next += domain_segment_pages(from);
	}
}

static int seal_for_good(struct pinion_hostmem *table, int read_only)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	void *addr;
	int err;

	/* The kernel refuses F_SEAL_WRITE as long as anything maps the file for writing. */
	(void)munmap(table->addr, table->len);
	table->addr = NULL;
	err = pinion_hostmem_seal(table, seals);
	if (err)
		return pinion_fail(err, "cannot seal the address table: %s", strerror(-err));
	addr = mmap(NULL, table->len, PROT_READ, MAP_SHARED, read_only, 0);
	if (addr == MAP_FAILED)
		return pinion_fail(-errno, "cannot map the address table: %s", strerror(errno));
	table->addr = addr;
	return 0;
}

/* Nobody can change it from here on, not even this process; others get an fd that can only be
 * read (a shared mapping of a sealed file wants that before Linux 6.7). */
static int make_read_only(struct pinion_hostmem *table)
{
	char path[32];
	int fd, err;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", table->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return pinion_fail(-errno, "cannot open the address table for reading: %s",
				   strerror(errno));
	err = seal_for_good(table, fd);
	(void)close(err ? fd : table->fd);
	if (!err)
		table->fd = fd;
	return err;
}

void table_discard(struct pinion_hostmem *table)
{
	if (table->addr)
		(void)munmap(table->addr, table->len);
	if (table->fd >= 0)
		(void)close(table->fd);
	table->addr = NULL;
	table->fd = -1;
}

int table_create(const struct domain *domain, enum pinion_domain_kind kind, uint64_t generation,
		 struct pinion_hostmem *out)
{
	struct pinion_hostmem table = {.fd = -1};
	size_t nr_pages = 0;
	int err;

	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (domain->segment[i].page)
			nr_pages += domain_segment_pages(&domain->segment[i]);
	err = pinion_hostmem_create("pinion-table", table_len(nr_pages), 4096, &table);
	if (!err)
		err = pinion_hostmem_populate(&table, 0, table.len);
	if (err) {
		table_discard(&table);
		return pinion_fail(err, "cannot make an address table of %zu bytes: %s",
				   table_len(nr_pages), strerror(-err));
	}
	fill(domain, kind, generation, nr_pages, &table);
	err = make_read_only(&table);
	if (err) {
		table_discard(&table);
		return err;
	}
	*out = table;
	return 0;
}

/* pre: the file is sealed against writing: what is checked here stays so. */
static int check_header(const struct pinion_pool *pool, const struct pinion_hostmem *file)
{
	const struct table *table = table_of(file);

	if (table->magic != TABLE_MAGIC || table->version != TABLE_VERSION ||
	    table->pool != pool->id)
		return pinion_fail(-EPROTO, "this file is not an address table of this pool");
	if (table->kind != PINION_DOMAIN_IOVA && table->kind != PINION_DOMAIN_PHYS)
		return pinion_fail(-EPROTO, "an address table of unknown kind %u", table->kind);
	if (table->nr_pages > file->len / sizeof(uint64_t) ||
	    file->len != table_len(table->nr_pages))
		return pinion_fail(-EPROTO, "an address table of another size");
	return 0;
}

static int map_table(int fd, struct pinion_hostmem *file)
{
	struct stat status;
	int seals;

	if (fstat(fd, &status))
		return -errno;
	if (status.st_size < (off_t)TABLE_PAGES)
		return -EPROTO;
	/* Written once and never again: only then what is checked here may be read in place
	 * later. (F_SEAL_FUTURE_WRITE would not do: older mappings go on writing.) */
	if (pinion_hostmem_seals(fd, &seals) || !(seals & F_SEAL_SHRINK) ||
	    !(seals & F_SEAL_WRITE))
		return -EPROTO;
	file->len = (size_t)status.st_size;
	file->page_size = 4096;
	file->addr = mmap(NULL, file->len, PROT_READ, MAP_SHARED, fd, 0);
	if (file->addr == MAP_FAILED) {
		file->addr = NULL;
		return -errno;
	}
	return 0;
}

int table_attach(const struct pinion_pool *pool, int fd, struct pinion_hostmem *out)
{
	struct pinion_hostmem file = {.fd = -1};
	int err = map_table(fd, &file);

	if (err == -EPROTO)
		return pinion_fail(err, "this file is not an address table, or not sealed");
	if (err)
		return pinion_fail(err, "cannot map an address table: %s", strerror(-err));
	err = check_header(pool, &file);
	if (err) {
		table_discard(&file);
		return err;
	}
	*out = file;
	return 0;
}

/* Does it describe a segment that a pool can have? Then no id and no shift is out of range. */
static bool is_possible(const struct table_segment *from, uint32_t index, uint32_t segment_shift)
{
	uint64_t page;

	if ((uint64_t)(index + 1) << segment_shift > (uint64_t)PINION_ID_MAX + 1)
		return false;
	if (from->shift < 6 || from->shift > 40 || from->page_shift < 12 || from->page_shift > 40)
		return false;
	page = UINT64_C(1) << from->page_shift;
	return from->len && from->len % page == 0 && from->len >> from->shift &&
	       from->len % (UINT64_C(1) << from->shift) == 0 &&
	       from->len >> from->shift <= UINT64_C(1) << segment_shift;
}

/* One page's place: aligned as the page is, and none of those that nobody has. */
static bool is_address(uint64_t bus, uint64_t len, uint64_t align)
{
	return bus && bus % align == 0 && bus < PINION_BUS_UNKNOWN &&
	       len <= PINION_BUS_UNKNOWN - bus;
}

static int read_pages(const struct pinion_hostmem *file, const struct table_segment *from,
		      struct domain_segment *to)
{
	size_t nr = (size_t)(from->len >> from->page_shift);
	uint64_t page = UINT64_C(1) << from->page_shift;
	const uint64_t *pages = pages_of(file) + from->start;

	for (size_t i = 0; i < nr; i++)
		if (!is_address(pages[i], page, page))
			return pinion_fail(-EPROTO, "an address table with a page at %#jx",
					   (uintmax_t)pages[i]);
	to->page = malloc(nr * sizeof(*pages));
	if (!to->page)
		return pinion_fail(-ENOMEM, "no memory for %zu page addresses", nr);
	memcpy(to->page, pages, nr * sizeof(*pages));
	return 0;
}

int table_read_pages(const struct pinion_hostmem *file, struct domain *domain, uint32_t index)
{
	const struct table *table = table_of(file);
	const struct table_segment *from = &table->segment[index];
	struct domain_segment *to = &domain->segment[index];
	uint64_t nr = domain_segment_pages(to);

	if (from->inode != domain_pool_inode(domain->pool, index))
		return pinion_fail(-EAGAIN, "segment %u has changed meanwhile: try again", index);
	if (table->kind != PINION_DOMAIN_PHYS || from->len != to->len ||
	    from->page_shift != to->page_shift || from->start > table->nr_pages ||
	    nr > table->nr_pages - from->start)
		return pinion_fail(-EPROTO, "an address table that lacks segment %u", index);
	return read_pages(file, from, to);
}

/* The segments' pages stand in the segments' order; *next is where this one's must be. */
static int read_segment(struct domain *domain, uint32_t index, uint64_t *next)
{
	const struct table *table = table_of(&domain->table);
	const struct table_segment *from = &table->segment[index];
	struct domain_segment *to = &domain->segment[index];
	uint64_t have = domain_pool_inode(domain->pool, index);
	bool phys = table->kind == PINION_DOMAIN_PHYS;

	if (!is_possible(from, index, domain->head->segment_shift))
		return pinion_fail(-EPROTO, "an address table with a segment %u of another shape",
				   index);
	if (phys ? from->start != *next || from->len >> from->page_shift > table->nr_pages - *next
		 : !is_address(from->start, from->len, UINT64_C(1) << from->page_shift))
		return pinion_fail(-EPROTO, "an address table of another order");
	if (phys)
		*next += from->len >> from->page_shift;
	if (have && have != from->inode)
		return 0; /* one of the two is older: better no address than a wrong one */
	if (have && (domain->pool->segment[index].len != from->len ||
		     domain->pool->segment[index].stride_shift != from->shift ||
		     domain->pool->segment[index].page_shift != from->page_shift))
		return pinion_fail(-EPROTO, "an address table whose segment %u has another shape "
				   "than the pool's", index);
	to->len = from->len;
	to->nr = (uint32_t)(from->len >> from->shift);
	to->shift = from->shift;
	to->page_shift = from->page_shift;
	to->iova = phys ? 0 : from->start;
	to->inode = from->inode;
	return phys ? read_pages(&domain->table, from, to) : 0;
}

int table_read(struct domain *domain)
{
	const struct table *table = table_of(&domain->table);
	uint64_t next = 0;
	int err = 0;

	for (uint32_t i = 0; !err && i < PINION_SEGMENT_MAX; i++)
		if (table->segment[i].inode)
			err = read_segment(domain, i, &next);
	if (!err && next != table->nr_pages)
		return pinion_fail(-EPROTO, "an address table of more pages than its segments");
	return err;
}
