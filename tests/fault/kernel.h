/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_KERNEL_H
#define TESTS_FAULT_KERNEL_H

/*
 * What the kernel does beside storing bytes, where a machine made of files (headers.h) has none:
 *
 *     write(2)   to "bind", "unbind", "drivers_probe" and "driver_override" of the tree gives the
 *                drive to a driver or takes it away, and shows the override as sysfs does
 *     ioctl(2)   on a file of the tree is answered as VFIO or an iommufd answers it
 *
 * Each makes the real system call first, so that the injector meets it; only what that has let
 * through is followed. Both want a device, and their real answers are tested in tests/vm: here they
 * serve to get past them, to the call that fails. Parts: kernel_device.c, kernel_iommufd.c.
 */

#include <stdbool.h>
#include <stdint.h>

/* Bytes of a BAR 2, where the second page cannot be mapped: kernel_device.c. */
#define KERNEL_SPARSE_LEN 12288u

/* The eventfd of VFIO_PCI_MSIX_IRQ_INDEX that was enabled; -1: none. */
int kernel_eventfd(void);

/* Whether the device was reset since this was asked. */
bool kernel_was_reset(void);

/* The IOMMU of the one container, by its kind; 0: it has none yet. */
uint32_t kernel_iommu(void);

/* Bytes that are mapped in it. */
unsigned long long kernel_mapped(void);

/* Of the iommufd: bytes mapped in a space, ranges allowed in it; how many spaces there are, in
 * which the device lives (0: none), and PINION_IOMMUFD_HUGE_PAGES. */
unsigned long long kernel_space_mapped(uint32_t ioas);
uint32_t kernel_space_allowed(uint32_t ioas);
uint32_t kernel_spaces(void);
uint32_t kernel_home(void);
uint64_t kernel_huge_pages(void);

/* Where it maps what may be anywhere. */
#define KERNEL_CHOSEN_IOVA 0x200000u

/* A new machine: nothing is mapped, no interrupt enabled, no space there, and nothing was reset. */
void kernel_reset(void);

#endif
