/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HUGE_SUPPORT_H
#define PINION_TESTS_HUGE_SUPPORT_H

/*
 * What tests that take real hugepages share: how many are free and how many promised, counted
 * around each test, with descriptors and mappings (pool_support.h).
 *
 *  - huge_test(f): a test that leaves all four as they were.
 */

#include "pool_support.h"

#define HUGE ((size_t)2 << 20)
#define HUGE_DIR "/sys/kernel/mm/hugepages/hugepages-2048kB/"

struct huge_count {
	long free, promised;
};

static struct huge_count huge_at_start;

static inline struct huge_count huge_count(void)
{
	return (struct huge_count){support_read_long(HUGE_DIR "free_hugepages"),
				   support_read_long(HUGE_DIR "resv_hugepages")};
}

/* Pages of a process that was killed are given back a little after its end is told. */
static inline bool huge_settles(struct huge_count want)
{
	for (int i = 0; i < 2000; i++) {
		const struct huge_count now = huge_count();

		if (now.free == want.free && now.promised == want.promised)
			return true;
		usleep(1000);
	}
	return false;
}

static inline int huge_before(void **state)
{
	huge_at_start = huge_count();
	return pool_test_before(state);
}

static inline int huge_after(void **state)
{
	const int err = pool_test_after(state);
	const struct huge_count was = huge_at_start;

	if (huge_settles(was))
		return err;
	print_message("# hugepages free and promised before the test: %ld, %ld; after: %ld, %ld\n",
		      was.free, was.promised, huge_count().free, huge_count().promised);
	return -1;
}

#define huge_test(f) cmocka_unit_test_setup_teardown(f, huge_before, huge_after)

#endif
