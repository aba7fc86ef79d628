/* SPDX-License-Identifier: BSD-3-Clause */
/* VFIO without an IOMMU, on a machine that has none and a kernel that has the mode: the device's
 * registers and interrupts are VFIO's, and addresses are physical. See hw_support.h. */

#include <sys/eventfd.h>

#include <pinion/vfio_config.h>

#include "hw_master.h"
#include "hw_vfio_scene.h"

#define MODE "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

static void the_device_reaches_memory_by_physical_address(void **state)
{
	const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct pinion_hostmem mem = hw_memory(1);
	uint16_t vendor = 0;
	uint64_t phys = 0;
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_hostmem_phys(pagemap, mem.addr, HW_HUGE, &phys, 1), 0);
	assert_int_equal(pinion_vfio_config_read16(d, PCI_VENDOR_ID, &vendor), 0);
	assert_int_equal(pinion_vfio_region_map(d, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len), 0);
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	hw_identify(regs, mem.addr, phys, vendor);
	assert_int_equal(pinion_vfio_bus_master_set(d, false), 0);
	assert_int_equal(pinion_vfio_region_unmap(regs, len), 0);
	close(pagemap);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void there_is_nothing_to_map_into(void **state)
{
	struct pinion_vfio_iommu info = { 0 };
	struct pinion_hostmem mem = hw_memory(1);

	(void)state;
	assert_int_equal(pinion_vfio_iommu_info(c, &info), -ENOTTY);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, 1 << 20, mem.len), -ENOTTY);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void a_vector_signals_its_eventfd(void **state)
{
	int32_t fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t value = 0;

	(void)state;
	assert_int_equal(pinion_vfio_irq_enable(d, VFIO_PCI_MSIX_IRQ_INDEX, 0, &fd, 1), 0);
	assert_int_equal(pinion_vfio_irq_trigger(d, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1), 0);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(pinion_vfio_irq_disable(d, VFIO_PCI_MSIX_IRQ_INDEX), 0);
	close(fd);
}

static void close_turns_bus_master_off(void **state)
{
	(void)state;
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	assert_true(hw_is_master());
	assert_int_equal(pinion_vfio_device_close(d), 0);
	assert_false(hw_is_master());
	assert_int_equal(pinion_vfio_device_open(g, hw_bdf, &d), 0);
}

/* The plain name of the group is not there: nobody takes it for one with an IOMMU. */
static void the_group_has_no_node_as_if_it_had_an_iommu(void **state)
{
	int other = -1, fd = -1;

	(void)state;
	assert_int_equal(pinion_vfio_container_open(&other), 0);
	assert_int_equal(pinion_vfio_group_open(group, other, &fd), -ENOENT);
	assert_int_equal(fd, -1);
	assert_int_equal(pinion_vfio_container_close(other), 0);
}

/* As a user to whom the node was given, but not the capability that the mode wants. */
static int open_without_raw_io(void *arg)
{
	int container = -1, fd = -1, err;

	(void)arg;
	if (setgid(SUPPORT_NOBODY) < 0 || setuid(SUPPORT_NOBODY) < 0)
		return 99;
	err = pinion_vfio_container_open_as(VFIO_NOIOMMU_IOMMU, &container);
	if (err == 0)
		err = pinion_vfio_group_open_as(VFIO_NOIOMMU_IOMMU, group, container, &fd);
	return -err;
}

static void without_raw_io_it_is_refused(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%u", group);
	assert_int_equal(chown(path, SUPPORT_NOBODY, SUPPORT_NOBODY), 0);
	assert_int_equal(support_child(open_without_raw_io, NULL), EPERM);
	assert_int_equal(chown(path, 0, 0), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		device_test(the_device_reaches_memory_by_physical_address),
		device_test(there_is_nothing_to_map_into),
		device_test(a_vector_signals_its_eventfd),
		device_test(close_turns_bus_master_off),
		support_test(the_group_has_no_node_as_if_it_had_an_iommu),
		support_test(without_raw_io_it_is_refused),
	};
	int status = 0;

	kind = VFIO_NOIOMMU_IOMMU;
	/* On before the device is bound: only then does the kernel make it a group. */
	if (system("modprobe vfio") != 0 || hw_put(MODE, "1\n") < 0) {
		hw_bdf = "vfio";
		return hw_bail_out("the kernel has no mode without an IOMMU");
	}
	if (hw_vfio_begin(argc, argv, &group, &status) < 0)
		return status;
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
