/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process with a domain forks. The child has a copy of the domain, the same rings and the same
 * container; what is mapped and pinned is the parent's, whose device goes on writing there.
 *
 * Here with pages of 4 KiB, which are enough to be pinned, and an IOMMU that only counts; the true
 * ones, with a device behind, are in tests/vm/hw_domain.c.
 */

#include <sys/mman.h>

#include "domain_support.h"
#include "pin.h"

#define PAGES 16

/* Physical: as pinion_domain_create_phys(), but for the size of the pages. */

static int open_pagemap(struct domain *domain, uint32_t nr)
{
	(void)nr;
	return pinion_hostmem_pagemap_open(&domain->pagemap);
}

static int locate(struct domain *domain, uint32_t index)
{
	return phys_read_pages(domain, index, domain->pagemap);
}

static void close_pagemap(struct domain *domain)
{
	close(domain->pagemap);
	domain->pagemap = -1;
}

static const struct domain_ops phys = {open_pagemap, phys_pin, locate, phys_unpin, close_pagemap};

/* An IOMMU. */

static int *unmapped; /* how often, in any process */

static int begin(struct domain *domain, uint32_t nr)
{
	(void)nr;
	domain->config.container = -1;
	return 0;
}

static int map(struct domain *domain, uint32_t index)
{
	domain->segment[index].iova = UINT64_C(1) << 30;
	return 0;
}

static int unmap(struct domain *domain, uint32_t index)
{
	(void)domain;
	(void)index;
	++*unmapped;
	return 0;
}

static void end(struct domain *domain)
{
	(void)domain;
}

static const struct domain_ops iommu = {begin, map, NULL, unmap, end};

struct scene {
	int fds;  /* before there was a domain */
	int maps;
	struct pinion_pool *pool;
	struct pinion_domain *domain;
};

static struct scene scene_make(enum pinion_domain_kind kind, const struct domain_ops *ops)
{
	struct scene scene = {.pool = pool_make(PAGES * 4096 / BUFFER)};
	struct domain *domain = NULL;

	scene.fds = support_fd_count();
	scene.maps = pool_maps();
	assert_int_equal(domain_create(scene.pool, kind, ops, &domain), 0);
	assert_int_equal(domain_start(domain, &scene.domain), 0);
	return scene;
}

static void scene_end(const struct scene *scene)
{
	assert_int_equal(pinion_domain_destroy(scene->domain), 0);
	assert_int_equal(pinion_pool_destroy(scene->pool), 0);
}

#define STEP(nr, what) do { if (!(what)) return nr; } while (0)

static int destroy_it(void *arg)
{
	const struct scene *scene = arg;

	STEP(1, pinion_domain_destroy(scene->domain) == 0);
	STEP(2, support_fd_count() == scene->fds);
	STEP(3, pool_maps() == scene->maps);
	STEP(4, pinion_pool_destroy(scene->pool) == 0);
	return 0;
}

/* Of this process, as the kernel counts. */
static long pinned_kib(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	long kib = -1;

	assert_non_null(status);
	while (kib < 0 && fgets(line, sizeof(line), status) != NULL)
		(void)sscanf(line, "VmPin: %ld kB", &kib);
	fclose(status);
	return kib;
}

static void a_childs_destroy_leaves_the_parents_pages_pinned(void **state)
{
	struct scene scene = scene_make(PINION_DOMAIN_PHYS, &phys);
	const struct pinion_buffer buffer = pinion_buffer_make(0, 1);
	const uint64_t was = pinion_buffer_bus(scene.domain, buffer, 0);

	(void)state;
	assert_int_equal(pinned_kib(), PAGES * 4);
	assert_int_equal(support_child(destroy_it, &scene), 0);
	assert_int_equal(pinned_kib(), PAGES * 4);
	assert_int_equal(pinion_domain_audit(scene.domain, NULL), 0);
	assert_int_equal(pinion_buffer_bus(scene.domain, buffer, 0), was);
	assert_int_equal(phys_by_kernel(pinion_buffer_addr(scene.pool, buffer)), was);
	scene_end(&scene);
	assert_int_equal(pinned_kib(), 0);
}

static void a_childs_destroy_unmaps_nothing(void **state)
{
	struct scene scene = scene_make(PINION_DOMAIN_IOVA, &iommu);

	(void)state;
	*unmapped = 0;
	assert_int_equal(support_child(destroy_it, &scene), 0);
	assert_int_equal(*unmapped, 0);
	scene_end(&scene);
	assert_int_equal(*unmapped, 1);
}

/* The child's copy of the pool has lost a segment, and then has it again as another. */
static int update_it(void *arg)
{
	const struct scene *scene = arg;
	void *addr = scene->pool->memory[0].addr;

	STEP(1, pinion_domain_update(scene->domain) == -ECHILD);
	STEP(2, strstr(pinion_error_text(), "fork()") != NULL);
	scene->pool->memory[0].addr = NULL;
	STEP(3, pinion_domain_update(scene->domain) == -ECHILD);
	STEP(4, pinion_domain_generation(scene->domain) == 1);
	scene->pool->memory[0].addr = addr;
	STEP(5, !(pinion_buffer_bus(scene->domain, pinion_buffer_make(0, 1), 0) &
		  PINION_BUS_UNKNOWN));
	return 0;
}

static void a_childs_update_is_echild(void **state)
{
	struct scene scene = scene_make(PINION_DOMAIN_IOVA, &iommu);

	(void)state;
	*unmapped = 0;
	assert_int_equal(support_child(update_it, &scene), 0);
	assert_int_equal(*unmapped, 0);
	assert_int_equal(pinion_domain_update(scene.domain), 0);
	scene_end(&scene);
}

static int audit_it(void *arg)
{
	const struct scene *scene = arg;
	struct pinion_domain_move move = {.segment = 9};

	STEP(1, pinion_domain_audit(scene->domain, &move) == -ECHILD);
	STEP(2, strstr(pinion_error_text(), "fork()") != NULL);
	STEP(3, move.segment == 9);
	return 0;
}

/* To ask an IOMMU is to map and unmap. */
static void a_childs_audit_of_an_iommu_is_echild(void **state)
{
	struct scene scene = scene_make(PINION_DOMAIN_IOVA, &iommu);

	(void)state;
	assert_int_equal(support_child(audit_it, &scene), 0);
	assert_int_equal(pinion_domain_audit(scene.domain, NULL), -EBADF);
	scene_end(&scene);
}

static int nobody_to_ask(void *context, const struct pinion_pool *pool, void **session)
{
	(void)context;
	(void)pool;
	(void)session;
	return -EAGAIN;
}

/* Who was told where its pages lie looks for them in its own page table. A child begins without
 * those of shared memory, and none was punched out for that. */
static void a_childs_audit_of_told_addresses_is_echild(void **state)
{
	struct scene scene = scene_make(PINION_DOMAIN_PHYS, &phys);

	(void)state;
	domain_of(scene.domain)->source.open = nobody_to_ask;
	assert_int_equal(support_child(audit_it, &scene), 0);
	assert_int_equal(pinion_domain_audit(scene.domain, NULL), 0);
	scene_end(&scene);
}

static int audit_pages(void *arg)
{
	const struct scene *scene = arg;

	return pinion_domain_audit(scene->domain, NULL) ? 1 : 0;
}

static void a_childs_audit_of_physical_addresses_only_reads(void **state)
{
	struct scene scene = scene_make(PINION_DOMAIN_PHYS, &phys);

	(void)state;
	assert_int_equal(support_child(audit_pages, &scene), 0);
	scene_end(&scene);
}

/* Over the mappings that it inherited, a child that is a member has domains of its own. */
static int become_and_make(void *arg)
{
	struct scene *scene = arg, own = {.pool = scene->pool};
	struct domain *domain = NULL;

	STEP(1, pinion_pool_become(scene->pool, 1) == 0);
	STEP(2, pinion_domain_destroy(scene->domain) == 0);
	STEP(3, domain_create(own.pool, PINION_DOMAIN_IOVA, &iommu, &domain) == 0);
	STEP(4, domain_start(domain, &own.domain) == 0);
	STEP(5, pinion_domain_update(own.domain) == 0);
	STEP(6, pinion_domain_destroy(own.domain) == 0);
	return *unmapped == 1 ? 0 : 7;
}

static void a_domain_that_a_child_makes_is_its_own(void **state)
{
	struct scene scene = scene_make(PINION_DOMAIN_IOVA, &iommu);
	uint32_t member = 0;

	(void)state;
	*unmapped = 0;
	assert_int_equal(pinion_pool_admit(scene.pool, 0, &member), 0);
	assert_int_equal(member, 1);
	assert_int_equal(support_child(become_and_make, &scene), 0);
	scene_end(&scene);
}

/* A container may keep either from root. */
static bool sees_and_pins(void)
{
	struct pinion_hostmem page;
	struct pins *pins = NULL;
	uint64_t where = 0;
	int pagemap = -1;

	if (pinion_hostmem_create("page", 4096, 4096, &page))
		return false;
	if (!pinion_hostmem_populate(&page, 0, 4096) && !pins_create(&page, 0, &pins) &&
	    !pinion_hostmem_pagemap_open(&pagemap))
		(void)pinion_hostmem_phys(pagemap, page.addr, 4096, &where, 1);
	if (pagemap >= 0)
		close(pagemap);
	pins_destroy(pins);
	(void)pinion_hostmem_destroy(&page);
	return where != 0;
}

#define phys_test(f) \
	support_where(can, "addresses cannot be seen, or pages not pinned", pool_test, f)

int main(void)
{
	const bool can = sees_and_pins();
	const struct CMUnitTest tests[] = {
		phys_test(a_childs_destroy_leaves_the_parents_pages_pinned),
		phys_test(a_childs_audit_of_physical_addresses_only_reads),
		phys_test(a_childs_audit_of_told_addresses_is_echild),
		pool_test(a_childs_destroy_unmaps_nothing),
		pool_test(a_childs_update_is_echild),
		pool_test(a_childs_audit_of_an_iommu_is_echild),
		pool_test(a_domain_that_a_child_makes_is_its_own),
	};

	unmapped = mmap(NULL, sizeof(*unmapped), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (unmapped == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
