/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_VFIO_DMABUF_H
#define PINION_VFIO_DMABUF_H

/*
 * Memory of a VFIO device (of a BAR) as a dma-buf, for another device to read and write it.
 *
 *     pinion_vfio_dmabuf_check(device)                          can it?
 *     pinion_vfio_dmabuf_export(device, index, area, 1, &fd)    a part of a BAR
 *     ...                                                       the other driver imports fd
 *     close(fd)
 *
 * Threads: any call from any thread. Processes: fd can be passed; it is close-on-exec.
 *
 * Death: the dma-buf lives as long as a descriptor of it. With the last descriptor of the device
 * the kernel revokes it, and who imported it reaches nothing any more; and so it is while the
 * device is reset or its memory decoding is off.
 *
 * Caveats, each with its remedy:
 *  - Only kernels since Linux 6.19 that were built with VFIO_PCI_DMABUF export: -ENOTSUP. Copy
 *    through memory of the host.
 *  - A dma-buf of several areas is not taken by everyone; iommufd takes those of one area.
 *  - It is not for the processor: pinion_vfio_region_map() is.
 *
 * Errors are -errno; every call may also give what ioctl(2) gives. errno itself is left
 * undefined. A call that fails leaves its results as they were, and holds nothing.
 *
 * Sources: <linux/vfio.h> of Linux 6.19; drivers/vfio/pci/vfio_pci_dmabuf.c of Linux.
 * Needs vfio_region.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/vfio_region.h>

/* Since Linux 6.19: where it is built, headers may be older than the kernel where it runs. */
#ifndef VFIO_DEVICE_FEATURE_DMA_BUF
#define VFIO_DEVICE_FEATURE_DMA_BUF 11
#endif

/*
 * What VFIO_DEVICE_FEATURE takes for a dma-buf: its struct vfio_device_feature, behind that struct
 * vfio_device_feature_dma_buf, whose ranges are laid out as our areas are.
 */
struct pinion_vfio_dmabuf {
	uint32_t argsz, flags;
	uint32_t region_index, open_flags, buf_flags, nr_ranges;
	struct pinion_vfio_area range[PINION_VFIO_AREAS];
};

/* Ask for the feature; what it returns, or -errno. */
static inline int pinion_vfio_dmabuf_ioctl(int device, struct pinion_vfio_dmabuf *want)
{
	const int n = pinion_vfio_ioctl(device, VFIO_DEVICE_FEATURE, want);

	/* A kernel that does not know the feature, or was built without it, says ENOTTY, one that
	 * has a device that cannot, EOPNOTSUPP. */
	return n == -ENOTTY || n == -EOPNOTSUPP ? -ENOTSUP : n;
}

/*
 * Whether the kernel can export memory of this device.
 *
 * -ENOTSUP  it cannot: see "Caveats"; or the descriptor is no VFIO device's
 */
static inline int pinion_vfio_dmabuf_check(int device)
{
	struct pinion_vfio_dmabuf want;

	memset(&want, 0, sizeof(want));
	want.argsz = offsetof(struct pinion_vfio_dmabuf, region_index);
	want.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET |
		     VFIO_DEVICE_FEATURE_DMA_BUF;
	return pinion_vfio_dmabuf_ioctl(device, &want);
}

/*
 * Export nr areas of a BAR, VFIO_PCI_BAR0_REGION_INDEX to BAR5, as one dma-buf, for reading and
 * writing. Close the descriptor with close(2).
 *
 * -ENOTSUP    the kernel cannot: see pinion_vfio_dmabuf_check()
 * -EINVAL     nr is 0 or more than PINION_VFIO_AREAS; an area is empty, beyond the BAR, or not of
 *             whole pages; or the BAR is one of I/O ports, or not there
 * -EOVERFLOW  an area ends beyond 2^64
 * -ENODEV     an index that is no BAR's, or the device is going away
 * -ENOMEM     no memory
 * -EMFILE     no descriptors left
 */
static inline int pinion_vfio_dmabuf_export(int device, uint32_t index,
					    const struct pinion_vfio_area *area, uint32_t nr,
					    int *fd)
{
	struct pinion_vfio_dmabuf want;
	int got;

	if (nr == 0 || nr > PINION_VFIO_AREAS)
		return -EINVAL;
	memset(&want, 0, sizeof(want));
	want.argsz = (uint32_t)(offsetof(struct pinion_vfio_dmabuf, range) + nr * sizeof(*area));
	want.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF;
	want.region_index = index;
	want.open_flags = O_RDWR | O_CLOEXEC;
	want.nr_ranges = nr;
	memcpy(want.range, area, nr * sizeof(*area));
	got = pinion_vfio_dmabuf_ioctl(device, &want);
	if (got < 0)
		return got;
	*fd = got;
	return 0;
}

#endif
