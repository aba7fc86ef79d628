/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_vfio.h"

#include <errno.h>

#include <pinion/iommufd.h>

#include "kernel.h"

/*
 * domain.h behind an IOMMU: a container of VFIO, and an address space of an iommufd. Of the
 * library, but they need the machine of the headers: kernel.h counts what is mapped.
 */

static int iommufd = -1;
static uint32_t space; /* 0: the container's */

static unsigned long long mapped(void)
{
	return space ? kernel_space_mapped(space) : kernel_mapped();
}

static int create(struct scene *scene)
{
	const struct pinion_domain_config config = {
		.container = space ? iommufd : vfio_container,
		.ioas = space,
	};

	return pinion_domain_create_iova(scene->pool, &config, &scene->domain);
}

static void create_must(struct scene *scene)
{
	scene_must(!create(scene), "a domain");
}

static const char *is_unmapped(struct scene *scene)
{
	(void)scene;
	return mapped() ? "what is mapped" : NULL;
}

/* Each segment as a whole, where the table says. */
static const char *is_mapped(struct scene *scene)
{
	const uint32_t slots = pinion_pool_slots(scene->pool);
	struct pinion_segment_stat stat;
	unsigned long long want = 0;
	uint32_t id, off;

	for (uint32_t i = 0; i < slots; i++) {
		const uint32_t first = i << pinion_domain_head(scene->domain)->segment_shift;
		uint64_t bus;

		if (pinion_pool_segment(scene->pool, i, &stat))
			continue;
		want += stat.len;
		bus = pinion_buffer_bus(scene->domain, pinion_buffer_make(first, 1), 0);
		if (pinion_domain_find(scene->domain, bus, &id, &off) || id != first || off)
			return "the domain does not find its own address";
	}
	return mapped() == want ? NULL : "not all of the pool is mapped, or more";
}

static int destroy(struct scene *scene)
{
	int err = pinion_domain_destroy(scene->domain);

	scene->domain = NULL;
	return err;
}

static void destroy_must(struct scene *scene)
{
	scene_must(!destroy(scene) && !mapped(), "no domain");
}

static const char *is_destroyed(struct scene *scene)
{
	return is_unmapped(scene) ? "something is still mapped" : NULL;
}

static void setup(struct scene *scene)
{
	space = 0;
	vfio_group_setup(scene);
	scene_pool_open(scene);
}

/* One segment: the machine's spaces have one mapping at the most. */
static void space_setup(struct scene *scene)
{
	struct pinion_pool_config config = scene_config();

	config.nr_segments = 1;
	kernel_reset();
	tree_open(scene);
	scene_must(!pinion_iommufd_open(&iommufd), "an iommufd");
	scene_must(!pinion_iommufd_ioas_alloc(iommufd, &space), "a space");
	scene_must(!pinion_pool_create(&config, &scene->pool), "a pool");
}

static void domain_setup(struct scene *scene)
{
	setup(scene);
	create_must(scene);
}

static void space_domain_setup(struct scene *scene)
{
	space_setup(scene);
	create_must(scene);
}

static void teardown(struct scene *scene)
{
	if (scene->domain)
		(void)destroy(scene);
	scene_pool_close(scene);
	if (iommufd >= 0)
		(void)close(iommufd);
	iommufd = -1;
	vfio_teardown(scene);
}

/* A segment comes behind the domain's back. */

static void grow(struct scene *scene)
{
	static const struct pinion_segment_config more = {65536, 4096, 4096, PINION_NODE_ANY};

	scene_must(!pinion_pool_grow(scene->pool, &more, &scene->slot), "one more segment");
}

static int update(struct scene *scene)
{
	int changed = pinion_domain_update(scene->domain);

	return changed < 0 ? changed : 0;
}

static unsigned long long before; /* mapped when the segment had come */

static const char *is_as_before(struct scene *scene)
{
	(void)scene;
	return mapped() != before ? "what is mapped" : NULL;
}

static void update_undo(struct scene *scene)
{
	scene_must(!pinion_pool_retire(scene->pool, scene->slot), "one segment less");
	scene_must(pinion_domain_update(scene->domain) == 1, "a domain without it");
	grow(scene);
	before = mapped();
}

static void update_setup(struct scene *scene)
{
	struct pinion_pool_config config = scene_config();

	config.max_segments = config.nr_segments + 1;
	space = 0;
	vfio_group_setup(scene);
	scene_must(!pinion_pool_create(&config, &scene->pool), "a pool that can grow");
	create_must(scene);
	grow(scene);
	/* The heap is the same from the second time on, see operations_domain.c. */
	scene_must(!update(scene), "a domain that follows");
	update_undo(scene);
}

const struct operation iova_operations[] = {
	{.name = "domain create_iova, VFIO", .setup = setup, .run = create, .use = is_mapped,
	 .undo = destroy_must, .teardown = teardown, .kept = is_unmapped},
	{.name = "domain create_iova, iommufd", .setup = space_setup, .run = create,
	 .use = is_mapped, .undo = destroy_must, .teardown = teardown, .kept = is_unmapped},
	{.name = "domain destroy, VFIO", .setup = domain_setup, .run = destroy,
	 .use = is_destroyed, .undo = create_must, .teardown = teardown, .final = true},
	{.name = "domain destroy, iommufd", .setup = space_domain_setup, .run = destroy,
	 .use = is_destroyed, .undo = create_must, .teardown = teardown, .final = true},
	{.name = "domain update, VFIO", .setup = update_setup, .run = update, .use = is_mapped,
	 .undo = update_undo, .teardown = teardown, .kept = is_as_before},
	{.name = "domain audit, iommufd", .setup = space_domain_setup, .run = scene_domain_audit,
	 .use = is_mapped, .teardown = teardown},
	{0},
};
