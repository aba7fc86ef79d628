/* SPDX-License-Identifier: BSD-3-Clause */
/* segment.h: sizes, alignment, real pages on a node; and every step of making that can fail. */

#include <numaif.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "huge_support.h"

#include "segment.h"

#define GIB ((size_t)1 << 30)

/*
 * The library's system calls are these. Each fails when it is told to, counted from 1; the
 * kernel is asked for the rest. A mapping "fails" with a gap that another thread has taken.
 */
static int mbind_fails_at, populate_fails_at, seal_fails_at, shape_fails_at, gap_is_taken;

/* Which file's pages are told as half of what they are, of those asked about once pages are there;
 * counted from 1. */
static int size_differs_at;
static atomic_bool pages_are_there;

static bool falls(int *countdown)
{
	return *countdown > 0 && --*countdown == 0;
}

long mbind(void *addr, unsigned long len, int mode, const unsigned long *mask,
	   unsigned long max_node, unsigned flags)
{
	errno = EPERM;
	return falls(&mbind_fails_at) ? -1 : syscall(SYS_mbind, addr, len, mode, mask, max_node,
						     flags);
}

int madvise(void *addr, size_t len, int advice)
{
	const bool fails = advice == MADV_POPULATE_WRITE && falls(&populate_fails_at);

	if (advice == MADV_POPULATE_WRITE)
		atomic_store_explicit(&pages_are_there, true, memory_order_relaxed);
	errno = EFAULT;
	return fails ? -1 : (int)syscall(SYS_madvise, addr, len, advice);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	long arg;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	errno = EPERM;
	return command == F_ADD_SEALS && falls(&seal_fails_at)
		       ? -1
		       : (int)syscall(SYS_fcntl, fd, command, arg);
}

int ftruncate(int fd, off_t len)
{
	errno = EIO;
	return falls(&shape_fails_at) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int fstatfs(int fd, struct statfs *fs)
{
	const int err = (int)syscall(SYS_fstatfs, fd, fs);

	if (!err && atomic_load_explicit(&pages_are_there, memory_order_relaxed) &&
	    falls(&size_differs_at))
		fs->f_bsize /= 2;
	return err;
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	if (flags & MAP_FIXED_NOREPLACE && gap_is_taken > 0) {
		gap_is_taken--;
		errno = EEXIST;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

/* What /proc/meminfo says instead; negative: what the kernel says. */
static long available_kib = -1;

FILE *fopen(const char *path, const char *mode)
{
	char text[64];
	FILE *file;
	int fd;

	if (available_kib < 0 || strcmp(path, "/proc/meminfo")) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? NULL : fdopen(fd, mode);
	}
	file = tmpfile();
	snprintf(text, sizeof(text), "MemAvailable: %ld kB\n", available_kib);
	assert_non_null(file);
	fputs(text, file);
	rewind(file);
	return file;
}

static const struct segment_options plain = {.name = "test"};

static struct pinion_segment_config sizes(size_t len, size_t buffer_size, size_t page_size)
{
	return (struct pinion_segment_config){len, buffer_size, page_size, 0};
}

/* Some segments at once, as a pool makes them. */
struct batch {
	struct pinion_segment_config config[8];
	struct pinion_hostmem memory[8];
	struct segment_order order[8];
	uint32_t nr;
};

static void batch_add(struct batch *batch, struct pinion_segment_config config)
{
	const uint32_t i = batch->nr++;

	batch->config[i] = config;
	batch->order[i] = (struct segment_order){&batch->config[i], i, &batch->memory[i], 77};
}

static int batch_make(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->nr; i++)
		assert_int_equal(segment_config_check(&batch->config[i], i), 0);
	return segments_create(batch->order, batch->nr, &plain);
}

static void batch_destroy(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->nr; i++)
		assert_int_equal(pinion_hostmem_destroy(&batch->memory[i]), 0);
}

static void sizes_that_can_be_are_accepted(void **state)
{
	const struct pinion_segment_config good[] = {
		sizes(4096, 64, 4096),
		sizes(4096, 4096, 4096),
		sizes(65536, 65536, 4096),
		sizes(HUGE, 64, HUGE),
		sizes(6 * HUGE, 2 * HUGE, HUGE),
		sizes(GIB, GIB, HUGE),
		sizes(GIB, GIB, 4096),
		sizes(GIB, 4096, GIB),
		sizes(3 * GIB, GIB, GIB),
		sizes(GIB << 28, GIB, GIB),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(segment_config_check(&good[i], 0), 0);
}

static void refused(struct pinion_segment_config config, const char *part)
{
	assert_int_equal(segment_config_check(&config, 3), -EINVAL);
	assert_sentence(part);
}

static void sizes_that_cannot_be_are_einval(void **state)
{
	(void)state;
	refused(sizes(4 * GIB, 2 * GIB, GIB), "segment 3: a buffer size of 2147483648 bytes");
	refused(sizes(HUGE, 2 * HUGE, HUGE), "more than its length");
	refused(sizes(3 * HUGE, 2 * HUGE, HUGE), "not a multiple of the buffer size, 4194304");
	refused(sizes(HUGE + 4096, 4096, HUGE), "not a multiple of the page size");
	refused(sizes(SIZE_MAX, GIB, GIB), "a length of");
	refused(sizes(SIZE_MAX - GIB + 1, GIB, GIB), "more than 2^28 buffers");
	refused(sizes((size_t)1 << 63, GIB, (size_t)1 << 63), "more than 2^28 buffers");
}

/* Sparse files: nothing is populated, so sizes may be large. */
static void a_segment_is_mapped_at_a_multiple_of_its_buffer_size(void **state)
{
	const size_t buffers[] = {64, 4096, 65536, HUGE, 64 * HUGE, GIB};

	(void)state;
	for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
		struct pinion_hostmem memory = {-1, NULL, 0, 0};
		const int fd = memfd_create("test", MFD_CLOEXEC);

		assert_int_equal(ftruncate(fd, (off_t)(3 * GIB)), 0);
		assert_int_equal(segment_map(fd, 3 * GIB, 4096, buffers[i], &memory), 0);
		assert_int_equal((uintptr_t)memory.addr % buffers[i], 0);
		assert_int_equal(memory.len, 3 * GIB);
		assert_int_equal(memory.page_size, 4096);
		((volatile char *)memory.addr)[3 * GIB - 1] = 1;
		assert_int_equal(pinion_hostmem_destroy(&memory), 0);
	}
}

static void a_gap_that_another_thread_took_is_looked_for_again(void **state)
{
	struct pinion_hostmem memory = {-1, NULL, 0, 0};
	const int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	gap_is_taken = 1000000;
	assert_int_equal(segment_map(fd, 1 << 20, 4096, 1 << 20, &memory), -EEXIST);
	assert_null(memory.addr);
	gap_is_taken = 5;
	assert_int_equal(segment_map(fd, 1 << 20, 4096, 1 << 20, &memory), 0);
	assert_int_equal(gap_is_taken, 0);
	assert_int_equal(pinion_hostmem_destroy(&memory), 0);
}

static void a_file_of_other_sizes_is_einval_and_stays_the_callers(void **state)
{
	struct pinion_hostmem memory = {-1, NULL, 0, 0};
	const int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(segment_map(fd, 2 << 20, 4096, 1 << 20, &memory), -EINVAL);
	assert_int_equal(segment_map(fd, 1 << 20, 8192, 1 << 20, &memory), -EINVAL);
	assert_int_equal(segment_map(fd, 1 << 20, 4096, 2 << 20, &memory), -EINVAL);
	assert_int_equal(segment_map(fd, 1 << 20, 4096, 3 << 18, &memory), -EINVAL);
	assert_int_equal(segment_map(fd, 0, 4096, 8192, &memory), -EINVAL);
	assert_int_equal(segment_map(fd, SIZE_MAX & ~(size_t)4095, 4096, 8192, &memory), -EINVAL);
	assert_int_equal(close(fd), 0);
}

/* A buffer of eight pages, one smaller than a page and 4 KiB pages, in one call. */
static void segments_of_all_sizes_are_made_together(void **state)
{
	const struct huge_count before = huge_count();
	struct batch batch = {0};
	int node = -1;

	(void)state;
	batch_add(&batch, sizes(16 * HUGE, 8 * HUGE, HUGE));
	batch_add(&batch, sizes(3 * HUGE, 65536, HUGE));
	batch_add(&batch, sizes(1 << 20, 65536, 4096));
	batch.config[2].node = PINION_NODE_ANY;
	assert_int_equal(batch_make(&batch), 0);
	assert_int_equal(huge_count().free, before.free - 19);
	for (uint32_t i = 0; i < batch.nr; i++) {
		const struct pinion_hostmem *memory = &batch.memory[i];
		int seals = 0;

		assert_int_equal((uintptr_t)memory->addr % batch.config[i].buffer_size, 0);
		assert_int_equal(memory->len, batch.config[i].len);
		assert_int_equal(pinion_hostmem_seals(memory->fd, &seals), 0);
		assert_int_equal(seals & 7, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		assert_int_equal(pinion_hostmem_node(memory->addr, memory->page_size, &node, 1), 0);
		assert_int_equal(batch.order[i].node, node);
	}
	batch_destroy(&batch);
}

/* More than a caller does alone: by workers, and the last page is as real as the first. */
static void many_pages_are_all_there(void **state)
{
	const struct huge_count before = huge_count();
	struct batch batch = {0};

	(void)state;
	batch_add(&batch, sizes(40 * HUGE, HUGE, HUGE));
	batch_add(&batch, sizes(8 * HUGE, HUGE, HUGE));
	assert_int_equal(batch_make(&batch), 0);
	assert_int_equal(huge_count().free, before.free - 48);
	assert_int_equal(huge_count().promised, before.promised);
	batch_destroy(&batch);
}

/* Three segments, of which the one that @at counts down to is refused, with @part of a sentence
 * that begins with its number: nothing is left of any. */
static void leaves_nothing(struct batch *batch, const int *at, int err, const char *part)
{
	const int fds = support_fd_count(), maps = pool_maps(), index = *at - 1;
	char sentence[128];

	assert_int_equal(batch_make(batch), err);
	assert_int_equal(*at, 0);
	snprintf(sentence, sizeof(sentence), "segment %d: %s", index, part);
	assert_sentence(sentence);
	assert_int_equal(support_fd_count(), fds);
	assert_int_equal(pool_maps(), maps);
	assert_true(huge_settles(huge_at_start));
	for (int i = 0; i < 3; i++)
		assert_null(batch->memory[i].addr);
}

/* Whichever step fails for the first, second or third. */
static void a_step_that_fails_leaves_nothing(void **state)
{
	int *const steps[] = {&shape_fails_at, &mbind_fails_at, &populate_fails_at, &seal_fails_at};
	const int errs[] = {-EIO, -EPERM, -ENOMEM, -EPERM};

	(void)state;
	for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]); step++)
		for (int at = 1; at <= 3; at++) {
			struct batch batch = {0};

			for (int i = 0; i < 3; i++)
				batch_add(&batch, sizes(2 * HUGE, HUGE << (i % 2), HUGE));
			*steps[step] = at;
			leaves_nothing(&batch, steps[step], errs[step], "");
		}
}

/* Each segment is looked at. */
static void pages_of_another_size_are_exdev_and_leave_nothing(void **state)
{
	(void)state;
	for (int at = 1; at <= 3; at++) {
		struct batch batch = {0};

		for (int i = 0; i < 3; i++)
			batch_add(&batch, sizes(2 * HUGE, HUGE, HUGE));
		atomic_store_explicit(&pages_are_there, false, memory_order_relaxed);
		size_differs_at = at;
		leaves_nothing(&batch, &size_differs_at, -EXDEV, "pages of 2097152 bytes were "
			       "asked for, the kernel gave 1048576");
	}
}

/* Somebody else has @pages, or was only promised them. */
static struct pinion_hostmem others(size_t pages, bool populated)
{
	struct pinion_hostmem memory = {-1, NULL, 0, 0};

	assert_int_equal(pinion_hostmem_create("test", pages * HUGE, HUGE, &memory), 0);
	if (populated)
		assert_int_equal(pinion_hostmem_populate(&memory, 0, memory.len), 0);
	return memory;
}

/* The second segment is the one too much; what both need on the node is named, and the command
 * reserves it beside what others have. */
static void too_few_pages_counts_all_segments(void **state)
{
	struct pinion_hostmem used = others(2, true), promised = others(3, false);
	const struct huge_count before = huge_count();
	const long all = support_read_long(HUGE_DIR "nr_hugepages");
	const long much = before.free - before.promised, more = much + 5;
	struct batch batch = {0};
	char part[256];

	(void)state;
	batch_add(&batch, sizes(5 * HUGE, HUGE, HUGE));
	batch_add(&batch, sizes((size_t)much * HUGE, HUGE, HUGE));
	batch.config[1].node = PINION_NODE_ANY;
	assert_int_equal(batch_make(&batch), -ENOMEM);
	snprintf(part, sizeof(part), "segment 1: %ld pages of 2048 KiB are needed, the machine "
		 "has %ld free: hugepages reserve --size 2048K --pages %ld",
		 more, much, more + all - much);
	assert_sentence(part);
	/* The service's refusals have room for so much, ipc/wire.h. */
	assert_in_range(strlen(pinion_error_text()), 1, 127);
	assert_int_equal(pinion_hostmem_destroy(&used), 0);
	assert_int_equal(pinion_hostmem_destroy(&promised), 0);
	/* A node's own count, of what its segments need. */
	batch.config[1].len = (size_t)before.free * HUGE;
	batch.config[1].node = 0;
	assert_int_equal(batch_make(&batch), -ENOMEM);
	assert_sentence("node 0 has");
	assert_sentence("--pages 0:");
}

static void pages_that_are_free_but_not_given_point_at_limits(void **state)
{
	struct batch batch = {0};

	(void)state;
	batch_add(&batch, sizes(2 * HUGE, HUGE, HUGE));
	populate_fails_at = 1;
	assert_int_equal(batch_make(&batch), -ENOMEM);
	assert_sentence("hugetlb.*.max");
	assert_sentence("does not give them");
}

/* Nobody reserves those of 4 KiB: populating more than there is calls the OOM killer. Known before
 * the first one is touched, for the segments together, of the machine and of a node. */
static void more_small_pages_than_there_is_memory_is_enomem_before_one_is_touched(void **state)
{
	const int fds = support_fd_count(), maps = pool_maps();
	struct batch batch = {0};
	size_t half;

	(void)state;
	batch_add(&batch, sizes((size_t)1 << 45, GIB, 4096));
	batch_add(&batch, sizes(HUGE, 65536, HUGE));
	for (int node = PINION_NODE_ANY; node <= 0; node++) {
		batch.config[0].node = node;
		populate_fails_at = 1;
		assert_int_equal(batch_make(&batch), -ENOMEM);
		assert_int_equal(populate_fails_at, 1);
		assert_sentence("segment 0: 33554432 MiB in pages of 4 KiB are needed");
		assert_sentence(node < 0 ? "the machine has" : "node 0 has");
	}
	/* Each for itself would do. An eighth too much: others may give some back meanwhile. */
	half = (size_t)support_available_kib() / 16 * 9 / 2048 * HUGE;
	batch.config[0] = batch.config[1] = sizes(half, 4096, 4096);
	batch.config[0].node = batch.config[1].node = PINION_NODE_ANY;
	assert_int_equal(batch_make(&batch), -ENOMEM);
	assert_int_equal(populate_fails_at, 1);
	assert_sentence("MiB available");
	populate_fails_at = 0;
	assert_int_equal(support_fd_count(), fds);
	assert_int_equal(pool_maps(), maps);
}

/* 32,768 buffers: owner words of 256 KiB, and magazines with as many ids of half of that. */
static void a_control_area_that_does_not_fit_is_enomem_before_a_page_is_touched(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool = NULL;
	struct batch batch = {0};
	struct segment_options options = plain;

	(void)state;
	config.segment[0] = sizes(HUGE, 64, HUGE);
	populate_fails_at = 100;
	available_kib = 384;
	assert_int_equal(pinion_pool_create(&config, &pool), -ENOMEM);
	assert_null(pool);
	assert_sentence("in pages of 4 KiB are needed, the machine has 384 KiB left for it");
	/* Beside what segments take. */
	batch_add(&batch, sizes(3 * HUGE, 4096, 4096));
	batch.config[0].node = PINION_NODE_ANY;
	options.control = 5 << 20;
	available_kib = 10 << 10;
	assert_int_equal(segments_create(batch.order, 1, &options), -ENOMEM);
	assert_sentence("control area: 5120 KiB in pages of 4 KiB are needed, the machine has "
			"4096 KiB left for it");
	assert_in_range(populate_fails_at, 95, 100); /* the head's pages at most */
	populate_fails_at = 0;
	available_kib += 1 << 10;
	assert_int_equal(segments_create(batch.order, 1, &options), 0);
	batch_destroy(&batch);
	available_kib = -1;
}

/* Also where a segment went: it may have been smaller. */
static void a_slots_part_of_the_control_area_is_looked_at_when_a_pool_grows(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_segment_config more = sizes(HUGE, 64, HUGE);
	struct pinion_pool *pool;
	uint32_t slot = 77;

	(void)state;
	config.segment[0] = more;
	config.max_segments = 2;
	pool = pool_make_from(&config);
	available_kib = 384;
	assert_int_equal(pinion_pool_grow(pool, &more, &slot), -ENOMEM);
	assert_sentence("control area: ");
	assert_int_equal(slot, 77);
	available_kib = 1024;
	assert_int_equal(pinion_pool_grow(pool, &more, &slot), 0);
	assert_int_equal(pinion_pool_retire(pool, slot), 0);
	available_kib = 384;
	assert_int_equal(pinion_pool_grow(pool, &more, &slot), -ENOMEM);
	available_kib = 1024;
	assert_int_equal(pinion_pool_grow(pool, &more, &slot), 0);
	assert_int_equal(slot, 1);
	available_kib = -1;
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void tell(void *context, uint64_t done, uint64_t total)
{
	uint64_t *told = context;

	assert_true(done >= told[0] && done <= total);
	told[0] = done;
	told[1] = total;
}

static void a_pool_tells_of_its_progress_and_has_large_buffers(void **state)
{
	uint64_t told[2] = {0};
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_buffer buffer = {0};

	(void)state;
	config.segment[0] = sizes(40 * HUGE, 4 * HUGE, HUGE);
	config.progress = tell;
	config.progress_context = told;
	pool = pool_make_from(&config);
	assert_int_equal(told[0], 40 * HUGE);
	assert_int_equal(told[1], 40 * HUGE);
	cache = cache_make(pool, 4 * HUGE);
	for (int i = 0; i < 10; i++) {
		take(cache, &buffer, 1);
		assert_int_equal((uintptr_t)pinion_buffer_addr(pool, buffer) % (4 * HUGE), 0);
		assert_int_equal(pinion_buffer_size(pool, buffer), 4 * HUGE);
		memset(pinion_buffer_addr(pool, buffer), i, 4 * HUGE);
	}
	assert_true(pinion_buffer_alloc(cache, &buffer) < 0);
	pinion_cache_close(cache);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		huge_test(sizes_that_can_be_are_accepted),
		huge_test(sizes_that_cannot_be_are_einval),
		huge_test(a_segment_is_mapped_at_a_multiple_of_its_buffer_size),
		huge_test(a_gap_that_another_thread_took_is_looked_for_again),
		huge_test(a_file_of_other_sizes_is_einval_and_stays_the_callers),
		huge_test(segments_of_all_sizes_are_made_together),
		huge_test(many_pages_are_all_there),
		huge_test(a_step_that_fails_leaves_nothing),
		huge_test(pages_of_another_size_are_exdev_and_leave_nothing),
		huge_test(too_few_pages_counts_all_segments),
		huge_test(pages_that_are_free_but_not_given_point_at_limits),
		huge_test(more_small_pages_than_there_is_memory_is_enomem_before_one_is_touched),
		huge_test(a_control_area_that_does_not_fit_is_enomem_before_a_page_is_touched),
		huge_test(a_slots_part_of_the_control_area_is_looked_at_when_a_pool_grows),
		huge_test(a_pool_tells_of_its_progress_and_has_large_buffers),
	};

	if (huge_count().free - huge_count().promised < 64)
		return support_skip("fewer than 64 hugepages of 2 MiB are free");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
