/* SPDX-License-Identifier: BSD-3-Clause */
/* pci.h: names by table, everything else on a sysfs tree made of files. */

static char root[1024];
#define PINION_PCI_SYSFS root
#include <pinion/pci.h>

#include "support.h"

static const struct pinion_pci_bdf nvme = { 0, 0x41, 0, 0 };
static const struct pinion_pci_bdf absent = { 0, 0x42, 0, 0 };

static const struct {
	const char *text;
	struct pinion_pci_bdf bdf;
	const char *full;
} good[] = {
	{ "0000:41:00.0", { 0, 0x41, 0, 0 }, "0000:41:00.0" },
	{ "41:00.0", { 0, 0x41, 0, 0 }, "0000:41:00.0" },
	{ "10000:01:00.0", { 0x10000, 1, 0, 0 }, "10000:01:00.0" },
	{ "ffffffff:ff:1f.7", { UINT32_MAX, 0xff, 0x1f, 7 }, "ffffffff:ff:1f.7" },
	{ "00000001:02:03.4", { 1, 2, 3, 4 }, "0001:02:03.4" },
	{ "ABCD:EF:1F.7", { 0xabcd, 0xef, 0x1f, 7 }, "abcd:ef:1f.7" },
	{ "00:00.0", { 0, 0, 0, 0 }, "0000:00:00.0" },
};

static const char *const bad[] = {
	"",
	"0",
	":",
	"0000:41:00.0 ",
	" 0000:41:00.0",
	"0000:41:00.0\n",
	"0000:41:00.00",
	"0000:41:00.8",
	"0000:41:20.0",
	"0000:41:00",
	"0000:41:00.",
	"0000:41.00.0",
	"0000:411:00.0",
	"0000:4:00.0",
	"0000:41:0.0",
	"000:41:00.0",
	"0:41:00.0",
	"41:00.0x",
	"41:00:0",
	"-001:41:00.0",
	"100000000:01:00.0",
	"fffffffff:ff:1f.7",
	"0x00:41:00.0",
	"0000:0x:00.0",
	"g000:41:00.0",
	"0000:41:00.0/..",
	"../0000:41:00.0",
	"0000:41:00.f",
	"+000:41:00.0",
	"0000::00.0",
};

static void names_are_parsed(void **state)
{
	struct pinion_pci_bdf bdf;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		memset(&bdf, 0xee, sizeof(bdf));
		assert_int_equal(pinion_pci_bdf_parse(good[i].text, &bdf), 0);
		assert_int_equal(bdf.domain, good[i].bdf.domain);
		assert_int_equal(bdf.bus, good[i].bdf.bus);
		assert_int_equal(bdf.device, good[i].bdf.device);
		assert_int_equal(bdf.function, good[i].bdf.function);
	}
}

static void junk_is_einval_and_changes_nothing(void **state)
{
	struct pinion_pci_bdf bdf, before;
	size_t i;

	(void)state;
	memset(&bdf, 0xee, sizeof(bdf));
	before = bdf;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (pinion_pci_bdf_parse(bad[i], &bdf) != -EINVAL)
			fail_msg("\"%s\" was taken for a name", bad[i]);
		assert_memory_equal(&bdf, &before, sizeof(bdf));
	}
	assert_int_equal(pinion_pci_bdf_parse(NULL, &bdf), -EINVAL);
}

static void names_are_written_as_sysfs_does(void **state)
{
	char text[PINION_PCI_BDF_LEN];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(pinion_pci_bdf_format(&good[i].bdf, text, sizeof(text)), 0);
		assert_string_equal(text, good[i].full);
	}
}

static void a_name_that_does_not_fit_is_enospc(void **state)
{
	char text[PINION_PCI_BDF_LEN];
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(text); len++)
		assert_int_equal(pinion_pci_bdf_format(&nvme, text, len), len < 13 ? -ENOSPC : 0);
}

static void a_name_that_cannot_be_is_not_written(void **state)
{
	const struct pinion_pci_bdf device = { 0, 0, 0x20, 0 }, function = { 0, 0, 0, 8 };
	char text[PINION_PCI_BDF_LEN];

	(void)state;
	assert_int_equal(pinion_pci_bdf_format(&device, text, sizeof(text)), -EINVAL);
	assert_int_equal(pinion_pci_bdf_format(&function, text, sizeof(text)), -EINVAL);
}

static void an_attribute_loses_its_newline(void **state)
{
	char text[16];

	(void)state;
	support_write_text(root, "0000:41:00.0/class", "0x010802\n");
	assert_int_equal(pinion_pci_attr_read(&nvme, "class", text, sizeof(text)), 0);
	assert_string_equal(text, "0x010802");
	support_write_text(root, "0000:41:00.0/empty", "");
	assert_int_equal(pinion_pci_attr_read(&nvme, "empty", text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

static void a_missing_device_is_told_from_a_missing_attribute(void **state)
{
	char text[16];

	(void)state;
	assert_int_equal(pinion_pci_attr_read(&nvme, "nothing", text, sizeof(text)), -ENOENT);
	assert_int_equal(pinion_pci_attr_read(&absent, "class", text, sizeof(text)), -ENODEV);
	assert_int_equal(pinion_pci_driver(&absent, text, sizeof(text)), -ENODEV);
}

static void an_attribute_that_does_not_fit_is_enospc(void **state)
{
	char text[4];

	(void)state;
	support_write_text(root, "0000:41:00.0/long", "1234");
	assert_int_equal(pinion_pci_attr_read(&nvme, "long", text, sizeof(text)), -ENOSPC);
	assert_int_equal(pinion_pci_attr_read(&nvme, "long", text, 0), -ENOSPC);
}

static int number(const char *text, uint64_t *value)
{
	support_write_text(root, "0000:41:00.0/number", text);
	return pinion_pci_attr_u64(&nvme, "number", value);
}

static void numbers_are_decimal_or_hexadecimal(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(number("0x8086\n", &v), 0);
	assert_int_equal(v, 0x8086);
	assert_int_equal(number("010\n", &v), 0);
	assert_int_equal(v, 10);
	assert_int_equal(number("18446744073709551615", &v), 0);
	assert_true(v == UINT64_MAX);
}

static void what_is_no_number_is_refused(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_int_equal(number("", &v), -EINVAL);
	assert_int_equal(number("-1\n", &v), -EINVAL);
	assert_int_equal(number(" 1\n", &v), -EINVAL);
	assert_int_equal(number("0x\n", &v), -EINVAL);
	assert_int_equal(number("12 34\n", &v), -EINVAL);
	assert_int_equal(number("18446744073709551616\n", &v), -ERANGE);
	assert_int_equal(v, 7);
}

static void node_minus_one_is_a_node(void **state)
{
	int node = 7;

	(void)state;
	support_write_text(root, "0000:41:00.0/numa_node", "-1\n");
	assert_int_equal(pinion_pci_numa_node(&nvme, &node), 0);
	assert_int_equal(node, -1);
	support_write_text(root, "0000:41:00.0/numa_node", "1\n");
	assert_int_equal(pinion_pci_numa_node(&nvme, &node), 0);
	assert_int_equal(node, 1);
	support_write_text(root, "0000:41:00.0/numa_node", "-2\n");
	assert_int_equal(pinion_pci_numa_node(&nvme, &node), -EINVAL);
	support_write_text(root, "0000:41:00.0/numa_node", "\n");
	assert_int_equal(pinion_pci_numa_node(&nvme, &node), -EINVAL);
	assert_int_equal(node, 1);
}

static void no_driver_is_enoent(void **state)
{
	char name[64];

	(void)state;
	assert_int_equal(pinion_pci_driver(&nvme, name, sizeof(name)), -ENOENT);
	support_link(root, "0000:41:00.0/driver", "../../../bus/pci/drivers/nvme");
	assert_int_equal(pinion_pci_driver(&nvme, name, sizeof(name)), 0);
	assert_string_equal(name, "nvme");
	assert_int_equal(pinion_pci_driver(&nvme, name, 4), -ENOSPC);
}

static void no_iommu_group_is_enoent(void **state)
{
	unsigned group = 7;

	(void)state;
	assert_int_equal(pinion_pci_iommu_group(&nvme, &group), -ENOENT);
	support_link(root, "0000:41:00.0/iommu_group", "../../../kernel/iommu_groups/12");
	assert_int_equal(pinion_pci_iommu_group(&nvme, &group), 0);
	assert_int_equal(group, 12);
	support_link(root, "0000:42:00.0/iommu_group", "../12x");
	assert_int_equal(pinion_pci_iommu_group(&absent, &group), -EINVAL);
	assert_int_equal(group, 12);
}

static void a_bar_is_mapped_whole_and_shared(void **state)
{
	struct pinion_pci_bar bar = { NULL, 0 };
	char page[16384];
	char byte = 0;
	int fd;

	(void)state;
	memset(page, 0x5a, sizeof(page));
	support_write(root, "0000:41:00.0/resource0", page, sizeof(page));
	assert_int_equal(pinion_pci_bar_map(&nvme, 0, &bar), 0);
	assert_int_equal(bar.len, sizeof(page));
	((char *)bar.addr)[bar.len - 1] = 0x33;
	assert_int_equal(pinion_pci_bar_unmap(&bar), 0);
	assert_null(bar.addr);
	fd = open(support_path(root, "0000:41:00.0/resource0"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, sizeof(page) - 1), 1);
	assert_int_equal(byte, 0x33);
	close(fd);
}

static void a_small_bar_starts_where_it_stands_in_its_page(void **state)
{
	struct pinion_pci_bar bar = { NULL, 0 };
	char regs[256] = { 0 };

	(void)state;
	support_write_text(root, "0000:41:00.0/resource",
			   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			   "0x00000000febd1100 0x00000000febd11ff 0x0000000000040200\n");
	support_write(root, "0000:41:00.0/resource1", regs, sizeof(regs));
	assert_int_equal(pinion_pci_bar_map(&nvme, 1, &bar), 0);
	assert_int_equal((uintptr_t)bar.addr % 4096, 0x100);
	assert_int_equal(bar.len, 256);
	assert_int_equal(pinion_pci_bar_unmap(&bar), 0);
	/* A line that is not there must not be taken for address 0. */
	support_write(root, "0000:41:00.0/resource4", regs, sizeof(regs));
	assert_int_equal(pinion_pci_bar_map(&nvme, 4, &bar), -EINVAL);
}

static void bars_that_are_not_there_are_refused(void **state)
{
	struct pinion_pci_bar bar = { NULL, 0 };

	(void)state;
	assert_int_equal(pinion_pci_bar_map(&nvme, 5, &bar), -ENOENT);
	assert_int_equal(pinion_pci_bar_map(&nvme, 6, &bar), -EINVAL);
	assert_int_equal(pinion_pci_bar_map(&absent, 0, &bar), -ENOENT);
	support_write(root, "0000:41:00.0/resource2", "", 0);
	assert_int_equal(pinion_pci_bar_map(&nvme, 2, &bar), -EINVAL);
	assert_int_equal(pinion_pci_bar_unmap(&bar), -EINVAL);
}

/* 64 bytes of configuration space: vendor 1b36, device 0010, COMMAND 0103. */
static void write_config(void)
{
	char config[64] = { 0x36, 0x1b, 0x10, 0x00, 0x03, 0x01 };

	support_write(root, "0000:41:00.0/config", config, sizeof(config));
}

static void configuration_is_little_endian(void **state)
{
	uint16_t v = 0;

	(void)state;
	write_config();
	assert_int_equal(pinion_pci_config_read16(&nvme, 0, &v), 0);
	assert_int_equal(v, 0x1b36);
	assert_int_equal(pinion_pci_config_write16(&nvme, 0x3c, 0x1234), 0);
	assert_int_equal(pinion_pci_config_read16(&nvme, 0x3c, &v), 0);
	assert_int_equal(v, 0x1234);
}

static void configuration_beyond_its_end_is_eio(void **state)
{
	uint16_t v = 7;

	(void)state;
	write_config();
	assert_int_equal(pinion_pci_config_read16(&nvme, 64, &v), -EIO);
	assert_int_equal(pinion_pci_config_read16(&nvme, 4096, &v), -EINVAL);
	assert_int_equal(pinion_pci_config_read16(&nvme, 1, &v), -EINVAL);
	assert_int_equal(v, 7);
}

static void bus_master_is_one_bit_of_command(void **state)
{
	uint16_t v = 0;

	(void)state;
	write_config();
	assert_int_equal(pinion_pci_bus_master_set(&nvme, true), 0);
	assert_int_equal(pinion_pci_config_read16(&nvme, PCI_COMMAND, &v), 0);
	assert_int_equal(v, 0x0107);
	assert_int_equal(pinion_pci_bus_master_set(&nvme, false), 0);
	assert_int_equal(pinion_pci_config_read16(&nvme, PCI_COMMAND, &v), 0);
	assert_int_equal(v, 0x0103);
}

static void a_device_that_reads_all_ones_is_gone(void **state)
{
	char ones[64];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	support_write(root, "0000:41:00.0/config", ones, sizeof(ones));
	assert_int_equal(pinion_pci_bus_master_set(&nvme, true), -ENODEV);
	assert_int_equal(pinion_pci_bus_master_set(&absent, true), -ENOENT);
}

static int make_root(void **state)
{
	(void)state;
	support_dir_create(root);
	return 0;
}

static int remove_root(void **state)
{
	(void)state;
	support_dir_destroy(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(names_are_parsed),
		support_test(junk_is_einval_and_changes_nothing),
		support_test(names_are_written_as_sysfs_does),
		support_test(a_name_that_does_not_fit_is_enospc),
		support_test(a_name_that_cannot_be_is_not_written),
		support_test(an_attribute_loses_its_newline),
		support_test(a_missing_device_is_told_from_a_missing_attribute),
		support_test(an_attribute_that_does_not_fit_is_enospc),
		support_test(numbers_are_decimal_or_hexadecimal),
		support_test(what_is_no_number_is_refused),
		support_test(node_minus_one_is_a_node),
		support_test(no_driver_is_enoent),
		support_test(no_iommu_group_is_enoent),
		support_test(a_bar_is_mapped_whole_and_shared),
		support_test(a_small_bar_starts_where_it_stands_in_its_page),
		support_test(bars_that_are_not_there_are_refused),
		support_test(configuration_is_little_endian),
		support_test(configuration_beyond_its_end_is_eio),
		support_test(bus_master_is_one_bit_of_command),
		support_test(a_device_that_reads_all_ones_is_gone),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
