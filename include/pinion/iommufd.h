/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_IOMMUFD_H
#define PINION_IOMMUFD_H

/*
 * VFIO by iommufd: devices opened one by one, address spaces (IOAS) apart from them.
 *
 *     iommufd                         address space                   device (one function)
 *     -------                         -------------                   ---------------------
 *     pinion_iommufd_open()
 *                                     pinion_iommufd_ioas_alloc()     pinion_iommufd_device_open()
 *                                     pinion_iommufd_device_attach() <---- the device joins it
 *                                     pinion_iommufd_ioas_ranges()
 *                                     pinion_iommufd_dma_map()
 *     ... from here on the device is one of vfioctl.h: regions, interrupts, reset, mastering ...
 *                                     pinion_iommufd_dma_unmap()
 *                                     pinion_iommufd_device_detach()
 *                                     pinion_iommufd_ioas_free()      pinion_iommufd_device_close()
 *     pinion_iommufd_close()
 *
 * What is better than groups and containers: a device is opened by its own node, not by its
 * group's (each function of the group must still be left to VFIO); one iommufd has any number of
 * address spaces, and a device moves from one to another in one call; mappings can be made before
 * a device is there, copied to another space without pinning twice, and made from a file.
 *
 * Needs Linux 6.6 with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV. Debian's kernels have neither:
 * pinion_iommufd_open() says -ENOENT there, and vfioctl.h's container does the work. A device is
 * opened one way or the other, not both at once: -EBUSY.
 *
 * Threads: any call from any thread. Processes: descriptors can be passed. Whoever holds the
 * iommufd maps its own memory into its spaces, and unmaps any.
 *
 * Death: as with containers. With the last descriptor of the device the kernel turns bus mastering
 * off, resets it and takes it out of its space; with the last of the iommufd (devices closed too)
 * mappings and pins end. A second process may hold a copy of the iommufd, never of the device.
 *
 * Caveats, each with its remedy:
 *  - Memory mapped counts against RLIMIT_MEMLOCK of the user, not of the process as with
 *    containers: -ENOMEM. Raise it, or PINION_IOMMUFD_RLIMIT_MODE.
 *  - A space that no device has joined reports all addresses as usable. Ask again after each
 *    attach, or have pinion_iommufd_ioas_allow() refuse devices that would narrow what is in use.
 *  - An unmap may not cut a mapping. IOVA 0 is accepted; do not hand it out, it looks like NULL.
 *  - /dev/iommu and /dev/vfio/devices/vfioN are root's. chown them, and a plain user runs the whole
 *    cycle.
 *  - Under -std=c99 or -std=c11 libc hides POSIX: include this header first, or define
 *    _DEFAULT_SOURCE.
 *
 * Errors are -errno; every call may also give what open(2), ioctl(2) and readdir(3) give. errno
 * itself is left undefined. A call that fails holds nothing and has changed nothing, but for
 * unmaps.
 *
 * Sources: Documentation/userspace-api/iommufd.rst and Documentation/driver-api/vfio.rst of Linux,
 * <linux/iommufd.h> and <linux/vfio.h> of 6.12 (of 6.13: the file), drivers/iommu/iommufd.
 * Needs libc; no kernel header: those where it is built may be older than iommufd. C99, C11, C++17;
 * includes no other header of ours.
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

#ifndef O_CLOEXEC
#error "POSIX is hidden: include pinion/iommufd.h first, or define _DEFAULT_SOURCE"
#endif

/* Where PCI functions and device nodes stand: any expressions of type const char *, so that a
 * test can name a tree of its own. */
#ifndef PINION_IOMMUFD_PCI_SYSFS
#define PINION_IOMMUFD_PCI_SYSFS "/sys/bus/pci/devices"
#endif
#ifndef PINION_IOMMUFD_DEV
#define PINION_IOMMUFD_DEV "/dev"
#endif

#define PINION_IOMMUFD_PATH_LEN 512
#define PINION_IOMMUFD_RANGES 32u

/*
 * The kernel's interface: request numbers, and what each points at. Every structure begins with
 * its own size in bytes, so that an older kernel refuses what it does not know (-E2BIG), and a
 * newer one takes what is missing for 0. Requests are _IO(';', number): no size is in them.
 */
#define PINION_IOMMUFD_DESTROY 0x3b80ul
#define PINION_IOMMUFD_IOAS_ALLOC 0x3b81ul
#define PINION_IOMMUFD_IOAS_ALLOW 0x3b82ul
#define PINION_IOMMUFD_IOAS_COPY 0x3b83ul
#define PINION_IOMMUFD_IOAS_RANGES 0x3b84ul
#define PINION_IOMMUFD_IOAS_MAP 0x3b85ul
#define PINION_IOMMUFD_IOAS_UNMAP 0x3b86ul
#define PINION_IOMMUFD_OPTION 0x3b87ul
#define PINION_IOMMUFD_IOAS_MAP_FILE 0x3b8ful
#define PINION_IOMMUFD_DEVICE_BIND 0x3b76ul
#define PINION_IOMMUFD_DEVICE_ATTACH 0x3b77ul
#define PINION_IOMMUFD_DEVICE_DETACH 0x3b78ul

#define PINION_IOMMUFD_MAP_FIXED 1u
#define PINION_IOMMUFD_MAP_WRITE 2u
#define PINION_IOMMUFD_MAP_READ 4u

struct pinion_iommufd_destroy_arg {
	uint32_t size, id;
};

struct pinion_iommufd_alloc_arg {
	uint32_t size, flags, ioas;
};

/* For RANGES; ALLOW has all but the last. */
struct pinion_iommufd_ranges_arg {
	uint32_t size, ioas, nr, reserved;
	uint64_t ranges;
	uint64_t alignment;
};

struct pinion_iommufd_map_arg {
	uint32_t size, flags, ioas, reserved;
	uint64_t addr, len, iova;
};

struct pinion_iommufd_map_file_arg {
	uint32_t size, flags, ioas;
	int32_t fd;
	uint64_t start, len, iova;
};

struct pinion_iommufd_copy_arg {
	uint32_t size, flags, to, from;
	uint64_t len, to_iova, from_iova;
};

struct pinion_iommufd_unmap_arg {
	uint32_t size, ioas;
	uint64_t iova, len;
};

struct pinion_iommufd_option_arg {
	uint32_t size, option;
	uint16_t op, reserved;
	uint32_t object;
	uint64_t value;
};

/* Of VFIO: its own argsz instead of size. */
struct pinion_iommufd_bind_arg {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t device;
};

struct pinion_iommufd_attach_arg {
	uint32_t argsz, flags, ioas;
};

struct pinion_iommufd_detach_arg {
	uint32_t argsz, flags;
};

/* IOVAs from start to last, both included. As the kernel has it. */
struct pinion_iommufd_range {
	uint64_t start, last;
};

/*
 * Which addresses a space can map. alignment, in bytes, is that of the start and of the end of a
 * mapping; 1: any.
 */
struct pinion_iommufd_ioas {
	uint64_t alignment;
	uint32_t nr_ranges;
	struct pinion_iommufd_range range[PINION_IOMMUFD_RANGES];
};

/* -errno after a failed call, and never 0: so the compiler knows as well that results which a
 * caller reads only after success have been written. */
static inline int pinion_iommufd_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* ioctl(2), not broken off by a signal; 0, or -errno. */
static inline int pinion_iommufd_ioctl(int fd, unsigned long request, void *arg)
{
	int n;

	do
		n = ioctl(fd, request, arg);
	while (n < 0 && errno == EINTR);
	return n < 0 ? pinion_iommufd_errno() : 0;
}

/* After EINTR the descriptor is closed all the same: close(2), "Dealing with error". */
static inline int pinion_iommufd_close_fd(int fd)
{
	return close(fd) < 0 && errno != EINTR ? pinion_iommufd_errno() : 0;
}

/* Open a node below /dev; the descriptor, or -errno. */
static inline int pinion_iommufd_open_node(const char *name)
{
	char path[PINION_IOMMUFD_PATH_LEN];
	const int n = snprintf(path, sizeof(path), "%s/%s", PINION_IOMMUFD_DEV, name);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	do
		fd = open(path, O_RDWR | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? pinion_iommufd_errno() : fd;
}

/*
 * Open an iommufd with nothing in it. Undo with pinion_iommufd_close().
 *
 * -ENOENT  no /dev/iommu: the kernel has no iommufd (vfioctl.h), or modprobe iommufd
 * -EACCES  not yours: chown /dev/iommu
 */
static inline int pinion_iommufd_open(int *iommufd)
{
	const int fd = pinion_iommufd_open_node("iommu");

	if (fd < 0)
		return fd;
	*iommufd = fd;
	return 0;
}

/* Undo pinion_iommufd_open(). Spaces and mappings go with the last descriptor of it and of its
 * devices. */
static inline int pinion_iommufd_close(int iommufd)
{
	return pinion_iommufd_close_fd(iommufd);
}

/* The number in a name "vfioN"; -EINVAL when it is another name. */
static inline int pinion_iommufd_name_number(const char *name, unsigned *number)
{
	char *end;
	unsigned long v;

	if (strncmp(name, "vfio", 4) != 0 || name[4] < '0' || name[4] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(name + 4, &end, 10);
	if (*end != '\0' || errno != 0 || v > INT32_MAX)
		return -EINVAL;
	*number = (unsigned)v;
	return 0;
}

/*
 * Number N of the node /dev/vfio/devices/vfioN of a function: the one entry of its directory
 * "vfio-dev".
 *
 * -ENOENT  no such function, or it is not bound to a vfio driver
 * -EINVAL  bdf is NULL, or no name of a file
 */
static inline int pinion_iommufd_device_find(const char *bdf, unsigned *number)
{
	char path[PINION_IOMMUFD_PATH_LEN];
	const struct dirent *entry;
	int n, err = 0;
	DIR *dir;

	if (bdf == NULL || bdf[0] == '\0' || bdf[0] == '.' || strchr(bdf, '/') != NULL)
		return -EINVAL;
	n = snprintf(path, sizeof(path), "%s/%s/vfio-dev", PINION_IOMMUFD_PCI_SYSFS, bdf);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	do
		dir = opendir(path);
	while (dir == NULL && errno == EINTR);
	if (dir == NULL)
		return pinion_iommufd_errno();
	do {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			err = errno != 0 ? pinion_iommufd_errno() : -ENOENT;
	} while (entry != NULL && pinion_iommufd_name_number(entry->d_name, number) < 0);
	closedir(dir);
	return err;
}

/* Put an open device node under an iommufd; *id gets its number there. */
static inline int pinion_iommufd_device_bind(int device, int iommufd, uint32_t *id)
{
	struct pinion_iommufd_bind_arg arg;
	int err;

	memset(&arg, 0, sizeof(arg));
	arg.argsz = sizeof(arg);
	arg.iommufd = iommufd;
	err = pinion_iommufd_ioctl(device, PINION_IOMMUFD_DEVICE_BIND, &arg);
	if (err == 0)
		*id = arg.device;
	return err;
}

/*
 * Open a function by its full name, "0000:41:00.0", under an iommufd. The kernel enables it, with
 * bus mastering off; it can reach no memory until it is attached to a space. *id is its number
 * among the iommufd's objects. Undo with pinion_iommufd_device_close().
 *
 * -ENOENT  see pinion_iommufd_device_find(); or the kernel makes no such nodes
 *          (CONFIG_VFIO_DEVICE_CDEV), or none of a function without an IOMMU
 * -EACCES  not yours: chown /dev/vfio/devices/vfioN
 * -EBUSY   its group is open by vfioctl.h: pinion_vfio_group_close()
 * -EINVAL  it is open already; or its DMA does not keep caches coherent
 * -EPERM   a function of its group belongs to another driver (pinion_vfio_group_blockers() names
 *          it) or to another iommufd; or the IOMMU does not isolate interrupts: see
 *          allow_unsafe_interrupts of iommufd
 * -EBADFD  iommufd is none (-EBADF, -EINVAL: no descriptor)
 */
static inline int pinion_iommufd_device_open(const char *bdf, int iommufd, int *device,
					     uint32_t *id)
{
	char name[32];
	unsigned number = 0;
	int fd, err = pinion_iommufd_device_find(bdf, &number);

	if (err < 0)
		return err;
	snprintf(name, sizeof(name), "vfio/devices/vfio%u", number);
	fd = pinion_iommufd_open_node(name);
	if (fd < 0)
		return fd;
	err = pinion_iommufd_device_bind(fd, iommufd, id);
	if (err < 0) {
		close(fd);
		return err;
	}
	*device = fd;
	return 0;
}

/* Undo pinion_iommufd_device_open(). With the last descriptor and BAR mapping of the device gone
 * it leaves its space, is reset, and its bus mastering is off. */
static inline int pinion_iommufd_device_close(int device)
{
	return pinion_iommufd_close_fd(device);
}

/*
 * Let the device live in a space: what is mapped there it can reach from now on, and nothing else.
 * If it lives in another one, it moves, and the attached functions of its IOMMU group with it: they
 * live in one space. Undo with pinion_iommufd_device_detach().
 *
 * -ENOENT  no such space
 * -EADDRINUSE  something is mapped, or allowed, that the device's IOMMU cannot reach or must keep
 *          free (its MSI window): unmap it
 * -EINVAL  the number is no space's; or another function of the group lives elsewhere
 * -ENOMEM, -EFAULT  what is mapped there is pinned with the first device: memlock limit, no memory;
 *          or nothing is at an address, or it is not writable
 */
static inline int pinion_iommufd_device_attach(int device, uint32_t ioas)
{
	struct pinion_iommufd_attach_arg arg;

	memset(&arg, 0, sizeof(arg));
	arg.argsz = sizeof(arg);
	arg.ioas = ioas;
	return pinion_iommufd_ioctl(device, PINION_IOMMUFD_DEVICE_ATTACH, &arg);
}

/* Undo pinion_iommufd_device_attach(): its transfers fault from now on. pre: it makes none. */
static inline int pinion_iommufd_device_detach(int device)
{
	struct pinion_iommufd_detach_arg arg;

	memset(&arg, 0, sizeof(arg));
	arg.argsz = sizeof(arg);
	return pinion_iommufd_ioctl(device, PINION_IOMMUFD_DEVICE_DETACH, &arg);
}

/*
 * Make an address space with nothing in it. Its number is never 0. Undo with
 * pinion_iommufd_ioas_free().
 *
 * -ENOTTY  iommufd is none
 */
static inline int pinion_iommufd_ioas_alloc(int iommufd, uint32_t *ioas)
{
	struct pinion_iommufd_alloc_arg arg;
	int err;

	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	err = pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_IOAS_ALLOC, &arg);
	if (err == 0)
		*ioas = arg.ioas;
	return err;
}

/*
 * Undo pinion_iommufd_ioas_alloc(); what is mapped is unmapped.
 *
 * -EBUSY   a device lives in it: pinion_iommufd_device_detach()
 * -ENOENT  no such space
 */
static inline int pinion_iommufd_ioas_free(int iommufd, uint32_t ioas)
{
	struct pinion_iommufd_destroy_arg arg;

	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.id = ioas;
	return pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_DESTROY, &arg);
}

/* Do the ranges that the kernel gave make sense: not upside down, ascending? */
static inline bool pinion_iommufd_ranges_sane(const struct pinion_iommufd_ioas *got)
{
	uint32_t i;

	for (i = 0; i < got->nr_ranges; i++)
		if (got->range[i].last < got->range[i].start ||
		    (i > 0 && got->range[i].start <= got->range[i - 1].last))
			return false;
	return true;
}

/*
 * Which addresses the space can map. They narrow with each device that is attached: ask again then.
 *
 * -ENOENT   no such space
 * -E2BIG    more than PINION_IOMMUFD_RANGES ranges
 * -EBADMSG  the kernel's answer contradicts itself
 */
static inline int pinion_iommufd_ioas_ranges(int iommufd, uint32_t ioas,
					     struct pinion_iommufd_ioas *info)
{
	struct pinion_iommufd_ranges_arg arg;
	struct pinion_iommufd_ioas got;
	int err;

	memset(&got, 0, sizeof(got));
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.ioas = ioas;
	arg.nr = PINION_IOMMUFD_RANGES;
	arg.ranges = (uint64_t)(uintptr_t)got.range;
	err = pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_IOAS_RANGES, &arg);
	/* With too little room it fills what there is, and says how many there are. */
	if (err < 0)
		return err == -EMSGSIZE ? -E2BIG : err;
	got.alignment = arg.alignment;
	got.nr_ranges = arg.nr;
	if (arg.nr > PINION_IOMMUFD_RANGES || !pinion_iommufd_ranges_sane(&got))
		return -EBADMSG;
	*info = got;
	return 0;
}

/*
 * Have these nr ranges stay usable: a device that would narrow them cannot join, and
 * pinion_iommufd_dma_map_anywhere() takes addresses from them alone. The list replaces the one
 * before; none: all is allowed again.
 *
 * -EADDRINUSE  a device that lives there has narrowed them already
 * -EINVAL      upside down, or they overlap
 * -ENOENT      no such space
 */
static inline int pinion_iommufd_ioas_allow(int iommufd, uint32_t ioas,
					    const struct pinion_iommufd_range *range, uint32_t nr)
{
	struct pinion_iommufd_ranges_arg arg;

	memset(&arg, 0, sizeof(arg));
	arg.size = offsetof(struct pinion_iommufd_ranges_arg, alignment);
	arg.ioas = ioas;
	arg.nr = nr;
	arg.ranges = (uint64_t)(uintptr_t)range;
	return pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_IOAS_ALLOW, &arg);
}

/* Does [start, start + len) have bytes, and no end beyond the last address? All addresses at once
 * are for pinion_iommufd_dma_unmap_all(), and the very last begins nothing, says the kernel. */
static inline bool pinion_iommufd_span_ok(uint64_t start, uint64_t len)
{
	return len > 0 && len < UINT64_MAX && start < UINT64_MAX && start <= UINT64_MAX - (len - 1);
}

/* A mapping, at *iova if flags have PINION_IOMMUFD_MAP_FIXED; *iova gets where it is. */
static inline int pinion_iommufd_dma_map_raw(int iommufd, uint32_t ioas, uint32_t flags, void *addr,
					     uint64_t *iova, uint64_t len)
{
	struct pinion_iommufd_map_arg arg;
	int err;

	if (!pinion_iommufd_span_ok((uint64_t)(uintptr_t)addr, len))
		return -EINVAL;
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.flags = flags | PINION_IOMMUFD_MAP_READ | PINION_IOMMUFD_MAP_WRITE;
	arg.ioas = ioas;
	arg.addr = (uint64_t)(uintptr_t)addr;
	arg.len = len;
	arg.iova = *iova;
	err = pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_IOAS_MAP, &arg);
	if (err == 0)
		*iova = arg.iova;
	return err;
}

/*
 * Let the devices of the space read and write len bytes at addr under the address iova. The memory
 * is pinned until it is unmapped; before a device is attached it is neither looked at nor pinned,
 * and the attach is what fails. pre:
 * addr, iova and len are multiples of the page size; of a hugepage's, for the IOMMU to use large
 * pages.
 *
 * -EINVAL  len is 0 or wraps; misaligned; outside the ranges
 * -EEXIST  overlaps a mapping
 * -ENOENT  no such space
 * -ENOMEM  memlock limit (ulimit -l), or no memory
 * -EFAULT  addr is not mapped, or not writable
 */
static inline int pinion_iommufd_dma_map(int iommufd, uint32_t ioas, void *addr, uint64_t iova,
					 uint64_t len)
{
	if (!pinion_iommufd_span_ok(iova, len))
		return -EINVAL;
	return pinion_iommufd_dma_map_raw(iommufd, ioas, PINION_IOMMUFD_MAP_FIXED, addr, &iova,
					  len);
}

/*
 * The same at an address that the kernel chooses: *iova gets it.
 *
 * -ENOSPC  no range has room
 * and the errors of pinion_iommufd_dma_map()
 */
static inline int pinion_iommufd_dma_map_anywhere(int iommufd, uint32_t ioas, void *addr,
						  uint64_t len, uint64_t *iova)
{
	uint64_t at = 0;
	const int err = pinion_iommufd_dma_map_raw(iommufd, ioas, 0, addr, &at, len);

	if (err == 0)
		*iova = at;
	return err;
}

/*
 * Map len bytes of a file (memfd or hugetlbfs) from the byte start on, without a mapping in this
 * process. The file's pages are pinned.
 *
 * -ENOTSUP  the kernel (before 6.13) cannot: mmap(2) the file, and pinion_iommufd_dma_map()
 * -EBADF    fd is closed
 * and the errors of pinion_iommufd_dma_map()
 */
static inline int pinion_iommufd_dma_map_file(int iommufd, uint32_t ioas, int fd, uint64_t start,
					      uint64_t iova, uint64_t len)
{
	struct pinion_iommufd_map_file_arg arg;
	int err;

	if (!pinion_iommufd_span_ok(start, len) || !pinion_iommufd_span_ok(iova, len))
		return -EINVAL;
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.flags = PINION_IOMMUFD_MAP_FIXED | PINION_IOMMUFD_MAP_READ | PINION_IOMMUFD_MAP_WRITE;
	arg.ioas = ioas;
	arg.fd = fd;
	arg.start = start;
	arg.len = len;
	arg.iova = iova;
	err = pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_IOAS_MAP_FILE, &arg);
	/* What an iommufd says of a request that it does not know. */
	return err == -ENOTTY ? -ENOTSUP : err;
}

/*
 * Map in one space what is mapped in another already, or a part of it, at an address of its own:
 * the memory is pinned once. Both live on by themselves: either may be unmapped first.
 *
 * -ENOENT  no such space, or not all of the range is mapped
 * -EEXIST  overlaps a mapping in the space to
 * -EINVAL  len is 0 or wraps; misaligned; outside the ranges
 * -ENOMEM, -EFAULT  as pinion_iommufd_device_attach(), if only the space to has a device
 */
static inline int pinion_iommufd_dma_copy(int iommufd, uint32_t from, uint64_t from_iova,
					  uint32_t to, uint64_t to_iova, uint64_t len)
{
	struct pinion_iommufd_copy_arg arg;

	if (!pinion_iommufd_span_ok(from_iova, len) || !pinion_iommufd_span_ok(to_iova, len))
		return -EINVAL;
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.flags = PINION_IOMMUFD_MAP_FIXED | PINION_IOMMUFD_MAP_READ | PINION_IOMMUFD_MAP_WRITE;
	arg.to = to;
	arg.from = from;
	arg.len = len;
	arg.to_iova = to_iova;
	arg.from_iova = from_iova;
	return pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_IOAS_COPY, &arg);
}

/* One unmap; *unmapped gets the bytes that were mapped until now. */
static inline int pinion_iommufd_dma_unmap_raw(int iommufd, uint32_t ioas, uint64_t iova,
					       uint64_t len, uint64_t *unmapped)
{
	struct pinion_iommufd_unmap_arg arg;
	int err;

	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.ioas = ioas;
	arg.iova = iova;
	arg.len = len;
	err = pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_IOAS_UNMAP, &arg);
	if (err == 0)
		*unmapped = arg.len;
	return err;
}

/*
 * Take whatever is mapped in [iova, iova + len) away, and unpin its memory; *unmapped gets how many
 * bytes that were. pre: no device uses them.
 *
 * -EINVAL  len is 0 or wraps
 * -EBUSY   another thread is mapping there just now
 * -ENOENT  nothing is mapped there, or an end of the range cuts a mapping: widen it (those before
 *          that one are gone). Or no such space
 */
static inline int pinion_iommufd_dma_unmap_range(int iommufd, uint32_t ioas, uint64_t iova,
						 uint64_t len, uint64_t *unmapped)
{
	if (!pinion_iommufd_span_ok(iova, len))
		return -EINVAL;
	return pinion_iommufd_dma_unmap_raw(iommufd, ioas, iova, len, unmapped);
}

/*
 * Undo pinion_iommufd_dma_map() and its kin: take one mapping, or several that lie side by side,
 * away.
 *
 * -EIO  not all of the range was mapped. What was is not any more
 * and the errors of pinion_iommufd_dma_unmap_range()
 */
static inline int pinion_iommufd_dma_unmap(int iommufd, uint32_t ioas, uint64_t iova, uint64_t len)
{
	uint64_t unmapped = 0;
	const int err = pinion_iommufd_dma_unmap_range(iommufd, ioas, iova, len, &unmapped);

	if (err < 0)
		return err;
	return unmapped != len ? -EIO : 0;
}

/* Take all mappings of the space away, whoever made them; *unmapped gets their bytes, 0 for none.
 * pre: no device uses them. -ENOENT: no such space. */
static inline int pinion_iommufd_dma_unmap_all(int iommufd, uint32_t ioas, uint64_t *unmapped)
{
	/* From 0 on these are all addresses, and finding nothing is no error then. */
	return pinion_iommufd_dma_unmap_raw(iommufd, ioas, 0, UINT64_MAX, unmapped);
}

/*
 * Settings. object is a space's number, or 0 for one of the whole iommufd.
 *
 *     PINION_IOMMUFD_RLIMIT_MODE  of the iommufd: what RLIMIT_MEMLOCK counts, 0: all of the user's
 *                                 mappings (the default), 1: the process's. Needs CAP_SYS_RESOURCE
 *     PINION_IOMMUFD_HUGE_PAGES   of a space: 1: the IOMMU may use large pages (the default)
 */
#define PINION_IOMMUFD_RLIMIT_MODE 0u
#define PINION_IOMMUFD_HUGE_PAGES 1u

/* One setting, read (op 1) or written (op 0). */
static inline int pinion_iommufd_option(int iommufd, uint16_t op, uint32_t option, uint32_t object,
					uint64_t *value)
{
	struct pinion_iommufd_option_arg arg;
	int err;

	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.option = option;
	arg.op = op;
	arg.object = object;
	arg.value = *value;
	err = pinion_iommufd_ioctl(iommufd, PINION_IOMMUFD_OPTION, &arg);
	if (err == 0)
		*value = arg.value;
	return err;
}

/*
 * What a setting is.
 *
 * -ENOENT      no such space
 * -EOPNOTSUPP  no such setting
 */
static inline int pinion_iommufd_option_get(int iommufd, uint32_t option, uint32_t object,
					    uint64_t *value)
{
	uint64_t got = 0;
	const int err = pinion_iommufd_option(iommufd, 1, option, object, &got);

	if (err == 0)
		*value = got;
	return err;
}

/*
 * Change a setting.
 *
 * -EPERM   see above
 * -EBUSY   RLIMIT_MODE, and the iommufd has objects already: set it first
 * -EINVAL  not a value of this setting; or HUGE_PAGES 0, and something is mapped, with a device
 * and the errors of pinion_iommufd_option_get()
 */
static inline int pinion_iommufd_option_set(int iommufd, uint32_t option, uint32_t object,
					    uint64_t value)
{
	return pinion_iommufd_option(iommufd, 0, option, object, &value);
}

#endif
