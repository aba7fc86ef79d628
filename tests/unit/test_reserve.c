/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many hugepages piniond asks for: on a tree of files that looks like /sys. What a real kernel
 * gives, and that too little is undone: ../vm/suite_systemd.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <syslog.h>

#include "support.h"

#include "reserve.h"
#include "service.h"

#define MB2 (UINT64_C(2) << 20)
#define GB1 (UINT64_C(1) << 30)

static char root[SUPPORT_PATH_LEN];
static char said[4096]; /* the log */

void service_log(int priority, const char *format, ...)
{
	const size_t len = strlen(said);
	va_list arguments;

	(void)priority;
	va_start(arguments, format);
	(void)vsnprintf(said + len, sizeof(said) - len, format, arguments);
	va_end(arguments);
	(void)strncat(said, "\n", sizeof(said) - strlen(said) - 1);
}

static void put(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *text, const char *format, ...)
{
	char path[3 * SUPPORT_PATH_LEN];
	int len = snprintf(path, sizeof(path), "%s/sys/", root);
	va_list arguments;
	FILE *file;

	va_start(arguments, format);
	(void)vsnprintf(path + len, sizeof(path) - (size_t)len, format, arguments);
	va_end(arguments);
	support_mkdirs(path);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void put_number(uint64_t number, int node, uint64_t size, const char *name)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIu64 "\n", number);
	put(text, "devices/system/node/node%d/hugepages/hugepages-%" PRIu64 "kB/%s", node,
	    size / 1024, name);
}

static void put_pages(int node, uint64_t size, uint64_t total, uint64_t free)
{
	put_number(total, node, size, "nr_hugepages");
	put_number(free, node, size, "free_hugepages");
	put_number(0, node, size, "surplus_hugepages");
}

/* Two nodes of 4 GiB without any hugepages; @promised of 2 MiB. */
static void put_machine(const char *promised)
{
	said[0] = '\0';
	for (int node = 0; node < 2; node++) {
		put("Node MemTotal: 4194304 kB\n", "devices/system/node/node%d/meminfo", node);
		put_pages(node, MB2, 0, 0);
		put_pages(node, GB1, 0, 0);
	}
	put(promised, "kernel/mm/hugepages/hugepages-2048kB/resv_hugepages");
	put("0\n", "kernel/mm/hugepages/hugepages-1048576kB/resv_hugepages");
}

static long pages(int node, uint64_t size)
{
	char path[2 * SUPPORT_PATH_LEN];

	(void)snprintf(path, sizeof(path),
		       "%s/sys/devices/system/node/node%d/hugepages/hugepages-%" PRIu64
		       "kB/nr_hugepages", root, node, size / 1024);
	return support_read_long(path);
}

static int ask(const struct reserve_wish *wish, uint32_t nr)
{
	const struct hp_sys sys = {.root = root};

	return reserve(&sys, wish, nr);
}

#define ASK(...)                                                                   \
	ask((const struct reserve_wish[]){__VA_ARGS__},                            \
	    sizeof((const struct reserve_wish[]){__VA_ARGS__}) / sizeof(struct reserve_wish))

static void each_node_gets_what_is_missing_there(void **state)
{
	(void)state;
	put_machine("0\n");
	put_pages(0, MB2, 10, 4);
	assert_int_equal(ASK({0, MB2, 6}, {1, MB2, 3}, {0, MB2, 1}), 0);
	assert_int_equal(pages(0, MB2), 13);
	assert_int_equal(pages(1, MB2), 3);
	assert_non_null(strstr(said, "node 0: 10 -> 13 pages of 2M"));
}

static void what_is_free_is_not_reserved_again(void **state)
{
	(void)state;
	put_machine("0\n");
	put_pages(0, MB2, 10, 4);
	put_pages(1, MB2, 8, 8);
	assert_int_equal(ASK({0, MB2, 4}, {1, MB2, 3}, {-1, MB2, 5}), 0);
	assert_int_equal(pages(0, MB2) + pages(1, MB2), 18);
	assert_string_equal(said, "");
}

static void what_is_promised_to_others_is_not_free(void **state)
{
	(void)state;
	put_machine("3\n");
	put_pages(0, MB2, 4, 4);
	assert_int_equal(ASK({-1, MB2, 4}), 0);
	assert_int_equal(pages(0, MB2) + pages(1, MB2), 7);
	put_pages(0, MB2, 4, 4);
	put_pages(1, MB2, 0, 0);
	assert_int_equal(ASK({0, MB2, 2}), 0);
	assert_int_equal(pages(0, MB2), 5);
	assert_int_equal(pages(1, MB2), 0);
}

static void any_node_is_that_with_fewest(void **state)
{
	(void)state;
	put_machine("0\n");
	assert_int_equal(ASK({0, MB2, 6}, {-1, MB2, 4}), 0);
	assert_int_equal(pages(0, MB2), 6);
	assert_int_equal(pages(1, MB2), 4);
}

static void sizes_are_counted_apart(void **state)
{
	(void)state;
	put_machine("0\n");
	assert_int_equal(ASK({1, GB1, 2}, {0, MB2, 6}), 0);
	assert_int_equal(pages(0, MB2), 6);
	assert_int_equal(pages(1, GB1), 2);
	assert_int_equal(pages(0, GB1) + pages(1, MB2), 0);
}

static void more_than_the_memory_is_not_tried(void **state)
{
	(void)state;
	put_machine("0\n");
	assert_int_equal(ASK({0, MB2, 6}, {1, MB2, 2049}), -ENOSPC);
	assert_int_equal(pages(0, MB2) + pages(1, MB2), 0);
	assert_non_null(strstr(said, "node 1: 2049 pages of 2M wanted"));
}

static void what_the_machine_does_not_have_is_said(void **state)
{
	(void)state;
	put_machine("0\n");
	assert_int_equal(ASK({0, MB2, 6}, {7, MB2, 1}), -ENODEV);
	assert_non_null(strstr(said, "no node 7"));
	assert_int_equal(ASK({0, MB2, 6}, {0, 16 << 20, 1}), -ENODEV);
	assert_non_null(strstr(said, "no pages of 16M"));
	assert_int_equal(pages(0, MB2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(each_node_gets_what_is_missing_there),
		support_test(what_is_free_is_not_reserved_again),
		support_test(what_is_promised_to_others_is_not_free),
		support_test(any_node_is_that_with_fewest),
		support_test(sizes_are_counted_apart),
		support_test(more_than_the_memory_is_not_tried),
		support_test(what_the_machine_does_not_have_is_said),
	};
	int failed;

	support_dir_create(root);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	support_dir_destroy(root);
	return failed;
}
