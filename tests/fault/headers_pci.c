/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_widths.h"

#include <pinion/pci.h>

/*
 * pci.h. Calls that make no system call are left out: names are parsed and written.
 */

static union {
	struct pinion_pci_ids ids;
	struct pinion_pci_bar_info info;
	struct pinion_pci_bar bar;
	char text[PINION_PCI_PATH_LEN];
	uint64_t u64;
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;
	unsigned group;
	int node;
} out;

static const struct pinion_pci_bdf drive = {0, 0x41, 0, 0};

/* Attributes and links. */

/* "On failure text is not to be read": a file can break off in its middle. */
static char attr[64];

static int attr_read(struct scene *scene)
{
	(void)scene;
	return pinion_pci_attr_read(&drive, "vendor", attr, sizeof(attr));
}

static const char *attr_is_read(struct scene *scene)
{
	(void)scene;
	return strcmp(attr, "0x1b36") ? "it is another text" : NULL;
}

static int attr_u64(struct scene *scene)
{
	(void)scene;
	return pinion_pci_attr_u64(&drive, "vendor", &out.u64);
}

static const char *number_is_read(struct scene *scene)
{
	(void)scene;
	return out.u64 != 0x1b36 ? "it is another number" : NULL;
}

static int ids_read(struct scene *scene)
{
	(void)scene;
	return pinion_pci_ids_read(&drive, &out.ids);
}

static const char *ids_are_read(struct scene *scene)
{
	(void)scene;
	return out.ids.vendor != 0x1b36 || out.ids.class_code != 0x010802 || out.ids.revision != 2
		       ? "they are others"
		       : NULL;
}

static int numa_node(struct scene *scene)
{
	(void)scene;
	return pinion_pci_numa_node(&drive, &out.node);
}

static const char *node_is_0(struct scene *scene)
{
	(void)scene;
	return out.node ? "it is another node" : NULL;
}

static int driver(struct scene *scene)
{
	(void)scene;
	return pinion_pci_driver(&drive, out.text, sizeof(out.text));
}

static const char *driver_is_nvme(struct scene *scene)
{
	(void)scene;
	return strcmp(out.text, "nvme") ? "it is another driver" : NULL;
}

static int iommu_group(struct scene *scene)
{
	(void)scene;
	return pinion_pci_iommu_group(&drive, &out.group);
}

static const char *group_is_12(struct scene *scene)
{
	(void)scene;
	return out.group != 12 ? "it is another group" : NULL;
}

/* What is not there: said of a device that is there, and of none. */

static int no_attr(struct scene *scene)
{
	(void)scene;
	return operation_unless(pinion_pci_attr_u64(&drive, "nothing", &out.u64), -ENOENT);
}

static int no_device(struct scene *scene)
{
	const struct pinion_pci_bdf absent = {0, 0x43, 0, 0};

	(void)scene;
	return operation_unless(pinion_pci_attr_u64(&absent, "vendor", &out.u64), -ENODEV);
}

/* BARs. */

static int bar_info_read(struct scene *scene)
{
	(void)scene;
	return pinion_pci_bar_info_read(&drive, 0, &out.info);
}

static const char *bar_is_described(struct scene *scene)
{
	(void)scene;
	return out.info.size != 8192 || out.info.start != 0xfe800000 ? "it is another BAR" : NULL;
}

static int bar_map(struct scene *scene)
{
	(void)scene;
	return pinion_pci_bar_map(&drive, 0, &out.bar);
}

static int bar_map_small(struct scene *scene)
{
	(void)scene;
	return pinion_pci_bar_map(&drive, 1, &out.bar);
}

static int bar_map_wc(struct scene *scene)
{
	(void)scene;
	return pinion_pci_bar_map_wc(&drive, 4, &out.bar);
}

static int bar_map_wc_of_another(struct scene *scene)
{
	(void)scene;
	return operation_unless(pinion_pci_bar_map_wc(&drive, 0, &out.bar), -ENOTSUP);
}

static const char *bar_is_mapped(struct scene *scene)
{
	(void)scene;
	return tree_bar_holds(out.bar.addr);
}

static void bar_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_pci_bar_unmap(&out.bar), "no BAR");
}

static struct pinion_pci_bar mapped;

static void mapped_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_pci_bar_map(&drive, 1, &mapped), "a BAR");
}

static void mapped_setup(struct scene *scene)
{
	tree_open(scene);
	mapped_undo(scene);
}

/* The injector's munmap(2) does its work whatever it says, and a second one finds nothing there. */
static void mapped_teardown(struct scene *scene)
{
	(void)pinion_pci_bar_unmap(&mapped);
	tree_close(scene);
}

static int bar_unmap(struct scene *scene)
{
	(void)scene;
	return pinion_pci_bar_unmap(&mapped);
}

/* Ports. */

static int ports_open(struct scene *scene)
{
	scene->fd = pinion_pci_ports_open(&drive, 2);
	return scene->fd < 0 ? scene->fd : 0;
}

static void ports_undo(struct scene *scene)
{
	(void)close(scene->fd);
}

static void ports_setup(struct scene *scene)
{
	tree_open(scene);
	scene_must(!ports_open(scene), "ports");
}

static void ports_teardown(struct scene *scene)
{
	ports_undo(scene);
	tree_close(scene);
}

static int ports_read(struct scene *scene)
{
	return pinion_pci_ports_read(scene->fd, 4, 4, &out.v32);
}

static int ports_write(struct scene *scene)
{
	return pinion_pci_ports_write(scene->fd, 4, 2, 0);
}

/* Of a BAR that ended before, sysfs reads and writes nothing. */
static const int beyond[] = {-EINVAL, 0};

/* Configuration space. */

WIDTHS(pinion_pci_config, &drive)

static int bus_master_set(struct scene *scene)
{
	(void)scene;
	return pinion_pci_bus_master_set(&drive, true);
}

const struct operation pci_operations[] = {
	{HEADER_DEED("pci attr_read", attr_read, attr_is_read)},
	{HEADER_CALL("pci attr_u64", attr_u64, number_is_read)},
	{HEADER_CALL("pci attr_u64, no such attribute", no_attr, NULL)},
	{HEADER_CALL("pci attr_u64, no such device", no_device, NULL)},
	{HEADER_CALL("pci ids_read", ids_read, ids_are_read)},
	{HEADER_CALL("pci numa_node", numa_node, node_is_0)},
	{HEADER_CALL("pci driver", driver, driver_is_nvme)},
	{HEADER_CALL("pci iommu_group", iommu_group, group_is_12)},
	{HEADER_CALL("pci bar_info_read", bar_info_read, bar_is_described)},
	{HEADER_CALL("pci bar_map", bar_map, bar_is_mapped), .undo = bar_undo},
	{HEADER_CALL("pci bar_map, of less than a page", bar_map_small, bar_is_mapped),
	 .undo = bar_undo},
	{HEADER_CALL("pci bar_map_wc", bar_map_wc, bar_is_mapped), .undo = bar_undo,
	 .may = (const int[]){-ENOTSUP, 0}},
	{HEADER_CALL("pci bar_map_wc, of registers", bar_map_wc_of_another, NULL)},
	{.name = "pci bar_unmap", .setup = mapped_setup, .run = bar_unmap, .undo = mapped_undo,
	 .teardown = mapped_teardown, .final = true, .bare = true},
	{HEADER_DEED("pci ports_open", ports_open, NULL), .undo = ports_undo},
	{.name = "pci ports_read", .setup = ports_setup, .run = ports_read,
	 .teardown = ports_teardown, .bare = true, .out = &out, .out_len = sizeof(out),
	 .may = beyond},
	{.name = "pci ports_write", .setup = ports_setup, .run = ports_write,
	 .teardown = ports_teardown, .bare = true, .may = beyond},
	{HEADER_CALL("pci config_read8", read8, vendor_is_8)},
	{HEADER_CALL("pci config_read16", read16, vendor_is_16)},
	{HEADER_CALL("pci config_read32", read32, vendor_is_32)},
	{HEADER_DEED("pci config_write8", write8, tree_is_master),
	 .kept = tree_command_stayed},
	{HEADER_DEED("pci config_write16", write16, tree_is_master),
	 .kept = tree_command_stayed},
	{HEADER_DEED("pci config_write32", write32, tree_is_master),
	 .kept = tree_command_stayed},
	{HEADER_DEED("pci bus_master_set", bus_master_set, tree_is_master)},
	{0},
};
