/* SPDX-License-Identifier: BSD-3-Clause */
/* Hugepages, where they are mounted, and how much may be locked. */
#include "doctor.h"

#include "../hugepages_sysfs.h"
#include "../hugepages_text.h"

#include <errno.h>
#include <inttypes.h>
#include <mntent.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CAP_IPC_LOCK_BIT 14 /* include/uapi/linux/capability.h */

/* Of one size on one node. Returns the bytes that are free, and adds to @total what there is. */
static uint64_t node_look(const struct hp_sys *sys, int node, uint64_t size,
			  struct findings *findings, uint64_t *total)
{
	char text[HP_SIZE_TEXT];
	struct hp_counts counts;
	const int err = hp_counts_get(sys, node, size, &counts);

	hp_size_format(size, text);
	if (err) {
		findings_add(findings, GRADE_WARN, "hugepages", NULL, "node %d, %s: %s", node, text,
			     strerror(-err));
		return 0;
	}
	*total += counts.total * size;
	if (counts.total)
		findings_add(findings, counts.free ? GRADE_OK : GRADE_WARN, "hugepages",
			     counts.free ? NULL
					 : "end who holds them, or reserve more: hugepages reserve",
			     "node %d: %" PRIu64 " of %" PRIu64 " pages of %s are free", node,
			     counts.free, counts.total, text);
	return counts.free * size;
}

/* Nodes without any of a size are told of once, where the node has none of no size. */
static void nodes_look(const struct hp_sys *sys, const uint64_t *sizes, int nr_sizes,
		       struct findings *findings, uint64_t *total)
{
	int *nodes = calloc(HP_MAX_NODES, sizeof(*nodes));
	const int nr = nodes ? hp_nodes_get(sys, nodes) : -ENOMEM;
	uint64_t all_free = 0;

	for (int i = 0; i < nr; i++) {
		uint64_t before = *total;
		char mend[64];

		for (int k = 0; k < nr_sizes; k++)
			all_free += node_look(sys, nodes[i], sizes[k], findings, total);
		snprintf(mend, sizeof(mend), "hugepages reserve --node %d 256M", nodes[i]);
		if (*total == before)
			findings_add(findings, GRADE_WARN, "hugepages", mend,
				     "node %d: none reserved", nodes[i]);
	}
	if (!all_free)
		findings_add(findings, GRADE_FAIL, "hugepages", "hugepages reserve 256M",
			     "no page is free on any node: no pool can be made, nor grow");
	free(nodes);
}

/* Returns the bytes of all hugepages. */
static uint64_t hugepages_look(const struct tree *tree, struct findings *findings)
{
	const struct hp_sys sys = {.root = tree->root, .dry_run = true};
	uint64_t sizes[HP_MAX_SIZES], total = 0;
	const int nr = hp_sizes_get(&sys, sizes);

	if (nr > 0)
		nodes_look(&sys, sizes, nr, findings, &total);
	else
		findings_add(findings, GRADE_FAIL, "hugepages",
			     "boot a kernel built with CONFIG_HUGETLBFS",
			     "this kernel has no hugepages%s%s", nr < 0 ? ": " : "",
			     nr < 0 ? strerror(-nr) : "");
	return total;
}

static void mounts_look(const struct tree *tree, struct findings *findings)
{
	static const char mend[] =
		"mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages";
	char path[PATH_MAX], dir[4 * PATH_MAX];
	FILE *table = tree_path(tree, path, "/proc/self/mounts") ? NULL : setmntent(path, "re");
	unsigned nr = 0;

	for (const struct mntent *mount; table && (mount = getmntent(table));) {
		if (strcmp(mount->mnt_type, "hugetlbfs") != 0)
			continue;
		findings_add(findings, GRADE_OK, "hugetlbfs", NULL, "mounted on %s (%s)",
			     hp_name_format(mount->mnt_dir, dir, sizeof(dir)), mount->mnt_opts);
		nr++;
	}
	if (table)
		endmntent(table);
	if (!nr)
		findings_add(findings, GRADE_WARN, "hugetlbfs", mend,
			     "not mounted: pools with a path (named pools) cannot be made");
}

/* The kernel asks for the right in the first user namespace, whose number is always this one. A
 * kernel without user namespaces has no such file. */
static bool in_first_user_namespace(const struct tree *tree)
{
	char name[32];

	return tree_link(tree, name, sizeof(name), "/proc/self/ns/user") ||
	       strcmp(name, "user:[4026531837]") == 0;
}

static bool has_ipc_lock(const struct tree *tree)
{
	char text[32];

	if (!in_first_user_namespace(tree) ||
	    tree_line(tree, "/proc/self/status", "CapEff:", text, sizeof(text)))
		return false;
	return strtoull(text, NULL, 16) >> CAP_IPC_LOCK_BIT & 1;
}

/* Pins of VFIO and of io_uring count, and hugepages among them. */
static void memlock_look(const struct tree *tree, uint64_t total, struct findings *findings)
{
	char text[128], limit[HP_SIZE_TEXT], all[HP_SIZE_TEXT];
	const int err =
		tree_line(tree, "/proc/self/limits", "Max locked memory", text, sizeof(text));

	if (err) {
		findings_add(findings, GRADE_WARN, "memlock", NULL, "the limit cannot be read: %s",
			     strerror(-err));
		return;
	}
	const bool unlimited = strncmp(text, "unlimited", 9) == 0;
	const uint64_t bytes = unlimited ? UINT64_MAX : strtoull(text, NULL, 10);

	if (unlimited || has_ipc_lock(tree))
		findings_add(findings, GRADE_OK, "memlock", NULL, "%s",
			     unlimited ? "no limit on locked memory"
				       : "the limit on locked memory is not for this user");
	else
		findings_add(findings, bytes < total || !total ? GRADE_WARN : GRADE_OK, "memlock",
			     bytes < total || !total
				     ? "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit "
				       "of the device process"
				     : NULL,
			     "this user may lock %s, and all hugepages are %s",
			     hp_size_format(bytes, limit), hp_size_format(total, all));
}

void doctor_memory(const struct tree *tree, struct findings *findings)
{
	const uint64_t total = hugepages_look(tree, findings);

	mounts_look(tree, findings);
	memlock_look(tree, total, findings);
}
