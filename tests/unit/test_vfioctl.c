/* SPDX-License-Identifier: BSD-3-Clause */
/* vfioctl.h where it needs no device: the capability chain, and who blocks a group. */

static char groups[1024];
static char nodes[1024];
#define PINION_VFIO_SYSFS_GROUPS groups
#define PINION_VFIO_DEV nodes
#include <pinion/vfioctl.h>

#include "brink.h"
#include "vfio_chain.h"

#define FIXED sizeof(struct vfio_iommu_type1_info)

static void chain_begin(struct chain *c)
{
	struct vfio_iommu_type1_info *info = (void *)c->info;

	chain_start(c, FIXED, offsetof(struct vfio_iommu_type1_info, cap_offset));
	info->argsz = sizeof(c->info);
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = 0x40201000;
}

static void chain_ranges(struct chain *c, uint32_t nr, const struct vfio_iova_range *range,
			 uint32_t given)
{
	unsigned char body[8 + 40 * sizeof(*range)] = { 0 };

	memcpy(body, &nr, sizeof(nr));
	memcpy(body + 8, range, given * sizeof(*range));
	chain_put(c, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, body, 8 + given * sizeof(*range));
}

static const struct vfio_iova_range two[] = { { 0, 0xfedfffff }, { 0xfef00000, 0x7fffffffff } };

static void a_chain_is_understood(void **state)
{
	const uint32_t avail = 65535, migration[7] = { 0 };
	struct pinion_vfio_iommu iommu = { 0 };
	struct chain c;

	(void)state;
	chain_begin(&c);
	chain_put(&c, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, migration, sizeof(migration));
	chain_put(&c, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, &avail, sizeof(avail));
	chain_ranges(&c, 2, two, 2);
	assert_int_equal(pinion_vfio_iommu_parse(c.info, c.len, &iommu), 0);
	assert_int_equal(iommu.page_sizes, 0x40201000);
	assert_int_equal(iommu.dma_avail, 65535);
	assert_int_equal(iommu.nr_ranges, 2);
	assert_int_equal(iommu.range[0].last, 0xfedfffff);
	assert_true(iommu.range[1].start == 0xfef00000 && iommu.range[1].last == 0x7fffffffff);
}

static void no_ranges_is_enotsup_and_none_is_made_up(void **state)
{
	struct pinion_vfio_iommu iommu, before;
	const uint32_t avail = 65535;
	struct chain c;

	(void)state;
	memset(&iommu, 0xee, sizeof(iommu));
	before = iommu;
	chain_begin(&c);
	assert_int_equal(pinion_vfio_iommu_parse(c.info, c.len, &iommu), -ENOTSUP);
	chain_put(&c, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, &avail, sizeof(avail));
	assert_int_equal(pinion_vfio_iommu_parse(c.info, c.len, &iommu), -ENOTSUP);
	/* A chain is there, but the flag says that it means nothing. */
	chain_ranges(&c, 2, two, 2);
	((struct vfio_iommu_type1_info *)(void *)c.info)->flags = VFIO_IOMMU_INFO_PGSIZES;
	assert_int_equal(pinion_vfio_iommu_parse(c.info, c.len, &iommu), -ENOTSUP);
	assert_memory_equal(&iommu, &before, sizeof(iommu));
}

static void a_kernel_that_counts_no_mappings_gives_0(void **state)
{
	struct pinion_vfio_iommu iommu = { 0 };
	struct chain c;

	(void)state;
	chain_begin(&c);
	chain_ranges(&c, 2, two, 2);
	assert_int_equal(pinion_vfio_iommu_parse(c.info, c.len, &iommu), 0);
	assert_int_equal(iommu.dma_avail, 0);
}

static void a_chain_in_a_circle_is_ebadmsg(void **state)
{
	const uint32_t nothing = 0;
	struct chain c;
	uint32_t first;
	size_t off = 0;

	(void)state;
	chain_begin(&c);
	first = chain_put(&c, 77, &nothing, sizeof(nothing));
	chain_point_last_at(&c, first);
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len, first, 1, 8, &off), -EBADMSG);
	chain_put(&c, 78, &nothing, sizeof(nothing));
	chain_point_last_at(&c, first);
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len, first, 1, 8, &off), -EBADMSG);
	/* What stands before the circle closes is found all the same. */
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len, first, 78, 8, &off), 0);
}

static void a_chain_that_leaves_the_buffer_is_ebadmsg(void **state)
{
	static const uint32_t outside[] = { 1016, 1020, 1024, 1028, 0x7ffffffc, 0xfffffffc };
	struct chain c;
	size_t i, off = 0;

	(void)state;
	chain_begin(&c);
	for (i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		assert_int_equal(pinion_vfio_cap_find(c.info, 1020, outside[i], 1, 8, &off),
				 -EBADMSG);
	assert_int_equal(pinion_vfio_cap_find(c.info, 1024, 26, 1, 8, &off), -EBADMSG);
	assert_int_equal(pinion_vfio_cap_find(c.info, 4, 4, 1, 8, &off), -EBADMSG);
	assert_int_equal(pinion_vfio_cap_find(c.info, 0, 8, 1, 8, &off), -EBADMSG);
}

static void a_capability_cut_by_the_end_is_ebadmsg(void **state)
{
	const uint32_t avail = 1;
	struct chain c;
	uint32_t at;
	size_t off = 0;

	(void)state;
	chain_begin(&c);
	at = chain_put(&c, 3, &avail, sizeof(avail));
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len, at, 3, 12, &off), 0);
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len, at, 3, 13, &off), -EBADMSG);
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len, at, 3, SIZE_MAX, &off), -EBADMSG);
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len - 5, at, 3, 8, &off), -EBADMSG);
}

static void the_end_of_the_chain_is_enoent(void **state)
{
	const uint32_t avail = 1;
	struct chain c;
	uint32_t at;
	size_t off = 7;

	(void)state;
	chain_begin(&c);
	at = chain_put(&c, 3, &avail, sizeof(avail));
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len, at, 1, 8, &off), -ENOENT);
	assert_int_equal(pinion_vfio_cap_find(c.info, c.len, 0, 3, 8, &off), -ENOENT);
	assert_int_equal(off, 7);
}

static int parse_ranges(uint32_t nr, const struct vfio_iova_range *range, uint32_t given)
{
	struct pinion_vfio_iommu iommu = { 0 };
	struct chain c;

	chain_begin(&c);
	chain_ranges(&c, nr, range, given);
	return pinion_vfio_iommu_parse(c.info, c.len, &iommu);
}

static void ranges_that_lie_are_refused(void **state)
{
	const struct vfio_iova_range down[] = { { 5, 4 } }, same[] = { { 0, 9 }, { 9, 20 } };
	struct vfio_iova_range many[33];
	uint32_t i;

	(void)state;
	for (i = 0; i < 33; i++) {
		many[i].start = 2 * i;
		many[i].end = 2 * i;
	}
	assert_int_equal(parse_ranges(3, two, 2), -EBADMSG);
	assert_int_equal(parse_ranges(0x10000001, two, 2), -EBADMSG);
	assert_int_equal(parse_ranges(UINT32_MAX, two, 2), -EBADMSG);
	assert_int_equal(parse_ranges(1, down, 1), -EBADMSG);
	assert_int_equal(parse_ranges(2, same, 2), -EBADMSG);
	assert_int_equal(parse_ranges(32, many, 33), 0);
	assert_int_equal(parse_ranges(33, many, 33), -E2BIG);
}

/* Every chain of up to 64 bytes of noise ends, and nothing is read behind it. */
static void noise_never_hangs_the_walk(void **state)
{
	uint64_t x = 88172645463325252u;
	unsigned char *brink = brink_open();
	unsigned char info[64];
	size_t i, len;
	int n, err;

	(void)state;
	for (n = 0; n < 100000; n++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		len = x % 65;
		/* Small values, so that links often hit the buffer and each other. */
		for (i = 0; i < len; i++)
			info[i] = i % 4 < 2 && i % 8 >= 4 ? (x >> (i % 59)) % 64 & 0xfc : 0;
		err = pinion_vfio_cap_find(brink_put(brink, info, len), len,
					   (uint32_t)(x >> 40) % 64, 1, 8, &i);
		assert_true(err == -ENOENT || err == -EBADMSG);
	}
	brink_close(brink);
}

static void member(const char *bdf, const char *driver)
{
	char name[128], target[128];

	snprintf(name, sizeof(name), "9/devices/%s/vendor", bdf);
	support_write_text(groups, name, "0x1b36\n");
	if (driver == NULL)
		return;
	snprintf(name, sizeof(name), "9/devices/%s/driver", bdf);
	snprintf(target, sizeof(target), "../../../../bus/pci/drivers/%s", driver);
	support_link(groups, name, target);
}

static void tolerated_drivers_block_nothing(void **state)
{
	char text[256] = "before";

	(void)state;
	member("0000:40:00.0", "pcieport");
	member("0000:41:00.2", NULL);
	member("0000:41:00.3", "vfio-pci");
	member("0000:41:00.4", "mlx5_vfio_pci");
	member("0000:41:00.5", "pci-stub");
	assert_int_equal(pinion_vfio_group_blockers(9, text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

static void blockers_are_counted_and_named(void **state)
{
	char text[256];

	(void)state;
	member("0000:41:00.1", "nvme");
	assert_int_equal(pinion_vfio_group_blockers(9, text, sizeof(text)), 1);
	assert_string_equal(text, "0000:41:00.1 (nvme)");
	member("0000:41:00.6", "xhci_hcd");
	assert_int_equal(pinion_vfio_group_blockers(9, text, sizeof(text)), 2);
	assert_non_null(strstr(text, "0000:41:00.1 (nvme)"));
	assert_non_null(strstr(text, "0000:41:00.6 (xhci_hcd)"));
	assert_non_null(strstr(text, ", "));
}

static void a_list_that_does_not_fit_says_so(void **state)
{
	char text[48];
	size_t len;

	(void)state;
	assert_int_equal(pinion_vfio_group_blockers(9, text, 32), 2);
	assert_non_null(strstr(text, "(")); /* one whole name, then the dots */
	assert_non_null(strstr(text, ", ..."));
	for (len = 1; len < sizeof(text); len++) {
		memset(text, '!', sizeof(text));
		assert_int_equal(pinion_vfio_group_blockers(9, text, len), 2);
		assert_true(strnlen(text, len) < len);
		assert_int_equal(text[len], '!');
	}
	assert_int_equal(pinion_vfio_group_blockers(9, text, 0), -EINVAL);
}

static void a_group_that_does_not_exist_is_enoent(void **state)
{
	char text[64];
	int fd = 7;

	(void)state;
	assert_int_equal(pinion_vfio_group_blockers(10, text, sizeof(text)), -ENOENT);
	assert_int_equal(pinion_vfio_group_open(10, -1, &fd), -ENOENT);
	assert_int_equal(pinion_vfio_container_open(&fd), -ENOENT);
	assert_int_equal(fd, 7);
}

static void a_node_that_is_no_vfio_is_refused(void **state)
{
	int fd = 7;

	(void)state;
	support_write_text(nodes, "vfio", "");
	support_write_text(nodes, "11", "");
	assert_int_equal(pinion_vfio_container_open(&fd), -ENOTSUP);
	assert_int_equal(pinion_vfio_group_open(11, -1, &fd), -ENOTTY);
	assert_int_equal(fd, 7);
}

static void a_kind_that_is_none_is_einval(void **state)
{
	int fd = 7;

	(void)state;
	assert_int_equal(pinion_vfio_container_open_as(0, &fd), -EINVAL);
	assert_int_equal(pinion_vfio_container_open_as(VFIO_SPAPR_TCE_IOMMU, &fd), -EINVAL);
	assert_int_equal(pinion_vfio_container_open_as(UINT32_MAX, &fd), -EINVAL);
	assert_int_equal(fd, 7);
}

/* -ENOTTY says that it was there to be opened, and is no group. */
static void groups_without_an_iommu_have_nodes_of_their_own(void **state)
{
	int fd = 7;

	(void)state;
	support_write_text(nodes, "12", "");
	support_write_text(nodes, "noiommu-13", "");
	assert_int_equal(pinion_vfio_group_open_as(VFIO_TYPE1_IOMMU, 12, -1, &fd), -ENOTTY);
	assert_int_equal(pinion_vfio_group_open_as(VFIO_NOIOMMU_IOMMU, 12, -1, &fd), -ENOENT);
	assert_int_equal(pinion_vfio_group_open_as(VFIO_SPAPR_TCE_IOMMU, 12, -1, &fd), -EINVAL);
	assert_int_equal(pinion_vfio_group_open_as(VFIO_NOIOMMU_IOMMU, 13, -1, &fd), -ENOTTY);
	assert_int_equal(pinion_vfio_group_open_as(VFIO_TYPE1_IOMMU, 13, -1, &fd), -ENOENT);
	assert_int_equal(fd, 7);
}

static void lengths_that_wrap_are_einval(void **state)
{
	(void)state;
	assert_int_equal(pinion_vfio_dma_map(-1, groups, 0, 0), -EINVAL);
	assert_int_equal(pinion_vfio_dma_map(-1, groups, UINT64_MAX - 4094, 4096), -EINVAL);
	assert_int_equal(pinion_vfio_dma_map(-1, groups, 0, UINT64_MAX), -EINVAL);
	assert_int_equal(pinion_vfio_dma_unmap(-1, 0, 0), -EINVAL);
	assert_int_equal(pinion_vfio_dma_unmap(-1, 4097, UINT64_MAX - 4095), -EINVAL);
	assert_int_equal(pinion_vfio_dma_unmap_range(-1, 0, 0, NULL), -EINVAL);
	assert_int_equal(pinion_vfio_dma_unmap_all(-1, NULL), -EBADF);
	/* The last page of the address space does not wrap: it is the kernel's to judge. */
	assert_int_equal(pinion_vfio_dma_unmap(-1, UINT64_MAX - 4095, 4096), -EBADF);
}

static void what_is_no_container_is_not_taken_for_an_old_kernel(void **state)
{
	const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint64_t unmapped = 7;

	(void)state;
	assert_int_equal(pinion_vfio_dma_unmap_all(-1, &unmapped), -EBADF);
	assert_int_equal(pinion_vfio_dma_unmap_all(fd, &unmapped), -ENOTTY);
	assert_int_equal(unmapped, 7);
	close(fd);
}

static void irq_counts_out_of_range_are_einval(void **state)
{
	const int32_t none = -1;

	(void)state;
	assert_int_equal(pinion_vfio_irq_enable(-1, 2, 0, &none, 0), -EINVAL);
	assert_int_equal(pinion_vfio_irq_enable(-1, 2, 0, &none, 2049), -EINVAL);
	assert_int_equal(pinion_vfio_irq_enable(-1, 2, 0, &none, UINT32_MAX), -EINVAL);
	assert_int_equal(pinion_vfio_irq_enable(-1, 2, 0, NULL, 1), -EINVAL);
	assert_int_equal(pinion_vfio_irq_trigger(-1, 2, 0, 0), -EINVAL);
	assert_int_equal(pinion_vfio_irq_enable(-1, 2, 0, &none, 1), -EBADF);
}

static int make_trees(void **state)
{
	(void)state;
	support_dir_create(groups);
	support_dir_create(nodes);
	return 0;
}

static int remove_trees(void **state)
{
	(void)state;
	support_dir_destroy(groups);
	support_dir_destroy(nodes);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(a_chain_is_understood),
		support_test(no_ranges_is_enotsup_and_none_is_made_up),
		support_test(a_kernel_that_counts_no_mappings_gives_0),
		support_test(a_chain_in_a_circle_is_ebadmsg),
		support_test(a_chain_that_leaves_the_buffer_is_ebadmsg),
		support_test(a_capability_cut_by_the_end_is_ebadmsg),
		support_test(the_end_of_the_chain_is_enoent),
		support_test(ranges_that_lie_are_refused),
		support_test(noise_never_hangs_the_walk),
		support_test(tolerated_drivers_block_nothing),
		support_test(blockers_are_counted_and_named),
		support_test(a_list_that_does_not_fit_says_so),
		support_test(a_group_that_does_not_exist_is_enoent),
		support_test(a_node_that_is_no_vfio_is_refused),
		support_test(a_kind_that_is_none_is_einval),
		support_test(groups_without_an_iommu_have_nodes_of_their_own),
		support_test(lengths_that_wrap_are_einval),
		support_test(what_is_no_container_is_not_taken_for_an_old_kernel),
		support_test(irq_counts_out_of_range_are_einval),
	};

	return cmocka_run_group_tests(tests, make_trees, remove_trees);
}
