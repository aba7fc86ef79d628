/* SPDX-License-Identifier: BSD-3-Clause */
#include "near.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sysfs.h"

/* Between nodes without a common one: what kernels assume for REMOTE_DISTANCE. */
#define REMOTE 20

#define ONLINE "/sys/devices/system/node/online"

/* The nodes online, "0-1,4", as their distances are listed: of online nodes, in that order. */
static void fill(struct near *near, const char *online, const char *row)
{
	unsigned long first, last;

	while (sysfs_range(&online, &first, &last))
		for (unsigned long node = first; node <= last && node < NEAR_NODES_MAX; node++) {
			char *end;
			unsigned long distance = strtoul(row, &end, 10);

			if (end == row)
				return;
			near->distance[node] = (unsigned char)(distance < NEAR_FARTHEST
								       ? distance
								       : NEAR_FARTHEST);
			row = end;
		}
}

static int own_node(void)
{
	unsigned node;

	return getcpu(NULL, &node) ? -1 : (int)node;
}

void near_look(struct near *near, int node)
{
	char path[64], online[256], row[512];

	memset(near->distance, REMOTE, sizeof(near->distance));
	near->node = node < 0 ? own_node() : node;
	if (near->node >= NEAR_NODES_MAX)
		near->node = -1;
	if (near->node < 0)
		return;
	near->distance[near->node] = NEAR_HERE;
	(void)snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/distance", near->node);
	if (sysfs_read(ONLINE, online, sizeof(online)) && sysfs_read(path, row, sizeof(row)))
		fill(near, online, row);
}

int near_distance(const struct near *near, int node)
{
	if (near->node < 0 || node < 0 || node >= NEAR_NODES_MAX)
		return NEAR_FARTHEST;
	return near->distance[node];
}

int near_only_node(void)
{
	unsigned long first, last;
	char online[256];
	const char *at = online;

	if (!sysfs_read(ONLINE, online, sizeof(online)) || !sysfs_range(&at, &first, &last))
		return -1;
	return first == last && !sysfs_range(&at, &first, &last) ? (int)first : -1;
}
