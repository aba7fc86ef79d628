/* SPDX-License-Identifier: BSD-3-Clause */
/* named.h: directories on hugetlbfs, who may use them, who keeps them, and what is left. */

#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include <pinion/named.h>

#include "huge_support.h"

#include "make.h"
#include "named.h"
#include "segment.h"

static char root[SUPPORT_PATH_LEN]; /* a hugetlbfs of this process's own mount namespace */

static const char *at(const char *name)
{
	static char path[2 * SUPPORT_PATH_LEN];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static struct named *made(const char *name, mode_t mode)
{
	struct named *named = NULL;
	const int err = named_make(at(name), mode, &named);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return named;
}

static void unlinked(struct named *named)
{
	assert_int_equal(named_unlink(named), 0);
	assert_int_equal(access(named->path, F_OK), -1);
	named_close(named);
}

static mode_t mode_of(int fd)
{
	struct stat status = {0};

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_mode & 07777;
}

static void a_new_pool_is_its_users_alone_or_its_groups(void **state)
{
	const mode_t modes[][3] = {{0, 0600, 0700}, {0600, 0600, 0700}, {0660, 0660, 0750}};
	const mode_t umask_was = umask(0077);

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct named *named = made("pool", modes[i][0]);
		int fd = -1;

		assert_int_equal(named->page_size, HUGE);
		assert_int_equal(mode_of(named->dir), modes[i][2]);
		assert_int_equal(named_create(named, "control", HUGE, modes[i][0], &fd), 0);
		assert_int_equal(mode_of(fd), modes[i][1]);
		close(fd);
		unlinked(named);
	}
	umask(umask_was);
}

static void make_refused(const char *path, mode_t mode, int err, const char *part)
{
	struct named *named = NULL;

	assert_int_equal(named_make(path, mode, &named), err);
	assert_null(named);
	assert_sentence(part);
}

static void a_place_or_mode_that_cannot_be_is_refused(void **state)
{
	struct named *named = made("pool", 0);
	char dir[SUPPORT_PATH_LEN];

	(void)state;
	support_dir_create(dir);
	make_refused(support_path(dir, "pool"), 0, -EINVAL, "not on a hugetlbfs mount");
	make_refused(at("none/pool"), 0, -ENOENT, "cannot make the directory");
	make_refused(at("pool"), 0, -EEXIST, "exists already");
	make_refused(at("other"), 0666, -EINVAL, "a mode of 666");
	make_refused(at("other"), 01600, -EINVAL, "a mode of 1600");
	assert_int_equal(access(at("other"), F_OK), -1);
	assert_int_equal(rmdir(dir), 0); /* nothing was left in it */
	unlinked(named);
}

static void lookup_refused(const char *path, int err, const char *part)
{
	struct named *named = NULL;

	assert_int_equal(named_lookup(path, &named), err);
	assert_null(named);
	assert_sentence(part);
}

static void a_directory_that_others_could_change_is_refused(void **state)
{
	struct named *named = made("pool", 0);
	char dir[SUPPORT_PATH_LEN];

	(void)state;
	lookup_refused(at("none"), -ENOENT, "no such named pool");
	support_dir_create(dir);
	lookup_refused(dir, -EINVAL, "not on a hugetlbfs mount");
	support_link(dir, "link", at("pool"));
	lookup_refused(support_path(dir, "link"), -EINVAL, "not a file or a link");
	support_dir_destroy(dir);
	for (int bit = 0; bit < 2; bit++) {
		assert_int_equal(chmod(at("pool"), bit ? 0702 : 0720), 0);
		lookup_refused(at("pool"), -EPERM, "nobody else may write");
	}
	assert_int_equal(chmod(at("pool"), 0700), 0);
	assert_int_equal(chown(at("pool"), SUPPORT_NOBODY, SUPPORT_NOBODY), 0);
	lookup_refused(at("pool"), -EPERM, "belongs to user 65534");
	unlinked(named);
}

static void open_refused(const struct named *named, int err)
{
	size_t len = 77;
	int fd = -77;

	assert_int_equal(named_open(named, "0", &fd, &len), err);
	assert_int_equal(fd, -77);
	assert_int_equal(len, 77);
	assert_sentence("pool/0");
}

static void a_file_that_others_could_change_is_refused(void **state)
{
	struct named *named = made("pool", 0);
	size_t len = 0;
	int fd = -1, again = -1;

	(void)state;
	open_refused(named, -ENOENT);
	assert_int_equal(named_create(named, "0", 3 * HUGE, 0, &fd), 0);
	assert_int_equal(named_create(named, "0", HUGE, 0, &again), -EEXIST);
	assert_int_equal(named_open(named, "0", &again, &len), 0);
	assert_int_equal(len, 3 * HUGE);
	close(again);
	assert_int_equal(fchmod(fd, 0602), 0);
	open_refused(named, -EPERM);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(fchown(fd, SUPPORT_NOBODY, 0), 0);
	open_refused(named, -EPERM);
	assert_int_equal(fchown(fd, 0, 0), 0);
	assert_int_equal(linkat(named->dir, "0", named->dir, "1", 0), 0);
	open_refused(named, -EPERM);
	named_drop(named, "0");
	assert_int_equal(mkdirat(named->dir, "0", 0700), 0);
	open_refused(named, -EISDIR);
	assert_int_equal(unlinkat(named->dir, "0", AT_REMOVEDIR), 0);
	assert_int_equal(mkfifoat(named->dir, "0", 0600), 0);
	open_refused(named, -EPERM);
	close(fd);
	unlinked(named);
}

static void a_file_that_cannot_be_made_is_not_there(void **state)
{
	const size_t bad[] = {0, 4096, HUGE + 1, SIZE_MAX, SIZE_MAX & ~(HUGE - 1)};
	struct named *named = made("pool", 0);
	int fd = -1;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(named_create(named, "0", bad[i], 0, &fd), -EINVAL);
		assert_sentence("pool/0");
		assert_int_equal(faccessat(named->dir, "0", F_OK, 0), -1);
	}
	assert_int_equal(named_create(named, "0", HUGE, 0666, &fd), -EINVAL);
	assert_int_equal(faccessat(named->dir, "0", F_OK, 0), -1);
	unlinked(named);
}

static int lock_elsewhere(void *arg)
{
	struct named *named = NULL;
	const int err = named_lookup(arg, &named) ?: named_lock(named);

	named_close(named);
	return -err;
}

static void a_kept_pool_is_ebusy_to_all_others(void **state)
{
	struct named *named = made("pool", 0), *other = NULL;
	char path[SUPPORT_PATH_LEN + 8];

	(void)state;
	snprintf(path, sizeof(path), "%s/pool", root);
	assert_int_equal(support_child(lock_elsewhere, path), EBUSY);
	/* This very process is no exception, and is not unlocked by trying. */
	assert_int_equal(named_lookup(path, &other), 0);
	assert_int_equal(named_lock(other), -EBUSY);
	assert_sentence("another process keeps this pool");
	named_close(other);
	assert_int_equal(support_child(lock_elsewhere, path), EBUSY);
	named_close(named);
	assert_int_equal(support_child(lock_elsewhere, path), 0);
	assert_int_equal(named_lookup(path, &other), 0);
	assert_int_equal(named_lock(other), 0);
	unlinked(other);
}

/* A keeper with a child that lives on, and with a segment's file that somebody else has. */
static int keep_and_wait(int ready)
{
	struct named *named = NULL;
	int fd;

	if (named_make(at("pool"), 0, &named) || named_create(named, "0", HUGE, 0, &fd))
		return 1;
	if (fork() < 0)
		return 1;
	/* A test that failed leaves neither of the two for long. */
	alarm(20);
	if (write(ready, &named->dir, sizeof(named->dir)) < 0)
		return 1;
	for (;;)
		pause();
}

static void a_killed_keeper_leaves_no_lock_though_its_child_lives(void **state)
{
	struct named *named = NULL;
	int ready[2], dir[2] = {0};
	pid_t keeper;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	keeper = fork();
	if (keeper == 0) {
		setpgid(0, 0);
		_exit(keep_and_wait(ready[1]));
	}
	close(ready[1]);
	/* Both have said that they are there; the child has no descriptor of the directory. */
	assert_int_equal(read(ready[0], &dir[0], sizeof(int)), sizeof(int));
	assert_int_equal(read(ready[0], &dir[1], sizeof(int)), sizeof(int));
	assert_true((dir[0] == -1) != (dir[1] == -1));
	assert_int_equal(named_lookup(at("pool"), &named), 0);
	assert_int_equal(named_lock(named), -EBUSY);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	assert_int_equal(waitpid(keeper, NULL, 0), keeper);
	assert_int_equal(named_lock(named), 0);
	assert_int_equal(kill(-keeper, SIGKILL), 0);
	close(ready[0]);
	unlinked(named);
}

static void a_pool_that_was_removed_meanwhile_is_enoent(void **state)
{
	struct named *named = made("pool", 0), *late = NULL;

	(void)state;
	assert_int_equal(named_lookup(at("pool"), &late), 0);
	unlinked(named);
	named = made("pool", 0);
	assert_int_equal(named_lock(late), -ENOENT);
	named_close(late);
	unlinked(named);
}

static void a_half_made_pool_can_be_removed(void **state)
{
	struct named *named = made("pool", 0);
	size_t len;
	int fd;

	(void)state;
	assert_int_equal(named_create(named, "5", HUGE, 0, &fd), 0);
	close(fd);
	named_close(named);
	assert_int_equal(named_lookup(at("pool"), &named), 0);
	assert_int_equal(named_open(named, NAMED_CONTROL, &fd, &len), -ENOENT);
	assert_sentence("never finished");
	assert_int_equal(named_lock(named), 0);
	unlinked(named);
}

static void what_is_not_of_the_pool_is_not_removed(void **state)
{
	struct named *named = made("pool", 0);
	int fd = openat(named->dir, "mine", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	(void)state;
	close(fd);
	assert_int_equal(named_unlink(named), -ENOTEMPTY);
	assert_int_equal(faccessat(named->dir, "mine", F_OK, 0), 0);
	named_drop(named, "mine");
	unlinked(named);
}

static struct pinion_segment_config sizes(size_t len, size_t buffer_size)
{
	return (struct pinion_segment_config){len, buffer_size, HUGE, 0};
}

/* Its maker gone, the pages and what is in them stay, until the files go too. */
static void named_segments_outlive_their_mappings(void **state)
{
	struct named *named = made("pool", 0);
	const struct segment_options options = {.name = "unused", .named = named};
	const struct pinion_segment_config config[] = {sizes(4 * HUGE, 2 * HUGE), sizes(HUGE, 64)};
	struct pinion_hostmem memory[2];
	struct segment_order order[] = {{&config[0], 0, &memory[0], 0},
					{&config[1], 7, &memory[1], 0}};
	size_t len = 0;
	int fd = -1;

	(void)state;
	assert_int_equal(segments_create(order, 2, &options), 0);
	assert_int_equal((uintptr_t)memory[0].addr % (2 * HUGE), 0);
	strcpy((char *)memory[1].addr + HUGE / 2, "still here");
	assert_int_equal(pinion_hostmem_destroy(&memory[0]), 0);
	assert_int_equal(pinion_hostmem_destroy(&memory[1]), 0);
	assert_int_equal(huge_count().free, huge_at_start.free - 5);
	assert_int_equal(named_open(named, "7", &fd, &len), 0);
	assert_int_equal(segment_map(fd, len, named->page_size, 64, &memory[1]), 0);
	assert_string_equal((char *)memory[1].addr + HUGE / 2, "still here");
	unlinked(named);
	/* What is mapped stays, the rest is free. */
	assert_string_equal((char *)memory[1].addr + HUGE / 2, "still here");
	assert_int_equal(huge_count().free, huge_at_start.free - 1);
	assert_int_equal(pinion_hostmem_destroy(&memory[1]), 0);
}

/* The last of three cannot be had: no file of the others is left either. */
static void named_segments_that_fail_leave_no_file(void **state)
{
	struct named *named = made("pool", 0);
	const struct segment_options options = {.named = named};
	struct pinion_segment_config config[] = {sizes(HUGE, HUGE), sizes(HUGE, 64),
						 sizes((size_t)1 << 40, HUGE)};
	struct pinion_hostmem memory[3];
	struct segment_order order[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		order[i] = (struct segment_order){&config[i], i, &memory[i], 0};
	assert_int_equal(segments_create(order, 3, &options), -ENOMEM);
	assert_sentence("segment 2: 524290 pages");
	assert_int_equal(faccessat(named->dir, "0", F_OK, 0), -1);
	config[2] = (struct pinion_segment_config){1 << 30, 4096, 1 << 30, 0};
	assert_int_equal(segments_create(order, 3, &options), -EINVAL);
	assert_sentence("-o pagesize=1048576K");
	assert_true(huge_settles(huge_at_start));
	/* A file of that name that is another's stays, and stays as it was. */
	config[2] = sizes(HUGE, HUGE);
	assert_int_equal(mkdirat(named->dir, "2", 0700), 0);
	assert_int_equal(segments_create(order, 3, &options), -EEXIST);
	assert_int_equal(unlinkat(named->dir, "2", AT_REMOVEDIR), 0);
	unlinked(named); /* the directory is empty, or this fails */
}

/* size= of the mount is one page short. */
static void the_limit_of_a_mount_is_named(void **state)
{
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 8];
	struct pinion_segment_config config = sizes(3 * HUGE, HUGE);
	struct pinion_hostmem memory;
	struct segment_order order = {&config, 0, &memory, 0};
	struct segment_options options = {0};
	struct named *named = NULL;

	(void)state;
	support_dir_create(dir);
	assert_int_equal(mount("none", dir, "hugetlbfs", 0, "pagesize=2M,size=4M"), 0);
	snprintf(path, sizeof(path), "%s/pool", dir);
	assert_int_equal(named_make(path, 0, &named), 0);
	options.named = named;
	assert_int_equal(segments_create(&order, 1, &options), -ENOMEM);
	assert_sentence("of the hugetlbfs mount (size=)");
	unlinked(named);
	assert_int_equal(umount(dir), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* The least there can be: one segment of one page, and a slot for another. */
static struct pinion_pool_config smallest_pool(const char *path)
{
	struct pinion_pool_config config = {
		.path = path, .nr_members = 2, .nr_caches = 1, .nr_segments = 1, .max_segments = 2};

	config.segment[0] = (struct pinion_segment_config){HUGE, 8192, HUGE, PINION_NODE_ANY};
	return config;
}

/* Of more buffers: their words take two pages at least. */
static struct pinion_pool_config pool_of_many(const char *path, size_t *control_pages)
{
	struct pinion_pool_config config = smallest_pool(path);

	config.segment[0].len = 8 * HUGE;
	config.segment[0].buffer_size = 64;
	*control_pages = (make_control_len(&config) + HUGE - 1) / HUGE;
	assert_in_range(*control_pages, 2, 16);
	return config;
}

static void create_refused(const struct pinion_pool_config *config, const char *part)
{
	struct pinion_pool *pool = NULL;

	assert_int_equal(pinion_pool_create(config, &pool), -ENOMEM);
	assert_null(pool);
	assert_sentence(part);
	assert_int_equal(access(config->path, F_OK), -1);
}

/* All that is free but for one page too few is somebody's. */
static void too_few_pages_for_the_control_area_says_how_many(void **state)
{
	size_t need, others;
	const struct pinion_pool_config config = pool_of_many(at("pool"), &need);
	const long all = support_read_long(HUGE_DIR "nr_hugepages");
	struct pinion_hostmem memory = {-1, NULL, 0, 0};
	char part[256];

	(void)state;
	others = (size_t)(huge_count().free - huge_count().promised) - (need - 1);
	assert_int_equal(pinion_hostmem_create("test", others * HUGE, HUGE, &memory), 0);
	snprintf(part, sizeof(part), "control area: %zu pages of 2048 KiB are needed, the machine "
		 "has %zu free: hugepages reserve --size 2048K --pages %ld", need, need - 1,
		 all + 1 + 8);
	create_refused(&config, part);
	/* The service's refusals have room for so much, ipc/wire.h. */
	assert_in_range(strlen(pinion_error_text()), 1, 127);
	assert_int_equal(pinion_hostmem_destroy(&memory), 0);
}

/* The pages are there, but size= of the mount has one less. */
static void the_limit_of_a_mount_is_named_for_the_control_area_too(void **state)
{
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 8], size[64];
	struct pinion_pool_config config;
	size_t need;

	(void)state;
	support_dir_create(dir);
	snprintf(path, sizeof(path), "%s/pool", dir);
	config = pool_of_many(path, &need);
	snprintf(size, sizeof(size), "pagesize=2M,size=%zu", (need - 1) * HUGE);
	assert_int_equal(mount("none", dir, "hugetlbfs", 0, size), 0);
	create_refused(&config, "of the hugetlbfs mount (size=)");
	assert_sentence("control area: ");
	assert_int_equal(umount(dir), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* As of a keeper that was killed between the file and the slot, or the slot and the file. */
static void a_file_left_in_a_free_slot_goes_with_the_next_keeper(void **state)
{
	const struct pinion_pool_config config = smallest_pool(at("pool"));
	struct pinion_pool *pool = pool_make_from(&config);
	uint32_t slot = 0;
	int fd;

	(void)state;
	assert_int_equal(pinion_pool_destroy(pool), 0);
	fd = open(at("pool/1"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)HUGE), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(pinion_pool_adopt(at("pool"), &pool, NULL), 0);
	assert_int_equal(access(at("pool/1"), F_OK), -1);
	assert_int_equal(pinion_pool_grow(pool, &config.segment[0], &slot), 0);
	assert_int_equal(slot, 1);
	assert_int_equal(pinion_pool_destroy(pool), 0);
	assert_int_equal(pinion_pool_unlink(at("pool")), 0);
}

/* Its keeper, who dies, and a place for whoever runs the tests. */
static int make_for_two(void *arg)
{
	const struct pinion_pool_config config = smallest_pool(at("pool"));
	struct pinion_pool *pool;
	uint32_t member;

	(void)arg;
	return pinion_pool_create(&config, &pool) || pinion_pool_admit(pool, getppid(), &member);
}

/* The dead one's number is not free: what it sent to the living may be in transit. */
static void a_pool_without_a_free_number_beside_the_living_is_eagain(void **state)
{
	struct pinion_pool *pool;

	(void)state;
	assert_int_equal(support_child(make_for_two, NULL), 0);
	assert_int_equal(pinion_pool_adopt(at("pool"), &pool, NULL), -EAGAIN);
	assert_int_equal(pinion_pool_unlink(at("pool")), 0);
}

/* A mount of our own, which goes with this process however it ends. */
static int mount_root(void)
{
	support_dir_create(root);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	return mount("none", root, "hugetlbfs", 0, "pagesize=2M");
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		huge_test(a_new_pool_is_its_users_alone_or_its_groups),
		huge_test(a_place_or_mode_that_cannot_be_is_refused),
		huge_test(a_directory_that_others_could_change_is_refused),
		huge_test(a_file_that_others_could_change_is_refused),
		huge_test(a_file_that_cannot_be_made_is_not_there),
		huge_test(a_kept_pool_is_ebusy_to_all_others),
		huge_test(a_killed_keeper_leaves_no_lock_though_its_child_lives),
		huge_test(a_pool_that_was_removed_meanwhile_is_enoent),
		huge_test(a_half_made_pool_can_be_removed),
		huge_test(what_is_not_of_the_pool_is_not_removed),
		huge_test(named_segments_outlive_their_mappings),
		huge_test(named_segments_that_fail_leave_no_file),
		huge_test(the_limit_of_a_mount_is_named),
		huge_test(too_few_pages_for_the_control_area_says_how_many),
		huge_test(the_limit_of_a_mount_is_named_for_the_control_area_too),
		huge_test(a_file_left_in_a_free_slot_goes_with_the_next_keeper),
		huge_test(a_pool_without_a_free_number_beside_the_living_is_eagain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	int status;

	if (huge_count().free - huge_count().promised < 16)
		return support_skip("fewer than 16 hugepages of 2 MiB are free");
	if (mount_root() == 0) {
		status = run();
		umount(root);
	} else {
		status = support_skip("cannot mount hugetlbfs: needs root");
	}
	rmdir(root);
	return status;
}
