/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_VFIO_RESET_H
#define PINION_VFIO_RESET_H

/*
 * Resets of a VFIO device: of the function alone, or of all that hangs on the same bus or slot.
 *
 *     pinion_vfio_device_reset(device)                      one function, if it knows how
 *     -ENOTSUP? then
 *     nr = pinion_vfio_hot_reset_info(device, list, max)    who would be reset with it
 *     ...                                                   open their groups: vfioctl.h
 *     pinion_vfio_hot_reset(device, group_fds, nr_groups)   all of them, at once
 *
 * A hot reset resets functions that other drivers may be using, so the kernel wants to see that
 * none is another's: each must be bound to vfio-pci, and be of a group whose descriptor is given.
 *
 * Threads: any; no other may use the devices meanwhile. Processes: the descriptors are enough. A
 * process killed inside a call: the reset is finished all the same.
 *
 * Errors are -errno; every call may also give what ioctl(2) gives. errno itself is left
 * undefined. A call that fails leaves its results as they were; after a reset that failed in the
 * middle the device is in no certain state: reset again, or close it.
 *
 * Sources: <linux/vfio.h>, drivers/vfio/pci/vfio_pci_core.c of Linux.
 * Needs vfioctl.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/vfioctl.h>

/* Since Linux 6.6: functions are told by ids of an iommufd. */
#ifndef VFIO_PCI_HOT_RESET_FLAG_DEV_ID
#define VFIO_PCI_HOT_RESET_FLAG_DEV_ID (1 << 0)
#endif

/* Most functions that we let a bus have; the kernel counts them. */
#define PINION_VFIO_AFFECTED 4096u

/* A function that a hot reset resets, DDDD:BB:DD.F, and the IOMMU group it is in. */
struct pinion_vfio_affected {
	uint32_t group;
	uint16_t domain;
	uint8_t bus, device, function;
};

/*
 * Reset the function. Registers lose their values, COMMAND keeps its own.
 *
 * -ENOTSUP  it knows no reset of its own: use the device's own (NVMe: CC.EN = 0), or
 *           pinion_vfio_hot_reset()
 * -EAGAIN   the kernel is just working on the function: try again
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

/* Understand a filled struct vfio_pci_hot_reset_info with the functions behind it, len bytes in
 * all. Returns how many there are. */
static inline int pinion_vfio_hot_reset_parse(const void *info, size_t len,
					      struct pinion_vfio_affected *list, uint32_t max)
{
	struct vfio_pci_hot_reset_info fixed;
	struct vfio_pci_dependent_device one;
	uint32_t i;

	if (len < sizeof(fixed))
		return -EBADMSG;
	memcpy(&fixed, info, sizeof(fixed));
	if (fixed.count > (len - sizeof(fixed)) / sizeof(one) ||
	    fixed.count > PINION_VFIO_AFFECTED)
		return -EBADMSG;
	if ((fixed.flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID) != 0)
		return -ENOTSUP;
	for (i = 0; i < fixed.count && i < max; i++) {
		memcpy(&one, (const char *)info + sizeof(fixed) + i * sizeof(one), sizeof(one));
		list[i].group = one.group_id;
		list[i].domain = one.segment;
		list[i].bus = one.bus;
		/* Five bits of device, three of function. */
		list[i].device = (uint8_t)(one.devfn >> 3);
		list[i].function = (uint8_t)(one.devfn & 7);
	}
	return (int)fixed.count;
}

/*
 * Which functions a hot reset would reset, this one among them: the first max of them go to list,
 * and how many there are is returned. With max 0 list may be NULL.
 *
 * -ENOTSUP  there is no such reset: the device is on a root bus, or was opened through iommufd,
 *           where there are no groups
 * -EPERM    one of them has no IOMMU group
 * -EAGAIN   functions came or went meanwhile: ask again
 * -EBADMSG  the kernel's answer contradicts itself
 * -ENOMEM   no memory
 */
static inline int pinion_vfio_hot_reset_info(int device, struct pinion_vfio_affected *list,
					     uint32_t max)
{
	struct vfio_pci_hot_reset_info head, *whole;
	size_t len;
	int err;

	memset(&head, 0, sizeof(head));
	head.argsz = sizeof(head);
	/* Asked with too little room, the kernel answers with how many there are, and ENOSPC. */
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &head);
	if (err < 0 && err != -ENOSPC)
		return err == -ENODEV ? -ENOTSUP : err;
	if (head.count > PINION_VFIO_AFFECTED)
		return -EBADMSG;
	len = sizeof(head) + head.count * sizeof(struct vfio_pci_dependent_device);
	whole = (struct vfio_pci_hot_reset_info *)calloc(1, len);
	if (whole == NULL)
		return -ENOMEM;
	whole->argsz = (uint32_t)len;
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, whole);
	if (err == 0)
		err = pinion_vfio_hot_reset_parse(whole, len, list, max);
	free(whole);
	return err == -ENOSPC ? -EAGAIN : err;
}

/*
 * Reset all functions that pinion_vfio_hot_reset_info() tells of: those of the nr groups whose
 * descriptors are given, as pinion_vfio_group_open() gave them, each once. Registers lose their
 * values, COMMAND keeps its own.
 *
 * -EINVAL   a function is of none of these groups, or not bound to vfio-pci; nr is 0 (right for a
 *           device of iommufd alone, since Linux 6.6) or more than there are functions; or a
 *           descriptor is no group's
 * -ENOTSUP  there is no such reset: the device is on a root bus
 * -EBADF    not a descriptor
 * -EBUSY    registers of one of them are just being mapped: try again; -EAGAIN: its driver is at
 *           work on it
 * -ENOMEM   no memory
 */
static inline int pinion_vfio_hot_reset(int device, const int32_t *group_fds, uint32_t nr)
{
	const size_t data = (size_t)nr * sizeof(*group_fds);
	const size_t len = sizeof(struct vfio_pci_hot_reset) + data;
	struct vfio_pci_hot_reset *reset;
	int err;

	if (nr > PINION_VFIO_AFFECTED || (nr > 0 && group_fds == NULL))
		return -EINVAL;
	reset = (struct vfio_pci_hot_reset *)calloc(1, len);
	if (reset == NULL)
		return -ENOMEM;
	reset->argsz = (uint32_t)len;
	reset->count = nr;
	if (nr > 0)
		memcpy(reset->group_fds, group_fds, data);
	err = pinion_vfio_ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, reset);
	free(reset);
	return err == -ENODEV ? -ENOTSUP : err;
}

#endif
