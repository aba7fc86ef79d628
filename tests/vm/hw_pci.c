/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.h and the three headers on it with real functions: the guest's NVMe drive (argv[1]), which
 * begins and ends with the kernel's driver; two more, one with virtual functions and one with
 * memory of its own; and the SATA controller, which has ports. See hw_support.h.
 */

#include <pinion/pci_bind.h>
#include <pinion/pci_cap.h>
#include <pinion/pci_scan.h>

#include "hw_support.h"

/*
 * Where q35 has its SATA controller. Its BAR 4 has two ports of 32 bits through which the registers
 * that BAR 5 maps are reached: which one, and its value (the Index-Data Pair of the Serial ATA AHCI
 * Specification 1.3.1; capability 0x12 says where it is, 0x10 in this machine).
 */
static const struct pinion_pci_bdf sata = {0, 0, 0x1f, 2};
#define SATA_INDEX 0x10
#define SATA_DATA 0x14
#define SATA_VERSION 0x10 /* VS: section 3.1.5 */

static struct pinion_pci_bdf bdf;

static const char *driver_now(void)
{
	static char name[PINION_PCI_DRIVER_LEN];

	assert_int_equal(pinion_pci_driver_or_none(&bdf, name), 0);
	return name;
}

static const char *override_now(void)
{
	static char name[PINION_PCI_DRIVER_LEN];

	assert_int_equal(pinion_pci_override(&bdf, name), 0);
	return name;
}

static void ids_are_those_of_configuration_space(void **state)
{
	struct pinion_pci_ids ids = {0};
	uint32_t pair = 0, class_code = 0;

	(void)state;
	assert_int_equal(pinion_pci_ids_read(&bdf, &ids), 0);
	assert_int_equal(ids.class_code, 0x010802);
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_VENDOR_ID, &pair), 0);
	assert_true(pair == ((uint32_t)ids.device << 16 | ids.vendor));
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_CLASS_REVISION, &class_code), 0);
	assert_true(class_code == (ids.class_code << 8 | ids.revision));
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_SUBSYSTEM_VENDOR_ID, &pair), 0);
	assert_true(pair == ((uint32_t)ids.subsystem_device << 16 | ids.subsystem_vendor));
}

/* Before anything of it is touched: where it is plugged in (README.md), and who has it. */
static void the_drive_tells_its_name_its_node_and_its_driver(void **state)
{
	char text[16], driver[PINION_PCI_DRIVER_LEN];
	struct pinion_pci_ids ids = {0};
	int node = -1;

	(void)state;
	assert_int_equal(pinion_pci_bdf_format(&bdf, text, sizeof(text)), 0);
	assert_string_equal(text, hw_bdf);
	assert_int_equal(pinion_pci_numa_node(&bdf, &node), 0);
	assert_int_equal(node, 1);
	assert_int_equal(pinion_pci_driver(&bdf, driver, sizeof(driver)), 0);
	assert_string_equal(driver, "nvme");
	assert_int_equal(pinion_pci_driver(&bdf, driver, strlen("nvme")), -ENOSPC);
	assert_int_equal(pinion_pci_ids_read(&bdf, &ids), 0);
	assert_int_equal(pinion_pci_attr_read(&bdf, "vendor", text, sizeof(text)), 0);
	assert_int_equal(strtoul(text, NULL, 16), ids.vendor);
	assert_int_equal(pinion_pci_attr_read(&bdf, "colour", text, sizeof(text)), -ENOENT);
	hw_unbind();
	assert_int_equal(pinion_pci_driver(&bdf, driver, sizeof(driver)), -ENOENT);
	assert_int_equal(hw_give_back(NULL), 0);
	assert_string_equal(driver_now(), "nvme");
}

/* The interrupt line (PCI Local Bus Specification 3.0, 6.2.4): a byte that is software's to write,
 * beside the pin and two others, which are not. */
static void configuration_is_written_byte_by_byte_and_in_32_bits(void **state)
{
	uint32_t was = 0, now = 0;

	(void)state;
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_INTERRUPT_LINE, &was), 0);
	assert_int_equal(pinion_pci_config_write8(&bdf, PCI_INTERRUPT_LINE, 0x5a), 0);
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_INTERRUPT_LINE, &now), 0);
	assert_int_equal(now, (was & ~0xffu) | 0x5a);
	assert_int_equal(pinion_pci_config_write32(&bdf, PCI_INTERRUPT_LINE, 0xffffff00 | 0xa5), 0);
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_INTERRUPT_LINE, &now), 0);
	assert_int_equal(now, (was & ~0xffu) | 0xa5);
	assert_int_equal(pinion_pci_config_write32(&bdf, PCI_INTERRUPT_LINE, was), 0);
}

/* Of conventional PCI: the SATA controller has 256 bytes, not 4096. */
static void configuration_beyond_the_functions_own_is_told(void **state)
{
	uint16_t v = 7;

	(void)state;
	assert_int_equal(pinion_pci_config_read16(&sata, 254, &v), 0);
	v = 7;
	assert_int_equal(pinion_pci_config_read16(&sata, 256, &v), -EIO);
	assert_int_equal(v, 7);
	assert_int_equal(pinion_pci_config_write16(&sata, 256, 0), -EIO);
}

static void bar_0_is_64_bit_memory_where_the_device_has_it(void **state)
{
	struct pinion_pci_bar_info info = {0};
	uint32_t low = 0, high = 0;

	(void)state;
	assert_int_equal(pinion_pci_bar_info_read(&bdf, 0, &info), 0);
	assert_int_equal(info.kind, PINION_PCI_BAR_MEMORY);
	assert_true(info.wide && info.assigned && !info.prefetchable);
	assert_true(info.size >= 0x2000 && (info.size & (info.size - 1)) == 0);
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_BASE_ADDRESS_0, &low), 0);
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_BASE_ADDRESS_1, &high), 0);
	assert_true(info.start == ((uint64_t)high << 32 | (low & ~0xfu)));
	assert_int_equal(pinion_pci_bar_info_read(&bdf, 1, &info), -ENOENT);
}

static void the_drive_has_msix_and_pci_express(void **state)
{
	unsigned off = 0;
	uint16_t flags = 0;

	(void)state;
	assert_int_equal(pinion_pci_cap_find(&bdf, PCI_CAP_ID_MSIX, &off), 0);
	assert_int_equal(pinion_pci_config_read16(&bdf, off + PCI_MSIX_FLAGS, &flags), 0);
	assert_true((flags & PCI_MSIX_FLAGS_QSIZE) > 0);
	assert_int_equal(pinion_pci_cap_find(&bdf, PCI_CAP_ID_EXP, &off), 0);
	assert_int_equal(pinion_pci_cap_find(&bdf, PCI_CAP_ID_AGP, &off), -ENOENT);
}

static int find_as_nobody(void *arg)
{
	unsigned off = 0;

	(void)arg;
	if (setuid(SUPPORT_NOBODY) != 0)
		return 99;
	return -pinion_pci_cap_find(&bdf, PCI_CAP_ID_EXP, &off);
}

static void capabilities_are_hidden_from_nobody(void **state)
{
	(void)state;
	assert_int_equal(support_child(find_as_nobody, NULL), EPERM);
}

static void a_driver_is_bound_and_the_kernel_s_comes_back(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_bind(&bdf, "uio_pci_generic"), 0);
	assert_string_equal(driver_now(), "uio_pci_generic");
	assert_string_equal(override_now(), "uio_pci_generic");
	assert_int_equal(pinion_pci_bind(&bdf, "vfio-pci"), 0);
	assert_string_equal(driver_now(), "vfio-pci");
	assert_int_equal(pinion_pci_bind(&bdf, NULL), 0);
	assert_string_equal(driver_now(), "nvme");
	assert_string_equal(override_now(), "");
}

/* virtio-pci looks at the device number and declines. */
static void a_driver_that_declines_leaves_what_was(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_bind(&bdf, "virtio-pci"), -EIO);
	assert_string_equal(driver_now(), "nvme");
	assert_string_equal(override_now(), "");
	assert_int_equal(pinion_pci_bind(&bdf, "vfio-pci"), 0);
	assert_int_equal(pinion_pci_bind(&bdf, "virtio-pci"), -EIO);
	assert_string_equal(driver_now(), "vfio-pci");
	assert_string_equal(override_now(), "vfio-pci");
	assert_int_equal(pinion_pci_bind(&bdf, "no_such_driver"), -ENOENT);
	assert_string_equal(driver_now(), "vfio-pci");
	assert_int_equal(pinion_pci_bind(&bdf, NULL), 0);
}

static void an_override_keeps_others_away(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_unbind(&bdf), 0);
	assert_string_equal(driver_now(), "");
	assert_int_equal(pinion_pci_unbind(&bdf), -ENOENT);
	assert_int_equal(pinion_pci_override_set(&bdf, "no_such_driver"), 0);
	assert_int_equal(hw_put(HW_PCI "drivers_probe", hw_bdf), 0);
	assert_string_equal(driver_now(), "");
	assert_int_equal(pinion_pci_override_set(&bdf, NULL), 0);
	assert_int_equal(pinion_pci_bind(&bdf, NULL), 0);
	assert_string_equal(driver_now(), "nvme");
}

/* The state that pinion_pci_override_set() makes: the driver stays, another may have it next. */
static void what_was_comes_back_under_the_override_of_another_too(void **state)
{
	(void)state;
	assert_int_equal(pinion_pci_bind(&bdf, "uio_pci_generic"), 0);
	assert_int_equal(pinion_pci_override_set(&bdf, "vfio-pci"), 0);
	assert_int_equal(pinion_pci_bind(&bdf, "virtio-pci"), -EIO);
	assert_string_equal(driver_now(), "uio_pci_generic");
	assert_string_equal(override_now(), "vfio-pci");
	assert_int_equal(pinion_pci_bind(&bdf, NULL), 0);
}

/* A reset of the function is one of the controller, and puts CC back to 0 (NVM Express Base
 * Specification 2.0, 3.7.2). */
static void a_reset_clears_the_controller_s_registers(void **state)
{
	struct pinion_pci_bar bar = {NULL, 0};
	uint16_t vendor = 0;

	(void)state;
	assert_int_equal(pinion_pci_bind(&bdf, "uio_pci_generic"), 0);
	assert_int_equal(pinion_pci_bar_map(&bdf, 0, &bar), 0);
	hw_check_nvme(bar.addr);
	/* The size of completions: a field that may be set while the controller is disabled. */
	pinion_mmio_write32(hw_reg(bar.addr, NVME_CC), 4u << 20);
	assert_true(pinion_mmio_read32(hw_reg(bar.addr, NVME_CC)) == 4u << 20);
	assert_int_equal(pinion_pci_reset(&bdf), 0);
	assert_int_equal(pinion_mmio_read32(hw_reg(bar.addr, NVME_CC)), 0);
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_VENDOR_ID, &vendor), 0);
	assert_true(vendor != UINT16_MAX);
	assert_int_equal(pinion_pci_bar_unmap(&bar), 0);
	assert_int_equal(pinion_pci_bind(&bdf, NULL), 0);
}

static int count(const struct pinion_pci_bdf *at, const struct pinion_pci_ids *ids, void *arg)
{
	(void)ids;
	*(unsigned *)arg += pinion_pci_compare(at, &bdf) == 0;
	return 0;
}

static unsigned found(const char *driver)
{
	struct pinion_pci_filter filter = PINION_PCI_FILTER_ANY;
	unsigned nr = 0;

	filter.ids.class_code = 0x010800;
	filter.mask.class_code = 0xffff00;
	filter.driver = driver;
	assert_int_equal(pinion_pci_scan(&filter, count, &nr), 0);
	return nr;
}

static void a_scan_finds_the_drive_by_class_and_driver(void **state)
{
	(void)state;
	assert_int_equal(found("nvme"), 1);
	assert_int_equal(found("vfio-pci"), 0);
	assert_int_equal(pinion_pci_bind(&bdf, "vfio-pci"), 0);
	assert_int_equal(found("nvme"), 0);
	assert_int_equal(found("vfio-pci"), 1);
	assert_int_equal(pinion_pci_bind(&bdf, NULL), 0);
}

static void a_rescan_finds_a_device_that_was_removed(void **state)
{
	struct pinion_pci_ids ids;

	(void)state;
	assert_int_equal(pinion_pci_attr_write(&bdf, "remove", "1"), 0);
	assert_int_equal(found(NULL), 0);
	assert_int_equal(pinion_pci_ids_read(&bdf, &ids), -ENODEV);
	assert_int_equal(pinion_pci_rescan(), 0);
	assert_int_equal(found("nvme"), 1);
}

static int is_msi(const struct pinion_pci_region *region, void *arg)
{
	(void)arg;
	return strcmp(region->type, "msi") == 0 && region->start == 0xfee00000 &&
	       region->end == 0xfeefffff;
}

/* Where a processor of this kind takes interrupts: Intel VT-d Specification 3.3, 3.14. */
static void the_group_reserves_where_interrupts_go(void **state)
{
	unsigned group = 0;

	(void)state;
	assert_int_equal(pinion_pci_iommu_group(&bdf, &group), 0);
	assert_int_equal(pinion_pci_group_regions(group, is_msi, NULL), 1);
}

static void ports_reach_what_memory_shows(void **state)
{
	struct pinion_pci_bar bar = {NULL, 0};
	uint32_t v = 0, data = 0;
	int fd;

	(void)state;
	assert_int_equal(pinion_pci_attr_write(&sata, "enable", "1"), 0);
	assert_int_equal(pinion_pci_bar_map(&sata, 5, &bar), 0);
	fd = pinion_pci_ports_open(&sata, 4);
	assert_true(fd >= 0);
	assert_int_equal(pinion_pci_ports_write(fd, SATA_INDEX, 4, SATA_VERSION), 0);
	assert_int_equal(pinion_pci_ports_read(fd, SATA_DATA, 4, &data), 0);
	assert_int_equal(pinion_pci_ports_read(fd, SATA_INDEX, 1, &v), 0);
	close(fd);
	assert_int_equal(v, SATA_VERSION);
	assert_true(data != 0);
	assert_true(data == pinion_mmio_read32(hw_reg(bar.addr, SATA_VERSION)));
	assert_int_equal(pinion_pci_bar_unmap(&bar), 0);
}

static void ports_have_an_end_and_are_not_mapped(void **state)
{
	struct pinion_pci_bar_info info = {0};
	struct pinion_pci_bar bar = {NULL, 0};
	uint32_t v = 7;
	int fd;

	(void)state;
	assert_int_equal(pinion_pci_bar_info_read(&sata, 4, &info), 0);
	assert_int_equal(info.kind, PINION_PCI_BAR_PORTS);
	fd = pinion_pci_ports_open(&sata, 4);
	assert_true(fd >= 0);
	assert_int_equal(pinion_pci_ports_read(fd, info.size, 1, &v), -EINVAL);
	assert_int_equal(pinion_pci_ports_write(fd, info.size, 4, 0), -EINVAL);
	assert_int_equal(pinion_pci_ports_write(fd, info.size - 2, 4, 0), -EINVAL);
	close(fd);
	assert_int_equal(v, 7);
	assert_int_equal(pinion_pci_bar_map(&sata, 4, &bar), -EINVAL);
	assert_int_equal(pinion_pci_ports_open(&sata, 5), -EINVAL);
}

/* The first function that can have virtual ones. */
static int with_sriov(const struct pinion_pci_bdf *at, const struct pinion_pci_ids *ids, void *arg)
{
	unsigned nr = 0, most = 0;

	(void)ids;
	if (pinion_pci_sriov(at, &nr, &most) < 0)
		return 0;
	*(struct pinion_pci_bdf *)arg = *at;
	return 1;
}

/* Capabilities of a function, counted. */
struct walk {
	struct pinion_pci_bdf of;
	unsigned nr;
};

/* What is found is the first of its kind. */
static int is_found(const struct pinion_pci_cap *cap, void *arg)
{
	struct walk *walk = arg;
	unsigned off = 0;

	assert_int_equal(cap->extended ? pinion_pci_ext_cap_find(&walk->of, cap->id, &off)
				       : pinion_pci_cap_find(&walk->of, (uint8_t)cap->id, &off),
			 0);
	assert_true(off <= cap->off);
	walk->nr++;
	return 0;
}

/* MSI-X and PCI Express; what virtual functions need, and how their numbers go on (ARI). */
static void a_walk_comes_by_what_is_found(void **state)
{
	struct walk walk = {{0, 0, 0, 0}, 0};

	(void)state;
	assert_int_equal(pinion_pci_scan(NULL, with_sriov, &walk.of), 1);
	assert_int_equal(pinion_pci_cap_walk(&walk.of, is_found, &walk), 0);
	assert_true(walk.nr >= 2);
	walk.nr = 0;
	assert_int_equal(pinion_pci_ext_cap_walk(&walk.of, is_found, &walk), 0);
	assert_true(walk.nr >= 2);
}

static void virtual_functions_know_their_physical_one(void **state)
{
	struct pinion_pci_bdf pf = {0, 0, 0, 0}, vf = {0, 0, 0, 0}, back = {0, 0, 0, 0};
	unsigned nr = 7, most = 0, off = 0, i;

	(void)state;
	assert_int_equal(pinion_pci_scan(NULL, with_sriov, &pf), 1);
	assert_int_equal(pinion_pci_ext_cap_find(&pf, PCI_EXT_CAP_ID_SRIOV, &off), 0);
	assert_int_equal(pinion_pci_sriov(&pf, &nr, &most), 0);
	assert_true(nr == 0 && most == 2);
	assert_int_equal(pinion_pci_attr_write(&pf, "sriov_drivers_autoprobe", "0"), 0);
	assert_int_equal(pinion_pci_attr_write(&pf, "sriov_numvfs", "2"), 0);
	assert_int_equal(pinion_pci_sriov(&pf, &nr, &most), 0);
	assert_true(nr == 2 && most == 2);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pinion_pci_vf(&pf, i, &vf), 0);
		assert_int_equal(pinion_pci_pf(&vf, &back), 0);
		assert_int_equal(pinion_pci_compare(&pf, &back), 0);
	}
	assert_int_equal(pinion_pci_vf(&pf, 2, &vf), -ENOENT);
	assert_int_equal(pinion_pci_pf(&pf, &back), -ENOENT);
	assert_int_equal(pinion_pci_attr_write(&pf, "sriov_numvfs", "0"), 0);
}

/* The first function whose BAR 2 is prefetchable memory. */
static int with_memory(const struct pinion_pci_bdf *at, const struct pinion_pci_ids *ids, void *arg)
{
	struct pinion_pci_bar_info info;

	if (ids->class_code >> 16 != 0x01 || pinion_pci_bar_info_read(at, 2, &info) < 0 ||
	    !info.prefetchable)
		return 0;
	*(struct pinion_pci_bdf *)arg = *at;
	return 1;
}

/* What is stored through the one mapping is there through the other. */
static void prefetchable_memory_is_mapped_write_combining(void **state)
{
	struct pinion_pci_bdf third = {0, 0, 0, 0};
	struct pinion_pci_bar_info info = {0};
	struct pinion_pci_bar wc = {NULL, 0}, uc = {NULL, 0};

	(void)state;
	assert_int_equal(pinion_pci_scan(NULL, with_memory, &third), 1);
	assert_int_equal(pinion_pci_bind(&third, "uio_pci_generic"), 0);
	assert_int_equal(pinion_pci_bar_info_read(&third, 2, &info), 0);
	assert_true(info.kind == PINION_PCI_BAR_MEMORY && info.prefetchable);
	assert_int_equal(pinion_pci_bar_map_wc(&third, 2, &wc), 0);
	assert_int_equal(pinion_pci_bar_map(&third, 2, &uc), 0);
	assert_true(wc.len == info.size && uc.len == info.size);
	pinion_mmio_write32_relaxed(hw_reg(wc.addr, 0x100), 0xc0ffee);
	pinion_mmio_wc_flush();
	assert_int_equal(pinion_mmio_read32(hw_reg(uc.addr, 0x100)), 0xc0ffee);
	assert_int_equal(pinion_pci_bar_unmap(&wc), 0);
	assert_int_equal(pinion_pci_bar_unmap(&uc), 0);
	/* Registers are not prefetchable. */
	assert_int_equal(pinion_pci_bar_map_wc(&third, 0, &wc), -ENOTSUP);
	assert_int_equal(pinion_pci_bind(&third, NULL), 0);
}

static void check_reads(void *at)
{
	assert_int_equal(pinion_mmio_read8(hw_reg(at, 1)), 0x77);
	assert_int_equal(pinion_mmio_read8_relaxed(hw_reg(at, 7)), 0x11);
	assert_int_equal(pinion_mmio_read16(hw_reg(at, 2)), 0x5566);
	assert_int_equal(pinion_mmio_read16_relaxed(hw_reg(at, 4)), 0x3344);
	assert_int_equal(pinion_mmio_read32(hw_reg(at, 0)), 0x55667788);
	assert_int_equal(pinion_mmio_read32_relaxed(hw_reg(at, 4)), 0x11223344);
	assert_true(pinion_mmio_read64_relaxed(at) == 0x1122334455667788);
	assert_true(pinion_mmio_read64_lo_hi_relaxed(at) == 0x1122334455667788);
	assert_true(pinion_mmio_read64_hi_lo_relaxed(at) == 0x1122334455667788);
}

/* Each access arrives with its own width, and at its own bytes. */
static void memory_of_a_device_is_read_and_written_in_each_width(void **state)
{
	struct pinion_pci_bdf third = {0, 0, 0, 0};
	struct pinion_pci_bar bar = {NULL, 0};
	void *at;

	(void)state;
	assert_int_equal(pinion_pci_scan(NULL, with_memory, &third), 1);
	assert_int_equal(pinion_pci_bind(&third, "uio_pci_generic"), 0);
	assert_int_equal(pinion_pci_bar_map(&third, 2, &bar), 0);
	at = (char *)bar.addr + 0x200;
	pinion_mmio_write64(at, 0x1122334455667788);
	check_reads(at);
	pinion_mmio_write8(hw_reg(at, 0), 0xa0);
	pinion_mmio_write8_relaxed(hw_reg(at, 1), 0xa1);
	pinion_mmio_write16(hw_reg(at, 2), 0xa3a2);
	pinion_mmio_write32(hw_reg(at, 4), 0xa7a6a5a4);
	assert_true(pinion_mmio_read64(at) == 0xa7a6a5a4a3a2a1a0);
	pinion_mmio_write16_relaxed(hw_reg(at, 0), 0xb1b0);
	pinion_mmio_write32_relaxed(hw_reg(at, 4), 0xb7b6b5b4);
	assert_true(pinion_mmio_read64(at) == 0xb7b6b5b4a3a2b1b0);
	assert_int_equal(pinion_mmio_modify8(hw_reg(at, 7), 0x0f, 0x0c), 0xb7);
	assert_int_equal(pinion_mmio_modify16(hw_reg(at, 4), 0xff00, 0xcc00), 0xb5b4);
	assert_true(pinion_mmio_modify64(at, 0xff, 0xcc) == 0xbcb6ccb4a3a2b1b0);
	assert_true(pinion_mmio_read64(at) == 0xbcb6ccb4a3a2b1cc);
	assert_int_equal(pinion_mmio_wait8(hw_reg(at, 7), 0xff, 0xbc, 0), 0);
	assert_int_equal(pinion_mmio_wait16(hw_reg(at, 4), 0xff, 0xb4, 0), 0);
	assert_int_equal(pinion_mmio_wait64(at, 0xff, 0xcd, HW_MS), -ETIMEDOUT);
	assert_int_equal(pinion_pci_bar_unmap(&bar), 0);
	assert_int_equal(pinion_pci_bind(&third, NULL), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		support_test(ids_are_those_of_configuration_space),
		support_test(the_drive_tells_its_name_its_node_and_its_driver),
		support_test(configuration_is_written_byte_by_byte_and_in_32_bits),
		support_test(configuration_beyond_the_functions_own_is_told),
		support_test(bar_0_is_64_bit_memory_where_the_device_has_it),
		support_test(the_drive_has_msix_and_pci_express),
		support_test(capabilities_are_hidden_from_nobody),
		support_test(a_driver_is_bound_and_the_kernel_s_comes_back),
		support_test(a_driver_that_declines_leaves_what_was),
		support_test(what_was_comes_back_under_the_override_of_another_too),
		support_test(an_override_keeps_others_away),
		support_test(a_reset_clears_the_controller_s_registers),
		support_test(a_scan_finds_the_drive_by_class_and_driver),
		support_test(a_rescan_finds_a_device_that_was_removed),
		support_test(the_group_reserves_where_interrupts_go),
		support_test(ports_reach_what_memory_shows),
		support_test(ports_have_an_end_and_are_not_mapped),
		support_test(a_walk_comes_by_what_is_found),
		support_test(virtual_functions_know_their_physical_one),
		support_test(prefetchable_memory_is_mapped_write_combining),
		support_test(memory_of_a_device_is_read_and_written_in_each_width),
	};

	hw_bdf = argc > 1 ? argv[1] : getenv("PINION_TEST_BDF");
	if (hw_bdf == NULL)
		return support_skip("no device: give its name, or set PINION_TEST_BDF");
	if (geteuid() != 0)
		return hw_bail_out("needs root");
	if (pinion_pci_bdf_parse(hw_bdf, &bdf) < 0)
		return hw_bail_out("not the name of a device");
	if (system("modprobe -a vfio-pci uio_pci_generic") != 0)
		return hw_bail_out("a driver does not load");
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
