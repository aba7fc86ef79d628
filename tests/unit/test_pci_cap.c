/* SPDX-License-Identifier: BSD-3-Clause */
/* pci_cap.h: on configuration spaces in files, sound, wrong and random. */

#include "root_support.h"
#define PINION_PCI_SYSFS root
#include <pinion/pci_cap.h>

static const struct pinion_pci_bdf nvme = {0, 0x41, 0, 0};
static const struct pinion_pci_bdf absent = {0, 0x42, 0, 0};

static uint8_t space[4096];

/* What a walk has shown. */
struct seen {
	struct pinion_pci_cap at[1024];
	unsigned nr, stop_at;
};

static struct seen seen;

static void store(size_t len)
{
	support_write(root, "0000:41:00.0/config", space, len);
}

static void put32(unsigned off, uint32_t v)
{
	space[off] = (uint8_t)v;
	space[off + 1] = (uint8_t)(v >> 8);
	space[off + 2] = (uint8_t)(v >> 16);
	space[off + 3] = (uint8_t)(v >> 24);
}

/* A standard entry, and an extended one. */
static void put_cap(unsigned off, unsigned id, unsigned next)
{
	space[off] = (uint8_t)id;
	space[off + 1] = (uint8_t)next;
}

static void put_ext(unsigned off, unsigned id, unsigned version, unsigned next)
{
	put32(off, id | version << 16 | next << 20);
}

/* Power management at 0x40, MSI-X at 0xb0, PCI Express at 0x80; AER at 0x100, a serial number at
 * 0x148. The reserved low bits of the pointers are set. */
static int make_space(void **state)
{
	memset(space, 0, sizeof(space));
	memset(&seen, 0, sizeof(seen));
	put32(0, 0x00101b36);
	space[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	space[PCI_CAPABILITY_LIST] = 0x43;
	put_cap(0x40, PCI_CAP_ID_PM, 0xb1);
	put_cap(0xb0, PCI_CAP_ID_MSIX, 0x80);
	put_cap(0x80, PCI_CAP_ID_EXP, 0);
	put_ext(0x100, PCI_EXT_CAP_ID_ERR, 2, 0x14b);
	put_ext(0x148, PCI_EXT_CAP_ID_DSN, 1, 0);
	return support_fds_before(state);
}

static int note(const struct pinion_pci_cap *cap, void *arg)
{
	struct seen *s = arg;

	assert_true(s->nr < 1024);
	s->at[s->nr++] = *cap;
	return s->nr == s->stop_at ? 7 : 0;
}

static int walk(size_t len)
{
	store(len);
	seen.nr = 0;
	return pinion_pci_cap_walk(&nvme, note, &seen);
}

static int walk_ext(size_t len)
{
	store(len);
	seen.nr = 0;
	return pinion_pci_ext_cap_walk(&nvme, note, &seen);
}

static void entry_is(unsigned i, unsigned id, unsigned off, unsigned version)
{
	assert_true(i < seen.nr);
	assert_int_equal(seen.at[i].id, id);
	assert_int_equal(seen.at[i].off, off);
	assert_int_equal(seen.at[i].version, version);
}

static void standard_entries_come_in_the_order_of_the_list(void **state)
{
	(void)state;
	assert_int_equal(walk(256), 0);
	assert_int_equal(seen.nr, 3);
	entry_is(0, PCI_CAP_ID_PM, 0x40, 0);
	entry_is(1, PCI_CAP_ID_MSIX, 0xb0, 0);
	entry_is(2, PCI_CAP_ID_EXP, 0x80, 0);
	assert_false(seen.at[0].extended);
}

static void extended_entries_have_a_version(void **state)
{
	(void)state;
	assert_int_equal(walk_ext(4096), 0);
	assert_int_equal(seen.nr, 2);
	entry_is(0, PCI_EXT_CAP_ID_ERR, 0x100, 2);
	entry_is(1, PCI_EXT_CAP_ID_DSN, 0x148, 1);
	assert_true(seen.at[0].extended);
}

static void a_function_without_lists_has_none(void **state)
{
	unsigned off = 7;

	(void)state;
	assert_int_equal(walk_ext(256), 0);
	assert_int_equal(seen.nr, 0);
	put32(0x100, 0);
	assert_int_equal(walk_ext(4096), 0);
	assert_int_equal(seen.nr, 0);
	assert_int_equal(pinion_pci_ext_cap_find(&nvme, PCI_EXT_CAP_ID_ERR, &off), -ENOENT);
	/* The pointer counts only when STATUS says so. */
	space[PCI_STATUS] = 0;
	assert_int_equal(walk(4096), 0);
	assert_int_equal(seen.nr, 0);
	space[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	space[PCI_CAPABILITY_LIST] = 3;
	assert_int_equal(walk(4096), 0);
	assert_int_equal(seen.nr, 0);
	assert_int_equal(pinion_pci_cap_find(&nvme, PCI_CAP_ID_PM, &off), -ENOENT);
	assert_int_equal(off, 7);
}

static void a_cardbus_bridge_has_its_list_elsewhere(void **state)
{
	(void)state;
	space[PCI_HEADER_TYPE] = 0x80 | PCI_HEADER_TYPE_CARDBUS;
	space[PCI_CB_CAPABILITY_LIST] = 0x80;
	assert_int_equal(walk(256), 0);
	assert_int_equal(seen.nr, 1);
	entry_is(0, PCI_CAP_ID_EXP, 0x80, 0);
}

static void a_capability_is_found_by_its_id(void **state)
{
	unsigned off = 7;

	(void)state;
	store(4096);
	assert_int_equal(pinion_pci_cap_find(&nvme, PCI_CAP_ID_MSIX, &off), 0);
	assert_int_equal(off, 0xb0);
	assert_int_equal(pinion_pci_ext_cap_find(&nvme, PCI_EXT_CAP_ID_DSN, &off), 0);
	assert_int_equal(off, 0x148);
	assert_int_equal(pinion_pci_cap_find(&nvme, PCI_CAP_ID_MSI, &off), -ENOENT);
	assert_int_equal(pinion_pci_cap_find(&absent, PCI_CAP_ID_MSI, &off), -ENODEV);
	assert_int_equal(pinion_pci_ext_cap_find(&absent, PCI_EXT_CAP_ID_DSN, &off), -ENODEV);
	assert_int_equal(off, 0x148);
}

static void a_value_of_the_callback_ends_the_walk(void **state)
{
	(void)state;
	seen.stop_at = 1;
	assert_int_equal(walk(4096), 7);
	assert_int_equal(seen.nr, 1);
	assert_int_equal(walk_ext(4096), 7);
	assert_int_equal(seen.nr, 1);
}

static void a_list_that_loops_shows_each_entry_once(void **state)
{
	(void)state;
	put_cap(0x80, PCI_CAP_ID_EXP, 0xb0);
	assert_int_equal(walk(256), -ELOOP);
	assert_int_equal(seen.nr, 3);
	put_cap(0x40, PCI_CAP_ID_PM, 0x40);
	assert_int_equal(walk(256), -ELOOP);
	assert_int_equal(seen.nr, 1);
	put_ext(0x148, PCI_EXT_CAP_ID_DSN, 1, 0x100);
	assert_int_equal(walk_ext(4096), -ELOOP);
	assert_int_equal(seen.nr, 2);
}

static void a_pointer_into_the_header_is_ebadmsg(void **state)
{
	(void)state;
	put_cap(0xb0, PCI_CAP_ID_MSIX, 0x3c);
	assert_int_equal(walk(256), -EBADMSG);
	assert_int_equal(seen.nr, 2);
	put_ext(0x100, PCI_EXT_CAP_ID_ERR, 1, 0x80);
	assert_int_equal(walk_ext(4096), -EBADMSG);
	assert_int_equal(seen.nr, 1);
}

static void a_pointer_beyond_the_end_is_ebadmsg(void **state)
{
	(void)state;
	assert_int_equal(walk(0xb0), -EBADMSG);
	assert_int_equal(seen.nr, 1);
	assert_int_equal(walk_ext(0x148), -EBADMSG);
	assert_int_equal(seen.nr, 1);
	assert_int_equal(walk(4), -EBADMSG);
}

static void a_device_that_reads_all_ones_is_gone(void **state)
{
	(void)state;
	memset(space + 0x100, 0xff, 4096 - 0x100);
	assert_int_equal(walk_ext(4096), -ENODEV);
	put_cap(0xb0, 0xff, 0xff);
	assert_int_equal(walk(256), -ENODEV);
	assert_int_equal(seen.nr, 1);
	memset(space, 0xff, sizeof(space));
	assert_int_equal(walk(256), -ENODEV);
	assert_int_equal(seen.nr, 0);
}

/* The longest lists: 48 and 960 entries, each pointing to the one behind it. */
static void the_longest_list_is_walked(void **state)
{
	unsigned off;

	(void)state;
	space[PCI_CAPABILITY_LIST] = 0x40;
	for (off = 0x40; off < 0x100; off += 4)
		put_cap(off, PCI_CAP_ID_VNDR, off + 4 < 0x100 ? off + 4 : 0);
	for (off = 0x100; off < 0x1000; off += 4)
		put_ext(off, PCI_EXT_CAP_ID_VNDR, 1, off + 4 < 0x1000 ? off + 4 : 0);
	assert_int_equal(walk(4096), 0);
	assert_int_equal(seen.nr, 48);
	assert_int_equal(walk_ext(4096), 0);
	assert_int_equal(seen.nr, 960);
}

static bool is_end(int err)
{
	return err == 0 || err == -ELOOP || err == -EBADMSG || err == -ENODEV;
}

/* No place twice, and none outside. */
static void check_places(unsigned first)
{
	uint8_t there[4096] = {0};
	unsigned i;

	for (i = 0; i < seen.nr; i++) {
		const unsigned off = seen.at[i].off;

		assert_true(off >= first && off % 4 == 0 && off < 4096 && !there[off]);
		there[off] = 1;
	}
}

/* Random spaces, whose pointers are often near each other: a walk ends, whatever stands there. */
static void random_lists_end(void **state)
{
	unsigned round, i, ends[3] = {0, 0, 0};
	int err;

	(void)state;
	srandom(20260);
	for (round = 0; round < 3000; round++) {
		const long near = random() % 2 ? 0xff : 0x1f;

		for (i = 0x34; i < sizeof(space); i++)
			space[i] = (uint8_t)(0x40 + (random() & near));
		err = walk(round % 3 == 0 ? 4096 : (size_t)(random() % 256));
		assert_true(is_end(err));
		check_places(0x40);
		ends[0] += err == -ELOOP;
		ends[1] += err == -EBADMSG;
		err = walk_ext(round % 3 != 1 ? 4096 : 256 + (size_t)(random() % 3841));
		assert_true(is_end(err));
		check_places(0x100);
		ends[2] += err != 0;
	}
	/* It has been where it hurts. */
	assert_true(ends[0] > 100 && ends[1] > 100 && ends[2] > 100);
}

/* The kernel shows others than root the first 64 bytes. */
static int walk_as_nobody(void *arg)
{
	(void)arg;
	if (geteuid() == 0 && setuid(SUPPORT_NOBODY) != 0)
		return 99;
	return -pinion_pci_cap_walk(&nvme, note, &seen);
}

static int first_real(char *name, size_t len)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	const struct dirent *entry;
	char path[512];
	uint8_t head[64];
	int fd, found = 0;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		found = read(fd, head, sizeof(head)) == (ssize_t)sizeof(head) &&
			(head[PCI_STATUS] & PCI_STATUS_CAP_LIST) != 0 &&
			(size_t)snprintf(name, len, "%s", path) < len;
		close(fd);
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

/* On a device of this machine, if one has a list: the file is a link to the real one. */
static void what_the_kernel_hides_is_eperm(void **state)
{
	char config[512];

	(void)state;
	unlink(support_path(root, "0000:41:00.0/config"));
	if (!first_real(config, sizeof(config))) {
		print_message("# no PCI device with capabilities here\n");
		return;
	}
	support_link(root, "0000:41:00.0/config", config);
	assert_int_equal(chmod(root, 0755), 0);
	assert_int_equal(support_child(walk_as_nobody, NULL), EPERM);
	assert_int_equal(unlink(support_path(root, "0000:41:00.0/config")), 0);
}

#define cap_test(f) cmocka_unit_test_setup_teardown(f, make_space, support_fds_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cap_test(standard_entries_come_in_the_order_of_the_list),
		cap_test(extended_entries_have_a_version),
		cap_test(a_function_without_lists_has_none),
		cap_test(a_cardbus_bridge_has_its_list_elsewhere),
		cap_test(a_capability_is_found_by_its_id),
		cap_test(a_value_of_the_callback_ends_the_walk),
		cap_test(a_list_that_loops_shows_each_entry_once),
		cap_test(a_pointer_into_the_header_is_ebadmsg),
		cap_test(a_pointer_beyond_the_end_is_ebadmsg),
		cap_test(a_device_that_reads_all_ones_is_gone),
		cap_test(the_longest_list_is_walked),
		cap_test(random_lists_end),
		cap_test(what_the_kernel_hides_is_eperm),
	};

	return cmocka_run_group_tests(tests, root_make, root_remove);
}
