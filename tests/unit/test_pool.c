/* SPDX-License-Identifier: BSD-3-Clause */
/* pool.h: making, passing on, attaching, members, sums; and everything that must be refused. */

#include <sys/mman.h>

#include "pool_support.h"
#include "member.h"
#include "stat.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

/* Refused with this error and a sentence that has this part, and nothing made. */
static void refused(const struct pinion_pool_config *config, int err, const char *part)
{
	struct pinion_pool *const untouched = (struct pinion_pool *)(void *)&err;
	struct pinion_pool *pool = untouched;

	errno = 4711;
	assert_int_equal(pinion_pool_create(config, &pool), err);
	assert_int_equal(errno, 4711);
	assert_ptr_equal(pool, untouched);
	assert_sentence(part);
}

static void a_pool_without_segments_or_with_too_many_is_einval(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);

	(void)state;
	config.nr_segments = 0;
	refused(&config, -EINVAL, "segments, not 0");
	config.nr_segments = PINION_SEGMENT_MAX + 1;
	refused(&config, -EINVAL, "segments, not 65");
}

static void too_many_members_or_caches_is_einval(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);

	(void)state;
	config.nr_members = PINION_MEMBER_MAX + 1;
	refused(&config, -EINVAL, "members, not 4097");
	config.nr_members = 1;
	config.nr_caches = 65537;
	refused(&config, -EINVAL, "caches");
}

/* As many caches as the limit says, on as many segments: their magazines outgrow a word. */
static void more_magazines_than_an_owner_word_can_name_is_einval(void **state)
{
	struct pinion_pool_config config = pool_config(64, 64);

	(void)state;
	config.nr_caches = 65536;
	config.nr_segments = PINION_SEGMENT_MAX;
	for (int i = 1; i < PINION_SEGMENT_MAX; i++)
		config.segment[i] = config.segment[0];
	refused(&config, -EINVAL, "caches");
}

static void a_buffer_size_that_cannot_be_is_einval(void **state)
{
	/* The segment has 16 KiB: one of 32 KiB does not fit. */
	const size_t bad[] = {0, 1, 32, 63, 65, 96, 12288, 32768, SIZE_MAX, (size_t)1 << 63};
	struct pinion_pool_config config = pool_config(64, BUFFER);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config.segment[0].buffer_size = bad[i];
		refused(&config, -EINVAL, "segment 0: a buffer size of");
	}
}

static void a_page_size_that_cannot_be_is_einval(void **state)
{
	const size_t bad[] = {0, 1, 2048, 4095, 5000, 3 << 20, SIZE_MAX};
	struct pinion_pool_config config = pool_config(64, BUFFER);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config.segment[0].page_size = bad[i];
		refused(&config, -EINVAL, "segment 0: a page size of");
	}
}

static void a_length_that_is_no_multiple_of_a_page_is_einval(void **state)
{
	const size_t bad[] = {0, 1, 4095, 4097, 6144, SIZE_MAX};
	struct pinion_pool_config config = pool_config(64, BUFFER);

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = config.segment[0];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config.segment[1].len = bad[i];
		refused(&config, -EINVAL, "segment 1: a length of");
	}
}

static void more_buffers_than_ids_is_einval(void **state)
{
	struct pinion_pool_config config = pool_config(64, 64);

	(void)state;
	config.segment[0].len = ((size_t)64 << PINION_ID_BITS) + 4096;
	refused(&config, -EINVAL, "segment 0: more than 2^28 buffers");
	/* Each fits; together, at one stride for all, they do not. */
	config.segment[0].len = (size_t)64 << (PINION_ID_BITS - 1);
	config.nr_segments = 3;
	config.segment[1] = config.segment[2] = pool_config(64, 64).segment[0];
	refused(&config, -EINVAL, "2^28");
}

/* Nothing falls back to a smaller one. */
static void a_page_size_that_this_kernel_lacks_is_enodev_and_named(void **state)
{
	const size_t bad[] = {8192, (size_t)16 << 30};
	struct pinion_pool_config config = pool_config(64, BUFFER);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char part[128];

		config.segment[0].page_size = config.segment[0].len = bad[i];
		snprintf(part, sizeof(part), "segment 0: this kernel has no hugepages of %zu KiB",
			 bad[i] / 1024);
		refused(&config, -ENODEV, part);
		assert_sentence("/sys/kernel/mm/hugepages");
	}
}

/* The kernel takes 249 characters, and would say no more than "Invalid argument". */
static void a_name_that_is_too_long_is_einval_and_said(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	char name[251];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[250] = '\0';
	config.name = name;
	refused(&config, -EINVAL, "a name has at most 249 characters, not 250");
	name[249] = '\0';
	assert_int_equal(pinion_pool_destroy(pool_make_from(&config)), 0);
}

static void a_node_that_is_not_there_is_enodev(void **state)
{
	const int bad[] = {-2, 63, 1023, 1 << 20, INT32_MAX, INT32_MIN};
	struct pinion_pool_config config = pool_config(64, BUFFER);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char part[64];

		config.segment[0].node = bad[i];
		snprintf(part, sizeof(part), "no NUMA node %d", bad[i]);
		refused(&config, -ENODEV, part);
	}
}

/* More than any machine that runs this has; the second segment, so that the first is undone. */
static void too_few_hugepages_is_enomem_and_says_how_many(void **state)
{
	const long before = support_read_long(HUGE_FREE);
	struct pinion_pool_config config = pool_config(64, BUFFER);

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = (struct pinion_segment_config){
		(size_t)1 << 40, HUGE_PAGE, HUGE_PAGE, PINION_NODE_ANY};
	refused(&config, -ENOMEM, "segment 1: 524288 pages of 2048 KiB are needed");
	assert_sentence("hugepages reserve");
	config.segment[1].node = 0;
	refused(&config, -ENOMEM, "node 0 has");
	assert_int_equal(support_read_long(HUGE_FREE), before);
}

static void all_buffers_of_a_new_pool_are_free_and_sound(void **state)
{
	const size_t nr[] = {16, 48, 64, 80, 128, 1024, 4112};

	(void)state;
	for (size_t i = 0; i < sizeof(nr) / sizeof(nr[0]); i++) {
		struct pinion_pool *pool = pool_make(nr[i]);

		assert_int_equal(pinion_pool_zones(pool), 1);
		assert_int_equal(pool_total(pool), nr[i]);
		assert_pool_whole(pool);
		assert_int_equal(pinion_pool_destroy(pool), 0);
	}
}

static struct pinion_pool_config mixed_config(void)
{
	struct pinion_pool_config config = pool_config(64, 64);

	config.nr_segments = 5;
	config.segment[1] = pool_config(16, 4096).segment[0];
	config.segment[2] = pool_config(1024, 64).segment[0];
	config.segment[3] = pool_config(32, 512).segment[0];
	config.segment[4] = pool_config(8, 4096).segment[0];
	return config;
}

static void segments_of_one_size_on_one_node_are_one_zone(void **state)
{
	const struct pinion_pool_config config = mixed_config();
	struct pinion_pool *pool = pool_make_from(&config);
	struct pinion_zone_stat stat;

	(void)state;
	assert_int_equal(pinion_pool_zones(pool), 3);
	assert_int_equal(pinion_pool_stat(pool, 0, &stat), 0);
	assert_int_equal(stat.total, 64 + 1024);
	assert_int_equal(stat.buffer_size, 64);
	assert_int_equal(stat.page_size, 4096);
	assert_int_equal(pinion_pool_stat(pool, 1, &stat), 0);
	assert_int_equal(stat.total, 16 + 8);
	assert_int_equal(pinion_pool_stat(pool, 2, &stat), 0);
	assert_int_equal(stat.total, 32);
	assert_int_equal(stat.held, 0);
	assert_int_equal(pinion_pool_stat(pool, 3, &stat), -EINVAL);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Buffers of all segments: inside their own segment, and not on each other's bytes. */
static void addresses_lie_in_their_segment_and_do_not_overlap(void **state)
{
	const struct pinion_pool_config config = mixed_config();
	struct pinion_pool *pool = pool_make_from(&config);

	(void)state;
	for (uint32_t s = 0; s < config.nr_segments; s++) {
		const size_t size = config.segment[s].buffer_size;
		char *base = pool->memory[s].addr;

		for (uint32_t i = 0; i < pool->segment[s].nr; i++) {
			const struct pinion_buffer buffer =
				pinion_buffer_make((s << pool->geometry.segment_shift) + i, 1);

			assert_int_equal(pinion_buffer_size(pool, buffer), size);
			assert_ptr_equal(pinion_buffer_addr(pool, buffer), base + i * size);
		}
	}
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Nor what in an owner word would be a magazine, or no holder. */
static void who_can_be_no_member_holds_nothing(void **state)
{
	const uint32_t none[] = {8, PINION_MEMBER_MAX, (1u << 23) - 1, 1u << 23, UINT32_MAX};
	struct pinion_pool *pool = pool_make(64);

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(pinion_pool_held(pool, none[i]), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_pid_that_nobody_has_is_not_admitted(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	uint32_t member = 4711;

	(void)state;
	assert_int_equal(pinion_pool_admit(pool, -1, &member), -EINVAL);
	assert_sentence("-1 is no process");
	assert_int_equal(member, 4711);
	assert_int_equal(pinion_pool_admit(pool, 0, &member), 0);
	assert_int_equal(member, 1);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_second_member_sees_the_same_bytes_at_other_addresses(void **state)
{
	struct pinion_pool *pool = pool_make(64), *peer = pool_join(pool);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer buffer;

	(void)state;
	take(cache, &buffer, 1);
	strcpy(pinion_buffer_addr(pool, buffer), "the same");
	assert_ptr_not_equal(pinion_buffer_addr(pool, buffer), pinion_buffer_addr(peer, buffer));
	assert_string_equal(pinion_buffer_addr(peer, buffer), "the same");
	assert_int_equal(pinion_pool_member(pool), 0);
	assert_int_equal(pinion_pool_member(peer), 1);
	assert_int_equal(pinion_pool_held(peer, 0), 1);
	assert_int_equal(pinion_pool_held(peer, 1), 0);
	give(cache, &buffer, 1);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void members_get_the_lowest_free_slot_until_none_is_left(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;
	uint32_t member;

	(void)state;
	config.nr_members = 4;
	pool = pool_make_from(&config);
	for (uint32_t i = 1; i < 4; i++) {
		assert_int_equal(pinion_pool_admit(pool, 100, &member), 0);
		assert_int_equal(member, i);
	}
	member = 77;
	assert_int_equal(pinion_pool_admit(pool, 100, &member), -EAGAIN);
	assert_int_equal(member, 77);
	assert_sentence("all 4 member slots");
	assert_int_equal(pinion_pool_release(pool, 2, NULL), 0);
	assert_int_equal(pinion_pool_admit(pool, 100, &member), 0);
	assert_int_equal(member, 2);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Attaching fails with @err and leaves all files the caller's: each can still be closed, once. */
static void attach_refused(const struct pinion_pool_fds *fds, uint32_t member, int err,
			   const char *part)
{
	struct pinion_pool *pool = NULL;
	const int maps = pool_maps(), open = support_fd_count();

	errno = 4711;
	assert_int_equal(pinion_pool_attach(fds, member, &pool), err);
	assert_int_equal(errno, 4711);
	assert_null(pool);
	assert_sentence(part);
	assert_int_equal(support_fd_count(), open);
	assert_int_equal(pool_maps(), maps);
}

/* The same file once more, for reading alone. */
static int reopen_to_read(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void files_that_are_open_for_reading_alone_are_eacces(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	const struct pinion_pool_fds good = pool_files(pool);
	struct pinion_pool_fds fds = good;
	uint32_t member = 0;

	(void)state;
	assert_int_equal(pinion_pool_admit(pool, 0, &member), 0);
	fds.control = reopen_to_read(good.control);
	attach_refused(&fds, member, -EACCES, "control area: Permission denied");
	close(fds.control);
	fds.control = good.control;
	fds.segment[0] = reopen_to_read(good.segment[0]);
	attach_refused(&fds, member, -EACCES, "segment 0: cannot map");
	close(fds.segment[0]);
	fds.segment[0] = 1023;
	attach_refused(&fds, member, -EBADF, "segment 0: cannot tell what its file is");
	pool_files_close(&good);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_member_that_was_not_admitted_cannot_attach(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	const struct pinion_pool_fds fds = pool_files(pool);

	(void)state;
	attach_refused(&fds, 1, -EINVAL, "member 1 was not admitted");
	attach_refused(&fds, 8, -EINVAL, "member 8");
	attach_refused(&fds, UINT32_MAX, -EINVAL, "member");
	pool_files_close(&fds);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void another_layout_is_eproto(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	const struct pinion_pool_fds fds = pool_files(pool);
	struct control *control = pool->control.addr;

	(void)state;
	for (int bit = 0; bit < 64; bit++) {
		control->stamp ^= UINT64_C(1) << bit;
		attach_refused(&fds, 0, -EPROTO, "use the same release");
		control->stamp ^= UINT64_C(1) << bit;
	}
	control->magic++;
	attach_refused(&fds, 0, -EPROTO, "not the control area");
	pool_files_close(&fds);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* A file that looks like a control area in nothing: a directory, a pipe, a segment, too short. */
static void a_file_that_is_no_control_area_is_refused(void **state)
{
	struct pinion_pool *pool = pool_make(64), *none = NULL;
	struct pinion_pool_fds fds = pool_files(pool);
	const int control = fds.control;
	const char *const paths[] = {"/", "/dev/null", "/proc/self/maps", "/proc/self/exe"};

	(void)state;
	fds.control = fds.segment[0];
	attach_refused(&fds, 0, -EPROTO, "not the control area");
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		fds.control = open(paths[i], O_RDONLY | O_CLOEXEC);
		assert_true(pinion_pool_attach(&fds, 0, &none) < 0);
		assert_null(none);
		assert_int_equal(close(fds.control), 0);
	}
	fds.control = -1;
	attach_refused(&fds, 0, -EBADF, "control area");
	fds.control = memfd_create("short", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fds.control, 100), 0);
	attach_refused(&fds, 0, -EPROTO, "too short");
	close(fds.control);
	fds.control = control;
	pool_files_close(&fds);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* An adopter would wait for it. */
static void who_failed_to_attach_has_not_joined(void **state)
{
	const struct pinion_pool_config config = mixed_config();
	struct pinion_pool *pool = pool_make_from(&config), *peer = NULL;
	const struct pinion_pool_fds good = pool_files(pool);
	struct pinion_pool_fds fds = good;
	uint32_t member;

	(void)state;
	assert_int_equal(pinion_pool_admit(pool, getpid(), &member), 0);
	fds.segment[4] = good.control;
	attach_refused(&fds, member, -EINVAL, "segment 4");
	assert_int_equal(pool->members[member].joined, MEMBER_INVITED);
	assert_int_equal(pinion_pool_attach(&good, member, &peer), 0);
	assert_int_equal(pool->members[member].joined, MEMBER_JOINED);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void who_comes_too_late_is_told_to_try_again(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	const struct pinion_pool_fds fds = pool_files(pool);
	uint32_t member;

	(void)state;
	assert_int_equal(pinion_pool_admit(pool, getpid(), &member), 0);
	assert_false(member_uninvite(&pool->members[member]));
	attach_refused(&fds, member, -ESTALE, "try again");
	pool_files_close(&fds);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* A file that its sender can shorten would be a SIGBUS whenever it likes. */
static void a_file_that_can_still_be_shortened_is_refused(void **state)
{
	struct pinion_pool *pool = pool_make(64), *none = NULL;
	struct pinion_pool_fds fds = pool_files(pool);
	const int control = fds.control, segment = fds.segment[0];

	(void)state;
	fds.control = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(fds.control, pool->control.addr, pool->control.len),
			 (ssize_t)pool->control.len);
	assert_int_equal(pinion_pool_attach(&fds, 0, &none), -EINVAL);
	assert_sentence("seal");
	close(fds.control);
	fds.control = control;
	fds.segment[0] = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fds.segment[0], (off_t)pool->memory[0].len), 0);
	assert_int_equal(pinion_pool_attach(&fds, 0, &none), -EINVAL);
	assert_sentence("seal");
	close(fds.segment[0]);
	fds.segment[0] = segment;
	pool_files_close(&fds);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void segments_that_do_not_fit_the_control_area_are_refused(void **state)
{
	const struct pinion_pool_config config = mixed_config();
	struct pinion_pool *pool = pool_make_from(&config);
	const struct pinion_pool_fds good = pool_files(pool);
	struct pinion_pool_fds fds = good;

	(void)state;
	fds.segment[0] = good.segment[1]; /* 64 KiB where 4 KiB belong, and the other way round */
	fds.segment[1] = good.segment[0];
	attach_refused(&fds, 0, -EINVAL, "segment 0");
	fds = good;
	fds.segment[4] = good.control;
	attach_refused(&fds, 0, -EINVAL, "segment 4");
	fds = good;
	fds.nr_segments = 0;
	attach_refused(&fds, 0, -EINVAL, "segments, not 0");
	fds.nr_segments = PINION_SEGMENT_MAX + 1;
	attach_refused(&fds, 0, -EINVAL, "segments, not 65");
	pool_files_close(&good);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Some of the files may come later: what is there is used, and nothing but that. */
static void a_segment_that_is_not_passed_is_left_out(void **state)
{
	const struct pinion_pool_config config = mixed_config();
	struct pinion_pool *pool = pool_make_from(&config), *peer = NULL;
	struct pinion_pool_fds fds = pool_files(pool);
	struct pinion_buffer all[1024 + 16];
	struct pinion_cache *small, *large;
	uint32_t member;

	(void)state;
	close(fds.segment[0]); /* one of two with buffers of 64 bytes, the first */
	fds.segment[0] = -1;
	close(fds.segment[4]); /* one of two with 4096, the last: not even named */
	fds.nr_segments = 4;
	assert_int_equal(pinion_pool_admit(pool, getpid(), &member), 0);
	assert_int_equal(pinion_pool_attach(&fds, member, &peer), 0);
	small = cache_make(peer, 64);
	large = cache_make(peer, 4096);
	take(small, all, 1024);
	assert_int_equal(pinion_buffer_alloc(small, &all[1024]), -ENOMEM);
	take(large, &all[1024], 16);
	assert_int_equal(pinion_buffer_alloc(large, &all[0]), -ENOMEM);
	for (int i = 0; i < 1040; i++)
		*(char *)pinion_buffer_addr(peer, all[i]) = 1;
	give(small, all, 1040);
	assert_int_equal(pinion_cache_close(small), 0);
	assert_int_equal(pinion_cache_close(large), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Two segments of one shape, sent in the wrong order: ids would name each other's buffers. */
static void segments_of_one_shape_in_the_wrong_order_are_refused(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool, *none = NULL;
	struct pinion_pool_fds fds;
	int first;

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = config.segment[0];
	pool = pool_make_from(&config);
	fds = pool_files(pool);
	first = fds.segment[0];
	fds.segment[0] = fds.segment[1];
	fds.segment[1] = first;
	assert_int_equal(pinion_pool_attach(&fds, 0, &none), -EINVAL);
	pool_files_close(&fds);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Any byte of the header may be wrong: refused or harmless, never a crash or a leak. */
static void a_scribbled_header_is_refused_or_harmless(void **state)
{
	const struct pinion_pool_config config = mixed_config();
	struct pinion_pool *pool = pool_make_from(&config), *peer;
	const struct control good = *(struct control *)pool->control.addr;
	const uint32_t header =
		offsetof(struct control, slot) + 5 * sizeof(struct control_slot);
	uint64_t random = test_seed();
	int refusals = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		const struct pinion_pool_fds fds = pool_files(pool);
		const uint32_t at = test_below(&random, header);
		const uint8_t value = (uint8_t)test_random(&random);

		((uint8_t *)pool->control.addr)[at] = value;
		if (pinion_pool_attach(&fds, 0, &peer)) {
			pool_files_close(&fds);
			refusals++;
		} else {
			assert_int_equal(pinion_pool_detach(peer), 0);
		}
		memcpy(pool->control.addr, &good, sizeof(good));
	}
	assert_true(refusals > 10000);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The shapes alone: which segments, zones and shifts an attacher believes. */
static void impossible_segment_descriptions_are_einval(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	const struct pinion_pool_fds fds = pool_files(pool);
	struct control_segment *segment =
		&((struct control *)pool->control.addr)->slot[0].segment;
	const struct control_segment good = segment[0];
	struct control_segment bad[9];

	(void)state;
	for (int i = 0; i < 9; i++)
		bad[i] = good;
	bad[0].nr = 0;
	bad[1].nr = 128;
	bad[2].buffer_shift = 5;
	bad[3].buffer_shift = 64;
	bad[4].page_shift = 255;
	bad[5].page_shift = 11;
	bad[6].stride_shift = 33;
	bad[7].len = UINT64_MAX;
	bad[8].stride_shift = 7; /* less than the buffer */
	for (int i = 0; i < 9; i++) {
		segment[0] = bad[i];
		attach_refused(&fds, 0, -EINVAL, "segment 0");
	}
	pool_files_close(&fds);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void the_files_are_sealed_and_private_to_their_user(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_pool_fds fds;
	struct stat status;

	(void)state;
	pinion_pool_export(pool, &fds);
	for (int i = 0; i < 2; i++) {
		const int fd = i ? fds.control : fds.segment[0];

		assert_int_equal(ftruncate(fd, 0), -1);
		assert_int_equal(ftruncate(fd, 1 << 30), -1);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
		assert_int_equal(fstat(fd, &status), 0);
		assert_int_equal(status.st_mode & 0777, 0600);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	}
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The real thing: two pages of 2 MiB on node 0, taken, verified and given back. */
static void a_pool_of_hugepages_takes_them_and_gives_them_back(void **state)
{
	const long before = support_read_long(HUGE_FREE);
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool, *peer;
	struct pinion_zone_stat stat;

	(void)state;
	config.segment[0] = (struct pinion_segment_config){2 * HUGE_PAGE, 65536, HUGE_PAGE, 0};
	pool = pool_make_from(&config);
	assert_int_equal(support_read_long(HUGE_FREE), before - 2);
	peer = pool_join(pool);
	assert_int_equal(pinion_pool_stat(peer, 0, &stat), 0);
	assert_int_equal(stat.page_size, HUGE_PAGE);
	assert_int_equal(stat.node, 0);
	assert_int_equal(stat.total, 64);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
	assert_int_equal(support_read_long(HUGE_FREE), before);
}

/* Members that hold some, none, or are not there. Free buffers count for none. */
static void one_look_counts_what_each_member_holds(void **state)
{
	const struct pinion_pool_config config = pool_config(200, 4096);
	struct pinion_pool *pool = pool_make_from(&config), *peer = pool_join(pool);
	struct pinion_cache *ours = cache_make(pool, 4096), *theirs = cache_make(peer, 4096);
	struct pinion_buffer buffer;
	uint32_t held[PINION_MEMBER_MAX], nr = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pinion_buffer_alloc(ours, &buffer), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pinion_buffer_alloc(theirs, &buffer), 0);
	memset(held, 0xff, sizeof(held));
	stat_held_by_each(pool, held);
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		assert_int_equal(held[i], pinion_pool_held(pool, i));
		nr += held[i];
	}
	assert_int_equal(nr, 8);
	abandon(ours);
	abandon(theirs);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Each member holds of one zone only. */
static void one_look_at_a_zone_counts_what_each_member_holds_of_it(void **state)
{
	struct pinion_pool_config config = pool_config(64, 4096);
	struct pinion_pool *pool, *peer;
	struct pinion_cache *ours, *theirs;
	struct pinion_zone_stat stat;
	struct pinion_buffer buffer;
	uint32_t held[PINION_MEMBER_MAX];

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = config.segment[0];
	config.segment[1].buffer_size = 8192;
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	ours = cache_make(pool, 4096);
	theirs = cache_make(peer, 8192);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pinion_buffer_alloc(ours, &buffer), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pinion_buffer_alloc(theirs, &buffer), 0);
	for (uint32_t zone = 0; zone < 2; zone++) {
		memset(held, 0xff, sizeof(held));
		assert_int_equal(stat_zone(pool, zone, &stat, held), 0);
		assert_int_equal(stat.held, zone ? 5 : 3);
		assert_int_equal(held[(zone ? peer : pool)->member], stat.held);
		assert_int_equal(held[(zone ? pool : peer)->member], 0);
	}
	assert_int_equal(stat_zone(pool, 2, &stat, held), -EINVAL);
	abandon(ours);
	abandon(theirs);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_pool_without_segments_or_with_too_many_is_einval),
		pool_test(too_many_members_or_caches_is_einval),
		pool_test(more_magazines_than_an_owner_word_can_name_is_einval),
		pool_test(a_buffer_size_that_cannot_be_is_einval),
		pool_test(a_page_size_that_cannot_be_is_einval),
		pool_test(a_length_that_is_no_multiple_of_a_page_is_einval),
		pool_test(more_buffers_than_ids_is_einval),
		pool_test(a_page_size_that_this_kernel_lacks_is_enodev_and_named),
		pool_test(a_name_that_is_too_long_is_einval_and_said),
		pool_test(a_node_that_is_not_there_is_enodev),
		pool_test(too_few_hugepages_is_enomem_and_says_how_many),
		pool_test(all_buffers_of_a_new_pool_are_free_and_sound),
		pool_test(segments_of_one_size_on_one_node_are_one_zone),
		pool_test(addresses_lie_in_their_segment_and_do_not_overlap),
		pool_test(who_can_be_no_member_holds_nothing),
		pool_test(a_pid_that_nobody_has_is_not_admitted),
		pool_test(a_second_member_sees_the_same_bytes_at_other_addresses),
		pool_test(members_get_the_lowest_free_slot_until_none_is_left),
		pool_test(files_that_are_open_for_reading_alone_are_eacces),
		pool_test(a_member_that_was_not_admitted_cannot_attach),
		pool_test(another_layout_is_eproto),
		pool_test(a_file_that_is_no_control_area_is_refused),
		pool_test(who_failed_to_attach_has_not_joined),
		pool_test(who_comes_too_late_is_told_to_try_again),
		pool_test(a_file_that_can_still_be_shortened_is_refused),
		pool_test(segments_that_do_not_fit_the_control_area_are_refused),
		pool_test(a_segment_that_is_not_passed_is_left_out),
		pool_test(segments_of_one_shape_in_the_wrong_order_are_refused),
		pool_test(a_scribbled_header_is_refused_or_harmless),
		pool_test(impossible_segment_descriptions_are_einval),
		pool_test(the_files_are_sealed_and_private_to_their_user),
		support_where(support_read_long(HUGE_FREE) >= 2,
			      "fewer than 2 hugepages of 2 MiB are free", pool_test,
			      a_pool_of_hugepages_takes_them_and_gives_them_back),
		pool_test(one_look_counts_what_each_member_holds),
		pool_test(one_look_at_a_zone_counts_what_each_member_holds_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
