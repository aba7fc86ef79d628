/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Near a device and near the processor, strictly and preferred. What sysfs says of devices and
 * nodes is ours, mounted over it; what the pool says of its segments this process believes.
 */

#include <sched.h>
#include <sys/mount.h>

#include "root_support.h"

#include "near.h"
#include "pool_support.h"

#define DEVICE "0000:41:00.0"
#define DEVICES "/sys/bus/pci/devices"
#define ONLINE "/sys/devices/system/node/online"
#define EACH 64

static void say(const char *node_of_device, const char *online)
{
	support_write_text(root, "pci/" DEVICE "/numa_node", node_of_device);
	support_write_text(root, "online", online);
}

static int own_node(void)
{
	unsigned node = 0;

	assert_int_equal(getcpu(NULL, &node), 0);
	return (int)node;
}

/* A segment on each of two nodes. */
static struct pinion_pool *pool_on(int node0, int node1)
{
	struct pinion_pool_config config = pool_config(EACH, BUFFER);
	struct pinion_pool *pool;

	config.magazine_size = 16;
	config.nr_segments = 2;
	config.segment[1] = config.segment[0];
	pool = pool_make_from(&config);
	pool->segment[0].node = pool->view.segment[0].node = node0;
	pool->segment[1].node = pool->view.segment[1].node = node1;
	return pool;
}

static struct pinion_cache_config near_device(uint32_t flags)
{
	return (struct pinion_cache_config){.buffer_size = BUFFER, .node = PINION_NODE_ANY,
					    .device = DEVICE, .flags = flags};
}

static struct pinion_cache_config near_cpu(uint32_t flags)
{
	return (struct pinion_cache_config){.buffer_size = BUFFER, .node = PINION_NODE_LOCAL,
					    .flags = flags};
}

/* It takes @nr in all, of @node at first, and each time the cache tells where from. */
static void takes(struct pinion_pool *pool, struct pinion_cache_config wish, int nr, int node)
{
	struct pinion_cache *cache = NULL;
	struct pinion_buffer all[2 * EACH + 1];

	assert_int_equal(pinion_cache_open(pool, &wish, &cache), 0);
	assert_int_equal(cache->node, node);
	for (int i = 0; i < nr; i++) {
		take(cache, &all[i], 1);
		assert_int_equal(cache->node, pinion_buffer_node(pool, all[i]));
		if (i < EACH)
			assert_int_equal(cache->node, node);
	}
	assert_int_equal(pinion_buffer_alloc(cache, &all[nr]), -ENOMEM);
	give(cache, all, (uint32_t)nr);
	assert_int_equal(pinion_cache_close(cache), 0);
}

static void refuses(struct pinion_pool *pool, struct pinion_cache_config wish, int err,
		    const char *part)
{
	struct pinion_cache *none = NULL;

	assert_int_equal(pinion_cache_open(pool, &wish, &none), err);
	assert_sentence(part);
	assert_null(none);
}

static void a_devices_node_serves_alone_or_first(void **state)
{
	struct pinion_pool *pool = pool_on(0, 1);

	(void)state;
	say("1\n", "0-1\n");
	takes(pool, near_device(0), EACH, 1);
	takes(pool, near_device(PINION_CACHE_INTERLEAVE), EACH, 1);
	takes(pool, near_device(PINION_CACHE_PREFERRED), 2 * EACH, 1);
	say("0\n", "0-1\n");
	takes(pool, near_device(0), EACH, 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The nearest that has some is another: that is for who said so. No machine has these nodes, the
 * last of near.h's table and the first beyond it: all others are equally far from them. */
static void of_a_device_whose_node_has_none_nothing_is_strictly_near(void **state)
{
	const int far[] = {NEAR_NODES_MAX - 1, NEAR_NODES_MAX};
	struct pinion_pool *pool = pool_on(0, 1);

	(void)state;
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		char node[16], part[32];

		(void)snprintf(node, sizeof(node), "%d\n", far[i]);
		(void)snprintf(part, sizeof(part), "on node %d", far[i]);
		say(node, "0-1\n");
		refuses(pool, near_device(0), -ENOENT, part);
		refuses(pool, near_device(PINION_CACHE_INTERLEAVE), -ENOENT, part);
		takes(pool, near_device(PINION_CACHE_PREFERRED), 2 * EACH, 0);
	}
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_device_without_a_node_is_on_the_only_one(void **state)
{
	struct pinion_pool *pool = pool_on(3, 4);

	(void)state;
	say("-1\n", "3\n");
	takes(pool, near_device(0), EACH, 3);
	takes(pool, near_device(PINION_CACHE_PREFERRED), 2 * EACH, 3);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Of several nodes none is taken in its stead, unless asked for what is preferred: near the CPU. */
static void of_several_nodes_none_is_guessed(void **state)
{
	const char *const online[] = {"0-1\n", "0,2\n", "\n"};
	struct pinion_pool *pool = pool_on(own_node() + 1, own_node());

	(void)state;
	for (size_t i = 0; i < sizeof(online) / sizeof(online[0]); i++) {
		say("-1\n", online[i]);
		refuses(pool, near_device(0), -ENODATA, DEVICE);
		assert_sentence("PINION_CACHE_PREFERRED");
		refuses(pool, near_device(PINION_CACHE_INTERLEAVE), -ENODATA, DEVICE);
		takes(pool, near_device(PINION_CACHE_PREFERRED), 2 * EACH, own_node());
	}
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void the_processors_node_serves_alone_or_first(void **state)
{
	struct pinion_pool *pool = pool_on(own_node() + 1, own_node());

	(void)state;
	takes(pool, near_cpu(0), EACH, own_node());
	takes(pool, near_cpu(PINION_CACHE_INTERLEAVE), EACH, own_node());
	takes(pool, near_cpu(PINION_CACHE_PREFERRED), 2 * EACH, own_node());
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Who names no node has the nearest that has some; who wants the processor's own has none. */
static void of_a_processor_whose_node_has_none_nothing_is_strictly_near(void **state)
{
	const int far = own_node() + 1;
	struct pinion_pool *pool = pool_on(far, far);

	(void)state;
	refuses(pool, near_cpu(0), -ENOENT, "no buffers");
	takes(pool, near_cpu(PINION_CACHE_PREFERRED), 2 * EACH, far);
	takes(pool, (struct pinion_cache_config){.buffer_size = BUFFER, .node = PINION_NODE_ANY},
	      2 * EACH, far);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_device_and_a_processor_are_einval(void **state)
{
	struct pinion_pool *pool = pool_on(0, 1);
	struct pinion_cache_config both = near_device(0);

	(void)state;
	say("0\n", "0-1\n");
	both.node = PINION_NODE_LOCAL;
	refuses(pool, both, -EINVAL, "not for both");
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Mounts of our own, which go with this process however it ends. One processor, so that its node
 * is one as well. */
static int take_the_place_of_sysfs(void)
{
	char path[SUPPORT_PATH_LEN + 16];
	cpu_set_t one;

	say("-1\n", "0\n");
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/pci", root);
	if (mount(path, DEVICES, NULL, MS_BIND, NULL))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/online", root);
	return mount(path, ONLINE, NULL, MS_BIND, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_devices_node_serves_alone_or_first),
		pool_test(of_a_device_whose_node_has_none_nothing_is_strictly_near),
		pool_test(a_device_without_a_node_is_on_the_only_one),
		pool_test(of_several_nodes_none_is_guessed),
		pool_test(the_processors_node_serves_alone_or_first),
		pool_test(of_a_processor_whose_node_has_none_nothing_is_strictly_near),
		pool_test(a_device_and_a_processor_are_einval),
	};
	int status;

	support_dir_create(root);
	if (take_the_place_of_sysfs() == 0)
		status = cmocka_run_group_tests(tests, NULL, NULL);
	else
		status = support_skip("cannot mount over sysfs: needs root, PCI and NUMA");
	support_dir_destroy(root);
	return status;
}
