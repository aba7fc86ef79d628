/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SUPPORT_H
#define PINION_TESTS_SUPPORT_H

/*
 * What every cmocka test here shares.
 *
 *  - support_test(f): a test that must end with as many descriptors as it began with.
 *  - support_skip(why): what main() returns when the program cannot run here. Under TAP that is
 *    an empty plan with the reason and 0, because a TAP harness takes any other status for an
 *    error; otherwise the reason and 77. (cmocka's own skip() prints "not ok # SKIP" under TAP,
 *    which meson counts as a failure: do not use it.)
 *  - support_where(holds, why, with, f): with(f), a test (support_test, say), where that holds; and
 *    where it does not, "ok # SKIP why", which is counted as skipped.
 *  - support_dir_*: a directory of its own for a test, with a fake sysfs tree to put in it.
 *  - support_child(f, arg): run f in a child; its return value is the child's exit status.
 *  - support_child_asserts(), support_end(): for a child that is forked elsewhere.
 *  - test_now_ns(): a clock that nobody sets.
 *
 * The build defines _GNU_SOURCE for every file.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SUPPORT_SKIP_STATUS 77

/* Uid that owns nothing: "nobody" on every Linux. */
#define SUPPORT_NOBODY 65534

/* Descriptors open in this process, the one that counts them left out; -1 on failure. */
static inline int support_fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int nr = 0;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL)
		nr += entry->d_name[0] != '.';
	closedir(dir);
	return nr - 1;
}

/* Set-up and tear-down of support_test(). Tests of one program run one after the other, so one
 * variable holds the number. */
static int support_fds_at_start;

static inline int support_fds_before(void **state)
{
	(void)state;
	support_fds_at_start = support_fd_count();
	return support_fds_at_start < 0;
}

static inline int support_fds_after(void **state)
{
	const int now = support_fd_count();

	(void)state;
	if (now == support_fds_at_start)
		return 0;
	print_message("# %d descriptors before the test, %d after\n", support_fds_at_start, now);
	return -1;
}

#define support_test(f) cmocka_unit_test_setup_teardown(f, support_fds_before, support_fds_after)

static inline int support_skip(const char *why)
{
	const char *format = getenv("CMOCKA_MESSAGE_OUTPUT");

	if (format != NULL && strcasecmp(format, "TAP") == 0) {
		printf("1..0 # SKIP %s\n", why);
		return 0;
	}
	printf("skipped: %s\n", why);
	return SUPPORT_SKIP_STATUS;
}

static inline void support_nothing(void **state)
{
	(void)state;
}

/* cmocka prints names as they are, and so a name can end in what TAP calls a directive. */
#define support_where(holds, why, with, f)      \
	((holds) ? (struct CMUnitTest)with(f)   \
		 : (struct CMUnitTest){.name = #f " # SKIP " why, .test_func = support_nothing})

static inline uint64_t test_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A new empty directory; path has room for it. */
#define SUPPORT_PATH_LEN 1024

static inline void support_dir_create(char *path)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, SUPPORT_PATH_LEN, "%s/pinion-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(path));
}

static inline int support_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Remove the directory and all in it. */
static inline void support_dir_destroy(const char *path)
{
	assert_int_equal(nftw(path, support_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Make every directory on the way to the last component of path. */
static inline void support_mkdirs(const char *path)
{
	char part[SUPPORT_PATH_LEN];
	char *slash;

	assert_true(strlen(path) < sizeof(part));
	strcpy(part, path);
	for (slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0)
			assert_int_equal(errno, EEXIST);
		*slash = '/';
	}
}

/* Full path of name below dir, in a buffer that the next call uses again. */
static inline const char *support_path(const char *dir, const char *name)
{
	static char path[2 * SUPPORT_PATH_LEN];

	assert_true(snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path));
	return path;
}

/* Put len bytes into a new file below dir. */
static inline void support_write(const char *dir, const char *name, const void *data, size_t len)
{
	const char *path = support_path(dir, name);
	int fd;

	support_mkdirs(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static inline void support_write_text(const char *dir, const char *name, const char *text)
{
	support_write(dir, name, text, strlen(text));
}

/* Make a link below dir; what it points to need not exist. */
static inline void support_link(const char *dir, const char *name, const char *target)
{
	const char *path = support_path(dir, name);

	support_mkdirs(path);
	assert_int_equal(symlink(target, path), 0);
}

/* Does a sanitizer of addresses slow this down, and keep memory of its own? */
#if defined(__SANITIZE_ADDRESS__)
#define SUPPORT_SANITIZED true
#elif defined(__has_feature)
#define SUPPORT_SANITIZED __has_feature(address_sanitizer)
#else
#define SUPPORT_SANITIZED false
#endif

/* In a child: an assertion that fails ends it, rather than that it goes on with the next test. */
static inline void support_child_asserts(void)
{
	setenv("CMOCKA_TEST_ABORT", "1", 1);
}

/* Wait for a child's end: its exit status, or 128 + the signal that killed it. */
static inline int support_end(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Run f(arg) in a child: what support_end() says of it. */
static inline int support_child(int (*f)(void *), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		support_child_asserts();
		_exit(f(arg));
	}
	return support_end(pid);
}

/* One number out of a file, or -1. */
static inline long support_read_long(const char *path)
{
	FILE *f = fopen(path, "re");
	long v = -1;

	if (f == NULL)
		return -1;
	if (fscanf(f, "%ld", &v) != 1)
		v = -1;
	fclose(f);
	return v;
}

/* KiB that the kernel could find for pages of 4 KiB; -1: it does not say. */
static inline long support_available_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	long kib = -1;

	if (f == NULL)
		return -1;
	while (kib < 0 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %ld", &kib) != 1)
			kib = -1;
	fclose(f);
	return kib;
}

#endif
