/* SPDX-License-Identifier: BSD-3-Clause */
/* iommufd.h with an NVMe drive behind an IOMMU, on a kernel that has it. See hw_support.h. */

#include <pinion/iommufd.h>
#include <pinion/pci.h>
#include <pinion/vfio_config.h>

#include <sys/resource.h>

#include "hw_master.h"
#include "hw_support.h"

/* An address no physical memory of a small machine has: only a translation makes it work. */
#define IOVA UINT64_C(0x4000000000)

/* The window of the processor's interrupts, which the IOMMU does not translate. */
#define MSI UINT64_C(0xfee00000)
#define MSI_LAST UINT64_C(0xfeefffff)

static struct pinion_pci_bdf bdf;
static int iommufd = -1, d = -1;
static uint32_t id, ioas;

/* Closing an iommufd frees its spaces. */
static int give_up(int err)
{
	if (d >= 0)
		(void)pinion_iommufd_device_close(d);
	if (iommufd >= 0)
		(void)pinion_iommufd_close(iommufd);
	d = iommufd = -1;
	return err;
}

static int open_all(void **state)
{
	int err = support_fds_before(state);

	if (err == 0)
		err = pinion_iommufd_open(&iommufd);
	if (err == 0)
		err = pinion_iommufd_ioas_alloc(iommufd, &ioas);
	if (err == 0)
		err = pinion_iommufd_device_open(hw_bdf, iommufd, &d, &id);
	if (err == 0)
		err = pinion_iommufd_device_attach(d, ioas);
	return err == 0 ? 0 : give_up(err);
}

static int close_all(void **state)
{
	int err = pinion_iommufd_device_close(d);

	d = -1;
	if (err == 0)
		err = pinion_iommufd_ioas_free(iommufd, ioas);
	if (err < 0)
		return give_up(err);
	err = pinion_iommufd_close(iommufd);
	iommufd = -1;
	return err == 0 ? support_fds_after(state) : err;
}

static void the_node_of_the_device_is_found(void **state)
{
	unsigned number = 1000;
	char path[64];

	(void)state;
	assert_int_equal(pinion_iommufd_device_find(hw_bdf, &number), 0);
	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", number);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(pinion_iommufd_device_find("0000:00:1f.7", &number), -ENOENT);
	assert_int_equal(pinion_iommufd_device_find("../devices", &number), -EINVAL);
	assert_int_equal(pinion_iommufd_device_find(NULL, &number), -EINVAL);
}

static void descriptors_do_not_survive_exec(void **state)
{
	(void)state;
	assert_int_equal(fcntl(iommufd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(d, F_GETFD), FD_CLOEXEC);
}

static void a_device_is_opened_once(void **state)
{
	int other = -1, fd = -1;
	uint32_t which = 0;

	(void)state;
	assert_int_equal(pinion_iommufd_open(&other), 0);
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, other, &fd, &which), -EINVAL);
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, iommufd, &fd, &which), -EINVAL);
	assert_int_equal(fd, -1);
	assert_int_equal(pinion_iommufd_close(other), 0);
}

static void what_is_no_iommufd_is_refused(void **state)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint32_t which = 7;
	int fd = -1;

	(void)state;
	assert_int_equal(pinion_iommufd_ioas_alloc(null, &which), -ENOTTY);
	assert_int_equal(pinion_iommufd_device_close(d), 0);
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, null, &fd, &which), -EBADFD);
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, -1, &fd, &which), -EINVAL);
	assert_int_equal(fd, -1);
	assert_int_equal(which, 7);
	close(null);
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, iommufd, &d, &id), 0);
}

/* One way at a time, by the group or by the device. */
static void a_group_that_is_open_keeps_the_device(void **state)
{
	int container = -1, group = -1, fd = -1;
	uint32_t which = 0;
	unsigned number = 0;

	(void)state;
	assert_int_equal(pinion_pci_iommu_group(&bdf, &number), 0);
	assert_int_equal(pinion_vfio_container_open(&container), 0);
	assert_int_equal(pinion_vfio_group_open(number, container, &group), -EBUSY);
	assert_int_equal(pinion_iommufd_device_close(d), 0);
	assert_int_equal(pinion_vfio_group_open(number, container, &group), 0);
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, iommufd, &fd, &which), -EBUSY);
	assert_int_equal(fd, -1);
	assert_int_equal(pinion_vfio_group_close(group), 0);
	assert_int_equal(pinion_vfio_container_close(container), 0);
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, iommufd, &d, &id), 0);
}

static void ranges_narrow_when_the_device_joins(void **state)
{
	struct pinion_iommufd_ioas with = { 0 }, without = { 0 };
	uint32_t i;

	(void)state;
	assert_int_equal(pinion_iommufd_ioas_ranges(iommufd, ioas, &with), 0);
	assert_int_equal(with.alignment, 4096);
	assert_true(with.nr_ranges >= 2);
	for (i = 0; i < with.nr_ranges; i++)
		assert_true(with.range[i].last < MSI || with.range[i].start > MSI_LAST);
	assert_int_equal(pinion_iommufd_device_detach(d), 0);
	assert_int_equal(pinion_iommufd_ioas_ranges(iommufd, ioas, &without), 0);
	assert_int_equal(without.nr_ranges, 1);
	assert_int_equal(without.range[0].start, 0);
	assert_int_equal(pinion_iommufd_ioas_ranges(iommufd, 1000, &with), -ENOENT);
}

static void allowed_ranges_keep_out_who_would_narrow_them(void **state)
{
	const struct pinion_iommufd_range good = { IOVA, IOVA + (1 << 30) - 1 };
	const struct pinion_iommufd_range window = { MSI, MSI_LAST };
	const struct pinion_iommufd_range twice[2] = { good, good };
	struct pinion_hostmem mem = hw_memory(1);
	uint64_t iova = 0;

	(void)state;
	assert_int_equal(pinion_iommufd_ioas_allow(iommufd, ioas, &window, 1), -EADDRINUSE);
	assert_int_equal(pinion_iommufd_ioas_allow(iommufd, ioas, twice, 2), -EINVAL);
	assert_int_equal(pinion_iommufd_ioas_allow(iommufd, ioas, &good, 1), 0);
	assert_int_equal(pinion_iommufd_dma_map_anywhere(iommufd, ioas, mem.addr, mem.len, &iova),
			 0);
	assert_true(iova >= good.start && iova + mem.len - 1 <= good.last);
	assert_int_equal(pinion_iommufd_dma_unmap(iommufd, ioas, iova, mem.len), 0);
	assert_int_equal(pinion_iommufd_device_detach(d), 0);
	assert_int_equal(pinion_iommufd_ioas_allow(iommufd, ioas, &window, 1), 0);
	assert_int_equal(pinion_iommufd_device_attach(d, ioas), -EADDRINUSE);
	assert_int_equal(pinion_iommufd_ioas_allow(iommufd, ioas, NULL, 0), 0);
	assert_int_equal(pinion_iommufd_device_attach(d, ioas), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void maps_that_cannot_be_are_refused(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	uint64_t iova = 7;

	(void)state;
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, IOVA, mem.len), -EEXIST);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, MSI, 4096), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, 0x1234, 4096), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, IOVA, 0), -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, UINT64_MAX - 4095, 8192),
			 -EINVAL);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, 1000, mem.addr, 0, mem.len), -ENOENT);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, (char *)mem.addr + mem.len,
						IOVA + mem.len, 4096), -EFAULT);
	assert_int_equal(pinion_iommufd_dma_map_anywhere(iommufd, ioas, mem.addr, 0, &iova),
			 -EINVAL);
	assert_int_equal(iova, 7);
	assert_int_equal(pinion_iommufd_dma_unmap(iommufd, ioas, IOVA, mem.len), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* What cannot be pinned shows when the first device joins. */
static void a_bad_mapping_is_refused_at_the_attach(void **state)
{
	char *hole = mmap(NULL, HW_HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t unmapped = 0;

	(void)state;
	assert_ptr_not_equal(hole, MAP_FAILED);
	assert_int_equal(pinion_iommufd_device_detach(d), 0);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, hole, IOVA, HW_HUGE), 0);
	assert_int_equal(pinion_iommufd_device_attach(d, ioas), -EFAULT);
	assert_int_equal(pinion_iommufd_dma_unmap_all(iommufd, ioas, &unmapped), 0);
	assert_int_equal(unmapped, HW_HUGE);
	assert_int_equal(pinion_iommufd_device_attach(d, ioas), 0);
	assert_int_equal(munmap(hole, HW_HUGE), 0);
}

static void what_was_really_unmapped_is_told(void **state)
{
	struct pinion_hostmem mem = hw_memory(2);
	uint64_t unmapped = 7;

	(void)state;
	/* Two mappings, and a gap between them. */
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, IOVA, HW_HUGE), 0);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, IOVA + 2 * HW_HUGE,
						HW_HUGE), 0);
	assert_int_equal(pinion_iommufd_dma_unmap(iommufd, ioas, IOVA, 4096), -ENOENT);
	assert_int_equal(pinion_iommufd_dma_unmap_range(iommufd, ioas, IOVA, 0, &unmapped),
			 -EINVAL);
	assert_int_equal(unmapped, 7);
	assert_int_equal(pinion_iommufd_dma_unmap(iommufd, ioas, IOVA, 4 * HW_HUGE), -EIO);
	assert_int_equal(pinion_iommufd_dma_unmap(iommufd, ioas, IOVA, 4 * HW_HUGE), -ENOENT);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void all_mappings_go_at_once(void **state)
{
	struct pinion_hostmem mem = hw_memory(2);
	uint64_t unmapped = 0;

	(void)state;
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, 0, HW_HUGE), 0);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_iommufd_dma_unmap_all(iommufd, ioas, &unmapped), 0);
	assert_int_equal(unmapped, HW_HUGE + mem.len);
	assert_int_equal(pinion_iommufd_dma_unmap_all(iommufd, ioas, &unmapped), 0);
	assert_int_equal(unmapped, 0);
	assert_int_equal(pinion_iommufd_dma_unmap_all(iommufd, 1000, &unmapped), -ENOENT);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void a_space_with_a_device_is_not_freed(void **state)
{
	(void)state;
	assert_int_equal(pinion_iommufd_ioas_free(iommufd, ioas), -EBUSY);
	assert_int_equal(pinion_iommufd_ioas_free(iommufd, 1000), -ENOENT);
	assert_int_equal(pinion_iommufd_device_attach(d, 1000), -ENOENT);
	assert_int_equal(pinion_iommufd_device_attach(d, id), -EINVAL);
}

/* The device asks where it is, and answers into memory that it knows as iova. */
static void identify_by(void *addr, uint64_t iova)
{
	uint16_t vendor = 0;
	void *regs = NULL;
	size_t len = 0;

	assert_int_equal(pinion_vfio_config_read16(d, PCI_VENDOR_ID, &vendor), 0);
	assert_int_equal(pinion_vfio_region_map(d, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len), 0);
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	hw_identify(regs, addr, iova, vendor);
	assert_int_equal(pinion_vfio_bus_master_set(d, false), 0);
	assert_int_equal(pinion_vfio_region_unmap(regs, len), 0);
}

static void the_device_reaches_memory_by_iova(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);

	(void)state;
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, IOVA, mem.len), 0);
	identify_by(mem.addr, IOVA);
	assert_int_equal(pinion_iommufd_dma_unmap(iommufd, ioas, IOVA, mem.len), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* Copied to a space of its own, and the device moves there without being detached. */
static void a_copy_outlives_what_it_was_copied_from(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	uint32_t other = 0;

	(void)state;
	assert_int_equal(pinion_iommufd_ioas_alloc(iommufd, &other), 0);
	assert_int_equal(pinion_iommufd_dma_map(iommufd, ioas, mem.addr, IOVA, mem.len), 0);
	assert_int_equal(pinion_iommufd_dma_copy(iommufd, ioas, IOVA, other, IOVA + mem.len,
						 2 * mem.len), -ENOENT);
	/* A part of it will do. */
	assert_int_equal(pinion_iommufd_dma_copy(iommufd, ioas, IOVA, other, IOVA + 4 * mem.len,
						 4096), 0);
	assert_int_equal(pinion_iommufd_dma_copy(iommufd, ioas, IOVA, other, IOVA + mem.len,
						 mem.len), 0);
	assert_int_equal(pinion_iommufd_dma_copy(iommufd, ioas, IOVA, other, IOVA + mem.len,
						 mem.len), -EEXIST);
	assert_int_equal(pinion_iommufd_dma_unmap(iommufd, ioas, IOVA, mem.len), 0);
	assert_int_equal(pinion_iommufd_device_attach(d, other), 0);
	identify_by(mem.addr, IOVA + mem.len);
	assert_int_equal(pinion_iommufd_device_attach(d, ioas), 0);
	assert_int_equal(pinion_iommufd_ioas_free(iommufd, other), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* Linux 6.13 and later; until then it is said, and nothing is mapped. */
static void a_file_is_mapped_or_it_is_said(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	uint64_t unmapped = 0;
	const int err = pinion_iommufd_dma_map_file(iommufd, ioas, mem.fd, 0, IOVA, mem.len);

	(void)state;
	if (err == 0)
		identify_by(mem.addr, IOVA);
	else
		assert_int_equal(err, -ENOTSUP);
	assert_int_equal(pinion_iommufd_dma_unmap_all(iommufd, ioas, &unmapped), 0);
	assert_int_equal(unmapped, err == 0 ? mem.len : 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void settings_are_read_back(void **state)
{
	uint64_t value = 7;
	int fresh = -1;

	(void)state;
	assert_int_equal(pinion_iommufd_option_get(iommufd, PINION_IOMMUFD_HUGE_PAGES, ioas,
						   &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(pinion_iommufd_option_get(iommufd, 1000, 0, &value), -EOPNOTSUPP);
	assert_int_equal(pinion_iommufd_option_get(iommufd, PINION_IOMMUFD_HUGE_PAGES, 1000,
						   &value), -ENOENT);
	assert_int_equal(pinion_iommufd_option_set(iommufd, PINION_IOMMUFD_HUGE_PAGES, ioas, 2),
			 -EINVAL);
	assert_int_equal(pinion_iommufd_option_set(iommufd, PINION_IOMMUFD_RLIMIT_MODE, 0, 1),
			 -EBUSY);
	assert_int_equal(pinion_iommufd_open(&fresh), 0);
	assert_int_equal(pinion_iommufd_option_set(fresh, PINION_IOMMUFD_RLIMIT_MODE, 0, 1), 0);
	assert_int_equal(pinion_iommufd_option_get(fresh, PINION_IOMMUFD_RLIMIT_MODE, 0, &value),
			 0);
	assert_int_equal(value, 1);
	assert_int_equal(pinion_iommufd_close(fresh), 0);
}

static void close_turns_bus_master_off(void **state)
{
	(void)state;
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	assert_true(hw_is_master());
	assert_int_equal(pinion_iommufd_device_close(d), 0);
	assert_false(hw_is_master());
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, iommufd, &d, &id), 0);
}

/* A driver of its own, which turns mastering on and is then killed. */
static int drive_and_wait(void *ready)
{
	int own = -1, device = -1;
	uint32_t number = 0;

	if (pinion_iommufd_open(&own) < 0 ||
	    pinion_iommufd_device_open(hw_bdf, own, &device, &number) < 0 ||
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

/* Exit statuses of a user; those below are the errno of the mapping. */
enum { IS_ROOT = 200, NO_LIMIT, IOMMUFD_IS_NOT_HIS, NO_IOMMUFD, NO_SPACE, DEVICE_IS_NOT_HIS,
       NO_DEVICE, NOT_ATTACHED };

static int map_as_user(const struct pinion_hostmem *mem)
{
	int own = -1, device = -1, err;
	uint32_t number = 0, space = 0;

	if (setgid(SUPPORT_NOBODY) < 0 || setuid(SUPPORT_NOBODY) < 0)
		return IS_ROOT;
	err = pinion_iommufd_open(&own);
	if (err < 0)
		return err == -EACCES ? IOMMUFD_IS_NOT_HIS : NO_IOMMUFD;
	if (pinion_iommufd_ioas_alloc(own, &space) < 0)
		return NO_SPACE;
	err = pinion_iommufd_device_open(hw_bdf, own, &device, &number);
	if (err < 0)
		return err == -EACCES ? DEVICE_IS_NOT_HIS : NO_DEVICE;
	if (pinion_iommufd_device_attach(device, space) < 0)
		return NOT_ATTACHED;
	return -pinion_iommufd_dma_map(own, space, mem->addr, IOVA, mem->len);
}

/* The second with a limit on locked memory below what is to be mapped. */
static int map_within_limit(void *mem)
{
	const struct rlimit enough = { 64 << 20, 64 << 20 };

	return setrlimit(RLIMIT_MEMLOCK, &enough) < 0 ? NO_LIMIT : map_as_user(mem);
}

static int map_under_limit(void *mem)
{
	const struct rlimit small = { 1 << 20, 1 << 20 };

	return setrlimit(RLIMIT_MEMLOCK, &small) < 0 ? NO_LIMIT : map_as_user(mem);
}

static void a_user_drives_what_is_given_to_him(void **state)
{
	struct pinion_hostmem mem = hw_memory(1);
	unsigned number = 0;
	char path[64];

	(void)state;
	assert_int_equal(pinion_iommufd_device_find(hw_bdf, &number), 0);
	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", number);
	assert_int_equal(support_child(map_within_limit, &mem), IOMMUFD_IS_NOT_HIS);
	assert_int_equal(chown("/dev/iommu", SUPPORT_NOBODY, SUPPORT_NOBODY), 0);
	assert_int_equal(support_child(map_within_limit, &mem), DEVICE_IS_NOT_HIS);
	assert_int_equal(chown(path, SUPPORT_NOBODY, SUPPORT_NOBODY), 0);
	assert_int_equal(support_child(map_under_limit, &mem), ENOMEM);
	assert_int_equal(support_child(map_within_limit, &mem), 0);
	assert_int_equal(chown(path, 0, 0), 0);
	assert_int_equal(chown("/dev/iommu", 0, 0), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* Last: the device goes back to the kernel's driver, and has no node of vfio's. */
static void a_device_of_another_driver_is_enoent(void **state)
{
	int own = -1, fd = -1;
	uint32_t number = 0;

	(void)state;
	assert_int_equal(hw_bind("\n"), 0);
	assert_int_equal(pinion_iommufd_open(&own), 0);
	assert_int_equal(pinion_iommufd_device_open(hw_bdf, own, &fd, &number), -ENOENT);
	assert_int_equal(pinion_iommufd_close(own), 0);
}

#define device_test(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		device_test(the_node_of_the_device_is_found),
		device_test(descriptors_do_not_survive_exec),
		device_test(a_device_is_opened_once),
		device_test(what_is_no_iommufd_is_refused),
		device_test(a_group_that_is_open_keeps_the_device),
		device_test(ranges_narrow_when_the_device_joins),
		device_test(allowed_ranges_keep_out_who_would_narrow_them),
		device_test(maps_that_cannot_be_are_refused),
		device_test(a_bad_mapping_is_refused_at_the_attach),
		device_test(what_was_really_unmapped_is_told),
		device_test(all_mappings_go_at_once),
		device_test(a_space_with_a_device_is_not_freed),
		device_test(the_device_reaches_memory_by_iova),
		device_test(a_copy_outlives_what_it_was_copied_from),
		device_test(a_file_is_mapped_or_it_is_said),
		device_test(settings_are_read_back),
		device_test(close_turns_bus_master_off),
		support_test(a_killed_driver_masters_nothing),
		support_test(a_user_drives_what_is_given_to_him),
		support_test(a_device_of_another_driver_is_enoent),
	};
	int status = 0;

	if (hw_begin(argc, argv, "vfio-pci", &status) < 0)
		return status;
	if (pinion_pci_bdf_parse(hw_bdf, &bdf) < 0) {
		hw_give_back(NULL);
		return hw_bail_out("no such function");
	}
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
