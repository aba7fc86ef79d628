/* SPDX-License-Identifier: BSD-3-Clause */
/* uio.h, pci.h and hostmem.h with an NVMe drive and no IOMMU. See hw_support.h. */

#include <pinion/pci.h>
#include <pinion/uio.h>

#include "hw_master.h"
#include "hw_support.h"

static struct pinion_pci_bdf bdf;
static struct pinion_uio uio;

static int open_uio(void **state)
{
	return support_fds_before(state) != 0 ? -1 : pinion_uio_open(hw_bdf, &uio);
}

static int close_uio(void **state)
{
	const int err = pinion_uio_close(&uio);

	return err < 0 ? err : support_fds_after(state);
}

/* Where the queues are and how long: registers that keep what they are given while the controller
 * is disabled (NVM Express Base Specification 2.0, 3.1.3.8 and 3.1.3.9). */
static void registers_are_written_whole_in_halves_and_in_part(void **state)
{
	volatile void *asq;
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_uio_bar_map(&uio, 0, &regs, &len), 0);
	hw_disable_nvme(regs);
	asq = hw_reg(regs, NVME_ASQ);
	pinion_mmio_write64_relaxed(asq, 0x1111222233000);
	assert_true(pinion_mmio_read64(asq) == 0x1111222233000);
	pinion_mmio_write64_lo_hi(asq, 0x2222333344000);
	assert_true(pinion_mmio_read64_relaxed(asq) == 0x2222333344000);
	pinion_mmio_write64_hi_lo(asq, 0x3333444455000);
	assert_true(pinion_mmio_read64_lo_hi_relaxed(asq) == 0x3333444455000);
	pinion_mmio_write64_lo_hi_relaxed(asq, 0x4444555566000);
	assert_true(pinion_mmio_read64_hi_lo_relaxed(asq) == 0x4444555566000);
	pinion_mmio_write64_hi_lo_relaxed(asq, 0x5555666677000);
	assert_int_equal(pinion_mmio_wait64(asq, UINT64_MAX, 0x5555666677000, 0), 0);
	assert_true(pinion_mmio_modify64(asq, 0xff000, 0) == 0x5555666677000);
	assert_true(pinion_mmio_read64(asq) == 0x5555666600000);
	pinion_mmio_write32_relaxed(hw_reg(regs, NVME_AQA), 0x00070003);
	assert_int_equal(pinion_mmio_modify32(hw_reg(regs, NVME_AQA), 0xffff, 1), 0x00070003);
	assert_int_equal(pinion_mmio_read32_relaxed(hw_reg(regs, NVME_AQA)), 0x00070001);
	assert_int_equal(pinion_uio_bar_unmap(regs, len), 0);
}

static void the_node_of_the_device_is_found(void **state)
{
	unsigned number = 1000;

	(void)state;
	assert_int_equal(pinion_uio_find(hw_bdf, &number), 0);
	assert_int_equal(number, uio.number);
	assert_int_equal(pinion_uio_find("0000:00:1f.2", &number), -ENOENT);
	assert_int_equal(pinion_uio_find("0000:00:1f.7", &number), -ENODEV);
}

static void bar_0_is_an_nvme_controller(void **state)
{
	struct pinion_pci_bar bar = { NULL, 0 };
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_uio_bar_map(&uio, 0, &regs, &len), 0);
	hw_check_nvme(regs);
	/* The same registers, mapped by the other header. */
	assert_int_equal(pinion_pci_bar_map(&bdf, 0, &bar), 0);
	assert_int_equal(bar.len, len);
	hw_check_nvme(bar.addr);
	assert_int_equal(pinion_pci_bar_unmap(&bar), 0);
	assert_int_equal(pinion_uio_bar_unmap(regs, len), 0);
	assert_int_equal(pinion_uio_bar_map(&uio, 5, &regs, &len), -ENOENT);
}

/* The same space as the other header reads. The interrupt line is software's to write, and means
 * nothing to the device (PCI Local Bus Specification 3.0, 6.2.4). */
static void configuration_space_is_read_and_written_in_three_widths(void **state)
{
	uint8_t v8 = 0, line = 0;
	uint16_t v16 = 0, vendor = 0;
	uint32_t v32 = 0, ids = 0;

	(void)state;
	assert_int_equal(pinion_pci_config_read32(&bdf, PCI_VENDOR_ID, &ids), 0);
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_VENDOR_ID, &vendor), 0);
	assert_int_equal(pinion_uio_config_read32(&uio, PCI_VENDOR_ID, &v32), 0);
	assert_int_equal(pinion_uio_config_read16(&uio, PCI_VENDOR_ID, &v16), 0);
	assert_int_equal(pinion_uio_config_read8(&uio, PCI_VENDOR_ID, &v8), 0);
	assert_int_equal(v32, ids);
	assert_int_equal(v16, vendor);
	assert_int_equal(v8, vendor & 0xff);
	assert_int_equal(pinion_uio_config_read8(&uio, PCI_INTERRUPT_LINE, &line), 0);
	assert_int_equal(pinion_uio_config_write8(&uio, PCI_INTERRUPT_LINE, 0x5a), 0);
	assert_int_equal(pinion_pci_config_read8(&bdf, PCI_INTERRUPT_LINE, &v8), 0);
	assert_int_equal(v8, 0x5a);
	assert_int_equal(pinion_uio_config_write8(&uio, PCI_INTERRUPT_LINE, line), 0);
	assert_int_equal(pinion_uio_config_read32(&uio, 4096, &v32), -EINVAL);
}

static void command_is_written_in_16_and_32_bits(void **state)
{
	uint16_t was = 0, now = 0;

	(void)state;
	assert_int_equal(pinion_uio_config_read16(&uio, PCI_COMMAND, &was), 0);
	assert_int_equal(
		pinion_uio_config_write16(&uio, PCI_COMMAND, (uint16_t)(was ^ PCI_COMMAND_SERR)),
		0);
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_COMMAND, &now), 0);
	assert_int_equal(now, was ^ PCI_COMMAND_SERR);
	/* STATUS lies beside it: its bits are cleared by ones, and zeroes leave them. */
	assert_int_equal(pinion_uio_config_write32(&uio, PCI_COMMAND, was), 0);
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_COMMAND, &now), 0);
	assert_int_equal(now, was);
}

/* COMMAND as open found it: SERR as it was set before, INTx let through or not. */
static void close_gives_the_state_back(void **state)
{
	struct pinion_uio own = { 0 };
	uint16_t was = 0, now = 0;

	(void)state;
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_COMMAND, &was), 0);
	was = (uint16_t)((was ^ PCI_COMMAND_SERR) | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(pinion_pci_config_write16(&bdf, PCI_COMMAND, was), 0);
	assert_int_equal(pinion_uio_open(hw_bdf, &own), 0);
	assert_int_equal(pinion_uio_bus_master_set(&own, true), 0);
	assert_int_equal(pinion_uio_irq_enable(&own), 0);
	assert_int_equal(pinion_uio_config_write16(&own, PCI_COMMAND, PCI_COMMAND_MEMORY), 0);
	assert_int_equal(pinion_uio_close(&own), 0);
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_COMMAND, &now), 0);
	assert_int_equal(now, was & ~PCI_COMMAND_MASTER);
}

static void bus_master_goes_on_and_off(void **state)
{
	(void)state;
	assert_int_equal(pinion_uio_bus_master_set(&uio, true), 0);
	assert_true(hw_is_master());
	assert_int_equal(pinion_uio_bus_master_set(&uio, false), 0);
	assert_false(hw_is_master());
}

static void the_device_reaches_memory_by_physical_address(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	uint64_t phys = 0;
	uint16_t vendor = 0;
	void *regs = NULL;
	size_t len = 0;
	int pagemap = -1;

	(void)state;
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_VENDOR_ID, &vendor), 0);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	assert_int_equal(pinion_hostmem_phys(pagemap, mem.addr, HW_HUGE, &phys, 1), 0);
	close(pagemap);
	assert_int_equal(pinion_uio_bar_map(&uio, 0, &regs, &len), 0);
	hw_disable_nvme(regs);
	assert_int_equal(pinion_uio_bus_master_set(&uio, true), 0);
	hw_identify(regs, mem.addr, phys, vendor);
	assert_int_equal(pinion_uio_bus_master_set(&uio, false), 0);
	assert_int_equal(pinion_uio_bar_unmap(regs, len), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void a_wait_without_interrupt_times_out(void **state)
{
	uint16_t command = 0;
	uint32_t count = 7;

	(void)state;
	assert_int_equal(pinion_uio_irq_enable(&uio), 0);
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_COMMAND, &command), 0);
	assert_int_equal(command & PCI_COMMAND_INTX_DISABLE, 0);
	assert_int_equal(pinion_uio_irq_wait(&uio, 20 * HW_MS, &count), -ETIMEDOUT);
	assert_int_equal(count, 7);
}

static int drive_and_wait(void *ready)
{
	struct pinion_uio own = { 0 };

	if (pinion_uio_open(hw_bdf, &own) < 0 || pinion_uio_bus_master_set(&own, true) < 0 ||
	    write(*(int *)ready, "x", 1) != 1)
		return 1;
	pause();
	return 2;
}

static void a_killed_driver_masters_nothing(void **state)
{
	(void)state;
	hw_killed_driver_masters_nothing(drive_and_wait);
}

static void close_turns_bus_master_off(void **state)
{
	struct pinion_uio own = { 0 };

	(void)state;
	assert_int_equal(pinion_uio_open(hw_bdf, &own), 0);
	assert_int_equal(pinion_uio_bus_master_set(&own, true), 0);
	assert_int_equal(pinion_uio_close(&own), 0);
	assert_false(hw_is_master());
}

/* The kernel's driver turns mastering on some time after it was bound. */
static bool becomes_master(void)
{
	int ms;

	for (ms = 0; ms < 30000 && !hw_is_master(); ms += 10)
		usleep(10000);
	return hw_is_master();
}

/* The kernel's driver has the device while we still hold /dev/uioN: hands off. */
static void a_rebound_device_is_left_alone(void **state)
{
	struct pinion_uio own = { 0 };

	(void)state;
	assert_int_equal(pinion_uio_open(hw_bdf, &own), 0);
	assert_int_equal(hw_bind("\n"), 0);
	assert_string_equal(hw_driver(), "nvme");
	assert_true(becomes_master());
	assert_int_equal(pinion_uio_bus_master_set(&own, false), -ENODEV);
	assert_int_equal(pinion_uio_close(&own), -ENODEV);
	assert_true(hw_is_master());
	assert_int_equal(pinion_uio_open(hw_bdf, &own), -ENOENT);
}

#define device_test(f) cmocka_unit_test_setup_teardown(f, open_uio, close_uio)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		device_test(the_node_of_the_device_is_found),
		device_test(registers_are_written_whole_in_halves_and_in_part),
		device_test(bar_0_is_an_nvme_controller),
		device_test(configuration_space_is_read_and_written_in_three_widths),
		device_test(command_is_written_in_16_and_32_bits),
		device_test(bus_master_goes_on_and_off),
		device_test(the_device_reaches_memory_by_physical_address),
		device_test(a_wait_without_interrupt_times_out),
		support_test(close_gives_the_state_back),
		support_test(a_killed_driver_masters_nothing),
		support_test(close_turns_bus_master_off),
		support_test(a_rebound_device_is_left_alone),
	};
	int status = 0;

	if (hw_begin(argc, argv, "uio_pci_generic", &status) < 0)
		return status;
	if (pinion_pci_bdf_parse(hw_bdf, &bdf) < 0) {
		hw_give_back(NULL);
		return hw_bail_out("not the name of a device");
	}
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
