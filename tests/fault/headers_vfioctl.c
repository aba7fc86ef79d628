/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <sys/mman.h>

#include <pinion/vfio_config.h>
#include <pinion/vfio_reset.h>

#include "kernel.h"

/*
 * vfioctl.h and what stands on it. There is no device: kernel.c answers ioctl(2) in its place.
 */

static union {
	struct pinion_vfio_iommu iommu;
	struct pinion_vfio_region region;
	struct pinion_vfio_irq irq;
	struct {
		void *addr;
		size_t len;
	} bar;
	uint64_t unmapped;
	uint16_t v16;
	int fd;
} out;

static int container = -1, group = -1, device = -1;

#define IOVA 0x10000
#define LEN 8192u

/* A text that is cut short is still one: "not to be read" after a failure. */
static char blockers[128];

static void container_setup(struct scene *scene)
{
	kernel_reset();
	tree_open(scene);
	scene_must(!pinion_vfio_container_open(&container), "a container");
}

static void group_setup(struct scene *scene)
{
	container_setup(scene);
	scene_must(!pinion_vfio_group_open(12, container, &group), "a group");
}

static void device_setup(struct scene *scene)
{
	group_setup(scene);
	scene_must(!pinion_vfio_device_open(group, TREE_BDF, &device), "a device");
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
	let_go(&group);
	let_go(&container);
	tree_close(scene);
}

#define VFIO_DEED(text, before, call, good) \
	.name = (text), .setup = (before), .run = (call), .use = (good), .teardown = teardown, \
	.bare = true

#define VFIO_CALL(text, before, call, good) \
	VFIO_DEED(text, before, call, good), .out = &out, .out_len = sizeof(out)

/* Containers and groups. */

static void out_undo(struct scene *scene)
{
	(void)scene;
	(void)close(out.fd);
}

static int container_open(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_container_open(&out.fd);
}

/* Gone whatever it says. */
static int container_close(struct scene *scene)
{
	const int fd = container;

	(void)scene;
	container = -1;
	return pinion_vfio_container_close(fd);
}

static void container_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_container_open(&container), "a container");
}

static int group_open(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_group_open(12, container, &out.fd);
}

static const char *iommu_is_set(struct scene *scene)
{
	struct pinion_vfio_iommu iommu;

	(void)scene;
	return pinion_vfio_iommu_info(container, &iommu) ? "the container has no IOMMU" : NULL;
}

static int group_close(struct scene *scene)
{
	const int fd = group;

	(void)scene;
	group = -1;
	return pinion_vfio_group_close(fd);
}

static void group_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_group_open(12, container, &group), "a group");
}

static int group_blockers(struct scene *scene)
{
	(void)scene;
	return operation_unless(pinion_vfio_group_blockers(12, blockers, sizeof(blockers)), 1);
}

static const char *blocker_is_named(struct scene *scene)
{
	(void)scene;
	return strcmp(blockers, TREE_BDF " (nvme)") ? "it names others" : NULL;
}

/* Mappings. */

static int iommu_info(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_iommu_info(container, &out.iommu);
}

static const char *range_is_told(struct scene *scene)
{
	(void)scene;
	return out.iommu.nr_ranges != 1 ? "it has other ranges" : NULL;
}

static char memory[LEN];

static int dma_map(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_dma_map(container, memory, IOVA, LEN);
}

static const char *is_mapped(struct scene *scene)
{
	(void)scene;
	return kernel_mapped() != LEN ? "it is not mapped" : NULL;
}

static const char *not_mapped(struct scene *scene)
{
	(void)scene;
	return kernel_mapped() ? "a mapping" : NULL;
}

static void map_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_dma_unmap(container, IOVA, LEN), "no mapping");
}

static void unmap_undo(struct scene *scene)
{
	scene_must(!dma_map(scene), "a mapping");
}

static void mapped_setup(struct scene *scene)
{
	group_setup(scene);
	unmap_undo(scene);
}

static int dma_unmap(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_dma_unmap(container, IOVA, LEN);
}

static int dma_unmap_range(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_dma_unmap_range(container, IOVA, LEN, &out.unmapped);
}

static int dma_unmap_all(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_dma_unmap_all(container, &out.unmapped);
}

static const char *is_unmapped(struct scene *scene)
{
	(void)scene;
	return kernel_mapped() ? "it is mapped still" : NULL;
}

static const char *all_is_unmapped(struct scene *scene)
{
	return out.unmapped != LEN ? "it was less" : is_unmapped(scene);
}

static const char *still_mapped(struct scene *scene)
{
	return is_mapped(scene) ? "the mapping" : NULL;
}

/* Devices. */

static int device_open(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_device_open(group, TREE_BDF, &out.fd);
}

static int device_close(struct scene *scene)
{
	const int fd = device;

	(void)scene;
	device = -1;
	return pinion_vfio_device_close(fd);
}

static void device_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_device_open(group, TREE_BDF, &device), "a device");
}

static int device_reset(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_device_reset(device);
}

static int region_info(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_region_info(device, VFIO_PCI_BAR0_REGION_INDEX, &out.region);
}

static const char *region_is_told(struct scene *scene)
{
	(void)scene;
	return out.region.len != 4096 ? "it is another region" : NULL;
}

static int region_map(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_region_map(device, VFIO_PCI_BAR0_REGION_INDEX, &out.bar.addr,
				      &out.bar.len);
}

static const char *region_is_mapped(struct scene *scene)
{
	(void)scene;
	return *(volatile unsigned char *)out.bar.addr != 0x36 ? "it holds nothing" : NULL;
}

static void region_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_region_unmap(out.bar.addr, out.bar.len), "no mapping");
}

static void *regs;
static size_t regs_len;

static void region_unmap_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_region_map(device, 0, &regs, &regs_len), "a mapping");
}

static void region_setup(struct scene *scene)
{
	device_setup(scene);
	region_unmap_undo(scene);
}

static void region_teardown(struct scene *scene)
{
	(void)munmap(regs, regs_len);
	teardown(scene);
}

static int region_unmap(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_region_unmap(regs, regs_len);
}

static int config_read16(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_config_read16(device, PCI_VENDOR_ID, &out.v16);
}

static const char *vendor_is_read(struct scene *scene)
{
	(void)scene;
	return out.v16 != 0x1b36 ? "it is another vendor" : NULL;
}

static int config_write16(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_config_write16(device, PCI_COMMAND, 0x0407);
}

static int bus_master_set(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_bus_master_set(device, true);
}

static const char *is_master(struct scene *scene)
{
	(void)scene;
	return tree_config16(PCI_COMMAND) != 0x0407 ? "COMMAND has another value" : NULL;
}

static const char *command_stayed(struct scene *scene)
{
	(void)scene;
	return tree_config16(PCI_COMMAND) != TREE_COMMAND ? "COMMAND" : NULL;
}

/* Interrupts. What the eventfd is does not matter to kernel.c. */

#define EVENT 7

static int irq_info(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_info(device, VFIO_PCI_MSIX_IRQ_INDEX, &out.irq);
}

static const char *irq_is_told(struct scene *scene)
{
	(void)scene;
	return out.irq.nr != 1 ? "it has other interrupts" : NULL;
}

static int irq_enable(struct scene *scene)
{
	const int32_t event = EVENT;

	(void)scene;
	return pinion_vfio_irq_enable(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, &event, 1);
}

static const char *irq_is_enabled(struct scene *scene)
{
	(void)scene;
	return kernel_eventfd() != EVENT ? "it is not enabled" : NULL;
}

static const char *irq_stayed(struct scene *scene)
{
	(void)scene;
	return kernel_eventfd() >= 0 ? "the interrupts" : NULL;
}

static int irq_disable(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_disable(device, VFIO_PCI_MSIX_IRQ_INDEX);
}

static int irq_mask(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_mask(device, VFIO_PCI_INTX_IRQ_INDEX);
}

static int irq_unmask(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_unmask(device, VFIO_PCI_INTX_IRQ_INDEX);
}

static int irq_unmask_by(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_unmask_by(device, VFIO_PCI_INTX_IRQ_INDEX, EVENT);
}

static int irq_trigger(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_trigger(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1);
}

static void irq_undo(struct scene *scene)
{
	scene_must(!irq_disable(scene), "no interrupts");
}

const struct operation vfioctl_operations[] = {
	{HEADER_CALL("vfioctl container_open", container_open, NULL), .undo = out_undo},
	{VFIO_DEED("vfioctl container_close", container_setup, container_close, NULL),
	 .undo = container_undo, .final = true},
	{VFIO_CALL("vfioctl group_open, the first", container_setup, group_open, iommu_is_set),
	 .undo = out_undo},
	{VFIO_CALL("vfioctl group_open, one more", group_setup, group_open, iommu_is_set),
	 .undo = out_undo},
	{VFIO_DEED("vfioctl group_close", group_setup, group_close, NULL), .undo = group_undo,
	 .final = true},
	{HEADER_DEED("vfioctl group_blockers", group_blockers, blocker_is_named)},
	{VFIO_CALL("vfioctl iommu_info", group_setup, iommu_info, range_is_told)},
	{VFIO_DEED("vfioctl dma_map", group_setup, dma_map, is_mapped), .undo = map_undo,
	 .kept = not_mapped},
	{VFIO_DEED("vfioctl dma_unmap", mapped_setup, dma_unmap, is_unmapped),
	 .undo = unmap_undo, .kept = still_mapped},
	{VFIO_CALL("vfioctl dma_unmap_range", mapped_setup, dma_unmap_range, all_is_unmapped),
	 .undo = unmap_undo, .kept = still_mapped},
	{VFIO_CALL("vfioctl dma_unmap_all", mapped_setup, dma_unmap_all, all_is_unmapped),
	 .undo = unmap_undo, .kept = still_mapped},
	{VFIO_CALL("vfioctl device_open", group_setup, device_open, NULL), .undo = out_undo},
	{VFIO_DEED("vfioctl device_close", device_setup, device_close, NULL),
	 .undo = device_undo, .final = true},
	{VFIO_DEED("vfioctl device_reset", device_setup, device_reset, NULL)},
	{VFIO_CALL("vfioctl region_info", device_setup, region_info, region_is_told)},
	{VFIO_CALL("vfioctl region_map", device_setup, region_map, region_is_mapped),
	 .undo = region_undo},
	{.name = "vfioctl region_unmap", .setup = region_setup, .run = region_unmap,
	 .undo = region_unmap_undo, .teardown = region_teardown, .final = true, .bare = true},
	{VFIO_CALL("vfioctl config_read16", device_setup, config_read16, vendor_is_read)},
	{VFIO_DEED("vfioctl config_write16", device_setup, config_write16, is_master),
	 .kept = command_stayed},
	{VFIO_DEED("vfioctl bus_master_set", device_setup, bus_master_set, is_master)},
	{VFIO_CALL("vfioctl irq_info", device_setup, irq_info, irq_is_told)},
	{VFIO_DEED("vfioctl irq_enable", device_setup, irq_enable, irq_is_enabled),
	 .undo = irq_undo, .kept = irq_stayed},
	{VFIO_DEED("vfioctl irq_disable", device_setup, irq_disable, NULL)},
	{VFIO_DEED("vfioctl irq_mask", device_setup, irq_mask, NULL)},
	{VFIO_DEED("vfioctl irq_unmask", device_setup, irq_unmask, NULL)},
	{VFIO_DEED("vfioctl irq_unmask_by", device_setup, irq_unmask_by, NULL)},
	{VFIO_DEED("vfioctl irq_trigger", device_setup, irq_trigger, NULL)},
	{0},
};
