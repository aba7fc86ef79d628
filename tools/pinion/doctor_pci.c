/* SPDX-License-Identifier: BSD-3-Clause */
/* The IOMMU, the drivers that give devices to user space, and the devices that they have. */
#include "doctor.h"

#include <bsd/string.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define GROUPS "/sys/kernel/iommu_groups"

/* A word of the kernel's command line that switches the IOMMU off, in @word; false: none does. */
static bool switched_off(const struct tree *tree, char *word, size_t room)
{
	static const char *const words[] = {"intel_iommu=off", "amd_iommu=off", "iommu=off"};
	char line[4096], *rest = line;

	if (tree_read(tree, line, sizeof(line), "/proc/cmdline"))
		return false;
	for (const char *next; (next = strsep(&rest, " "));)
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (strcmp(next, words[i]) == 0) {
				strlcpy(word, next, room);
				return true;
			}
	return false;
}

static bool is_intel(const struct tree *tree)
{
	char text[64];

	return !tree_line(tree, "/proc/cpuinfo", "vendor_id", text, sizeof(text)) &&
	       strstr(text, "GenuineIntel");
}

/* Does the firmware tell the kernel of an IOMMU? */
static bool in_firmware(const struct tree *tree)
{
	return tree_has(tree, "/sys/firmware/acpi/tables/DMAR") ||
	       tree_has(tree, "/sys/firmware/acpi/tables/IVRS") ||
	       tree_has(tree, "/sys/firmware/acpi/tables/IORT");
}

static void iommu_off(const struct tree *tree, size_t units, struct findings *findings)
{
	static const char cost[] = "devices need uio_pci_generic and physical addresses";
	char word[32], mend[96];

	if (switched_off(tree, word, sizeof(word))) {
		snprintf(mend, sizeof(mend), "take %s from the kernel command line, and boot",
			 word);
		findings_add(findings, GRADE_WARN, "iommu", mend,
			     "switched off on the kernel command line (%s): %s", word, cost);
	} else if (units || in_firmware(tree)) {
		findings_add(findings, GRADE_WARN, "iommu",
			     is_intel(tree) ? "boot with intel_iommu=on on the kernel command line"
					    : "boot a kernel built with CONFIG_IOMMU_SUPPORT, "
					      "with iommu.passthrough=0",
			     "there, but the kernel does not use it: %s", cost);
	} else {
		findings_add(findings, GRADE_WARN, "iommu",
			     "enable VT-d, AMD-Vi or SMMU in the firmware's set-up, if the machine "
			     "has it",
			     "none: %s", cost);
	}
}

static void iommu_look(const struct tree *tree, struct findings *findings)
{
	struct tree_names units, groups;

	(void)tree_list(tree, &units, "/sys/class/iommu");
	(void)tree_list(tree, &groups, GROUPS);
	if (groups.nr)
		findings_add(findings, GRADE_OK, "iommu", NULL, "on: %zu unit%s, %zu group%s",
			     units.nr, units.nr == 1 ? "" : "s", groups.nr,
			     groups.nr == 1 ? "" : "s");
	else
		iommu_off(tree, units.nr, findings);
	tree_names_free(&units);
	tree_names_free(&groups);
}

/* The list of modules that this kernel could load, in @list; in a container there may be none. */
static int modules_list(const struct tree *tree, char list[PATH_MAX])
{
	char release[128];
	const int err = tree_read(tree, release, sizeof(release), "/proc/sys/kernel/osrelease");

	return err ? err : tree_path(tree, list, "/lib/modules/%s/modules.dep", release);
}

/* Is a module of that name (with '-') on the list? 1 or 0; -errno: it cannot be read. */
static int loadable(const struct tree *tree, const char *module)
{
	char list[PATH_MAX], wanted[64], *line = NULL;
	size_t size = 0;
	bool found = false;
	const int err = modules_list(tree, list);
	FILE *file = err ? NULL : fopen(list, "re");

	if (!file)
		return err ? err : -errno;
	snprintf(wanted, sizeof(wanted), "/%s.ko", module);
	while (!found && getline(&line, &size, file) > 0) {
		line[strcspn(line, ":")] = '\0'; /* what it needs comes after that */
		found = strstr(line, wanted);
	}
	free(line);
	(void)fclose(file);
	return found;
}

static bool loaded(const struct tree *tree, const char *driver)
{
	return tree_has(tree, "/sys/bus/pci/drivers/%s", driver);
}

static void module_look(const struct tree *tree, const char *driver, const char *option,
			struct findings *findings)
{
	const int there = loadable(tree, driver);
	char mend[96];

	if (loaded(tree, driver)) {
		findings_add(findings, GRADE_OK, "modules", NULL, "%s is loaded", driver);
	} else if (there < 0) {
		snprintf(mend, sizeof(mend), "modprobe %s (outside of a container)", driver);
		findings_add(findings, GRADE_WARN, "modules", mend,
			     "%s is not loaded; whether it is there cannot be told: modules.dep of "
			     "this kernel: %s", driver, strerror(-there));
	} else if (there) {
		snprintf(mend, sizeof(mend), "modprobe %s", driver);
		findings_add(findings, GRADE_WARN, "modules", mend, "%s is there and not loaded",
			     driver);
	} else {
		snprintf(mend, sizeof(mend), "boot a kernel built with %s", option);
		findings_add(findings, GRADE_WARN, "modules", mend, "this kernel has no %s",
			     driver);
	}
}

/* "alice:users 0600" */
static void owner_text(const struct stat *st, char *text, size_t room)
{
	const struct passwd *user = getpwuid(st->st_uid);
	const struct group *group = getgrgid(st->st_gid);
	char uid[16], gid[16];

	snprintf(uid, sizeof(uid), "%u", st->st_uid);
	snprintf(gid, sizeof(gid), "%u", st->st_gid);
	snprintf(text, room, "%s:%s %04o", user ? user->pw_name : uid,
		 group ? group->gr_name : gid, st->st_mode & 07777u);
}

/* May somebody who is not root open it? */
static bool root_only(const struct stat *st)
{
	return !(st->st_mode & 0006) && st->st_uid == 0 &&
	       (st->st_gid == 0 || !(st->st_mode & 0060));
}

static void vfio_file_look(const struct tree *tree, const char *name,
			   struct findings *findings)
{
	char path[PATH_MAX], owner[128], mend[PATH_MAX + 32];
	struct stat st;

	if (tree_path(tree, path, "/dev/vfio/%s", name) || stat(path, &st) || S_ISDIR(st.st_mode))
		return;
	owner_text(&st, owner, sizeof(owner));
	if (strcmp(name, "vfio") == 0)
		snprintf(mend, sizeof(mend), "chmod 0666 /dev/vfio/vfio (it gives no device away)");
	else
		snprintf(mend, sizeof(mend), "chown USER /dev/vfio/%s, or devbind bind --owner",
			 name);
	if (root_only(&st))
		findings_add(findings, GRADE_WARN, "vfio", mend,
			     "/dev/vfio/%s: %s: only root can open it", name, owner);
	else
		findings_add(findings, GRADE_OK, "vfio", NULL, "/dev/vfio/%s: %s", name, owner);
}

static void vfio_look(const struct tree *tree, struct findings *findings)
{
	struct tree_names files;

	(void)tree_list(tree, &files, "/dev/vfio");
	for (size_t i = 0; i < files.nr; i++)
		vfio_file_look(tree, files.name[i], findings);
	if (!files.nr)
		findings_add(findings, GRADE_WARN, "vfio",
			     loaded(tree, "vfio-pci") || loadable(tree, "vfio-pci") != 0
				     ? "modprobe vfio-pci"
				     : "boot a kernel with vfio-pci, see modules",
			     "no /dev/vfio: no device can be opened through VFIO");
	tree_names_free(&files);
}

/* Drivers that leave a group viable: of VFIO, none, and what the kernel allows for bridges. */
static bool leaves_viable(const struct tree *tree, const char *bdf, char *driver, size_t room)
{
	if (tree_link(tree, driver, room, DEVICES "/%s/driver", bdf))
		return true;
	return strncmp(driver, "vfio", 4) == 0 || strcmp(driver, "pci-stub") == 0 ||
	       strcmp(driver, "pcieport") == 0;
}

static void group_look(const struct tree *tree, const char *bdf, const char *group,
		       struct findings *findings)
{
	struct tree_names devices;
	bool viable = true;

	(void)tree_list(tree, &devices, GROUPS "/%s/devices", group);
	for (size_t i = 0; i < devices.nr; i++) {
		const char *other = devices.name[i];
		char driver[64], mend[128];

		if (leaves_viable(tree, other, driver, sizeof(driver)))
			continue;
		snprintf(mend, sizeof(mend), "devbind bind --driver vfio-pci %s", other);
		findings_add(findings, GRADE_FAIL, "pci", mend,
			     "%s: its group %s is not viable: %s has the driver %s", bdf, group,
			     other, driver);
		viable = false;
	}
	if (viable)
		findings_add(findings, GRADE_OK, "pci", NULL,
			     "%s: vfio-pci, group %s, which is viable", bdf, group);
	tree_names_free(&devices);
}

/* Of a device with uio: a physical address must be what goes over the bus. */
static void uio_look(const struct tree *tree, const char *bdf, const char *group,
		     struct findings *findings)
{
	char type[32] = "", mend[128];

	if (group)
		(void)tree_read(tree, type, sizeof(type), GROUPS "/%s/type", group);
	snprintf(mend, sizeof(mend), "devbind bind --driver vfio-pci %s", bdf);
	if (strncmp(type, "DMA", 3) == 0)
		findings_add(findings, GRADE_FAIL, "pci", mend,
			     "%s: uio_pci_generic behind an IOMMU that translates: no address that "
			     "a program can know works", bdf);
	else
		findings_add(findings, GRADE_OK, "pci", NULL, "%s: uio_pci_generic", bdf);
}

/* Returns whether user space has it. */
static bool device_look(const struct tree *tree, const char *bdf, struct findings *findings)
{
	char driver[64], group[32];
	const bool grouped =
		!tree_link(tree, group, sizeof(group), DEVICES "/%s/iommu_group", bdf);

	if (tree_link(tree, driver, sizeof(driver), DEVICES "/%s/driver", bdf))
		return false;
	if (strcmp(driver, "uio_pci_generic") == 0)
		uio_look(tree, bdf, grouped ? group : NULL, findings);
	else if (strcmp(driver, "vfio-pci") == 0 && grouped)
		group_look(tree, bdf, group, findings);
	else if (strcmp(driver, "vfio-pci") == 0)
		findings_add(findings, GRADE_FAIL, "pci",
			     "devbind bind --driver uio_pci_generic, or switch the IOMMU on",
			     "%s: vfio-pci, but in no IOMMU group", bdf);
	else
		return false;
	return true;
}

static void devices_look(const struct tree *tree, struct findings *findings)
{
	struct tree_names devices;
	size_t given = 0;

	(void)tree_list(tree, &devices, DEVICES);
	for (size_t i = 0; i < devices.nr; i++)
		given += device_look(tree, devices.name[i], findings);
	if (!given)
		findings_add(findings, GRADE_OK, "pci", NULL,
			     "of %zu devices none is given to user space (devbind bind)",
			     devices.nr);
	tree_names_free(&devices);
}

void doctor_pci(const struct tree *tree, struct findings *findings)
{
	iommu_look(tree, findings);
	module_look(tree, "vfio-pci", "CONFIG_VFIO_PCI", findings);
	module_look(tree, "uio_pci_generic", "CONFIG_UIO_PCI_GENERIC", findings);
	vfio_look(tree, findings);
	devices_look(tree, findings);
}
