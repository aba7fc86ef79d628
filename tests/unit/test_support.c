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

/* Both of a program that has what one of its tests needs, and not what the other does; its report
 * goes to the file that is given. */
static int run_where(void *arg)
{
	const struct CMUnitTest tests[] = {
		support_where(1, "is here", support_test, leaks_nothing),
		support_where(0, "no such thing", support_test, leaks_a_descriptor),
	};

	setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1);
	if (freopen(arg, "w", stdout) == NULL)
		return 99;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

static void a_test_that_cannot_run_here_says_so_and_is_not_run(void **state)
{
	char dir[SUPPORT_PATH_LEN], report[2 * SUPPORT_PATH_LEN], text[1024] = "";
	FILE *file;

	(void)state;
	support_dir_create(dir);
	snprintf(report, sizeof(report), "%s/report", dir);
	assert_int_equal(support_child(run_where, report), 0);
	file = fopen(report, "re");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_non_null(strstr(text, "\nok 1 - leaks_nothing\n"));
	assert_non_null(strstr(text, "\nok 2 - leaks_a_descriptor # SKIP no such thing\n"));
	support_dir_destroy(dir);
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
		support_test(a_test_that_cannot_run_here_says_so_and_is_not_run),
		support_test(a_killed_child_is_told_from_one_that_exits),
		support_test(a_byte_beyond_the_brink_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
