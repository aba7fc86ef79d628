/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments on two nodes, in pages of 2 MiB and of 1 GiB: where they land, who populates them,
 * what is said when one node has too few, and files of named pools; which node caches take buffers
 * from; and hostmem.h's own ways to a node and to a file. The machine has one page of 1 GiB on each
 * node from its start, and a PCI device of a known node, argv[1].
 */

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <pinion/domain.h>

#include "huge_support.h"
#include "segment.h"

#define GIB ((size_t)1 << 30)
#define NODE_PAGES 48 /* of 2 MiB, on each node */
#define NODE_DIR "/sys/devices/system/node/node%d/hugepages/hugepages-%zukB/"

static long node_free(int node, size_t page_size)
{
	char path[128];

	snprintf(path, sizeof(path), NODE_DIR "free_hugepages", node, page_size / 1024);
	return support_read_long(path);
}

static int node_reserve(int node)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), NODE_DIR "nr_hugepages", node, HUGE / 1024);
	file = fopen(path, "we");
	if (file == NULL || fprintf(file, "%d\n", NODE_PAGES) < 0 || fclose(file) != 0)
		return -1;
	return node_free(node, HUGE) == NODE_PAGES ? 0 : -1;
}

/* On both nodes all pages of both sizes are free. */
static int all_is_free(void **state)
{
	const int err = pool_test_after(state);

	for (int node = 0; node < 2; node++)
		if (node_free(node, HUGE) != NODE_PAGES || node_free(node, GIB) != 1) {
			print_message("# node %d: %ld pages of 2 MiB, %ld of 1 GiB are free\n",
				      node, node_free(node, HUGE), node_free(node, GIB));
			return -1;
		}
	return err;
}

/* Who populates what: the library's madvise() is this one. */
static struct {
	pthread_mutex_t lock;
	int calls[2][2]; /* [node of the processor][of the page] */
} spy = {.lock = PTHREAD_MUTEX_INITIALIZER};

int madvise(void *addr, size_t len, int advice)
{
	const int err = (int)syscall(SYS_madvise, addr, len, advice);
	unsigned cpu = 0, here = 0;
	int there = 0;

	if (err || advice != MADV_POPULATE_WRITE)
		return err;
	pthread_mutex_lock(&spy.lock);
	if (!getcpu(&cpu, &here) && !pinion_hostmem_node(addr, HUGE, &there, 1))
		spy.calls[here & 1][there & 1]++;
	pthread_mutex_unlock(&spy.lock);
	return 0;
}

static struct pinion_segment_config sizes(size_t len, size_t buffer_size, size_t page_size,
					  int node)
{
	return (struct pinion_segment_config){len, buffer_size, page_size, node};
}

static struct pinion_pool_config four_segments(void)
{
	struct pinion_pool_config config = {.nr_segments = 4};

	config.segment[0] = sizes(20 * HUGE, 65536, HUGE, 0);
	config.segment[1] = sizes(20 * HUGE, 4 * HUGE, HUGE, 1);
	config.segment[2] = sizes(28 * HUGE, 4 * HUGE, HUGE, 0);
	config.segment[3] = sizes(28 * HUGE, 4096, HUGE, 1);
	return config;
}

static void every_page_of_mixed_sizes_is_on_its_node(void **state)
{
	const struct pinion_pool_config config = four_segments();
	struct pinion_pool *pool = pool_make_from(&config);
	struct pinion_zone_stat stat;

	(void)state;
	for (uint32_t s = 0; s < 4; s++) {
		const struct pinion_hostmem *memory = &pool->memory[s];
		int node[28] = {0};

		assert_int_equal((uintptr_t)memory->addr % config.segment[s].buffer_size, 0);
		assert_int_equal(pinion_hostmem_node(memory->addr, HUGE, node, memory->len / HUGE),
				 0);
		for (size_t page = 0; page < memory->len / HUGE; page++)
			assert_int_equal(node[page], config.segment[s].node);
		assert_int_equal(pinion_pool_stat(pool, s, &stat), 0);
		assert_int_equal(stat.node, config.segment[s].node);
	}
	assert_int_equal(node_free(0, HUGE), 0);
	assert_int_equal(node_free(1, HUGE), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* 192 MiB: more than the caller does alone. */
static void each_node_populates_its_own_pages(void **state)
{
	const struct pinion_pool_config config = four_segments();

	(void)state;
	memset(spy.calls, 0, sizeof(spy.calls));
	assert_int_equal(pinion_pool_destroy(pool_make_from(&config)), 0);
	assert_true(spy.calls[0][0] > 0);
	assert_true(spy.calls[1][1] > 0);
	/* But for the control area, which the caller populates and wherever it likes, none on the
	 * other node. Its pages are small, and asked for alone. */
	assert_true(spy.calls[0][1] + spy.calls[1][0] == 0);
}

static void refused(const struct pinion_pool_config *config, int err, const char *part)
{
	struct pinion_pool *pool = NULL;

	assert_int_equal(pinion_pool_create(config, &pool), err);
	assert_null(pool);
	assert_sentence(part);
	assert_int_equal(node_free(0, HUGE), NODE_PAGES);
	assert_int_equal(node_free(1, HUGE), NODE_PAGES);
}

/* Together there are enough, on node 1 there are not: found while populating, by a worker. */
static void a_node_that_is_exhausted_is_named_with_all_that_it_needs(void **state)
{
	struct pinion_pool_config config = four_segments();

	(void)state;
	config.segment[0].len = 4 * HUGE;
	config.segment[3].len = 29 * HUGE;
	refused(&config, -ENOMEM, "49 pages of 2048 KiB are needed, node 1 has 48 free: "
				  "hugepages reserve --size 2048K --pages 1:49");
	/* All nodes together have too few, so the last mapping fails already; node 0 is short. */
	config = four_segments();
	config.segment[2].len = 32 * HUGE;
	config.segment[3].len = 27 * HUGE;
	refused(&config, -ENOMEM, "52 pages of 2048 KiB are needed, node 0 has 48 free");
	/* The same for a caller that populates alone. */
	config.nr_segments = 1;
	config.segment[0] = sizes((NODE_PAGES + 1) * HUGE, 64, HUGE, 0);
	refused(&config, -ENOMEM, "segment 0: 49 pages of 2048 KiB are needed, node 0 has 48 free");
}

/* What names no node may spill over, and it is told. */
static void pages_on_any_node_may_be_on_several(void **state)
{
	struct pinion_pool_config config = {.nr_segments = 1};
	struct pinion_zone_stat stat;
	struct pinion_pool *pool;

	(void)state;
	config.segment[0] = sizes((NODE_PAGES + 8) * HUGE, HUGE, HUGE, PINION_NODE_ANY);
	pool = pool_make_from(&config);
	assert_int_equal(pinion_pool_stat(pool, 0, &stat), 0);
	assert_int_equal(stat.node, -1);
	assert_int_equal(pinion_pool_destroy(pool), 0);

	/* What fits is on the node of the one who asks, as if one thread had touched it. */
	config.segment[0].len = 40 * HUGE;
	pool = pool_make_from(&config);
	assert_int_equal(pinion_pool_stat(pool, 0, &stat), 0);
	assert_true(stat.node >= 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static struct pinion_pool_config large_pages(void)
{
	struct pinion_pool_config config = {.nr_segments = 2};

	config.segment[0] = sizes(GIB, GIB, GIB, 0);
	config.segment[1] = sizes(GIB, HUGE, GIB, 1);
	return config;
}

/* One page, so one run on the bus: the last byte of a buffer is where the first says. */
static void pages_of_1_gib_have_buffers_and_physical_addresses(void **state)
{
	const struct pinion_pool_config config = large_pages();
	struct pinion_pool *pool = pool_make_from(&config);
	struct pinion_domain *domain = NULL;

	(void)state;
	assert_int_equal(node_free(0, GIB), 0);
	assert_int_equal(node_free(1, GIB), 0);
	assert_int_equal(pinion_domain_create_phys(pool, &domain), 0);
	for (uint32_t s = 0; s < 2; s++) {
		const uint32_t first = s << pool->geometry.segment_shift;
		const uint32_t nr = pool->segment[s].nr;
		uint64_t base = 0;

		assert_int_equal(nr, GIB / config.segment[s].buffer_size);
		for (uint32_t i = 0; i < nr; i++) {
			const struct pinion_buffer buffer = pinion_buffer_make(first + i, 1);
			const uint64_t phys = pinion_buffer_phys(domain, buffer, 0).addr;

			if (i == 0)
				base = phys;
			assert_int_equal(base % GIB, 0);
			assert_int_equal(phys, base + i * config.segment[s].buffer_size);
			assert_int_equal((uintptr_t)pinion_buffer_addr(pool, buffer) %
						 config.segment[s].buffer_size, 0);
		}
	}
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void too_few_pages_of_1_gib_says_so(void **state)
{
	struct pinion_pool_config config = large_pages();

	(void)state;
	config.segment[1].node = 0;
	refused(&config, -ENOMEM, "2 pages of 1048576 KiB are needed, node 0 has 1 free: "
				  "hugepages reserve --size 1048576K --pages 0:2");
}

static struct named *named_pool(const char *dir, size_t page_size)
{
	char path[SUPPORT_PATH_LEN + 8], options[64];
	struct named *named = NULL;

	snprintf(path, sizeof(path), "%s/pool", dir);
	snprintf(options, sizeof(options), "pagesize=%zuK", page_size / 1024);
	assert_int_equal(mount("none", dir, "hugetlbfs", 0, options), 0);
	assert_int_equal(named_make(path, 0, &named), 0);
	assert_int_equal(named->page_size, page_size);
	return named;
}

/* The policy goes with the mapping that made the pages; the pages stay where they are. */
static void named_segments_keep_their_nodes(void **state)
{
	const size_t pages[] = {HUGE, GIB};
	char dir[SUPPORT_PATH_LEN];

	(void)state;
	support_dir_create(dir);
	for (int i = 0; i < 2; i++) {
		struct named *named = named_pool(dir, pages[i]);
		const struct segment_options options = {.named = named};
		const struct pinion_segment_config config[] = {sizes(pages[i], 4096, pages[i], 1),
							       sizes(pages[i], 4096, pages[i], 0)};
		struct pinion_hostmem memory[2];
		struct segment_order order[] = {{&config[0], 0, &memory[0], -1},
						{&config[1], 1, &memory[1], -1}};

		assert_int_equal(segments_create(order, 2, &options), 0);
		for (int s = 0; s < 2; s++) {
			char what[NAMED_WHAT_MAX];
			int fd = -1, node = -1;
			size_t len = 0;

			assert_int_equal(order[s].node, 1 - s);
			assert_int_equal(pinion_hostmem_destroy(&memory[s]), 0);
			named_segment((uint32_t)s, what);
			assert_int_equal(named_open(named, what, &fd, &len), 0);
			assert_int_equal(segment_map(fd, len, pages[i], 4096, &memory[s]), 0);
			assert_int_equal(pinion_hostmem_populate(&memory[s], 0, len), 0);
			assert_int_equal(pinion_hostmem_node(memory[s].addr, pages[i], &node, 1),
					 0);
			assert_int_equal(node, 1 - s);
			assert_int_equal(pinion_hostmem_destroy(&memory[s]), 0);
		}
		assert_int_equal(named_unlink(named), 0);
		named_close(named);
		assert_int_equal(umount(dir), 0);
	}
	assert_int_equal(rmdir(dir), 0);
}

/* Which node a cache takes from: where each buffer's page is, the kernel is asked. */

#define EACH 64 /* buffers of either node */
#define MAGAZINE PINION_MAGAZINE_MIN

static const char *device;

static struct pinion_pool *pool_on_both(void)
{
	struct pinion_pool_config config = {.nr_segments = 2, .magazine_size = MAGAZINE};

	for (int node = 0; node < 2; node++)
		config.segment[node] = sizes(2 * HUGE, 2 * HUGE / EACH, HUGE, node);
	return pool_make_from(&config);
}

static struct pinion_cache *open_on(struct pinion_pool *pool, int node, const char *near,
				    uint32_t flags)
{
	const struct pinion_cache_config config = {2 * HUGE / EACH, node, near, flags};
	struct pinion_cache *cache = NULL;

	assert_int_equal(pinion_cache_open(pool, &config, &cache), 0);
	return cache;
}

/* By the kernel; the library must say the same. */
static int node_of(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	const uintptr_t addr = (uintptr_t)pinion_buffer_addr(pool, buffer);
	int node = -1;

	assert_int_equal(pinion_hostmem_node((void *)(addr & ~(HUGE - 1)), HUGE, &node, 1), 0);
	assert_int_equal(pinion_buffer_node(pool, buffer), node);
	return node;
}

static void run_on(int node)
{
	char path[64];
	cpu_set_t set;
	long cpu;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node);
	cpu = support_read_long(path);
	assert_true(cpu >= 0);
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* Before its first buffer it says where that will be from. Closes the cache. */
static void takes_of_one_node_alone(struct pinion_pool *pool, struct pinion_cache *cache, int node)
{
	struct pinion_buffer all[2 * EACH];

	assert_int_equal(cache->node, node);
	assert_int_equal(take_all(cache, all, 2 * EACH), EACH);
	for (int i = 0; i < EACH; i++)
		assert_int_equal(node_of(pool, all[i]), node);
	give(cache, all, EACH);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
}

static void near_the_calling_processor_is_its_node(void **state)
{
	struct pinion_pool *pool = pool_on_both();
	cpu_set_t before;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int node = 0; node < 2; node++) {
		run_on(node);
		takes_of_one_node_alone(pool, open_on(pool, PINION_NODE_ANY, NULL, 0), node);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Wherever the caller runs. */
static void near_a_device_is_the_devices_node(void **state)
{
	struct pinion_pool *pool = pool_on_both();
	char path[128];
	cpu_set_t before;
	long its;

	(void)state;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node", device);
	its = support_read_long(path);
	assert_in_range(its, 0, 1);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int node = 0; node < 2; node++) {
		run_on(node);
		takes_of_one_node_alone(pool, open_on(pool, PINION_NODE_ANY, device, 0), (int)its);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void strict_is_the_node_that_is_named(void **state)
{
	struct pinion_pool *pool = pool_on_both();

	(void)state;
	for (int node = 0; node < 2; node++)
		takes_of_one_node_alone(pool, open_on(pool, node, NULL, 0), node);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void interleaved_magazines_are_of_both_nodes_in_turn(void **state)
{
	struct pinion_pool *pool = pool_on_both();
	struct pinion_cache *cache =
		open_on(pool, PINION_NODE_ANY, NULL, PINION_CACHE_INTERLEAVE);
	struct pinion_buffer all[2 * EACH + 1];
	int first;

	(void)state;
	assert_int_equal(take_all(cache, all, 2 * EACH + 1), 2 * EACH);
	first = node_of(pool, all[0]);
	for (int i = 0; i < 2 * EACH; i++)
		assert_int_equal(node_of(pool, all[i]), first ^ (i / MAGAZINE & 1));
	give(cache, all, 2 * EACH);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void preferred_goes_on_to_the_other_node_and_tells(void **state)
{
	struct pinion_pool *pool = pool_on_both();
	struct pinion_buffer all[2 * EACH + 1];

	(void)state;
	for (int node = 0; node < 2; node++) {
		struct pinion_cache *cache = open_on(pool, node, NULL, PINION_CACHE_PREFERRED);

		for (int i = 0; i < 2 * EACH; i++) {
			take(cache, &all[i], 1);
			assert_int_equal(cache->node, i < EACH ? node : 1 - node);
			assert_int_equal(node_of(pool, all[i]), cache->node);
		}
		assert_int_equal(pinion_buffer_alloc(cache, &all[2 * EACH]), -ENOMEM);
		give(cache, all, 2 * EACH);
		assert_int_equal(pinion_cache_close(cache), 0);
		assert_pool_whole(pool);
	}
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* hostmem.h by itself. */

static void memory_is_bound_to_a_node_without_a_library(void **state)
{
	const size_t pages[] = {4096, HUGE, GIB};

	(void)state;
	for (int i = 0; i < 3; i++) {
		for (int want = 0; want < 2; want++) {
			const size_t nr = pages[i] == GIB ? 1 : 20;
			struct pinion_hostmem memory = {-1, NULL, 0, 0};
			int node[20];

			assert_int_equal(pinion_hostmem_create("bound", nr * pages[i], pages[i],
							       &memory), 0);
			assert_int_equal(pinion_hostmem_bind(&memory, want), 0);
			assert_int_equal(pinion_hostmem_populate(&memory, 0, memory.len), 0);
			assert_int_equal(pinion_hostmem_node(memory.addr, pages[i], node, nr), 0);
			for (size_t page = 0; page < nr; page++)
				assert_int_equal(node[page], want);
			/* Too late to go elsewhere, and that is said. */
			assert_int_equal(pinion_hostmem_bind(&memory, 1 - want), -EIO);
			assert_int_equal(pinion_hostmem_bind(&memory, want), 0);
			assert_int_equal(pinion_hostmem_destroy(&memory), 0);
		}
	}
}

/* Reserved there are enough, on the node there are not. */
static void a_node_that_is_exhausted_is_enomem_and_no_signal(void **state)
{
	struct pinion_hostmem memory = {-1, NULL, 0, 0};

	(void)state;
	assert_int_equal(pinion_hostmem_create("bound", (NODE_PAGES + 1) * HUGE, HUGE, &memory), 0);
	assert_int_equal(pinion_hostmem_bind(&memory, 1), 0);
	assert_int_equal(pinion_hostmem_populate(&memory, 0, memory.len), -ENOMEM);
	assert_int_equal(node_free(0, HUGE), NODE_PAGES);
	assert_int_equal(pinion_hostmem_destroy(&memory), 0);
}

static void the_sizes_are_those_of_this_machine(void **state)
{
	size_t size[4] = {0};

	(void)state;
	assert_int_equal(pinion_hostmem_sizes(size, 4), 2);
	assert_int_equal(size[0], HUGE);
	assert_int_equal(size[1], GIB);
}

static void files_of_hugetlbfs_are_made_with_the_pages_of_their_mount(void **state)
{
	const size_t pages[] = {HUGE, GIB};
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 8], options[64];

	(void)state;
	support_dir_create(dir);
	snprintf(path, sizeof(path), "%s/file", dir);
	for (int i = 0; i < 2; i++) {
		struct pinion_hostmem memory = {-1, NULL, 0, 0}, again = {-1, NULL, 0, 0};

		snprintf(options, sizeof(options), "pagesize=%zuK", pages[i] / 1024);
		assert_int_equal(mount("none", dir, "hugetlbfs", 0, options), 0);
		assert_int_equal(pinion_hostmem_create_at(path, GIB, pages[1 - i], &memory),
				 -ENOTSUP);
		/* More than the machine has. */
		assert_int_equal(pinion_hostmem_create_at(path, 8 * GIB, pages[i], &memory),
				 -ENOMEM);
		assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(pinion_hostmem_create_at(path, pages[i], pages[i], &memory), 0);
		assert_int_equal(pinion_hostmem_bind(&memory, 1), 0);
		assert_int_equal(pinion_hostmem_populate(&memory, 0, memory.len), 0);
		assert_int_equal(node_free(1, pages[i]), pages[i] == GIB ? 0 : NODE_PAGES - 1);
		strcpy(memory.addr, "kept");
		assert_int_equal(pinion_hostmem_destroy(&memory), 0);
		assert_int_equal(pinion_hostmem_create_at(path, pages[i], pages[i], &memory),
				 -EEXIST);
		assert_int_equal(pinion_hostmem_attach(open(path, O_RDWR | O_CLOEXEC), pages[i],
						       pages[i], &again), 0);
		assert_string_equal(again.addr, "kept");
		assert_int_equal(pinion_hostmem_destroy(&again), 0);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(umount(dir), 0);
	}
	assert_int_equal(rmdir(dir), 0);
}

#define numa_test(f) cmocka_unit_test_setup_teardown(f, pool_test_before, all_is_free)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		numa_test(every_page_of_mixed_sizes_is_on_its_node),
		numa_test(each_node_populates_its_own_pages),
		numa_test(a_node_that_is_exhausted_is_named_with_all_that_it_needs),
		numa_test(pages_on_any_node_may_be_on_several),
		numa_test(pages_of_1_gib_have_buffers_and_physical_addresses),
		numa_test(too_few_pages_of_1_gib_says_so),
		numa_test(named_segments_keep_their_nodes),
		numa_test(near_the_calling_processor_is_its_node),
		numa_test(near_a_device_is_the_devices_node),
		numa_test(strict_is_the_node_that_is_named),
		numa_test(interleaved_magazines_are_of_both_nodes_in_turn),
		numa_test(preferred_goes_on_to_the_other_node_and_tells),
		numa_test(memory_is_bound_to_a_node_without_a_library),
		numa_test(a_node_that_is_exhausted_is_enomem_and_no_signal),
		numa_test(the_sizes_are_those_of_this_machine),
		numa_test(files_of_hugetlbfs_are_made_with_the_pages_of_their_mount),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: hw_numa BDF\n");
		return 2;
	}
	device = argv[1];
	if (node_free(1, GIB) < 0)
		return support_skip("this machine has not two nodes with pages of 1 GiB");
	if (node_reserve(0) || node_reserve(1)) {
		printf("Bail out! cannot reserve %d hugepages of 2 MiB on each node\n", NODE_PAGES);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
