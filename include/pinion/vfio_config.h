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
 * VFIO stands between: it lets through what it trusts a user with (COMMAND, power management),
 * keeps BARs and the interrupt's line as values of its own, hides some capabilities and drops
 * other writes without a word. Read back what matters.
 *
 * Threads: any call from any thread; two that read, change and write one register lose a change.
 * Processes: a descriptor of the device is enough. Death: bus mastering goes off with the last
 * descriptor of the device.
 *
 * Each call asks first where the space is, and how long: 256 bytes, 4096 with PCI Express.
 * Whoever reads much calls pinion_vfio_region_info() once, and pinion_vfio_region_read32().
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

/* Where configuration space is. */
static inline int pinion_vfio_config_info(int device, struct pinion_vfio_region *r)
{
	memset(r, 0, sizeof(*r));
	return pinion_vfio_region_info(device, VFIO_PCI_CONFIG_REGION_INDEX, r);
}

/*
 * Read 8 bits of configuration space at the byte offset off.
 *
 * -EINVAL  off is beyond the space or, for wider ones, no multiple of their width
 * -EIO     the device did not answer in full
 */
static inline int pinion_vfio_config_read8(int device, unsigned off, uint8_t *v)
{
	struct pinion_vfio_region r;
	const int err = pinion_vfio_config_info(device, &r);

	return err < 0 ? err : pinion_vfio_region_read8(device, &r, off, v);
}

/* The same for 16 bits, in the byte order of the processor. */
static inline int pinion_vfio_config_read16(int device, unsigned off, uint16_t *v)
{
	struct pinion_vfio_region r;
	const int err = pinion_vfio_config_info(device, &r);

	return err < 0 ? err : pinion_vfio_region_read16(device, &r, off, v);
}

/* The same for 32 bits. */
static inline int pinion_vfio_config_read32(int device, unsigned off, uint32_t *v)
{
	struct pinion_vfio_region r;
	const int err = pinion_vfio_config_info(device, &r);

	return err < 0 ? err : pinion_vfio_region_read32(device, &r, off, v);
}

/*
 * Write 8 bits of configuration space at the byte offset off, of which VFIO may keep some or all
 * back. Errors: those of pinion_vfio_config_read8().
 */
static inline int pinion_vfio_config_write8(int device, unsigned off, uint8_t v)
{
	struct pinion_vfio_region r;
	const int err = pinion_vfio_config_info(device, &r);

	return err < 0 ? err : pinion_vfio_region_write8(device, &r, off, v);
}

/* The same for 16 bits, in the byte order of the processor. */
static inline int pinion_vfio_config_write16(int device, unsigned off, uint16_t v)
{
	struct pinion_vfio_region r;
	const int err = pinion_vfio_config_info(device, &r);

	return err < 0 ? err : pinion_vfio_region_write16(device, &r, off, v);
}

/* The same for 32 bits. */
static inline int pinion_vfio_config_write32(int device, unsigned off, uint32_t v)
{
	struct pinion_vfio_region r;
	const int err = pinion_vfio_config_info(device, &r);

	return err < 0 ? err : pinion_vfio_region_write32(device, &r, off, v);
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
	if (now == UINT16_MAX)
		return -ENODEV;
	return ((now ^ want) & PCI_COMMAND_MASTER) != 0 ? -EIO : 0;
}

#endif
