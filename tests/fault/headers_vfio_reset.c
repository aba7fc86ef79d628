/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_vfio.h"

#include <pinion/vfio_reset.h>

#include "kernel.h"

/*
 * vfio_reset.h.
 */

#define FUNCTIONS 2

static union {
	struct pinion_vfio_affected list[FUNCTIONS];
} out;

static int device_reset(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_device_reset(vfio_device);
}

static int hot_reset(struct scene *scene)
{
	const int32_t group = vfio_group;

	(void)scene;
	return pinion_vfio_hot_reset(vfio_device, &group, 1);
}

static const char *is_reset(struct scene *scene)
{
	(void)scene;
	return kernel_was_reset() ? NULL : "it was not reset";
}

static const char *not_reset(struct scene *scene)
{
	(void)scene;
	return kernel_was_reset() ? "the device: it was reset" : NULL;
}

static int hot_reset_info(struct scene *scene)
{
	(void)scene;
	return operation_unless(pinion_vfio_hot_reset_info(vfio_device, out.list, FUNCTIONS),
				FUNCTIONS);
}

static const char *both_are_told(struct scene *scene)
{
	(void)scene;
	return out.list[0].bus != 0x41 || out.list[1].function != 1 ? "it tells of others" : NULL;
}

/* One that came between the two questions. */
static const int more[] = {-EAGAIN, 0};

const struct operation vfio_reset_operations[] = {
	{VFIO_DEED("vfio_reset device_reset", vfio_device_setup, device_reset, is_reset),
	 .kept = not_reset},
	{VFIO_CALL("vfio_reset hot_reset_info", vfio_device_setup, hot_reset_info, both_are_told),
	 .may = more},
	{VFIO_DEED("vfio_reset hot_reset", vfio_device_setup, hot_reset, is_reset),
	 .kept = not_reset},
	{0},
};
