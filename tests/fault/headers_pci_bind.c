/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <pinion/pci_bind.h>

/*
 * pci_bind.h. kernel.c gives the drive to its drivers.
 */

static const struct pinion_pci_bdf drive = {0, 0x41, 0, 0};

/* "Not to be read after a failure": a file can break off in its middle. */
static char name[PINION_PCI_DRIVER_LEN];

/* What is now, without the header. */

static bool has_driver(const char *want)
{
	char target[128] = "";
	const ssize_t len = readlink(tree_path("devices/" TREE_BDF "/driver"), target,
				     sizeof(target) - 1);
	const char *slash = strrchr(target, '/');

	if (len < 0 || !slash)
		return want[0] == '\0';
	return !strcmp(slash + 1, want);
}

static bool has_text(const char *file, const char *want)
{
	char text[128] = "";
	const int fd = open(tree_path(file), O_RDONLY | O_CLOEXEC);
	const ssize_t len = read(fd, text, sizeof(text) - 1);

	(void)close(fd);
	return len >= 0 && !strcmp(text, want);
}

static bool has_override(const char *want)
{
	return has_text("devices/" TREE_BDF "/driver_override", want);
}

static const char *as_it_was(struct scene *scene)
{
	(void)scene;
	if (!has_driver("nvme"))
		return "the driver";
	return has_override("(null)\n") ? NULL : "the override";
}

static int override(struct scene *scene)
{
	(void)scene;
	return pinion_pci_override(&drive, name);
}

static const char *override_is_none(struct scene *scene)
{
	(void)scene;
	return name[0] ? "it has a name" : NULL;
}

static int override_set(struct scene *scene)
{
	(void)scene;
	return pinion_pci_override_set(&drive, "vfio-pci");
}

static const char *override_is_set(struct scene *scene)
{
	(void)scene;
	return has_override("vfio-pci\n") ? NULL : "there is another override";
}

static void override_undo(struct scene *scene)
{
	(void)scene;
	tree_text("devices/" TREE_BDF "/driver_override", "(null)\n");
}

static int unbind(struct scene *scene)
{
	(void)scene;
	return pinion_pci_unbind(&drive);
}

static const char *is_unbound(struct scene *scene)
{
	(void)scene;
	return has_driver("") ? NULL : "it has a driver";
}

static void unbind_undo(struct scene *scene)
{
	(void)scene;
	tree_link("devices/" TREE_BDF "/driver", "../../drivers/nvme");
}

static int bind_vfio(struct scene *scene)
{
	(void)scene;
	return pinion_pci_bind(&drive, "vfio-pci");
}

static const char *is_bound_to_vfio(struct scene *scene)
{
	(void)scene;
	return has_driver("vfio-pci") && has_override("vfio-pci\n") ? NULL : "it is not bound";
}

static void bind_undo(struct scene *scene)
{
	(void)unlink(tree_path("devices/" TREE_BDF "/driver"));
	unbind_undo(scene);
	override_undo(scene);
}

static int bind_any(struct scene *scene)
{
	(void)scene;
	return pinion_pci_bind(&drive, NULL);
}

static const char *is_bound_to_nvme(struct scene *scene)
{
	return as_it_was(scene) ? "it is not bound" : NULL;
}

static int reset(struct scene *scene)
{
	(void)scene;
	return pinion_pci_reset(&drive);
}

static const char *is_reset(struct scene *scene)
{
	(void)scene;
	return has_text("devices/" TREE_BDF "/reset", "1") ? NULL : "nothing was written";
}

static int rescan(struct scene *scene)
{
	(void)scene;
	return pinion_pci_rescan();
}

static const char *is_rescanned(struct scene *scene)
{
	(void)scene;
	return has_text("rescan", "1") ? NULL : "nothing was written";
}

/* Whatever a driver says that does not take it. */
static const int declined[] = {-EIO, 0};

const struct operation pci_bind_operations[] = {
	{HEADER_DEED("pci_bind override", override, override_is_none)},
	{HEADER_DEED("pci_bind override_set", override_set, override_is_set),
	 .undo = override_undo},
	/* What comes last looks whether it is gone: when that fails, it is. */
	{HEADER_DEED("pci_bind unbind", unbind, is_unbound), .undo = unbind_undo, .final = true},
	{HEADER_DEED("pci_bind bind", bind_vfio, is_bound_to_vfio), .undo = bind_undo,
	 .kept = as_it_was, .may = declined},
	{HEADER_DEED("pci_bind bind, whichever fits", bind_any, is_bound_to_nvme),
	 .kept = as_it_was, .may = declined},
	{HEADER_DEED("pci_bind reset", reset, is_reset)},
	{HEADER_DEED("pci_bind rescan", rescan, is_rescanned)},
	{0},
};
