/* SPDX-License-Identifier: BSD-3-Clause */
#include "place.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "fail.h"

/* Nodes asked for at once: on the stack, so that verifying needs no memory. */
#define VERIFY_BATCH 512

/* Nodes that a kernel can have: CONFIG_NODES_SHIFT is 10 at most. */
#define NODES_MAX 1024
#define LONG_BITS (8 * sizeof(unsigned long))

/*
 * A policy of the mapping, not of the file: it must be in force before the first touch. The mask
 * is our own, because libnuma's numa_allocate_nodemask() ends the process when memory is short.
 * pre: the node was checked.
 */
int place_bind(const struct segment_order *order)
{
	const struct pinion_hostmem *memory = order->memory;
	unsigned long mask[NODES_MAX / LONG_BITS] = {0};
	int node = order->config->node;

	if (node < 0)
		return 0;
	mask[(unsigned)node / LONG_BITS] = 1ul << (unsigned)node % LONG_BITS;
	/* maxnode counts one more than the bits, a quirk of the system call. */
	if (mbind(memory->addr, memory->len, MPOL_BIND, mask, NODES_MAX + 1, MPOL_MF_STRICT))
		return pinion_fail(-errno, "segment %u: cannot bind to node %d: %s", order->index,
				   node, strerror(errno));
	return 0;
}

/* hugetlbfs has pages of one size alone, so the file's word holds for every page of it. */
static int verify_size(const struct segment_order *order)
{
	size_t page_size = 0;
	int err = pinion_hostmem_page_size(order->memory->fd, &page_size);

	if (err)
		return pinion_fail(err, "segment %u: cannot tell the page size: %s", order->index,
				   strerror(-err));
	if (page_size != order->config->page_size)
		return pinion_fail(-EXDEV, "segment %u: pages of %zu bytes were asked for, the "
				   "kernel gave %zu", order->index, order->config->page_size,
				   page_size);
	return 0;
}

/* Pages @first and on are on these nodes. order->node becomes -1 once two differ. */
static int judge(struct segment_order *order, size_t first, const int *node, size_t nr)
{
	const struct pinion_segment_config *config = order->config;

	for (size_t i = 0; i < nr; i++) {
		if (config->node >= 0 && node[i] != config->node)
			return pinion_fail(-EXDEV, "segment %u: page %zu of %zu landed on node %d, "
					   "node %d was asked for", order->index, first + i,
					   config->len / config->page_size, node[i], config->node);
		if (first + i == 0)
			order->node = node[i];
		else if (node[i] != order->node)
			order->node = -1;
	}
	return 0;
}

int place_verify(struct segment_order *order)
{
	size_t page_size = order->config->page_size, nr = order->config->len / page_size;
	const char *addr = order->memory->addr;
	int node[VERIFY_BATCH], err = verify_size(order);

	for (size_t done = 0, now; !err && done < nr; done += now) {
		now = nr - done < VERIFY_BATCH ? nr - done : VERIFY_BATCH;
		err = pinion_hostmem_node(addr + done * page_size, page_size, node, now);
		if (err)
			return pinion_fail(err, "segment %u: cannot tell where its pages are: %s",
					   order->index, strerror(-err));
		err = judge(order, done, node, now);
	}
	return err;
}

/* One number of this page size on a node, or of all nodes when @node is negative; -1 when there
 * is none to read. */
static long count(const char *what, size_t page_size, int node)
{
	char where[64] = "/sys/kernel/mm", path[128];
	long nr = -1;
	FILE *file;

	if (node >= 0)
		(void)snprintf(where, sizeof(where), "/sys/devices/system/node/node%d", node);
	(void)snprintf(path, sizeof(path), "%s/hugepages/hugepages-%zukB/%s", where,
		       page_size / 1024, what);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &nr) != 1)
		nr = -1;
	(void)fclose(file);
	return nr;
}

/* Pages that a new mapping can have. Others' reservations are promised pages: they are counted
 * as free, and known for all nodes together only. */
static long usable(size_t page_size, int node)
{
	long nr = count("free_hugepages", page_size, node), promised;

	if (node >= 0 || nr < 0)
		return nr;
	promised = count("resv_hugepages", page_size, node);
	return promised > 0 ? nr - promised : nr;
}

/* Pages of the same size that the orders ask of the same node: of all nodes, for one that names
 * none. */
static long needed(const struct segment_order *order, uint32_t nr,
		   const struct pinion_segment_config *like)
{
	size_t pages = 0;

	for (uint32_t i = 0; i < nr; i++)
		if (order[i].config->page_size == like->page_size &&
		    (like->node < 0 || order[i].config->node == like->node))
			pages += order[i].config->len / like->page_size;
	return (long)pages;
}

/* KiB that base pages can have there, on all nodes when @node is negative; -1: not known. A node's
 * own file has no MemAvailable: what is free, and what the page cache gives up. */
static long available(int node)
{
	char path[64] = "/proc/meminfo", line[128], name[32];
	long sum = -1, kib;
	FILE *file;

	if (node >= 0)
		(void)snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		/* "MemAvailable:  23352 kB", or the same behind "Node 0". */
		if (sscanf(line, node < 0 ? "%31s %ld" : "Node %*d %31s %ld", name, &kib) != 2)
			continue;
		if (!strcmp(name, "MemAvailable:") ||
		    (node >= 0 && (!strcmp(name, "MemFree:") || !strcmp(name, "Active(file):") ||
				   !strcmp(name, "Inactive(file):"))))
			sum = (sum < 0 ? 0 : sum) + kib;
	}
	(void)fclose(file);
	return sum;
}

static int check_fit(const struct segment_order *order, uint32_t nr, uint32_t at)
{
	const struct pinion_segment_config *config = order[at].config;
	const long kib = needed(order, nr, config) * (long)(config->page_size / 1024);
	const long have = available(config->node);
	char where[32] = "the machine has";

	if (have < 0 || kib <= have)
		return 0;
	if (config->node >= 0)
		(void)snprintf(where, sizeof(where), "node %d has", config->node);
	return pinion_fail(-ENOMEM, "segment %u: %ld MiB in pages of %zu KiB are needed, %s %ld "
			   "MiB available", order[at].index, kib >> 10, config->page_size / 1024,
			   where, have >> 10);
}

/* It comes from any node, and after the segments. */
static int check_control(const struct segment_order *order, uint32_t nr, size_t control)
{
	const struct pinion_segment_config base = {.page_size = pinion_hostmem_base_page(),
						   .node = PINION_NODE_ANY};
	const long kib = (long)(control / 1024), have = available(PINION_NODE_ANY);
	const long left = have - needed(order, nr, &base) * (long)(base.page_size / 1024);

	if (have < 0 || kib <= left)
		return 0;
	return pinion_fail(-ENOMEM, "control area: %ld KiB in pages of %zu KiB are needed, the "
			   "machine has %ld KiB left for it", kib, base.page_size / 1024,
			   left > 0 ? left : 0);
}

int place_fits(const struct segment_order *order, uint32_t nr, size_t control)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < nr; i++)
		if (order[i].config->page_size == pinion_hostmem_base_page())
			err = check_fit(order, nr, i);
	return err || !control ? err : check_control(order, nr, control);
}

/* Mapping fails where the machine's pages end, though another segment's node may be what is
 * short: that one is named. */
static uint32_t find_short(const struct segment_order *order, uint32_t nr, uint32_t failed)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t at = (failed + i) % nr;
		const struct pinion_segment_config *config = order[at].config;

		if (config->page_size == order[failed].config->page_size &&
		    needed(order, nr, config) > usable(config->page_size, config->node))
			return at;
	}
	return failed;
}

/* Hugepages that are not to be had. */
struct shortage {
	char what[16]; /* wants them */
	size_t page_size;
	int node; /* negative: any */
	long need;
	long later; /* what the pool will need besides */
};

static int tell(const struct shortage *it, int err)
{
	long have = usable(it->page_size, it->node);
	long all = count("nr_hugepages", it->page_size, it->node);
	char where[32] = "the machine has", map[16] = "";
	size_t kib = it->page_size / 1024;

	if (it->node >= 0) {
		(void)snprintf(where, sizeof(where), "node %d has", it->node);
		(void)snprintf(map, sizeof(map), "%d:", it->node);
	}
	if (have >= it->need)
		return pinion_fail(err, "%s: %ld pages of %zu KiB are needed, %s %ld free, "
				   "but does not give them: see the limits of the cgroup "
				   "(hugetlb.*.max, cpuset.mems) and of the hugetlbfs mount "
				   "(size=), and what others have reserved (HugePages_Rsvd)",
				   it->what, it->need, kib, where, have);
	/* The command's number counts the pages that others have. No word more: the service's
	 * refusals cut what is longer than 127 bytes (ipc/wire.h), and the command comes last. */
	return pinion_fail(err, "%s: %ld pages of %zu KiB are needed, %s %ld free: "
			   "hugepages reserve --size %zuK --pages %s%ld", it->what, it->need, kib,
			   where, have, kib, map,
			   it->need + it->later + (all > have ? all - have : 0));
}

int place_too_few(const struct segment_order *order, uint32_t nr, uint32_t failed, int err)
{
	uint32_t at = find_short(order, nr, failed), index = order[at].index;
	const struct pinion_segment_config *config = order[at].config;
	struct shortage it = {"", config->page_size, config->node, needed(order, nr, config), 0};

	if (config->page_size == pinion_hostmem_base_page())
		return pinion_fail(err, "segment %u: no memory for %zu bytes", index, config->len);
	(void)snprintf(it.what, sizeof(it.what), "segment %u", index);
	return tell(&it, err);
}

int place_control_too_few(size_t page_size, size_t pages, size_t later, int err)
{
	const struct shortage it = {"control area", page_size, -1, (long)pages, (long)later};

	return tell(&it, err);
}
