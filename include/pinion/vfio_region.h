/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_VFIO_REGION_H
#define PINION_VFIO_REGION_H

/*
 * Regions of a VFIO device: its BARs, its expansion ROM and its configuration space.
 *
 *     pinion_vfio_region_info(device, VFIO_PCI_BAR0_REGION_INDEX, &region);
 *     pinion_vfio_region_map(device, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len);      -> mmio.h
 *     pinion_vfio_region_read32(device, &region, 0x1c, &status);        the same, unmapped
 *     ...
 *     pinion_vfio_region_unmap(regs, len);
 *
 *     region                            mapped               read, written
 *     -------------------------------   ------------------   ---------------------------
 *     BAR of memory                     all of it            yes
 *     ... that has areas ("sparse")     its areas, no more   yes
 *     ... that shares a page            no                   yes
 *     BAR of I/O ports                  no                   yes
 *     expansion ROM                     no                   read only
 *     configuration space               no                   yes, best by vfio_config.h
 *
 * Threads: any call from any thread; two that read, change and write one register lose a change.
 * Processes: a descriptor of the device is enough; &region can be copied anywhere.
 *
 * Death: a mapping goes with its process, and keeps the device open until then: see "Death" in
 * vfioctl.h.
 *
 * Caveats, each with its remedy:
 *  - A mapping has an address for every byte of the region, but outside its areas a touch is
 *    SIGSEGV: look at region.area first, and read and write the rest.
 *  - While memory decoding is off (bit 1 of COMMAND), a touch of the mapping is SIGBUS, a read or a
 *    write -EIO: turn it on. While the device is being reset both wait.
 *  - The table of MSI-X reads as all ones and takes no writes here, and a mapping shows it as it
 *    is. It is the kernel's: pinion_vfio_irq_enable() fills it.
 *  - A read or a write is a system call, and one of 64 bits can reach the device as two of 32, the
 *    low half first: map registers that mind.
 *
 * Errors are -errno; every call may also give what ioctl(2), mmap(2), pread(2) and pwrite(2)
 * give. errno itself is left undefined. A call that fails leaves its results as they were, and
 * holds nothing.
 *
 * Sources: <linux/vfio.h>; drivers/vfio/pci/vfio_pci_core.c and vfio_pci_rdwr.c of Linux.
 * Needs vfioctl.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/vfioctl.h>

#include <sys/mman.h>

/* Most areas a region may have: vfio-pci made two at most, around the table of MSI-X. */
#define PINION_VFIO_AREAS 32u

/* A part of a region: len bytes from off bytes of the region on. */
struct pinion_vfio_area {
	uint64_t off, len;
};

/*
 * A region of a device: len bytes at offset of the device descriptor; VFIO_REGION_INFO_FLAG_*.
 * What can be mapped is in nr_areas areas: none, or one for all of it, or those of a sparse
 * region. msix_mappable: the table of MSI-X is in the region and in what can be mapped (since
 * Linux 4.16).
 */
struct pinion_vfio_region {
	uint64_t offset, len;
	uint32_t flags;
	uint32_t nr_areas;
	bool msix_mappable;
	struct pinion_vfio_area area[PINION_VFIO_AREAS];
};

/* Copy the areas out of the filled buffer, if it names any. Errors: see
 * pinion_vfio_region_info(). */
static inline int pinion_vfio_region_areas(const void *info, size_t len, uint32_t first,
					   struct pinion_vfio_region *region)
{
	struct vfio_region_info_cap_sparse_mmap cap;
	struct vfio_region_sparse_mmap_area area;
	size_t off = 0;
	uint32_t i;
	int err = pinion_vfio_cap_find(info, len, first, VFIO_REGION_INFO_CAP_SPARSE_MMAP,
				       sizeof(cap), &off);

	if (err < 0)
		return err == -ENOENT ? 0 : err;
	memcpy(&cap, (const char *)info + off, sizeof(cap));
	off += sizeof(cap);
	if (cap.nr_areas > (len - off) / sizeof(area))
		return -EBADMSG;
	if (cap.nr_areas > PINION_VFIO_AREAS)
		return -E2BIG;
	for (i = 0; i < cap.nr_areas; i++) {
		memcpy(&area, (const char *)info + off + i * sizeof(area), sizeof(area));
		if (area.size == 0 || area.size > region->len ||
		    area.offset > region->len - area.size)
			return -EBADMSG;
		region->area[i].off = area.offset;
		region->area[i].len = area.size;
	}
	region->nr_areas = cap.nr_areas;
	return 0;
}

/* Understand a filled struct vfio_region_info with the chain behind it, len bytes in all. */
static inline int pinion_vfio_region_parse(const void *info, size_t len,
					   struct pinion_vfio_region *region)
{
	struct vfio_region_info fixed;
	struct pinion_vfio_region got;
	size_t off = 0;
	uint32_t first;
	int err;

	if (len < sizeof(fixed))
		return -EBADMSG;
	memcpy(&fixed, info, sizeof(fixed));
	if (fixed.size == 0)
		return -ENOENT;
	memset(&got, 0, sizeof(got));
	got.offset = fixed.offset;
	got.len = fixed.size;
	got.flags = fixed.flags;
	if ((fixed.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0) {
		got.nr_areas = 1;
		got.area[0].len = fixed.size;
	}
	first = (fixed.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0 ? fixed.cap_offset : 0;
	err = pinion_vfio_cap_find(info, len, first, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
				   sizeof(struct vfio_info_cap_header), &off);
	got.msix_mappable = err == 0;
	if (err == -ENOENT)
		err = 0;
	if (err == 0 && got.nr_areas > 0)
		err = pinion_vfio_region_areas(info, len, first, &got);
	if (err == 0)
		*region = got;
	return err;
}

/*
 * Where a region is, and what of it can be mapped: VFIO_PCI_BAR0_REGION_INDEX to BAR5,
 * VFIO_PCI_ROM_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX.
 *
 * -EINVAL   no such index
 * -ENOENT   the device has no such region: its length is 0
 * -E2BIG    more than PINION_VFIO_AREAS areas
 * -EBADMSG  the kernel's answer contradicts itself
 * -ENOMEM   no memory
 */
static inline int pinion_vfio_region_info(int device, uint32_t index,
					  struct pinion_vfio_region *region)
{
	struct vfio_region_info head, *whole;
	size_t len;
	int err;

	memset(&head, 0, sizeof(head));
	head.argsz = sizeof(head);
	head.index = index;
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &head);
	if (err < 0)
		return err;
	/* Asked with too little room, the kernel answers with the room that it needs. */
	len = head.argsz;
	if (len <= sizeof(head)) {
		/* Nothing lies behind it, whatever it says. */
		if ((head.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0)
			return -EBADMSG;
		return pinion_vfio_region_parse(&head, sizeof(head), region);
	}
	if (len > PINION_VFIO_INFO_MAX)
		return -EBADMSG;
	whole = (struct vfio_region_info *)calloc(1, len);
	if (whole == NULL)
		return -ENOMEM;
	whole->argsz = (uint32_t)len;
	whole->index = index;
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, whole);
	/* Needing more room than it said, it would leave its areas out. */
	if (err == 0)
		err = whole->argsz > len ? -EBADMSG : pinion_vfio_region_parse(whole, len, region);
	free(whole);
	return err;
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

/* Offset in the device descriptor of a region's byte; -EOVERFLOW when off_t is too small. */
static inline int pinion_vfio_region_offset(const struct pinion_vfio_region *r, uint64_t off,
					    off_t *at)
{
	if (off > (uint64_t)INT64_MAX || r->offset > (uint64_t)INT64_MAX - off ||
	    (uint64_t)(off_t)(r->offset + off) != r->offset + off)
		return -EOVERFLOW;
	*at = (off_t)(r->offset + off);
	return 0;
}

/* Map one area of a region: anywhere, or with MAP_FIXED in flags over what is mapped at where. */
static inline int pinion_vfio_area_map(int device, const struct pinion_vfio_region *r,
				       const struct pinion_vfio_area *area, void *where, int flags,
				       void **addr)
{
	off_t off = 0;
	void *at;
	int err = pinion_vfio_region_offset(r, area->off, &off);

	if (err < 0)
		return err;
	at = mmap(where, (size_t)area->len, pinion_vfio_region_prot(r), MAP_SHARED | flags, device,
		  off);
	if (at == MAP_FAILED)
		return pinion_vfio_errno();
	*addr = at;
	return 0;
}

/* Reserve addresses for a whole region, and map its areas there. */
static inline int pinion_vfio_region_map_sparse(int device, const struct pinion_vfio_region *r,
						void **addr)
{
	uint32_t i;
	void *base, *at;
	int err = 0;

	base = mmap(NULL, (size_t)r->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (base == MAP_FAILED)
		return pinion_vfio_errno();
	for (i = 0; i < r->nr_areas && err == 0; i++)
		err = pinion_vfio_area_map(device, r, &r->area[i], (char *)base + r->area[i].off,
					   MAP_FIXED, &at);
	if (err < 0) {
		munmap(base, (size_t)r->len);
		return err;
	}
	*addr = base;
	return 0;
}

/* Map what can be mapped of a region that pinion_vfio_region_info() has told of; for the rest see
 * pinion_vfio_region_map(). */
static inline int pinion_vfio_region_map_known(int device, const struct pinion_vfio_region *r,
					       void **addr)
{
	if (r->nr_areas == 0)
		return -ENOTSUP;
	if (r->len > SIZE_MAX)
		return -EOVERFLOW;
	if (r->nr_areas == 1 && r->area[0].len == r->len)
		return pinion_vfio_area_map(device, r, &r->area[0], NULL, 0, addr);
	return pinion_vfio_region_map_sparse(device, r, addr);
}

/*
 * Map the registers of a region, uncached; len gets the bytes of the region, and each register
 * stands at its offset, though in a sparse region only those in an area can be touched. Undo with
 * pinion_vfio_region_unmap(). The mapping keeps the device open: see "Death".
 *
 * -ENOTSUP    no part of the region can be mapped (I/O ports, or it shares a page): read and
 *             write it
 * -EOVERFLOW  off_t or size_t are too small for it: -D_FILE_OFFSET_BITS=64
 * and the errors of pinion_vfio_region_info()
 */
static inline int pinion_vfio_region_map(int device, uint32_t index, void **addr, size_t *len)
{
	struct pinion_vfio_region r;
	int err;

	memset(&r, 0, sizeof(r));
	err = pinion_vfio_region_info(device, index, &r);
	if (err == 0)
		err = pinion_vfio_region_map_known(device, &r, addr);
	if (err == 0)
		*len = (size_t)r.len;
	return err;
}

/* Undo pinion_vfio_region_map(). pre: no thread uses the registers any more. */
static inline int pinion_vfio_region_unmap(void *addr, size_t len)
{
	return munmap(addr, len) < 0 ? pinion_vfio_errno() : 0;
}

/* Where width bytes at off of a region are in the device descriptor. Errors: those of
 * pinion_vfio_region_read8(). */
static inline int pinion_vfio_region_at(const struct pinion_vfio_region *r, uint64_t off,
					unsigned width, off_t *at)
{
	if (off % width != 0 || width > r->len || off > r->len - width)
		return -EINVAL;
	return pinion_vfio_region_offset(r, off, at);
}

/* Read width bytes, 8 at most; they travel with the lowest byte first, whatever the processor. */
static inline int pinion_vfio_region_get(int device, const struct pinion_vfio_region *r,
					 uint64_t off, unsigned width, uint64_t *v)
{
	uint8_t le[8] = {0, 0, 0, 0, 0, 0, 0, 0};
	uint64_t got = 0;
	off_t at = 0;
	ssize_t n;
	const int err = pinion_vfio_region_at(r, off, width, &at);

	if (err < 0)
		return err;
	if ((r->flags & VFIO_REGION_INFO_FLAG_READ) == 0)
		return -EACCES;
	do
		n = pread(device, le, width, at);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)width)
		return n < 0 ? pinion_vfio_errno() : -EIO;
	while (width-- > 0)
		got = got << 8 | le[width];
	*v = got;
	return 0;
}

/* Write width bytes, 8 at most. */
static inline int pinion_vfio_region_put(int device, const struct pinion_vfio_region *r,
					 uint64_t off, unsigned width, uint64_t v)
{
	uint8_t le[8];
	off_t at = 0;
	unsigned i;
	ssize_t n;
	const int err = pinion_vfio_region_at(r, off, width, &at);

	if (err < 0)
		return err;
	if ((r->flags & VFIO_REGION_INFO_FLAG_WRITE) == 0)
		return -EACCES;
	for (i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(v >> (8 * i) & 0xff);
	do
		n = pwrite(device, le, width, at);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)width)
		return n < 0 ? pinion_vfio_errno() : -EIO;
	return 0;
}

/*
 * Read the register of 8 bits at the byte offset off of a region, without a mapping.
 * pre: r is what pinion_vfio_region_info() told of this device.
 *
 * -EINVAL     off is beyond the region, or, for wider ones, no multiple of their width
 * -EACCES     the region cannot be read
 * -EIO        the device did not answer in full; or its memory decoding is off, see "Caveats"
 * -EOVERFLOW  off_t is too small for it: -D_FILE_OFFSET_BITS=64
 */
static inline int pinion_vfio_region_read8(int device, const struct pinion_vfio_region *r,
					   uint64_t off, uint8_t *v)
{
	uint64_t got = 0;
	const int err = pinion_vfio_region_get(device, r, off, sizeof(*v), &got);

	if (err == 0)
		*v = (uint8_t)got;
	return err;
}

/* The same for 16 bits, in the byte order of the processor. */
static inline int pinion_vfio_region_read16(int device, const struct pinion_vfio_region *r,
					    uint64_t off, uint16_t *v)
{
	uint64_t got = 0;
	const int err = pinion_vfio_region_get(device, r, off, sizeof(*v), &got);

	if (err == 0)
		*v = (uint16_t)got;
	return err;
}

/* The same for 32 bits. */
static inline int pinion_vfio_region_read32(int device, const struct pinion_vfio_region *r,
					    uint64_t off, uint32_t *v)
{
	uint64_t got = 0;
	const int err = pinion_vfio_region_get(device, r, off, sizeof(*v), &got);

	if (err == 0)
		*v = (uint32_t)got;
	return err;
}

/* The same for 64 bits, which the kernel may read in halves. */
static inline int pinion_vfio_region_read64(int device, const struct pinion_vfio_region *r,
					    uint64_t off, uint64_t *v)
{
	return pinion_vfio_region_get(device, r, off, sizeof(*v), v);
}

/*
 * Write the register of 8 bits at the byte offset off of a region, without a mapping. Errors:
 * those of pinion_vfio_region_read8(), -EACCES for a region that cannot be written.
 */
static inline int pinion_vfio_region_write8(int device, const struct pinion_vfio_region *r,
					    uint64_t off, uint8_t v)
{
	return pinion_vfio_region_put(device, r, off, sizeof(v), v);
}

/* The same for 16 bits, in the byte order of the processor. */
static inline int pinion_vfio_region_write16(int device, const struct pinion_vfio_region *r,
					     uint64_t off, uint16_t v)
{
	return pinion_vfio_region_put(device, r, off, sizeof(v), v);
}

/* The same for 32 bits. */
static inline int pinion_vfio_region_write32(int device, const struct pinion_vfio_region *r,
					     uint64_t off, uint32_t v)
{
	return pinion_vfio_region_put(device, r, off, sizeof(v), v);
}

/* The same for 64 bits, which the kernel may write in halves. After -EIO the first may have been
 * written. */
static inline int pinion_vfio_region_write64(int device, const struct pinion_vfio_region *r,
					     uint64_t off, uint64_t v)
{
	return pinion_vfio_region_put(device, r, off, sizeof(v), v);
}

#endif
