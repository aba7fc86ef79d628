/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <fcntl.h>
#include <ftw.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct operation *const operation_tables[] = {
	pci_operations,
	pci_scan_operations,
	pci_cap_operations,
	pci_bind_operations,
	uio_operations,
	vfioctl_operations,
	vfio_region_operations,
	vfio_config_operations,
	vfio_reset_operations,
	vfio_dmabuf_operations,
	iommufd_operations,
	hostmem_operations,
	hostheap_operations,
	iova_operations,
	NULL,
};

char tree_bus[TREE_PATH_LEN], tree_devices[TREE_PATH_LEN], tree_groups[TREE_PATH_LEN],
	tree_nodes[TREE_PATH_LEN], tree_vfio[TREE_PATH_LEN];

bool tree_exists(void)
{
	return tree_bus[0] != '\0';
}

const char *tree_path(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", tree_bus, name);
	return path;
}

/* The path, with every directory on the way to it. */
static const char *room_for(const char *name)
{
	char part[256], *last;

	(void)snprintf(part, sizeof(part), "%s", tree_path(name));
	last = strrchr(part, '/');
	*last = '\0';
	if (access(part, F_OK) == 0)
		return tree_path(name);
	*last = '/';
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(part, 0755);
		*slash = '/';
	}
	return tree_path(name);
}

void tree_write(const char *name, const void *data, size_t len)
{
	const int fd = open(room_for(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	scene_must(fd >= 0, name);
	scene_must(pwrite(fd, data, len, 0) == (ssize_t)len, name);
	(void)close(fd);
}

void tree_text(const char *name, const char *text)
{
	tree_write(name, text, strlen(text));
}

void tree_link(const char *name, const char *target)
{
	scene_must(!symlink(target, room_for(name)), name);
}

uint16_t tree_config16(unsigned off)
{
	const int fd = open(tree_path("devices/" TREE_BDF "/config"), O_RDONLY | O_CLOEXEC);
	uint8_t le[2] = {0};

	scene_must(fd >= 0 && pread(fd, le, sizeof(le), (off_t)off) == sizeof(le), "COMMAND");
	(void)close(fd);
	return (uint16_t)(le[0] | le[1] << 8);
}

const char *tree_is_master(struct scene *scene)
{
	(void)scene;
	return tree_config16(PCI_COMMAND) != 0x0407 ? "COMMAND has another value" : NULL;
}

const char *tree_command_stayed(struct scene *scene)
{
	(void)scene;
	return tree_config16(PCI_COMMAND) != TREE_COMMAND ? "COMMAND" : NULL;
}

const char *tree_bar_holds(volatile void *addr)
{
	volatile unsigned char *reg = addr;

	*reg = 7;
	return *reg != 7 ? "it holds nothing" : NULL;
}

static void text_in(const char *dir, const char *name, const char *text)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	tree_text(path, text);
}

/* What every function has. */
static void add_function(const char *dir, const char *class_code)
{
	text_in(dir, "vendor", "0x1b36\n");
	text_in(dir, "device", "0x0010\n");
	text_in(dir, "subsystem_vendor", "0x1af4\n");
	text_in(dir, "subsystem_device", "0x1100\n");
	text_in(dir, "class", class_code);
	text_in(dir, "revision", "0x02\n");
}

#define DRIVE "devices/" TREE_BDF

/* Power management at 0x40, MSI-X at 0x80; AER at 0x100, a serial number at 0x148. */
static void add_config(void)
{
	uint8_t space[4096] = {0x36, 0x1b, 0x10, 0x00, TREE_COMMAND & 0xff, TREE_COMMAND >> 8};

	space[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	space[PCI_CAPABILITY_LIST] = 0x40;
	space[0x40] = PCI_CAP_ID_PM;
	space[0x41] = 0x80;
	space[0x80] = PCI_CAP_ID_MSIX;
	memcpy(&space[0x100], "\x01\x00\x82\x14", 4);
	memcpy(&space[0x148], "\x03\x00\x01\x00", 4);
	tree_write(DRIVE "/config", space, sizeof(space));
}

/* Two pages of registers, a BAR smaller than a page, ports, and memory that combines writes. */
static void add_bars(void)
{
	static const char page[8192];

	tree_text(DRIVE "/resource", "0xfe800000 0xfe801fff 0x40200\n"
				     "0xfebd1fc0 0xfebd1fff 0x40200\n"
				     "0x0000c000 0x0000c01f 0x40101\n"
				     "0x00000000 0x00000000 0x00000\n"
				     "0xfd000000 0xfd000fff 0x14220c\n"
				     "0x00000000 0x00000000 0x00000\n");
	tree_write(DRIVE "/resource0", page, sizeof(page));
	tree_write(DRIVE "/resource1", page, 64);
	tree_write(DRIVE "/resource2", page, 32);
	tree_write(DRIVE "/resource4", page, 4096);
	tree_write(DRIVE "/resource4_wc", page, 4096);
}

static void add_drive(void)
{
	add_function(DRIVE, "0x010802\n");
	add_config();
	add_bars();
	tree_text(DRIVE "/numa_node", "0\n");
	tree_text(DRIVE "/driver_override", "(null)\n");
	tree_text(DRIVE "/reset", "");
	tree_text(DRIVE "/sriov_numvfs", "1\n");
	tree_text(DRIVE "/sriov_totalvfs", "4\n");
	tree_text(DRIVE "/uio/uio3/dev", "240:3\n");
	tree_text(DRIVE "/vfio-dev/vfio7/dev", "241:7\n");
	tree_link(DRIVE "/driver", "../../drivers/nvme");
	/* Of these only the name is read: a circle would never end for who lists the files. */
	tree_link(DRIVE "/iommu_group", "../../elsewhere/12");
	tree_link(DRIVE "/virtfn0", "../elsewhere/0000:41:00.1");
	add_function("devices/0000:41:00.1", "0x010802\n");
	tree_link("devices/0000:41:00.1/physfn", "../elsewhere/" TREE_BDF);
	add_function("devices/0000:02:00.0", "0x020000\n");
}

static void add_system(void)
{
	tree_text("drivers/nvme/bind", "");
	tree_text("drivers/nvme/unbind", "");
	tree_text("drivers/vfio-pci/bind", "");
	tree_text("drivers/vfio-pci/unbind", "");
	tree_text("drivers_probe", "");
	tree_text("rescan", "");
	tree_text("groups/12/reserved_regions", "0xfee00000 0xfeefffff msi\n"
						"0x100000000 0x1ffffffff reserved\n");
	tree_link("groups/12/devices/" TREE_BDF "/driver", "../../../../drivers/nvme");
	tree_text("dev/vfio/vfio", "");
	tree_text("dev/vfio/12", "");
	tree_text("dev/vfio/noiommu-12", "");
	tree_text("dev/vfio/devices/vfio7", "");
	tree_text("dev/iommu", "");
	scene_must(!mkfifo(tree_path("dev/uio3"), 0600), "a FIFO");
}

static void name_dirs(const char *root)
{
	(void)snprintf(tree_bus, TREE_PATH_LEN, "%s", root);
	(void)snprintf(tree_devices, TREE_PATH_LEN, "%s/devices", root);
	(void)snprintf(tree_groups, TREE_PATH_LEN, "%s/groups", root);
	(void)snprintf(tree_nodes, TREE_PATH_LEN, "%s/dev", root);
	(void)snprintf(tree_vfio, TREE_PATH_LEN, "%s/dev/vfio", root);
}

void tree_open(struct scene *scene)
{
	/* In memory: it is made anew for each fault. */
	(void)snprintf(scene->dir, sizeof(scene->dir), "/dev/shm/pinion-fault-XXXXXX");
	scene_must(mkdtemp(scene->dir), "a directory in /dev/shm");
	name_dirs(scene->dir);
	add_drive();
	add_system();
}

void tree_close(struct scene *scene)
{
	scene_dir_remove(scene);
	scene->dir[0] = '\0';
	tree_bus[0] = '\0';
}
