/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_vfio.h"

#include <pinion/vfio_dmabuf.h>

/*
 * vfio_dmabuf.h.
 */

static union {
	int fd;
} out;

static int check(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_dmabuf_check(vfio_device);
}

static int export(struct scene *scene)
{
	const struct pinion_vfio_area area = {0, 4096};

	(void)scene;
	return pinion_vfio_dmabuf_export(vfio_device, VFIO_PCI_BAR0_REGION_INDEX, &area, 1,
					 &out.fd);
}

static const char *ends_with_exec(struct scene *scene)
{
	(void)scene;
	return fcntl(out.fd, F_GETFD) != FD_CLOEXEC ? "it is no descriptor, or for all" : NULL;
}

static void export_undo(struct scene *scene)
{
	(void)scene;
	(void)close(out.fd);
}

const struct operation vfio_dmabuf_operations[] = {
	{VFIO_DEED("vfio_dmabuf check", vfio_device_setup, check, NULL)},
	{VFIO_CALL("vfio_dmabuf export", vfio_device_setup, export, ends_with_exec),
	 .undo = export_undo},
	{0},
};
