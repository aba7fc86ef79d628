/* SPDX-License-Identifier: BSD-3-Clause */
/* The control area's arithmetic: arrays that do not overlap, indices that fit their fields. */

#include "pool_support.h"

/* An array of the control area: [at, at + len). */
struct array {
	size_t at, len;
};

static void arrays_of(const struct control_geometry *geometry, const struct layout *layout,
		      struct array array[7])
{
	const size_t segments = geometry->nr_segments;
	const size_t magazines = segments * layout->stride;

	array[0] = (struct array){0, sizeof(struct control)};
	array[1] = (struct array){layout->member,
				  geometry->nr_members * sizeof(struct control_member)};
	array[2] = (struct array){layout->owner, (segments << geometry->segment_shift) * 8};
	array[3] = (struct array){layout->magazine, magazines * 8};
	array[4] = (struct array){layout->depot, magazines / 8};
	array[5] = (struct array){layout->empty, magazines / 8};
	array[6] = (struct array){layout->content, magazines * sizeof(struct control_content)};
}

/* They stand in this order: each must end before the next begins, the last within the file. */
static void check_geometry(const struct control_geometry *geometry)
{
	struct layout layout;
	struct array array[7];

	layout_compute(geometry, &layout);
	arrays_of(geometry, &layout, array);
	for (int i = 0; i < 6; i++)
		assert_true(array[i].at + array[i].len <= array[i + 1].at);
	assert_true(array[6].at + array[6].len <= layout.len);
	for (int i = 0; i < 7; i++)
		assert_int_equal(array[i].at % 64, 0);
	assert_int_equal(layout.len % 4096, 0);
	assert_int_equal(layout.stride % 64, 0);
}

/* Every magazine of every segment has a number that an owner word can carry. */
static void check_magazines(const struct control_geometry *geometry)
{
	struct layout layout;

	layout_compute(geometry, &layout);
	assert_true((uint64_t)geometry->nr_segments * layout.stride <=
		    (uint64_t)PINION_HOLDER_INDEX_MASK + 1);
}

/* The limits themselves, and their neighbours. */
static const uint32_t shifts[] = {6, 7, 12, 19, 22, 27, 28};
static const uint32_t segments[] = {1, 2, 3, 63, 64};
static const uint32_t members[] = {1, 2, 64, 511, 512, 513, PINION_MEMBER_MAX};
static const uint32_t caches[] = {1, 21, 128, 4096, 43690, 65536};

#define NR(a) (sizeof(a) / sizeof((a)[0]))

static void each_geometry(void (*check)(const struct control_geometry *))
{
	for (size_t i = 0; i < NR(shifts) * NR(segments) * NR(members) * NR(caches); i++) {
		const struct control_geometry geometry = {
			shifts[i % NR(shifts)],
			segments[i / NR(shifts) % NR(segments)],
			members[i / (NR(shifts) * NR(segments)) % NR(members)],
			caches[i / (NR(shifts) * NR(segments) * NR(members))],
		};

		if (control_geometry_check(&geometry) == 0)
			check(&geometry);
	}
}

static void arrays_do_not_overlap(void **state)
{
	(void)state;
	each_geometry(check_geometry);
}

static void every_magazine_fits_an_owner_word(void **state)
{
	(void)state;
	each_geometry(check_magazines);
}

static void random_geometries_do_not_overlap_either(void **state)
{
	uint64_t random = test_seed();
	int accepted = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		const struct control_geometry geometry = {
			test_below(&random, 30), test_below(&random, 66),
			test_below(&random, 4100), test_below(&random, 65600)};

		if (control_geometry_check(&geometry))
			continue;
		check_geometry(&geometry);
		check_magazines(&geometry);
		accepted++;
	}
	assert_true(accepted > 10000);
}

static void geometries_that_no_pool_has_are_einval(void **state)
{
	const struct control_geometry bad[] = {
		{6, 0, 1, 1}, {6, PINION_SEGMENT_MAX + 1, 1, 1}, {6, 1, 0, 1},
		{6, 1, PINION_MEMBER_MAX + 1, 1}, {6, 1, 1, 0}, {6, 1, 1, 65537},
		{29, 1, 1, 1}, {28, 2, 1, 1}, {23, 33, 1, 1}, {UINT32_MAX, 1, 1, 1},
		{6, UINT32_MAX, 1, 1}, {32, 1, 1, 1}, {64, 1, 1, 1},
	};

	(void)state;
	for (size_t i = 0; i < NR(bad); i++)
		assert_int_equal(control_geometry_check(&bad[i]), -EINVAL);
}

/* Two in each cache, a third while exchanging, one for recovery, and all buffers in the rest. */
static void a_zone_has_the_magazines_that_its_caches_can_hold(void **state)
{
	const struct control_geometry geometry = {10, 3, 4, 5};
	const struct control_segment segment[3] = {
		{.nr = 1024, .zone = 0}, {.nr = 65, .zone = 1}, {.nr = 64, .zone = 0}};
	struct layout layout;

	(void)state;
	layout_compute(&geometry, &layout);
	assert_int_equal(layout_magazines(&geometry, segment, 0), 1024 / 64 + 3 * 5 + 1);
	assert_int_equal(layout_magazines(&geometry, segment, 1), 2 + 3 * 5 + 1);
	assert_int_equal(layout_magazines(&geometry, segment, 2), 1);
	assert_true(layout_magazines(&geometry, segment, 0) <= layout.stride);
}

static void a_magazine_word_gives_back_holder_and_number(void **state)
{
	(void)state;
	for (uint32_t nr = 0; nr <= PINION_MAGAZINE_SIZE; nr++) {
		const uint64_t word = magazine_word(MAGAZINE_DEPOT, nr);

		assert_int_equal(pinion_owner_holder(word), MAGAZINE_DEPOT);
		assert_int_equal(magazine_word_nr(word), nr);
	}
	assert_int_equal(magazine_word_nr(UINT64_MAX), PINION_MAGAZINE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(arrays_do_not_overlap),
		support_test(every_magazine_fits_an_owner_word),
		support_test(random_geometries_do_not_overlap_either),
		support_test(geometries_that_no_pool_has_are_einval),
		support_test(a_zone_has_the_magazines_that_its_caches_can_hold),
		support_test(a_magazine_word_gives_back_holder_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
