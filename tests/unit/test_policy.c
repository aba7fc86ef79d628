/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a cache takes buffers from, and the shapes that buffers and magazines can have. On one
 * node; what needs two is in ../vm.
 */

#include <glob.h>

#include "pool_support.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

static struct pinion_cache *open_as(struct pinion_pool *pool,
				    const struct pinion_cache_config *config)
{
	struct pinion_cache *cache = NULL;
	const int err = pinion_cache_open(pool, config, &cache);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return cache;
}

/* 64 of 256 bytes twice, 16 of 1024, 8 of 4096; all on node 0. */
static struct pinion_pool *pool_of_sizes_in_magazines_of(uint32_t magazine_size)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);

	config.magazine_size = magazine_size;
	config.nr_segments = 4;
	config.segment[1] = config.segment[0];
	config.segment[2] = segment_of(16, 1024);
	config.segment[3] = segment_of(8, 4096);
	for (int i = 0; i < 4; i++)
		config.segment[i].node = 0;
	return pool_make_from(&config);
}

static struct pinion_pool *pool_of_sizes(void)
{
	return pool_of_sizes_in_magazines_of(64);
}

static void strict_takes_of_one_kind_alone(void **state)
{
	const int nodes[] = {0, PINION_NODE_ANY};
	struct pinion_pool *pool = pool_of_sizes();
	struct pinion_buffer all[256];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pinion_cache *cache = open_as(
			pool, &(struct pinion_cache_config){.buffer_size = 200, .node = nodes[i]});

		assert_int_equal(cache->node, 0);
		assert_int_equal(take_all(cache, all, 256), 128);
		for (int k = 0; k < 128; k++)
			assert_int_equal(pinion_buffer_size(pool, all[k]), BUFFER);
		give(cache, all, 128);
		assert_int_equal(pinion_cache_close(cache), 0);
	}
	pool_finish(pool, NULL);
}

/* The smallest first, then larger ones, and each says what it is. */
static void preferred_goes_on_with_larger_ones_and_tells(void **state)
{
	const size_t expected[] = {BUFFER, 1024, 4096};
	const uint32_t counts[] = {128, 16, 8};
	struct pinion_pool *pool = pool_of_sizes();
	struct pinion_cache *cache = open_as(
		pool, &(struct pinion_cache_config){.buffer_size = 1, .node = 0,
						    .flags = PINION_CACHE_PREFERRED});
	struct pinion_buffer all[256];
	uint32_t nr = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		for (uint32_t k = 0; k < counts[i]; k++, nr++) {
			take(cache, &all[nr], 1);
			assert_int_equal(cache->buffer_size, expected[i]);
			assert_int_equal(pinion_buffer_size(pool, all[nr]), expected[i]);
			assert_int_equal(pinion_buffer_node(pool, all[nr]), 0);
		}
	assert_int_equal(pinion_buffer_alloc(cache, &all[nr]), -ENOMEM);
	give(cache, all, nr);
	pool_finish(pool, cache);
}

static void preferred_of_a_node_that_has_none_takes_from_others(void **state)
{
	struct pinion_pool *pool = pool_of_sizes();
	const struct pinion_cache_config wish = {.buffer_size = BUFFER, .node = 5,
						 .flags = PINION_CACHE_PREFERRED};
	struct pinion_cache_config strict = wish;
	struct pinion_cache *cache = open_as(pool, &wish), *none = NULL;
	struct pinion_buffer one;

	(void)state;
	take(cache, &one, 1);
	assert_int_equal(cache->node, 0);
	give(cache, &one, 1);
	strict.flags = 0;
	assert_int_equal(pinion_cache_open(pool, &strict, &none), -ENOENT);
	assert_sentence("node 5");
	pool_finish(pool, cache);
}

/* As pool_of_sizes(), but with the second segment on another node: this process believes so. */
static struct pinion_pool *pool_of_two_nodes(void)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;

	config.magazine_size = 16;
	config.nr_segments = 2;
	config.segment[1] = config.segment[0];
	config.segment[0].node = config.segment[1].node = 0;
	pool = pool_make_from(&config);
	pool->segment[1].node = 1;
	return pool;
}

/* From all nodes, a magazine at a time, in turn. */
static void interleave_takes_turns(void **state)
{
	struct pinion_pool *pool = pool_of_two_nodes();
	struct pinion_cache *cache = open_as(
		pool, &(struct pinion_cache_config){.buffer_size = BUFFER, .node = PINION_NODE_ANY,
						    .flags = PINION_CACHE_INTERLEAVE});
	struct pinion_buffer all[129];

	(void)state;
	assert_int_equal(take_all(cache, all, 129), 128);
	for (int i = 0; i < 128; i++)
		assert_int_equal(slot_of(pool, all[i]),
				 (slot_of(pool, all[0]) + (uint32_t)i / 16) % 2);
	give(cache, all, 128);
	pool_finish(pool, cache);
}

/* Two segments on node 0, one on node 1, each of 64 buffers in 4 magazines: this process believes
 * so. */
static struct pinion_pool *pool_of_uneven_nodes(void)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;

	config.magazine_size = 16;
	config.nr_segments = 3;
	config.segment[1] = config.segment[2] = config.segment[0];
	for (int i = 0; i < 3; i++)
		config.segment[i].node = 0;
	pool = pool_make_from(&config);
	pool->segment[2].node = 1;
	return pool;
}

/* It is nodes that take turns, however many segments each has; what one lacks the others give. */
static void interleave_counts_nodes_and_not_segments(void **state)
{
	struct pinion_pool *pool = pool_of_uneven_nodes();
	struct pinion_cache *cache = open_as(
		pool, &(struct pinion_cache_config){.buffer_size = BUFFER, .node = PINION_NODE_ANY,
						    .flags = PINION_CACHE_INTERLEAVE});
	struct pinion_buffer all[193];

	(void)state;
	assert_int_equal(take_all(cache, all, 193), 192);
	for (int i = 0; i < 192; i++)
		assert_int_equal(slot_of(pool, all[i]) == 2, i < 128 && i / 16 % 2 == 1);
	give(cache, all, 192);
	pool_finish(pool, cache);
}

/* 64 of 256 bytes on each node; then 16 of 1024, and 8 of 4096. */
static void interleave_and_preferred_go_on_to_larger_ones_last(void **state)
{
	struct pinion_pool *pool = pool_of_sizes_in_magazines_of(16);
	const struct pinion_cache_config wish = {
		.buffer_size = BUFFER, .node = PINION_NODE_ANY,
		.flags = PINION_CACHE_INTERLEAVE | PINION_CACHE_PREFERRED};
	struct pinion_cache *cache;
	struct pinion_buffer all[153];

	(void)state;
	pool->segment[1].node = 1;
	cache = open_as(pool, &wish);
	assert_int_equal(take_all(cache, all, 153), 152);
	for (int i = 0; i < 152; i++)
		assert_int_equal(pinion_buffer_size(pool, all[i]),
				 i < 128 ? BUFFER : i < 144 ? 1024 : 4096);
	for (int i = 0; i < 128; i++)
		assert_int_equal(slot_of(pool, all[i]), i / 16 % 2);
	give(cache, all, 152);
	pool_finish(pool, cache);
}

/* A node that is named is all there is: the smallest that serves there, although another node has
 * smaller ones. */
static void strict_on_a_node_takes_the_smallest_size_of_that_node(void **state)
{
	struct pinion_pool *pool = pool_of_sizes();
	struct pinion_cache *cache;
	struct pinion_buffer all[17];

	(void)state;
	pool->segment[2].node = pool->segment[3].node = 1; /* the large ones */
	cache = open_as(pool, &(struct pinion_cache_config){.buffer_size = BUFFER, .node = 1});
	assert_int_equal(cache->buffer_size, 1024);
	assert_int_equal(take_all(cache, all, 17), 16);
	for (int i = 0; i < 16; i++)
		assert_int_equal(slot_of(pool, all[i]), 2);
	give(cache, all, 16);
	pool_finish(pool, cache);
}

/* Where the machine has both nodes the CPU decides which; it may change under us. */
static void without_a_wish_the_nearest_node_alone_serves(void **state)
{
	struct pinion_pool *pool = pool_of_two_nodes();
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer all[129];

	(void)state;
	assert_int_equal(take_all(cache, all, 129), 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(slot_of(pool, all[i]), slot_of(pool, all[0]));
	if (access("/sys/devices/system/node/node1", F_OK))
		assert_int_equal(slot_of(pool, all[0]), 0);
	give(cache, all, 64);
	pool_finish(pool, cache);
}

static void a_node_asked_for_serves_alone_or_first(void **state)
{
	struct pinion_pool *pool = pool_of_two_nodes();
	struct pinion_cache *strict = open_as(
		pool, &(struct pinion_cache_config){.buffer_size = BUFFER, .node = 1});
	struct pinion_cache *preferred = open_as(
		pool, &(struct pinion_cache_config){.buffer_size = BUFFER, .node = 1,
						    .flags = PINION_CACHE_PREFERRED});
	struct pinion_buffer all[129];

	(void)state;
	assert_int_equal(take_all(strict, all, 129), 64);
	assert_int_equal(slot_of(pool, all[0]), 1);
	assert_int_equal(strict->node, 1);
	give(strict, all, 64);
	assert_int_equal(pinion_cache_close(strict), 0);
	assert_int_equal(take_all(preferred, all, 129), 128);
	for (int i = 0; i < 128; i++)
		assert_int_equal(slot_of(pool, all[i]), i < 64 ? 1 : 0);
	assert_int_equal(preferred->node, 0);
	give(preferred, all, 128);
	pool_finish(pool, preferred);
}

/* Many at once are told of as one is: how many there are, each by its handle, the last by the
 * cache. */

static const uint32_t bulks[] = {1, 5, 15, 16, 17, 40};
#define BULKS (sizeof(bulks) / sizeof(bulks[0]))

/* The second segment is on node 1 for handles too. */
static struct pinion_pool *pool_of_two_nodes_to_all(void)
{
	struct pinion_pool *pool = pool_of_two_nodes();

	pool->view.segment[1].node = 1;
	return pool;
}

/* One more bulk of @nr, of which there are @got. */
static void take_bulk(struct pinion_pool *pool, struct pinion_cache *cache,
		      struct pinion_buffer *buffer, uint32_t nr, uint32_t got)
{
	assert_int_equal(pinion_buffer_alloc_bulk(cache, buffer, nr), got);
	assert_int_equal(cache->node, pinion_buffer_node(pool, buffer[got - 1]));
	assert_int_equal(cache->buffer_size, pinion_buffer_size(pool, buffer[got - 1]));
	for (uint32_t i = 0; i < got; i++)
		assert_int_equal(pinion_buffer_node(pool, buffer[i]), slot_of(pool, buffer[i]));
}

/* Bulks of all sizes in turn, until there is none; the last may be short. Their sum. */
static uint32_t take_bulks(struct pinion_pool *pool, struct pinion_cache *cache,
			   struct pinion_buffer *all, uint32_t most, uint32_t first)
{
	uint32_t nr = 0;

	for (uint32_t i = first; nr < most; i++) {
		const uint32_t want = bulks[i % BULKS], left = most - nr;
		const uint32_t got = want < left ? want : left;

		take_bulk(pool, cache, &all[nr], want, got);
		nr += got;
	}
	assert_int_equal(pinion_buffer_alloc_bulk(cache, &all[nr], 1), -ENOMEM);
	return nr;
}

static void bulks_on_a_node_end_with_it_or_go_on_and_tell(void **state)
{
	const uint32_t flags[] = {0, PINION_CACHE_PREFERRED};

	(void)state;
	for (uint32_t i = 0; i < 2 * BULKS; i++) {
		struct pinion_pool *pool = pool_of_two_nodes_to_all();
		const bool strict = flags[i % 2] == 0;
		const struct pinion_cache_config wish = {
			.buffer_size = BUFFER, .node = 1, .flags = flags[i % 2]};
		struct pinion_cache *cache = open_as(pool, &wish);
		struct pinion_buffer all[129];
		const uint32_t nr = take_bulks(pool, cache, all, strict ? 64 : 128, i / 2);

		for (uint32_t k = 0; k < nr; k++)
			assert_int_equal(pinion_buffer_node(pool, all[k]), k < 64);
		assert_int_equal(cache->node, strict);
		assert_distinct(all, nr);
		give(cache, all, nr);
		pool_finish(pool, cache);
	}
}

/* In one bulk, magazines of either node; the cache tells of the last. */
static void a_bulk_interleaves_by_magazines_and_tells(void **state)
{
	struct pinion_pool *pool = pool_of_two_nodes_to_all();
	struct pinion_cache *cache = open_as(
		pool, &(struct pinion_cache_config){.buffer_size = BUFFER, .node = PINION_NODE_ANY,
						    .flags = PINION_CACHE_INTERLEAVE});
	struct pinion_buffer all[129];
	int first;

	(void)state;
	take_bulk(pool, cache, all, 48, 48);
	first = pinion_buffer_node(pool, all[0]);
	assert_int_equal(cache->node, first);
	take_bulk(pool, cache, &all[48], 10, 10);
	assert_int_equal(cache->node, !first);
	take_bulk(pool, cache, &all[58], 71, 70);
	for (int i = 0; i < 128; i++)
		assert_int_equal(pinion_buffer_node(pool, all[i]), (first + i / 16) % 2);
	give(cache, all, 128);
	pool_finish(pool, cache);
}

/* Asked for more than there are of a size, and than there are at all. */
static void a_bulk_that_goes_on_with_larger_ones_tells(void **state)
{
	struct pinion_pool *pool = pool_of_sizes_in_magazines_of(16);
	struct pinion_cache *cache = open_as(
		pool, &(struct pinion_cache_config){.buffer_size = BUFFER, .node = 0,
						    .flags = PINION_CACHE_PREFERRED});
	struct pinion_buffer all[153];

	(void)state;
	assert_int_equal(pinion_buffer_alloc_bulk(cache, all, 130), 130);
	assert_int_equal(cache->buffer_size, 1024);
	assert_int_equal(pinion_buffer_alloc_bulk(cache, &all[130], 23), 22);
	assert_int_equal(cache->buffer_size, 4096);
	for (int i = 0; i < 152; i++)
		assert_int_equal(pinion_buffer_size(pool, all[i]),
				 i < 128 ? BUFFER : i < 144 ? 1024 : 4096);
	give(cache, all, 152);
	pool_finish(pool, cache);
}

/* A larger buffer nearby is no match for one of the right size farther off. */
static void the_size_counts_before_the_distance(void **state)
{
	struct pinion_pool *pool = pool_of_sizes();
	const size_t expected[] = {BUFFER, 1024, 4096};
	const uint32_t counts[] = {128, 16, 8};
	struct pinion_cache *cache;
	struct pinion_buffer all[152];
	uint32_t nr = 0;

	(void)state;
	pool->segment[0].node = pool->segment[1].node = 1; /* the small ones */
	cache = open_as(pool, &(struct pinion_cache_config){.buffer_size = BUFFER,
							    .node = PINION_NODE_ANY});
	assert_int_equal(cache->buffer_size, BUFFER);
	assert_int_equal(cache->node, 1);
	assert_int_equal(pinion_cache_close(cache), 0);
	cache = open_as(pool, &(struct pinion_cache_config){.buffer_size = BUFFER, .node = 0,
							    .flags = PINION_CACHE_PREFERRED});
	for (int i = 0; i < 3; i++)
		for (uint32_t k = 0; k < counts[i]; k++, nr++) {
			take(cache, &all[nr], 1);
			assert_int_equal(cache->buffer_size, expected[i]);
		}
	give(cache, all, nr);
	pool_finish(pool, cache);
}

static void a_device_that_cannot_be_is_an_error(void **state)
{
	const struct {
		struct pinion_cache_config config;
		int err;
		const char *part;
	} bad[] = {
		{{.buffer_size = 1, .node = -1, .device = "nvme0"}, -EINVAL, "no PCI address"},
		{{.buffer_size = 1, .node = -1, .device = ""}, -EINVAL, "no PCI address"},
		{{.buffer_size = 1, .node = -1, .device = "../../etc"}, -EINVAL, "no PCI address"},
		{{.buffer_size = 1, .node = -1, .device = "ffff:ff:1f.7"}, -ENODEV, "ffff:ff:1f.7"},
		{{.buffer_size = 1, .node = 0, .device = "0000:00:00.0"}, -EINVAL, "not for both"},
	};
	struct pinion_pool *pool = pool_of_sizes();
	struct pinion_cache *none = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pinion_cache_open(pool, &bad[i].config, &none), bad[i].err);
		assert_sentence(bad[i].part);
		assert_null(none);
	}
	pool_finish(pool, NULL);
}

static void flags_that_nobody_knows_are_einval(void **state)
{
	struct pinion_pool *pool = pool_of_sizes();
	struct pinion_cache *none = NULL;

	(void)state;
	for (uint32_t flag = 4; flag; flag <<= 1) {
		const struct pinion_cache_config config = {
			.buffer_size = 1, .node = PINION_NODE_ANY, .flags = flag};

		assert_int_equal(pinion_cache_open(pool, &config, &none), -EINVAL);
		assert_sentence("flags");
	}
	pool_finish(pool, NULL);
}

/* Every device that this machine has, whatever the kernel says of its node. */

#define DEVICES "/sys/bus/pci/devices/*"

static bool has_device(void)
{
	glob_t found;
	const bool has = glob(DEVICES, 0, NULL, &found) == 0;

	globfree(&found);
	return has;
}

#define ONLINE "/sys/devices/system/node/online"

/* The node of a machine that has one, "0"; -1: it has several, "0-1", or does not say. */
static long only_node(void)
{
	FILE *f = fopen(ONLINE, "re");
	char text[256], *end;
	long node;

	if (!f)
		return -1;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	node = strtol(text, &end, 10);
	return end > text && *end == '\n' ? node : -1;
}

/* Node 0 has all there is. Of a device without a node: where the machine has but one. */
static void opens_near(struct pinion_pool *pool, const char *path)
{
	struct pinion_cache_config config = {.buffer_size = BUFFER, .node = PINION_NODE_ANY,
					     .device = strrchr(path, '/') + 1};
	char file[PATH_MAX];
	struct pinion_cache *cache = NULL;
	long node;
	int err;

	(void)snprintf(file, sizeof(file), "%s/numa_node", path);
	node = support_read_long(file);
	if (node < 0)
		node = only_node();
	err = pinion_cache_open(pool, &config, &cache);
	assert_int_equal(err, node < 0 ? -ENODATA : node > 0 ? -ENOENT : 0);
	if (!err)
		assert_int_equal(pinion_cache_close(cache), 0);
	config.flags = PINION_CACHE_PREFERRED;
	cache = open_as(pool, &config);
	assert_int_equal(cache->node, 0);
	assert_int_equal(pinion_cache_close(cache), 0);
}

static void a_cache_near_a_real_device_opens(void **state)
{
	struct pinion_pool *pool = pool_of_sizes();
	glob_t found;

	(void)state;
	assert_int_equal(glob(DEVICES, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		opens_near(pool, found.gl_pathv[i]);
	globfree(&found);
	pool_finish(pool, NULL);
}

/* Shapes. */

static void magazines_of_any_size_work(void **state)
{
	const uint32_t sizes[] = {PINION_MAGAZINE_MIN, 9, 100, PINION_MAGAZINE_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct pinion_pool_config config = pool_config(2048, BUFFER);
		static struct pinion_buffer all[2049];
		struct pinion_cache *cache, *second;
		struct pinion_pool *pool;

		config.magazine_size = sizes[i];
		pool = pool_make_from(&config);
		cache = cache_make(pool, BUFFER);
		second = cache_make(pool, BUFFER);
		for (int round = 0; round < 3; round++) {
			assert_int_equal(take_all(cache, all, 2049), 2048);
			give(second, all, 2048);
			assert_pool_sound(pool);
			/* What others' caches keep is at most two magazines. */
			assert_in_range(take_all(cache, all, 2049), 2048 - 2 * sizes[i], 2048);
			give(cache, all, 2048 - 2 * sizes[i]);
			assert_int_equal(pinion_cache_flush(second), 0);
			give(cache, all + 2048 - 2 * sizes[i],
			     pinion_pool_held(pool, 0));
			assert_int_equal(pinion_cache_flush(cache), 0);
			assert_pool_whole(pool);
		}
		assert_int_equal(pinion_cache_close(second), 0);
		pool_finish(pool, cache);
	}
}

static void magazines_of_other_sizes_are_einval(void **state)
{
	const uint32_t bad[] = {1, PINION_MAGAZINE_MIN - 1, PINION_MAGAZINE_MAX + 1, UINT32_MAX};
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config.magazine_size = bad[i];
		assert_int_equal(pinion_pool_create(&config, &pool), -EINVAL);
		assert_sentence("magazines have 8 to 512");
		assert_null(pool);
	}
}

/* In each process by itself, for each size from the smallest to runs of pages. */
static void buffers_are_aligned_to_their_size_in_every_process(void **state)
{
	const size_t sizes[] = {64, 128, 2048, 4096, 8192, 16384, 65536, 1 << 20};
	const uint32_t modes[] = {0, PINION_POOL_DEBUG};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		const size_t size = sizes[i / 2];
		struct pinion_pool_config config =
			pool_config(size < 4096 ? 2 * 4096 / size : 6, size);
		struct pinion_pool *pool, *peer;
		struct pinion_cache *cache;
		struct pinion_buffer all[128];
		uint32_t nr;

		config.flags = modes[i % 2];
		pool = pool_make_from(&config);
		peer = pool_join(pool);
		cache = cache_make(peer, size);
		nr = take_all(cache, all, 128);
		assert_int_equal(nr, (size < 4096 ? 2 * 4096 / size : 6) / (1 + i % 2));
		for (uint32_t k = 0; k < nr; k++) {
			assert_int_equal((uintptr_t)pinion_buffer_addr(pool, all[k]) % size, 0);
			assert_int_equal((uintptr_t)pinion_buffer_addr(peer, all[k]) % size, 0);
			memset(pinion_buffer_addr(peer, all[k]), (int)k + 1, size);
		}
		for (uint32_t k = 0; k < nr; k++) {
			const unsigned char *byte = pinion_buffer_addr(pool, all[k]);

			assert_int_equal(byte[0], k + 1);
			assert_int_equal(byte[size - 1], k + 1);
		}
		give(cache, all, nr);
		assert_int_equal(pinion_cache_close(cache), 0);
		assert_int_equal(pinion_pool_detach(peer), 0);
		pool_finish(pool, NULL);
	}
}

static void a_run_of_hugepages_is_one_buffer(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool, *peer;
	struct pinion_cache *cache;
	struct pinion_buffer all[3];

	(void)state;
	config.segment[0] =
		(struct pinion_segment_config){8 * HUGE_PAGE, 4 * HUGE_PAGE, HUGE_PAGE, 0};
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	cache = cache_make(peer, 4 * HUGE_PAGE);
	assert_int_equal(take_all(cache, all, 3), 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal((uintptr_t)pinion_buffer_addr(peer, all[i]) % (4 * HUGE_PAGE), 0);
		assert_int_equal((uintptr_t)pinion_buffer_addr(pool, all[i]) % (4 * HUGE_PAGE), 0);
		memset(pinion_buffer_addr(peer, all[i]), i + 1, 4 * HUGE_PAGE);
	}
	assert_int_equal(*(char *)pinion_buffer_addr(pool, all[0]), 1);
	give(cache, all, 2);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	pool_finish(pool, NULL);
}

/* Tickets. */

/* nr_caches is of the whole pool: members share it, and the dead give theirs back. */
static void tickets_are_the_pools_and_come_back_from_the_dead(void **state)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool, *peer;
	struct pinion_cache *cache[4], *none = NULL;

	(void)state;
	config.nr_caches = 4;
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			cache[i] = cache_make(i < 3 ? peer : pool, BUFFER);
		assert_int_equal(pinion_cache_open(pool, &any, &none), -EAGAIN);
		assert_int_equal(pinion_cache_open(peer, &any, &none), -EAGAIN);
		assert_sentence("4 caches of the pool are open");
		for (int i = 0; i < 3; i++)
			abandon(cache[i]);
		assert_int_equal(pinion_cache_open(pool, &any, &none), -EAGAIN);
		assert_int_equal(pinion_pool_recover(pool, pinion_pool_member(peer), NULL, 0, NULL),
				 0);
		assert_pool_sound(pool);
		for (int i = 0; i < 3; i++)
			cache[i] = cache_make(pool, BUFFER);
		assert_int_equal(pinion_cache_open(pool, &any, &none), -EAGAIN);
		for (int i = 0; i < 4; i++)
			assert_int_equal(pinion_cache_close(cache[i]), 0);
		assert_int_equal(pinion_pool_detach(peer), 0);
		assert_int_equal(pinion_pool_release(pool, 1, NULL), 0);
		peer = pool_join(pool);
	}
	assert_int_equal(pinion_pool_detach(peer), 0);
	pool_finish(pool, NULL);
}

/* 0 means the defaults that the header names. */
static void the_defaults_are_those_of_the_header(void **state)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_cache *cache[17];
	struct pinion_pool *pool;
	uint32_t member = 0;

	(void)state;
	config.nr_members = config.nr_caches = config.magazine_size = config.max_segments = 0;
	pool = pool_make_from(&config);
	for (int i = 0; i < 16; i++)
		cache[i] = cache_make(pool, BUFFER);
	assert_int_equal(pinion_cache_open(pool, &any, &cache[16]), -EAGAIN);
	for (int i = 0; i < 16; i++)
		assert_int_equal(pinion_cache_close(cache[i]), 0);
	for (int i = 1; i < 64; i++)
		assert_int_equal(pinion_pool_admit(pool, 1, &member), 0);
	assert_int_equal(pinion_pool_admit(pool, 1, &member), -EAGAIN);
	assert_int_equal(pool->geometry.magazine_size, 16);
	assert_int_equal(pinion_pool_slots(pool), PINION_SEGMENT_MAX);
	pool_finish(pool, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(strict_takes_of_one_kind_alone),
		pool_test(preferred_goes_on_with_larger_ones_and_tells),
		pool_test(preferred_of_a_node_that_has_none_takes_from_others),
		pool_test(interleave_takes_turns),
		pool_test(interleave_counts_nodes_and_not_segments),
		pool_test(interleave_and_preferred_go_on_to_larger_ones_last),
		pool_test(strict_on_a_node_takes_the_smallest_size_of_that_node),
		pool_test(without_a_wish_the_nearest_node_alone_serves),
		pool_test(a_node_asked_for_serves_alone_or_first),
		pool_test(bulks_on_a_node_end_with_it_or_go_on_and_tell),
		pool_test(a_bulk_interleaves_by_magazines_and_tells),
		pool_test(a_bulk_that_goes_on_with_larger_ones_tells),
		pool_test(the_size_counts_before_the_distance),
		pool_test(a_device_that_cannot_be_is_an_error),
		pool_test(flags_that_nobody_knows_are_einval),
		support_where(has_device(), "this machine has no PCI device", pool_test,
			      a_cache_near_a_real_device_opens),
		pool_test(magazines_of_any_size_work),
		pool_test(magazines_of_other_sizes_are_einval),
		pool_test(buffers_are_aligned_to_their_size_in_every_process),
		support_where(support_read_long(HUGE_FREE) >= 8,
			      "fewer than 8 hugepages of 2 MiB are free", pool_test,
			      a_run_of_hugepages_is_one_buffer),
		pool_test(tickets_are_the_pools_and_come_back_from_the_dead),
		pool_test(the_defaults_are_those_of_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
