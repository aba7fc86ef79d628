/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several domains of one pool at once, one for each device: each has addresses of its own and its
 * own way back, follows the pool when it is told to, and ends alone.
 *
 * The IOMMUs are of this file, two containers of them, which are called 0 and 1. What they were
 * told to map is where a device of theirs would come to: reached().
 */

#include <pthread.h>

#include "domain_support.h"
#include "iommu.h"
#include "pin.h"

#define CONTAINERS 2
#define ENTRIES 16
#define HIGH (UINT64_C(1) << 46) /* where no memory is, and no linear address from the start */

struct entry {
	char *addr; /* NULL: nothing is mapped */
	uint64_t iova, len;
};

static struct entry iommu[CONTAINERS][ENTRIES];
static bool unmaps_less; /* than it is asked, it says */

int __wrap_iommu_info(const struct pinion_domain_config *config, struct pinion_vfio_iommu *info);
int __wrap_iommu_map(const struct pinion_domain_config *config, void *addr, uint64_t iova,
		     uint64_t len);
int __wrap_iommu_unmap(const struct pinion_domain_config *config, uint64_t iova, uint64_t len);

int __wrap_iommu_info(const struct pinion_domain_config *config, struct pinion_vfio_iommu *info)
{
	(void)config;
	*info = (struct pinion_vfio_iommu){
		.dma_avail = ENTRIES, .nr_ranges = 1, .range = {{0, 2 * HIGH - 1}}};
	return 0;
}

int __wrap_iommu_map(const struct pinion_domain_config *config, void *addr, uint64_t iova,
		     uint64_t len)
{
	struct entry *entries = iommu[config->container], *to = NULL;

	for (int i = 0; i < ENTRIES; i++) {
		if (!entries[i].addr)
			to = &entries[i];
		else if (iova < entries[i].iova + entries[i].len && entries[i].iova < iova + len)
			return -EEXIST;
	}
	if (!to)
		return -ENOSPC;
	*to = (struct entry){addr, iova, len};
	return 0;
}

/* As a whole or not at all. */
int __wrap_iommu_unmap(const struct pinion_domain_config *config, uint64_t iova, uint64_t len)
{
	struct entry *entries = iommu[config->container];

	for (int i = 0; i < ENTRIES; i++)
		if (entries[i].addr && entries[i].iova == iova && entries[i].len == len) {
			entries[i].addr = NULL;
			return unmaps_less ? -EIO : 0;
		}
	return -ENOENT;
}

static uint32_t mapped(int container)
{
	uint32_t nr = 0;

	for (int i = 0; i < ENTRIES; i++)
		nr += iommu[container][i].addr != NULL;
	return nr;
}

/* Where a device of that domain comes to. */
static const char *reached(const struct pinion_domain *domain, uint64_t bus)
{
	const struct entry *entries = iommu[pinion_domain_head(domain)->own->config.container];

	for (int i = 0; i < ENTRIES; i++)
		if (entries[i].addr && bus - entries[i].iova < entries[i].len)
			return entries[i].addr + (bus - entries[i].iova);
	return NULL;
}

static struct pinion_domain *domain_in(struct pinion_pool *pool, int container, uint64_t base)
{
	const struct pinion_domain_config config = {.container = container, .base = base};
	struct pinion_domain *domain = NULL;
	const int err = pinion_domain_create_iova(pool, &config, &domain);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return domain;
}

static struct pinion_buffer buffer_of(const struct pinion_pool *pool, uint32_t segment, uint32_t i)
{
	return pinion_buffer_make((segment << pool->geometry.segment_shift) + i, 3);
}

static bool knows(const struct pinion_pool *pool, const struct pinion_domain *domain,
		  uint32_t segment)
{
	return !(pinion_buffer_bus(domain, buffer_of(pool, segment, 0), 1) & PINION_BUS_UNKNOWN);
}

static void leads_back(const struct pinion_domain *domain, struct pinion_buffer buffer,
		       uint32_t off)
{
	uint32_t id = 0, at = 0;

	assert_int_equal(pinion_domain_find(domain, pinion_buffer_bus(domain, buffer, off), &id,
					    &at), 0);
	assert_int_equal(id, pinion_buffer_id(buffer));
	assert_int_equal(at, off);
}

static void leads_there_and_back(const struct pinion_pool *pool,
				 const struct pinion_domain *domain, struct pinion_buffer buffer,
				 uint32_t off)
{
	const char *addr = pinion_buffer_addr(pool, buffer);

	assert_ptr_equal(reached(domain, pinion_buffer_bus(domain, buffer, off)), addr + off);
	leads_back(domain, buffer, off);
}

/* No address of @a's leads anywhere by @b. */
static void are_strangers(const struct pinion_pool *pool, const struct pinion_domain *a,
			  const struct pinion_domain *b, uint32_t segment)
{
	uint32_t id, off;

	for (uint32_t i = 0; i < pool->segment[segment].nr; i++) {
		const struct pinion_buffer buffer = buffer_of(pool, segment, i);

		assert_int_equal(pinion_domain_find(b, pinion_buffer_bus(a, buffer, 7), &id, &off),
				 -ENOENT);
		assert_int_equal(pinion_domain_find(a, pinion_buffer_bus(b, buffer, 7), &id, &off),
				 -ENOENT);
	}
}

static void both_have_all_of(const struct pinion_pool *pool, const struct pinion_domain *a,
			     const struct pinion_domain *b, uint32_t nr_segments)
{
	each_byte(pool, leads_there_and_back, a);
	each_byte(pool, leads_there_and_back, b);
	for (uint32_t s = 0; s < nr_segments; s++)
		are_strangers(pool, a, b, s);
}

/* @a is told first each time, and @b has what it had until it is told as well. */
static void follow_by_turns(struct pinion_pool *pool, struct pinion_domain *a,
			    struct pinion_domain *b)
{
	assert_int_equal(grow(pool, 16, 1024), 1);
	assert_int_equal(pinion_domain_update(a), 1);
	assert_true(knows(pool, a, 1) && !knows(pool, b, 1));
	assert_int_equal(pinion_domain_update(b), 1);
	both_have_all_of(pool, a, b, 2);
	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_int_equal(pinion_domain_update(a), 1);
	assert_int_equal(mapped(0) + mapped(1), 3);
	assert_int_equal(pinion_domain_update(b), 1);
	assert_int_equal(mapped(0) + mapped(1), 2);
	assert_false(knows(pool, a, 1) || knows(pool, b, 1));
	both_have_all_of(pool, a, b, 1);
	assert_int_equal(pinion_domain_update(a), 0);
	assert_int_equal(pinion_domain_update(b), 0);
	assert_int_equal(pinion_domain_generation(a), 3);
	assert_int_equal(pinion_domain_generation(b), 3);
}

/* Where the kernel tells where pages lie, an audit compares, and these IOMMUs pin nothing: so it is
 * done here, before a domain notes where they lie, for a pin may move them. NULL elsewhere. */
static struct pins *pin(const struct pinion_pool *pool, uint32_t segment)
{
	const struct pinion_hostmem *memory = &pool->memory[segment];
	struct pins *pins = NULL;

	if (phys_by_kernel(memory->addr))
		assert_int_equal(pins_create(memory, segment, &pins), 0);
	return pins;
}

static void each_has_its_own_addresses_and_follows_when_it_is_told(void **state)
{
	const uint64_t base[CONTAINERS] = {0, HIGH};

	(void)state;
	/* One for each of two devices, or both for one, where they lie beside each other. */
	for (int container = CONTAINERS - 1; container >= 0; container--) {
		struct pinion_pool *pool = pool_make(64);
		struct pins *pins = pin(pool, 0), *more;
		struct pinion_domain *a = domain_in(pool, 0, 0);
		struct pinion_domain *b = domain_in(pool, container, base[container]);

		both_have_all_of(pool, a, b, 1);
		follow_by_turns(pool, a, b);
		assert_int_equal(pinion_domain_destroy(a), 0);
		assert_int_equal(mapped(0) + mapped(1), 1);
		each_byte(pool, leads_there_and_back, b);
		assert_int_equal(grow(pool, 16, 1024), 1);
		more = pin(pool, 1);
		assert_int_equal(pinion_domain_update(b), 1);
		each_byte(pool, leads_there_and_back, b);
		assert_int_equal(pinion_domain_audit(b, NULL), 0);
		assert_int_equal(pinion_domain_destroy(b), 0);
		assert_int_equal(mapped(0) + mapped(1), 0);
		pins_destroy(more);
		pins_destroy(pins);
		assert_int_equal(pinion_pool_destroy(pool), 0);
	}
}

/* Look-ups by one domain while the other comes, follows and goes. */
struct looker {
	const struct pinion_domain *domain;
	struct pinion_buffer buffer;
	uint64_t bus;
	atomic_bool stop;
	_Atomic uint64_t turns;
	uint64_t wrong;
};

static void *look_on(void *arg)
{
	struct looker *looker = arg;

	while (!atomic_load_explicit(&looker->stop, memory_order_relaxed)) {
		uint32_t id = 0, off = 0;

		looker->wrong += pinion_buffer_bus(looker->domain, looker->buffer, 77) !=
				 looker->bus;
		looker->wrong += pinion_domain_find(looker->domain, looker->bus, &id, &off) != 0 ||
				 id != pinion_buffer_id(looker->buffer) || off != 77;
		atomic_fetch_add_explicit(&looker->turns, 1, memory_order_relaxed);
	}
	return NULL;
}

static void look_start(struct looker *looker, const struct pinion_pool *pool,
		       const struct pinion_domain *domain, pthread_t *thread)
{
	looker->domain = domain;
	looker->buffer = buffer_of(pool, 0, 40);
	looker->bus = pinion_buffer_bus(domain, looker->buffer, 77);
	assert_int_equal(pthread_create(thread, NULL, look_on, looker), 0);
}

static void look_end(struct looker *looker, pthread_t thread)
{
	while (!atomic_load_explicit(&looker->turns, memory_order_relaxed))
		usleep(100);
	atomic_store_explicit(&looker->stop, true, memory_order_relaxed);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(looker->wrong, 0);
}

/* The pool has a segment more for a while, as both are told. */
static void come_and_go(struct pinion_pool *pool, struct pinion_domain *stays,
			struct pinion_domain *other)
{
	assert_int_equal(grow(pool, 16, 1024), 1);
	assert_int_equal(pinion_domain_update(stays), 1);
	assert_int_equal(pinion_domain_update(other), 1);
	assert_true(knows(pool, stays, 1) && knows(pool, other, 1));
	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_int_equal(pinion_domain_update(other), 1);
	assert_int_equal(pinion_domain_update(stays), 1);
}

static void one_ends_while_the_other_goes_on(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_domain *stays = domain_in(pool, 0, 0);
	struct looker looker = {.domain = NULL};
	pthread_t thread;

	(void)state;
	look_start(&looker, pool, stays, &thread);
	for (int i = 0; i < 50; i++) {
		struct pinion_domain *other = domain_in(pool, i % 2, HIGH);
		struct looker beside = {.domain = NULL};
		pthread_t second;

		look_start(&beside, pool, other, &second);
		come_and_go(pool, stays, other);
		look_end(&beside, second);
		assert_int_equal(pinion_domain_destroy(other), 0);
		assert_int_equal(mapped(0), 1);
		assert_int_equal(mapped(1), 0);
	}
	look_end(&looker, thread);
	each_byte(pool, leads_there_and_back, stays);
	assert_int_equal(pinion_domain_destroy(stays), 0);
	assert_int_equal(mapped(0), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* One segment goes and one comes, and the first cannot be unmapped. */
static void an_update_that_fails_maps_nothing(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_domain *domain = domain_in(pool, 0, 0);
	int table;

	(void)state;
	assert_int_equal(grow(pool, 16, 1024), 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	table = pinion_domain_fd(domain);
	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_int_equal(grow(pool, 16, 1024), 1);
	unmaps_less = true;
	assert_int_equal(pinion_domain_update(domain), -EIO);
	unmaps_less = false;
	assert_int_equal(mapped(0), 1);
	assert_false(knows(pool, domain, 1));
	assert_int_equal(pinion_domain_fd(domain), table);
	assert_int_equal(pinion_domain_generation(domain), 2);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_domain_generation(domain), 3);
	each_byte(pool, leads_there_and_back, domain);
	assert_int_equal(pinion_domain_update(domain), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void follow_beside(struct pinion_pool *pool, struct pinion_domain *phys,
			  struct pinion_domain *iova)
{
	const struct pinion_segment_config one = {HUGE_PAGE, 65536, HUGE_PAGE, PINION_NODE_ANY};
	uint32_t slot = 77;

	assert_int_equal(pinion_pool_grow(pool, &one, &slot), 0);
	/* The one that pins comes first: a pin may move what the other noted. */
	assert_int_equal(pinion_domain_update(phys), 1);
	assert_true(knows(pool, phys, slot) && !knows(pool, iova, slot));
	assert_int_equal(pinion_domain_update(iova), 1);
	each_byte(pool, equals_kernel, phys);
	each_byte(pool, leads_there_and_back, iova);
	are_strangers(pool, phys, iova, 0);
	are_strangers(pool, phys, iova, slot);
}

/* The pins are the one's, the mappings the other's: neither takes the other's with it. */
static void a_physical_one_and_one_of_an_iommu_work_beside_each_other(void **state)
{
	(void)state;
	for (int phys_first = 0; phys_first < 2; phys_first++) {
		struct pinion_pool *pool = huge_pool();
		struct pinion_domain *phys = domain_make(pool), *iova = domain_in(pool, 1, HIGH);

		follow_beside(pool, phys, iova);
		if (phys_first) {
			assert_int_equal(pinion_domain_destroy(phys), 0);
			each_byte(pool, leads_there_and_back, iova);
			assert_int_equal(pinion_domain_audit(iova, NULL), 0);
			assert_int_equal(pinion_domain_destroy(iova), 0);
		} else {
			assert_int_equal(pinion_domain_destroy(iova), 0);
			each_byte(pool, equals_kernel, phys);
			assert_int_equal(pinion_domain_audit(phys, NULL), 0);
			assert_int_equal(pinion_domain_destroy(phys), 0);
		}
		assert_int_equal(mapped(1), 0);
		assert_int_equal(pinion_pool_destroy(pool), 0);
	}
}

static struct pinion_pool *pool_of_child;

static int be_nobody(void)
{
	return setresuid(65534, 65534, 65534);
}

/* It is given up after the domain was made, or before. */
static int audit_without_privilege(void *after)
{
	const struct pinion_domain_config config = {.container = 1, .base = HIGH};
	struct pinion_domain *domain = NULL;
	char *page = pool_of_child->memory[2].addr;

	if (!after && be_nobody())
		return 1;
	if (pinion_domain_create_iova(pool_of_child, &config, &domain))
		return 2;
	if ((after && be_nobody()) || madvise(page, HUGE_PAGE, MADV_REMOVE))
		return 3;
	*(volatile char *)page = 1;
	return pinion_domain_audit(domain, NULL) ? 4 : pinion_domain_destroy(domain) ? 5 : 0;
}

/* What it cannot see is no error. */
static void without_privilege_an_audit_goes_on_with_what_it_sees(void **state)
{
	(void)state;
	pool_of_child = huge_pool();
	assert_int_equal(support_child(audit_without_privilege, NULL), 0);
	assert_int_equal(support_child(audit_without_privilege, pool_of_child), 0);
	assert_int_equal(pinion_pool_destroy(pool_of_child), 0);
}

/* The page that was there stays pinned, and so the one that comes into the hole is another. */
static void punched_and_touched_again(struct pinion_pool *pool, uint32_t segment, size_t at)
{
	struct pins *pins = pin(pool, segment);
	struct pinion_domain *domain = domain_in(pool, 1, HIGH);
	const struct pinion_hostmem *memory = &pool->memory[segment];
	struct pinion_domain_move move = {0, 0, 0, 0};
	char *page = (char *)memory->addr + at * memory->page_size;

	assert_int_equal(pinion_domain_audit(domain, &move), 0);
	assert_int_equal(madvise(page, memory->page_size, MADV_REMOVE), 0);
	*(volatile char *)page = 1;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pinion_domain_audit(domain, &move), -ESTALE);
		assert_sentence("was punched out, and another stands in its place");
		assert_int_equal(move.segment, segment);
		assert_int_equal(move.page, at);
		assert_int_equal(move.was, pinion_buffer_bus(domain, buffer_of(pool, segment, 0),
							     0) + at * memory->page_size);
		assert_int_equal(move.is, 0);
	}
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pins_destroy(pins);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_page_that_was_punched_out_and_touched_again_is_estale(void **state)
{
	(void)state;
	punched_and_touched_again(huge_pool(), 2, 1);
	punched_and_touched_again(pool_make(1024), 0, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(each_has_its_own_addresses_and_follows_when_it_is_told),
		pool_test(one_ends_while_the_other_goes_on),
		pool_test(an_update_that_fails_maps_nothing),
		support_where(domain_lack() == NULL, "needs root and 8 hugepages of 2 MiB",
			      pool_test, a_physical_one_and_one_of_an_iommu_work_beside_each_other),
		support_where(domain_lack() == NULL, "needs root and 8 hugepages of 2 MiB",
			      pool_test, a_page_that_was_punched_out_and_touched_again_is_estale),
		support_where(domain_lack() == NULL, "needs root and 8 hugepages of 2 MiB",
			      pool_test, without_privilege_an_audit_goes_on_with_what_it_sees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
