/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "scene.h"

/*
 * domain.h by physical addresses; by those of an IOMMU in operations_iova.c.
 */

static int create_phys(struct scene *scene)
{
	return pinion_domain_create_phys(scene->pool, &scene->domain);
}

/* What the kernel says of the page, read here and not by the library. */
static uint64_t phys_by_kernel(const void *addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	/* Mapped by being read: who attached may not have touched it. */
	(void)*(const volatile char *)addr;
	scene_must(pread(fd, &entry, 8, (off_t)((uintptr_t)addr / 4096 * 8)) == 8, "a frame");
	(void)close(fd);
	return (entry & ((UINT64_C(1) << 55) - 1)) * 4096;
}

/* Every hugepage that is a buffer of its own. */
static const char *check(struct pinion_pool *pool, const struct pinion_domain *domain)
{
	const struct pinion_cache_config config = {.buffer_size = SCENE_HUGE,
						   .node = PINION_NODE_ANY};
	struct pinion_buffer buffer[2] = {0};
	struct pinion_cache *cache;
	bool right = true;
	int nr = 0;

	scene_must(!pinion_cache_open(pool, &config, &cache), "a cache");
	while (nr < 2 && !pinion_buffer_alloc(cache, &buffer[nr]))
		nr++;
	scene_must(nr > 0, "a hugepage");
	while (nr--) {
		right = right && pinion_buffer_phys(domain, buffer[nr], 0).addr ==
					 phys_by_kernel(pinion_buffer_addr(pool, buffer[nr]));
		scene_must(!pinion_buffer_free(cache, buffer[nr]), "the hugepage back");
	}
	scene_must(!pinion_cache_close(cache), "no cache");
	return right ? NULL : "the domain's address is not the page's";
}

static const char *created_works(struct scene *scene)
{
	return check(scene->pool, scene->domain);
}

static int destroy(struct scene *scene)
{
	int err = pinion_domain_destroy(scene->domain);

	scene->domain = NULL;
	return err;
}

static void destroy_must(struct scene *scene)
{
	scene_must(!destroy(scene), "no domain");
}

static void create_must(struct scene *scene)
{
	scene_must(!create_phys(scene), "a domain");
}

static void domain_setup(struct scene *scene)
{
	scene_huge_pool_open(scene);
	create_must(scene);
}

static void domain_teardown(struct scene *scene)
{
	if (scene->domain)
		destroy_must(scene);
	scene_pool_close(scene);
}

/* Attaching takes the descriptor over. */
static void table_open(struct scene *scene)
{
	scene->fd = fcntl(pinion_domain_fd(scene->domain), F_DUPFD_CLOEXEC, 3);
	scene_must(scene->fd >= 0, "the address table's file");
}

static void attach_setup(struct scene *scene)
{
	domain_setup(scene);
	table_open(scene);
}

static int attach(struct scene *scene)
{
	return pinion_domain_attach(scene->pool, scene->fd, &scene->attached);
}

static const char *attached_works(struct scene *scene)
{
	return check(scene->pool, scene->attached);
}

static void attach_undo(struct scene *scene)
{
	scene_must(!pinion_domain_detach(scene->attached), "no second domain");
	table_open(scene);
}

static void attach_teardown(struct scene *scene)
{
	(void)close(scene->fd);
	domain_teardown(scene);
}

/* A segment comes behind the domain's back. */

static void grow(struct scene *scene)
{
	static const struct pinion_segment_config more = {SCENE_HUGE, SCENE_HUGE, SCENE_HUGE,
							  PINION_NODE_ANY};

	scene_must(!pinion_pool_grow(scene->pool, &more, &scene->slot), "one more segment");
}

static int update(struct scene *scene)
{
	int changed = pinion_domain_update(scene->domain);

	return changed < 0 ? changed : 0;
}

static void update_undo(struct scene *scene)
{
	scene_must(!pinion_pool_retire(scene->pool, scene->slot), "one segment less");
	scene_must(pinion_domain_update(scene->domain) == 1, "a domain without it");
	grow(scene);
}

static void update_setup(struct scene *scene)
{
	struct pinion_pool_config config = scene_huge_config();

	config.max_segments = config.nr_segments + 1;
	scene_must(!pinion_pool_create(&config, &scene->pool), "a pool that can grow");
	create_must(scene);
	grow(scene);
	/* A slot keeps the addresses that were in it last, see domain.h: the heap is the same
	 * from the second time on. */
	scene_must(!update(scene), "a domain that follows");
	update_undo(scene);
}

const struct operation domain_operations[] = {
	{.name = "domain create_phys", .setup = scene_huge_pool_open,
	 .run = create_phys, .use = created_works, .undo = destroy_must,
	 .teardown = scene_pool_close, .huge = 3, .phys = true},
	{.name = "domain destroy", .setup = domain_setup, .run = destroy, .undo = create_must,
	 .teardown = domain_teardown, .final = true, .huge = 3, .phys = true},
	{.name = "domain attach", .setup = attach_setup, .run = attach, .use = attached_works,
	 .undo = attach_undo, .teardown = attach_teardown, .huge = 3, .phys = true},
	{.name = "domain update", .setup = update_setup, .run = update, .use = created_works,
	 .undo = update_undo, .teardown = domain_teardown, .huge = 5, .phys = true},
	{.name = "domain audit", .setup = domain_setup, .run = scene_domain_audit,
	 .use = created_works, .teardown = domain_teardown, .huge = 3, .phys = true},
	{0},
};
