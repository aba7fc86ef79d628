/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_PCI_SCAN_H
#define PINION_PCI_SCAN_H

/*
 * Which PCI functions there are, and which belong together.
 *
 *     struct pinion_pci_filter nvme = PINION_PCI_FILTER_ANY;
 *     nvme.ids.class_code = 0x010800;                 mass storage, NVM
 *     nvme.mask.class_code = 0xffff00;                whatever the programming interface
 *     nvme.driver = "vfio-pci";
 *     pinion_pci_scan(&nvme, found, arg);             calls found(bdf, ids, arg) for each, in order
 *
 *     pinion_pci_pf(&bdf, &pf)                        the physical function of a virtual one
 *     pinion_pci_sriov(&pf, &nr, &most)               how many virtual functions it has
 *     pinion_pci_vf(&pf, i, &vf)                      which
 *     pinion_pci_group_regions(group, fn, arg)        where no memory may be mapped for the group
 *
 * A scan is a picture of a moment. Functions that come later are not in it; one that goes before
 * its turn is passed over; one that goes while the callback has it gives -ENODEV there. The list
 * is complete before the first callback, so a callback may bind, reset, rescan, or scan again.
 *
 * Nothing is kept between calls: any thread, any process, any user. Death: nothing to undo.
 *
 * Errors are -errno; errno itself is left undefined. A call that fails leaves its results as they
 * were, and holds nothing.
 *
 * Sources: Documentation/ABI/testing/sysfs-bus-pci (physfn, virtfnN, sriov_numvfs,
 * sriov_totalvfs) and Documentation/ABI/testing/sysfs-kernel-iommu_groups of Linux.
 * Needs pci.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/pci.h>

#include <dirent.h>

/* Where the IOMMU groups stand: any expression of type const char *. */
#ifndef PINION_PCI_GROUPS
#define PINION_PCI_GROUPS "/sys/kernel/iommu_groups"
#endif

/* Which functions to take: those whose ids are those of ids in every bit that is set in mask, and
 * whose driver is that one. NULL stands for any driver, "" for none. */
struct pinion_pci_filter {
	struct pinion_pci_ids ids, mask;
	const char *driver;
};

/* Takes every function. */
#define PINION_PCI_FILTER_ANY                                \
	{                                                    \
		{0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, NULL \
	}

/* What a scan calls for a function; a value other than 0 ends the scan, which returns it. */
typedef int (*pinion_pci_scan_fn)(const struct pinion_pci_bdf *bdf,
				  const struct pinion_pci_ids *ids, void *arg);

/* Functions in order, nr of them, in memory for room. */
struct pinion_pci_list {
	struct pinion_pci_bdf *at;
	size_t nr, room;
};

/* Add one at the end. -ENOMEM */
static inline int pinion_pci_list_add(struct pinion_pci_list *list,
				      const struct pinion_pci_bdf *bdf)
{
	if (list->nr == list->room) {
		const size_t room = list->room > 0 ? 2 * list->room : 64;
		void *at = realloc(list->at, room * sizeof(*bdf));

		if (at == NULL)
			return -ENOMEM;
		list->at = (struct pinion_pci_bdf *)at;
		list->room = room;
	}
	list->at[list->nr++] = *bdf;
	return 0;
}

/* Domain, bus, device, function as one number that grows in that order. */
static inline uint64_t pinion_pci_rank(const struct pinion_pci_bdf *bdf)
{
	return (uint64_t)bdf->domain << 16 | (uint64_t)bdf->bus << 8 | (uint64_t)bdf->device << 3 |
	       bdf->function;
}

/* Order of two functions, for qsort(3). */
static inline int pinion_pci_compare(const void *a, const void *b)
{
	const uint64_t x = pinion_pci_rank((const struct pinion_pci_bdf *)a);
	const uint64_t y = pinion_pci_rank((const struct pinion_pci_bdf *)b);

	return x < y ? -1 : x > y;
}

/* Every function that has a name in sysfs, in order; free list->at in any case. */
static inline int pinion_pci_list_all(struct pinion_pci_list *list)
{
	const struct dirent *entry;
	struct pinion_pci_bdf bdf;
	DIR *dir;
	int err = 0;

	do
		dir = opendir(PINION_PCI_SYSFS);
	while (dir == NULL && errno == EINTR);
	if (dir == NULL)
		return pinion_pci_errno();
	while (err == 0) {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL) {
			err = -errno;
			break;
		}
		if (pinion_pci_bdf_parse(entry->d_name, &bdf) == 0)
			err = pinion_pci_list_add(list, &bdf);
	}
	closedir(dir);
	if (err == 0 && list->nr > 1)
		qsort(list->at, list->nr, sizeof(*list->at), pinion_pci_compare);
	return err;
}

/* Whether the filter takes what has these ids. */
static inline bool pinion_pci_ids_match(const struct pinion_pci_filter *f,
					const struct pinion_pci_ids *ids)
{
	return ((ids->vendor ^ f->ids.vendor) & f->mask.vendor) == 0 &&
	       ((ids->device ^ f->ids.device) & f->mask.device) == 0 &&
	       ((ids->subsystem_vendor ^ f->ids.subsystem_vendor) & f->mask.subsystem_vendor) ==
		       0 &&
	       ((ids->subsystem_device ^ f->ids.subsystem_device) & f->mask.subsystem_device) ==
		       0 &&
	       ((ids->class_code ^ f->ids.class_code) & f->mask.class_code) == 0 &&
	       ((ids->revision ^ f->ids.revision) & f->mask.revision) == 0;
}

/* 1 when the filter takes the function, 0 when not; its ids. -ENODEV when it is gone. */
static inline int pinion_pci_match(const struct pinion_pci_filter *filter,
				   const struct pinion_pci_bdf *bdf, struct pinion_pci_ids *ids)
{
	char driver[64] = "";
	uint64_t vendor;
	int err = pinion_pci_ids_read(bdf, ids);

	/* Its files go before its directory does. One that lacks one and has others is not gone:
	 * the kernel is old. */
	if (err == -ENOENT) {
		const int one = pinion_pci_attr_u64(bdf, "vendor", &vendor);

		err = one == -ENOENT ? -ENODEV : one < 0 ? one : err;
	}
	if (err < 0)
		return err;
	if (filter == NULL)
		return 1;
	if (!pinion_pci_ids_match(filter, ids))
		return 0;
	if (filter->driver == NULL)
		return 1;
	err = pinion_pci_driver(bdf, driver, sizeof(driver));
	if (err < 0 && err != -ENOENT)
		return err;
	return strcmp(driver, filter->driver) == 0;
}

/*
 * Call fn(bdf, ids, arg) for each function that the filter takes, in the order of domain, bus,
 * device and function; a filter of NULL takes all. A function that is gone when its turn comes is
 * passed over. The first value other than 0 that fn returns ends the scan and is returned; let it
 * be positive, so that no error is taken for it. Otherwise 0.
 *
 * -ENOENT  no PCI bus, or sysfs is not mounted; or a kernel that does not tell all the ids
 *          (pinion_pci_ids_read())
 * -ENOMEM
 */
static inline int pinion_pci_scan(const struct pinion_pci_filter *filter, pinion_pci_scan_fn fn,
				  void *arg)
{
	struct pinion_pci_list list = {NULL, 0, 0};
	struct pinion_pci_ids ids = {0, 0, 0, 0, 0, 0};
	size_t i;
	int err = pinion_pci_list_all(&list);

	for (i = 0; i < list.nr && err == 0; i++) {
		err = pinion_pci_match(filter, &list.at[i], &ids);
		if (err == 1)
			err = fn(&list.at[i], &ids, arg);
		else if (err == -ENODEV)
			err = 0;
	}
	free(list.at);
	return err;
}

/* The function that a link names. -EINVAL when it names something else. */
static inline int pinion_pci_link_bdf(const struct pinion_pci_bdf *bdf, const char *attr,
				      struct pinion_pci_bdf *to)
{
	char name[64];
	const int err = pinion_pci_link(bdf, attr, name, sizeof(name));

	return err < 0 ? err : pinion_pci_bdf_parse(name, to);
}

/*
 * The physical function that a virtual function belongs to.
 *
 * -ENOENT  it is not a virtual function
 * -ENODEV  no such device
 */
static inline int pinion_pci_pf(const struct pinion_pci_bdf *vf, struct pinion_pci_bdf *pf)
{
	return pinion_pci_link_bdf(vf, "physfn", pf);
}

/*
 * How many virtual functions a physical function has now, and how many it can have.
 *
 * -ENOENT  it has no SR-IOV
 * -ENODEV  no such device
 */
static inline int pinion_pci_sriov(const struct pinion_pci_bdf *pf, unsigned *nr, unsigned *most)
{
	uint64_t now = 0, total = 0;
	/* Both have 16 bits in the SR-IOV capability: PCI Express Base Specification 5.0, 9.3.3. */
	int err = pinion_pci_attr_max(pf, "sriov_numvfs", UINT16_MAX, &now);

	if (err == 0)
		err = pinion_pci_attr_max(pf, "sriov_totalvfs", UINT16_MAX, &total);
	if (err < 0)
		return err;
	*nr = (unsigned)now;
	*most = (unsigned)total;
	return 0;
}

/*
 * Virtual function index of a physical function; the first is 0.
 *
 * -ENOENT  it has not so many
 * -ENODEV  no such device
 */
static inline int pinion_pci_vf(const struct pinion_pci_bdf *pf, unsigned index,
				struct pinion_pci_bdf *vf)
{
	char attr[32];

	snprintf(attr, sizeof(attr), "virtfn%u", index);
	return pinion_pci_link_bdf(pf, attr, vf);
}

/*
 * Addresses that an IOMMU group must leave alone, start to end, both included. type is the
 * kernel's word: "direct" (mapped one to one; "direct-relaxable" where a device that is given
 * away need not have it), "reserved", "msi".
 */
struct pinion_pci_region {
	uint64_t start, end;
	char type[24];
};

/* What pinion_pci_group_regions() calls; a value other than 0 ends it, and is returned. */
typedef int (*pinion_pci_region_fn)(const struct pinion_pci_region *region, void *arg);

/* One line: two numbers with 0x before them, and a word. The line's length, or -EINVAL. */
static inline int pinion_pci_region_parse(const char *line, struct pinion_pci_region *region)
{
	const size_t len = strcspn(line, "\n");
	char *end;
	const char *word;

	if (strncmp(line, "0x", 2) != 0)
		return -EINVAL;
	region->start = strtoull(line, &end, 16);
	if (strncmp(end, " 0x", 3) != 0)
		return -EINVAL;
	region->end = strtoull(end + 1, &end, 16);
	if (*end != ' ' || region->end < region->start)
		return -EINVAL;
	word = end + 1;
	if (word >= line + len || (size_t)(line + len - word) >= sizeof(region->type))
		return -EINVAL;
	memcpy(region->type, word, (size_t)(line + len - word));
	region->type[line + len - word] = '\0';
	return (int)len;
}

/* The text of a group's regions: at most a page, as for every file of numbers in sysfs. */
static inline int pinion_pci_group_read(unsigned group, char *text, size_t len)
{
	char path[PINION_PCI_PATH_LEN];
	const int n =
		snprintf(path, sizeof(path), "%s/%u/reserved_regions", PINION_PCI_GROUPS, group);
	int fd, err;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	do
		fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return pinion_pci_errno();
	err = pinion_pci_read_text(fd, text, len);
	close(fd);
	return err;
}

/*
 * Call fn(region, arg) for each reserved region of an IOMMU group (pinion_pci_iommu_group()), in
 * the kernel's order; the first value other than 0 that fn returns ends it and is returned. The
 * kernel does not promise to list them all: what VFIO says of a container is what holds.
 *
 * -ENOENT  no such group
 * -EINVAL  a line that this header does not know; fn has had those before it
 */
static inline int pinion_pci_group_regions(unsigned group, pinion_pci_region_fn fn, void *arg)
{
	struct pinion_pci_region region;
	char text[4096 + 1];
	const char *line = text;
	int err = pinion_pci_group_read(group, text, sizeof(text));

	while (err == 0 && *line != '\0') {
		const int len = pinion_pci_region_parse(line, &region);

		if (len < 0)
			return len;
		err = fn(&region, arg);
		line += len;
		if (*line == '\n')
			line++;
	}
	return err;
}

#endif
