/* SPDX-License-Identifier: BSD-3-Clause */
/* uio.h on a tree made of files: /dev/uioN is a FIFO, which polls and reads as one would. */

static char sysfs[1024];
static char nodes[1024];
#define PINION_UIO_PCI_SYSFS sysfs
#define PINION_UIO_DEV nodes
#include <pinion/uio.h>

#include <sys/resource.h>

#include "support.h"

#define BDF "0000:41:00.0"
#define MS UINT64_C(1000000)

static uint16_t command(void)
{
	uint8_t config[64] = { 0 };
	int fd = open(support_path(sysfs, BDF "/config"), O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(fd, config, sizeof(config)), (ssize_t)sizeof(config));
	close(fd);
	return (uint16_t)(config[4] | config[5] << 8);
}

/* A fresh function at uio3 with COMMAND 0403: interrupts blocked, mastering off. */
static int make_tree(void **state)
{
	const char config[64] = { 0x36, 0x1b, 0x10, 0x00, 0x03, 0x04 };
	char page[8192] = { 0 };

	support_dir_create(sysfs);
	support_dir_create(nodes);
	support_write(sysfs, BDF "/config", config, sizeof(config));
	support_write(sysfs, BDF "/resource0", page, sizeof(page));
	support_write_text(sysfs, BDF "/uio/uio3/dev", "240:3\n");
	support_write_text(sysfs, "0000:42:00.0/config", "");
	assert_int_equal(mkfifo(support_path(nodes, "uio3"), 0600), 0);
	return support_fds_before(state);
}

static int remove_tree(void **state)
{
	support_dir_destroy(sysfs);
	support_dir_destroy(nodes);
	return support_fds_after(state);
}

static void open_keeps_the_node_and_changes_nothing(void **state)
{
	struct pinion_uio uio = { 0 };

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_int_equal(uio.number, 3);
	assert_int_equal(uio.command, 0x0403);
	assert_string_equal(uio.bdf, BDF);
	assert_int_equal(fcntl(uio.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(command(), 0x0403);
	assert_int_equal(pinion_uio_close(&uio), 0);
	assert_int_equal(uio.fd, -1);
}

static void what_cannot_be_opened_is_named(void **state)
{
	struct pinion_uio uio = { 0 };

	(void)state;
	assert_int_equal(pinion_uio_open("0000:43:00.0", &uio), -ENODEV);
	assert_int_equal(pinion_uio_open("0000:42:00.0", &uio), -ENOENT);
	assert_int_equal(pinion_uio_open("", &uio), -EINVAL);
	assert_int_equal(pinion_uio_open("..", &uio), -EINVAL);
	assert_int_equal(pinion_uio_open("0000:41:00.0/uio", &uio), -EINVAL);
	assert_int_equal(pinion_uio_open("0000:41:00.0000000000000", &uio), -EINVAL);
	assert_int_equal(pinion_uio_open(NULL, &uio), -EINVAL);
	unlink(support_path(nodes, "uio3"));
	assert_int_equal(pinion_uio_open(BDF, &uio), -ENOENT);
}

static void entries_that_are_no_uio_are_passed_over(void **state)
{
	unsigned number = 7;

	(void)state;
	support_write_text(sysfs, "0000:42:00.0/uio/uio", "");
	support_write_text(sysfs, "0000:42:00.0/uio/uio1x", "");
	support_write_text(sysfs, "0000:42:00.0/uio/uio99999999999999999999", "");
	assert_int_equal(pinion_uio_find("0000:42:00.0", &number), -ENOENT);
	assert_int_equal(number, 7);
}

static void close_gives_command_back(void **state)
{
	struct pinion_uio uio = { 0 };

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_int_equal(pinion_uio_bus_master_set(&uio, true), 0);
	assert_int_equal(command(), 0x0407);
	assert_int_equal(pinion_uio_irq_enable(&uio), 0);
	assert_int_equal(command(), 0x0007);
	assert_int_equal(pinion_uio_bus_master_set(&uio, false), 0);
	assert_int_equal(command(), 0x0003);
	assert_int_equal(pinion_uio_close(&uio), 0);
	assert_int_equal(command(), 0x0403);
}

static void configuration_space_is_read_and_written_in_three_widths(void **state)
{
	struct pinion_uio uio = { 0 };
	uint8_t v8 = 0;
	uint16_t v16 = 0;
	uint32_t v32 = 0;

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_int_equal(pinion_uio_config_read8(&uio, 1, &v8), 0);
	assert_int_equal(v8, 0x1b);
	assert_int_equal(pinion_uio_config_read16(&uio, 0, &v16), 0);
	assert_int_equal(v16, 0x1b36);
	assert_int_equal(pinion_uio_config_read32(&uio, 0, &v32), 0);
	assert_int_equal(v32, 0x00101b36);
	assert_int_equal(pinion_uio_config_write32(&uio, 0x3c, 0x04030201), 0);
	assert_int_equal(pinion_uio_config_write16(&uio, 0x3c, 0x0605), 0);
	assert_int_equal(pinion_uio_config_write8(&uio, 0x3f, 0x07), 0);
	assert_int_equal(pinion_uio_config_read32(&uio, 0x3c, &v32), 0);
	assert_int_equal(v32, 0x07030605);
	assert_int_equal(pinion_uio_close(&uio), 0);
}

/* Where a write beyond the end is refused by EFBIG, as sysfs does: of a plain file that is said of
 * its limit. */
static void a_write_beyond_the_configuration_space_is_told(void **state)
{
	struct rlimit before, limit;
	struct pinion_uio uio = { 0 };

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){ 64, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(pinion_uio_config_write16(&uio, 64, 0), -EIO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(pinion_uio_close(&uio), 0);
}

/* Not aligned, of another width, or beyond the 64 bytes of this file. */
static void what_cannot_be_accessed_is_told_and_changes_nothing(void **state)
{
	struct pinion_uio uio = { 0 };
	uint16_t v16 = 7;
	uint32_t v32 = 7;

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_int_equal(pinion_uio_config_read16(&uio, 1, &v16), -EINVAL);
	assert_int_equal(pinion_uio_config_read32(&uio, 2, &v32), -EINVAL);
	assert_int_equal(pinion_uio_config_read32(&uio, 4096, &v32), -EINVAL);
	assert_int_equal(pinion_uio_config_read(&uio, 0, 3, &v32), -EINVAL);
	assert_int_equal(pinion_uio_config_read16(&uio, 64, &v16), -EIO);
	assert_int_equal(pinion_uio_config_write16(&uio, 5, 0), -EINVAL);
	assert_int_equal(pinion_uio_config_write8(&uio, 4096, 0), -EINVAL);
	assert_int_equal(pinion_uio_config_write(&uio, 4, 8, 0), -EINVAL);
	assert_int_equal(v16, 7);
	assert_int_equal(v32, 7);
	assert_int_equal(command(), 0x0403);
	assert_int_equal(pinion_uio_close(&uio), 0);
}

static void another_drivers_device_is_not_written(void **state)
{
	struct pinion_uio uio = { 0 };

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_int_equal(pinion_uio_bus_master_set(&uio, true), 0);
	/* Unbound below us, and bound again as another number. */
	unlink(support_path(sysfs, BDF "/uio/uio3/dev"));
	rmdir(support_path(sysfs, BDF "/uio/uio3"));
	support_write_text(sysfs, BDF "/uio/uio4/dev", "240:4\n");
	assert_int_equal(pinion_uio_bus_master_set(&uio, false), -ENODEV);
	assert_int_equal(pinion_uio_irq_enable(&uio), -ENODEV);
	assert_int_equal(pinion_uio_config_write8(&uio, PCI_COMMAND, 0), -ENODEV);
	assert_int_equal(pinion_uio_close(&uio), -ENODEV);
	assert_int_equal(command(), 0x0407);
}

static void a_device_that_reads_all_ones_is_gone(void **state)
{
	struct pinion_uio uio = { 0 };
	char ones[64];

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	memset(ones, 0xff, sizeof(ones));
	support_write(sysfs, BDF "/config", ones, sizeof(ones));
	assert_int_equal(pinion_uio_bus_master_set(&uio, true), -ENODEV);
	pinion_uio_close(&uio);
	support_write(sysfs, BDF "/config", ones, sizeof(ones));
	assert_int_equal(pinion_uio_open(BDF, &uio), -ENODEV);
}

static void a_bar_is_mapped_through_sysfs(void **state)
{
	struct pinion_uio uio = { 0 };
	void *addr = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_int_equal(pinion_uio_bar_map(&uio, 0, &addr, &len), 0);
	assert_int_equal(len, 8192);
	assert_int_equal(pinion_uio_bar_unmap(addr, len), 0);
	assert_int_equal(pinion_uio_bar_map(&uio, 1, &addr, &len), -ENOENT);
	assert_int_equal(pinion_uio_bar_map(&uio, 6, &addr, &len), -EINVAL);
	assert_int_equal(pinion_uio_bar_unmap(NULL, len), -EINVAL);
	assert_int_equal(pinion_uio_close(&uio), 0);
}

static void a_small_bar_starts_where_it_stands_in_its_page(void **state)
{
	struct pinion_uio uio = { 0 };
	char regs[64] = { 0 };
	void *addr = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	support_write(sysfs, BDF "/resource1", regs, sizeof(regs));
	support_write_text(sysfs, BDF "/resource", "0x0 0x0 0x0\n0xfebd1fc0 0xfebd1fff 0x40200\n");
	assert_int_equal(pinion_uio_bar_map(&uio, 1, &addr, &len), 0);
	assert_int_equal((uintptr_t)addr % 4096, 0xfc0);
	assert_int_equal(len, 64);
	assert_int_equal(pinion_uio_bar_unmap(addr, len), 0);
	support_write_text(sysfs, BDF "/resource", "0x0 0x0 0x0\n");
	assert_int_equal(pinion_uio_bar_map(&uio, 1, &addr, &len), -EINVAL);
	assert_int_equal(pinion_uio_close(&uio), 0);
}

static void an_interrupt_ends_the_wait_with_its_count(void **state)
{
	const uint32_t sent = 5;
	struct pinion_uio uio = { 0 };
	uint32_t count = 0;

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_int_equal(pinion_uio_irq_wait(&uio, 0, &count), -ETIMEDOUT);
	assert_int_equal(write(uio.fd, &sent, sizeof(sent)), (ssize_t)sizeof(sent));
	assert_int_equal(pinion_uio_irq_wait(&uio, 0, &count), 0);
	assert_int_equal(count, 5);
	assert_int_equal(pinion_uio_close(&uio), 0);
}

static void the_wait_is_no_shorter_than_asked(void **state)
{
	struct pinion_uio uio = { 0 };
	uint32_t count = 7;
	uint64_t start;

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	start = pinion_uio_clock_ns();
	assert_int_equal(pinion_uio_irq_wait(&uio, 20 * MS + 1, &count), -ETIMEDOUT);
	assert_true(pinion_uio_clock_ns() - start > 20 * MS);
	assert_int_equal(count, 7);
	assert_int_equal(pinion_uio_close(&uio), 0);
}

static void a_short_read_is_eio(void **state)
{
	struct pinion_uio uio = { 0 };
	uint32_t count = 7;

	(void)state;
	assert_int_equal(pinion_uio_open(BDF, &uio), 0);
	assert_int_equal(write(uio.fd, "xy", 2), 2);
	assert_int_equal(pinion_uio_irq_wait(&uio, 0, &count), -EIO);
	assert_int_equal(count, 7);
	assert_int_equal(pinion_uio_close(&uio), 0);
}

#define tree_test(f) cmocka_unit_test_setup_teardown(f, make_tree, remove_tree)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(open_keeps_the_node_and_changes_nothing),
		tree_test(what_cannot_be_opened_is_named),
		tree_test(entries_that_are_no_uio_are_passed_over),
		tree_test(close_gives_command_back),
		tree_test(configuration_space_is_read_and_written_in_three_widths),
		tree_test(what_cannot_be_accessed_is_told_and_changes_nothing),
		tree_test(a_write_beyond_the_configuration_space_is_told),
		tree_test(another_drivers_device_is_not_written),
		tree_test(a_device_that_reads_all_ones_is_gone),
		tree_test(a_bar_is_mapped_through_sysfs),
		tree_test(a_small_bar_starts_where_it_stands_in_its_page),
		tree_test(an_interrupt_ends_the_wait_with_its_count),
		tree_test(the_wait_is_no_shorter_than_asked),
		tree_test(a_short_read_is_eio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
