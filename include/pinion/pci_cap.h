/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_PCI_CAP_H
#define PINION_PCI_CAP_H

/*
 * Capabilities of a PCI function: the two lists in its configuration space.
 *
 *     pinion_pci_cap_find(&bdf, PCI_CAP_ID_MSIX, &off);       0x11; names: linux/pci_regs.h
 *     pinion_pci_config_read16(&bdf, off + PCI_MSIX_FLAGS, &flags);
 *     pinion_pci_ext_cap_find(&bdf, PCI_EXT_CAP_ID_SRIOV, &off);
 *     pinion_pci_cap_walk(&bdf, show, arg);                   show(cap, arg) for each
 *
 *     list       begins                              an entry
 *     --------   ---------------------------------   --------------------------------------------
 *     standard   the byte at 0x34 (0x14 in a         id 8 bits, next 8 bits
 *                CardBus bridge), if bit 4 of
 *                STATUS is set
 *     extended   at 0x100, in PCI Express functions  id 16 bits, version 4 bits, next 12 bits
 *
 * Sources: PCI Local Bus Specification 3.0, 6.7 and appendix H; PCI Express Base Specification
 * 5.0, 7.6.1 to 7.6.3; for CardBus, PCI_CB_CAPABILITY_LIST of Linux.
 *
 * The lists are the device's word, and are not believed: an entry that comes twice, that lies in
 * the header before the list or beyond the end ends the walk with an error. So a walk visits each
 * of at most 48 (standard) or 960 (extended) places once, whatever stands there. Only what is
 * part of a list is read: some devices do not survive a read of what they do not define.
 *
 * Who: root, or CAP_SYS_ADMIN: the kernel shows others the first 64 bytes only. Any thread, any
 * process; nothing is kept between calls. Death: nothing to undo. While another resets the device
 * its space reads as all ones, which is -ENODEV: try again after the reset.
 *
 * Errors are -errno; errno itself is left undefined. A call that fails leaves its results as they
 * were.
 * Needs pci.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/pci.h>

/* An entry of a list: off is the byte offset of its first register in configuration space.
 * version is 0 in the standard list, which has none. */
struct pinion_pci_cap {
	uint16_t id, off;
	uint8_t version;
	bool extended;
};

/* What a walk calls for an entry; a value other than 0 ends the walk, which returns it. */
typedef int (*pinion_pci_cap_fn)(const struct pinion_pci_cap *cap, void *arg);

/* A walk under way: the open space, its size in bytes, and a bit for each place visited. */
struct pinion_pci_walk {
	int fd;
	uint64_t size;
	uint32_t seen[4096 / 4 / 32];
};

/* Begin: -ENODEV and -ENOENT as in pinion_pci_open(). End with close(walk->fd). */
static inline int pinion_pci_walk_open(const struct pinion_pci_bdf *bdf,
				       struct pinion_pci_walk *walk)
{
	struct stat st;

	memset(walk, 0, sizeof(*walk));
	walk->fd = pinion_pci_open(bdf, "config", O_RDONLY);
	if (walk->fd < 0)
		return walk->fd;
	if (fstat(walk->fd, &st) < 0) {
		const int err = pinion_pci_errno();

		close(walk->fd);
		return err;
	}
	/* The kernel gives the file the size of the function's space: 256 or 4096. */
	walk->size = (uint64_t)st.st_size;
	return 0;
}

/*
 * Read width bytes at off. -EBADMSG when the space ends before, -EPERM when it goes on and the
 * kernel does not show it.
 */
static inline int pinion_pci_walk_read(const struct pinion_pci_walk *walk, unsigned off,
				       unsigned width, uint32_t *v)
{
	uint8_t le[4] = {0, 0, 0, 0};
	ssize_t n;

	if (off + width > walk->size)
		return -EBADMSG;
	do
		n = pread(walk->fd, le, width, (off_t)off);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return pinion_pci_errno();
	if (n != (ssize_t)width)
		return -EPERM;
	*v = le[0] | (uint32_t)le[1] << 8 | (uint32_t)le[2] << 16 | (uint32_t)le[3] << 24;
	return 0;
}

/* Step on a place that must be at or beyond first, and be new. pre: off is a multiple of 4 below
 * 4096. */
static inline int pinion_pci_walk_step(struct pinion_pci_walk *walk, unsigned off, unsigned first)
{
	const uint32_t bit = UINT32_C(1) << (off / 4 % 32);
	uint32_t *const word = &walk->seen[off / 4 / 32];

	if (off < first)
		return -EBADMSG;
	if ((*word & bit) != 0)
		return -ELOOP;
	*word |= bit;
	return 0;
}

/* Where the standard list begins; 0 when there is none. */
static inline int pinion_pci_cap_first(const struct pinion_pci_walk *walk, unsigned *off)
{
	uint32_t status = 0, type = 0, at = 0;
	int err = pinion_pci_walk_read(walk, PCI_STATUS, 2, &status);

	if (err == 0)
		err = pinion_pci_walk_read(walk, PCI_HEADER_TYPE, 1, &type);
	if (err < 0)
		return err;
	if (status == UINT16_MAX)
		return -ENODEV;
	*off = 0;
	if ((status & PCI_STATUS_CAP_LIST) == 0)
		return 0;
	/* Bit 7 says that there are other functions. */
	err = pinion_pci_walk_read(walk,
				   (type & 0x7f) == PCI_HEADER_TYPE_CARDBUS ? PCI_CB_CAPABILITY_LIST
									    : PCI_CAPABILITY_LIST,
				   1, &at);
	/* The low two bits are reserved, and to be masked: 6.7. */
	if (err == 0)
		*off = at & 0xfc;
	return err;
}

/* The standard list of an open space. */
static inline int pinion_pci_cap_each(struct pinion_pci_walk *walk, pinion_pci_cap_fn fn, void *arg)
{
	struct pinion_pci_cap cap = {0, 0, 0, false};
	uint32_t entry = 0;
	unsigned off = 0;
	int err = pinion_pci_cap_first(walk, &off);

	while (err == 0 && off != 0) {
		/* The header of every type has 64 bytes. */
		err = pinion_pci_walk_step(walk, off, 0x40);
		if (err == 0)
			err = pinion_pci_walk_read(walk, off, 2, &entry);
		if (err < 0)
			return err;
		if (entry == UINT16_MAX)
			return -ENODEV;
		cap.id = (uint16_t)(entry & 0xff);
		cap.off = (uint16_t)off;
		err = fn(&cap, arg);
		off = entry >> 8 & 0xfc;
	}
	return err;
}

/* The extended list of an open space. */
static inline int pinion_pci_ext_cap_each(struct pinion_pci_walk *walk, pinion_pci_cap_fn fn,
					  void *arg)
{
	struct pinion_pci_cap cap = {0, 0, 0, true};
	unsigned off = walk->size > 0x100 ? 0x100 : 0;
	uint32_t entry = 0;
	int err = 0;

	while (err == 0 && off != 0) {
		err = pinion_pci_walk_step(walk, off, 0x100);
		if (err == 0)
			err = pinion_pci_walk_read(walk, off, 4, &entry);
		if (err < 0)
			return err;
		if (entry == UINT32_MAX)
			return -ENODEV;
		/* All zeroes: no extended capabilities, 7.6.1; but not where one pointed. */
		if (entry == 0)
			return off == 0x100 ? 0 : -EBADMSG;
		cap.id = (uint16_t)(entry & 0xffff);
		cap.version = (uint8_t)(entry >> 16 & 0xf);
		cap.off = (uint16_t)off;
		err = fn(&cap, arg);
		off = entry >> 20 & 0xffc;
	}
	return err;
}

/*
 * Call fn(cap, arg) for each standard capability, in the order of the list; the first value other
 * than 0 that fn returns ends the walk and is returned; let it be positive. Otherwise 0, also
 * when the function has no list.
 *
 * -EPERM    not root: only the first 64 bytes are shown
 * -ELOOP    the list comes back to an entry; fn has had each entry once
 * -EBADMSG  the list points into the header, beyond the end, or (the extended one) at nothing; fn
 *           has had those before
 * -ENODEV   no such device, or it reads all ones: it is gone, or being reset
 */
static inline int pinion_pci_cap_walk(const struct pinion_pci_bdf *bdf, pinion_pci_cap_fn fn,
				      void *arg)
{
	struct pinion_pci_walk walk;
	int err = pinion_pci_walk_open(bdf, &walk);

	if (err < 0)
		return err;
	err = pinion_pci_cap_each(&walk, fn, arg);
	close(walk.fd);
	return err;
}

/* pinion_pci_cap_walk() for the extended list. A space of 256 bytes has none, which is 0. */
static inline int pinion_pci_ext_cap_walk(const struct pinion_pci_bdf *bdf, pinion_pci_cap_fn fn,
					  void *arg)
{
	struct pinion_pci_walk walk;
	int err = pinion_pci_walk_open(bdf, &walk);

	if (err < 0)
		return err;
	err = pinion_pci_ext_cap_each(&walk, fn, arg);
	close(walk.fd);
	return err;
}

/* Ends a walk at the id that it is given, and leaves the entry there. */
static inline int pinion_pci_cap_is(const struct pinion_pci_cap *cap, void *arg)
{
	struct pinion_pci_cap *want = (struct pinion_pci_cap *)arg;

	if (cap->id != want->id)
		return 0;
	*want = *cap;
	return 1;
}

/*
 * Byte offset of the first standard capability with that id (PCI_CAP_ID_ of linux/pci_regs.h).
 *
 * -ENOENT  the function has none
 * and the errors of pinion_pci_cap_walk()
 */
static inline int pinion_pci_cap_find(const struct pinion_pci_bdf *bdf, uint8_t id, unsigned *off)
{
	struct pinion_pci_cap cap = {id, 0, 0, false};
	const int err = pinion_pci_cap_walk(bdf, pinion_pci_cap_is, &cap);

	if (err <= 0)
		return err < 0 ? err : -ENOENT;
	*off = cap.off;
	return 0;
}

/* pinion_pci_cap_find() for the extended list (PCI_EXT_CAP_ID_). */
static inline int pinion_pci_ext_cap_find(const struct pinion_pci_bdf *bdf, uint16_t id,
					  unsigned *off)
{
	struct pinion_pci_cap cap = {id, 0, 0, true};
	const int err = pinion_pci_ext_cap_walk(bdf, pinion_pci_cap_is, &cap);

	if (err <= 0)
		return err < 0 ? err : -ENOENT;
	*off = cap.off;
	return 0;
}

#endif
