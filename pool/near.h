/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_NEAR_H
#define POOL_NEAR_H

/*
 * Where this thread runs, and how far the nodes are from there, or from another node.
 *
 * Not by libnuma: its numa_node_of_cpu() and numa_distance() read sysfs once, and when that fails
 * they print a warning, or end the process, and for the rest of its life answer as if there were
 * one node. Here a failure is one of this look alone (sysfs.h).
 */

/* Distances as the firmware gives them: 10 is the node itself (numa(7), ACPI SLIT). */
#define NEAR_HERE 10
#define NEAR_FARTHEST 255 /* nothing is as far: a node that is not known */
#define NEAR_NODES_MAX 64

struct near {
	int node; /* from where; -1: not told */
	unsigned char distance[NEAR_NODES_MAX];
};

/* From @node, or, when that is negative, from where this thread runs now. Cannot fail: without
 * distances, the node itself is near and all others equally far. */
void near_look(struct near *near, int node);

/* Of node @node from there; a negative one, or beyond the table, is NEAR_FARTHEST. */
int near_distance(const struct near *near, int node);

/* The node of a machine that has one; -1: it has several, or does not say. */
int near_only_node(void);

#endif
