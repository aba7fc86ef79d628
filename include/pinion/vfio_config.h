/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_VFIO_CONFIG_H
#define PINION_VFIO_CONFIG_H

/*
 * Configuration space of a VFIO device, as VFIO shows it: registers, and bus mastering.
 *
 *     pinion_vfio_config_read16(device, PCI_VENDOR_ID, &vendor);     names: linux/pci_regs.h
 *     pinion_vfio_bus_master_set(device, true);
 *     ...                                                            the device works
 *     pinion_vfio_bus_master_set(device, false);
 *
 * Threads: any call from any thread; two that change COMMAND at once can lose a change.
 * Processes: a descriptor of the device is enough. Death: bus mastering goes off with the last
 * descriptor of the device.
 *
 * Errors are -errno; every call may also give what ioctl(2), pread(2) and pwrite(2) give. errno
 * itself is left undefined. A call that fails leaves its results as they were.
 *
 * Sources: drivers/vfio/pci/vfio_pci_config.c of Linux; PCI Local Bus Specification 3.0, 6.1 and
 * 6.2.
 * Needs vfio_region.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/vfio_region.h>

#include <linux/pci_regs.h>

/* Offset in the device descriptor of the 16 bits at off of configuration space. */
static inline int pinion_vfio_config_at(int device, unsigned off, off_t *at)
{
	struct pinion_vfio_region r;
	int err;

	memset(&r, 0, sizeof(r));
	err = pinion_vfio_region_info(device, VFIO_PCI_CONFIG_REGION_INDEX, &r);
	if (err < 0)
		return err;
	if (off % 2 != 0 || r.len < 2 || off > r.len - 2)
		return -EINVAL;
	if ((uint64_t)(off_t)(r.offset + off) != r.offset + off)
		return -EOVERFLOW;
	*at = (off_t)(r.offset + off);
	return 0;
}

/*
 * Read 16 bits of configuration space at the even byte offset off, as VFIO shows it.
 *
 * -EINVAL  off is odd, or beyond the space
 * -EIO     the device did not answer in full
 */
static inline int pinion_vfio_config_read16(int device, unsigned off, uint16_t *v)
{
	uint8_t le[2];
	off_t at = 0;
	ssize_t n;
	const int err = pinion_vfio_config_at(device, off, &at);

	if (err < 0)
		return err;
	do
		n = pread(device, le, sizeof(le), at);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(le))
		return n < 0 ? pinion_vfio_errno() : -EIO;
	*v = (uint16_t)(le[0] | (unsigned)le[1] << 8);
	return 0;
}

/*
 * Write 16 bits of configuration space at the even byte offset off. VFIO lets through what it
 * trusts a user with (COMMAND, power management), and keeps the rest: read back what matters.
 * Errors: those of pinion_vfio_config_read16().
 */
static inline int pinion_vfio_config_write16(int device, unsigned off, uint16_t v)
{
	const uint8_t le[2] = { (uint8_t)(v & 0xff), (uint8_t)(v >> 8) };
	off_t at = 0;
	ssize_t n;
	const int err = pinion_vfio_config_at(device, off, &at);

	if (err < 0)
		return err;
	do
		n = pwrite(device, le, sizeof(le), at);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(le))
		return n < 0 ? pinion_vfio_errno() : -EIO;
	return 0;
}

/*
 * Let the device start transfers of its own, or forbid it: bit 2 of COMMAND (PCI Local Bus
 * Specification 3.0, 6.2.2). The other bits stay; the register is read back.
 *
 * -ENODEV  COMMAND reads all ones: the device is gone
 * -EIO     the bit did not take
 */
static inline int pinion_vfio_bus_master_set(int device, bool on)
{
	uint16_t was = 0, now = 0, want;
	int err = pinion_vfio_config_read16(device, PCI_COMMAND, &was);

	if (err < 0)
		return err;
	if (was == UINT16_MAX)
		return -ENODEV;
	want = (uint16_t)((was & ~(unsigned)PCI_COMMAND_MASTER) | (on ? PCI_COMMAND_MASTER : 0u));
	err = pinion_vfio_config_write16(device, PCI_COMMAND, want);
	if (err == 0)
		err = pinion_vfio_config_read16(device, PCI_COMMAND, &now);
	if (err < 0)
		return err;
	return ((now ^ want) & PCI_COMMAND_MASTER) != 0 ? -EIO : 0;
}

#endif
