/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_mapping.h"
#include "headers_vfio.h"
#include "headers_widths.h"

#include <pinion/vfio_region.h>

#include <string.h>

#include "kernel.h"

/*
 * vfio_region.h: BAR 0, which is one area, and BAR 2, which has two.
 */

static union {
	struct pinion_vfio_region region;
	struct {
		void *addr;
		size_t len;
	} bar;
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;
} out;

/* What BAR 0 is, for those that read and write. */
static struct pinion_vfio_region bar0;

static void setup(struct scene *scene)
{
	vfio_device_setup(scene);
	scene_must(!pinion_vfio_region_info(vfio_device, 0, &bar0), "BAR 0");
}

#define REGION_CALL(text, call, good) VFIO_CALL(text, setup, call, good)
#define REGION_DEED(text, call, good) VFIO_DEED(text, setup, call, good)

/* A mark in the last page of BAR 2: the file grows as long. */
static void sparse_setup(struct scene *scene)
{
	const char mark = 0x5a;

	vfio_device_setup(scene);
	scene_must(pwrite(vfio_device, &mark, 1, KERNEL_SPARSE_LEN - 1) == 1, "a longer BAR");
}

/* Where they are. */

static int info(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_region_info(vfio_device, VFIO_PCI_BAR0_REGION_INDEX, &out.region);
}

static int info_sparse(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_region_info(vfio_device, VFIO_PCI_BAR2_REGION_INDEX, &out.region);
}

static const char *one_area_is_told(struct scene *scene)
{
	(void)scene;
	return out.region.len != 4096 || out.region.nr_areas != 1 ? "it is another region" : NULL;
}

static const char *two_areas_are_told(struct scene *scene)
{
	(void)scene;
	if (out.region.len != KERNEL_SPARSE_LEN || out.region.nr_areas != 2)
		return "it is another region";
	return out.region.area[1].off != 8192 ? "its areas are elsewhere" : NULL;
}

/* Mappings. */

static int map(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_region_map(vfio_device, VFIO_PCI_BAR0_REGION_INDEX, &out.bar.addr,
				      &out.bar.len);
}

static int map_sparse(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_region_map(vfio_device, VFIO_PCI_BAR2_REGION_INDEX, &out.bar.addr,
				      &out.bar.len);
}

static const char *is_mapped(struct scene *scene)
{
	(void)scene;
	return *(volatile unsigned char *)out.bar.addr != 0x36 ? "it holds nothing" : NULL;
}

static const char *both_are_mapped(struct scene *scene)
{
	const volatile unsigned char *bar = out.bar.addr;

	if (bar[KERNEL_SPARSE_LEN - 1] != 0x5a)
		return "its last area holds nothing";
	return is_mapped(scene);
}

MAPPING(pinion_vfio_region, sparse_setup, vfio_teardown, vfio_device, VFIO_PCI_BAR2_REGION_INDEX)

/* Registers without a mapping. */

WIDTHS(pinion_vfio_region, vfio_device, &bar0)
WIDTH_READ(64, 0x0010040300101b36, pinion_vfio_region, vfio_device, &bar0)
WIDTH_WRITE(64, PCI_VENDOR_ID, 0x0010040700101b36, pinion_vfio_region, vfio_device, &bar0)

const struct operation vfio_region_operations[] = {
	{REGION_CALL("vfio_region info", info, one_area_is_told)},
	{REGION_CALL("vfio_region info, of areas", info_sparse, two_areas_are_told)},
	{REGION_CALL("vfio_region map", map, is_mapped), .undo = map_undo},
	{VFIO_CALL("vfio_region map, of areas", sparse_setup, map_sparse, both_are_mapped),
	 .undo = map_undo},
	{.name = "vfio_region unmap", .setup = unmap_setup, .run = unmap, .undo = unmap_undo,
	 .teardown = unmap_teardown, .final = true, .bare = true},
	{REGION_CALL("vfio_region read8", read8, vendor_is_8)},
	{REGION_CALL("vfio_region read16", read16, vendor_is_16)},
	{REGION_CALL("vfio_region read32", read32, vendor_is_32)},
	{REGION_CALL("vfio_region read64", read64, vendor_is_64)},
	{REGION_DEED("vfio_region write8", write8, tree_is_master), .kept = tree_command_stayed},
	{REGION_DEED("vfio_region write16", write16, tree_is_master), .kept = tree_command_stayed},
	{REGION_DEED("vfio_region write32", write32, tree_is_master), .kept = tree_command_stayed},
	{REGION_DEED("vfio_region write64", write64, tree_is_master), .kept = tree_command_stayed},
	{0},
};
