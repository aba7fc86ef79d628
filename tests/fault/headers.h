/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_HEADERS_H
#define TESTS_FAULT_HEADERS_H

/*
 * The calls of the drop-in headers, each on a machine made of files, and what it promises when one
 * system call of it fails. Included before the header, which finds its machine here.
 *
 * One more call is one line in the table of its header:
 *
 *     {HEADER_CALL("pci numa_node", numa_node, node_is_0)},
 *
 * where numa_node() makes the call, its results in the file's own `out`, and node_is_0() says what
 * is wrong with a success. One more header is one more file, and its table's name in headers.c.
 */

#include "operations.h"
#include "scene.h"

/* Directories of the machine; see tree_open(). */
#define TREE_PATH_LEN 96
extern char tree_bus[TREE_PATH_LEN], tree_devices[TREE_PATH_LEN], tree_groups[TREE_PATH_LEN],
	tree_nodes[TREE_PATH_LEN], tree_vfio[TREE_PATH_LEN];

#define PINION_PCI_SYSFS tree_devices
#define PINION_PCI_BUS tree_bus
#define PINION_PCI_GROUPS tree_groups
#define PINION_UIO_PCI_SYSFS tree_devices
#define PINION_UIO_DEV tree_nodes
#define PINION_VFIO_SYSFS_GROUPS tree_groups
#define PINION_VFIO_DEV tree_vfio
#define PINION_IOMMUFD_PCI_SYSFS tree_devices
#define PINION_IOMMUFD_DEV tree_nodes

/*
 * A machine: an NVMe drive at 0000:41:00.0 with the driver nvme, in IOMMU group 12, with a virtual
 * function 0000:41:00.1, /dev/uio3 and /dev/vfio/devices/vfio7; and a card without a driver at
 * 0000:02:00.0. COMMAND of the drive is TREE_COMMAND.
 */
void tree_open(struct scene *scene);
void tree_close(struct scene *scene);

#define TREE_BDF "0000:41:00.0"
#define TREE_COMMAND 0x0403

/* A file below the machine's root, anew; a link, whose target need not be. */
void tree_write(const char *name, const void *data, size_t len);
void tree_text(const char *name, const char *text);
void tree_link(const char *name, const char *target);

/* Path of a name below the root, in a buffer that the next call uses again; "" without one. */
const char *tree_path(const char *name);
bool tree_exists(void);

/* 16 bits of the drive's configuration space. */
uint16_t tree_config16(unsigned off);

/* What is wrong with COMMAND: when bus mastering was turned on, and nothing else; when that or
 * another change failed. */
const char *tree_is_master(struct scene *scene);
const char *tree_command_stayed(struct scene *scene);

/* What is wrong with a BAR that was mapped: it is memory here, and keeps what is written. */
const char *tree_bar_holds(volatile void *addr);

/* In a table: a call, its results in `out` of that file. */
#define HEADER_CALL(text, call, good) \
	.name = (text), .setup = tree_open, .run = (call), .use = (good), .teardown = tree_close, \
	.bare = true, .out = &out, .out_len = sizeof(out)

/* The same of a call that has no results. */
#define HEADER_DEED(text, call, good) \
	.name = (text), .setup = tree_open, .run = (call), .use = (good), .teardown = tree_close, \
	.bare = true

extern const struct operation pci_operations[];
extern const struct operation pci_scan_operations[];
extern const struct operation pci_cap_operations[];
extern const struct operation pci_bind_operations[];
extern const struct operation uio_operations[];
extern const struct operation vfioctl_operations[];
extern const struct operation vfio_region_operations[];
extern const struct operation vfio_config_operations[];
extern const struct operation vfio_reset_operations[];
extern const struct operation vfio_dmabuf_operations[];
extern const struct operation iommufd_operations[];
extern const struct operation hostmem_operations[];
extern const struct operation hostheap_operations[];
extern const struct operation iova_operations[]; /* the library's, on this machine */

#endif
