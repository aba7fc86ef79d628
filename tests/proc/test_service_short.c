/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A service whose kernel is short of memory when it wants to watch a connection again, after its
 * user's rest (piniond_short.c): it hears that one a little later.
 */

#include "hostile_support.h"

static void ask(struct link *link)
{
	int err;
	json_t *stat = service_ask_on(link, "stat", "", &err);

	assert_int_equal(err, 0);
	json_decref(stat);
}

static void who_cannot_be_watched_at_once_is_heard_all_the_same(void **state)
{
	struct service_process service;
	struct link link;

	(void)state;
	service_start(&service);
	assert_int_equal(link_open(&link, NULL), 0);
	ask(&link);
	ask(&link); /* put off first: its user rests from the one before */
	link_close(&link);
	service_stop(&service);
}

static void nor_is_it_missed_that_one_hung_up(void **state)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	struct service_process service;
	struct link link;
	unsigned before;

	(void)state;
	service_start(&service);
	before = service_files_at_rest(&service);
	assert_int_equal(link_open(&link, NULL), 0);
	ask(&link);
	link_close(&link);
	while (process_files(service.pid) != before) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
	service_stop(&service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_cannot_be_watched_at_once_is_heard_all_the_same),
		cmocka_unit_test(nor_is_it_missed_that_one_hung_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
