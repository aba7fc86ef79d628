/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio_reset.h: an NVMe drive that has its bus for itself, a device on the root bus, and two drives
 * that are functions of one device, below the port that the third argument names.
 */

#include <pinion/vfio_config.h>
#include <pinion/vfio_reset.h>

#include "hw_master.h"
#include "hw_vfio_scene.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX
#define IOVA UINT64_C(0x4000000000)

static const char *drive, *on_root, *port;

static bool is(const struct pinion_vfio_affected *a, const char *name)
{
	struct pinion_pci_bdf bdf = {0};

	assert_int_equal(pinion_pci_bdf_parse(name, &bdf), 0);
	return a->domain == bdf.domain && a->bus == bdf.bus && a->device == bdf.device &&
	       a->function == bdf.function;
}

static void the_list_has_the_device_and_its_group(void **state)
{
	struct pinion_vfio_affected list[2] = {{0}};

	(void)state;
	assert_int_equal(pinion_vfio_hot_reset_info(d, list, 2), 1);
	assert_true(is(&list[0], drive));
	assert_int_equal(list[0].group, group);
	assert_int_equal(pinion_vfio_hot_reset_info(d, NULL, 0), 1);
}

/* The controller runs and masters the bus; a hot reset stops it, and it starts again. */
static void a_hot_reset_disables_the_controller(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	uint16_t vendor = 0;
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_vfio_config_read16(d, PCI_VENDOR_ID, &vendor), 0);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_region_map(d, BAR0, &regs, &len), 0);
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	hw_enable_nvme(regs, IOVA);
	assert_int_equal(pinion_vfio_hot_reset(d, &g, 1), 0);
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, NVME_CSTS)) & 1, 0);
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, NVME_CC)), 0);
	assert_true(hw_is_master());
	hw_identify(regs, mem.addr, IOVA, vendor);
	assert_int_equal(pinion_vfio_region_unmap(regs, len), 0);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, mem.len), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void a_hot_reset_without_the_groups_is_refused(void **state)
{
	const int32_t wrong = c, none = -1, twice[2] = {g, g};
	struct pinion_hostmem mem = hw_memory(1);
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_region_map(d, BAR0, &regs, &len), 0);
	hw_enable_nvme(regs, IOVA);
	assert_int_equal(pinion_vfio_hot_reset(d, NULL, 0), -EINVAL);
	assert_int_equal(pinion_vfio_hot_reset(d, &wrong, 1), -EINVAL);
	assert_int_equal(pinion_vfio_hot_reset(d, &none, 1), -EBADF);
	assert_int_equal(pinion_vfio_hot_reset(d, twice, 2), -EINVAL);
	/* The controller never noticed. */
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, NVME_CSTS)) & 1, 1);
	hw_disable_nvme(regs);
	assert_int_equal(pinion_vfio_region_unmap(regs, len), 0);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, mem.len), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static unsigned group_of(const char *name)
{
	struct pinion_pci_bdf bdf = {0};
	unsigned its = 0;

	assert_int_equal(pinion_pci_bdf_parse(name, &bdf), 0);
	assert_int_equal(pinion_pci_iommu_group(&bdf, &its), 0);
	return its;
}

static void on_a_root_bus_there_is_no_hot_reset(void **state)
{
	(void)state;
	hw_bdf = on_root;
	assert_int_equal(hw_take("vfio-pci"), 0);
	assert_int_equal(hw_vfio_open(group_of(on_root), &c, &g, &d), 0);
	assert_int_equal(pinion_vfio_hot_reset_info(d, NULL, 0), -ENOTSUP);
	assert_int_equal(pinion_vfio_hot_reset(d, &g, 1), -ENOTSUP);
	assert_int_equal(hw_vfio_close(c, g, d), 0);
	assert_int_equal(hw_give_back(NULL), 0);
	hw_bdf = drive;
}

/* The name of function f below the port; its bus is what the guest's firmware chose. */
static void function_below(int f, char *name, size_t len)
{
	char path[128];
	long bus;

	snprintf(path, sizeof(path), HW_PCI "devices/%s/secondary_bus_number", port);
	bus = support_read_long(path);
	assert_true(bus > 0);
	snprintf(name, len, "0000:%02lx:00.%d", bus, f);
}

static void take(const char *name, const char *driver)
{
	hw_bdf = name;
	if (driver == NULL)
		hw_unbind();
	else
		assert_int_equal(hw_bind(driver), 0);
}

static void every_function_of_the_bus_must_be_ours(void **state)
{
	struct pinion_vfio_affected list[4] = {{0}};
	char first[32], second[32];
	unsigned both;

	(void)state;
	function_below(0, first, sizeof(first));
	function_below(1, second, sizeof(second));
	both = group_of(first);
	assert_int_equal(group_of(second), both);
	take(second, NULL);
	take(first, "vfio-pci");
	assert_int_equal(hw_vfio_open(both, &c, &g, &d), 0);
	assert_int_equal(pinion_vfio_hot_reset_info(d, list, 4), 2);
	assert_true(is(&list[0], first) && is(&list[1], second));
	assert_true(list[0].group == both && list[1].group == both && list[2].group == 0);
	/* The second has no driver: the group is viable, and the bus still not ours. */
	assert_int_equal(pinion_vfio_hot_reset(d, &g, 1), -EINVAL);
	take(second, "vfio-pci");
	assert_int_equal(pinion_vfio_hot_reset(d, &g, 1), 0);
	assert_int_equal(hw_vfio_close(c, g, d), 0);
	take(first, "\n");
	take(second, "\n");
	hw_bdf = drive;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		device_test(the_list_has_the_device_and_its_group),
		device_test(a_hot_reset_disables_the_controller),
		device_test(a_hot_reset_without_the_groups_is_refused),
		support_test(on_a_root_bus_there_is_no_hot_reset),
		support_test(every_function_of_the_bus_must_be_ours),
	};
	int status = 0;

	if (hw_vfio_begin(argc, argv, &group, &status) < 0)
		return status;
	if (argc < 4) {
		hw_give_back(NULL);
		return hw_bail_out("a device on the root bus and a port were not named");
	}
	drive = hw_bdf;
	on_root = argv[2];
	port = argv[3];
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
