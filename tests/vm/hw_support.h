/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HW_SUPPORT_H
#define PINION_TESTS_HW_SUPPORT_H

/*
 * What the programs with a real device share: which device, and its way from the kernel's driver
 * to ours and back. The device is argv[1], or PINION_TEST_BDF; without one the program is skipped.
 * Everything on the device is at stake: it is meant for the virtual machine of tests/vm/run.
 */

#include <sys/mman.h>

#include <pinion/hostmem.h>
#include <pinion/mmio.h>

#include "support.h"

#define HW_HUGE ((size_t)2 << 20)
#define HW_MS UINT64_C(1000000)
#define HW_PCI "/sys/bus/pci/"
#define HW_HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* Registers of an NVMe controller (NVM Express Base Specification 2.0, 3.1.3), in bytes. */
#define NVME_CAP 0x00
#define NVME_VS 0x08
#define NVME_CC 0x14
#define NVME_CSTS 0x1c
#define NVME_AQA 0x24
#define NVME_ASQ 0x28
#define NVME_ACQ 0x30

static const char *hw_bdf;

/* Write a line to a file of sysfs; 0 or -errno. */
static inline int hw_put(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* The name of the driver the device has, "" for none. The buffer is used again by the next call. */
static inline const char *hw_driver(void)
{
	static char target[256];
	char path[256];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), HW_PCI "devices/%s/driver", hw_bdf);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	slash = strrchr(target, '/');
	return slash != NULL ? slash + 1 : target;
}

static inline void hw_unbind(void)
{
	char path[256];

	snprintf(path, sizeof(path), HW_PCI "devices/%s/driver/unbind", hw_bdf);
	hw_put(path, hw_bdf);
}

/*
 * Take the device from its driver and let another have it; "\n" stands for whichever fits. The
 * kernel says nothing when none does: the link is looked at. 0, or -ENODEV.
 */
static inline int hw_bind(const char *driver)
{
	char path[256];
	int err;

	hw_unbind();
	snprintf(path, sizeof(path), HW_PCI "devices/%s/driver_override", hw_bdf);
	err = hw_put(path, driver);
	if (err == 0)
		err = hw_put(HW_PCI "drivers_probe", hw_bdf);
	if (err < 0)
		return err;
	return driver[0] == '\n' || strcmp(hw_driver(), driver) == 0 ? 0 : -ENODEV;
}

/* Load the driver and give it the device. */
static inline int hw_take(const char *driver)
{
	char line[64];

	snprintf(line, sizeof(line), "modprobe %s", driver);
	if (system(line) != 0)
		return -1;
	return hw_bind(driver);
}

/* Let the kernel's own driver have the device again. */
static inline int hw_give_back(void **state)
{
	(void)state;
	return hw_bind("\n");
}

/* At least nr free hugepages of 2 MiB, on whichever node. */
static inline int hw_hugepages(long nr)
{
	char text[32];

	if (support_read_long(HW_HUGEPAGES) >= nr)
		return 0;
	snprintf(text, sizeof(text), "%ld\n", nr);
	if (hw_put(HW_HUGEPAGES, text) < 0)
		return -1;
	return support_read_long(HW_HUGEPAGES) >= nr ? 0 : -1;
}

static inline struct pinion_hostmem hw_memory(size_t pages)
{
	struct pinion_hostmem mem = { -1, NULL, 0, 0 };

	assert_int_equal(pinion_hostmem_create("hw", pages * HW_HUGE, HW_HUGE, &mem), 0);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	return mem;
}

static inline volatile void *hw_reg(void *regs, size_t off)
{
	return (volatile char *)regs + off;
}

/* What every NVMe controller answers: version 1 to 2, 64-byte doorbells at most, some queue. */
static inline void hw_check_nvme(void *regs)
{
	const uint64_t cap = pinion_mmio_read64(hw_reg(regs, NVME_CAP));
	const uint32_t vs = pinion_mmio_read32(hw_reg(regs, NVME_VS));

	assert_true(cap == pinion_mmio_read64_lo_hi(hw_reg(regs, NVME_CAP)));
	assert_true(cap == pinion_mmio_read64_hi_lo(hw_reg(regs, NVME_CAP)));
	assert_true((cap & 0xffff) != 0);  /* MQES: entries of a queue, less one */
	assert_true((cap >> 37 & 1) == 1); /* CSS: the NVM command set */
	assert_true(vs >> 16 == 1 || vs >> 16 == 2);
}

/* The controller is disabled and says so. */
static inline void hw_disable_nvme(void *regs)
{
	pinion_mmio_write32(hw_reg(regs, NVME_CC), 0);
	assert_int_equal(pinion_mmio_wait32(hw_reg(regs, NVME_CSTS), 1, 0, 30000 * HW_MS), 0);
}

#define HW_PAGE 4096u
#define HW_QUEUE 2u
#define HW_IDENTIFY 0x06u

/*
 * The smallest proof that the device reaches memory: Identify Controller (CNS 1) through an admin
 * queue of two entries. In one hugepage at addr, which the device knows as bus: submission queue
 * in the first 4 KiB, completion queue in the second, the answer in the third.
 * Queue id 0, doorbells at 0x1000 (and 0x1004 with CAP.DSTRD = 0).
 */
static inline void hw_enable_nvme(void *regs, uint64_t bus)
{
	hw_disable_nvme(regs);
	pinion_mmio_write32(hw_reg(regs, NVME_AQA), (HW_QUEUE - 1) << 16 | (HW_QUEUE - 1));
	pinion_mmio_write64(hw_reg(regs, NVME_ASQ), bus);
	pinion_mmio_write64(hw_reg(regs, NVME_ACQ), bus + HW_PAGE);
	/* 16-byte completions, 64-byte commands, 4 KiB pages, enabled. */
	pinion_mmio_write32(hw_reg(regs, NVME_CC), 4u << 20 | 6u << 16 | 1);
	assert_int_equal(pinion_mmio_wait32(hw_reg(regs, NVME_CSTS), 1, 1, 30000 * HW_MS), 0);
}

/* Ask, and check the vendor in the answer against configuration space. */
static inline void hw_identify(void *regs, char *addr, uint64_t bus, uint16_t vendor)
{
	const uint32_t command[16] = { [0] = HW_IDENTIFY,
				       [6] = (uint32_t)((bus + 2 * HW_PAGE) & UINT32_MAX),
				       [7] = (uint32_t)((bus + 2 * HW_PAGE) >> 32),
				       [10] = 1 };
	/* Dword 3 of the completion, its phase bit 16 and status above, starts as 0. */
	const char *status = addr + HW_PAGE + 12;
	uint16_t got = 0;

	memset(addr, 0, 3 * HW_PAGE);
	hw_enable_nvme(regs, bus);
	memcpy(addr, command, sizeof(command));
	pinion_mmio_write32(hw_reg(regs, 0x1000), 1);
	assert_int_equal(pinion_mmio_wait32(status, 1u << 16, 1u << 16, 30000 * HW_MS), 0);
	assert_int_equal(pinion_mmio_read32(status) >> 17, 0);
	memcpy(&got, addr + 2 * HW_PAGE, sizeof(got));
	assert_int_equal(got, vendor);
	hw_disable_nvme(regs);
}

/* The device was named, so what keeps us from it is a failure. Returns the exit status. */
static inline int hw_bail_out(const char *why)
{
	printf("Bail out! %s: %s\n", hw_bdf, why);
	return 1;
}

/* Take the device that was named. 0; or -1, and status is what main() returns. */
static inline int hw_begin(int argc, char **argv, const char *driver, int *status)
{
	hw_bdf = argc > 1 ? argv[1] : getenv("PINION_TEST_BDF");
	if (hw_bdf == NULL)
		*status = support_skip("no device: give its name, or set PINION_TEST_BDF");
	else if (geteuid() != 0)
		*status = hw_bail_out("needs root");
	else if (hw_hugepages(8) < 0)
		*status = hw_bail_out("cannot reserve 8 hugepages of 2 MiB");
	else if (hw_take(driver) < 0) {
		hw_give_back(NULL);
		*status = hw_bail_out("the driver does not take it");
	} else
		return 0;
	return -1;
}

#endif
