/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci_bind.h on a sysfs tree made of files: what is refused, and a kernel that takes every write
 * and does nothing. What a real kernel does is in tests/vm/hw_pci.c.
 */

#include "root_support.h"
#define PINION_PCI_SYSFS root
#define PINION_PCI_BUS root
#include <pinion/pci_bind.h>

static const struct pinion_pci_bdf nvme = {0, 0x41, 0, 0};
static const struct pinion_pci_bdf absent = {0, 0x42, 0, 0};

/* What a file of the tree has in it. */
static const char *content(const char *name)
{
	static char text[128];
	const int fd = open(support_path(root, name), O_RDONLY | O_CLOEXEC);
	const ssize_t n = read(fd, text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	return text;
}

static void what_is_no_driver_is_einval_and_written_nowhere(void **state)
{
	static const char *const bad[] = {
		"",           ".",
		"..",         "a/b",
		"vfio-pci\n", "a-name-of-sixty-four-characters-is-longer-than-any-module-s-name",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pinion_pci_bind(&nvme, bad[i]), -EINVAL);
		assert_int_equal(pinion_pci_override_set(&nvme, bad[i]), -EINVAL);
	}
	assert_string_equal(content("0000:41:00.0/driver_override"), "(null)\n");
}

static void the_kernel_s_word_for_none_is_no_name(void **state)
{
	char name[PINION_PCI_DRIVER_LEN];

	(void)state;
	assert_int_equal(pinion_pci_override(&nvme, name), 0);
	assert_string_equal(name, "");
	assert_int_equal(pinion_pci_override_set(&nvme, "vfio-pci"), 0);
	assert_int_equal(pinion_pci_override(&nvme, name), 0);
	assert_string_equal(name, "vfio-pci");
	assert_int_equal(pinion_pci_override(&absent, name), -ENODEV);
}

static void a_driver_that_is_not_loaded_is_enoent(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_bind(&nvme, "uio_pci_generic"), -ENOENT);
	assert_string_equal(content("0000:41:00.0/driver_override"), "(null)\n");
}

static void a_device_that_is_not_there_is_enodev(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_bind(&absent, "vfio-pci"), -ENODEV);
	assert_int_equal(pinion_pci_bind(&absent, NULL), -ENODEV);
	assert_int_equal(pinion_pci_unbind(&absent), -ENODEV);
	assert_int_equal(pinion_pci_override_set(&absent, NULL), -ENODEV);
	assert_int_equal(pinion_pci_reset(&absent), -ENODEV);
}

static void no_driver_cannot_be_unbound(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_unbind(&nvme), -ENOENT);
}

static void an_unbind_without_effect_is_eio(void **state)
{
	(void)state;
	support_link(root, "0000:41:00.0/driver", "../drivers/nvme");
	assert_int_equal(pinion_pci_unbind(&nvme), -EIO);
	assert_string_equal(content("drivers/nvme/unbind"), "0000:41:00.0");
}

/* Files cannot clear the override as the kernel does: what was there cannot be put back. */
static void what_cannot_be_put_back_is_said(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_bind(&nvme, "vfio-pci"), -ENOTRECOVERABLE);
	assert_string_equal(content("drivers/vfio-pci/bind"), "0000:41:00.0");
}

/* The override was vfio-pci before, so there is nothing to put back. */
static void a_bind_without_effect_is_eio(void **state)
{
	(void)state;
	support_write_text(root, "0000:41:00.0/driver_override", "vfio-pci\n");
	assert_int_equal(pinion_pci_bind(&nvme, "vfio-pci"), -EIO);
	assert_string_equal(content("drivers/vfio-pci/bind"), "0000:41:00.0");
}

static void the_driver_that_has_it_is_left_at_work(void **state)
{
	(void)state;
	support_link(root, "0000:41:00.0/driver", "../drivers/vfio-pci");
	assert_int_equal(pinion_pci_bind(&nvme, "vfio-pci"), 0);
	assert_string_equal(content("drivers/vfio-pci/unbind"), "");
	assert_string_equal(content("0000:41:00.0/driver_override"), "vfio-pci\n");
}

static int bind_as_nobody(void *arg)
{
	(void)arg;
	if (geteuid() == 0 && setuid(SUPPORT_NOBODY) != 0)
		return 99;
	return -pinion_pci_bind(&nvme, "vfio-pci");
}

/* And nothing is said of putting back what did not change. */
static void without_the_right_to_write_it_is_eacces(void **state)
{
	(void)state;
	assert_int_equal(chmod(root, 0755), 0);
	assert_int_equal(chmod(support_path(root, "0000:41:00.0/driver_override"), 0444), 0);
	assert_int_equal(support_child(bind_as_nobody, NULL), EACCES);
	assert_string_equal(content("0000:41:00.0/driver_override"), "(null)\n");
}

static void reset_and_rescan_write_a_one(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_reset(&nvme), -ENOENT);
	assert_int_equal(pinion_pci_rescan(), -ENOENT);
	support_write_text(root, "0000:41:00.0/reset", "");
	support_write_text(root, "rescan", "");
	assert_int_equal(pinion_pci_reset(&nvme), 0);
	assert_int_equal(pinion_pci_rescan(), 0);
	assert_string_equal(content("0000:41:00.0/reset"), "1");
	assert_string_equal(content("rescan"), "1");
}

/* A drive without a driver, and two drivers. */
static int make_machine(void **state)
{
	support_dir_create(root);
	support_write_text(root, "0000:41:00.0/driver_override", "(null)\n");
	support_write_text(root, "drivers/nvme/bind", "");
	support_write_text(root, "drivers/nvme/unbind", "");
	support_write_text(root, "drivers/vfio-pci/bind", "");
	support_write_text(root, "drivers/vfio-pci/unbind", "");
	return support_fds_before(state);
}

#define bind_test(f) cmocka_unit_test_setup_teardown(f, make_machine, root_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bind_test(what_is_no_driver_is_einval_and_written_nowhere),
		bind_test(the_kernel_s_word_for_none_is_no_name),
		bind_test(a_driver_that_is_not_loaded_is_enoent),
		bind_test(a_device_that_is_not_there_is_enodev),
		bind_test(no_driver_cannot_be_unbound),
		bind_test(an_unbind_without_effect_is_eio),
		bind_test(what_cannot_be_put_back_is_said),
		bind_test(a_bind_without_effect_is_eio),
		bind_test(the_driver_that_has_it_is_left_at_work),
		bind_test(without_the_right_to_write_it_is_eacces),
		bind_test(reset_and_rescan_write_a_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
