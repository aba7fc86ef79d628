/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where buffers come from: a node, the node of a device, all nodes in turn, or the nearest that
 * still has any; and what was got is told.
 *
 *     cc place.c $(pkg-config --cflags --libs pinion) -o place
 *     sudo hugepages reserve 0:4M,1:4M && ./place       or: ./place --page-size 4k
 */
#include <glob.h>
#include <stdio.h>

#include "example.h"

static int has_memory(int node)
{
	char path[64];
	long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "Node %*d MemTotal: %ld", &kib) != 1)
		kib = 0;
	fclose(file);
	return kib > 0;
}

/* Buffers of 4 KiB and others of 8 KiB, on each of the first four nodes that have memory. */
static void plan(struct pinion_pool_config *config, size_t page)
{
	for (int node = 0; node < 64 && config->nr_segments < 8; node++) {
		struct pinion_segment_config here = {.len = 2 << 20, .buffer_size = 4096,
						     .page_size = page, .node = node};

		if (!has_memory(node))
			continue;
		config->segment[config->nr_segments++] = here;
		here.buffer_size = 8192;
		config->segment[config->nr_segments++] = here;
	}
}

/* Takes @nr with a cache of its own and says what the last one was. */
static int take(struct pinion_pool *pool, const struct pinion_cache_config *want, const char *how,
		int nr)
{
	static struct pinion_buffer buffer[4096];
	struct pinion_cache *cache;
	int got;

	must(pinion_cache_open(pool, want, &cache));
	got = pinion_buffer_alloc_bulk(cache, buffer, (uint32_t)nr);
	must(got);
	printf("%-28s %4d of %4d, the last on node %d, of %zu bytes\n", how, got, nr, cache->node,
	       cache->buffer_size);
	expect(pinion_buffer_node(pool, buffer[got - 1]) == cache->node, "the cache tells it, too");
	must(pinion_buffer_free_bulk(cache, buffer, (uint32_t)got));
	pinion_cache_close(cache);
	return got;
}

static void take_near_device(struct pinion_pool *pool)
{
	/* Preferred: its node may have no memory, or the kernel may know none of it. */
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY,
					   .flags = PINION_CACHE_PREFERRED};
	char how[64];
	glob_t found;

	if (glob("/sys/bus/pci/devices/*", 0, NULL, &found)) {
		printf("no PCI device here\n");
		return;
	}
	want.device = strrchr(found.gl_pathv[0], '/') + 1;
	snprintf(how, sizeof(how), "near %s:", want.device);
	take(pool, &want, how, 1);
	globfree(&found);
}

int main(int argc, char **argv)
{
	struct pinion_cache_config any = {.buffer_size = 4096, .node = PINION_NODE_ANY}, on0 = any;
	struct pinion_pool_config config = {0};
	struct pinion_pool *pool;

	plan(&config, page_size(argc, argv));
	on0.node = 0;
	must(pinion_pool_create(&config, &pool));
	take(pool, &any, "near this CPU:", 1);
	take_near_device(pool);
	any.flags = PINION_CACHE_INTERLEAVE;
	take(pool, &any, "interleaved:", 100);

	/* The node has 512 of that size. Strict: no more. Preferred: others', and larger ones. */
	expect(take(pool, &on0, "node 0, strict:", 600) == 512, "what the node has");
	on0.flags = PINION_CACHE_PREFERRED;
	expect(take(pool, &on0, "node 0, preferred:", 600) == 600, "more than the node has");

	pinion_pool_destroy(pool);
	return 0;
}
