/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HW_VFIO_H
#define PINION_TESTS_HW_VFIO_H

/* What the programs with a device behind vfio-pci share: the way to its container, its group and
 * itself, and back. */

#include <pinion/pci.h>
#include <pinion/vfioctl.h>

#include "hw_support.h"

/* Open all three, with that kind of IOMMU. After a failure none is open. */
static inline int hw_vfio_open_as(uint32_t kind, unsigned group, int *container, int *group_fd,
				  int *device)
{
	int err = pinion_vfio_container_open_as(kind, container);

	if (err < 0)
		return err;
	err = pinion_vfio_group_open_as(kind, group, *container, group_fd);
	if (err < 0)
		goto close_container;
	err = pinion_vfio_device_open(*group_fd, hw_bdf, device);
	if (err == 0)
		return 0;
	pinion_vfio_group_close(*group_fd);
close_container:
	pinion_vfio_container_close(*container);
	return err;
}

static inline int hw_vfio_open(unsigned group, int *container, int *group_fd, int *device)
{
	return hw_vfio_open_as(VFIO_TYPE1v2_IOMMU, group, container, group_fd, device);
}

/* Close all three; the first error, if any. */
static inline int hw_vfio_close(int container, int group_fd, int device)
{
	const int errs[] = {pinion_vfio_device_close(device), pinion_vfio_group_close(group_fd),
			    pinion_vfio_container_close(container)};

	return errs[0] < 0 ? errs[0] : errs[1] < 0 ? errs[1] : errs[2];
}

/* hw_begin() with vfio-pci, and the number of the device's group. */
static inline int hw_vfio_begin(int argc, char **argv, unsigned *group, int *status)
{
	struct pinion_pci_bdf bdf;

	if (hw_begin(argc, argv, "vfio-pci", status) < 0)
		return -1;
	if (pinion_pci_bdf_parse(hw_bdf, &bdf) == 0 && pinion_pci_iommu_group(&bdf, group) == 0)
		return 0;
	hw_give_back(NULL);
	*status = hw_bail_out("it has no IOMMU group");
	return -1;
}

#endif
