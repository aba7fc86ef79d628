/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <pinion/pci_cap.h>

/*
 * pci_cap.h
 */

static union {
	unsigned off;
} out;

static const struct pinion_pci_bdf drive = {0, 0x41, 0, 0};

static unsigned seen;

static int count(const struct pinion_pci_cap *cap, void *arg)
{
	(void)cap;
	(void)arg;
	seen++;
	return 0;
}

static int walk(struct scene *scene)
{
	(void)scene;
	seen = 0;
	return pinion_pci_cap_walk(&drive, count, NULL);
}

static int walk_extended(struct scene *scene)
{
	(void)scene;
	seen = 0;
	return pinion_pci_ext_cap_walk(&drive, count, NULL);
}

static const char *two_are_found(struct scene *scene)
{
	(void)scene;
	return seen != 2 ? "not every capability was found" : NULL;
}

static int find(struct scene *scene)
{
	(void)scene;
	return pinion_pci_cap_find(&drive, PCI_CAP_ID_MSIX, &out.off);
}

static int find_extended(struct scene *scene)
{
	(void)scene;
	return pinion_pci_ext_cap_find(&drive, PCI_EXT_CAP_ID_DSN, &out.off);
}

static const char *msix_is_found(struct scene *scene)
{
	(void)scene;
	return out.off != 0x80 ? "it is elsewhere" : NULL;
}

static const char *serial_is_found(struct scene *scene)
{
	(void)scene;
	return out.off != 0x148 ? "it is elsewhere" : NULL;
}

/* Of a space that goes on, the kernel has shown less: that is how it refuses. */
static const int hidden[] = {-EPERM, 0};

const struct operation pci_cap_operations[] = {
	{HEADER_DEED("pci_cap cap_walk", walk, two_are_found), .may = hidden},
	{HEADER_DEED("pci_cap ext_cap_walk", walk_extended, two_are_found), .may = hidden},
	{HEADER_CALL("pci_cap cap_find", find, msix_is_found), .may = hidden},
	{HEADER_CALL("pci_cap ext_cap_find", find_extended, serial_is_found), .may = hidden},
	{0},
};
