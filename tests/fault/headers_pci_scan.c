/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <pinion/pci_scan.h>

/*
 * pci_scan.h
 */

static union {
	struct pinion_pci_bdf bdf;
	struct {
		unsigned nr, most;
	} vfs;
} out;

static const struct pinion_pci_bdf drive = {0, 0x41, 0, 0};
static const struct pinion_pci_bdf virtual = {0, 0x41, 0, 1};

static unsigned seen;

static int count_function(const struct pinion_pci_bdf *bdf, const struct pinion_pci_ids *ids,
			  void *arg)
{
	(void)bdf;
	(void)arg;
	seen += ids->vendor == 0x1b36;
	return 0;
}

static int scan(struct scene *scene)
{
	(void)scene;
	seen = 0;
	return pinion_pci_scan(NULL, count_function, NULL);
}

static const char *three_are_found(struct scene *scene)
{
	(void)scene;
	return seen != 3 ? "not every function was found" : NULL;
}

static int scan_for_driver(struct scene *scene)
{
	struct pinion_pci_filter filter = PINION_PCI_FILTER_ANY;

	(void)scene;
	seen = 0;
	filter.driver = "nvme";
	return pinion_pci_scan(&filter, count_function, NULL);
}

static const char *one_is_found(struct scene *scene)
{
	(void)scene;
	return seen != 1 ? "not the one function was found" : NULL;
}

static int pf(struct scene *scene)
{
	(void)scene;
	return pinion_pci_pf(&virtual, &out.bdf);
}

static int vf(struct scene *scene)
{
	(void)scene;
	return pinion_pci_vf(&drive, 0, &out.bdf);
}

static const char *pf_is_found(struct scene *scene)
{
	(void)scene;
	return out.bdf.bus != 0x41 || out.bdf.function != 0 ? "it is another function" : NULL;
}

static const char *vf_is_found(struct scene *scene)
{
	(void)scene;
	return out.bdf.bus != 0x41 || out.bdf.function != 1 ? "it is another function" : NULL;
}

static int sriov(struct scene *scene)
{
	(void)scene;
	return pinion_pci_sriov(&drive, &out.vfs.nr, &out.vfs.most);
}

static const char *vfs_are_counted(struct scene *scene)
{
	(void)scene;
	return out.vfs.nr != 1 || out.vfs.most != 4 ? "they are others" : NULL;
}

static int count_region(const struct pinion_pci_region *region, void *arg)
{
	(void)region;
	(void)arg;
	seen++;
	return 0;
}

static int group_regions(struct scene *scene)
{
	(void)scene;
	seen = 0;
	return pinion_pci_group_regions(12, count_region, NULL);
}

static const char *two_are_found(struct scene *scene)
{
	(void)scene;
	return seen != 2 ? "not every region was found" : NULL;
}

const struct operation pci_scan_operations[] = {
	{HEADER_DEED("pci_scan scan", scan, three_are_found)},
	{HEADER_DEED("pci_scan scan, for a driver", scan_for_driver, one_is_found)},
	{HEADER_CALL("pci_scan pf", pf, pf_is_found)},
	{HEADER_CALL("pci_scan vf", vf, vf_is_found)},
	{HEADER_CALL("pci_scan sriov", sriov, vfs_are_counted)},
	{HEADER_DEED("pci_scan group_regions", group_regions, two_are_found)},
	{0},
};
