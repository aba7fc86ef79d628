/* SPDX-License-Identifier: BSD-3-Clause */
#include "pages.h"

#include "../hugepages_sysfs.h"

#include <stdlib.h>

static size_t node_read(const struct hp_sys *sys, int node, const uint64_t *sizes, int nr_sizes,
			struct pages *pages)
{
	size_t nr = 0;

	for (int i = 0; i < nr_sizes; i++) {
		struct hp_counts counts;

		if (!hp_counts_get(sys, node, sizes[i], &counts) && counts.total)
			pages[nr++] = (struct pages){node, sizes[i], counts.total, counts.free};
	}
	if (!nr)
		pages[nr++] = (struct pages){.node = node};
	return nr;
}

size_t pages_read(const char *root, struct pages **all)
{
	const struct hp_sys sys = {.root = root, .dry_run = true};
	uint64_t sizes[HP_MAX_SIZES];
	int nodes[HP_MAX_NODES];
	const int nr_sizes = hp_sizes_get(&sys, sizes), nr_nodes = hp_nodes_get(&sys, nodes);
	size_t nr = 0;

	*all = NULL;
	if (nr_sizes <= 0 || nr_nodes <= 0)
		return 0;
	*all = calloc((size_t)nr_nodes * (size_t)nr_sizes, sizeof(**all));
	for (int i = 0; *all && i < nr_nodes; i++)
		nr += node_read(&sys, nodes[i], sizes, nr_sizes, *all + nr);
	return nr;
}
