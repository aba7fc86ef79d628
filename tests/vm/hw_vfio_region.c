/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio_region.h, vfio_config.h and vfio_dmabuf.h with an NVMe drive and, the second device, QEMU's
 * "pci-testdev": what stands in its BAR of I/O ports is in docs/specs/pci-testdev.rst of QEMU.
 */

#include <pinion/pci_cap.h>
#include <pinion/vfio_config.h>
#include <pinion/vfio_dmabuf.h>

#include "hw_vfio.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX

/* Registers of pci-testdev, in bytes: which test, and the name of that test. Ports are BAR 1. */
#define TESTDEV_TEST 0
#define TESTDEV_NAME 16
#define TESTDEV_PORTS VFIO_PCI_BAR1_REGION_INDEX

static const char *drive, *ports;
static unsigned group;
static int c = -1, g = -1, d = -1;
static struct pinion_vfio_region bar;
static void *regs;
static size_t len;

static int open_all(void **state)
{
	int err = support_fds_before(state);

	if (err == 0)
		err = hw_vfio_open(group, &c, &g, &d);
	if (err == 0)
		err = pinion_vfio_region_info(d, BAR0, &bar);
	return err == 0 ? pinion_vfio_region_map(d, BAR0, &regs, &len) : err;
}

static int close_all(void **state)
{
	int err = pinion_vfio_region_unmap(regs, len);

	if (err == 0)
		err = hw_vfio_close(c, g, d);
	return err == 0 ? support_fds_after(state) : err;
}

static struct pinion_pci_bdf address(const char *name)
{
	struct pinion_pci_bdf bdf = {0};

	assert_int_equal(pinion_pci_bdf_parse(name, &bdf), 0);
	return bdf;
}

static void bar_0_can_be_mapped_whole_with_the_table_of_msi_x(void **state)
{
	(void)state;
	assert_int_equal(bar.nr_areas, 1);
	assert_true(bar.area[0].off == 0 && bar.area[0].len == bar.len);
	assert_true(bar.msix_mappable);
	assert_int_equal(len, bar.len);
}

/* The entry's last 32 bits: bit 0 masks it (PCI Local Bus Specification 3.0, 6.8.2.9). */
static void the_table_of_msi_x_is_seen_in_a_mapping_alone(void **state)
{
	const struct pinion_pci_bdf bdf = address(drive);
	uint32_t table = 0, v = 0;
	unsigned off = 0;

	(void)state;
	assert_int_equal(pinion_pci_cap_find(&bdf, PCI_CAP_ID_MSIX, &off), 0);
	assert_int_equal(pinion_vfio_config_read32(d, off + PCI_MSIX_TABLE, &table), 0);
	assert_int_equal(table & PCI_MSIX_TABLE_BIR, 0);
	table += PCI_MSIX_ENTRY_VECTOR_CTRL;
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, table)), 1);
	assert_int_equal(pinion_vfio_region_read32(d, &bar, table, &v), 0);
	assert_int_equal(v, UINT32_MAX);
	assert_int_equal(pinion_vfio_region_write32(d, &bar, table, 0), 0);
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, table)), 1);
}

static void registers_are_the_same_with_a_mapping_and_without(void **state)
{
	uint64_t v64 = 0;
	uint32_t v32 = 0;
	uint16_t v16 = 0;
	uint8_t v8 = 0;

	(void)state;
	hw_check_nvme(regs);
	assert_int_equal(pinion_vfio_region_read64(d, &bar, NVME_CAP, &v64), 0);
	assert_true(v64 == pinion_mmio_read64(hw_reg(regs, NVME_CAP)));
	assert_int_equal(pinion_vfio_region_read32(d, &bar, NVME_CAP, &v32), 0);
	assert_int_equal(v32, v64 & UINT32_MAX);
	assert_int_equal(pinion_vfio_region_read16(d, &bar, NVME_CAP, &v16), 0);
	assert_int_equal(v16, v64 & UINT16_MAX);
	assert_int_equal(pinion_vfio_region_read8(d, &bar, NVME_CAP, &v8), 0);
	assert_int_equal(v8, v64 & UINT8_MAX);
}

static void what_is_written_reaches_the_device(void **state)
{
	(void)state;
	hw_disable_nvme(regs);
	assert_int_equal(pinion_vfio_region_write32(d, &bar, NVME_AQA, 0x00070003), 0);
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, NVME_AQA)), 0x00070003);
	assert_int_equal(pinion_vfio_region_write64(d, &bar, NVME_ASQ, 0x123456789000), 0);
	assert_true(pinion_mmio_read64(hw_reg(regs, NVME_ASQ)) == 0x123456789000);
	assert_int_equal(pinion_vfio_region_write32(d, &bar, bar.len, 0), -EINVAL);
	assert_int_equal(pinion_vfio_region_write64(d, &bar, NVME_ASQ + 4, 0), -EINVAL);
	assert_true(pinion_mmio_read64(hw_reg(regs, NVME_ASQ)) == 0x123456789000);
}

static void without_memory_decoding_a_read_is_eio(void **state)
{
	uint16_t command = 0;
	uint32_t v = 7;

	(void)state;
	assert_int_equal(pinion_vfio_config_read16(d, PCI_COMMAND, &command), 0);
	assert_int_equal(command & PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY);
	command &= (uint16_t)~PCI_COMMAND_MEMORY;
	assert_int_equal(pinion_vfio_config_write16(d, PCI_COMMAND, command), 0);
	assert_int_equal(pinion_vfio_region_read32(d, &bar, NVME_VS, &v), -EIO);
	assert_int_equal(pinion_vfio_region_write32(d, &bar, NVME_AQA, 0), -EIO);
	assert_int_equal(v, 7);
	command |= PCI_COMMAND_MEMORY;
	assert_int_equal(pinion_vfio_config_write16(d, PCI_COMMAND, command), 0);
	assert_int_equal(pinion_vfio_region_read32(d, &bar, NVME_VS, &v), 0);
	assert_int_equal(v, pinion_mmio_read32(hw_reg(regs, NVME_VS)));
}

static void a_device_without_rom_has_no_such_region(void **state)
{
	struct pinion_vfio_region r = {.len = 7};

	(void)state;
	assert_int_equal(pinion_vfio_region_info(d, VFIO_PCI_ROM_REGION_INDEX, &r), -ENOENT);
	assert_int_equal(r.len, 7);
}

static void configuration_is_the_one_of_sysfs_in_every_width(void **state)
{
	const struct pinion_pci_bdf bdf = address(drive);
	uint32_t ids = 0, v32 = 0;
	uint16_t v16 = 0;
	uint8_t v8 = 0;

	(void)state;
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_VENDOR_ID, &ids), 0);
	assert_int_equal(pinion_vfio_config_read32(d, PCI_VENDOR_ID, &v32), 0);
	assert_int_equal(v32, ids);
	assert_int_equal(pinion_vfio_config_read16(d, PCI_DEVICE_ID, &v16), 0);
	assert_int_equal(v16, ids >> 16);
	assert_int_equal(pinion_vfio_config_read8(d, PCI_VENDOR_ID + 1, &v8), 0);
	assert_int_equal(v8, ids >> 8 & 0xff);
	/* The extended list begins at 0x100, and the space has 4096 bytes. */
	assert_int_equal(pinion_vfio_config_read32(d, 4092, &v32), 0);
	assert_int_equal(pinion_vfio_config_read32(d, 4096, &v32), -EINVAL);
	assert_int_equal(pinion_vfio_config_read32(d, 2, &v32), -EINVAL);
	assert_int_equal(pinion_vfio_config_read16(d, 4095, &v16), -EINVAL);
	assert_int_equal(pinion_vfio_config_read8(d, 4096, &v8), -EINVAL);
	assert_int_equal(pinion_vfio_config_write32(d, 4096, 0), -EINVAL);
}

/* VFIO keeps BARs itself: the size is asked for as of a device (PCI Local Bus Specification 3.0,
 * 6.2.5.1), and the device's own stays. */
static void what_vfio_keeps_for_itself_can_be_written(void **state)
{
	const struct pinion_pci_bdf bdf = address(drive);
	uint32_t was = 0, mask = 0, real = 0;
	uint8_t line = 0;

	(void)state;
	assert_int_equal(pinion_vfio_config_read32(d, PCI_BASE_ADDRESS_0, &was), 0);
	assert_int_equal(pinion_vfio_config_write32(d, PCI_BASE_ADDRESS_0, UINT32_MAX), 0);
	assert_int_equal(pinion_vfio_config_read32(d, PCI_BASE_ADDRESS_0, &mask), 0);
	assert_int_equal(~(mask & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK) + 1, bar.len);
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_BASE_ADDRESS_0, &real), 0);
	assert_int_equal(real, was);
	assert_int_equal(pinion_vfio_config_write32(d, PCI_BASE_ADDRESS_0, was), 0);
	assert_int_equal(pinion_vfio_config_write8(d, PCI_INTERRUPT_LINE, 0x5a), 0);
	assert_int_equal(pinion_vfio_config_read8(d, PCI_INTERRUPT_LINE, &line), 0);
	assert_int_equal(line, 0x5a);
}

static void what_vfio_does_not_let_through_is_dropped(void **state)
{
	uint16_t v = 0;

	(void)state;
	assert_int_equal(pinion_vfio_config_write16(d, PCI_VENDOR_ID, 0x1234), 0);
	assert_int_equal(pinion_vfio_config_read16(d, PCI_VENDOR_ID, &v), 0);
	assert_int_not_equal(v, 0x1234);
}

/* What a kernel with it makes of it: a dma-buf as long as its areas, that a new program does not
 * inherit; and what it refuses. */
static void check_export(void)
{
	const struct pinion_vfio_area first = {0, 4096}, odd = {0, 100}, beyond = {bar.len, 4096};
	const struct pinion_vfio_area two[] = {{0, 4096}, {8192, 4096}};
	int fd = -1, none = -1;

	assert_int_equal(pinion_vfio_dmabuf_export(d, BAR0, &first, 1, &fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 4096);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	assert_int_equal(pinion_vfio_dmabuf_export(d, BAR0, two, 2, &fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 8192);
	close(fd);
	assert_int_equal(pinion_vfio_dmabuf_export(d, BAR0, &odd, 1, &none), -EINVAL);
	assert_int_equal(pinion_vfio_dmabuf_export(d, BAR0, &beyond, 1, &none), -EINVAL);
	assert_int_equal(
		pinion_vfio_dmabuf_export(d, VFIO_PCI_CONFIG_REGION_INDEX, &first, 1, &none),
		-ENODEV);
	assert_int_equal(none, -1);
}

static void a_dma_buf_is_exported_or_is_enotsup(void **state)
{
	const struct pinion_vfio_area first = {0, 4096};
	const int can = pinion_vfio_dmabuf_check(d);
	int fd = -1;

	(void)state;
	if (can == 0) {
		check_export();
		return;
	}
	print_message("# this kernel exports no dma-buf\n");
	assert_int_equal(can, -ENOTSUP);
	assert_int_equal(pinion_vfio_dmabuf_export(d, BAR0, &first, 1, &fd), -ENOTSUP);
	assert_int_equal(fd, -1);
}

static int open_ports(void **state)
{
	struct pinion_pci_bdf bdf = address(ports);
	unsigned its_group;
	int err = support_fds_before(state);

	hw_bdf = ports;
	if (err == 0)
		err = hw_take("vfio-pci");
	if (err == 0)
		err = pinion_pci_iommu_group(&bdf, &its_group);
	if (err == 0)
		err = hw_vfio_open(its_group, &c, &g, &d);
	return err == 0 ? pinion_vfio_region_info(d, TESTDEV_PORTS, &bar) : err;
}

static int close_ports(void **state)
{
	int err = hw_vfio_close(c, g, d);

	if (err == 0)
		err = hw_give_back(state);
	hw_bdf = drive;
	return err == 0 ? support_fds_after(state) : err;
}

static void ports_are_read_and_written_and_not_mapped(void **state)
{
	char name[8] = "";
	uint32_t word = 0;
	uint8_t first = 0, second = 0;
	unsigned i;
	void *addr = NULL;

	(void)state;
	assert_int_equal(bar.nr_areas, 0);
	assert_int_equal(pinion_vfio_region_map(d, TESTDEV_PORTS, &addr, &len), -ENOTSUP);
	assert_null(addr);
	/* A test is chosen by its number among those of ports, and says which it is among all. */
	assert_int_equal(pinion_vfio_region_write8(d, &bar, TESTDEV_TEST, 0), 0);
	assert_int_equal(pinion_vfio_region_read8(d, &bar, TESTDEV_TEST, &first), 0);
	assert_int_equal(pinion_vfio_region_write8(d, &bar, TESTDEV_TEST, 1), 0);
	assert_int_equal(pinion_vfio_region_read8(d, &bar, TESTDEV_TEST, &second), 0);
	assert_int_equal(second, first + 1);
	for (i = 0; i < 6; i++)
		assert_int_equal(pinion_vfio_region_read8(d, &bar, TESTDEV_NAME + i,
							  (uint8_t *)&name[i]),
				 0);
	assert_string_equal(name, "portio");
	assert_int_equal(pinion_vfio_region_read32(d, &bar, TESTDEV_NAME, &word), 0);
	assert_memory_equal(&word, "port", 4);
	/* In 16 bits its number and, behind it, a byte that is not to be written. */
	assert_int_equal(pinion_vfio_region_write16(d, &bar, TESTDEV_TEST, 0), 0);
	assert_int_equal(pinion_vfio_region_read8(d, &bar, TESTDEV_TEST, &second), 0);
	assert_int_equal(second, first);
}

#define device_test(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		device_test(bar_0_can_be_mapped_whole_with_the_table_of_msi_x),
		device_test(the_table_of_msi_x_is_seen_in_a_mapping_alone),
		device_test(registers_are_the_same_with_a_mapping_and_without),
		device_test(what_is_written_reaches_the_device),
		device_test(without_memory_decoding_a_read_is_eio),
		device_test(a_device_without_rom_has_no_such_region),
		device_test(configuration_is_the_one_of_sysfs_in_every_width),
		device_test(what_vfio_keeps_for_itself_can_be_written),
		device_test(what_vfio_does_not_let_through_is_dropped),
		device_test(a_dma_buf_is_exported_or_is_enotsup),
		cmocka_unit_test_setup_teardown(ports_are_read_and_written_and_not_mapped,
						open_ports, close_ports),
	};
	int status = 0;

	if (hw_vfio_begin(argc, argv, &group, &status) < 0)
		return status;
	drive = hw_bdf;
	ports = argc > 2 ? argv[2] : NULL;
	if (ports == NULL) {
		hw_give_back(NULL);
		return hw_bail_out("the second device, with ports, was not named");
	}
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
