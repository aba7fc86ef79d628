/* SPDX-License-Identifier: BSD-3-Clause */
#include "domain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "pin.h"

/*
 * The part of a domain that is alike for all kinds: its table, written once by the maker, sealed,
 * and read by everybody through private copies of what a look-up needs.
 */

static size_t table_len(size_t nr_pages)
{
	return (sizeof(struct table) + nr_pages * sizeof(uint64_t) + 4095) & ~(size_t)4095;
}

int domain_create(const struct pinion_pool *pool, enum pinion_domain_kind kind, size_t nr_pages,
		  struct domain **out)
{
	struct domain *domain = calloc(1, sizeof(*domain));
	int err;

	if (!domain)
		return pinion_fail(-ENOMEM, "no memory for a domain");
	domain->table.fd = -1;
	err = pinion_hostmem_create("pinion-table", table_len(nr_pages), 4096, &domain->table);
	if (!err)
		err = pinion_hostmem_populate(&domain->table, 0, domain->table.len);
	if (err) {
		domain_discard(domain);
		return pinion_fail(err, "no memory for an address table of %zu bytes",
				   table_len(nr_pages));
	}
	domain->pool = pool;
	domain->container = -1;
	*domain_table(domain) = (struct table){
		.magic = TABLE_MAGIC,
		.version = TABLE_VERSION,
		.kind = kind,
		.pool = pool->id,
		.nr_pages = nr_pages,
	};
	*out = domain;
	return 0;
}

/* The private copies, biased like the pool's own (see pool.c), from a table already checked. */
static void open_segments(struct domain *domain)
{
	const struct pinion_pool *pool = domain->pool;
	const struct table *table = domain_table(domain);

	domain->pub.kind = table->kind == PINION_DOMAIN_PHYS ? PINION_DOMAIN_PHYS
							     : PINION_DOMAIN_IOVA;
	domain->pub.segment_shift = pool->geometry.segment_shift;
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++) {
		struct pinion_domain_segment *to = &domain->pub.segment[i];
		uint64_t first = (uint64_t)i << pool->geometry.segment_shift;

		to->shift = pool->segment[i].buffer_shift;
		to->page_shift = pool->segment[i].page_shift;
		to->first = first << to->shift;
		if (domain->pub.kind == PINION_DOMAIN_PHYS)
			to->page = domain_pages(domain) + table->start[i];
		else
			to->base = table->start[i] - to->first;
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
static int make_read_only(struct domain *domain)
{
	char path[32];
	int fd, err;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", domain->table.fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return pinion_fail(-errno, "cannot open the address table for reading: %s",
				   strerror(errno));
	err = seal_for_good(&domain->table, fd);
	(void)close(err ? fd : domain->table.fd);
	if (!err)
		domain->table.fd = fd;
	return err;
}

int domain_finish(struct domain *domain)
{
	int err = make_read_only(domain);

	if (!err)
		open_segments(domain);
	return err;
}

void domain_discard(struct domain *domain)
{
	if (domain->table.addr)
		(void)munmap(domain->table.addr, domain->table.len);
	if (domain->table.fd >= 0)
		(void)close(domain->table.fd);
	free(domain);
}

int pinion_domain_destroy(struct pinion_domain *pub)
{
	KEEP_ERRNO;
	struct domain *domain = (struct domain *)(void *)pub;
	int err = 0;

	if (domain->container >= 0)
		err = domain_unmap_vfio(domain, domain->pool->geometry.nr_segments);
	pins_destroy(domain->pins);
	domain_discard(domain);
	return err;
}

int pinion_domain_fd(const struct pinion_domain *pub)
{
	return ((const struct domain *)(const void *)pub)->table.fd;
}

/* pre: the file is sealed against writing. */
static int check_table(const struct pinion_pool *pool, const struct pinion_hostmem *file)
{
	struct table table;
	size_t next = 0;

	memcpy(&table, file->addr, sizeof(table));
	if (table.magic != TABLE_MAGIC || table.version != TABLE_VERSION || table.pool != pool->id)
		return pinion_fail(-EPROTO, "this file is not an address table of this pool");
	if (table.kind != PINION_DOMAIN_IOVA && table.kind != PINION_DOMAIN_PHYS)
		return pinion_fail(-EPROTO, "an address table of unknown kind %u", table.kind);
	if (table.nr_pages != (table.kind == PINION_DOMAIN_PHYS ? pool_nr_pages(pool) : 0) ||
	    file->len != table_len(table.nr_pages))
		return pinion_fail(-EPROTO, "an address table of another size");
	if (table.kind == PINION_DOMAIN_IOVA)
		return 0;
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++) {
		if (table.start[i] != next)
			return pinion_fail(-EPROTO, "an address table of another order");
		next += pool->segment[i].len >> pool->segment[i].page_shift;
	}
	return 0;
}

static int map_table(int fd, struct pinion_hostmem *file)
{
	struct stat status;
	int seals;

	if (fstat(fd, &status))
		return -errno;
	if (status.st_size < (off_t)sizeof(struct table))
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
	file->fd = fd;
	return 0;
}

int pinion_domain_attach(const struct pinion_pool *pool, int fd, struct pinion_domain **out)
{
	KEEP_ERRNO;
	struct domain *domain = calloc(1, sizeof(*domain));
	int err;

	if (!domain)
		return pinion_fail(-ENOMEM, "no memory for a domain");
	domain->pool = pool;
	domain->container = -1;
	domain->table.fd = -1;
	err = map_table(fd, &domain->table);
	if (err)
		err = pinion_fail(err, "cannot map an address table: %s", strerror(-err));
	else
		err = check_table(pool, &domain->table);
	if (err) {
		domain->table.fd = -1; /* stays the caller's */
		domain_discard(domain);
		return err;
	}
	open_segments(domain);
	*out = &domain->pub;
	return 0;
}

int pinion_domain_detach(struct pinion_domain *pub)
{
	KEEP_ERRNO;

	domain_discard((struct domain *)(void *)pub);
	return 0;
}
