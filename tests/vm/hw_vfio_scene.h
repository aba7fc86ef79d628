/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HW_VFIO_SCENE_H
#define PINION_TESTS_HW_VFIO_SCENE_H

/* What a test with a device behind vfio-pci begins and ends with, where it needs nothing more: the
 * container, the group and the device, open; and afterwards no descriptor that is left. */

#include "hw_vfio.h"

static uint32_t kind = VFIO_TYPE1v2_IOMMU; /* of IOMMU; main() may want another */
static unsigned group;
static int c = -1, g = -1, d = -1;

static int open_all(void **state)
{
	return support_fds_before(state) != 0 ? -1 : hw_vfio_open_as(kind, group, &c, &g, &d);
}

static int close_all(void **state)
{
	const int err = hw_vfio_close(c, g, d);

	return err == 0 ? support_fds_after(state) : err;
}

#define device_test(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

#endif
