/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_PCI_H
#define PINION_PCI_H

/*
 * PCI functions as sysfs shows them: names, attributes, BARs, configuration space.
 *
 *     struct pinion_pci_bdf bdf;
 *     pinion_pci_bdf_parse("0000:41:00.0", &bdf);
 *     pinion_pci_ids_read(&bdf, &ids);           any user: what it is
 *     pinion_pci_numa_node(&bdf, &node);         any user: where to put the memory
 *     pinion_pci_driver(&bdf, name, len);        any user: who has it now
 *     pinion_pci_iommu_group(&bdf, &group);      any user: -> vfioctl.h
 *     pinion_pci_bar_info_read(&bdf, 0, &info);  any user: memory or I/O ports, and how much
 *     pinion_pci_bar_map(&bdf, 0, &bar);         root: -> mmio.h
 *     pinion_pci_bus_master_set(&bdf, true);     root
 *     ...
 *     pinion_pci_bus_master_set(&bdf, false);
 *     pinion_pci_bar_unmap(&bar);
 *
 * Beside it, each with one idea and this one below it: pci_scan.h (which functions there are, and
 * which belong together), pci_cap.h (capabilities), pci_bind.h (drivers, reset, rescan).
 *
 * No call but pinion_pci_ports_open() keeps a descriptor or any state: each opens, reads and
 * closes, so all may be called from any thread and any process. Two that change COMMAND at once
 * can lose one change (sysfs has no compare-and-swap): leave it to the device's one driver.
 *
 * Death: nothing here is undone by the kernel when the process dies. Bus mastering that was
 * turned on here stays on, and the device goes on writing to memory that may by then be someone
 * else's. Remedy: drive through vfioctl.h or uio.h, whose last close turns it off; use the BAR
 * and COMMAND here for looking, or beside a held /dev/uioN.
 *
 * Caveats, each with its remedy:
 *  - A BAR mapping does not hold the device: the kernel can bind another driver below it. Bind
 *    vfio-pci or uio_pci_generic first, and keep its descriptor.
 *  - Kernel lockdown (secure boot) refuses BARs and configuration writes, -EPERM: use vfio.
 *  - Without CAP_SYS_ADMIN only the first 64 bytes of configuration space can be read; beyond
 *    is -EIO.
 *  - Under -std=c99 or -std=c11 libc hides POSIX: include this header first, or define
 *    _DEFAULT_SOURCE.
 *
 * Errors are -errno; every call may also give what open(2), read(2) and mmap(2) give. errno
 * itself is left undefined. A call that fails leaves its results as they were.
 *
 * Source: Documentation/PCI/sysfs-pci.rst and Documentation/ABI/testing/sysfs-bus-pci of Linux;
 * PCI Local Bus Specification 3.0, chapter 6, for what stands in configuration space.
 * Needs libc and the kernel's UAPI headers. C99, C11, C++17; includes no other header of ours.
 */

#if !defined(_DEFAULT_SOURCE) && !defined(_FEATURES_H)
#define _DEFAULT_SOURCE 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#ifndef O_CLOEXEC
#error "POSIX is hidden: include pinion/pci.h first, or define _DEFAULT_SOURCE"
#endif

/* Where the functions stand: any expression of type const char *, so that a test can name a tree
 * of its own. */
#ifndef PINION_PCI_SYSFS
#define PINION_PCI_SYSFS "/sys/bus/pci/devices"
#endif

/* Room for any name with its end: "ffffffff:ff:1f.7" is 16 characters. */
#define PINION_PCI_BDF_LEN 24

#define PINION_PCI_PATH_LEN 512

/* One function of one device. Domains have 32 bits: Intel VMD makes some above 0xffff. */
struct pinion_pci_bdf {
	uint32_t domain;
	uint8_t bus, device, function;
};

/* What a function is (PCI Local Bus Specification 3.0, 6.2.1 and 6.2.4). A bridge and an old
 * device can have subsystem numbers of 0. */
struct pinion_pci_ids {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem_device;
	uint32_t class_code; /* 24 bits: class, subclass, programming interface; NVMe is 0x010802 */
	uint8_t revision;
};

enum pinion_pci_bar_kind {
	PINION_PCI_BAR_MEMORY,
	PINION_PCI_BAR_PORTS,
};

/* A BAR as the kernel has set it up: size bytes from start, a bus address as the processor sees
 * it, or a port number. An unassigned BAR was given no address, and cannot be used. */
struct pinion_pci_bar_info {
	uint64_t start, size;
	enum pinion_pci_bar_kind kind;
	bool wide; /* 64 bits: the next index is its upper half */
	bool prefetchable;
	bool assigned;
};

/* A mapped BAR: len bytes of registers at addr. */
struct pinion_pci_bar {
	void *addr;
	size_t len;
};

/* -errno after a failed call, and never 0: so the compiler knows as well that results which a
 * caller reads only after success have been written. */
static inline int pinion_pci_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* Value of a hexadecimal digit, or -1. */
static inline int pinion_pci_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Read min to max hexadecimal digits, which the character end must follow, and step past it.
 * max is at most 8, so that the value cannot overflow.
 */
static inline int pinion_pci_hex_field(const char **text, unsigned min, unsigned max, char end,
				       uint32_t *value)
{
	const char *at = *text;
	uint32_t v = 0;
	unsigned nr = 0;

	for (; nr < max && pinion_pci_hex_digit(*at) >= 0; nr++, at++)
		v = v << 4 | (uint32_t)pinion_pci_hex_digit(*at);
	if (nr < min || *at != end)
		return -EINVAL;
	*text = end != '\0' ? at + 1 : at;
	*value = v;
	return 0;
}

/*
 * Parse a name: domain of 4 to 8 hexadecimal digits, bus of 2, device of 2 (to 1f), function of
 * one (to 7): "0000:41:00.0", "10000:01:00.0"; the short form "41:00.0" means domain 0.
 *
 * -EINVAL  anything else, spaces before and any character behind included
 */
static inline int pinion_pci_bdf_parse(const char *text, struct pinion_pci_bdf *bdf)
{
	uint32_t domain = 0, bus, device, function;

	if (text == NULL)
		return -EINVAL;
	/* The short form has its first colon after two characters, the full one later. */
	if (strcspn(text, ":") != 2 && pinion_pci_hex_field(&text, 4, 8, ':', &domain) < 0)
		return -EINVAL;
	if (pinion_pci_hex_field(&text, 2, 2, ':', &bus) < 0 ||
	    pinion_pci_hex_field(&text, 2, 2, '.', &device) < 0 ||
	    pinion_pci_hex_field(&text, 1, 1, '\0', &function) < 0)
		return -EINVAL;
	if (device > 0x1f || function > 7)
		return -EINVAL;
	bdf->domain = domain;
	bdf->bus = (uint8_t)bus;
	bdf->device = (uint8_t)device;
	bdf->function = (uint8_t)function;
	return 0;
}

/*
 * Write the full name, as sysfs spells it. PINION_PCI_BDF_LEN bytes always suffice.
 *
 * -EINVAL  device above 0x1f or function above 7: no such name exists
 * -ENOSPC  len is too small; text holds nothing of use
 */
static inline int pinion_pci_bdf_format(const struct pinion_pci_bdf *bdf, char *text, size_t len)
{
	int n;

	if (bdf->device > 0x1f || bdf->function > 7)
		return -EINVAL;
	n = snprintf(text, len, "%04x:%02x:%02x.%x", (unsigned)bdf->domain, (unsigned)bdf->bus,
		     (unsigned)bdf->device, (unsigned)bdf->function);
	return n < 0 || (size_t)n >= len ? -ENOSPC : 0;
}

/* Path of an attribute of a function; of its directory when attr is "". path has
 * PINION_PCI_PATH_LEN bytes. */
static inline int pinion_pci_path(const struct pinion_pci_bdf *bdf, const char *attr, char *path)
{
	char name[PINION_PCI_BDF_LEN];
	int n, err;

	err = pinion_pci_bdf_format(bdf, name, sizeof(name));
	if (err < 0)
		return err;
	n = snprintf(path, PINION_PCI_PATH_LEN, "%s/%s/%s", PINION_PCI_SYSFS, name, attr);
	return n < 0 || n >= PINION_PCI_PATH_LEN ? -ENAMETOOLONG : 0;
}

/* What a missing attribute means: -ENOENT when the device is there without it, -ENODEV when it is
 * not, and another error when that cannot be found out. */
static inline int pinion_pci_missing(const struct pinion_pci_bdf *bdf)
{
	char path[PINION_PCI_PATH_LEN];
	int err = pinion_pci_path(bdf, "", path);

	if (err < 0)
		return err;
	if (access(path, F_OK) == 0)
		return -ENOENT;
	return errno == ENOENT ? -ENODEV : pinion_pci_errno();
}

/* Open an attribute; the descriptor, or -errno with the two cases of pinion_pci_missing(). */
static inline int pinion_pci_open(const struct pinion_pci_bdf *bdf, const char *attr, int flags)
{
	char path[PINION_PCI_PATH_LEN];
	int fd, err;

	err = pinion_pci_path(bdf, attr, path);
	if (err < 0)
		return err;
	do
		fd = open(path, flags | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? pinion_pci_missing(bdf) : pinion_pci_errno();
}

/* Read a whole file of fewer than len bytes, and end it with a zero. */
static inline int pinion_pci_read_text(int fd, char *text, size_t len)
{
	size_t have = 0;
	ssize_t n;

	while (have < len) {
		n = read(fd, text + have, len - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pinion_pci_errno();
		if (n == 0) {
			text[have] = '\0';
			return 0;
		}
		have += (size_t)n;
	}
	return -ENOSPC;
}

/*
 * Read one attribute as text, its last newline removed.
 *
 * -ENODEV  no such device: check the name, or rescan the bus
 * -ENOENT  the device has no such attribute
 * -ENOSPC  longer than len - 1 bytes: no attribute is longer than a page
 * On failure text is not to be read.
 */
static inline int pinion_pci_attr_read(const struct pinion_pci_bdf *bdf, const char *attr,
				       char *text, size_t len)
{
	size_t end;
	int err, fd = pinion_pci_open(bdf, attr, O_RDONLY);

	if (fd < 0)
		return fd;
	err = pinion_pci_read_text(fd, text, len);
	close(fd);
	if (err < 0)
		return err;
	end = strlen(text);
	if (end > 0 && text[end - 1] == '\n')
		text[end - 1] = '\0';
	return 0;
}

/*
 * Read an attribute that is one unsigned number, decimal or with 0x before it.
 *
 * -EINVAL  it is not, or is negative
 * -ERANGE  it needs more than 64 bits
 * and the errors of pinion_pci_attr_read()
 */
static inline int pinion_pci_attr_u64(const struct pinion_pci_bdf *bdf, const char *attr,
				      uint64_t *value)
{
	char text[64];
	char *end;
	unsigned long long v;
	int base, err = pinion_pci_attr_read(bdf, attr, text, sizeof(text));

	if (err < 0)
		return err;
	/* strtoull() would take a sign and spaces; 0x alone leaves the x behind. */
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	base = strncmp(text, "0x", 2) == 0 ? 16 : 10;
	errno = 0;
	v = strtoull(text, &end, base);
	if (*end != '\0')
		return -EINVAL;
	if (errno == ERANGE || v > UINT64_MAX)
		return -ERANGE;
	*value = v;
	return 0;
}

/* pinion_pci_attr_u64() for a number of at most max; -ERANGE when it is larger. */
static inline int pinion_pci_attr_max(const struct pinion_pci_bdf *bdf, const char *attr,
				      uint64_t max, uint64_t *value)
{
	uint64_t v = 0;
	const int err = pinion_pci_attr_u64(bdf, attr, &v);

	if (err < 0)
		return err;
	if (v > max)
		return -ERANGE;
	*value = v;
	return 0;
}

/*
 * All numbers that say what the device is. The kernel keeps them: the device is not asked.
 *
 * -ENODEV  no such device
 * -ENOENT  a kernel before 4.10, which has no "revision": read the others one by one
 */
static inline int pinion_pci_ids_read(const struct pinion_pci_bdf *bdf, struct pinion_pci_ids *ids)
{
	static const struct {
		const char *attr;
		uint32_t max;
	} field[] = {
		{"vendor", 0xffff},           {"device", 0xffff},  {"subsystem_vendor", 0xffff},
		{"subsystem_device", 0xffff}, {"class", 0xffffff}, {"revision", 0xff},
	};
	uint64_t v[6] = {0, 0, 0, 0, 0, 0};
	unsigned i;
	int err;

	for (i = 0; i < 6; i++) {
		err = pinion_pci_attr_max(bdf, field[i].attr, field[i].max, &v[i]);
		if (err < 0)
			return err;
	}
	ids->vendor = (uint16_t)v[0];
	ids->device = (uint16_t)v[1];
	ids->subsystem_vendor = (uint16_t)v[2];
	ids->subsystem_device = (uint16_t)v[3];
	ids->class_code = (uint32_t)v[4];
	ids->revision = (uint8_t)v[5];
	return 0;
}

/*
 * NUMA node the device is attached to; -1 when the firmware names none (take any node then).
 *
 * -ENODEV, -ENOENT as above; -ENOENT also on a kernel without NUMA
 */
static inline int pinion_pci_numa_node(const struct pinion_pci_bdf *bdf, int *node)
{
	char text[32];
	char *end;
	long v;
	int err = pinion_pci_attr_read(bdf, "numa_node", text, sizeof(text));

	if (err < 0)
		return err;
	v = strtol(text, &end, 10);
	/* The kernel knows at most 1024 nodes (CONFIG_NODES_SHIFT <= 10). */
	if (end == text || *end != '\0' || v < -1 || v >= 1024)
		return -EINVAL;
	*node = (int)v;
	return 0;
}

/*
 * Last component of the target of a link.
 *
 * -ENOSPC  longer than len - 1 bytes
 */
static inline int pinion_pci_link(const struct pinion_pci_bdf *bdf, const char *attr, char *name,
				  size_t len)
{
	char path[PINION_PCI_PATH_LEN], target[PINION_PCI_PATH_LEN];
	const char *slash;
	ssize_t n;
	int err = pinion_pci_path(bdf, attr, path);

	if (err < 0)
		return err;
	n = readlink(path, target, sizeof(target));
	if (n < 0)
		return errno == ENOENT ? pinion_pci_missing(bdf) : pinion_pci_errno();
	if ((size_t)n == sizeof(target))
		return -ENAMETOOLONG;
	target[n] = '\0';
	slash = strrchr(target, '/');
	slash = slash != NULL ? slash + 1 : target;
	if (strlen(slash) >= len)
		return -ENOSPC;
	memcpy(name, slash, strlen(slash) + 1);
	return 0;
}

/*
 * Name of the kernel driver the device is bound to.
 *
 * -ENOENT  none: bind one
 * -ENODEV  no such device
 * -ENOSPC  longer than len - 1 bytes; 64 suffice for any module name
 */
static inline int pinion_pci_driver(const struct pinion_pci_bdf *bdf, char *name, size_t len)
{
	return pinion_pci_link(bdf, "driver", name, len);
}

/*
 * Number of the device's IOMMU group.
 *
 * -ENOENT  none: the IOMMU is off; boot with intel_iommu=on or amd_iommu=on, or use uio
 * -ENODEV  no such device
 */
static inline int pinion_pci_iommu_group(const struct pinion_pci_bdf *bdf, unsigned *group)
{
	char text[32];
	char *end;
	unsigned long v;
	int err = pinion_pci_link(bdf, "iommu_group", text, sizeof(text));

	if (err < 0)
		return err;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v > INT32_MAX)
		return -EINVAL;
	*group = (unsigned)v;
	return 0;
}

/* One line of "resource": first and last address, and flags. */
static inline int pinion_pci_resource_line(const char *line, uint64_t value[3])
{
	char *end;
	int i;

	for (i = 0; i < 3; i++) {
		value[i] = strtoull(line, &end, 16);
		if (end == line || *end != (i < 2 ? ' ' : '\n'))
			return -EINVAL;
		line = end + 1;
	}
	return 0;
}

/* Line index of "resource": the BARs come first, then ROM, BARs of VFs, windows of a bridge. */
static inline int pinion_pci_resource_read(const struct pinion_pci_bdf *bdf, unsigned index,
					   uint64_t value[3])
{
	char text[4096 + 1];
	const char *line = text;
	const int fd = pinion_pci_open(bdf, "resource", O_RDONLY);
	int err;

	if (fd < 0)
		return fd;
	err = pinion_pci_read_text(fd, text, sizeof(text));
	close(fd);
	if (err < 0)
		return err;
	for (; index > 0; index--) {
		line = strchr(line, '\n');
		if (line == NULL)
			return -EINVAL;
		line++;
	}
	return pinion_pci_resource_line(line, value);
}

/* Flags of a resource (include/linux/ioport.h of Linux, the IORESOURCE_ of these names). */
#define PINION_PCI_RESOURCE_IO 0x100u
#define PINION_PCI_RESOURCE_MEM 0x200u
#define PINION_PCI_RESOURCE_PREFETCH 0x2000u
#define PINION_PCI_RESOURCE_MEM_64 0x100000u
#define PINION_PCI_RESOURCE_UNSET 0x20000000u

/*
 * What the BAR index (0 to 5) is. The kernel knows it: the device is not asked.
 *
 * -ENODEV  no such device
 * -ENOENT  the device has no such BAR; the upper half of a 64-bit BAR has no number of its own
 * -EINVAL  index above 5, or "resource" is not what it should be
 */
static inline int pinion_pci_bar_info_read(const struct pinion_pci_bdf *bdf, unsigned index,
					   struct pinion_pci_bar_info *info)
{
	const uint64_t kinds = PINION_PCI_RESOURCE_IO | PINION_PCI_RESOURCE_MEM;
	uint64_t v[3] = {0, 0, 0};
	const int err = index > 5 ? -EINVAL : pinion_pci_resource_read(bdf, index, v);

	if (err < 0)
		return err;
	if ((v[2] & kinds) == 0)
		return -ENOENT;
	if (v[1] < v[0] || (v[2] & kinds) == kinds)
		return -EINVAL;
	info->start = v[0];
	info->size = v[1] - v[0] + 1;
	info->kind =
		(v[2] & PINION_PCI_RESOURCE_IO) != 0 ? PINION_PCI_BAR_PORTS : PINION_PCI_BAR_MEMORY;
	info->prefetchable = (v[2] & PINION_PCI_RESOURCE_PREFETCH) != 0;
	info->wide = (v[2] & PINION_PCI_RESOURCE_MEM_64) != 0;
	info->assigned = (v[2] & PINION_PCI_RESOURCE_UNSET) == 0;
	return 0;
}

/* Bytes between the start of a page and the start of a BAR: a BAR of a page or more is aligned
 * to its own length, a smaller one can share a page, and mmap(2) gives the page. */
static inline int pinion_pci_bar_offset(const struct pinion_pci_bdf *bdf, unsigned index,
					size_t len, size_t *off)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct pinion_pci_bar_info info = {0, 0, PINION_PCI_BAR_MEMORY, false, false, false};
	int err;

	if (len % page != 0) {
		err = pinion_pci_bar_info_read(bdf, index, &info);
		if (err < 0)
			return err;
	}
	*off = (size_t)(info.start % page);
	return 0;
}

/* Map the open file of a BAR; see pinion_pci_bar_map(). */
static inline int pinion_pci_bar_map_fd(const struct pinion_pci_bdf *bdf, unsigned index, int fd,
					struct pinion_pci_bar *bar)
{
	struct stat st;
	size_t off;
	void *base;
	int err;

	if (fstat(fd, &st) < 0)
		return pinion_pci_errno();
	if (st.st_size <= 0 || (uint64_t)st.st_size > SIZE_MAX / 2)
		return -EINVAL;
	err = pinion_pci_bar_offset(bdf, index, (size_t)st.st_size, &off);
	if (err < 0)
		return err;
	base = mmap(NULL, off + (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		err = pinion_pci_errno();
		/* Of ports, which have no mmap, the kernel says what it says of a lost device. */
		return err == -ENODEV && pinion_pci_missing(bdf) == -ENOENT ? -EINVAL : err;
	}
	bar->addr = (char *)base + off;
	bar->len = (size_t)st.st_size;
	return 0;
}

/*
 * Map the registers of BAR index (0 to 5) for reading and writing, uncached. The mapping outlives
 * every descriptor; undo with pinion_pci_bar_unmap().
 *
 * -ENODEV   no such device
 * -ENOENT   the device has no such BAR; the upper half of a 64-bit BAR has no number of its own
 * -EACCES   not root
 * -EPERM    kernel lockdown: use vfio
 * -EINVAL   index above 5; a BAR of I/O ports: pinion_pci_ports_open(); or the kernel keeps
 *           registers of a bound driver to itself (CONFIG_IO_STRICT_DEVMEM): unbind it
 */
static inline int pinion_pci_bar_map(const struct pinion_pci_bdf *bdf, unsigned index,
				     struct pinion_pci_bar *bar)
{
	char attr[16];
	int fd, err;

	if (index > 5)
		return -EINVAL;
	snprintf(attr, sizeof(attr), "resource%u", index);
	/* O_SYNC: uncached on processors where the flag decides (Documentation/PCI/sysfs-pci). */
	fd = pinion_pci_open(bdf, attr, O_RDWR | O_SYNC);
	if (fd < 0)
		return fd;
	err = pinion_pci_bar_map_fd(bdf, index, fd, bar);
	close(fd);
	return err;
}

/*
 * Map a prefetchable BAR write-combining: stores wait in the processor and leave in bursts. For a
 * device's memory (a CMB), not for registers; see the caveat in mmio.h about the fence. Undo with
 * pinion_pci_bar_unmap().
 *
 * -ENOTSUP  the BAR is not prefetchable, or this kernel cannot combine: pinion_pci_bar_map()
 * and the errors of pinion_pci_bar_map()
 */
static inline int pinion_pci_bar_map_wc(const struct pinion_pci_bdf *bdf, unsigned index,
					struct pinion_pci_bar *bar)
{
	struct pinion_pci_bar_info info;
	char attr[24];
	int fd, err;

	if (index > 5)
		return -EINVAL;
	snprintf(attr, sizeof(attr), "resource%u_wc", index);
	fd = pinion_pci_open(bdf, attr, O_RDWR);
	if (fd == -ENOENT) {
		err = pinion_pci_bar_info_read(bdf, index, &info);
		if (err < 0)
			return err;
		return info.kind == PINION_PCI_BAR_MEMORY ? -ENOTSUP : -EINVAL;
	}
	if (fd < 0)
		return fd;
	err = pinion_pci_bar_map_fd(bdf, index, fd, bar);
	close(fd);
	return err;
}

/* Undo pinion_pci_bar_map() and pinion_pci_bar_map_wc(). pre: no thread uses the registers any
 * more. */
static inline int pinion_pci_bar_unmap(struct pinion_pci_bar *bar)
{
	const size_t off = (uintptr_t)bar->addr % (size_t)sysconf(_SC_PAGESIZE);

	if (bar->addr == NULL)
		return -EINVAL;
	if (munmap((char *)bar->addr - off, bar->len + off) < 0)
		return pinion_pci_errno();
	bar->addr = NULL;
	bar->len = 0;
	return 0;
}

/*
 * Open BAR index (0 to 5) of I/O ports, for pinion_pci_ports_read() and pinion_pci_ports_write();
 * the descriptor, to be closed with close(2). It may be used from several threads at once. The
 * device answers only while bit 0 of COMMAND is set: a bound driver sets it, and so does writing
 * 1 to "enable".
 *
 * -ENODEV  no such device
 * -ENOENT  the device has no such BAR
 * -EINVAL  index above 5, or a BAR of memory: pinion_pci_bar_map()
 * -EACCES  not root
 */
static inline int pinion_pci_ports_open(const struct pinion_pci_bdf *bdf, unsigned index)
{
	struct pinion_pci_bar_info info;
	char attr[16];
	const int err = pinion_pci_bar_info_read(bdf, index, &info);

	if (err < 0)
		return err;
	if (info.kind != PINION_PCI_BAR_PORTS)
		return -EINVAL;
	snprintf(attr, sizeof(attr), "resource%u", index);
	return pinion_pci_open(bdf, attr, O_RDWR);
}

/* Whether an access of width bytes at off is one that a device takes whole: aligned to itself. A
 * BAR's size is a power of two, so such an access never crosses its end. */
static inline bool pinion_pci_aligned(uint64_t off, unsigned width)
{
	return (width == 1 || width == 2 || width == 4) && off % width == 0 && off <= INT32_MAX;
}

/*
 * Read width bytes (1, 2 or 4) of the ports open at fd, at the aligned byte offset off: one
 * access, as sysfs-pci.rst has it.
 *
 * -EINVAL  another width, not aligned, or off is beyond the BAR
 * -ENXIO   this machine has no I/O ports
 * -EPERM   kernel lockdown: use vfio
 * -ENODEV  the device is gone
 */
static inline int pinion_pci_ports_read(int fd, uint64_t off, unsigned width, uint32_t *v)
{
	uint8_t b1 = 0;
	uint16_t b2 = 0;
	uint32_t b4 = 0;
	void *const at = width == 1 ? (void *)&b1 : width == 2 ? (void *)&b2 : (void *)&b4;
	ssize_t n;

	if (!pinion_pci_aligned(off, width))
		return -EINVAL;
	do
		n = pread(fd, at, width, (off_t)off);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return pinion_pci_errno();
	if (n != (ssize_t)width)
		return -EINVAL;
	*v = width == 1 ? b1 : width == 2 ? b2 : b4;
	return 0;
}

/*
 * Write the low width bytes (1, 2 or 4) of v to the ports open at fd, at the aligned byte offset
 * off: one access.
 *
 * the errors of pinion_pci_ports_read()
 */
static inline int pinion_pci_ports_write(int fd, uint64_t off, unsigned width, uint32_t v)
{
	const uint8_t b1 = (uint8_t)(v & 0xff);
	const uint16_t b2 = (uint16_t)(v & 0xffff);
	const void *const at = width == 1 ? (const void *)&b1 : width == 2 ? (const void *)&b2 : &v;
	ssize_t n;

	if (!pinion_pci_aligned(off, width))
		return -EINVAL;
	do
		n = pwrite(fd, at, width, (off_t)off);
	while (n < 0 && errno == EINTR);
	/* Of a write beyond the file's end, which is the BAR's, sysfs says EFBIG. */
	if (n < 0)
		return errno == EFBIG ? -EINVAL : pinion_pci_errno();
	return n == (ssize_t)width ? 0 : -EINVAL;
}

/*
 * Read width bytes (1, 2 or 4) of configuration space at the byte offset off, aligned to width.
 *
 * -EINVAL  another width, off is not aligned, or beyond 4095 (PCI Express Base Specification 5.0,
 *          7.2: 4096 bytes for each function)
 * -EIO     beyond the device's configuration space, or beyond byte 63 without CAP_SYS_ADMIN
 * -ENODEV  no such device
 */
static inline int pinion_pci_config_read(const struct pinion_pci_bdf *bdf, unsigned off,
					 unsigned width, uint32_t *v)
{
	uint8_t le[4] = {0, 0, 0, 0};
	ssize_t n;
	int fd, err;

	if (!pinion_pci_aligned(off, width) || off > 4095)
		return -EINVAL;
	fd = pinion_pci_open(bdf, "config", O_RDONLY);
	if (fd < 0)
		return fd;
	do
		n = pread(fd, le, width, (off_t)off);
	while (n < 0 && errno == EINTR);
	err = n < 0 ? pinion_pci_errno() : n == (ssize_t)width ? 0 : -EIO;
	close(fd);
	if (err == 0)
		*v = le[0] | (uint32_t)le[1] << 8 | (uint32_t)le[2] << 16 | (uint32_t)le[3] << 24;
	return err;
}

/*
 * Write the low width bytes (1, 2 or 4) of v to configuration space at the byte offset off,
 * aligned to width.
 *
 * -EACCES, -EPERM  not root, or kernel lockdown
 * and the errors of pinion_pci_config_read()
 */
static inline int pinion_pci_config_write(const struct pinion_pci_bdf *bdf, unsigned off,
					  unsigned width, uint32_t v)
{
	const uint8_t le[4] = {(uint8_t)(v & 0xff), (uint8_t)(v >> 8 & 0xff),
			       (uint8_t)(v >> 16 & 0xff), (uint8_t)(v >> 24)};
	ssize_t n;
	int fd, err;

	if (!pinion_pci_aligned(off, width) || off > 4095)
		return -EINVAL;
	fd = pinion_pci_open(bdf, "config", O_RDWR);
	if (fd < 0)
		return fd;
	do
		n = pwrite(fd, le, width, (off_t)off);
	while (n < 0 && errno == EINTR);
	/* Of a write beyond the file's end, which is the space's, sysfs says EFBIG. */
	if (n < 0)
		err = errno == EFBIG ? -EIO : pinion_pci_errno();
	else
		err = n == (ssize_t)width ? 0 : -EIO;
	close(fd);
	return err;
}

/* pinion_pci_config_read() and pinion_pci_config_write() of 8, 16 and 32 bits. */
static inline int pinion_pci_config_read8(const struct pinion_pci_bdf *bdf, unsigned off,
					  uint8_t *v)
{
	uint32_t got = 0;
	const int err = pinion_pci_config_read(bdf, off, 1, &got);

	if (err == 0)
		*v = (uint8_t)got;
	return err;
}

static inline int pinion_pci_config_read16(const struct pinion_pci_bdf *bdf, unsigned off,
					   uint16_t *v)
{
	uint32_t got = 0;
	const int err = pinion_pci_config_read(bdf, off, 2, &got);

	if (err == 0)
		*v = (uint16_t)got;
	return err;
}

static inline int pinion_pci_config_read32(const struct pinion_pci_bdf *bdf, unsigned off,
					   uint32_t *v)
{
	return pinion_pci_config_read(bdf, off, 4, v);
}

static inline int pinion_pci_config_write8(const struct pinion_pci_bdf *bdf, unsigned off,
					   uint8_t v)
{
	return pinion_pci_config_write(bdf, off, 1, v);
}

static inline int pinion_pci_config_write16(const struct pinion_pci_bdf *bdf, unsigned off,
					    uint16_t v)
{
	return pinion_pci_config_write(bdf, off, 2, v);
}

static inline int pinion_pci_config_write32(const struct pinion_pci_bdf *bdf, unsigned off,
					    uint32_t v)
{
	return pinion_pci_config_write(bdf, off, 4, v);
}

/*
 * Let the device start transfers of its own, or forbid it: bit 2 of COMMAND (PCI Local Bus
 * Specification 3.0, 6.2.2). The other bits stay; the register is read back.
 *
 * -ENODEV  no such device, or COMMAND reads all ones: it is gone
 * -EIO     the bit did not take
 * and the errors of pinion_pci_config_write16()
 */
static inline int pinion_pci_bus_master_set(const struct pinion_pci_bdf *bdf, bool on)
{
	uint16_t was = 0, now = 0, want;
	int err = pinion_pci_config_read16(bdf, PCI_COMMAND, &was);

	if (err < 0)
		return err;
	if (was == UINT16_MAX)
		return -ENODEV;
	want = (uint16_t)((was & ~(unsigned)PCI_COMMAND_MASTER) | (on ? PCI_COMMAND_MASTER : 0u));
	err = pinion_pci_config_write16(bdf, PCI_COMMAND, want);
	if (err == 0)
		err = pinion_pci_config_read16(bdf, PCI_COMMAND, &now);
	if (err < 0)
		return err;
	return ((now ^ want) & PCI_COMMAND_MASTER) != 0 ? -EIO : 0;
}

#endif
