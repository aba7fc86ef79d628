/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_vfio.h"

#include "kernel.h"

int vfio_container = -1, vfio_group = -1, vfio_device = -1;

void vfio_container_setup(struct scene *scene)
{
	kernel_reset();
	tree_open(scene);
	scene_must(!pinion_vfio_container_open(&vfio_container), "a container");
}

void vfio_group_setup(struct scene *scene)
{
	vfio_container_setup(scene);
	scene_must(!pinion_vfio_group_open(12, vfio_container, &vfio_group), "a group");
}

void vfio_device_setup(struct scene *scene)
{
	vfio_group_setup(scene);
	scene_must(!pinion_vfio_device_open(vfio_group, TREE_BDF, &vfio_device), "a device");
}

static void let_go(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void vfio_teardown(struct scene *scene)
{
	let_go(&vfio_device);
	let_go(&vfio_group);
	let_go(&vfio_container);
	tree_close(scene);
}
