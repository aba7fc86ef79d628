/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_UIO_H
#define PINION_UIO_H

/*
 * A PCI function bound to uio_pci_generic: registers, bus mastering, its INTx line.
 *
 *     pinion_uio_open("0000:41:00.0", &uio)
 *     pinion_uio_config_read16(&uio, PCI_VENDOR_ID, &vendor)
 *     pinion_uio_bar_map(&uio, 0, &regs, &len)         -> mmio.h
 *     (disable the device: a driver that was killed may have left its queues set up)
 *     pinion_uio_bus_master_set(&uio, true)
 *     loop: pinion_uio_irq_enable(&uio); pinion_uio_irq_wait(&uio, timeout_ns, &count)
 *     ...
 *     pinion_uio_bus_master_set(&uio, false)
 *     pinion_uio_bar_unmap(regs, len)
 *     pinion_uio_close(&uio)
 *
 * There is no IOMMU in this path: the device takes physical addresses (hostmem.h), and one that
 * is wrong overwrites whatever is there. Use vfioctl.h wherever the machine has an IOMMU.
 *
 * Who: root, or CAP_SYS_ADMIN and CAP_SYS_RAWIO with the owner of the sysfs files. One process
 * drives, and it alone opens /dev/uioN. Threads: one may wait for interrupts while others work;
 * two that change COMMAND at once can lose a change (one thread for it).
 *
 * Death: the kernel clears bus mastering when a /dev/uioN descriptor is closed, and so when the
 * process that holds it is killed. That is why open keeps it, although nothing else needs it. The
 * device itself keeps its set-up (NVMe: CC.EN = 1 and its queues): disable it before mastering is
 * turned on again, or it resumes DMA to memory that belongs to others by now.
 *
 * Caveats, each with its remedy:
 *  - Any close of /dev/uioN, by anyone, stops a live driver's mastering: let nobody else open it.
 *  - A descriptor inherited over fork keeps mastering on after the driver's death. It is closed
 *    on exec; a child that does not exec closes uio.fd itself (close(2), not pinion_uio_close()).
 *  - uio_pci_generic has no MSI and no MSI-X, only INTx, and no write(): interrupts are let
 *    through again by clearing bit 0x400 of COMMAND, which pinion_uio_irq_enable() does.
 *  - Kernel lockdown (secure boot) refuses BARs and configuration writes, -EPERM: use vfio.
 *  - Under -std=c99 or -std=c11 libc hides POSIX: include this header first, or define
 *    _DEFAULT_SOURCE.
 *
 * Errors are -errno; every call may also give what open(2), read(2) and mmap(2) give. errno
 * itself is left undefined. A call that fails holds nothing.
 *
 * Sources: Documentation/driver-api/uio-howto.rst and drivers/uio/uio_pci_generic.c of Linux.
 * Needs libc and the kernel's UAPI headers. C99, C11, C++17; includes no other header of ours.
 */

#if !defined(_DEFAULT_SOURCE) && !defined(_FEATURES_H)
#define _DEFAULT_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#ifndef O_CLOEXEC
#error "POSIX is hidden: include pinion/uio.h first, or define _DEFAULT_SOURCE"
#endif

/* Where PCI functions and device nodes stand: any expressions of type const char *, so that a
 * test can name a tree of its own. */
#ifndef PINION_UIO_PCI_SYSFS
#define PINION_UIO_PCI_SYSFS "/sys/bus/pci/devices"
#endif
#ifndef PINION_UIO_DEV
#define PINION_UIO_DEV "/dev"
#endif

#define PINION_UIO_PATH_LEN 512

/* A function being driven. command is the COMMAND register as open found it. */
struct pinion_uio {
	int fd;          /* of /dev/uioN */
	unsigned number; /* N */
	char bdf[24];
	uint16_t command;
};

/* -errno after a failed call, and never 0: so the compiler knows as well that results which a
 * caller reads only after success have been written. */
static inline int pinion_uio_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* Path of a file in the sysfs directory of a function; path has PINION_UIO_PATH_LEN bytes. */
static inline int pinion_uio_path(const char *bdf, const char *attr, char *path)
{
	const int n =
		snprintf(path, PINION_UIO_PATH_LEN, "%s/%s/%s", PINION_UIO_PCI_SYSFS, bdf, attr);

	return n < 0 || n >= PINION_UIO_PATH_LEN ? -ENAMETOOLONG : 0;
}

/* open(2), closed on exec, not broken off by a signal; the descriptor, or -errno. */
static inline int pinion_uio_open_path(const char *path, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? pinion_uio_errno() : fd;
}

/* Open a file in the sysfs directory of a function; the descriptor, or -errno. */
static inline int pinion_uio_open_attr(const char *bdf, const char *attr, int flags)
{
	char path[PINION_UIO_PATH_LEN];
	const int err = pinion_uio_path(bdf, attr, path);

	return err < 0 ? err : pinion_uio_open_path(path, flags);
}

/* The number in a name "uioN"; -EINVAL when it is another name. */
static inline int pinion_uio_name_number(const char *name, unsigned *number)
{
	char *end;
	unsigned long v;

	if (strncmp(name, "uio", 3) != 0 || name[3] < '0' || name[3] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(name + 3, &end, 10);
	if (*end != '\0' || errno != 0 || v > INT32_MAX)
		return -EINVAL;
	*number = (unsigned)v;
	return 0;
}

/*
 * Number of the uio device of a function: the one entry "uioN" of its directory "uio".
 *
 * -ENODEV  no such function; -ENOENT  it has no uio device
 */
static inline int pinion_uio_find(const char *bdf, unsigned *number)
{
	char path[PINION_UIO_PATH_LEN];
	const struct dirent *entry;
	DIR *dir;
	int err = pinion_uio_path(bdf, "", path);

	if (err < 0)
		return err;
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? -ENODEV : pinion_uio_errno();
	err = pinion_uio_path(bdf, "uio", path);
	if (err < 0)
		return err;
	do
		dir = opendir(path);
	while (dir == NULL && errno == EINTR);
	if (dir == NULL)
		return pinion_uio_errno();
	do {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			err = errno != 0 ? pinion_uio_errno() : -ENOENT;
	} while (entry != NULL && pinion_uio_name_number(entry->d_name, number) < 0);
	closedir(dir);
	return err;
}

/* Whether an access of width bytes at off is one that a device takes whole: aligned to itself, in
 * the 4096 bytes of a function (PCI Express Base Specification 5.0, 7.2). */
static inline bool pinion_uio_config_ok(unsigned off, unsigned width)
{
	return (width == 1 || width == 2 || width == 4) && off % width == 0 && off <= 4095;
}

/*
 * Read width bytes (1, 2 or 4) of configuration space at the byte offset off, aligned to width.
 *
 * -EINVAL  another width, off is not aligned, or beyond 4095
 * -EIO     beyond the function's configuration space, or beyond byte 63 without CAP_SYS_ADMIN
 * -ENOENT  the function is gone
 */
static inline int pinion_uio_config_read(const struct pinion_uio *uio, unsigned off,
					 unsigned width, uint32_t *v)
{
	uint8_t le[4] = {0, 0, 0, 0};
	ssize_t n;
	int fd, err;

	if (!pinion_uio_config_ok(off, width))
		return -EINVAL;
	fd = pinion_uio_open_attr(uio->bdf, "config", O_RDONLY);
	if (fd < 0)
		return fd;
	do
		n = pread(fd, le, width, (off_t)off);
	while (n < 0 && errno == EINTR);
	err = n < 0 ? pinion_uio_errno() : n == (ssize_t)width ? 0 : -EIO;
	close(fd);
	if (err == 0)
		*v = le[0] | (uint32_t)le[1] << 8 | (uint32_t)le[2] << 16 | (uint32_t)le[3] << 24;
	return err;
}

/* -ENODEV when the function is no longer at this /dev/uioN: another driver may have it by now,
 * and its registers are not ours to write. */
static inline int pinion_uio_is_ours(const struct pinion_uio *uio)
{
	unsigned number = 0;
	const int err = pinion_uio_find(uio->bdf, &number);

	if (err == -ENOENT || (err == 0 && number != uio->number))
		return -ENODEV;
	return err;
}

/*
 * Write the low width bytes (1, 2 or 4) of v to configuration space at the byte offset off,
 * aligned to width. pinion_uio_close() gives COMMAND its first value back; what else is written,
 * the caller restores.
 *
 * -ENODEV  the function is no longer at this /dev/uioN
 * and the errors of pinion_uio_config_read()
 */
static inline int pinion_uio_config_write(const struct pinion_uio *uio, unsigned off,
					  unsigned width, uint32_t v)
{
	const uint8_t le[4] = {(uint8_t)(v & 0xff), (uint8_t)(v >> 8 & 0xff),
			       (uint8_t)(v >> 16 & 0xff), (uint8_t)(v >> 24)};
	ssize_t n;
	int fd, err = pinion_uio_config_ok(off, width) ? pinion_uio_is_ours(uio) : -EINVAL;

	if (err < 0)
		return err;
	fd = pinion_uio_open_attr(uio->bdf, "config", O_RDWR);
	if (fd < 0)
		return fd;
	do
		n = pwrite(fd, le, width, (off_t)off);
	while (n < 0 && errno == EINTR);
	/* Of a write beyond the file's end, which is the space's, sysfs says EFBIG. */
	if (n < 0)
		err = errno == EFBIG ? -EIO : pinion_uio_errno();
	else
		err = n == (ssize_t)width ? 0 : -EIO;
	close(fd);
	return err;
}

/* pinion_uio_config_read() and pinion_uio_config_write() of 8, 16 and 32 bits. */
static inline int pinion_uio_config_read8(const struct pinion_uio *uio, unsigned off, uint8_t *v)
{
	uint32_t got = 0;
	const int err = pinion_uio_config_read(uio, off, 1, &got);

	if (err == 0)
		*v = (uint8_t)got;
	return err;
}

static inline int pinion_uio_config_read16(const struct pinion_uio *uio, unsigned off, uint16_t *v)
{
	uint32_t got = 0;
	const int err = pinion_uio_config_read(uio, off, 2, &got);

	if (err == 0)
		*v = (uint16_t)got;
	return err;
}

static inline int pinion_uio_config_read32(const struct pinion_uio *uio, unsigned off, uint32_t *v)
{
	return pinion_uio_config_read(uio, off, 4, v);
}

static inline int pinion_uio_config_write8(const struct pinion_uio *uio, unsigned off, uint8_t v)
{
	return pinion_uio_config_write(uio, off, 1, v);
}

static inline int pinion_uio_config_write16(const struct pinion_uio *uio, unsigned off, uint16_t v)
{
	return pinion_uio_config_write(uio, off, 2, v);
}

static inline int pinion_uio_config_write32(const struct pinion_uio *uio, unsigned off, uint32_t v)
{
	return pinion_uio_config_write(uio, off, 4, v);
}

/* COMMAND, -ENODEV when it reads all ones: the device is gone. */
static inline int pinion_uio_command_read(const struct pinion_uio *uio, uint16_t *command)
{
	uint16_t v = 0;
	const int err = pinion_uio_config_read16(uio, PCI_COMMAND, &v);

	if (err < 0)
		return err;
	if (v == UINT16_MAX)
		return -ENODEV;
	*command = v;
	return 0;
}

/* Set the bits of mask in COMMAND to those of value; -EIO when they did not take. */
static inline int pinion_uio_command_set(const struct pinion_uio *uio, unsigned mask,
					 unsigned value)
{
	uint16_t v = 0;
	int err = pinion_uio_command_read(uio, &v);

	if (err < 0)
		return err;
	err = pinion_uio_config_write16(uio, PCI_COMMAND, (uint16_t)((v & ~mask) | value));
	if (err == 0)
		err = pinion_uio_command_read(uio, &v);
	if (err < 0)
		return err;
	return (v & mask) != value ? -EIO : 0;
}

/* Open /dev/uioN; the descriptor, or -errno. */
static inline int pinion_uio_open_node(unsigned number)
{
	char path[PINION_UIO_PATH_LEN];
	const int n = snprintf(path, sizeof(path), "%s/uio%u", PINION_UIO_DEV, number);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return pinion_uio_open_path(path, O_RDWR);
}

/*
 * Find, open and keep the /dev/uioN of a function; bdf is the full name, "0000:41:00.0". Nothing
 * of the device changes. Undo with pinion_uio_close().
 *
 * -ENODEV  no such function, or it is gone
 * -ENOENT  it is not bound to a uio driver: bind uio_pci_generic
 * -EACCES  not root
 * -EINVAL  not a name of a function
 */
static inline int pinion_uio_open(const char *bdf, struct pinion_uio *uio)
{
	struct pinion_uio u;
	int err;

	memset(&u, 0, sizeof(u));
	if (bdf == NULL || bdf[0] == '\0' || bdf[0] == '.' || strlen(bdf) >= sizeof(u.bdf) ||
	    strchr(bdf, '/') != NULL)
		return -EINVAL;
	memcpy(u.bdf, bdf, strlen(bdf) + 1);
	err = pinion_uio_find(bdf, &u.number);
	if (err < 0)
		return err;
	err = pinion_uio_command_read(&u, &u.command);
	if (err < 0)
		return err;
	u.fd = pinion_uio_open_node(u.number);
	if (u.fd < 0)
		return u.fd;
	/* Between the look and the open it may have become another function's. */
	err = pinion_uio_is_ours(&u);
	if (err < 0) {
		close(u.fd);
		return err;
	}
	*uio = u;
	return 0;
}

/*
 * Give COMMAND its first value back, and close /dev/uioN, upon which the kernel turns bus
 * mastering off, whatever that value says. The descriptor is closed in any case. pre: the device
 * is disabled.
 *
 * -ENODEV  the function is gone or has another driver: nothing was written
 */
static inline int pinion_uio_close(struct pinion_uio *uio)
{
	int err = pinion_uio_config_write16(uio, PCI_COMMAND, uio->command);

	/* After EINTR the descriptor is closed all the same: close(2), "Dealing with error". */
	if (close(uio->fd) < 0 && err == 0 && errno != EINTR)
		err = pinion_uio_errno();
	uio->fd = -1;
	return err;
}

/*
 * Read the text of "resource" (at most a page) and give the bus address on line index, where BAR
 * index starts.
 */
static inline int pinion_uio_bar_start(const struct pinion_uio *uio, unsigned index,
				       uint64_t *start)
{
	char text[4096];
	const char *line = text;
	char *end;
	ssize_t n;
	int err;
	const int fd = pinion_uio_open_attr(uio->bdf, "resource", O_RDONLY);

	if (fd < 0)
		return fd;
	/* sysfs gives an attribute whole in the first read of a page. */
	do
		n = read(fd, text, sizeof(text) - 1);
	while (n < 0 && errno == EINTR);
	err = n < 0 ? pinion_uio_errno() : 0;
	close(fd);
	if (err < 0)
		return err;
	text[n] = '\0';
	for (; index > 0 && line != NULL; index--) {
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	if (line == NULL)
		return -EINVAL;
	*start = strtoull(line, &end, 16);
	return end == line ? -EINVAL : 0;
}

/* Map the open file of a BAR; a BAR shorter than a page can start anywhere inside one. */
static inline int pinion_uio_bar_map_fd(const struct pinion_uio *uio, unsigned index, int fd,
					void **addr, size_t *len)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t start = 0;
	struct stat st;
	void *base;
	int err;

	if (fstat(fd, &st) < 0)
		return pinion_uio_errno();
	if (st.st_size <= 0 || (uint64_t)st.st_size > SIZE_MAX / 2)
		return -EINVAL;
	if ((size_t)st.st_size % page != 0) {
		err = pinion_uio_bar_start(uio, index, &start);
		if (err < 0)
			return err;
	}
	base = mmap(NULL, (size_t)st.st_size + (size_t)(start % page), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return pinion_uio_errno();
	*addr = (char *)base + start % page;
	*len = (size_t)st.st_size;
	return 0;
}

/*
 * Map the registers of BAR index (0 to 5) for reading and writing, uncached; len gets its bytes.
 * uio_pci_generic itself maps nothing: the mapping is made through sysfs, and outlives the driver
 * and its descriptor. Undo with pinion_uio_bar_unmap().
 *
 * -ENOENT  the device has no such BAR
 * -EPERM   kernel lockdown: use vfio
 * -EINVAL  index above 5, or a BAR of I/O ports, which cannot be mapped
 */
static inline int pinion_uio_bar_map(const struct pinion_uio *uio, unsigned index, void **addr,
				     size_t *len)
{
	char attr[16];
	int fd, err;

	if (index > 5)
		return -EINVAL;
	snprintf(attr, sizeof(attr), "resource%u", index);
	fd = pinion_uio_open_attr(uio->bdf, attr, O_RDWR | O_SYNC);
	if (fd < 0)
		return fd;
	err = pinion_uio_bar_map_fd(uio, index, fd, addr, len);
	close(fd);
	return err;
}

/* Undo pinion_uio_bar_map(). pre: no thread uses the registers any more. */
static inline int pinion_uio_bar_unmap(void *addr, size_t len)
{
	const size_t off = (uintptr_t)addr % (size_t)sysconf(_SC_PAGESIZE);

	if (addr == NULL)
		return -EINVAL;
	return munmap((char *)addr - off, len + off) < 0 ? pinion_uio_errno() : 0;
}

/*
 * Let the device start transfers of its own, or forbid it: bit 2 of COMMAND (PCI Local Bus
 * Specification 3.0, 6.2.2). The other bits stay; the register is read back.
 *
 * -ENODEV  the device is gone, or another driver has it
 * -EIO     the bit did not take
 */
static inline int pinion_uio_bus_master_set(const struct pinion_uio *uio, bool on)
{
	return pinion_uio_command_set(uio, PCI_COMMAND_MASTER, on ? PCI_COMMAND_MASTER : 0u);
}

/*
 * Let the next INTx through: the kernel's handler blocks the line (COMMAND bit 0x400) each time
 * it has counted one, so call this before each wait, after the device's own cause was cleared.
 * An interrupt that is pending may fire, and block again, at once: bits are not read back.
 *
 * -ENODEV  the device is gone, or another driver has it
 */
static inline int pinion_uio_irq_enable(const struct pinion_uio *uio)
{
	uint16_t v = 0;
	const int err = pinion_uio_command_read(uio, &v);

	if (err < 0)
		return err;
	return pinion_uio_config_write16(uio, PCI_COMMAND,
					 (uint16_t)(v & ~(unsigned)PCI_COMMAND_INTX_DISABLE));
}

/* Nanoseconds on a clock that never steps. */
static inline uint64_t pinion_uio_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Milliseconds left of timeout_ns since start, rounded up, for poll(2); 0 when it is over. */
static inline int pinion_uio_poll_ms(uint64_t start, uint64_t timeout_ns)
{
	const uint64_t spent = pinion_uio_clock_ns() - start;
	uint64_t ms;

	if (spent >= timeout_ns)
		return 0;
	ms = (timeout_ns - spent - 1) / 1000000u + 1;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/*
 * Wait for an interrupt, at most timeout_ns nanoseconds (rounded up to a millisecond). count gets
 * the number of interrupts since the driver was bound, modulo 2^32: more than one may have come.
 *
 * -ETIMEDOUT  none came. Is the line let through, and does the platform route INTx? Poll else
 * -EIO        the device has no interrupt line, or is no longer bound
 */
static inline int pinion_uio_irq_wait(const struct pinion_uio *uio, uint64_t timeout_ns,
				      uint32_t *count)
{
	const uint64_t start = pinion_uio_clock_ns();
	struct pollfd p;
	uint32_t got = 0;
	ssize_t n;
	int ready, ms;

	memset(&p, 0, sizeof(p));
	p.fd = uio->fd;
	p.events = POLLIN;
	do {
		ms = pinion_uio_poll_ms(start, timeout_ns);
		ready = poll(&p, 1, ms);
	} while ((ready < 0 && errno == EINTR) || (ready == 0 && ms != 0));
	if (ready <= 0)
		return ready < 0 ? pinion_uio_errno() : -ETIMEDOUT;
	/* Exactly four bytes, or the kernel says EINVAL (uio-howto, "Interrupt handling"). */
	do
		n = read(uio->fd, &got, sizeof(got));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(got))
		return n < 0 ? pinion_uio_errno() : -EIO;
	*count = got;
	return 0;
}

#endif
