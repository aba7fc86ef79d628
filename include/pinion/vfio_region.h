/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_VFIO_REGION_H
#define PINION_VFIO_REGION_H

/*
 * Regions of a VFIO device: its BARs, its expansion ROM and its configuration space.
 *
 *     pinion_vfio_region_info(device, VFIO_PCI_BAR0_REGION_INDEX, &region);
 *     pinion_vfio_region_map(device, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len);      -> mmio.h
 *     ...
 *     pinion_vfio_region_unmap(regs, len);
 *
 * Threads: any call from any thread. Processes: a descriptor of the device is enough.
 *
 * Death: a mapping goes with its process, and keeps the device open until then: see "Death" in
 * vfioctl.h.
 *
 * Errors are -errno; every call may also give what ioctl(2) and mmap(2) give. errno itself is
 * left undefined. A call that fails leaves its results as they were, and holds nothing.
 *
 * Sources: <linux/vfio.h>, drivers/vfio/pci of Linux.
 * Needs vfioctl.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/vfioctl.h>

#include <sys/mman.h>

/* A region of a device: len bytes at offset of the device descriptor; VFIO_REGION_INFO_FLAG_*. */
struct pinion_vfio_region {
	uint64_t offset, len;
	uint32_t flags;
};

/*
 * Where a region is: VFIO_PCI_BAR0_REGION_INDEX to BAR5, VFIO_PCI_CONFIG_REGION_INDEX.
 *
 * -EINVAL  no such index
 * -ENOENT  the device has no such region: its length is 0
 */
static inline int pinion_vfio_region_info(int device, uint32_t index, struct pinion_vfio_region *r)
{
	struct vfio_region_info info;
	int err;

	memset(&info, 0, sizeof(info));
	info.argsz = sizeof(info);
	info.index = index;
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info);
	if (err < 0)
		return err;
	if (info.size == 0)
		return -ENOENT;
	r->offset = info.offset;
	r->len = info.size;
	r->flags = info.flags;
	return 0;
}

/* The protection a region allows, PROT_READ and PROT_WRITE. */
static inline int pinion_vfio_region_prot(const struct pinion_vfio_region *r)
{
	int prot = PROT_NONE;

	if ((r->flags & VFIO_REGION_INFO_FLAG_READ) != 0)
		prot |= PROT_READ;
	if ((r->flags & VFIO_REGION_INFO_FLAG_WRITE) != 0)
		prot |= PROT_WRITE;
	return prot;
}

/*
 * Map the registers of a region, uncached; len gets its bytes. Undo with
 * pinion_vfio_region_unmap(). The mapping keeps the device open: see "Death".
 *
 * -ENOTSUP    the region cannot be mapped (I/O ports, or shorter than a page): pread(2) and
 *             pwrite(2) the device descriptor at the region's offset
 * -EOVERFLOW  off_t or size_t are too small for it: -D_FILE_OFFSET_BITS=64
 * -EINVAL     the kernel (before 4.16) keeps the MSI-X table inside the BAR from being mapped
 * and the errors of pinion_vfio_region_info()
 */
static inline int pinion_vfio_region_map(int device, uint32_t index, void **addr, size_t *len)
{
	struct pinion_vfio_region r;
	void *at;
	int err;

	memset(&r, 0, sizeof(r));
	err = pinion_vfio_region_info(device, index, &r);
	if (err < 0)
		return err;
	if ((r.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0)
		return -ENOTSUP;
	if (r.len > SIZE_MAX || (uint64_t)(off_t)r.offset != r.offset)
		return -EOVERFLOW;
	at = mmap(NULL, (size_t)r.len, pinion_vfio_region_prot(&r), MAP_SHARED, device,
		  (off_t)r.offset);
	if (at == MAP_FAILED)
		return pinion_vfio_errno();
	*addr = at;
	*len = (size_t)r.len;
	return 0;
}

/* Undo pinion_vfio_region_map(). pre: no thread uses the registers any more. */
static inline int pinion_vfio_region_unmap(void *addr, size_t len)
{
	return munmap(addr, len) < 0 ? pinion_vfio_errno() : 0;
}

#endif
