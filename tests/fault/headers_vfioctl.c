/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_vfio.h"

#include "kernel.h"

/*
 * vfioctl.h.
 */

static union {
	struct pinion_vfio_iommu iommu;
	struct pinion_vfio_irq irq;
	uint64_t unmapped;
	int fd;
} out;

#define IOVA 0x10000
#define LEN 8192u

/* A text that is cut short is still one: "not to be read" after a failure. */
static char blockers[128];

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

static int container_open_type1(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_container_open_as(VFIO_TYPE1_IOMMU, &out.fd);
}

static int container_open_noiommu(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_container_open_as(VFIO_NOIOMMU_IOMMU, &out.fd);
}

/* Gone whatever it says. */
static int container_close(struct scene *scene)
{
	const int fd = vfio_container;

	(void)scene;
	vfio_container = -1;
	return pinion_vfio_container_close(fd);
}

static void container_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_container_open(&vfio_container), "a container");
}

static int group_open(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_group_open(12, vfio_container, &out.fd);
}

static const char *iommu_is_set(struct scene *scene)
{
	struct pinion_vfio_iommu iommu;

	(void)scene;
	return pinion_vfio_iommu_info(vfio_container, &iommu) ? "the container has no IOMMU" : NULL;
}

static int group_open_type1(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_group_open_as(VFIO_TYPE1_IOMMU, 12, vfio_container, &out.fd);
}

static int group_open_noiommu(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_group_open_as(VFIO_NOIOMMU_IOMMU, 12, vfio_container, &out.fd);
}

static const char *type1_is_set(struct scene *scene)
{
	return kernel_iommu() != VFIO_TYPE1_IOMMU ? "it is of another kind" : iommu_is_set(scene);
}

static const char *noiommu_is_set(struct scene *scene)
{
	(void)scene;
	return kernel_iommu() != VFIO_NOIOMMU_IOMMU ? "it is of another kind" : NULL;
}

static int group_close(struct scene *scene)
{
	const int fd = vfio_group;

	(void)scene;
	vfio_group = -1;
	return pinion_vfio_group_close(fd);
}

static void group_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_group_open(12, vfio_container, &vfio_group), "a group");
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
	return pinion_vfio_iommu_info(vfio_container, &out.iommu);
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
	return pinion_vfio_dma_map(vfio_container, memory, IOVA, LEN);
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
	scene_must(!pinion_vfio_dma_unmap(vfio_container, IOVA, LEN), "no mapping");
}

static void unmap_undo(struct scene *scene)
{
	scene_must(!dma_map(scene), "a mapping");
}

static void mapped_setup(struct scene *scene)
{
	vfio_group_setup(scene);
	unmap_undo(scene);
}

static int dma_unmap(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_dma_unmap(vfio_container, IOVA, LEN);
}

static int dma_unmap_range(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_dma_unmap_range(vfio_container, IOVA, LEN, &out.unmapped);
}

static int dma_unmap_all(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_dma_unmap_all(vfio_container, &out.unmapped);
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
	return pinion_vfio_device_open(vfio_group, TREE_BDF, &out.fd);
}

static int device_close(struct scene *scene)
{
	const int fd = vfio_device;

	(void)scene;
	vfio_device = -1;
	return pinion_vfio_device_close(fd);
}

static void device_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_vfio_device_open(vfio_group, TREE_BDF, &vfio_device), "a device");
}

/* Interrupts. What the eventfd is does not matter to kernel_device.c. */

#define EVENT 7

static int irq_info(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_info(vfio_device, VFIO_PCI_MSIX_IRQ_INDEX, &out.irq);
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
	return pinion_vfio_irq_enable(vfio_device, VFIO_PCI_MSIX_IRQ_INDEX, 0, &event, 1);
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
	return pinion_vfio_irq_disable(vfio_device, VFIO_PCI_MSIX_IRQ_INDEX);
}

static int irq_mask(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_mask(vfio_device, VFIO_PCI_INTX_IRQ_INDEX);
}

static int irq_unmask(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_unmask(vfio_device, VFIO_PCI_INTX_IRQ_INDEX);
}

static int irq_unmask_by(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_unmask_by(vfio_device, VFIO_PCI_INTX_IRQ_INDEX, EVENT);
}

static int irq_trigger(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_irq_trigger(vfio_device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1);
}

static void irq_undo(struct scene *scene)
{
	scene_must(!irq_disable(scene), "no interrupts");
}

const struct operation vfioctl_operations[] = {
	{HEADER_CALL("vfioctl container_open", container_open, NULL), .undo = out_undo},
	{HEADER_CALL("vfioctl container_open_as, type 1", container_open_type1, NULL),
	 .undo = out_undo},
	{HEADER_CALL("vfioctl container_open_as, no IOMMU", container_open_noiommu, NULL),
	 .undo = out_undo},
	{VFIO_DEED("vfioctl container_close", vfio_container_setup, container_close, NULL),
	 .undo = container_undo, .final = true},
	{VFIO_CALL("vfioctl group_open, the first", vfio_container_setup, group_open, iommu_is_set),
	 .undo = out_undo},
	{VFIO_CALL("vfioctl group_open, one more", vfio_group_setup, group_open, iommu_is_set),
	 .undo = out_undo},
	{VFIO_CALL("vfioctl group_open_as, type 1", vfio_container_setup, group_open_type1,
		   type1_is_set), .undo = out_undo},
	{VFIO_CALL("vfioctl group_open_as, no IOMMU", vfio_container_setup, group_open_noiommu,
		   noiommu_is_set), .undo = out_undo},
	{VFIO_DEED("vfioctl group_close", vfio_group_setup, group_close, NULL), .undo = group_undo,
	 .final = true},
	{HEADER_DEED("vfioctl group_blockers", group_blockers, blocker_is_named)},
	{VFIO_CALL("vfioctl iommu_info", vfio_group_setup, iommu_info, range_is_told)},
	{VFIO_DEED("vfioctl dma_map", vfio_group_setup, dma_map, is_mapped), .undo = map_undo,
	 .kept = not_mapped},
	{VFIO_DEED("vfioctl dma_unmap", mapped_setup, dma_unmap, is_unmapped),
	 .undo = unmap_undo, .kept = still_mapped},
	{VFIO_CALL("vfioctl dma_unmap_range", mapped_setup, dma_unmap_range, all_is_unmapped),
	 .undo = unmap_undo, .kept = still_mapped},
	{VFIO_CALL("vfioctl dma_unmap_all", mapped_setup, dma_unmap_all, all_is_unmapped),
	 .undo = unmap_undo, .kept = still_mapped},
	{VFIO_CALL("vfioctl device_open", vfio_group_setup, device_open, NULL), .undo = out_undo},
	{VFIO_DEED("vfioctl device_close", vfio_device_setup, device_close, NULL),
	 .undo = device_undo, .final = true},
	{VFIO_CALL("vfioctl irq_info", vfio_device_setup, irq_info, irq_is_told)},
	{VFIO_DEED("vfioctl irq_enable", vfio_device_setup, irq_enable, irq_is_enabled),
	 .undo = irq_undo, .kept = irq_stayed},
	{VFIO_DEED("vfioctl irq_disable", vfio_device_setup, irq_disable, NULL)},
	{VFIO_DEED("vfioctl irq_mask", vfio_device_setup, irq_mask, NULL)},
	{VFIO_DEED("vfioctl irq_unmask", vfio_device_setup, irq_unmask, NULL)},
	{VFIO_DEED("vfioctl irq_unmask_by", vfio_device_setup, irq_unmask_by, NULL)},
	{VFIO_DEED("vfioctl irq_trigger", vfio_device_setup, irq_trigger, NULL)},
	{0},
};
