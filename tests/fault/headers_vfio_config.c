/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_vfio.h"

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

static int read8(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_config_read8(vfio_device, PCI_VENDOR_ID, &out.v8);
}

static int read16(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_config_read16(vfio_device, PCI_VENDOR_ID, &out.v16);
}

static int read32(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_config_read32(vfio_device, PCI_VENDOR_ID, &out.v32);
}

static const char *vendor_is_8(struct scene *scene)
{
	(void)scene;
	return out.v8 != 0x36 ? "it is another vendor" : NULL;
}

static const char *vendor_is_16(struct scene *scene)
{
	(void)scene;
	return out.v16 != 0x1b36 ? "it is another vendor" : NULL;
}

static const char *vendor_is_32(struct scene *scene)
{
	(void)scene;
	return out.v32 != 0x00101b36 ? "it is another vendor" : NULL;
}

static int write8(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_config_write8(vfio_device, PCI_COMMAND, 0x07);
}

static int write16(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_config_write16(vfio_device, PCI_COMMAND, 0x0407);
}

static int write32(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_config_write32(vfio_device, PCI_COMMAND, 0x00100407);
}

/* Reads what it wrote: that may fail when it is done. */
static int bus_master_set(struct scene *scene)
{
	(void)scene;
	return pinion_vfio_bus_master_set(vfio_device, true);
}

static const char *is_master(struct scene *scene)
{
	(void)scene;
	return tree_config16(PCI_COMMAND) != 0x0407 ? "COMMAND has another value" : NULL;
}

static const char *command_stayed(struct scene *scene)
{
	(void)scene;
	return tree_config16(PCI_COMMAND) != TREE_COMMAND ? "COMMAND" : NULL;
}

const struct operation vfio_config_operations[] = {
	{CONFIG_CALL("vfio_config read8", read8, vendor_is_8)},
	{CONFIG_CALL("vfio_config read16", read16, vendor_is_16)},
	{CONFIG_CALL("vfio_config read32", read32, vendor_is_32)},
	{CONFIG_DEED("vfio_config write8", write8, is_master), .kept = command_stayed},
	{CONFIG_DEED("vfio_config write16", write16, is_master), .kept = command_stayed},
	{CONFIG_DEED("vfio_config write32", write32, is_master), .kept = command_stayed},
	{CONFIG_DEED("vfio_config bus_master_set", bus_master_set, is_master)},
	{0},
};
