/* SPDX-License-Identifier: BSD-3-Clause */
/* The control area's arithmetic: arrays that do not overlap, indices that fit their fields. */

#include "pool_support.h"

/* An array of the control area: [at, at + len). */
struct array {
	size_t at, len;
};

#define ARRAYS 9

static void arrays_of(const struct control_geometry *geometry, const struct layout *layout,
		      struct array array[ARRAYS])
{
	const size_t segments = geometry->nr_segments;
	const size_t magazines = segments * layout->stride;

	array[0] = (struct array){0, sizeof(struct control)};
	array[1] = (struct array){layout->member,
				  geometry->nr_members * sizeof(struct control_member)};
	array[2] = (struct array){layout->seen, geometry->nr_members * sizeof(uint64_t)};
	array[3] = (struct array){layout->cache, geometry->nr_caches * sizeof(uint32_t)};
	array[4] = (struct array){layout->owner, (segments << geometry->segment_shift) * 8};
	array[5] = (struct array){layout->magazine, magazines * 8};
	array[6] = (struct array){layout->depot, magazines / 8};
	array[7] = (struct array){layout->empty, magazines / 8};
	array[8] = (struct array){layout->content,
				  magazines * geometry->magazine_size * sizeof(uint32_t)};
}

/* They stand in this order: each must end before the next begins, the last within the file. */
static void check_geometry(const struct control_geometry *geometry)
{
	struct layout layout;
	struct array array[ARRAYS];

	layout_compute(geometry, &layout);
	arrays_of(geometry, &layout, array);
	for (int i = 0; i < ARRAYS - 1; i++)
		assert_true(array[i].at + array[i].len <= array[i + 1].at);
	assert_true(array[ARRAYS - 1].at + array[ARRAYS - 1].len <= layout.len);
	/* Words do not straddle lines; what the fast paths use shares none with the rest. */
	for (int i = 0; i < ARRAYS; i++)
		assert_int_equal(array[i].at % (i == 2 || i == 3 ? 8 : 64), 0);
	assert_int_equal(layout.len % 4096, 0);
	assert_int_equal(layout.stride % 64, 0);
}

/* Every magazine of every segment has a number that an owner word can carry, and the stride has
 * room for the magazines of the largest segment. */
static void check_magazines(const struct control_geometry *geometry)
{
	struct layout layout;

	layout_compute(geometry, &layout);
	assert_true(layout_magazines(geometry, 1u << geometry->segment_shift) <= layout.stride);
	assert_true((uint64_t)geometry->nr_segments * layout.stride <=
		    (uint64_t)PINION_HOLDER_INDEX_MASK + 1);
}

/* The limits themselves, and their neighbours. */
static const uint32_t shifts[] = {6, 7, 12, 19, 22, 27, 28};
static const uint32_t segments[] = {1, 2, 3, 63, 64};
static const uint32_t members[] = {1, 2, 64, 511, 512, 513, PINION_MEMBER_MAX};
static const uint32_t caches[] = {1, 21, 128, 4096, 43690, 65536};
static const uint32_t sizes[] = {PINION_MAGAZINE_MIN, 9, 64, PINION_MAGAZINE_MAX};

#define NR(a) (sizeof(a) / sizeof((a)[0]))

static void each_geometry(void (*check)(const struct control_geometry *))
{
	for (size_t i = 0;
	     i < NR(shifts) * NR(segments) * NR(members) * NR(caches) * NR(sizes); i++) {
		const size_t rest = i / (NR(shifts) * NR(segments));
		const struct control_geometry geometry = {
			.segment_shift = shifts[i % NR(shifts)],
			.nr_segments = segments[i / NR(shifts) % NR(segments)],
			.nr_members = members[rest % NR(members)],
			.nr_caches = caches[rest / NR(members) % NR(caches)],
			.magazine_size = sizes[rest / (NR(members) * NR(caches))],
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
			test_below(&random, 4100), test_below(&random, 65600),
			test_below(&random, 600), test_below(&random, 4)};

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
		{6, 0, 1, 1, 64, 0}, {6, PINION_SEGMENT_MAX + 1, 1, 1, 64, 0},
		{6, 1, 0, 1, 64, 0}, {6, 1, PINION_MEMBER_MAX + 1, 1, 64, 0},
		{6, 1, 1, 0, 64, 0}, {6, 1, 1, PINION_CACHE_MAX + 1, 64, 0},
		{29, 1, 1, 1, 64, 0}, {28, 2, 1, 1, 64, 0}, {23, 33, 1, 1, 64, 0},
		{UINT32_MAX, 1, 1, 1, 64, 0}, {6, UINT32_MAX, 1, 1, 64, 0},
		{32, 1, 1, 1, 64, 0}, {64, 1, 1, 1, 64, 0}, {6, 1, 1, 1, 0, 0},
		{6, 1, 1, 1, PINION_MAGAZINE_MIN - 1, 0},
		{6, 1, 1, 1, PINION_MAGAZINE_MAX + 1, 0}, {6, 1, 1, 1, UINT32_MAX, 0},
		{6, 1, 1, 1, 64, PINION_POOL_FLAGS + 1}, {6, 1, 1, 1, 64, UINT32_MAX},
		/* 2^28 buffers in magazines of 8 are 2^25 magazines. */
		{28, 1, 1, 1, 8, 0}, {6, 64, 1, 65536, 64, 0},
	};

	(void)state;
	for (size_t i = 0; i < NR(bad); i++)
		assert_int_equal(control_geometry_check(&bad[i]), -EINVAL);
}

/* Two in each cache, a third while exchanging, one for recovery, and all buffers in the rest. */
static void a_segment_has_the_magazines_that_all_caches_can_hold(void **state)
{
	const struct control_geometry geometry = {10, 3, 4, 5, 64, 0};
	const struct control_geometry small = {10, 3, 4, 5, 8, 0};

	(void)state;
	assert_int_equal(layout_magazines(&geometry, 1024), 1024 / 64 + 3 * 5 + 1);
	assert_int_equal(layout_magazines(&geometry, 65), 2 + 3 * 5 + 1);
	assert_int_equal(layout_magazines(&geometry, 1), 1 + 3 * 5 + 1);
	assert_int_equal(layout_magazines(&small, 1024), 1024 / 8 + 3 * 5 + 1);
}

static void a_magazine_word_gives_back_holder_number_and_filler(void **state)
{
	const uint32_t fillers[] = {0, pinion_owner_held(0),
				    pinion_owner_held(PINION_MEMBER_MAX - 1)};

	(void)state;
	for (uint32_t nr = 0; nr <= PINION_MAGAZINE_MAX; nr++)
		for (size_t i = 0; i < NR(fillers); i++) {
			const uint64_t word = magazine_word(MAGAZINE_DEPOT, nr, fillers[i]);

			assert_int_equal(pinion_owner_holder(word), MAGAZINE_DEPOT);
			assert_int_equal(magazine_word_nr(word), nr);
			assert_int_equal(magazine_word_filler(word), fillers[i]);
		}
}

static void a_slot_word_gives_back_epoch_and_state(void **state)
{
	(void)state;
	for (uint64_t epoch = 1; epoch < UINT64_C(1) << 61; epoch = epoch * 3 + 1)
		for (int i = SLOT_ABSENT; i <= SLOT_GONE; i++) {
			const uint64_t word = slot_word(epoch, (enum slot_state)i);

			assert_int_equal(slot_state_of(word), i);
			assert_int_equal(word >> 2, epoch);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(arrays_do_not_overlap),
		support_test(every_magazine_fits_an_owner_word),
		support_test(random_geometries_do_not_overlap_either),
		support_test(geometries_that_no_pool_has_are_einval),
		support_test(a_segment_has_the_magazines_that_all_caches_can_hold),
		support_test(a_magazine_word_gives_back_holder_number_and_filler),
		support_test(a_slot_word_gives_back_epoch_and_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
