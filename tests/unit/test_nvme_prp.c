/* SPDX-License-Identifier: BSD-3-Clause */
/* PRPs of examples/nvme: which bus addresses a command gets for which bytes of a buffer. */
#include <nvme_prp.h>

#include "support.h"

#define PAGE NVME_PAGE_SIZE
#define BASE UINT64_C(0x40000000)
#define LIST_BUS UINT64_C(0x7f000000)
#define UNTOUCHED UINT64_C(0x5555555555555555)

static uint64_t entry[NVME_PRP_LIST_ENTRIES];
static const struct nvme_prp_list list = {.entry = entry, .bus = LIST_BUS};
static uint64_t prp[2];

/* A domain made by hand: what the inline look-ups read, for up to 8 buffers. */
static struct {
	struct pinion_domain_head head;
	_Atomic uint64_t bus[8];
} made;

static const struct pinion_domain *domain = (const struct pinion_domain *)(const void *)made.bus;

/* One segment, linear from BASE, of buffers of 2^shift bytes: what an IOMMU makes of it. */
static void linear(uint8_t shift)
{
	made.head.kind = PINION_DOMAIN_IOVA;
	made.head.segment_shift = PINION_ID_BITS;
	made.head.linear = UINT32_MAX;
	for (uint64_t id = 0; id < 8; id++)
		made.bus[id] = BASE + (id << shift);
}

static int build(uint8_t shift, uint32_t id, uint32_t off, uint32_t len)
{
	linear(shift);
	prp[0] = prp[1] = UNTOUCHED;
	for (size_t i = 0; i < NVME_PRP_LIST_ENTRIES; ++i)
		entry[i] = UNTOUCHED;
	return nvme_prp_build(domain, pinion_buffer_make(id, 1), off, len, &list, prp);
}

static void one_page_needs_prp1_alone(void **state)
{
	(void)state;
	assert_int_equal(build(16, 0, 0, 512), 0);
	assert_int_equal(prp[0], BASE);
	assert_int_equal(prp[1], 0);
	assert_int_equal(build(16, 0, 0, PAGE), 0);
	assert_int_equal(prp[1], 0);
	assert_int_equal(build(16, 0, PAGE - 512, 512), 0);
	assert_int_equal(prp[0], BASE + PAGE - 512);
	assert_int_equal(prp[1], 0);
	assert_int_equal(entry[0], UNTOUCHED);
}

static void two_pages_are_named_without_a_list(void **state)
{
	(void)state;
	assert_int_equal(build(16, 0, 0, PAGE + 512), 0);
	assert_int_equal(prp[1], BASE + PAGE);
	assert_int_equal(build(16, 0, 0, 2 * PAGE), 0);
	assert_int_equal(prp[1], BASE + PAGE);
	/* 1 KiB across a page's end */
	assert_int_equal(build(16, 0, PAGE - 512, 1024), 0);
	assert_int_equal(prp[0], BASE + PAGE - 512);
	assert_int_equal(prp[1], BASE + PAGE);
	assert_int_equal(entry[0], UNTOUCHED);
}

static void three_pages_need_a_list_of_two(void **state)
{
	(void)state;
	assert_int_equal(build(16, 0, 0, 2 * PAGE + 512), 0);
	assert_int_equal(prp[0], BASE);
	assert_int_equal(prp[1], LIST_BUS);
	assert_int_equal(entry[0], BASE + PAGE);
	assert_int_equal(entry[1], BASE + 2 * PAGE);
	assert_int_equal(entry[2], UNTOUCHED);
}

/* Two pages of data that do not start on one reach into three. */
static void an_offset_can_need_one_page_more(void **state)
{
	(void)state;
	assert_int_equal(build(16, 0, 2048, 2 * PAGE), 0);
	assert_int_equal(prp[0], BASE + 2048);
	assert_int_equal(prp[1], LIST_BUS);
	assert_int_equal(entry[0], BASE + PAGE);
	assert_int_equal(entry[1], BASE + 2 * PAGE);
	assert_int_equal(entry[2], UNTOUCHED);
}

/* Of 2 KiB, every other one starts in the middle of a memory page. */
static void a_small_buffer_need_not_start_on_a_page(void **state)
{
	(void)state;
	assert_int_equal(build(11, 1, 0, 2048), 0);
	assert_int_equal(prp[0], BASE + 2048);
	assert_int_equal(prp[1], 0);
}

static void later_buffers_lie_behind(void **state)
{
	(void)state;
	assert_int_equal(build(16, 3, 0, 65536), 0);
	assert_int_equal(prp[0], BASE + 3 * 65536);
	for (uint32_t i = 0; i < 15; ++i)
		assert_int_equal(entry[i], BASE + 3 * 65536 + (i + 1) * PAGE);
	assert_int_equal(entry[15], UNTOUCHED);
}

/* The whole of a hugepage: PRP1 and 511 more. */
static void two_mebibytes_fit_one_list(void **state)
{
	(void)state;
	assert_int_equal(build(21, 0, 0, NVME_PRP_MAX_LEN), 0);
	assert_int_equal(entry[510], BASE + 511 * PAGE);
	assert_int_equal(entry[511], UNTOUCHED);
	/* From within a page it is 512 more, the last that one list has room for. */
	assert_int_equal(build(22, 0, 512, NVME_PRP_MAX_LEN), 0);
	assert_int_equal(entry[511], BASE + 512 * PAGE);
}

static void more_than_one_list_is_einval(void **state)
{
	(void)state;
	assert_int_equal(build(22, 0, 0, NVME_PRP_MAX_LEN + PAGE), 0);
	assert_int_equal(build(22, 0, 0, NVME_PRP_MAX_LEN + PAGE + 4), -EINVAL);
	assert_int_equal(build(22, 0, 512, NVME_PRP_MAX_LEN + PAGE), -EINVAL);
	assert_int_equal(build(22, 0, 0, UINT32_MAX), -EINVAL);
}

static void a_refusal_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(build(22, 0, 512, NVME_PRP_MAX_LEN + PAGE), -EINVAL);
	assert_int_equal(prp[0], UNTOUCHED);
	assert_int_equal(prp[1], UNTOUCHED);
	assert_int_equal(entry[0], UNTOUCHED);
}

static void no_bytes_are_einval(void **state)
{
	(void)state;
	assert_int_equal(build(16, 0, 0, 0), -EINVAL);
}

static void a_start_off_a_dword_is_einval(void **state)
{
	(void)state;
	assert_int_equal(build(16, 0, 2, 512), -EINVAL);
	assert_int_equal(build(16, 0, 4, 512), 0);
}

/* Physical pages are where they are: each address is looked up by itself. */
static void physical_pages_need_not_follow_each_other(void **state)
{
	const uint64_t page[] = {0x200000, 0x0a00000};

	(void)state;
	linear(22);
	made.head.kind = PINION_DOMAIN_PHYS;
	made.head.segment[0].page = page;
	made.head.segment[0].shift = 22;
	made.head.segment[0].page_shift = 21;
	made.head.linear = (1u << 21) - 1;
	made.bus[0] = page[0];
	/* A buffer of two hugepages, from the last 4 KiB of the first. */
	assert_int_equal(nvme_prp_build(domain, pinion_buffer_make(0, 1), (1u << 21) - PAGE,
					2 * PAGE, &list, prp), 0);
	assert_int_equal(prp[0], 0x3ff000);
	assert_int_equal(prp[1], 0x0a00000);
}

static void a_buffer_that_the_domain_does_not_know_is_einval(void **state)
{
	(void)state;
	linear(16);
	made.bus[5] = PINION_BUS_UNKNOWN;
	prp[0] = prp[1] = UNTOUCHED;
	assert_int_equal(nvme_prp_build(domain, pinion_buffer_make(5, 1), 0, PAGE, &list, prp),
			 -EINVAL);
	assert_int_equal(prp[0], UNTOUCHED);
	assert_int_equal(prp[1], UNTOUCHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(one_page_needs_prp1_alone),
		support_test(two_pages_are_named_without_a_list),
		support_test(three_pages_need_a_list_of_two),
		support_test(an_offset_can_need_one_page_more),
		support_test(a_small_buffer_need_not_start_on_a_page),
		support_test(later_buffers_lie_behind),
		support_test(two_mebibytes_fit_one_list),
		support_test(more_than_one_list_is_einval),
		support_test(a_refusal_changes_nothing),
		support_test(no_bytes_are_einval),
		support_test(a_start_off_a_dword_is_einval),
		support_test(physical_pages_need_not_follow_each_other),
		support_test(a_buffer_that_the_domain_does_not_know_is_einval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
