/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_vfio.h"
#include "headers_widths.h"

#include <pinion/vfio_config.h>

/*
 * vfio_config.h.
 */

static union {
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;
} out;

#define CONFIG_CALL(text, call, good) VFIO_CALL(text, vfio_device_setup, call, good)
#define CONFIG_DEED(text, call, good) VFIO_DEED(text, vfio_device_setup, call, good)

WIDTHS(pinion_vfio_config, vfio_device)

/* Reads what it wrote: that may fail when it is done. */
static int bus_master_set(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_bus_master_set(vfio_device, true);
}

const struct operation vfio_config_operations[] = {
	{CONFIG_CALL("vfio_config read8", read8, vendor_is_8)},
	{CONFIG_CALL("vfio_config read16", read16, vendor_is_16)},
	{CONFIG_CALL("vfio_config read32", read32, vendor_is_32)},
	{CONFIG_DEED("vfio_config write8", write8, tree_is_master), .kept = tree_command_stayed},
	{CONFIG_DEED("vfio_config write16", write16, tree_is_master), .kept = tree_command_stayed},
	{CONFIG_DEED("vfio_config write32", write32, tree_is_master), .kept = tree_command_stayed},
	{CONFIG_DEED("vfio_config bus_master_set", bus_master_set, tree_is_master)},
	{0},
};
