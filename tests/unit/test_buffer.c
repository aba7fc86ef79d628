/* SPDX-License-Identifier: BSD-3-Clause */
/* buffer.h: the bits of handles and owner words, at their limits. */

#include <pinion/buffer.h>

#include "support.h"

#define GENERATION_LAST PINION_GENERATION_MASK
#define LAP (UINT64_C(1) << 63)

/* Every bit on its own, and the ends: what a mask or a shift that is off by one gets wrong. */
static void id_and_generation_come_back(void **state)
{
	(void)state;
	for (unsigned i = 0; i <= PINION_ID_BITS; i++) {
		const uint32_t id = i < PINION_ID_BITS ? 1u << i : PINION_ID_MAX;

		for (unsigned g = 0; g <= PINION_GENERATION_BITS; g++) {
			const uint64_t generation =
				g < PINION_GENERATION_BITS ? UINT64_C(1) << g : GENERATION_LAST;
			const struct pinion_buffer buffer = pinion_buffer_make(id, generation);

			assert_int_equal(pinion_buffer_id(buffer), id);
			assert_int_equal(pinion_buffer_generation(buffer), generation);
			assert_false(buffer.bits & LAP);
		}
	}
}

static void what_does_not_fit_is_cut_off_and_never_reaches_the_neighbour(void **state)
{
	const struct pinion_buffer id = pinion_buffer_make(PINION_ID_MAX + 2, 0);
	const struct pinion_buffer generation = pinion_buffer_make(0, GENERATION_LAST + 2);

	(void)state;
	assert_int_equal(pinion_buffer_id(id), 1);
	assert_int_equal(pinion_buffer_generation(id), 0);
	assert_int_equal(pinion_buffer_id(generation), 0);
	assert_int_equal(pinion_buffer_generation(generation), 1);
	assert_false(generation.bits & LAP);
}

static void next_raises_the_generation_alone(void **state)
{
	const struct pinion_buffer next = pinion_buffer_next(pinion_buffer_make(77, 5));

	(void)state;
	assert_int_equal(pinion_buffer_id(next), 77);
	assert_int_equal(pinion_buffer_generation(next), 6);
}

static void generation_wraps_without_touching_the_lap(void **state)
{
	const struct pinion_buffer last = pinion_buffer_make(PINION_ID_MAX, GENERATION_LAST);
	const struct pinion_buffer next = pinion_buffer_next(last);

	(void)state;
	assert_int_equal(pinion_buffer_id(next), PINION_ID_MAX);
	assert_true(pinion_buffer_generation(next) < 2);
	assert_false(next.bits & LAP);
}

/* A handle of zeroes means "none": no hold may ever look like that, after a wrap either. */
static void no_hold_has_a_handle_of_zeroes(void **state)
{
	(void)state;
	assert_true(pinion_buffer_next(pinion_buffer_make(0, GENERATION_LAST)).bits != 0);
	assert_true(pinion_buffer_next(pinion_buffer_make(0, 0)).bits != 0);
}

static void a_word_gives_back_handle_and_holder(void **state)
{
	const uint32_t holders[] = {pinion_owner_held(0), pinion_owner_held(4095),
				    pinion_owner_magazine(0),
				    pinion_owner_magazine(PINION_HOLDER_INDEX_MASK)};
	const struct pinion_buffer buffer = pinion_buffer_make(PINION_ID_MAX, GENERATION_LAST);

	(void)state;
	for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
		const uint64_t word = pinion_owner_word(buffer, holders[i]);

		assert_int_equal(pinion_owner_holder(word), holders[i]);
		assert_int_equal(pinion_owner_buffer(word, PINION_ID_MAX).bits, buffer.bits);
	}
}

static void members_and_magazines_are_told_apart_and_nobody_is_neither(void **state)
{
	(void)state;
	assert_false(pinion_owner_held(4095) & PINION_HOLDER_MAGAZINE);
	assert_true(pinion_owner_magazine(0) & PINION_HOLDER_MAGAZINE);
	assert_int_not_equal(pinion_owner_held(0), 0);
	assert_int_equal(pinion_owner_holder(0), 0);
}

static void the_lap_of_a_slot_is_no_part_of_the_handle(void **state)
{
	const struct pinion_buffer plain = pinion_buffer_make(9, 10);
	const struct pinion_buffer lapped = {plain.bits | LAP};

	(void)state;
	assert_int_equal(pinion_buffer_id(lapped), 9);
	assert_int_equal(pinion_buffer_generation(lapped), 10);
	/* And where one slips through, it goes no further. */
	assert_false(pinion_buffer_next(lapped).bits & LAP);
	assert_int_equal(pinion_buffer_id(pinion_buffer_next(lapped)), pinion_buffer_id(plain));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(id_and_generation_come_back),
		support_test(what_does_not_fit_is_cut_off_and_never_reaches_the_neighbour),
		support_test(next_raises_the_generation_alone),
		support_test(generation_wraps_without_touching_the_lap),
		support_test(no_hold_has_a_handle_of_zeroes),
		support_test(a_word_gives_back_handle_and_holder),
		support_test(members_and_magazines_are_told_apart_and_nobody_is_neither),
		support_test(the_lap_of_a_slot_is_no_part_of_the_handle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
