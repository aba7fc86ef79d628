/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernel.h"
#include "kernel_parts.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <pinion/vfio_dmabuf.h>
#include <pinion/vfio_reset.h>

/*
 * A device of VFIO: its configuration space, which is BAR 0 a second time, and in BAR 2, which
 * begins there as well, KERNEL_SPARSE_LEN bytes, all but the second page of which can be mapped.
 */

static struct {
	int eventfd;
	bool reset;
} device = {.eventfd = -1};

int kernel_eventfd(void)
{
	return device.eventfd;
}

bool kernel_was_reset(void)
{
	const bool was = device.reset;

	device.reset = false;
	return was;
}

void kernel_device_reset(void)
{
	device.eventfd = -1;
	device.reset = false;
}

/* Two areas around the page that cannot be mapped, behind the fixed part when there is room. */
static int sparse_info(struct vfio_region_info *info)
{
	const struct vfio_region_sparse_mmap_area area[2] = {
		{0, 4096}, {8192, KERNEL_SPARSE_LEN - 8192}};
	const struct vfio_region_info_cap_sparse_mmap cap = {
		.header = {VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0}, .nr_areas = 2};
	const uint32_t room = info->argsz;
	const uint32_t at = sizeof(*info);

	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->size = KERNEL_SPARSE_LEN;
	info->argsz = at + sizeof(cap) + sizeof(area);
	if (room < info->argsz)
		return 0;
	info->cap_offset = at;
	memcpy((char *)info + at, &cap, sizeof(cap));
	memcpy((char *)info + at + sizeof(cap), area, sizeof(area));
	return 0;
}

static int region_info(struct vfio_region_info *info)
{
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->offset = 0;
	if (info->index != VFIO_PCI_CONFIG_REGION_INDEX)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (info->index == VFIO_PCI_BAR2_REGION_INDEX)
		return sparse_info(info);
	info->size = info->index == VFIO_PCI_BAR0_REGION_INDEX ||
		     info->index == VFIO_PCI_CONFIG_REGION_INDEX ? 4096 : 0;
	return 0;
}

static int irqs(const struct vfio_irq_set *set)
{
	if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0)
		memcpy(&device.eventfd, set->data, sizeof(device.eventfd));
	else if (set->count == 0)
		device.eventfd = -1;
	return 0;
}

static int reset(void)
{
	device.reset = true;
	return 0;
}

/* The drive and its virtual function are on one bus, and in one group. */
static int hot_reset_info(struct vfio_pci_hot_reset_info *info)
{
	const struct vfio_pci_dependent_device on_bus[2] = {
		{.group_id = 12, .bus = 0x41, .devfn = 0},
		{.group_id = 12, .bus = 0x41, .devfn = 1}};

	info->count = 2;
	if (info->argsz < sizeof(*info) + sizeof(on_bus))
		return -ENOSPC;
	memcpy((char *)info + sizeof(*info), on_bus, sizeof(on_bus));
	return 0;
}

static int hot_reset(const struct vfio_pci_hot_reset *want)
{
	const char *name = want->count == 1 ? kernel_name_of(want->group_fds[0]) : NULL;

	return name && !strcmp(name, "dev/vfio/12") ? reset() : -EINVAL;
}

/* A file stands for the dma-buf: what its memory is nobody asks. */
static int feature(const struct pinion_vfio_dmabuf *want)
{
	const size_t len = offsetof(struct pinion_vfio_dmabuf, range);
	int fd;

	if ((want->flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_DMA_BUF)
		return -ENOTTY;
	if ((want->flags & VFIO_DEVICE_FEATURE_PROBE) != 0)
		return 0;
	if (want->nr_ranges == 0 || want->argsz < len + want->nr_ranges * sizeof(*want->range))
		return -EINVAL;
	fd = memfd_create("dma-buf", (want->open_flags & O_CLOEXEC) != 0 ? MFD_CLOEXEC : 0);
	return fd < 0 ? -errno : fd;
}

int kernel_device_answer(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		((struct vfio_device_info *)arg)->flags = VFIO_DEVICE_FLAGS_RESET;
		return 0;
	case VFIO_DEVICE_RESET:
		return reset();
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		((struct vfio_irq_info *)arg)->count = 1;
		return 0;
	case VFIO_DEVICE_SET_IRQS:
		return irqs(arg);
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
		return hot_reset_info(arg);
	case VFIO_DEVICE_PCI_HOT_RESET:
		return hot_reset(arg);
	case VFIO_DEVICE_FEATURE:
		return feature(arg);
	default:
		return -ENOTTY;
	}
}
