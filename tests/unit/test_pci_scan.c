/* SPDX-License-Identifier: BSD-3-Clause */
/* pci_scan.h: on a sysfs tree made of files, and on this machine's, of which it only reads. */

#include "root_support.h"

static const char *devices = root;
#define PINION_PCI_SYSFS devices
#define PINION_PCI_GROUPS root
#include <pinion/pci_scan.h>

/* Names that a scan has found, each with a blank behind it. */
struct seen {
	char names[4096];
	unsigned nr, stop_at;
	const char *vanishes;
};

static void device_write(const char *name, unsigned vendor, unsigned device, unsigned class_code)
{
	const char *const attrs[] = {"vendor",           "device",           "class",
				     "subsystem_vendor", "subsystem_device", "revision"};
	const unsigned values[] = {vendor, device, class_code, 0, 0, 1};
	char path[64], text[16];
	size_t i;

	for (i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", name, attrs[i]);
		snprintf(text, sizeof(text), "0x%x\n", values[i]);
		support_write_text(root, path, text);
	}
}

static int note(const struct pinion_pci_bdf *bdf, const struct pinion_pci_ids *ids, void *arg)
{
	struct seen *seen = arg;
	char name[PINION_PCI_BDF_LEN];

	assert_true(ids->vendor != 0);
	assert_int_equal(pinion_pci_bdf_format(bdf, name, sizeof(name)), 0);
	strcat(strcat(seen->names, name), " ");
	if (seen->vanishes != NULL)
		support_dir_destroy(support_path(root, seen->vanishes));
	seen->vanishes = NULL;
	return ++seen->nr == seen->stop_at ? 7 : 0;
}

/* What a scan with the filter finds. */
static const char *found(const struct pinion_pci_filter *filter)
{
	static struct seen seen;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(pinion_pci_scan(filter, note, &seen), 0);
	return seen.names;
}

static void functions_come_in_order(void **state)
{
	(void)state;
	assert_string_equal(found(NULL), "0000:02:00.0 0000:02:01.0 0000:41:00.0 0000:41:00.1 "
					 "10000:01:00.0 ");
}

static void what_is_no_function_is_passed_over(void **state)
{
	(void)state;
	support_write_text(root, "0000:99:00.0x/vendor", "0x1\n");
	support_write_text(root, "somewhere/vendor", "0x1\n");
	functions_come_in_order(NULL);
}

static void a_mask_chooses_bits_of_the_ids(void **state)
{
	struct pinion_pci_filter filter = PINION_PCI_FILTER_ANY;

	(void)state;
	filter.ids.class_code = 0x010800;
	filter.mask.class_code = 0xffff00;
	assert_string_equal(found(&filter), "0000:41:00.0 0000:41:00.1 10000:01:00.0 ");
	filter.mask.class_code = 0xffffff;
	assert_string_equal(found(&filter), "0000:41:00.1 ");
	filter.mask.class_code = 0;
	filter.ids.vendor = 0x8086;
	filter.mask.vendor = 0xffff;
	assert_string_equal(found(&filter), "0000:02:01.0 10000:01:00.0 ");
	filter.ids.device = 0x1000;
	filter.mask.device = 0xffff;
	assert_string_equal(found(&filter), "0000:02:01.0 ");
	filter.ids.revision = 2;
	filter.mask.revision = 0xff;
	assert_string_equal(found(&filter), "");
}

static void a_driver_or_none_can_be_asked_for(void **state)
{
	struct pinion_pci_filter filter = PINION_PCI_FILTER_ANY;

	(void)state;
	support_link(root, "0000:41:00.1/driver", "../drivers/nvme");
	support_link(root, "0000:02:00.0/driver", "../drivers/e1000");
	filter.driver = "nvme";
	assert_string_equal(found(&filter), "0000:41:00.1 ");
	filter.driver = "nvm";
	assert_string_equal(found(&filter), "");
	filter.driver = "";
	assert_string_equal(found(&filter), "0000:02:01.0 0000:41:00.0 10000:01:00.0 ");
}

static void a_value_of_the_callback_ends_the_scan(void **state)
{
	struct seen seen = {.stop_at = 2};

	(void)state;
	assert_int_equal(pinion_pci_scan(NULL, note, &seen), 7);
	assert_string_equal(seen.names, "0000:02:00.0 0000:02:01.0 ");
}

static void a_function_that_goes_is_passed_over(void **state)
{
	struct seen seen = {.vanishes = "0000:41:00.0"};

	(void)state;
	assert_int_equal(pinion_pci_scan(NULL, note, &seen), 0);
	assert_string_equal(seen.names, "0000:02:00.0 0000:02:01.0 0000:41:00.1 10000:01:00.0 ");
	/* Half gone: its directory still stands. */
	assert_int_equal(unlink(support_path(root, "0000:41:00.1/vendor")), 0);
	assert_string_equal(found(NULL), "0000:02:00.0 0000:02:01.0 10000:01:00.0 ");
}

static void ids_that_cannot_be_end_the_scan(void **state)
{
	struct seen seen = {.stop_at = 0};

	(void)state;
	support_write_text(root, "0000:02:01.0/vendor", "0x18086\n");
	assert_int_equal(pinion_pci_scan(NULL, note, &seen), -ERANGE);
	assert_string_equal(seen.names, "0000:02:00.0 ");
}

static void no_bus_is_enoent(void **state)
{
	struct seen seen = {.stop_at = 0};

	(void)state;
	devices = "/nowhere/at/all";
	assert_int_equal(pinion_pci_scan(NULL, note, &seen), -ENOENT);
}

static void more_functions_than_fit_at_first_are_all_found(void **state)
{
	struct seen seen = {.stop_at = 0};
	char name[32];
	unsigned i;

	(void)state;
	for (i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "0001:%02x:%02x.%u", i / 64, i / 8 % 8, i % 8);
		device_write(name, 1, 1, 1);
	}
	assert_int_equal(pinion_pci_scan(NULL, note, &seen), 0);
	assert_int_equal(seen.nr, 155);
}

static void a_virtual_function_knows_its_physical_one(void **state)
{
	const struct pinion_pci_bdf pf = {0, 0x41, 0, 0};
	struct pinion_pci_bdf vf = {9, 9, 9, 1}, back = {9, 9, 9, 1};
	unsigned nr = 0, most = 0;

	(void)state;
	assert_int_equal(pinion_pci_sriov(&pf, &nr, &most), -ENOENT);
	assert_int_equal(pinion_pci_vf(&pf, 0, &vf), -ENOENT);
	support_write_text(root, "0000:41:00.0/sriov_numvfs", "1\n");
	support_write_text(root, "0000:41:00.0/sriov_totalvfs", "8\n");
	support_link(root, "0000:41:00.0/virtfn0", "../0000:41:00.1");
	support_link(root, "0000:41:00.0/virtfn1", "../elsewhere");
	support_link(root, "0000:41:00.1/physfn", "../0000:41:00.0");
	assert_int_equal(pinion_pci_sriov(&pf, &nr, &most), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(most, 8);
	assert_int_equal(pinion_pci_vf(&pf, 0, &vf), 0);
	assert_int_equal(vf.function, 1);
	assert_int_equal(pinion_pci_pf(&vf, &back), 0);
	assert_int_equal(pinion_pci_compare(&pf, &back), 0);
	assert_int_equal(pinion_pci_pf(&pf, &back), -ENOENT);
	assert_int_equal(pinion_pci_vf(&pf, 1, &vf), -EINVAL);
	assert_int_equal(vf.function, 1);
}

static void numbers_of_virtual_functions_have_16_bits(void **state)
{
	const struct pinion_pci_bdf pf = {0, 0x41, 0, 0};
	unsigned nr = 7, most = 7;

	(void)state;
	support_write_text(root, "0000:41:00.0/sriov_numvfs", "1\n");
	support_write_text(root, "0000:41:00.0/sriov_totalvfs", "65536\n");
	assert_int_equal(pinion_pci_sriov(&pf, &nr, &most), -ERANGE);
	assert_true(nr == 7 && most == 7);
}

struct regions {
	struct pinion_pci_region at[8];
	unsigned nr, stop_at;
};

static int keep(const struct pinion_pci_region *region, void *arg)
{
	struct regions *r = arg;

	assert_true(r->nr < 8);
	r->at[r->nr++] = *region;
	return r->nr == r->stop_at ? 7 : 0;
}

static void regions_are_start_end_and_a_word(void **state)
{
	struct regions r = {.nr = 0};

	(void)state;
	support_write_text(root, "12/reserved_regions",
			   "0x00000000fee00000 0x00000000feefffff msi\n"
			   "0x000000fd00000000 0xffffffffffffffff direct-relaxable\n");
	assert_int_equal(pinion_pci_group_regions(12, keep, &r), 0);
	assert_int_equal(r.nr, 2);
	assert_true(r.at[0].start == 0xfee00000 && r.at[0].end == 0xfeefffff);
	assert_string_equal(r.at[0].type, "msi");
	assert_true(r.at[1].end == UINT64_MAX);
	assert_string_equal(r.at[1].type, "direct-relaxable");
	r.nr = 0;
	r.stop_at = 1;
	assert_int_equal(pinion_pci_group_regions(12, keep, &r), 7);
	assert_int_equal(r.nr, 1);
}

static void a_group_without_regions_has_none(void **state)
{
	struct regions r = {.nr = 0};

	(void)state;
	support_write_text(root, "12/reserved_regions", "");
	assert_int_equal(pinion_pci_group_regions(12, keep, &r), 0);
	assert_int_equal(pinion_pci_group_regions(13, keep, &r), -ENOENT);
	assert_int_equal(r.nr, 0);
}

static void what_is_no_region_is_refused(void **state)
{
	static const char *const bad[] = {
		"\n",
		"0x1000\n",
		"0x1000 0x1fff\n",
		"0x1000 0x1fff \n",
		"0x1000\n0x1fff msi\n",
		"0x1000 0x1fff\nmsi\n",
		"1000 1fff msi\n",
		"0x2000 0x1fff msi\n",
		"0x1000 0x1fff a-word-that-is-too-long-for-us\n",
	};
	struct regions r = {.nr = 0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		support_write_text(root, "12/reserved_regions", bad[i]);
		if (pinion_pci_group_regions(12, keep, &r) != -EINVAL)
			fail_msg("\"%s\" was taken for a region", bad[i]);
	}
	assert_int_equal(r.nr, 0);
}

/* Each function that the machine has: its BARs, as far as any user may know them. */
static int look(const struct pinion_pci_bdf *bdf, const struct pinion_pci_ids *ids, void *arg)
{
	struct pinion_pci_bar_info info;
	uint16_t vendor = 0;
	unsigned i;

	assert_int_equal(pinion_pci_config_read16(bdf, PCI_VENDOR_ID, &vendor), 0);
	/* A virtual function has no vendor of its own: PCI Express Base 5.0, 9.3.4.1. */
	assert_true(vendor == ids->vendor || vendor == UINT16_MAX);
	for (i = 0; i < 6; i++) {
		const int err = pinion_pci_bar_info_read(bdf, i, &info);

		assert_true(err == -ENOENT || (err == 0 && (info.size & (info.size - 1)) == 0));
	}
	++*(unsigned *)arg;
	return 0;
}

static void the_functions_of_this_machine_are_read(void **state)
{
	unsigned nr = 0, there = 0;
	const struct dirent *entry;
	DIR *dir = opendir("/sys/bus/pci/devices");

	(void)state;
	devices = "/sys/bus/pci/devices";
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		there += entry->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	assert_int_equal(pinion_pci_scan(NULL, look, &nr), dir != NULL ? 0 : -ENOENT);
	assert_int_equal(nr, there);
}

/* Five functions, made in another order than theirs. */
static int make_devices(void **state)
{
	support_dir_create(root);
	devices = root;
	device_write("10000:01:00.0", 0x8086, 0x0a54, 0x010802);
	device_write("0000:41:00.1", 0x1b36, 0x0010, 0x010800);
	device_write("0000:02:01.0", 0x8086, 0x1000, 0x020000);
	device_write("0000:41:00.0", 0x1b36, 0x0010, 0x010802);
	device_write("0000:02:00.0", 0x1af4, 0x1000, 0x020000);
	return support_fds_before(state);
}

#define scan_test(f) cmocka_unit_test_setup_teardown(f, make_devices, root_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		scan_test(functions_come_in_order),
		scan_test(what_is_no_function_is_passed_over),
		scan_test(a_mask_chooses_bits_of_the_ids),
		scan_test(a_driver_or_none_can_be_asked_for),
		scan_test(a_value_of_the_callback_ends_the_scan),
		scan_test(a_function_that_goes_is_passed_over),
		scan_test(ids_that_cannot_be_end_the_scan),
		scan_test(no_bus_is_enoent),
		scan_test(more_functions_than_fit_at_first_are_all_found),
		scan_test(a_virtual_function_knows_its_physical_one),
		scan_test(numbers_of_virtual_functions_have_16_bits),
		scan_test(regions_are_start_end_and_a_word),
		scan_test(a_group_without_regions_has_none),
		scan_test(what_is_no_region_is_refused),
		scan_test(the_functions_of_this_machine_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
