/* SPDX-License-Identifier: BSD-3-Clause */
#include "rank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/pci.h>

#include "fail.h"

static int node_of_device(const char *name, int *node)
{
	struct pinion_pci_bdf bdf;
	int err = pinion_pci_bdf_parse(name, &bdf);

	if (err)
		return pinion_fail(-EINVAL, "\"%s\" is no PCI address such as 0000:41:00.0", name);
	err = pinion_pci_numa_node(&bdf, node);
	if (err)
		return pinion_fail(err == -ENOENT ? -ENODEV : err,
				   "%s: cannot tell its NUMA node: %s", name, strerror(-err));
	/* The kernel knows none, as where the firmware describes but one. */
	if (*node < 0)
		*node = near_only_node();
	return 0;
}

static int unknown(const struct pinion_cache_config *config)
{
	return pinion_fail(-ENODATA, "the kernel does not say which of the machine's NUMA nodes is "
			   "that of %s: name one, or ask with PINION_CACHE_PREFERRED",
			   config->device ? config->device : "this processor");
}

/* @node: of the device, or as given. */
static int choose(const struct pinion_cache_config *config, int node, struct rank_wish *wish)
{
	near_look(&wish->near, node);
	if (config->flags & PINION_CACHE_PREFERRED)
		return 0;
	wish->node = config->node == PINION_NODE_LOCAL ? wish->near.node : node;
	if (wish->node >= 0 || (!config->device && config->node != PINION_NODE_LOCAL))
		return 0;
	return unknown(config);
}

int rank_understand(const struct pinion_cache_config *config, struct rank_wish *wish)
{
	int node = config->node, err;

	*wish = (struct rank_wish){.buffer_size = config->buffer_size,
				   .node = PINION_NODE_ANY, .flags = config->flags};
	if (config->flags & ~(PINION_CACHE_PREFERRED | PINION_CACHE_INTERLEAVE))
		return pinion_fail(-EINVAL, "unknown flags of a cache: %#x", config->flags);
	if (config->device && config->node != PINION_NODE_ANY)
		return pinion_fail(-EINVAL, "a cache is for node %d or for device %s, not for both",
				   config->node, config->device);
	if (config->device) {
		err = node_of_device(config->device, &node);
		if (err)
			return err;
	}
	return choose(config, node, wish);
}

/* Smaller is better; -1: does not serve at all. */
static int rank(const struct control_segment *segment, const struct rank_wish *wish)
{
	int far = near_distance(&wish->near, segment->node);

	if ((size_t)1 << segment->buffer_shift < wish->buffer_size)
		return -1;
	if (wish->node != PINION_NODE_ANY && segment->node != wish->node)
		return -1;
	if (wish->flags & PINION_CACHE_INTERLEAVE)
		far = 0;
	return far | segment->buffer_shift << 8; /* a distance is at most 255 */
}

/* No two are equal: two looks at the same pool give the same order. */
static int compare(const void *a, const void *b)
{
	const struct rank_choice *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank - y->rank;
	return x->node != y->node ? x->node - y->node : x->slot - y->slot;
}

void rank_segments(const struct pinion_pool *pool, const struct rank_wish *wish,
		   struct rank_order *order)
{
	struct rank_choice *choice = order->choice;
	uint32_t nr = 0;

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		const struct control_segment *segment = &pool->segment[s];

		if (slot_state_of(pool->state[s]) != SLOT_LIVE || !pool->memory[s].addr)
			continue;
		choice[nr] = (struct rank_choice){rank(segment, wish), segment->node, (uint8_t)s};
		nr += choice[nr].rank >= 0;
	}
	qsort(choice, nr, sizeof(*choice), compare);
	order->nr = nr;
	if (!(wish->flags & PINION_CACHE_PREFERRED))
		order->nr = rank_class_end(order, 0);
}
