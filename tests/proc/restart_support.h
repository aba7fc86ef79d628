/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_RESTART_SUPPORT_H
#define PINION_TESTS_RESTART_SUPPORT_H

/*
 * A service that goes and comes back.
 *
 *  - named_mount(), named_unmount(): a hugetlbfs for pools that outlive it, in pages of 2 MiB; none
 *    where too few of them are free, or who runs this may not mount.
 *  - named_run(tests): between these two.
 *  - named_where(with, f): with(f), a test, where there is such a mount; elsewhere it is skipped.
 *  - named_configure(): such a pool.
 *  - named_inode(): which pool it is; named_unlink(): it is gone, with its pages.
 *  - keep_some(), see_kept(): buffers that nobody else is to touch.
 *  - keep_and_say(), come_and_say(), say_and_stay(): for run_until_said().
 *  - reached_open(), reached_say(), reached_await(): how many processes have come so far.
 *  - log_begin(), log_end(): what the service says meanwhile.
 *  - restart_before(), restart_after(): around each test that has one of the last two.
 */

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include <pinion/named.h>

#include "service_support.h"

/* In a mount namespace of this process's own, which goes with it however it ends; "": none. */
static char named_root[SUPPORT_PATH_LEN];

/* Eight pages are its own from the start: the pool's three, and some for whoever touches a hole. */
static inline void named_mount(void)
{
	char dir[SUPPORT_PATH_LEN];

	support_dir_create(dir);
	assert_int_equal(chmod(dir, 0755), 0);
	if (!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	    !mount("none", dir, "hugetlbfs", 0, "pagesize=2M,mode=0755,min_size=16M"))
		(void)strcpy(named_root, dir);
	else
		rmdir(dir);
}

static inline void named_unmount(void)
{
	if (!named_root[0])
		return;
	umount(named_root);
	rmdir(named_root);
	named_root[0] = '\0';
}

static inline int named_run(int (*tests)(void))
{
	int failed;

	named_mount();
	failed = tests();
	named_unmount();
	return failed;
}

#define named_where(with, f) \
	support_where(named_root[0], "not root, or too few hugepages of 2 MiB are free", with, f)

/* pre: there is a mount. The service is configured, and with this from now on. @where: in that
 * directory of named_root. */
static inline void named_configure(struct service_process *service, const char *where,
				   const char *rules)
{
	service_write(service,
		      "pools = ( { name = \"" SERVICE_POOL "\"; path = \"%s/%s\"; members = 24;\n"
		      "  caches = 48; segments = ( { size = \"4M\"; buffer = \"4K\"; } ); } );\n"
		      "rules = ( %s );\n", named_root, where, rules);
}

static inline void named_unlink(const char *where)
{
	char path[2 * SUPPORT_PATH_LEN];

	(void)snprintf(path, sizeof(path), "%s/%s", named_root, where);
	assert_int_equal(pinion_pool_unlink(path), 0);
}

/* Whose number it was: of a pool made anew it would be another. */
static inline ino_t named_inode(const char *where)
{
	char path[2 * SUPPORT_PATH_LEN];
	struct stat status;

	(void)snprintf(path, sizeof(path), "%s/%s/control", named_root, where);
	assert_int_equal(stat(path, &status), 0);
	return status.st_ino;
}

#define KEPT 3u

static inline int keep_some(struct pinion_client *client, struct pinion_cache *cache,
			    struct pinion_buffer kept[KEPT])
{
	for (uint32_t i = 0; i < KEPT; i++) {
		if (pinion_buffer_alloc(cache, &kept[i]))
			return 22;
		memset(pinion_buffer_addr(pinion_client_pool(client), kept[i]), 0x51 + (int)i,
		       BUFFER);
	}
	return 0;
}

/* @said: where to say that they are there. */
static inline int keep_and_say(struct pinion_client *client, struct pinion_cache *cache,
			       struct pinion_buffer kept[KEPT], const void *said)
{
	const int err = keep_some(client, cache, kept);

	if (!err)
		(void)write(*(const int *)said, "x", 1);
	return err;
}

/* The same of somebody who comes as nobody in particular. */
static inline int come_and_say(struct pinion_client **client, struct pinion_cache **cache,
			       struct pinion_buffer kept[KEPT], const void *said)
{
	const int err = become_nobody() ? 3 : attach(client, cache);

	return err ? err : keep_and_say(*client, *cache, kept, said);
}

/* Until it is killed. */
__attribute__((noreturn)) static inline void say_and_stay(const void *said)
{
	(void)write(*(const int *)said, "x", 1);
	for (;;)
		pause();
}

static inline int see_kept(struct pinion_client *client, const struct pinion_buffer kept[KEPT])
{
	for (uint32_t i = 0; i < KEPT; i++) {
		const unsigned char *byte =
			pinion_buffer_addr(pinion_client_pool(client), kept[i]);

		for (size_t b = 0; b < BUFFER; b++)
			if (byte[b] != 0x51 + i)
				return 23;
	}
	return 0;
}

/* Of all processes of a test: how many have come so far. */
static _Atomic int *reached;

static inline void reached_open(void)
{
	reached = mmap(NULL, sizeof(*reached), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_ptr_not_equal(reached, MAP_FAILED);
}

static inline void reached_say(void)
{
	atomic_fetch_add(reached, 1);
}

static inline void reached_await(int nr)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	while (atomic_load(reached) < nr) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
	atomic_store(reached, 0);
}

/* Where what the service says goes meanwhile, and where it went before; NULL: it goes there. */
static struct {
	FILE *file;
	int was;
} log_now;

static inline void log_begin(void)
{
	log_now.file = fdopen(memfd_create("log", MFD_CLOEXEC), "r");
	log_now.was = dup(STDERR_FILENO);
	assert_true(log_now.file && log_now.was >= 0);
	assert_int_equal(dup2(fileno(log_now.file), STDERR_FILENO), STDERR_FILENO);
}

/* Back to where it went, and to the first line of what was said. */
static inline FILE *log_back(void)
{
	FILE *log = log_now.file;

	log_now.file = NULL;
	assert_int_equal(dup2(log_now.was, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(log_now.was), 0);
	rewind(log);
	return log;
}

/* Was that said? However much else was: who is slow to come is asked for often. */
static inline bool log_end(const char *what)
{
	FILE *log = log_back();
	char line[512];
	bool said = false;

	while (fgets(line, sizeof(line), log))
		said |= strstr(line, what) != NULL;
	assert_int_equal(fclose(log), 0);
	return said;
}

/* A test that failed in between: what was said may tell why. */
static inline void log_give_up(void)
{
	FILE *log = log_back();
	char line[512];

	while (fgets(line, sizeof(line), log))
		print_message("# %s", line);
	assert_int_equal(fclose(log), 0);
}

static inline int restart_before(void **state)
{
	if (reached)
		atomic_store(reached, 0); /* by a test that failed before it was awaited */
	return pool_test_before(state);
}

static inline int restart_after(void **state)
{
	if (log_now.file)
		log_give_up();
	return pool_test_after(state);
}

#define restart_test(f) cmocka_unit_test_setup_teardown(f, restart_before, restart_after)

#endif
