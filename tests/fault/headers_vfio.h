/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_HEADERS_VFIO_H
#define TESTS_FAULT_HEADERS_VFIO_H

/*
 * A container, a group and a device of the machine, open, for the calls of vfioctl.h and of what
 * stands on it. There is no device: kernel.h answers ioctl(2) in its place.
 */

#include "headers.h"

#include <pinion/vfioctl.h>

extern int vfio_container, vfio_group, vfio_device; /* -1: not open */

/* As much of it as a call needs. */
void vfio_container_setup(struct scene *scene);
void vfio_group_setup(struct scene *scene);
void vfio_device_setup(struct scene *scene);
void vfio_teardown(struct scene *scene);

#define VFIO_DEED(text, before, call, good) \
	.name = (text), .setup = (before), .run = (call), .use = (good), \
	.teardown = vfio_teardown, .bare = true

#define VFIO_CALL(text, before, call, good) \
	VFIO_DEED(text, before, call, good), .out = &out, .out_len = sizeof(out)

#endif
