/* SPDX-License-Identifier: BSD-3-Clause */
#include "domain.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fail.h"
#include "pin.h"
#include "slot.h"

/*
 * The life of a domain. Its maker compares, at the start and at each update, the segments that
 * this process has with those that the domain has; sets of segments are bit masks of slots.
 */

static_assert(PINION_SEGMENT_MAX == 64, "a set of segments is one word");

static uint64_t bit(uint32_t index)
{
	return UINT64_C(1) << index;
}

/* The segment's place may soon be another's, whose addresses are known after an update at the
 * earliest. What is mapped or pinned stays so until then: the device may not be told yet. */
static int forget(struct watcher *watcher, uint32_t slot, uint64_t inode)
{
	struct domain *domain =
		(void *)((char *)watcher - offsetof(struct domain, watcher));
	int err;

	if (!domain_has(domain, slot) || domain->segment[slot].inode == inode)
		return 0;
	domain_lapse(domain);
	err = view_unlock(domain);
	if (err)
		return err;
	view_remove(domain, slot);
	view_lock(domain);
	return 0;
}

int domain_create(const struct pinion_pool *pool, enum pinion_domain_kind kind,
		  const struct domain_ops *ops, struct domain **out)
{
	struct domain *domain = calloc(1, sizeof(*domain));
	int err;

	if (!domain)
		return pinion_fail(-ENOMEM, "no memory for a domain");
	domain->pool = (struct pinion_pool *)(uintptr_t)pool;
	domain->watcher.forget = forget;
	domain->ops = ops;
	domain->pid = getpid();
	domain->table.fd = domain->answer.fd = domain->pagemap = -1;
	err = view_create(domain, kind);
	if (err) {
		free(domain);
		return err;
	}
	pool_lock(pool);
	LIST_INSERT_HEAD(&domain->pool->watchers, &domain->watcher, link);
	pool_unlock(pool);
	*out = domain;
	return 0;
}

/* An attach that fails has not taken the fd over yet: -1. Pins are left in a forked child. */
void domain_discard(struct domain *domain)
{
	pool_lock(domain->pool);
	LIST_REMOVE(&domain->watcher, link);
	pool_unlock(domain->pool);
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++) {
		free(domain->segment[i].page);
		free(domain->segment[i].page_before);
		free(domain->segment[i].mapped);
		pins_discard(domain->segment[i].pins);
	}
	table_discard(&domain->table);
	index_destroy(domain);
	view_destroy(domain);
	free(domain);
}

/* One that look-ups knew: the slot keeps its last page[] for those that began before. */
static int remove_segment(struct domain *domain, uint32_t index)
{
	struct domain_segment *segment = &domain->segment[index];
	int err = domain->ops->remove(domain, index);
	uint64_t *page = segment->page;

	free(segment->page_before);
	*segment = (struct domain_segment){.page_before = page};
	return err;
}

/* Undoes add_segment() and what locate() did: no look-up has seen that page[], but one may still
 * read the page[] before it. */
static void undo_set(struct domain *domain, uint64_t set)
{
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++) {
		struct domain_segment *segment = &domain->segment[i];

		if (!(set & bit(i)))
			continue;
		(void)domain->ops->remove(domain, i);
		free(segment->page);
		*segment = (struct domain_segment){.page_before = segment->page_before};
	}
}

/* The first error of all; the rest is removed all the same. */
static int remove_set(struct domain *domain, uint64_t set)
{
	int err = 0;

	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++) {
		int this = set & bit(i) ? remove_segment(domain, i) : 0;

		err = err ? err : this;
	}
	return err;
}

static int add_segment(struct domain *domain, uint32_t index)
{
	int err;

	domain_describe(domain, index);
	err = view_reserve(domain, index);
	if (!err)
		err = domain->ops->add(domain, index);
	if (!err)
		domain->segment[index].inode = domain->pool->segment[index].inode;
	return err;
}

static int locate_set(struct domain *domain, uint64_t set)
{
	int err = 0;

	for (uint32_t i = 0; !err && domain->ops->locate && i < PINION_SEGMENT_MAX; i++)
		if (set & bit(i))
			err = domain->ops->locate(domain, i);
	return err;
}

/* All or none. */
static int add_set(struct domain *domain, uint64_t set)
{
	int err = set ? domain->ops->begin(domain, (uint32_t)__builtin_popcountll(set)) : 0;
	uint64_t done = 0;

	for (uint32_t i = 0; !err && i < PINION_SEGMENT_MAX; i++) {
		if (!(set & bit(i)))
			continue;
		err = add_segment(domain, i);
		done |= err ? 0 : bit(i);
	}
	if (!err)
		err = locate_set(domain, set);
	if (set)
		domain->ops->end(domain);
	if (err)
		undo_set(domain, done);
	return err;
}

/* Look-ups give what the table of that generation says; is it true? (Relaxed: who holds a buffer
 * learned from whoever gave it that the slot's segment before was forgotten, so whichever of the
 * two numbers it reads, the address is its buffer's, or none.) */
static void set_generation(struct domain *domain, uint64_t generation)
{
	bool moved = false;

	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		moved |= domain->segment[i].moved;
	atomic_store_explicit(&domain->head->generation, generation, memory_order_relaxed);
	atomic_store_explicit(&domain->current, moved ? 0 : generation, memory_order_relaxed);
}

/* From here on look-ups know @set, and others can have the table of it. */
static void commit(struct domain *domain, uint64_t set, uint64_t generation,
		   const struct pinion_hostmem *table)
{
	index_publish(domain); /* first: see is_known() in domain_find.c */
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (set & bit(i))
			view_add(domain, i);
	set_generation(domain, generation);
	table_discard(&domain->table);
	domain->table = *table;
	domain->table_is_old = false;
}

/* pre: the view is unlocked. */
static int add_and_publish(struct domain *domain, uint64_t set)
{
	uint64_t generation = pinion_domain_generation(domain_pub(domain)) + 1;
	struct pinion_hostmem table;
	int err = add_set(domain, set);

	if (err)
		return err;
	err = index_prepare(domain);
	if (!err)
		err = table_create(domain, domain->head->kind, generation, &table);
	if (err) {
		undo_set(domain, set);
		return err;
	}
	commit(domain, set, generation, &table);
	return 0;
}

/* What is gone goes first: its addresses are refused from now on, whatever fails later. */
static int drop(struct domain *domain, uint64_t set)
{
	if (set)
		domain_lapse(domain);
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (set & bit(i))
			view_remove(domain, i);
	domain->table_is_old |= set != 0;
	return remove_set(domain, set);
}

static int follow(struct domain *domain)
{
	uint64_t gone = 0, new = 0;
	int err;

	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++) {
		uint64_t inode = domain_pool_inode(domain->pool, i);

		if (inode == domain->segment[i].inode)
			continue;
		gone |= domain_has(domain, i) ? bit(i) : 0;
		new |= inode ? bit(i) : 0;
	}
	if (!gone && !new && !domain->table_is_old)
		return 0;
	err = view_unlock(domain);
	if (err)
		return err;
	err = drop(domain, gone);
	if (!err)
		err = add_and_publish(domain, new);
	view_lock(domain);
	return err ? err : 1;
}

/* The pool's picture is brought up to date, and then stands still. */
static int follow_pool(struct domain *domain)
{
	int err;

	slot_meet_all(domain->pool);
	err = source_open(domain);
	if (err)
		return err;
	pool_lock(domain->pool);
	err = follow(domain);
	pool_unlock(domain->pool);
	source_close(domain);
	return err;
}

int domain_start(struct domain *domain, struct pinion_domain **out)
{
	int err = follow_pool(domain);

	if (err < 0) {
		domain_discard(domain);
		return err;
	}
	*out = domain_pub(domain);
	return 0;
}

static bool is_inherited(const struct domain *domain)
{
	return domain->pid != getpid();
}

int domain_check_own(const struct domain *domain)
{
	return is_inherited(domain) ? pinion_fail(-ECHILD, "this process inherited the domain by "
						  "fork(): what is mapped and pinned is its "
						  "parent's") : 0;
}

int pinion_domain_update(struct pinion_domain *pub)
{
	KEEP_ERRNO;
	struct domain *domain = domain_of(pub);
	int err;

	if (!domain->ops)
		return pinion_fail(-EINVAL, "this domain was attached: attach the table that its "
				   "maker has made since");
	err = domain_check_own(domain);
	return err ? err : follow_pool(domain);
}

int pinion_domain_destroy(struct pinion_domain *pub)
{
	KEEP_ERRNO;
	struct domain *domain = domain_of(pub);
	uint64_t all = 0;
	int err;

	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		all |= domain_has(domain, i) ? bit(i) : 0;
	err = is_inherited(domain) ? 0 : remove_set(domain, all);
	domain_discard(domain);
	return err;
}

int pinion_domain_fd(const struct pinion_domain *pub)
{
	return domain_of(pub)->table.fd;
}

bool pinion_domain_is_current(const struct pinion_domain *pub, uint64_t generation)
{
	return generation && atomic_load_explicit(&domain_of(pub)->current,
						  memory_order_relaxed) == generation;
}

/* pre: domain->table is mapped. */
static int open_table(struct domain *domain)
{
	int err = table_read(domain);

	for (uint32_t i = 0; !err && i < PINION_SEGMENT_MAX; i++)
		if (domain_has(domain, i))
			err = view_reserve(domain, i);
	if (!err)
		err = index_prepare(domain);
	if (err)
		return err;
	index_publish(domain);
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (domain_has(domain, i))
			view_add(domain, i);
	set_generation(domain, table_generation(&domain->table));
	view_lock(domain);
	return 0;
}

int pinion_domain_attach(const struct pinion_pool *pool, int fd, struct pinion_domain **out)
{
	KEEP_ERRNO;
	struct pinion_hostmem table;
	struct domain *domain;
	int err = table_attach(pool, fd, &table);

	if (err)
		return err;
	err = domain_create(pool, table_kind(&table), NULL, &domain);
	if (err) {
		table_discard(&table);
		return err;
	}
	domain->table = table;
	pool_lock(pool);
	err = open_table(domain);
	pool_unlock(pool);
	if (err) {
		domain_discard(domain);
		return err;
	}
	domain->table.fd = fd; /* until now the caller's */
	*out = domain_pub(domain);
	return 0;
}

int pinion_domain_detach(struct pinion_domain *pub)
{
	KEEP_ERRNO;

	domain_discard(domain_of(pub));
	return 0;
}
