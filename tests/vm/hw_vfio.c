/* SPDX-License-Identifier: BSD-3-Clause */
/* vfioctl.h and those beside it, pci.h, hostmem.h: with an NVMe drive behind an IOMMU. */

#include <pinion/vfio_config.h>
#include <pinion/vfio_reset.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "hw_master.h"
#include "hw_vfio_scene.h"

/* An address no physical memory of a small machine has: only a translation makes it work. */
#define IOVA UINT64_C(0x4000000000)

static void a_second_open_of_the_group_is_ebusy(void **state)
{
	int other = -1, fd = -1;

	(void)state;
	assert_int_equal(pinion_vfio_container_open(&other), 0);
	assert_int_equal(pinion_vfio_group_open(group, other, &fd), -EBUSY);
	assert_int_equal(fd, -1);
	assert_int_equal(pinion_vfio_container_close(other), 0);
}

static void a_container_without_group_knows_nothing(void **state)
{
	struct pinion_vfio_iommu info = { 0 };
	int other = -1;

	(void)state;
	assert_int_equal(pinion_vfio_container_open(&other), 0);
	assert_int_equal(pinion_vfio_iommu_info(other, &info), -EINVAL);
	assert_int_equal(pinion_vfio_dma_map(other, &info, IOVA, 4096), -EINVAL);
	assert_int_equal(pinion_vfio_container_close(other), 0);
}

static void another_device_is_not_in_the_group(void **state)
{
	int fd = -1;

	(void)state;
	assert_int_equal(pinion_vfio_device_open(g, "0000:00:1f.7", &fd), -ENODEV);
	assert_int_equal(pinion_vfio_device_open(g, NULL, &fd), -EINVAL);
	assert_int_equal(fd, -1);
}

static void descriptors_do_not_survive_exec(void **state)
{
	(void)state;
	assert_int_equal(fcntl(c, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(g, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(d, F_GETFD), FD_CLOEXEC);
}

static void ranges_leave_the_msi_window_out(void **state)
{
	struct pinion_vfio_iommu info = { 0 };
	uint32_t i;

	(void)state;
	assert_int_equal(pinion_vfio_iommu_info(c, &info), 0);
	assert_int_equal(info.page_sizes & 0x1000, 0x1000);
	assert_int_equal(info.dma_avail, 65535);
	assert_true(info.nr_ranges >= 2);
	for (i = 0; i < info.nr_ranges; i++) {
		assert_true(info.range[i].start <= info.range[i].last);
		assert_true(info.range[i].last < 0xfee00000 || info.range[i].start > 0xfeefffff);
	}
	assert_int_equal(info.range[0].start, 0);
	assert_int_equal(info.range[0].last, 0xfedfffff);
	assert_int_equal(info.range[1].start, 0xfef00000);
}

static uint32_t maps_left(void)
{
	struct pinion_vfio_iommu info = { 0 };

	assert_int_equal(pinion_vfio_iommu_info(c, &info), 0);
	return info.dma_avail;
}

static void a_map_is_counted_and_given_back(void **state)
{
	struct pinion_hostmem mem = hw_memory(2);
	const uint32_t before = maps_left();

	(void)state;
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(maps_left(), before - 1);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, mem.len), 0);
	assert_int_equal(maps_left(), before);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void maps_that_cannot_be_are_refused(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	const uint32_t before = maps_left();

	(void)state;
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), -EEXIST);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA + mem.len - 4096, 4096), -EEXIST);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, 0xfee00000, 4096), -EINVAL);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, (uint64_t)1 << 60, 4096), -EINVAL);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, 0x1234, 4096), -EINVAL);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, mem.len), 0);
	assert_int_equal(maps_left(), before);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void an_unmap_of_another_length_is_told(void **state)
{
	struct pinion_hostmem mem = hw_memory(2);

	(void)state;
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, HW_HUGE), -EINVAL);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, 2 * mem.len), -EIO);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, mem.len), -EIO);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void what_was_really_unmapped_is_told(void **state)
{
	struct pinion_hostmem mem = hw_memory(2);
	const uint32_t before = maps_left();
	uint64_t unmapped = 7;

	(void)state;
	/* Two mappings, and a gap between them. */
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, HW_HUGE), 0);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA + 2 * HW_HUGE, HW_HUGE), 0);
	assert_int_equal(pinion_vfio_dma_unmap_range(c, IOVA, 4096, &unmapped), -EINVAL);
	assert_int_equal(unmapped, 7);
	assert_int_equal(pinion_vfio_dma_unmap_range(c, IOVA, 4 * HW_HUGE, &unmapped), 0);
	assert_int_equal(unmapped, 2 * HW_HUGE);
	assert_int_equal(pinion_vfio_dma_unmap_range(c, IOVA, 4 * HW_HUGE, &unmapped), 0);
	assert_int_equal(unmapped, 0);
	assert_int_equal(maps_left(), before);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void all_mappings_go_at_once(void **state)
{
	struct pinion_hostmem mem = hw_memory(2);
	const uint32_t before = maps_left();
	uint64_t unmapped = 0;

	(void)state;
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, 0, HW_HUGE), 0);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_dma_unmap_all(c, &unmapped), 0);
	assert_int_equal(unmapped, HW_HUGE + mem.len);
	assert_int_equal(maps_left(), before);
	assert_int_equal(pinion_vfio_dma_unmap_all(c, &unmapped), 0);
	assert_int_equal(unmapped, 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* The three descriptors anew, with the older kind of IOMMU. */
static int open_type1(void **state)
{
	const int err = support_fds_before(state);

	return err == 0 ? hw_vfio_open_as(VFIO_TYPE1_IOMMU, group, &c, &g, &d) : err;
}

static void type1_unmaps_a_mapping_whole_or_not_at_all(void **state)
{
	struct pinion_hostmem mem = hw_memory(2);
	const uint32_t before = maps_left();
	uint64_t unmapped = 7;

	(void)state;
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_dma_unmap_range(c, IOVA + 4096, 4096, &unmapped), 0);
	assert_int_equal(unmapped, 0);
	assert_int_equal(maps_left(), before - 1);
	assert_int_equal(pinion_vfio_dma_unmap_range(c, IOVA, 4096, &unmapped), 0);
	assert_int_equal(unmapped, mem.len);
	assert_int_equal(maps_left(), before);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, HW_HUGE), -EIO);
	assert_int_equal(maps_left(), before);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* Debian's kernels are built without it, and where it is built in it is off. */
static void no_iommu_is_enotsup_where_nobody_turned_it_on(void **state)
{
	int other = -1, fd = -1;

	(void)state;
	assert_int_equal(pinion_vfio_container_open_as(VFIO_NOIOMMU_IOMMU, &other), -ENOTSUP);
	assert_int_equal(other, -1);
	/* A device with an IOMMU has no such node. */
	assert_int_equal(pinion_vfio_group_open_as(VFIO_NOIOMMU_IOMMU, group, c, &fd), -ENOENT);
	assert_int_equal(fd, -1);
}

static void bar_0_is_an_nvme_controller(void **state)
{
	struct pinion_vfio_region r = { 0 };
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_vfio_region_info(d, VFIO_PCI_BAR0_REGION_INDEX, &r), 0);
	assert_int_equal(pinion_vfio_region_map(d, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len), 0);
	assert_int_equal(len, r.len);
	hw_check_nvme(regs);
	assert_int_equal(pinion_vfio_region_unmap(regs, len), 0);
}

static void regions_that_are_not_there_are_refused(void **state)
{
	struct pinion_vfio_region r = { 0 };
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_vfio_region_info(d, VFIO_PCI_BAR5_REGION_INDEX, &r), -ENOENT);
	assert_int_equal(pinion_vfio_region_info(d, 1000, &r), -EINVAL);
	assert_int_equal(pinion_vfio_region_map(d, 1000, &regs, &len), -EINVAL);
	assert_int_equal(pinion_vfio_region_map(d, VFIO_PCI_CONFIG_REGION_INDEX, &regs, &len),
			 -ENOTSUP);
	assert_null(regs);
}

static void configuration_is_the_one_of_sysfs(void **state)
{
	uint16_t ours = 0, theirs = 1;
	struct pinion_pci_bdf bdf;

	(void)state;
	assert_int_equal(pinion_pci_bdf_parse(hw_bdf, &bdf), 0);
	assert_int_equal(pinion_vfio_config_read16(d, PCI_VENDOR_ID, &ours), 0);
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_VENDOR_ID, &theirs), 0);
	assert_int_equal(ours, theirs);
	assert_int_equal(pinion_vfio_config_read16(d, 1, &ours), -EINVAL);
	assert_int_equal(pinion_vfio_config_read16(d, 4096, &ours), -EINVAL);
}

static void bus_master_reaches_the_device(void **state)
{
	(void)state;
	assert_false(hw_is_master());
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	assert_true(hw_is_master());
	assert_int_equal(pinion_vfio_bus_master_set(d, false), 0);
	assert_false(hw_is_master());
}

static void close_turns_bus_master_off(void **state)
{
	(void)state;
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	assert_int_equal(pinion_vfio_device_close(d), 0);
	assert_false(hw_is_master());
	assert_int_equal(pinion_vfio_device_open(g, hw_bdf, &d), 0);
}

/* A driver of its own, which turns mastering on and is then killed. */
static int drive_and_wait(void *ready)
{
	int container, group_fd, device;

	if (hw_vfio_open(group, &container, &group_fd, &device) < 0 ||
	    pinion_vfio_bus_master_set(device, true) < 0 || write(*(int *)ready, "x", 1) != 1)
		return 1;
	pause();
	return 2;
}

static void a_killed_driver_masters_nothing(void **state)
{
	(void)state;
	hw_killed_driver_masters_nothing(drive_and_wait);
}

static void reset_disables_the_controller(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_region_map(d, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len), 0);
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	memset(mem.addr, 0, mem.len);
	hw_enable_nvme(regs, IOVA);
	assert_int_equal(pinion_vfio_device_reset(d), 0);
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, NVME_CSTS)) & 1, 0);
	assert_int_equal(pinion_vfio_region_unmap(regs, len), 0);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, mem.len), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void the_device_reaches_memory_by_iova(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	uint16_t vendor = 0;
	void *regs = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_vfio_config_read16(d, PCI_VENDOR_ID, &vendor), 0);
	assert_int_equal(pinion_vfio_dma_map(c, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_vfio_region_map(d, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len), 0);
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	hw_identify(regs, mem.addr, IOVA, vendor);
	assert_int_equal(pinion_vfio_bus_master_set(d, false), 0);
	assert_int_equal(pinion_vfio_region_unmap(regs, len), 0);
	assert_int_equal(pinion_vfio_dma_unmap(c, IOVA, mem.len), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void vectors_signal_their_own_eventfd(void **state)
{
	int32_t fds[3];
	eventfd_t value = 0;
	struct pinion_vfio_irq irq = { 0 };
	uint32_t i;

	(void)state;
	assert_int_equal(pinion_vfio_irq_info(d, VFIO_PCI_MSIX_IRQ_INDEX, &irq), 0);
	assert_int_equal(irq.nr, 65);
	assert_false(irq.maskable || irq.automasked);
	for (i = 0; i < 3; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(pinion_vfio_irq_enable(d, VFIO_PCI_MSIX_IRQ_INDEX, 0, fds, 3), 0);
	assert_int_equal(pinion_vfio_irq_trigger(d, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1), 0);
	assert_int_equal(eventfd_read(fds[1], &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(eventfd_read(fds[0], &value), -1);
	assert_int_equal(eventfd_read(fds[2], &value), -1);
	assert_int_equal(pinion_vfio_irq_disable(d, VFIO_PCI_MSIX_IRQ_INDEX), 0);
	for (i = 0; i < 3; i++)
		close(fds[i]);
}

static void interrupts_that_cannot_be_are_refused(void **state)
{
	int32_t fds[66];
	struct pinion_vfio_irq irq = { .nr = 7 };
	int i;

	(void)state;
	for (i = 0; i < 66; i++)
		fds[i] = -1;
	assert_int_equal(pinion_vfio_irq_enable(d, VFIO_PCI_MSIX_IRQ_INDEX, 0, fds, 66), -EINVAL);
	fds[0] = c; /* a descriptor, but no eventfd */
	assert_int_equal(pinion_vfio_irq_enable(d, VFIO_PCI_MSIX_IRQ_INDEX, 0, fds, 1), -EINVAL);
	fds[0] = 1000;
	assert_int_equal(pinion_vfio_irq_enable(d, VFIO_PCI_MSIX_IRQ_INDEX, 0, fds, 1), -EBADF);
	assert_int_equal(pinion_vfio_irq_disable(d, VFIO_PCI_MSIX_IRQ_INDEX), -EINVAL);
	assert_int_equal(pinion_vfio_irq_info(d, 1000, &irq), -EINVAL);
	assert_int_equal(irq.nr, 7);
}

/* An uncorrectable error, "unsupported request" (PCI Express Base Specification 5.0, 7.8.4.2), as
 * if the port above the device had reported it: QEMU's drive reports none itself. All that is below
 * has then to recover. The record is that of drivers/pci/pcie/aer_inject.c in Linux. */
static void inject_error(void)
{
	struct {
		uint8_t bus, dev, fn;
		uint32_t uncorrectable, correctable, header[4], domain;
	} error = { .uncorrectable = PCI_ERR_UNC_UNSUP };
	struct pinion_pci_bdf port = { 0 };
	char path[256], target[PATH_MAX], *slash;
	int fd;

	/* .../PORT/DEVICE */
	snprintf(path, sizeof(path), HW_PCI "devices/%s", hw_bdf);
	assert_non_null(realpath(path, target));
	slash = strrchr(target, '/');
	*slash = '\0';
	assert_int_equal(pinion_pci_bdf_parse(strrchr(target, '/') + 1, &port), 0);
	error.domain = port.domain;
	error.bus = port.bus;
	error.dev = port.device;
	error.fn = port.function;
	assert_int_equal(system("modprobe aer_inject aer_mask_override=1"), 0);
	fd = open("/dev/aer_inject", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, &error, sizeof(error)), sizeof(error));
	close(fd);
}

static void an_error_of_the_device_is_told(void **state)
{
	const int32_t event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd want = { event, POLLIN, 0 };
	struct pinion_vfio_irq irq = { 0 };

	(void)state;
	assert_int_equal(pinion_vfio_irq_info(d, VFIO_PCI_ERR_IRQ_INDEX, &irq), 0);
	assert_int_equal(irq.nr, 1);
	assert_int_equal(pinion_vfio_irq_enable(d, VFIO_PCI_ERR_IRQ_INDEX, 0, &event, 1), 0);
	assert_int_equal(poll(&want, 1, 0), 0);
	inject_error();
	assert_int_equal(poll(&want, 1, 10000), 1);
	assert_int_equal(pinion_vfio_irq_disable(d, VFIO_PCI_ERR_IRQ_INDEX), 0);
	close(event);
}

/* As a user who was given /dev/vfio/N, with a memlock limit below what is to be mapped. */
static int map_under_limit(void *arg)
{
	const struct rlimit small = { 1 << 20, 1 << 20 };
	struct pinion_hostmem *mem = arg;
	int container, fd, err;

	if (setrlimit(RLIMIT_MEMLOCK, &small) < 0 || setgid(SUPPORT_NOBODY) < 0 ||
	    setuid(SUPPORT_NOBODY) < 0)
		return 99;
	if (pinion_vfio_container_open(&container) < 0 ||
	    pinion_vfio_group_open(group, container, &fd) < 0)
		return 98;
	err = pinion_vfio_dma_map(container, mem->addr, IOVA, mem->len);
	return -err;
}

static void a_small_memlock_limit_is_enomem(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/dev/vfio/%u", group);
	assert_int_equal(chown(path, SUPPORT_NOBODY, SUPPORT_NOBODY), 0);
	assert_int_equal(support_child(map_under_limit, &mem), ENOMEM);
	assert_int_equal(chown(path, 0, 0), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void a_group_with_its_driver_has_no_blockers(void **state)
{
	char text[128];

	(void)state;
	assert_int_equal(pinion_vfio_group_blockers(group, text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

/* Last: the device goes back to the kernel's driver, and vfio knows nothing of the group. */
static void the_kernels_driver_is_named_as_blocker(void **state)
{
	char text[128], want[128];
	int container = -1, fd = -1;

	(void)state;
	assert_int_equal(hw_bind("\n"), 0);
	snprintf(want, sizeof(want), "%s (nvme)", hw_bdf);
	assert_int_equal(pinion_vfio_group_blockers(group, text, sizeof(text)), 1);
	assert_string_equal(text, want);
	assert_int_equal(pinion_vfio_container_open(&container), 0);
	assert_int_equal(pinion_vfio_group_open(group, container, &fd), -ENOENT);
	assert_int_equal(pinion_vfio_container_close(container), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		device_test(a_second_open_of_the_group_is_ebusy),
		device_test(a_container_without_group_knows_nothing),
		device_test(another_device_is_not_in_the_group),
		device_test(descriptors_do_not_survive_exec),
		device_test(ranges_leave_the_msi_window_out),
		device_test(a_map_is_counted_and_given_back),
		device_test(maps_that_cannot_be_are_refused),
		device_test(an_unmap_of_another_length_is_told),
		device_test(what_was_really_unmapped_is_told),
		device_test(all_mappings_go_at_once),
		cmocka_unit_test_setup_teardown(type1_unmaps_a_mapping_whole_or_not_at_all,
						open_type1, close_all),
		device_test(no_iommu_is_enotsup_where_nobody_turned_it_on),
		device_test(bar_0_is_an_nvme_controller),
		device_test(regions_that_are_not_there_are_refused),
		device_test(configuration_is_the_one_of_sysfs),
		device_test(bus_master_reaches_the_device),
		device_test(close_turns_bus_master_off),
		support_test(a_killed_driver_masters_nothing),
		device_test(reset_disables_the_controller),
		device_test(the_device_reaches_memory_by_iova),
		device_test(vectors_signal_their_own_eventfd),
		device_test(interrupts_that_cannot_be_are_refused),
		device_test(an_error_of_the_device_is_told),
		support_test(a_small_memlock_limit_is_enomem),
		support_test(a_group_with_its_driver_has_no_blockers),
		support_test(the_kernels_driver_is_named_as_blocker),
	};
	int status = 0;

	if (hw_vfio_begin(argc, argv, &group, &status) < 0)
		return status;
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
