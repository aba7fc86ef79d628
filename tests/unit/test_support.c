/* SPDX-License-Identifier: BSD-3-Clause */
/* The checker is checked: a test that leaks a descriptor, fails, or is skipped must be seen. */

#include <signal.h>

#include "brink.h"

static void leaks_a_descriptor(void **state)
{
	(void)state;
	assert_true(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

static void leaks_nothing(void **state)
{
	(void)state;
}

/* Run one test as a program of its own would, its report out of sight. */
static int run_group(void *arg)
{
	const struct CMUnitTest tests[] = { *(struct CMUnitTest *)arg };

	if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
		return 99;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

static void a_leaked_descriptor_fails_the_test(void **state)
{
	struct CMUnitTest test = support_test(leaks_a_descriptor);

	(void)state;
	assert_int_equal(support_child(run_group, &test), 1);
}

static void a_clean_test_passes(void **state)
{
	struct CMUnitTest test = support_test(leaks_nothing);

	(void)state;
	assert_int_equal(support_child(run_group, &test), 0);
}

static int skip_under(void *arg)
{
	if (arg == NULL)
		unsetenv("CMOCKA_MESSAGE_OUTPUT");
	else
		setenv("CMOCKA_MESSAGE_OUTPUT", arg, 1);
	if (freopen("/dev/null", "w", stdout) == NULL)
		return 99;
	return support_skip("this is a test");
}

static void skip_is_77_and_an_empty_plan_under_tap(void **state)
{
	char tap[] = "TAP";

	(void)state;
	assert_int_equal(support_child(skip_under, NULL), SUPPORT_SKIP_STATUS);
	assert_int_equal(support_child(skip_under, tap), 0);
}

static int die(void *arg)
{
	(void)arg;
	abort();
}

static void a_killed_child_is_told_from_one_that_exits(void **state)
{
	(void)state;
	assert_int_equal(support_child(die, NULL), 128 + SIGABRT);
}

static int read_at(void *at)
{
	signal(SIGSEGV, SIG_DFL); /* not the test library's */
	return *(volatile unsigned char *)at;
}

static void a_byte_beyond_the_brink_kills(void **state)
{
	static const unsigned char bytes[] = {1, 2, 3};
	unsigned char *brink = brink_open(), *at;

	(void)state;
	at = brink_put(brink, bytes, sizeof(bytes));
	assert_int_equal(support_child(read_at, at + 2), 3);
	assert_int_equal(support_child(read_at, at + 3), 128 + SIGSEGV);
	assert_int_equal(support_child(read_at, brink_put(brink, bytes, 0)), 128 + SIGSEGV);
	brink_close(brink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(a_leaked_descriptor_fails_the_test),
		support_test(a_clean_test_passes),
		support_test(skip_is_77_and_an_empty_plan_under_tap),
		support_test(a_killed_child_is_told_from_one_that_exits),
		support_test(a_byte_beyond_the_brink_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
