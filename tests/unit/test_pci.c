/* SPDX-License-Identifier: BSD-3-Clause */
/* pci.h: names by table, everything else on a sysfs tree made of files. */

#include "root_support.h"
#define PINION_PCI_SYSFS root
#include <pinion/pci.h>

static const struct pinion_pci_bdf nvme = {0, 0x41, 0, 0};
static const struct pinion_pci_bdf absent = {0, 0x42, 0, 0};
static const struct pinion_pci_bdf nowhere = {0, 0x43, 0, 0};

static const struct {
	const char *text;
	struct pinion_pci_bdf bdf;
	const char *full;
} good[] = {
	{"0000:41:00.0", {0, 0x41, 0, 0}, "0000:41:00.0"},
	{"41:00.0", {0, 0x41, 0, 0}, "0000:41:00.0"},
	{"10000:01:00.0", {0x10000, 1, 0, 0}, "10000:01:00.0"},
	{"ffffffff:ff:1f.7", {UINT32_MAX, 0xff, 0x1f, 7}, "ffffffff:ff:1f.7"},
	{"00000001:02:03.4", {1, 2, 3, 4}, "0001:02:03.4"},
	{"ABCD:EF:1F.7", {0xabcd, 0xef, 0x1f, 7}, "abcd:ef:1f.7"},
	{"00:00.0", {0, 0, 0, 0}, "0000:00:00.0"},
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
	const struct pinion_pci_bdf device = {0, 0, 0x20, 0}, function = {0, 0, 0, 8};
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
	struct pinion_pci_bar bar = {NULL, 0};
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
	struct pinion_pci_bar bar = {NULL, 0};
	char regs[256] = {0};

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
	struct pinion_pci_bar bar = {NULL, 0};

	(void)state;
	assert_int_equal(pinion_pci_bar_map(&nvme, 5, &bar), -ENOENT);
	assert_int_equal(pinion_pci_bar_map(&nvme, 6, &bar), -EINVAL);
	assert_int_equal(pinion_pci_bar_map(&absent, 0, &bar), -ENOENT);
	support_write(root, "0000:41:00.0/resource2", "", 0);
	assert_int_equal(pinion_pci_bar_map(&nvme, 2, &bar), -EINVAL);
	assert_int_equal(pinion_pci_bar_unmap(&bar), -EINVAL);
}

/* What a device is, in the six files of it. */
static void write_ids(const char *class_code)
{
	support_write_text(root, "0000:41:00.0/vendor", "0x1b36\n");
	support_write_text(root, "0000:41:00.0/device", "0x0010\n");
	support_write_text(root, "0000:41:00.0/subsystem_vendor", "0x1af4\n");
	support_write_text(root, "0000:41:00.0/subsystem_device", "0x1100\n");
	support_write_text(root, "0000:41:00.0/revision", "0x02\n");
	support_write_text(root, "0000:41:00.0/class", class_code);
}

static void ids_are_read_together(void **state)
{
	struct pinion_pci_ids ids = {0};

	(void)state;
	write_ids("0x010802\n");
	assert_int_equal(pinion_pci_ids_read(&nvme, &ids), 0);
	assert_int_equal(ids.vendor, 0x1b36);
	assert_int_equal(ids.device, 0x0010);
	assert_int_equal(ids.subsystem_vendor, 0x1af4);
	assert_int_equal(ids.subsystem_device, 0x1100);
	assert_int_equal(ids.class_code, 0x010802);
	assert_int_equal(ids.revision, 2);
}

static void ids_out_of_range_change_nothing(void **state)
{
	struct pinion_pci_ids ids, before;

	(void)state;
	memset(&ids, 0xee, sizeof(ids));
	before = ids;
	write_ids("0x1010802\n");
	assert_int_equal(pinion_pci_ids_read(&nvme, &ids), -ERANGE);
	write_ids("what\n");
	assert_int_equal(pinion_pci_ids_read(&nvme, &ids), -EINVAL);
	assert_int_equal(unlink(support_path(root, "0000:41:00.0/revision")), 0);
	support_write_text(root, "0000:41:00.0/class", "0x010802\n");
	assert_int_equal(pinion_pci_ids_read(&nvme, &ids), -ENOENT);
	assert_int_equal(pinion_pci_ids_read(&nowhere, &ids), -ENODEV);
	assert_memory_equal(&ids, &before, sizeof(ids));
}

/* As the kernel prints them: 64-bit prefetchable memory of 512 KiB, its upper half, ports, memory
 * without an address, none, memory of 256 bytes; then the ROM. */
static const char resources[] = "0x0000004000000000 0x000000400007ffff 0x000000000014220c\n"
				"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				"0x000000000000c040 0x000000000000c05f 0x0000000000040101\n"
				"0x0000000000000000 0x0000000000003fff 0x0000000020040200\n"
				"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				"0x00000000febd1100 0x00000000febd11ff 0x0000000000040200\n"
				"0x00000000feb00000 0x00000000feb3ffff 0x0000000000046200\n";

static void bars_are_told_by_kind_and_size(void **state)
{
	struct pinion_pci_bar_info info = {0};

	(void)state;
	support_write_text(root, "0000:41:00.0/resource", resources);
	assert_int_equal(pinion_pci_bar_info_read(&nvme, 0, &info), 0);
	assert_true(info.start == UINT64_C(0x4000000000) && info.size == 0x80000);
	assert_int_equal(info.kind, PINION_PCI_BAR_MEMORY);
	assert_true(info.wide && info.prefetchable && info.assigned);
	assert_int_equal(pinion_pci_bar_info_read(&nvme, 2, &info), 0);
	assert_true(info.start == 0xc040 && info.size == 0x20);
	assert_int_equal(info.kind, PINION_PCI_BAR_PORTS);
	assert_true(!info.wide && !info.prefetchable && info.assigned);
	assert_int_equal(pinion_pci_bar_info_read(&nvme, 3, &info), 0);
	assert_true(info.size == 0x4000 && !info.assigned);
}

static void a_bar_that_is_not_there_has_no_size(void **state)
{
	struct pinion_pci_bar_info info, before;

	(void)state;
	memset(&info, 0xee, sizeof(info));
	before = info;
	support_write_text(root, "0000:41:00.0/resource", resources);
	assert_int_equal(pinion_pci_bar_info_read(&nvme, 1, &info), -ENOENT);
	assert_int_equal(pinion_pci_bar_info_read(&nvme, 4, &info), -ENOENT);
	assert_int_equal(pinion_pci_bar_info_read(&nvme, 6, &info), -EINVAL);
	assert_int_equal(pinion_pci_bar_info_read(&nowhere, 0, &info), -ENODEV);
	assert_memory_equal(&info, &before, sizeof(info));
}

static void a_line_that_is_no_resource_is_einval(void **state)
{
	static const char *const lines[] = {
		"",
		"\n",
		"0x1000 0x1fff\n",
		"0x1000 0x1fff 0x200",
		"0x1000 0x1fff 0x200 0\n",
		"0x2000 0x1fff 0x200\n",
		"0x1000 0x1fff 0x300\n",
		"memory\n",
	};
	struct pinion_pci_bar_info info;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		support_write_text(root, "0000:41:00.0/resource", lines[i]);
		if (pinion_pci_bar_info_read(&nvme, 0, &info) != -EINVAL)
			fail_msg("\"%s\" was taken for a resource", lines[i]);
	}
}

static void write_combining_needs_a_file_of_its_own(void **state)
{
	struct pinion_pci_bar bar = {NULL, 0};
	char page[8192] = {0};

	(void)state;
	support_write_text(root, "0000:41:00.0/resource", resources);
	assert_int_equal(pinion_pci_bar_map_wc(&nvme, 0, &bar), -ENOTSUP);
	assert_int_equal(pinion_pci_bar_map_wc(&nvme, 2, &bar), -EINVAL);
	assert_int_equal(pinion_pci_bar_map_wc(&nvme, 4, &bar), -ENOENT);
	assert_int_equal(pinion_pci_bar_map_wc(&nvme, 6, &bar), -EINVAL);
	support_write(root, "0000:41:00.0/resource0_wc", page, sizeof(page));
	assert_int_equal(pinion_pci_bar_map_wc(&nvme, 0, &bar), 0);
	assert_int_equal(bar.len, sizeof(page));
	assert_int_equal(pinion_pci_bar_unmap(&bar), 0);
}

static int open_ports(void)
{
	const char ports[32] = {0x11, 0x22, 0x33, 0x44};

	support_write_text(root, "0000:41:00.0/resource", resources);
	support_write(root, "0000:41:00.0/resource2", ports, sizeof(ports));
	return pinion_pci_ports_open(&nvme, 2);
}

static void ports_are_read_and_written_by_width(void **state)
{
	const int fd = open_ports();
	uint32_t v = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(pinion_pci_ports_read(fd, 1, 1, &v), 0);
	assert_int_equal(v, 0x22);
	assert_int_equal(pinion_pci_ports_read(fd, 2, 2, &v), 0);
	assert_int_equal(v, 0x4433);
	assert_int_equal(pinion_pci_ports_read(fd, 0, 4, &v), 0);
	assert_int_equal(v, 0x44332211);
	assert_int_equal(pinion_pci_ports_write(fd, 28, 4, 0xa1b2c3d4), 0);
	assert_int_equal(pinion_pci_ports_write(fd, 28, 2, 0x99995566), 0);
	assert_int_equal(pinion_pci_ports_write(fd, 31, 1, 0x77), 0);
	assert_int_equal(pinion_pci_ports_read(fd, 28, 4, &v), 0);
	assert_true(v == 0x77b25566);
	close(fd);
}

static void ports_beyond_the_bar_are_einval(void **state)
{
	const int fd = open_ports();
	uint32_t v = 7;

	(void)state;
	assert_int_equal(pinion_pci_ports_read(fd, 32, 1, &v), -EINVAL);
	assert_int_equal(pinion_pci_ports_read(fd, UINT64_MAX, 1, &v), -EINVAL);
	assert_int_equal(pinion_pci_ports_read(fd, 1, 2, &v), -EINVAL);
	assert_int_equal(pinion_pci_ports_write(fd, 2, 4, 1), -EINVAL);
	assert_int_equal(pinion_pci_ports_read(fd, 0, 3, &v), -EINVAL);
	assert_int_equal(pinion_pci_ports_read(fd, 0, 8, &v), -EINVAL);
	assert_int_equal(pinion_pci_ports_write(fd, 0, 0, 1), -EINVAL);
	assert_int_equal(v, 7);
	close(fd);
}

static void memory_is_no_ports(void **state)
{
	(void)state;
	support_write_text(root, "0000:41:00.0/resource", resources);
	assert_int_equal(pinion_pci_ports_open(&nvme, 0), -EINVAL);
	assert_int_equal(pinion_pci_ports_open(&nvme, 4), -ENOENT);
	assert_int_equal(pinion_pci_ports_open(&nvme, 6), -EINVAL);
	assert_int_equal(pinion_pci_ports_open(&nowhere, 0), -ENODEV);
}

/* 64 bytes of configuration space: vendor 1b36, device 0010, COMMAND 0103. */
static void write_config(void)
{
	char config[64] = {0x36, 0x1b, 0x10, 0x00, 0x03, 0x01};

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

static void configuration_has_three_widths(void **state)
{
	uint32_t v = 0;
	uint8_t byte = 0;

	(void)state;
	write_config();
	assert_int_equal(pinion_pci_config_read32(&nvme, 0, &v), 0);
	assert_int_equal(v, 0x00101b36);
	assert_int_equal(pinion_pci_config_read8(&nvme, 1, &byte), 0);
	assert_int_equal(byte, 0x1b);
	assert_int_equal(pinion_pci_config_write32(&nvme, 0x10, 0xfedcba98), 0);
	assert_int_equal(pinion_pci_config_write8(&nvme, 0x11, 0x77), 0);
	assert_int_equal(pinion_pci_config_read32(&nvme, 0x10, &v), 0);
	assert_true(v == 0xfedc7798);
}

static void configuration_out_of_line_is_einval(void **state)
{
	uint32_t v = 7;

	(void)state;
	write_config();
	assert_int_equal(pinion_pci_config_read32(&nvme, 2, &v), -EINVAL);
	assert_int_equal(pinion_pci_config_read32(&nvme, 4096, &v), -EINVAL);
	assert_int_equal(pinion_pci_config_read(&nvme, 0, 3, &v), -EINVAL);
	assert_int_equal(pinion_pci_config_write32(&nvme, 6, 0), -EINVAL);
	assert_int_equal(pinion_pci_config_write8(&nvme, 4096, 0), -EINVAL);
	assert_int_equal(pinion_pci_config_read32(&nvme, 60, &v), 0);
	assert_int_equal(pinion_pci_config_read32(&nvme, 64, &v), -EIO);
	assert_int_equal(pinion_pci_config_read32(&nowhere, 0, &v), -ENODEV);
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
		support_test(ids_are_read_together),
		support_test(ids_out_of_range_change_nothing),
		support_test(bars_are_told_by_kind_and_size),
		support_test(a_bar_that_is_not_there_has_no_size),
		support_test(a_line_that_is_no_resource_is_einval),
		support_test(write_combining_needs_a_file_of_its_own),
		support_test(ports_are_read_and_written_by_width),
		support_test(ports_beyond_the_bar_are_einval),
		support_test(memory_is_no_ports),
		support_test(configuration_is_little_endian),
		support_test(configuration_has_three_widths),
		support_test(configuration_out_of_line_is_einval),
		support_test(configuration_beyond_its_end_is_eio),
		support_test(bus_master_is_one_bit_of_command),
		support_test(a_device_that_reads_all_ones_is_gone),
	};

	return cmocka_run_group_tests(tests, root_make, root_remove);
}
