/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio_region.h where it needs no device: what the kernel tells of a region; and mapping, reading
 * and writing, where a file with a region in it is what is mapped, read and written.
 */

#include <pinion/vfio_region.h>

#include <signal.h>

#include "brink.h"
#include "vfio_chain.h"

#define FIXED sizeof(struct vfio_region_info)
#define LEN UINT64_C(0x4000)
#define PAGE 4096u

#define READ VFIO_REGION_INFO_FLAG_READ
#define WRITE VFIO_REGION_INFO_FLAG_WRITE
#define MMAP VFIO_REGION_INFO_FLAG_MMAP
#define CAPS VFIO_REGION_INFO_FLAG_CAPS

static void chain_begin(struct chain *c, uint32_t flags)
{
	struct vfio_region_info *info = (void *)c->info;

	chain_start(c, FIXED, offsetof(struct vfio_region_info, cap_offset));
	info->argsz = sizeof(c->info);
	info->flags = flags;
	info->size = LEN;
	info->offset = 0x10000000000;
}

static uint32_t chain_areas(struct chain *c, uint32_t nr,
			    const struct vfio_region_sparse_mmap_area *area, uint32_t given)
{
	unsigned char body[8 + 40 * sizeof(*area)] = {0};

	memcpy(body, &nr, sizeof(nr));
	memcpy(body + 8, area, given * sizeof(*area));
	return chain_put(c, VFIO_REGION_INFO_CAP_SPARSE_MMAP, body, 8 + given * sizeof(*area));
}

static const struct vfio_region_sparse_mmap_area around[] = {{0, 0x1000}, {0x3000, 0x1000}};

static void a_region_without_capabilities_is_one_area_or_none(void **state)
{
	struct pinion_vfio_region r = {0};
	struct chain c;

	(void)state;
	chain_begin(&c, READ | WRITE | MMAP);
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), 0);
	assert_true(r.len == LEN && r.offset == 0x10000000000 && !r.msix_mappable);
	assert_true(r.nr_areas == 1 && r.area[0].off == 0 && r.area[0].len == LEN);
	chain_begin(&c, READ | WRITE);
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), 0);
	assert_int_equal(r.nr_areas, 0);
}

static void areas_and_the_table_of_msi_x_are_understood(void **state)
{
	const uint32_t type[2] = {0};
	struct pinion_vfio_region r = {0};
	struct chain c;

	(void)state;
	chain_begin(&c, READ | WRITE | MMAP | CAPS);
	chain_put(&c, VFIO_REGION_INFO_CAP_TYPE, type, sizeof(type));
	chain_areas(&c, 2, around, 2);
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), 0);
	assert_int_equal(r.nr_areas, 2);
	assert_true(r.area[0].off == 0 && r.area[0].len == 0x1000);
	assert_true(r.area[1].off == 0x3000 && r.area[1].len == 0x1000);
	assert_false(r.msix_mappable);
	chain_put(&c, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, "", 0);
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), 0);
	assert_true(r.msix_mappable);
	assert_int_equal(r.nr_areas, 2);
}

static void what_the_flags_deny_is_not_looked_at(void **state)
{
	struct pinion_vfio_region r = {0};
	struct chain c;

	(void)state;
	/* Areas of a region that cannot be mapped. */
	chain_begin(&c, READ | WRITE | CAPS);
	chain_areas(&c, 2, around, 2);
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), 0);
	assert_int_equal(r.nr_areas, 0);
	/* A chain, here one that leaves the buffer, without the flag that it means something. */
	chain_begin(&c, READ | WRITE | MMAP);
	chain_point_last_at(&c, 0x7ffffffc);
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), 0);
	assert_int_equal(r.nr_areas, 1);
}

static void no_area_at_all_leaves_nothing_to_map(void **state)
{
	struct pinion_vfio_region r = {0};
	struct chain c;
	void *addr = NULL;

	(void)state;
	chain_begin(&c, READ | WRITE | MMAP | CAPS);
	chain_areas(&c, 0, around, 0);
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), 0);
	assert_int_equal(r.nr_areas, 0);
	assert_int_equal(pinion_vfio_region_map_known(-1, &r, &addr), -ENOTSUP);
	assert_null(addr);
}

static int parse_areas(uint32_t nr, const struct vfio_region_sparse_mmap_area *area, uint32_t given)
{
	struct pinion_vfio_region r = {0};
	struct chain c;
	int err;

	chain_begin(&c, READ | WRITE | MMAP | CAPS);
	chain_areas(&c, nr, area, given);
	err = pinion_vfio_region_parse(c.info, c.len, &r);
	assert_int_equal(r.len, err == 0 ? LEN : 0);
	return err;
}

static void areas_that_lie_are_refused(void **state)
{
	static const struct vfio_region_sparse_mmap_area wrong[] = {
		{0, 0},          {0, LEN + 1},    {1, LEN},   {LEN, 1},
		{UINT64_MAX, 2}, {2, UINT64_MAX}, {LEN, LEN}, {UINT64_MAX - LEN + 1, LEN},
	};
	struct vfio_region_sparse_mmap_area many[33];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse_areas(1, &wrong[i], 1), -EBADMSG);
	for (i = 0; i < 33; i++)
		many[i] = around[0];
	assert_int_equal(parse_areas(3, around, 2), -EBADMSG);
	assert_int_equal(parse_areas(0x10000001, around, 2), -EBADMSG);
	assert_int_equal(parse_areas(UINT32_MAX, around, 2), -EBADMSG);
	assert_int_equal(parse_areas(32, many, 33), 0);
	assert_int_equal(parse_areas(33, many, 33), -E2BIG);
}

static void chains_that_lie_are_refused(void **state)
{
	struct pinion_vfio_region r = {0};
	struct chain c;
	uint32_t first;

	(void)state;
	chain_begin(&c, READ | MMAP | CAPS);
	assert_int_equal(pinion_vfio_region_parse(c.info, FIXED - 1, &r), -EBADMSG);
	first = chain_put(&c, 77, "", 0);
	chain_point_last_at(&c, first); /* a circle */
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), -EBADMSG);
	chain_point_last_at(&c, (uint32_t)c.len); /* the end */
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), -EBADMSG);
	chain_begin(&c, READ | MMAP | CAPS);
	chain_put(&c, VFIO_REGION_INFO_CAP_SPARSE_MMAP, "", 0); /* without its count */
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), -EBADMSG);
	assert_int_equal(r.len, 0);
	((struct vfio_region_info *)(void *)c.info)->size = 0;
	assert_int_equal(pinion_vfio_region_parse(c.info, c.len, &r), -ENOENT);
}

/* Any answer of up to 127 bytes is refused, or says what holds; and nothing is read behind it. */
static void noise_is_never_believed(void **state)
{
	struct pinion_vfio_region r = {0};
	uint64_t x = 88172645463325252u;
	unsigned char *brink = brink_open();
	struct chain c;
	uint32_t i, n;
	size_t at, len;

	(void)state;
	for (n = 0; n < 100000; n++) {
		chain_begin(&c, READ | WRITE | MMAP | CAPS);
		chain_areas(&c, 2, around, 2);
		chain_put(&c, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, &x, 8);
		for (i = 0; i < 3; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			at = offsetof(struct vfio_region_info, cap_offset) + (x >> 8) % 80 / 4 * 4;
			c.info[at] = (unsigned char)x;
		}
		len = FIXED + (x >> 20) % 80;
		if (pinion_vfio_region_parse(brink_put(brink, c.info, len), len, &r) < 0)
			continue;
		assert_true(r.nr_areas <= PINION_VFIO_AREAS);
		for (i = 0; i < r.nr_areas; i++)
			assert_true(r.area[i].len > 0 && r.area[i].off + r.area[i].len <= r.len);
	}
	brink_close(brink);
}

/* Four pages of a file from its third page on, each filled with its number. */
static struct pinion_vfio_region region_in_file(int *fd, uint32_t flags)
{
	struct pinion_vfio_region r = {.offset = 2 * PAGE, .len = LEN, .flags = flags};
	unsigned char page[PAGE];
	unsigned i;

	*fd = memfd_create("region", MFD_CLOEXEC);
	assert_true(*fd >= 0);
	for (i = 0; i < 4; i++) {
		memset(page, (int)i + 1, sizeof(page));
		assert_int_equal(pwrite(*fd, page, PAGE, (2 + i) * PAGE), PAGE);
	}
	return r;
}

static int touch(void *at)
{
	signal(SIGSEGV, SIG_DFL); /* not the test library's */
	return *(volatile unsigned char *)at == 0;
}

static void a_sparse_region_is_mapped_where_its_areas_are(void **state)
{
	int fd;
	struct pinion_vfio_region r = region_in_file(&fd, READ | WRITE | MMAP);
	unsigned char *regs = NULL, byte = 0;
	void *addr = NULL;

	(void)state;
	r.nr_areas = 2;
	r.area[0] = (struct pinion_vfio_area){PAGE, PAGE};
	r.area[1] = (struct pinion_vfio_area){3 * PAGE, PAGE};
	assert_int_equal(pinion_vfio_region_map_known(fd, &r, &addr), 0);
	regs = addr;
	assert_int_equal(regs[PAGE], 2);
	assert_int_equal(regs[2 * PAGE - 1], 2);
	assert_int_equal(regs[4 * PAGE - 1], 4);
	regs[3 * PAGE] = 77;
	assert_int_equal(pread(fd, &byte, 1, 5 * PAGE), 1);
	assert_int_equal(byte, 77);
	assert_int_equal(support_child(touch, regs), 128 + SIGSEGV);
	assert_int_equal(support_child(touch, regs + 2 * PAGE), 128 + SIGSEGV);
	assert_int_equal(support_child(touch, regs + 3 * PAGE), 0);
	assert_int_equal(pinion_vfio_region_unmap(addr, LEN), 0);
	assert_int_equal(support_child(touch, regs + PAGE), 128 + SIGSEGV);
	close(fd);
}

static int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	int c, nr = 0;

	assert_non_null(maps);
	while ((c = getc(maps)) != EOF)
		nr += c == '\n';
	fclose(maps);
	return nr;
}

static void a_mapping_that_fails_halfway_leaves_nothing(void **state)
{
	int fd;
	struct pinion_vfio_region r = region_in_file(&fd, READ | WRITE | MMAP);
	void *addr = NULL;
	int before;

	(void)state;
	r.nr_areas = 2;
	r.area[0] = (struct pinion_vfio_area){0, PAGE};
	r.area[1] = (struct pinion_vfio_area){2 * PAGE + 8, PAGE}; /* at no page */
	mappings();
	before = mappings();
	assert_int_equal(pinion_vfio_region_map_known(fd, &r, &addr), -EINVAL);
	assert_int_equal(mappings(), before);
	r.area[1] = (struct pinion_vfio_area){2 * PAGE, PAGE};
	r.offset = UINT64_MAX - PAGE + 1; /* the offset wraps with the second area */
	assert_int_equal(pinion_vfio_region_map_known(fd, &r, &addr), -EOVERFLOW);
	assert_int_equal(mappings(), before);
	assert_null(addr);
	close(fd);
}

static void a_mapping_allows_what_the_region_does(void **state)
{
	int fd;
	struct pinion_vfio_region r = region_in_file(&fd, READ | MMAP);
	void *addr = NULL;

	(void)state;
	r.nr_areas = 1;
	r.area[0].len = LEN;
	assert_int_equal(pinion_vfio_region_map_known(fd, &r, &addr), 0);
	assert_int_equal(((unsigned char *)addr)[LEN - 1], 4);
	/* The kernel writes there only if a store could. */
	assert_int_equal(pread(fd, addr, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(pinion_vfio_region_unmap(addr, LEN), 0);
	close(fd);
}

static void registers_have_their_lowest_byte_first(void **state)
{
	static const unsigned char bytes[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
	int fd;
	const struct pinion_vfio_region r = region_in_file(&fd, READ | WRITE);
	unsigned char back[8];
	uint8_t v8 = 0;
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	uint64_t v64 = 0;

	(void)state;
	assert_int_equal(pwrite(fd, bytes, 8, 2 * PAGE + 16), 8);
	assert_int_equal(pinion_vfio_region_read8(fd, &r, 17, &v8), 0);
	assert_int_equal(pinion_vfio_region_read16(fd, &r, 18, &v16), 0);
	assert_int_equal(pinion_vfio_region_read32(fd, &r, 20, &v32), 0);
	assert_int_equal(pinion_vfio_region_read64(fd, &r, 16, &v64), 0);
	assert_int_equal(v8, 0x23);
	assert_int_equal(v16, 0x6745);
	assert_int_equal(v32, 0xefcdab89);
	assert_true(v64 == 0xefcdab8967452301);
	assert_int_equal(pinion_vfio_region_write8(fd, &r, 24, v8), 0);
	assert_int_equal(pinion_vfio_region_write16(fd, &r, 26, v16), 0);
	assert_int_equal(pinion_vfio_region_write32(fd, &r, 28, v32), 0);
	assert_int_equal(pinion_vfio_region_write64(fd, &r, 32, v64), 0);
	assert_int_equal(pread(fd, back, 8, 2 * PAGE + 24), 8);
	/* The second is as it was: 1. */
	assert_memory_equal(back, "\x23\x01\x45\x67\x89\xab\xcd\xef", 8);
	assert_int_equal(pread(fd, back, 8, 2 * PAGE + 32), 8);
	assert_memory_equal(back, bytes, 8);
	close(fd);
}

static void nothing_is_read_or_written_outside(void **state)
{
	int fd;
	struct pinion_vfio_region r = region_in_file(&fd, READ | WRITE);
	uint64_t v = 7;
	uint32_t v32 = 7;

	(void)state;
	assert_int_equal(pinion_vfio_region_read64(fd, &r, LEN - 8, &v), 0);
	v = 7;
	assert_int_equal(pinion_vfio_region_read64(fd, &r, LEN, &v), -EINVAL);
	assert_int_equal(pinion_vfio_region_read64(fd, &r, LEN - 4, &v), -EINVAL);
	assert_int_equal(pinion_vfio_region_read32(fd, &r, 2, &v32), -EINVAL);
	assert_int_equal(pinion_vfio_region_read64(fd, &r, UINT64_MAX - 7, &v), -EINVAL);
	assert_int_equal(pinion_vfio_region_write32(fd, &r, LEN, 0), -EINVAL);
	assert_int_equal(pinion_vfio_region_write8(fd, &r, LEN, 0), -EINVAL);
	assert_int_equal(pinion_vfio_region_write16(fd, &r, 1, 0), -EINVAL);
	r.len = 4;
	assert_int_equal(pinion_vfio_region_read64(fd, &r, 0, &v), -EINVAL);
	assert_int_equal(pinion_vfio_region_read32(fd, &r, 0, &v32), 0);
	v32 = 7;
	/* The region claims more than the descriptor has; or what no offset reaches. */
	r.len = 2 * LEN;
	assert_int_equal(pinion_vfio_region_read32(fd, &r, LEN, &v32), -EIO);
	r.offset = (uint64_t)INT64_MAX - 3;
	assert_int_equal(pinion_vfio_region_read32(fd, &r, 4, &v32), -EOVERFLOW);
	r.offset = UINT64_MAX - 3;
	assert_int_equal(pinion_vfio_region_write32(fd, &r, 4, 0), -EOVERFLOW);
	assert_true(v == 7 && v32 == 7);
	close(fd);
}

static void what_a_region_does_not_allow_is_eacces(void **state)
{
	int fd;
	struct pinion_vfio_region r = region_in_file(&fd, READ);
	uint16_t v = 7;

	(void)state;
	assert_int_equal(pinion_vfio_region_write16(fd, &r, 0, 0), -EACCES);
	r.flags = WRITE;
	assert_int_equal(pinion_vfio_region_read16(fd, &r, 0, &v), -EACCES);
	assert_int_equal(v, 7);
	close(fd);
}

static void a_descriptor_that_is_no_device_is_told(void **state)
{
	struct pinion_vfio_region r = {.len = 7};
	int fd;

	(void)state;
	region_in_file(&fd, READ);
	assert_int_equal(pinion_vfio_region_info(fd, 0, &r), -ENOTTY);
	assert_int_equal(pinion_vfio_region_info(-1, 0, &r), -EBADF);
	assert_int_equal(r.len, 7);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(a_region_without_capabilities_is_one_area_or_none),
		support_test(areas_and_the_table_of_msi_x_are_understood),
		support_test(what_the_flags_deny_is_not_looked_at),
		support_test(no_area_at_all_leaves_nothing_to_map),
		support_test(areas_that_lie_are_refused),
		support_test(chains_that_lie_are_refused),
		support_test(noise_is_never_believed),
		support_test(a_sparse_region_is_mapped_where_its_areas_are),
		support_test(a_mapping_that_fails_halfway_leaves_nothing),
		support_test(a_mapping_allows_what_the_region_does),
		support_test(registers_have_their_lowest_byte_first),
		support_test(nothing_is_read_or_written_outside),
		support_test(what_a_region_does_not_allow_is_eacces),
		support_test(a_descriptor_that_is_no_device_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
