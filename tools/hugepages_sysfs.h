/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_SYSFS_H
#define TOOLS_HUGEPAGES_SYSFS_H

/*
 * The kernel's hugepage counters, one number at a time.
 *
 * Source: kernel documents admin-guide/mm/hugetlbpage and ABI/stable/sysfs-devices-node. Sizes are
 * in bytes here; the kernel names their directories in kB. Per node the kernel has total, free and
 * surplus; reserved pages (promised to a mapping, not yet touched) it counts for all nodes at once.
 *
 * A page is `surplus` when it was allocated beyond what was asked for (overcommit, or a shrink
 * while in use) and goes back to the kernel when freed. persistent = total - surplus is what a
 * write to nr_hugepages sets, so that is the number to save, compare and restore.
 *
 * Calls return 0 or a count, or -errno.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HP_MAX_NODES = 1024, /* the kernel's MAX_NUMNODES is 1 << 10 at most */
	HP_MAX_SIZES = 16,   /* arm64 has four, powerpc five */
};

/* Where the machine's files are: "" for the real ones, a directory for a test's fake tree. */
struct hp_sys {
	const char *root;
	bool dry_run; /* writes are printed, not done */
};

struct hp_counts {
	uint64_t total;
	uint64_t free;
	uint64_t surplus;
};

/* Page sizes the kernel has, in bytes, ascending. */
int hp_sizes_get(const struct hp_sys *sys, uint64_t sizes[HP_MAX_SIZES]);

/* The size a program gets that does not name one. */
int hp_default_size_get(const struct hp_sys *sys, uint64_t *size);

/* Nodes that can have hugepages, ascending; node 0 alone where the kernel is built without NUMA. */
int hp_nodes_get(const struct hp_sys *sys, int nodes[HP_MAX_NODES]);

/* Bytes of memory the node has, whoever uses them. */
int hp_node_memory_get(const struct hp_sys *sys, int node, uint64_t *bytes);

int hp_counts_get(const struct hp_sys *sys, int node, uint64_t size, struct hp_counts *counts);

void hp_counts_add(struct hp_counts *all, const struct hp_counts *counts);

/* Of one node, or with -1 of all. */
int hp_counts_sum(const struct hp_sys *sys, int node, uint64_t size, struct hp_counts *all);

/* A counter kept for all nodes together: "resv_hugepages", "nr_overcommit_hugepages". */
int hp_global_get(const struct hp_sys *sys, uint64_t size, const char *name, uint64_t *value);

/* The file that says how many there are on the node, in the tree. -ENAMETOOLONG. */
int hp_pages_path(const struct hp_sys *sys, int node, uint64_t size, char path[PATH_MAX]);

/* Asks for this many persistent pages on the node. The kernel may give fewer and says nothing. */
int hp_pages_set(const struct hp_sys *sys, int node, uint64_t size, uint64_t pages);

/*
 * The size that pages of @size are split into; all nodes have one. -ENOENT: the kernel does not
 * split such pages, as they are the smallest or it is older than Linux 5.16.
 */
int hp_demote_size_get(const struct hp_sys *sys, uint64_t size, uint64_t *to);
int hp_demote_size_set(const struct hp_sys *sys, uint64_t size, uint64_t to);

/*
 * Asks that so many free pages be split, of a node, or with -1 of whichever the kernel takes. It
 * may split fewer and says nothing.
 */
int hp_demote(const struct hp_sys *sys, int node, uint64_t size, uint64_t pages);

/*
 * Has the kernel move the node's pages together, which makes room for hugepages. Best effort. Of
 * one node, because it costs seconds per GiB (all free pages are taken in hand, and cleared first
 * where the kernel is set to init_on_alloc).
 */
void hp_compact(const struct hp_sys *sys, int node);

/*
 * Keeps other runs of this tool out, for counters are read, changed and read back. Released when
 * the descriptor that is returned is closed. -EAGAIN: someone else has had it for ten seconds.
 */
int hp_lock(const struct hp_sys *sys);

#endif
