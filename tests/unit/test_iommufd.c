/* SPDX-License-Identifier: BSD-3-Clause */
/* iommufd.h where it needs no iommufd: the node of a device, and what is refused before the kernel
 * is asked. The rest is in vm/hw_iommufd.c. */

static char sysfs[1024];
static char nodes[1024];
#define PINION_IOMMUFD_PCI_SYSFS sysfs
#define PINION_IOMMUFD_DEV nodes
#include <pinion/iommufd.h>

#include "support.h"

#define BDF "0000:41:00.0"

/* One function with a node, a plain file; one that vfio does not have; one with another's entry. */
static int make_tree(void **state)
{
	support_dir_create(sysfs);
	support_dir_create(nodes);
	support_write_text(sysfs, BDF "/vfio-dev/vfio3/dev", "511:3\n");
	support_write_text(sysfs, "0000:42:00.0/config", "");
	support_write_text(sysfs, "0000:43:00.0/vfio-dev/vfio3x/dev", "511:3\n");
	support_write_text(nodes, "vfio/devices/vfio3", "");
	return support_fds_before(state);
}

static int remove_tree(void **state)
{
	support_dir_destroy(sysfs);
	support_dir_destroy(nodes);
	return support_fds_after(state);
}

static void the_node_of_a_function_is_found(void **state)
{
	unsigned number = 7;

	(void)state;
	assert_int_equal(pinion_iommufd_device_find(BDF, &number), 0);
	assert_int_equal(number, 3);
}

static void who_has_no_node_is_enoent(void **state)
{
	unsigned number = 7;

	(void)state;
	assert_int_equal(pinion_iommufd_device_find("0000:42:00.0", &number), -ENOENT);
	assert_int_equal(pinion_iommufd_device_find("0000:43:00.0", &number), -ENOENT);
	assert_int_equal(pinion_iommufd_device_find("0000:44:00.0", &number), -ENOENT);
	assert_int_equal(number, 7);
}

static void what_is_no_name_is_einval(void **state)
{
	const char *const names[] = { NULL, "", ".", "..", BDF "/vfio-dev", "/" };
	unsigned number = 7;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(pinion_iommufd_device_find(names[i], &number), -EINVAL);
	assert_int_equal(number, 7);
}

static void names_of_nodes_are_strict(void **state)
{
	const char *const bad[] = { "", "vfio", "vfio-1", "vfio+1", "vfio 1", "vfio1x", "uio1",
				    "vfio99999999999999999999", "vfio2147483648" };
	unsigned number = 7;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pinion_iommufd_name_number(bad[i], &number), -EINVAL);
	assert_int_equal(number, 7);
	assert_int_equal(pinion_iommufd_name_number("vfio2147483647", &number), 0);
	assert_int_equal(number, INT32_MAX);
}

static void a_kernel_without_iommufd_is_enoent(void **state)
{
	int fd = -1;

	(void)state;
	assert_int_equal(pinion_iommufd_open(&fd), -ENOENT);
	assert_int_equal(fd, -1);
}

/* The node is a plain file here: it knows no ioctl, and is closed again. */
static void a_node_that_cannot_be_bound_is_closed(void **state)
{
	uint32_t id = 7;
	int fd = -1;

	(void)state;
	assert_int_equal(pinion_iommufd_device_open(BDF, 0, &fd, &id), -ENOTTY);
	assert_int_equal(fd, -1);
	assert_int_equal(id, 7);
}

static void spans_that_wrap_never_reach_the_kernel(void **state)
{
	uint64_t unmapped = 7, iova = 7;
	char page[1];

	(void)state;
	/* No descriptor: whoever asks the kernel hears EBADF. */
	assert_int_equal(pinion_iommufd_dma_map(-1, 1, page, 0, 0), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map(-1, 1, page, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map(-1, 1, page, 0, UINT64_MAX), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map_anywhere(-1, 1, page, UINT64_MAX, &iova), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map_file(-1, 1, 0, UINT64_MAX, 0, 2), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map_file(-1, 1, 0, 0, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_copy(-1, 1, UINT64_MAX, 2, 0, 2), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_copy(-1, 1, 0, 2, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_unmap(-1, 1, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_unmap_range(-1, 1, 0, 0, &unmapped), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_unmap(-1, 1, 0, 4096), -EBADF);
	assert_true(unmapped == 7 && iova == 7);
}

static void ranges_that_contradict_themselves_are_seen(void **state)
{
	struct pinion_iommufd_ioas good = { .nr_ranges = 2, .range = { { 0, 9 }, { 10, 19 } } };
	struct pinion_iommufd_ioas bad = { .nr_ranges = 2, .range = { { 0, 9 }, { 9, 19 } } };

	(void)state;
	assert_true(pinion_iommufd_ranges_sane(&good));
	assert_false(pinion_iommufd_ranges_sane(&bad));
	good.range[1].last = 9;
	assert_false(pinion_iommufd_ranges_sane(&good));
}

/* By <linux/iommufd.h> of Linux 6.12: a size that differs is E2BIG, or another request. */
static void structures_have_the_kernels_sizes(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct pinion_iommufd_destroy_arg), 8);
	assert_int_equal(sizeof(struct pinion_iommufd_alloc_arg), 12);
	assert_int_equal(sizeof(struct pinion_iommufd_ranges_arg), 32);
	assert_int_equal(offsetof(struct pinion_iommufd_ranges_arg, alignment), 24);
	assert_int_equal(sizeof(struct pinion_iommufd_map_arg), 40);
	assert_int_equal(sizeof(struct pinion_iommufd_map_file_arg), 40);
	assert_int_equal(sizeof(struct pinion_iommufd_copy_arg), 40);
	assert_int_equal(sizeof(struct pinion_iommufd_unmap_arg), 24);
	assert_int_equal(sizeof(struct pinion_iommufd_option_arg), 24);
	assert_int_equal(sizeof(struct pinion_iommufd_bind_arg), 16);
	assert_int_equal(sizeof(struct pinion_iommufd_attach_arg), 12);
	assert_int_equal(sizeof(struct pinion_iommufd_detach_arg), 8);
	assert_int_equal(PINION_IOMMUFD_IOAS_MAP, _IO(';', 0x85));
	assert_int_equal(PINION_IOMMUFD_DEVICE_BIND, _IO(';', 100 + 18));
}

#define tree_test(f) cmocka_unit_test_setup_teardown(f, make_tree, remove_tree)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(the_node_of_a_function_is_found),
		tree_test(who_has_no_node_is_enoent),
		tree_test(what_is_no_name_is_einval),
		tree_test(names_of_nodes_are_strict),
		tree_test(a_kernel_without_iommufd_is_enoent),
		tree_test(a_node_that_cannot_be_bound_is_closed),
		cmocka_unit_test(spans_that_wrap_never_reach_the_kernel),
		cmocka_unit_test(ranges_that_contradict_themselves_are_seen),
		cmocka_unit_test(structures_have_the_kernels_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
