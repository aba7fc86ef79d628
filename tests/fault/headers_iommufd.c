/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <pinion/iommufd.h>

#include "kernel.h"

/*
 * iommufd.h: a space, and another to copy to; a device that can live there.
 */

static union {
	struct pinion_iommufd_ioas ioas;
	struct {
		int fd;
		uint32_t id;
	} device;
	uint64_t v64;
	unsigned number;
	uint32_t id;
	int fd;
} out;

static int iommufd = -1, device = -1;
static uint32_t space, other, device_id;

#define IOVA 0x10000
#define LEN 8192u
#define PART 4096u

static char memory[LEN];

/* As much as a call needs. */

static void iommufd_again(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_open(&iommufd), "an iommufd");
}

static void setup(struct scene *scene)
{
	kernel_reset();
	tree_open(scene);
	iommufd_again(scene);
}

static void space_again(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_ioas_alloc(iommufd, &space), "a space");
}

static void space_setup(struct scene *scene)
{
	setup(scene);
	space_again(scene);
}

static void map_again(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_dma_map(iommufd, space, memory, IOVA, LEN), "a mapping");
}

static void mapped_setup(struct scene *scene)
{
	space_setup(scene);
	map_again(scene);
}

static void copy_setup(struct scene *scene)
{
	mapped_setup(scene);
	scene_must(!pinion_iommufd_ioas_alloc(iommufd, &other), "another space");
}

static void device_again(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_device_open(TREE_BDF, iommufd, &device, &device_id),
		   "a device");
}

static void device_setup(struct scene *scene)
{
	space_setup(scene);
	device_again(scene);
}

static void attach_again(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_device_attach(device, space), "a device in a space");
}

static void attached_setup(struct scene *scene)
{
	device_setup(scene);
	attach_again(scene);
}

static void let_go(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void teardown(struct scene *scene)
{
	let_go(&device);
	let_go(&iommufd);
	tree_close(scene);
}

#define IOMMUFD_DEED(text, before, call, good) \
	.name = (text), .setup = (before), .run = (call), .use = (good), .teardown = teardown, \
	.bare = true

#define IOMMUFD_CALL(text, before, call, good) \
	IOMMUFD_DEED(text, before, call, good), .out = &out, .out_len = sizeof(out)

/* The iommufd, and its devices. */

static int open_iommufd(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_open(&out.fd);
}

static void open_undo(struct scene *scene)
{
	(void)scene;
	(void)close(out.fd);
}

/* Gone whatever it says. */
static int close_iommufd(struct scene *scene)
{
	const int fd = iommufd;

	(void)scene;
	iommufd = -1;
	return pinion_iommufd_close(fd);
}

static int device_find(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_device_find(TREE_BDF, &out.number);
}

static const char *number_is_7(struct scene *scene)
{
	(void)scene;
	return out.number != 7 ? "it is another number" : NULL;
}

static int device_open(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_device_open(TREE_BDF, iommufd, &out.device.fd, &out.device.id);
}

static const char *is_bound(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_device_attach(out.device.fd, space) ? "it joins no space" : NULL;
}

static void device_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_device_detach(out.device.fd), "a device without a space");
	(void)close(out.device.fd);
}

static int device_close(struct scene *scene)
{
	const int fd = device;

	(void)scene;
	device = -1;
	return pinion_iommufd_device_close(fd);
}

static int device_attach(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_device_attach(device, space);
}

static int device_detach(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_device_detach(device);
}

static void attach_undo(struct scene *scene)
{
	scene_must(!device_detach(scene), "a device without a space");
}

static const char *is_attached(struct scene *scene)
{
	(void)scene;
	return kernel_home() != space ? "it lives elsewhere" : NULL;
}

static const char *is_detached(struct scene *scene)
{
	(void)scene;
	return kernel_home() ? "it lives there still" : NULL;
}

static const char *not_attached(struct scene *scene)
{
	return is_detached(scene) ? "where the device lives" : NULL;
}

static const char *still_attached(struct scene *scene)
{
	return is_attached(scene) ? "where the device lives" : NULL;
}

/* Spaces. */

static int ioas_alloc(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_ioas_alloc(iommufd, &out.id);
}

static const char *can_be_mapped(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_map(iommufd, out.id, memory, IOVA, LEN) ? "it is no space" : NULL;
}

static void alloc_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_ioas_free(iommufd, out.id), "no space");
}

static int ioas_free(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_ioas_free(iommufd, space);
}

static const char *no_space_is_there(struct scene *scene)
{
	(void)scene;
	return kernel_spaces() != 0 ? "there is a space" : NULL;
}

static const char *no_space_came(struct scene *scene)
{
	return no_space_is_there(scene) ? "the number of spaces" : NULL;
}

static const char *space_stayed(struct scene *scene)
{
	(void)scene;
	return kernel_spaces() != 1 ? "the number of spaces" : NULL;
}

static int ioas_ranges(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_ioas_ranges(iommufd, space, &out.ioas);
}

static const char *both_are_told(struct scene *scene)
{
	(void)scene;
	return out.ioas.nr_ranges != 2 || out.ioas.range[1].start != 0xfef00000
		       ? "it has other ranges"
		       : NULL;
}

static int ioas_allow(struct scene *scene)
{
	const struct pinion_iommufd_range range = {0x10000, 0x1ffff};

	(void)scene;
	return pinion_iommufd_ioas_allow(iommufd, space, &range, 1);
}

static const char *is_allowed(struct scene *scene)
{
	(void)scene;
	return kernel_space_allowed(space) != 1 ? "it allows all" : NULL;
}

static const char *all_is_allowed(struct scene *scene)
{
	(void)scene;
	return kernel_space_allowed(space) != 0 ? "what is allowed" : NULL;
}

/* Mappings. */

static int dma_map(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_map(iommufd, space, memory, IOVA, LEN);
}

static int dma_map_anywhere(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_map_anywhere(iommufd, space, memory, LEN, &out.v64);
}

/* Of the file only the number is passed on. */
static int dma_map_file(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_map_file(iommufd, space, iommufd, 0, IOVA, LEN);
}

static int dma_copy(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_copy(iommufd, space, IOVA, other, IOVA, LEN);
}

static const char *is_mapped(struct scene *scene)
{
	(void)scene;
	return kernel_space_mapped(space) != LEN ? "it is not mapped" : NULL;
}

static const char *address_is_told(struct scene *scene)
{
	return out.v64 != KERNEL_CHOSEN_IOVA ? "it is elsewhere" : is_mapped(scene);
}

static const char *is_copied(struct scene *scene)
{
	return kernel_space_mapped(other) != LEN ? "it is not copied" : is_mapped(scene);
}

/* The last of its two pages. */
static int dma_copy_part(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_copy(iommufd, space, IOVA + LEN - PART, other, IOVA, PART);
}

static const char *part_is_copied(struct scene *scene)
{
	return kernel_space_mapped(other) != PART ? "it is not copied" : is_mapped(scene);
}

static const char *not_mapped(struct scene *scene)
{
	(void)scene;
	return kernel_space_mapped(space) ? "a mapping" : NULL;
}

static const char *not_copied(struct scene *scene)
{
	(void)scene;
	return kernel_space_mapped(other) ? "a mapping" : NULL;
}

static const char *still_mapped(struct scene *scene)
{
	return is_mapped(scene) ? "the mapping" : NULL;
}

static int dma_unmap(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_unmap(iommufd, space, IOVA, LEN);
}

static int dma_unmap_range(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_unmap_range(iommufd, space, IOVA, 2 * LEN, &out.v64);
}

static int dma_unmap_all(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_dma_unmap_all(iommufd, space, &out.v64);
}

static const char *is_unmapped(struct scene *scene)
{
	return not_mapped(scene) ? "it is mapped still" : NULL;
}

static const char *all_is_unmapped(struct scene *scene)
{
	return out.v64 != LEN ? "it was less" : is_unmapped(scene);
}

static void map_undo(struct scene *scene)
{
	scene_must(!dma_unmap(scene), "no mapping");
}

static void anywhere_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_dma_unmap(iommufd, space, out.v64, LEN), "no mapping");
}

static void copy_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_dma_unmap(iommufd, other, IOVA, LEN), "no mapping");
}

/* Nor is there more to be copied than is mapped. */
static void part_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_iommufd_dma_unmap(iommufd, other, IOVA, PART), "no mapping");
	scene_must(pinion_iommufd_dma_copy(iommufd, space, IOVA + PART, other, IOVA, LEN) ==
			   -ENOENT, "the end of a mapping");
}

/* Settings. */

static int option_get(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_option_get(iommufd, PINION_IOMMUFD_HUGE_PAGES, space, &out.v64);
}

static const char *value_is_told(struct scene *scene)
{
	(void)scene;
	return out.v64 != 1 ? "it is another value" : NULL;
}

static int option_set(struct scene *scene)
{
	(void)scene;
	return pinion_iommufd_option_set(iommufd, PINION_IOMMUFD_HUGE_PAGES, space, 0);
}

static const char *value_is_set(struct scene *scene)
{
	(void)scene;
	return kernel_huge_pages() != 0 ? "it has its value still" : NULL;
}

static const char *value_stayed(struct scene *scene)
{
	(void)scene;
	return kernel_huge_pages() != 1 ? "the setting" : NULL;
}

const struct operation iommufd_operations[] = {
	{IOMMUFD_CALL("iommufd open", setup, open_iommufd, NULL), .undo = open_undo},
	{IOMMUFD_DEED("iommufd close", setup, close_iommufd, NULL), .undo = iommufd_again,
	 .final = true},
	{IOMMUFD_CALL("iommufd device_find", setup, device_find, number_is_7)},
	{IOMMUFD_CALL("iommufd device_open", space_setup, device_open, is_bound),
	 .undo = device_undo},
	{IOMMUFD_DEED("iommufd device_close", device_setup, device_close, NULL),
	 .undo = device_again, .final = true},
	{IOMMUFD_DEED("iommufd device_attach", device_setup, device_attach, is_attached),
	 .undo = attach_undo, .kept = not_attached},
	{IOMMUFD_DEED("iommufd device_detach", attached_setup, device_detach, is_detached),
	 .undo = attach_again, .kept = still_attached},
	{IOMMUFD_CALL("iommufd ioas_alloc", setup, ioas_alloc, can_be_mapped),
	 .undo = alloc_undo, .kept = no_space_came},
	{IOMMUFD_DEED("iommufd ioas_free", space_setup, ioas_free, no_space_is_there),
	 .undo = space_again, .kept = space_stayed},
	{IOMMUFD_CALL("iommufd ioas_ranges", space_setup, ioas_ranges, both_are_told)},
	{IOMMUFD_DEED("iommufd ioas_allow", space_setup, ioas_allow, is_allowed),
	 .kept = all_is_allowed},
	{IOMMUFD_DEED("iommufd dma_map", space_setup, dma_map, is_mapped), .undo = map_undo,
	 .kept = not_mapped},
	{IOMMUFD_CALL("iommufd dma_map_anywhere", space_setup, dma_map_anywhere, address_is_told),
	 .undo = anywhere_undo, .kept = not_mapped},
	{IOMMUFD_DEED("iommufd dma_map_file", space_setup, dma_map_file, is_mapped),
	 .undo = map_undo, .kept = not_mapped},
	{IOMMUFD_DEED("iommufd dma_copy", copy_setup, dma_copy, is_copied), .undo = copy_undo,
	 .kept = not_copied},
	{IOMMUFD_DEED("iommufd dma_copy, of a part", copy_setup, dma_copy_part, part_is_copied),
	 .undo = part_undo, .kept = not_copied},
	{IOMMUFD_DEED("iommufd dma_unmap", mapped_setup, dma_unmap, is_unmapped),
	 .undo = map_again, .kept = still_mapped},
	{IOMMUFD_CALL("iommufd dma_unmap_range", mapped_setup, dma_unmap_range, all_is_unmapped),
	 .undo = map_again, .kept = still_mapped},
	{IOMMUFD_CALL("iommufd dma_unmap_all", mapped_setup, dma_unmap_all, all_is_unmapped),
	 .undo = map_again, .kept = still_mapped},
	{IOMMUFD_CALL("iommufd option_get", space_setup, option_get, value_is_told)},
	{IOMMUFD_DEED("iommufd option_set", space_setup, option_set, value_is_set),
	 .kept = value_stayed},
	{0},
};
