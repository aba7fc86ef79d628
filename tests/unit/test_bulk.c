/* SPDX-License-Identifier: BSD-3-Clause */
/* Many at once: the same as one at a time, and where a bulk ends. */

#include "pool_support.h"

/* Two segments of one kind, and one of another, for the three modes of a pool. */
static const uint32_t modes[] = {0, PINION_POOL_SCRUB, PINION_POOL_DEBUG, PINION_POOL_FLAGS};
#define MODES (sizeof(modes) / sizeof(modes[0]))

static struct pinion_pool *pool_of(uint32_t flags)
{
	struct pinion_pool_config config = pool_config(160, BUFFER);

	config.flags = flags;
	config.nr_segments = 3;
	config.segment[1] = pool_config(96, BUFFER).segment[0];
	config.segment[2] = pool_config(32, 1024).segment[0];
	if (flags & PINION_POOL_DEBUG)
		for (int i = 0; i < 3; i++)
			config.segment[i].len *= 2;
	return pool_make_from(&config);
}

static void a_bulk_of_any_size_is_what_so_many_singles_are(void **state)
{
	const uint32_t sizes[] = {1, 2, 31, 63, 64, 65, 128, 160, 200, 256};

	(void)state;
	for (size_t i = 0; i < MODES * (sizeof(sizes) / sizeof(sizes[0])); i++) {
		struct pinion_pool *pool = pool_of(modes[i % MODES]);
		struct pinion_cache *cache = cache_make(pool, BUFFER);
		const uint32_t nr = sizes[i / MODES];
		struct pinion_buffer all[256];

		assert_int_equal(pinion_buffer_alloc_bulk(cache, all, nr), nr);
		assert_int_equal(pinion_pool_held(pool, 0), nr);
		assert_distinct(all, nr);
		for (uint32_t k = 0; k < nr; k++)
			assert_int_equal(pool->view.owner[pinion_buffer_id(all[k])],
					 pinion_owner_word(all[k], pinion_owner_held(0)));
		assert_pool_sound(pool);
		assert_int_equal(pinion_buffer_free_bulk(cache, all, nr), nr);
		assert_int_equal(pinion_pool_held(pool, 0), 0);
		assert_pool_sound(pool);
		pool_finish(pool, cache);
	}
}

static void a_bulk_beyond_what_is_there_is_short_and_then_enomem(void **state)
{
	(void)state;
	for (size_t i = 0; i < MODES; i++) {
		struct pinion_pool *pool = pool_of(modes[i]);
		struct pinion_cache *cache = cache_make(pool, BUFFER);
		struct pinion_buffer all[400];

		assert_int_equal(pinion_buffer_alloc_bulk(cache, all, 400), 256);
		assert_int_equal(pinion_buffer_alloc_bulk(cache, &all[256], 1), -ENOMEM);
		assert_int_equal(pinion_buffer_alloc_bulk(cache, &all[256], 64), -ENOMEM);
		assert_distinct(all, 256);
		assert_int_equal(pinion_buffer_free_bulk(cache, all, 256), 256);
		pool_finish(pool, cache);
	}
}

/* As far as it got, each was freed; from there on each is held as before. */
static void a_bulk_ends_before_the_one_that_cannot_be_freed(void **state)
{
	const struct pinion_buffer bad[] = {
		{0}, {UINT64_MAX}, pinion_buffer_make(PINION_ID_MAX, 1), pinion_buffer_make(511, 1),
		pinion_buffer_make(0, 77)};

	(void)state;
	for (size_t i = 0; i < MODES * (sizeof(bad) / sizeof(bad[0])); i++) {
		struct pinion_pool *pool = pool_of(modes[i % MODES]);
		struct pinion_cache *cache = cache_make(pool, BUFFER);
		struct pinion_buffer all[100], was;

		assert_int_equal(pinion_buffer_alloc_bulk(cache, all, 100), 100);
		was = all[70];
		all[70] = bad[i / MODES];
		assert_int_equal(pinion_buffer_free_bulk(cache, &all[70], 30), -EINVAL);
		assert_int_equal(pinion_buffer_free_bulk(cache, all, 100), 70);
		assert_int_equal(pinion_pool_held(pool, 0), 30);
		assert_int_equal(pinion_buffer_free_bulk(cache, all, 100), -EINVAL);
		assert_int_equal(pinion_pool_held(pool, 0), 30);
		assert_pool_sound(pool);
		all[70] = was;
		assert_int_equal(pinion_buffer_free_bulk(cache, &all[70], 30), 30);
		pool_finish(pool, cache);
	}
}

static void the_same_one_twice_in_a_bulk_is_freed_once(void **state)
{
	const int again[] = {1, 2, 40, 63, 64, 65, 99};

	(void)state;
	for (size_t i = 0; i < MODES * (sizeof(again) / sizeof(again[0])); i++) {
		struct pinion_pool *pool = pool_of(modes[i % MODES]);
		struct pinion_cache *cache = cache_make(pool, BUFFER);
		struct pinion_buffer all[100], was;
		const int at = again[i / MODES];

		assert_int_equal(pinion_buffer_alloc_bulk(cache, all, 100), 100);
		was = all[at];
		all[at] = all[0];
		assert_int_equal(pinion_buffer_free_bulk(cache, all, 100), at);
		assert_int_equal(pinion_pool_held(pool, 0), 100 - at);
		assert_pool_sound(pool);
		all[at] = was;
		assert_int_equal(pinion_buffer_free_bulk(cache, &all[at], (uint32_t)(100 - at)),
				 100 - at);
		pool_finish(pool, cache);
	}
}

/* What another member holds, or a handle from before, in the middle of good ones. */
static void a_bulk_frees_nothing_of_others_and_nothing_stale(void **state)
{
	struct pinion_pool *pool = pool_of(0), *peer = pool_join(pool);
	struct pinion_cache *ours = cache_make(pool, BUFFER), *theirs = cache_make(peer, BUFFER);
	struct pinion_buffer all[20], other, old, now;

	(void)state;
	take(theirs, &other, 1);
	assert_int_equal(pinion_buffer_alloc_bulk(ours, all, 20), 20);
	old = all[10];
	all[10] = other;
	assert_int_equal(pinion_buffer_free_bulk(ours, all, 20), 10);
	assert_int_equal(pinion_pool_held(pool, 1), 1);
	give(ours, &old, 1);
	take(ours, &now, 1);
	assert_int_equal(pinion_buffer_id(old), pinion_buffer_id(now));
	all[10] = old;
	assert_int_equal(pinion_buffer_free_bulk(ours, &all[10], 10), -EINVAL);
	assert_int_equal(pinion_buffer_free_bulk(ours, &all[11], 9), 9);
	give(ours, &now, 1);
	give(theirs, &other, 1);
	assert_int_equal(pinion_cache_close(theirs), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	pool_finish(pool, ours);
}

/* A bulk of many segments in turn: each goes where it belongs. */
static void a_bulk_may_mix_segments_and_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < MODES; i++) {
		struct pinion_pool *pool = pool_of(modes[i]);
		struct pinion_cache *small = cache_make(pool, BUFFER);
		struct pinion_cache *large = cache_make(pool, 1024);
		struct pinion_buffer all[288], mixed[288];
		uint32_t nr = 0;

		assert_int_equal(pinion_buffer_alloc_bulk(small, all, 256), 256);
		assert_int_equal(pinion_buffer_alloc_bulk(large, &all[256], 32), 32);
		for (uint32_t k = 0; k < 288; k++)
			mixed[k] = all[k * 5 % 288]; /* 5 and 288 have no common factor */
		while (nr < 288) {
			const uint32_t some = 288 - nr < 37 ? 288 - nr : 37;

			assert_int_equal(pinion_buffer_free_bulk(i % 2 ? small : large, &mixed[nr],
								 some), some);
			nr += some;
		}
		assert_int_equal(pool_free(pool), 288);
		assert_pool_sound(pool);
		assert_int_equal(pinion_cache_close(large), 0);
		pool_finish(pool, small);
	}
}

/* Rows: ids that follow each other, at one generation. */

#define ROW 32

static bool is_row(const struct pinion_buffer *buffer, uint32_t nr)
{
	for (uint32_t i = 1; i < nr; i++)
		if (buffer[i].bits != buffer[0].bits + i)
			return false;
	return true;
}

static void bursts_that_come_and_go_in_order_stay_rows(void **state)
{
	struct pinion_pool *pool = pool_of(0);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer burst[3][ROW];

	(void)state;
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 3; i++) {
			assert_int_equal(pinion_buffer_alloc_bulk(cache, burst[i], ROW), ROW);
			assert_true(is_row(burst[i], ROW));
		}
		assert_int_equal(pinion_pool_held(pool, 0), 3 * ROW);
		for (int i = 2; i >= 0; i--)
			assert_int_equal(pinion_buffer_free_bulk(cache, burst[i], ROW), ROW);
		assert_int_equal(pinion_pool_held(pool, 0), 0);
		assert_pool_sound(pool);
	}
	pool_finish(pool, cache);
}

/* At each place one that was freed before: as far as that, and no further. */
static void a_row_with_a_hole_ends_there(void **state)
{
	(void)state;
	for (uint32_t hole = 0; hole < ROW; hole++) {
		struct pinion_pool *pool = pool_of(0);
		struct pinion_cache *cache = cache_make(pool, BUFFER);
		struct pinion_buffer all[ROW];

		assert_int_equal(pinion_buffer_alloc_bulk(cache, all, ROW), ROW);
		assert_true(is_row(all, ROW));
		give(cache, &all[hole], 1);
		assert_int_equal(pinion_buffer_free_bulk(cache, all, ROW),
				 hole ? (int)hole : -EINVAL);
		assert_int_equal(pinion_pool_held(pool, 0), ROW - 1 - hole);
		assert_pool_sound(pool);
		for (uint32_t i = hole + 1; i < ROW; i++)
			give(cache, &all[i], 1);
		pool_finish(pool, cache);
	}
}

/* Its ends are those of a row: what lies between is not. */
static void what_only_looks_like_a_row_goes_one_by_one(void **state)
{
	(void)state;
	for (uint32_t at = 1; at + 2 < ROW; at++) {
		struct pinion_pool *pool = pool_of(0);
		struct pinion_cache *cache = cache_make(pool, BUFFER);
		struct pinion_buffer all[ROW], was;

		assert_int_equal(pinion_buffer_alloc_bulk(cache, all, ROW), ROW);
		was = all[at];
		all[at] = all[at + 1];
		all[at + 1] = was;
		assert_int_equal(pinion_buffer_free_bulk(cache, all, ROW), ROW);
		assert_pool_sound(pool);
		assert_int_equal(pinion_buffer_alloc_bulk(cache, all, ROW), ROW);
		assert_false(is_row(all, ROW));
		assert_distinct(all, ROW); /* sorts them */
		assert_int_equal(pinion_pool_held(pool, 0), ROW);
		assert_int_equal(pinion_buffer_free_bulk(cache, all, ROW), ROW);
		pool_finish(pool, cache);
	}
}

static void after_the_last_generation_a_row_begins_with_the_first(void **state)
{
	struct pinion_pool *pool = pool_of(0);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer all[ROW];

	(void)state;
	assert_int_equal(pinion_buffer_alloc_bulk(cache, all, ROW), ROW);
	for (int i = 0; i < ROW; i++) {
		all[i] = pinion_buffer_make(pinion_buffer_id(all[i]), PINION_GENERATION_MASK);
		pool->view.owner[pinion_buffer_id(all[i])] =
			pinion_owner_word(all[i], pinion_owner_held(0));
	}
	assert_true(is_row(all, ROW));
	assert_int_equal(pinion_buffer_free_bulk(cache, all, ROW), ROW);
	assert_int_equal(pinion_buffer_alloc_bulk(cache, all, ROW), ROW);
	assert_distinct(all, ROW);
	for (int i = 0; i < ROW; i++)
		assert_int_equal(pinion_buffer_generation(all[i]), 1);
	assert_int_equal(pinion_buffer_free_bulk(cache, all, ROW), ROW);
	pool_finish(pool, cache);
}

static void errno_stays(void **state)
{
	struct pinion_pool *pool = pool_of(0);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer all[300];

	(void)state;
	errno = 4711;
	assert_int_equal(pinion_buffer_alloc_bulk(cache, all, 300), 256);
	assert_int_equal(pinion_buffer_free_bulk(cache, all, 256), 256);
	assert_int_equal(pinion_buffer_free_bulk(cache, all, 256), -EINVAL);
	assert_int_equal(errno, 4711);
	pool_finish(pool, cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_bulk_of_any_size_is_what_so_many_singles_are),
		pool_test(a_bulk_beyond_what_is_there_is_short_and_then_enomem),
		pool_test(a_bulk_ends_before_the_one_that_cannot_be_freed),
		pool_test(the_same_one_twice_in_a_bulk_is_freed_once),
		pool_test(a_bulk_frees_nothing_of_others_and_nothing_stale),
		pool_test(a_bulk_may_mix_segments_and_sizes),
		pool_test(bursts_that_come_and_go_in_order_stay_rows),
		pool_test(a_row_with_a_hole_ends_there),
		pool_test(what_only_looks_like_a_row_goes_one_by_one),
		pool_test(after_the_last_generation_a_row_begins_with_the_first),
		pool_test(errno_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
