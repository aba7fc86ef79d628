/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_VFIO_RESET_H
#define PINION_VFIO_RESET_H

/*
 * Resets of a VFIO device.
 *
 *     pinion_vfio_device_reset(device)       one function, if it knows how
 *
 * Threads: any; no other may use the device meanwhile. Processes: a descriptor of the device is
 * enough.
 *
 * Errors are -errno; every call may also give what ioctl(2) gives. errno itself is left
 * undefined.
 *
 * Sources: <linux/vfio.h>, drivers/vfio/pci/vfio_pci_core.c of Linux.
 * Needs vfioctl.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/vfioctl.h>

/*
 * Reset the function. Registers lose their values, COMMAND keeps its own.
 *
 * -ENOTSUP  it knows no reset of its own: use the device's own (NVMe: CC.EN = 0)
 */
static inline int pinion_vfio_device_reset(int device)
{
	struct vfio_device_info info;
	int err;

	memset(&info, 0, sizeof(info));
	info.argsz = sizeof(info);
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_GET_INFO, &info);
	if (err < 0)
		return err;
	if ((info.flags & VFIO_DEVICE_FLAGS_RESET) == 0)
		return -ENOTSUP;
	return pinion_vfio_ioctl_value(device, VFIO_DEVICE_RESET, 0);
}

#endif
