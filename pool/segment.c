/* SPDX-License-Identifier: BSD-3-Clause */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <numaif.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

static bool power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

int segment_config_check(const struct pinion_segment_config *config, uint32_t index)
{
	if (!power_of_two(config->page_size) || config->page_size < 4096)
		return pinion_fail(-EINVAL, "segment %u: a page size of %zu bytes is not a power "
				   "of two from 4096 up", index, config->page_size);
	if (!power_of_two(config->buffer_size) || config->buffer_size < 64 ||
	    config->buffer_size > config->page_size)
		return pinion_fail(-EINVAL, "segment %u: a buffer size of %zu bytes is not a power "
				   "of two from 64 to the page size, %zu", index,
				   config->buffer_size, config->page_size);
	if (!config->len || config->len % config->page_size)
		return pinion_fail(-EINVAL, "segment %u: a length of %zu bytes is not a multiple "
				   "of the page size, %zu", index, config->len, config->page_size);
	if (config->len / config->buffer_size > PINION_ID_MAX + UINT64_C(1))
		return pinion_fail(-EINVAL, "segment %u: more than 2^%d buffers", index,
				   PINION_ID_BITS);
	if (config->node == PINION_NODE_ANY)
		return 0;
	if (numa_available() < 0 || config->node < 0 || config->node > numa_max_node() ||
	    !numa_bitmask_isbitset(numa_all_nodes_ptr, (unsigned)config->node))
		return pinion_fail(-ENODEV, "segment %u: this machine has no NUMA node %d with "
				   "memory (see: numactl --hardware)", index, config->node);
	return 0;
}

/* A policy of the mapping, not of the file: it must be in force before the first touch. */
static int bind(const struct pinion_hostmem *memory, int node, uint32_t index)
{
	struct bitmask *nodes = numa_allocate_nodemask();
	int err = 0;

	if (!nodes)
		return pinion_fail(-ENOMEM, "segment %u: no memory for a node mask", index);
	numa_bitmask_setbit(nodes, (unsigned)node);
	/* maxnode counts one more than the bits, a quirk of the system call. */
	if (mbind(memory->addr, memory->len, MPOL_BIND, nodes->maskp, nodes->size + 1,
		  MPOL_MF_STRICT))
		err = pinion_fail(-errno, "segment %u: cannot bind to node %d: %s", index, node,
				  strerror(errno));
	numa_bitmask_free(nodes);
	return err;
}

/* Free pages of this size on a node, or in all when @node is negative; -1 when not told. */
static long free_pages(size_t page_size, int node)
{
	char where[64] = "/sys/kernel/mm", path[128];
	long nr = -1;
	FILE *file;

	if (node >= 0)
		(void)snprintf(where, sizeof(where), "/sys/devices/system/node/node%d", node);
	(void)snprintf(path, sizeof(path), "%s/hugepages/hugepages-%zukB/free_hugepages", where,
		       page_size / 1024);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &nr) != 1)
		nr = -1;
	(void)fclose(file);
	return nr;
}

static int too_few(const struct pinion_segment_config *config, uint32_t index, int err)
{
	size_t kib = config->page_size / 1024;
	char where[32] = "the machine has", map[16] = "";

	if (config->page_size == 4096)
		return pinion_fail(err, "segment %u: no memory for %zu bytes", index, config->len);
	if (config->node >= 0) {
		(void)snprintf(where, sizeof(where), "node %d has", config->node);
		(void)snprintf(map, sizeof(map), "%d:", config->node);
	}
	return pinion_fail(err,
			   "segment %u: %zu pages of %zu KiB are needed, %s %ld free; reserve "
			   "them first: hugepages reserve --size %zuK %s%zuM",
			   index, config->len / config->page_size, kib, where,
			   free_pages(config->page_size, config->node), kib, map,
			   config->len >> 20);
}

/* Every page where it was asked for, or nothing: pages do move between mbind and here. */
static int verify(const struct pinion_segment_config *config, uint32_t index,
		  const struct pinion_hostmem *memory, int *found)
{
	size_t nr = config->len / config->page_size, page_size = 0;
	int *node, err;

	err = pinion_hostmem_page_size(memory->fd, &page_size);
	if (err)
		return pinion_fail(err, "segment %u: cannot tell the page size: %s", index,
				   strerror(-err));
	if (page_size != config->page_size)
		return pinion_fail(-EXDEV, "segment %u: pages of %zu bytes were asked for, the "
				   "kernel gave %zu", index, config->page_size, page_size);
	node = calloc(nr, sizeof(*node));
	if (!node)
		return pinion_fail(-ENOMEM, "segment %u: no memory to verify %zu pages", index, nr);
	err = pinion_hostmem_node(memory->addr, config->page_size, node, nr);
	if (err)
		err = pinion_fail(err, "segment %u: cannot tell where its pages are: %s", index,
				  strerror(-err));
	*found = err ? -1 : node[0];
	for (size_t i = 0; !err && i < nr; i++) {
		if (config->node >= 0 && node[i] != config->node)
			err = pinion_fail(-EXDEV, "segment %u: page %zu of %zu landed on node %d, "
					  "node %d was asked for", index, i, nr, node[i],
					  config->node);
		if (node[i] != node[0])
			*found = -1;
	}
	free(node);
	return err;
}

static int seal(const struct pinion_hostmem *memory, uint32_t index)
{
	/* Before anyone else can reach it: no truncation, no further seals. */
	int err = pinion_hostmem_seal(memory, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);

	if (err)
		return pinion_fail(err, "segment %u: cannot seal: %s", index, strerror(-err));
	return 0;
}

int segment_create(const struct pinion_segment_config *config, const char *name, uint32_t index,
		   struct pinion_hostmem *memory, int *node)
{
	bool short_of_pages = false;
	int err = pinion_hostmem_create(name, config->len, config->page_size, memory);

	if (err == -ENOMEM)
		return too_few(config, index, err);
	if (err)
		return pinion_fail(err, "segment %u: cannot make a file of %zu bytes in pages of "
				   "%zu: %s", index, config->len, config->page_size,
				   strerror(-err));
	if (config->node >= 0)
		err = bind(memory, config->node, index);
	if (!err) {
		err = pinion_hostmem_populate(memory, 0, config->len);
		short_of_pages = err != 0;
	}
	if (!err)
		err = verify(config, index, memory, node);
	if (!err)
		err = seal(memory, index);
	if (err)
		(void)pinion_hostmem_destroy(memory);
	/* Counted only now: what we had got is free again. */
	return short_of_pages ? too_few(config, index, err) : err;
}
