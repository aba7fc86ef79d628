/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_VFIOCTL_H
#define PINION_VFIOCTL_H

/*
 * VFIO's containers, groups and devices, one function for each thing a driver asks of it.
 *
 *     container (an address space)    group (the key to it)        device (one function)
 *     ----------------------------    ---------------------        ---------------------
 *     pinion_vfio_container_open()
 *                                     pinion_vfio_group_open()
 *     pinion_vfio_iommu_info()                                     pinion_vfio_device_open()
 *     pinion_vfio_dma_map()                                        pinion_vfio_device_reset()
 *                                                                  pinion_vfio_region_map()
 *                                                                  pinion_vfio_irq_enable()
 *                                                                  pinion_vfio_bus_master_set(on)
 *     ... the device works; registers through mmio.h ...
 *                                                                  pinion_vfio_bus_master_set(off)
 *                                                                  pinion_vfio_irq_disable()
 *                                                                  pinion_vfio_region_unmap()
 *     pinion_vfio_dma_unmap()                                      pinion_vfio_device_close()
 *                                     pinion_vfio_group_close()
 *     pinion_vfio_container_close()
 *
 * Beside it, each with one idea and this one below it: vfio_region.h (BARs: mapped, or
 * read and written), vfio_config.h (configuration space, bus mastering), vfio_reset.h (resets),
 * vfio_dmabuf.h (a BAR's memory for another device).
 *
 * The IOMMU exists once the first group is in the container: no map and no info before. The group
 * number comes from the function's iommu_group link; every function of the group must be bound to
 * vfio-pci or to no driver at all (the group is "viable"), else -EBUSY, and
 * pinion_vfio_group_blockers() names those that are not.
 *
 * The calls that end in _as() take another kind of IOMMU, by name:
 *
 *     VFIO_TYPE1v2_IOMMU  the kind that all others take
 *     VFIO_TYPE1_IOMMU    the only one before Linux 3.15. An unmap that begins inside a mapping
 *                         unmaps nothing, one that ends inside unmaps that mapping whole
 *     VFIO_NOIOMMU_IOMMU  none at all (since Linux 4.5, if built into it): the device reaches all
 *                         of memory, by physical addresses (hostmem.h). Nothing is mapped, and
 *                         nothing pinned. For root alone (CAP_SYS_RAWIO), and the kernel is
 *                         tainted. Over uio.h it has MSI and MSI-X. Before vfio-pci binds:
 *                         echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode
 *
 * Threads: any call from any thread.
 * Processes: the three descriptors can be passed; whoever holds the container can map its own
 * memory into it, and unmap any.
 *
 * Death: with the last descriptor of the *device* the kernel turns bus mastering off and resets
 * the device, and no transfer follows. With the last of the *container* (its groups closed too)
 * mappings and pins end. So a second process may hold a copy of the container, to keep mappings
 * and pins beyond the driver's death; a copy of the device, or a mapping of its BAR, must never
 * be held elsewhere: the device would go on writing. All are closed on exec, not on fork: a child
 * that does not exec closes its device descriptor and unmaps the BARs.
 *
 * Caveats, each with its remedy:
 *  - Memory mapped counts against RLIMIT_MEMLOCK, hugepages too: -ENOMEM. Raise it (ulimit -l,
 *    LimitMEMLOCK=) for users without CAP_IPC_LOCK.
 *  - 65,535 mappings a container (dma_entry_limit of vfio_iommu_type1): merge neighbours.
 *  - Ranges differ by machine: 39-bit apertures, and on x86 a hole at 0xfee00000. Ask
 *    pinion_vfio_iommu_info() first. IOVA 0 is accepted; do not hand it out, it looks like NULL.
 *  - An unmap that cuts a mapping is refused, one that spans nothing unmaps 0 bytes.
 *  - /dev/vfio/N is root's. chown it, and a plain user runs the whole cycle.
 *  - The group stays busy while any descriptor of it is open anywhere: -EBUSY on a second open.
 *  - Under -std=c99 or -std=c11 libc hides POSIX: include this header first, or define
 *    _DEFAULT_SOURCE.
 *
 * Errors are -errno; every call may also give what open(2) and ioctl(2) give. errno itself is
 * left undefined. A call that fails holds nothing.
 *
 * Sources: <linux/vfio.h>, Documentation/driver-api/vfio.rst, drivers/vfio of Linux.
 * Needs libc and the kernel's UAPI headers. C99, C11, C++17; includes no other header of ours.
 */

#if !defined(_DEFAULT_SOURCE) && !defined(_FEATURES_H)
#define _DEFAULT_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vfio.h>

#ifndef O_CLOEXEC
#error "POSIX is hidden: include pinion/vfioctl.h first, or define _DEFAULT_SOURCE"
#endif

/* Where IOMMU groups and the vfio nodes stand: any expressions of type const char *, so that a
 * test can name a tree of its own. */
#ifndef PINION_VFIO_SYSFS_GROUPS
#define PINION_VFIO_SYSFS_GROUPS "/sys/kernel/iommu_groups"
#endif
#ifndef PINION_VFIO_DEV
#define PINION_VFIO_DEV "/dev/vfio"
#endif

/* Since Linux 5.12: where it is built, headers may be older than the kernel where it runs. */
#ifndef VFIO_UNMAP_ALL
#define VFIO_UNMAP_ALL 9
#endif
#ifndef VFIO_DMA_UNMAP_FLAG_ALL
#define VFIO_DMA_UNMAP_FLAG_ALL (1 << 1)
#endif

#define PINION_VFIO_PATH_LEN 512
#define PINION_VFIO_RANGES 32u

/* Most bytes an info ioctl may ask for: those of the kernel stay below a few hundred. */
#define PINION_VFIO_INFO_MAX 65536u

/* MSI-X has at most 2048 vectors (PCI Local Bus Specification 3.0, 6.8.2.3). */
#define PINION_VFIO_VECTORS 2048u

/* IOVAs from start to last, both included: a range can end at 2^64 - 1. */
struct pinion_vfio_range {
	uint64_t start, last;
};

/*
 * What the IOMMU of a container can do. page_sizes: bit n is set when pages of 2^n bytes exist.
 * dma_avail: mappings that can still be made; 0 when the kernel (before 5.10) does not say, or
 * when none can.
 */
struct pinion_vfio_iommu {
	uint64_t page_sizes;
	uint32_t dma_avail;
	uint32_t nr_ranges;
	struct pinion_vfio_range range[PINION_VFIO_RANGES];
};

/* -errno after a failed call, and never 0: so the compiler knows as well that results which a
 * caller reads only after success have been written. */
static inline int pinion_vfio_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* ioctl(2), not broken off by a signal; its result, or -errno. */
static inline int pinion_vfio_ioctl(int fd, unsigned long request, void *arg)
{
	int n;

	do
		n = ioctl(fd, request, arg);
	while (n < 0 && errno == EINTR);
	return n < 0 ? pinion_vfio_errno() : n;
}

/* The same for a request whose argument is a number, not an address. */
static inline int pinion_vfio_ioctl_value(int fd, unsigned long request, unsigned long value)
{
	int n;

	do
		n = ioctl(fd, request, value);
	while (n < 0 && errno == EINTR);
	return n < 0 ? pinion_vfio_errno() : n;
}

/* After EINTR the descriptor is closed all the same: close(2), "Dealing with error". */
static inline int pinion_vfio_close(int fd)
{
	return close(fd) < 0 && errno != EINTR ? pinion_vfio_errno() : 0;
}

/* Open a node of /dev/vfio; the descriptor, or -errno. */
static inline int pinion_vfio_open_node(const char *name)
{
	char path[PINION_VFIO_PATH_LEN];
	const int n = snprintf(path, sizeof(path), "%s/%s", PINION_VFIO_DEV, name);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	do
		fd = open(path, O_RDWR | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? pinion_vfio_errno() : fd;
}

/* 0 when a request gives that number; -ENOTSUP when it gives another, or is not known (ENOTTY). */
static inline int pinion_vfio_expect(int fd, unsigned long request, unsigned long value, int want)
{
	const int got = pinion_vfio_ioctl_value(fd, request, value);

	if (got < 0 && got != -ENOTTY)
		return got;
	return got == want ? 0 : -ENOTSUP;
}

/* Is it a kind of IOMMU that is named at the top? */
static inline bool pinion_vfio_kind_ok(uint32_t kind)
{
	return kind == VFIO_TYPE1v2_IOMMU || kind == VFIO_TYPE1_IOMMU || kind == VFIO_NOIOMMU_IOMMU;
}

/*
 * Open an empty container for a kind of IOMMU, which its groups then have to be opened as. Undo
 * with pinion_vfio_container_close().
 *
 * -EINVAL           no kind that is named at the top
 * -ENOENT, -ENODEV  no vfio: modprobe vfio-pci
 * -ENOTSUP          another version of VFIO, or the kernel does not have this kind: modprobe
 *                   vfio_iommu_type1; for VFIO_NOIOMMU_IOMMU see at the top
 */
static inline int pinion_vfio_container_open_as(uint32_t kind, int *container)
{
	int fd, err;

	if (!pinion_vfio_kind_ok(kind))
		return -EINVAL;
	fd = pinion_vfio_open_node("vfio");
	if (fd < 0)
		return fd;
	err = pinion_vfio_expect(fd, VFIO_GET_API_VERSION, 0, VFIO_API_VERSION);
	if (err == 0)
		err = pinion_vfio_expect(fd, VFIO_CHECK_EXTENSION, kind, 1);
	if (err < 0) {
		close(fd);
		return err;
	}
	*container = fd;
	return 0;
}

/* The same for VFIO_TYPE1v2_IOMMU. */
static inline int pinion_vfio_container_open(int *container)
{
	return pinion_vfio_container_open_as(VFIO_TYPE1v2_IOMMU, container);
}

/* Undo pinion_vfio_container_open(). Mappings go with the last descriptor of container, groups
 * and devices. */
static inline int pinion_vfio_container_close(int container)
{
	return pinion_vfio_close(container);
}

/* 1 when the container has its IOMMU, 0 when not yet: until then the kernel answers every IOMMU
 * request EINVAL, or ENODEV where iommufd stands for the container. Where there is no IOMMU, ENOTTY
 * from then on. */
static inline int pinion_vfio_iommu_is_set(int container)
{
	struct vfio_iommu_type1_info info;
	int err;

	memset(&info, 0, sizeof(info));
	info.argsz = sizeof(info);
	err = pinion_vfio_ioctl(container, VFIO_IOMMU_GET_INFO, &info);
	if (err == -EINVAL || err == -ENODEV)
		return 0;
	return err < 0 && err != -ENOTTY ? err : 1;
}

/* Put an open group into a container; see pinion_vfio_group_open_as(). */
static inline int pinion_vfio_group_join(int group_fd, int container, uint32_t kind)
{
	struct vfio_group_status status;
	int err;

	memset(&status, 0, sizeof(status));
	status.argsz = sizeof(status);
	err = pinion_vfio_ioctl(group_fd, VFIO_GROUP_GET_STATUS, &status);
	if (err < 0)
		return err;
	if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0 ||
	    (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) != 0)
		return -EBUSY;
	err = pinion_vfio_ioctl(group_fd, VFIO_GROUP_SET_CONTAINER, &container);
	if (err == 0)
		err = pinion_vfio_iommu_is_set(container);
	if (err != 0)
		return err < 0 ? err : 0;
	err = pinion_vfio_ioctl_value(container, VFIO_SET_IOMMU, kind);
	/* Another thread, with another group, was faster. */
	return err == -EINVAL && pinion_vfio_iommu_is_set(container) == 1 ? 0 : err;
}

/*
 * Open an IOMMU group and put it into the container, which was opened as the same kind, and gets
 * its IOMMU with the first group. Undo with pinion_vfio_group_close().
 *
 * -EINVAL  no kind that is named at the top
 * -ENOENT  no /dev/vfio/N: no function of the group is bound to vfio-pci. Or no
 *          /dev/vfio/noiommu-N: the function was bound before that mode was on, or has an IOMMU
 * -EACCES  not yours: chown /dev/vfio/N
 * -EBUSY   someone has the group open, or it is not viable: pinion_vfio_group_blockers()
 * -EPERM   the IOMMU does not isolate interrupts: see allow_unsafe_interrupts of vfio_iommu_type1;
 *          or no CAP_SYS_RAWIO for VFIO_NOIOMMU_IOMMU
 */
static inline int pinion_vfio_group_open_as(uint32_t kind, unsigned group, int container, int *fd)
{
	char name[24];
	int g, err;

	if (!pinion_vfio_kind_ok(kind))
		return -EINVAL;
	snprintf(name, sizeof(name), "%s%u", kind == VFIO_NOIOMMU_IOMMU ? "noiommu-" : "", group);
	g = pinion_vfio_open_node(name);
	if (g < 0)
		return g;
	err = pinion_vfio_group_join(g, container, kind);
	if (err < 0) {
		/* The close takes the group out of the container again. */
		close(g);
		return err;
	}
	*fd = g;
	return 0;
}

/* The same for VFIO_TYPE1v2_IOMMU. */
static inline int pinion_vfio_group_open(unsigned group, int container, int *fd)
{
	return pinion_vfio_group_open_as(VFIO_TYPE1v2_IOMMU, group, container, fd);
}

/* Undo pinion_vfio_group_open(). The group stays in use until its devices are closed as well. */
static inline int pinion_vfio_group_close(int fd)
{
	return pinion_vfio_close(fd);
}

/*
 * Does a driver of this name leave the group viable? Those that let the user own DMA do: drivers
 * with driver_managed_dma in Linux, which are the vfio ones, pci-stub and the port driver.
 */
static inline bool pinion_vfio_driver_tolerated(const char *driver)
{
	return strstr(driver, "vfio") != NULL || strcmp(driver, "pci-stub") == 0 ||
	       strcmp(driver, "pcieport") == 0;
}

/*
 * Driver of a member of a group. 0 with "" when none is bound. name has PINION_VFIO_PATH_LEN
 * bytes.
 */
static inline int pinion_vfio_member_driver(unsigned group, const char *member, char *name)
{
	char path[PINION_VFIO_PATH_LEN];
	const char *slash;
	ssize_t n;
	const int len = snprintf(path, sizeof(path), "%s/%u/devices/%s/driver",
				 PINION_VFIO_SYSFS_GROUPS, group, member);

	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	name[0] = '\0';
	n = readlink(path, name, PINION_VFIO_PATH_LEN);
	if (n < 0)
		return errno == ENOENT ? 0 : pinion_vfio_errno();
	if (n == PINION_VFIO_PATH_LEN)
		return -ENAMETOOLONG;
	name[n] = '\0';
	slash = strrchr(name, '/');
	if (slash != NULL)
		memmove(name, slash + 1, strlen(slash));
	return 0;
}

/* Add "MEMBER (DRIVER)" to a list; a list that gets too long ends in "...", cut if need be. */
static inline void pinion_vfio_blocker_add(char *text, size_t len, const char *member,
					   const char *driver)
{
	const size_t have = strlen(text);
	const char *comma = have > 0 ? ", " : "";
	const int n = snprintf(text + have, len - have, "%s%s (%s)", comma, member, driver);

	if (n < 0 || (size_t)n >= len - have)
		snprintf(text + have, len - have, "%s...", comma);
}

/* Count and list the blockers among the entries of an open directory. */
static inline int pinion_vfio_blockers_in(DIR *dir, unsigned group, char *text, size_t len)
{
	char driver[PINION_VFIO_PATH_LEN];
	const struct dirent *entry;
	int err, nr = 0;

	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			return errno != 0 ? pinion_vfio_errno() : nr;
		if (entry->d_name[0] == '.')
			continue;
		err = pinion_vfio_member_driver(group, entry->d_name, driver);
		if (err < 0)
			return err;
		if (driver[0] == '\0' || pinion_vfio_driver_tolerated(driver))
			continue;
		pinion_vfio_blocker_add(text, len, entry->d_name, driver);
		nr++;
	}
}

/*
 * How many devices keep the group from being viable, or -errno; text gets them for people to
 * read, "0000:41:00.1 (nvme), 0000:41:00.2 (xhci_hcd)", "" for none. What does not fit len bytes
 * is left off and shown as "...". Bind those devices to vfio-pci, or unbind them. After a failure
 * text is not to be read.
 *
 * -ENOENT  no such group
 * -EINVAL  len is 0
 */
static inline int pinion_vfio_group_blockers(unsigned group, char *text, size_t len)
{
	char path[PINION_VFIO_PATH_LEN];
	const int n =
		snprintf(path, sizeof(path), "%s/%u/devices", PINION_VFIO_SYSFS_GROUPS, group);
	DIR *dir;
	int nr;

	if (len == 0)
		return -EINVAL;
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	do
		dir = opendir(path);
	while (dir == NULL && errno == EINTR);
	if (dir == NULL)
		return pinion_vfio_errno();
	text[0] = '\0';
	nr = pinion_vfio_blockers_in(dir, group, text, len);
	closedir(dir);
	return nr;
}

/*
 * Find a capability in the buffer an info ioctl has filled: len bytes at info, whose first
 * capability stands at the offset first (0: there is none). off gets the offset of the one with
 * this id, of which size bytes, its header included, lie inside the buffer.
 * The chain is walked as if it came from a stranger: it may point outside, at itself, at nothing.
 *
 * -ENOENT  no such capability
 * -EBADMSG the chain leaves the buffer, is misaligned, or goes in a circle
 */
static inline int pinion_vfio_cap_find(const void *info, size_t len, uint32_t first, uint16_t id,
				       size_t size, size_t *off)
{
	struct vfio_info_cap_header cap;
	size_t at = first, steps = len / sizeof(cap);

	for (; at != 0; at = cap.next) {
		/* No more headers than fit: a longer walk has been somewhere twice. */
		if (steps-- == 0 || at % sizeof(uint32_t) != 0 || len < sizeof(cap) ||
		    at > len - sizeof(cap))
			return -EBADMSG;
		memcpy(&cap, (const char *)info + at, sizeof(cap));
		if (cap.id == id) {
			if (size > len - at)
				return -EBADMSG;
			*off = at;
			return 0;
		}
	}
	return -ENOENT;
}

/*
 * Copy the IOVA ranges out of the filled buffer. Errors: see pinion_vfio_iommu_info(); -EBADMSG
 * also when ranges are upside down or not in ascending order.
 */
static inline int pinion_vfio_iommu_ranges(const void *info, size_t len, uint32_t first,
					   struct pinion_vfio_iommu *iommu)
{
	struct vfio_iommu_type1_info_cap_iova_range cap;
	struct vfio_iova_range range;
	size_t off = 0;
	uint32_t i;
	int err = pinion_vfio_cap_find(info, len, first, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
				       sizeof(cap), &off);

	if (err < 0)
		return err == -ENOENT ? -ENOTSUP : err;
	memcpy(&cap, (const char *)info + off, sizeof(cap));
	off += sizeof(cap);
	if (cap.nr_iovas > (len - off) / sizeof(range))
		return -EBADMSG;
	if (cap.nr_iovas > PINION_VFIO_RANGES)
		return -E2BIG;
	for (i = 0; i < cap.nr_iovas; i++) {
		memcpy(&range, (const char *)info + off + i * sizeof(range), sizeof(range));
		if (range.end < range.start || (i > 0 && range.start <= iommu->range[i - 1].last))
			return -EBADMSG;
		iommu->range[i].start = range.start;
		iommu->range[i].last = range.end;
	}
	iommu->nr_ranges = cap.nr_iovas;
	return 0;
}

/* How many mappings are left, 0 when the kernel does not say. */
static inline int pinion_vfio_iommu_avail(const void *info, size_t len, uint32_t first,
					  uint32_t *avail)
{
	struct vfio_iommu_type1_info_dma_avail cap;
	size_t off = 0;
	const int err = pinion_vfio_cap_find(info, len, first, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
					     sizeof(cap), &off);

	*avail = 0;
	if (err < 0)
		return err == -ENOENT ? 0 : err;
	memcpy(&cap, (const char *)info + off, sizeof(cap));
	*avail = cap.avail;
	return 0;
}

/* Understand a filled struct vfio_iommu_type1_info with the chain behind it, len bytes in all. */
static inline int pinion_vfio_iommu_parse(const void *info, size_t len,
					  struct pinion_vfio_iommu *iommu)
{
	struct vfio_iommu_type1_info fixed;
	struct pinion_vfio_iommu got;
	int err;

	if (len < sizeof(fixed))
		return -EBADMSG;
	memcpy(&fixed, info, sizeof(fixed));
	if ((fixed.flags & VFIO_IOMMU_INFO_CAPS) == 0 ||
	    (fixed.flags & VFIO_IOMMU_INFO_PGSIZES) == 0)
		return -ENOTSUP;
	memset(&got, 0, sizeof(got));
	got.page_sizes = fixed.iova_pgsizes;
	err = pinion_vfio_iommu_ranges(info, len, fixed.cap_offset, &got);
	if (err == 0)
		err = pinion_vfio_iommu_avail(info, len, fixed.cap_offset, &got.dma_avail);
	if (err == 0)
		*iommu = got;
	return err;
}

/*
 * What the container's IOMMU can do. Ranges narrow when a group joins: ask again then.
 *
 * -EINVAL   the container has no group yet
 * -ENOTTY   it has no IOMMU: VFIO_NOIOMMU_IOMMU
 * -ENOTSUP  the kernel (before 5.4) names no ranges: none is made up here
 * -E2BIG    more than PINION_VFIO_RANGES ranges
 * -EBADMSG  the kernel's answer contradicts itself
 * -ENOMEM   no memory
 */
static inline int pinion_vfio_iommu_info(int container, struct pinion_vfio_iommu *info)
{
	struct vfio_iommu_type1_info head, *whole;
	size_t len;
	int err;

	memset(&head, 0, sizeof(head));
	head.argsz = sizeof(head);
	/* Asked with too little room, the kernel answers with the room it needs. */
	err = pinion_vfio_ioctl(container, VFIO_IOMMU_GET_INFO, &head);
	if (err < 0)
		return err;
	len = head.argsz;
	if (len > PINION_VFIO_INFO_MAX)
		return -EBADMSG;
	if (len < sizeof(head))
		return -ENOTSUP;
	whole = (struct vfio_iommu_type1_info *)calloc(1, len);
	if (whole == NULL)
		return -ENOMEM;
	whole->argsz = (uint32_t)len;
	err = pinion_vfio_ioctl(container, VFIO_IOMMU_GET_INFO, whole);
	if (err == 0)
		err = pinion_vfio_iommu_parse(whole, len, info);
	free(whole);
	return err;
}

/*
 * Let the devices of the container read and write len bytes at addr under the address iova. The
 * memory is pinned until it is unmapped. pre: addr, iova and len are multiples of the smallest
 * page size; of a hugepage's, for the IOMMU to use large pages.
 *
 * -EINVAL  len is 0 or wraps; misaligned; outside the ranges; the container has no group
 * -EEXIST  overlaps a mapping
 * -ENOMEM  memlock limit (ulimit -l), or no memory
 * -ENOSPC  no mappings left: merge neighbours
 * -EFAULT  addr is not mapped, or not writable
 * -ENOTTY  there is no IOMMU to map it into: VFIO_NOIOMMU_IOMMU
 */
static inline int pinion_vfio_dma_map(int container, void *addr, uint64_t iova, uint64_t len)
{
	struct vfio_iommu_type1_dma_map map;

	if (len == 0 || iova > UINT64_MAX - (len - 1) ||
	    (uint64_t)(uintptr_t)addr > UINT64_MAX - (len - 1))
		return -EINVAL;
	memset(&map, 0, sizeof(map));
	map.argsz = sizeof(map);
	map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	map.vaddr = (uint64_t)(uintptr_t)addr;
	map.iova = iova;
	map.size = len;
	return pinion_vfio_ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

/* One unmap; *unmapped gets the bytes that were mapped until now. */
static inline int pinion_vfio_dma_unmap_raw(int container, uint32_t flags, uint64_t iova,
					    uint64_t len, uint64_t *unmapped)
{
	struct vfio_iommu_type1_dma_unmap unmap;
	int err;

	memset(&unmap, 0, sizeof(unmap));
	unmap.argsz = sizeof(unmap);
	unmap.flags = flags;
	unmap.iova = iova;
	unmap.size = len;
	err = pinion_vfio_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
	if (err == 0)
		*unmapped = unmap.size;
	return err;
}

/*
 * Take whatever is mapped in [iova, iova + len) away, and unpin its memory; *unmapped gets how many
 * bytes that were, 0 for none. pre: no device uses them.
 *
 * -EINVAL  len is 0 or wraps; or an end of the range cuts a mapping: widen it. (Not with
 *          VFIO_TYPE1_IOMMU: see at the top, and look at *unmapped)
 */
static inline int pinion_vfio_dma_unmap_range(int container, uint64_t iova, uint64_t len,
					      uint64_t *unmapped)
{
	if (len == 0 || iova > UINT64_MAX - (len - 1))
		return -EINVAL;
	return pinion_vfio_dma_unmap_raw(container, 0, iova, len, unmapped);
}

/*
 * Undo pinion_vfio_dma_map(): take one mapping, or several that lie side by side, away.
 *
 * -EIO     not all of the range was mapped, or (VFIO_TYPE1_IOMMU) more than it. What was is not
 *          any more
 * and the errors of pinion_vfio_dma_unmap_range()
 */
static inline int pinion_vfio_dma_unmap(int container, uint64_t iova, uint64_t len)
{
	uint64_t unmapped = 0;
	const int err = pinion_vfio_dma_unmap_range(container, iova, len, &unmapped);

	if (err < 0)
		return err;
	return unmapped != len ? -EIO : 0;
}

/*
 * Take all mappings of the container away, whoever made them; *unmapped gets their bytes. pre: no
 * device uses them.
 *
 * -ENOTSUP  the kernel (before 5.12) cannot: unmap the ranges, one by one
 */
static inline int pinion_vfio_dma_unmap_all(int container, uint64_t *unmapped)
{
	const int can = pinion_vfio_ioctl_value(container, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL);

	if (can <= 0)
		return can < 0 ? can : -ENOTSUP;
	return pinion_vfio_dma_unmap_raw(container, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, unmapped);
}

/*
 * Open a function of the group by its full name, "0000:41:00.0". The kernel enables it, with bus
 * mastering off. Undo with pinion_vfio_device_close().
 *
 * -ENODEV  no such function in the group, or it is not bound to vfio-pci
 * -EINVAL  the group has no container
 */
static inline int pinion_vfio_device_open(int group_fd, const char *bdf, int *device)
{
	char name[32];
	int fd;

	if (bdf == NULL || strlen(bdf) >= sizeof(name))
		return -EINVAL;
	/* The request takes a char *, and writes nothing there. */
	memcpy(name, bdf, strlen(bdf) + 1);
	/* The kernel makes the descriptor close-on-exec (drivers/vfio, O_CLOEXEC). */
	fd = pinion_vfio_ioctl(group_fd, VFIO_GROUP_GET_DEVICE_FD, name);
	if (fd < 0)
		return fd;
	*device = fd;
	return 0;
}

/* Undo pinion_vfio_device_open(). With the last descriptor and BAR mapping of the device gone, it
 * is reset and its bus mastering off. */
static inline int pinion_vfio_device_close(int device)
{
	return pinion_vfio_close(device);
}

/*
 * Interrupts. A kind is an index: VFIO_PCI_INTX_IRQ_INDEX, _MSI_ or _MSIX_ (one of these at a
 * time), and beside them
 *
 *     VFIO_PCI_ERR_IRQ_INDEX  an uncorrectable error of PCI Express: what the device does is void.
 *                             Stop, and reset it
 *     VFIO_PCI_REQ_IRQ_INDEX  the kernel wants the device back (unbind, unplug): close it. It is
 *                             said again every ten seconds until that is done
 */
struct pinion_vfio_irq {
	uint32_t nr;     /* how many; 0: the device has none of the kind */
	bool maskable;   /* by pinion_vfio_irq_mask(): INTx alone */
	bool automasked; /* and masked by the kernel at each interrupt */
	bool fixed;      /* cannot grow: see pinion_vfio_irq_enable() */
};

/*
 * What a kind of interrupts is like.
 *
 * -EINVAL  no such kind; or ERR, and the device is not of PCI Express
 */
static inline int pinion_vfio_irq_info(int device, uint32_t index, struct pinion_vfio_irq *irq)
{
	struct vfio_irq_info info;
	int err;

	memset(&info, 0, sizeof(info));
	info.argsz = sizeof(info);
	info.index = index;
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info);
	if (err < 0)
		return err;
	irq->nr = info.count;
	irq->maskable = (info.flags & VFIO_IRQ_INFO_MASKABLE) != 0;
	irq->automasked = (info.flags & VFIO_IRQ_INFO_AUTOMASKED) != 0;
	irq->fixed = (info.flags & VFIO_IRQ_INFO_NORESIZE) != 0;
	return 0;
}

/* One action upon interrupts start to start + nr - 1, with a descriptor for each or with none. */
static inline int pinion_vfio_irq_set(int device, uint32_t index, uint32_t action, uint32_t start,
				      const int32_t *eventfds, uint32_t nr)
{
	const size_t data = eventfds != NULL ? (size_t)nr * sizeof(*eventfds) : 0;
	const size_t len = sizeof(struct vfio_irq_set) + data;
	struct vfio_irq_set *set;
	int err;

	if (nr > PINION_VFIO_VECTORS)
		return -EINVAL;
	set = (struct vfio_irq_set *)calloc(1, len);
	if (set == NULL)
		return -ENOMEM;
	set->argsz = (uint32_t)len;
	set->flags = action |
		     (eventfds != NULL ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->start = start;
	set->count = nr;
	if (eventfds != NULL)
		memcpy(set->data, eventfds, data);
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	/* What the kernel says of a kind that does not know the action. */
	return err == -ENOTTY ? -ENOTSUP : err;
}

/*
 * Have interrupts start to start + nr - 1 of a kind signal these eventfds; -1 for one that is to
 * stay silent. Of INTx, MSI and MSI-X one kind at a time. MSI and MSI-X before Linux 6.5 cannot
 * grow: enable all that will be needed at once, or disable first. INTx is masked after each
 * interrupt, until pinion_vfio_irq_unmask().
 *
 * -EINVAL  nr is 0 or more than the kind has, which of some is none (pinion_vfio_irq_info()); no
 *          eventfds; another kind is enabled; or growing, see above
 * -EBADF   not a descriptor; -EINVAL also for one that is no eventfd
 * -ENOSPC  no vectors left in the machine
 * -ENOMEM  no memory
 */
static inline int pinion_vfio_irq_enable(int device, uint32_t index, uint32_t start,
					 const int32_t *eventfds, uint32_t nr)
{
	if (nr == 0 || eventfds == NULL)
		return -EINVAL;
	return pinion_vfio_irq_set(device, index, VFIO_IRQ_SET_ACTION_TRIGGER, start, eventfds, nr);
}

/*
 * Silence all interrupts of a kind and let go of their eventfds.
 *
 * -EINVAL  the kind is not enabled
 */
static inline int pinion_vfio_irq_disable(int device, uint32_t index)
{
	return pinion_vfio_irq_set(device, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, NULL, 0);
}

/*
 * Hold INTx back in the kernel; one that comes meanwhile is told when it is let through.
 *
 * -EINVAL  INTx is not enabled
 * -ENOTSUP MSI, MSI-X, ERR and REQ cannot be masked here: do it in the device (NVMe: INTMS, or its
 *          MSI-X table), or give the vector no eventfd
 */
static inline int pinion_vfio_irq_mask(int device, uint32_t index)
{
	return pinion_vfio_irq_set(device, index, VFIO_IRQ_SET_ACTION_MASK, 0, NULL, 1);
}

/* Let INTx through again: after each interrupt, when the device was told to lower its line. Errors:
 * those of pinion_vfio_irq_mask(). */
static inline int pinion_vfio_irq_unmask(int device, uint32_t index)
{
	return pinion_vfio_irq_set(device, index, VFIO_IRQ_SET_ACTION_UNMASK, 0, NULL, 1);
}

/* The same whenever this eventfd is written, by whomever, without a call of the driver; -1: no
 * longer. Errors: those of pinion_vfio_irq_mask(), and -EBADF. */
static inline int pinion_vfio_irq_unmask_by(int device, uint32_t index, int32_t eventfd)
{
	return pinion_vfio_irq_set(device, index, VFIO_IRQ_SET_ACTION_UNMASK, 0, &eventfd, 1);
}

/*
 * Signal the eventfds of interrupts start to start + nr - 1 as the device would, without the
 * device: to try what waits for them.
 *
 * -EINVAL  nr is 0, or they are not enabled
 */
static inline int pinion_vfio_irq_trigger(int device, uint32_t index, uint32_t start, uint32_t nr)
{
	/* With 0 the kernel would disable them all. */
	if (nr == 0)
		return -EINVAL;
	return pinion_vfio_irq_set(device, index, VFIO_IRQ_SET_ACTION_TRIGGER, start, NULL, nr);
}

#endif
