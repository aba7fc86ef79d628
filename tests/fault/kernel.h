/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_KERNEL_H
#define TESTS_FAULT_KERNEL_H

/*
 * What the kernel does beside storing bytes, where a machine made of files (headers.h) has none:
 *
 *     write(2)   to "bind", "unbind", "drivers_probe" and "driver_override" of the tree gives the
 *                drive to a driver or takes it away, and shows the override as sysfs does
 *     ioctl(2)   on a file of the tree is answered as VFIO answers it
 *
 * Both make the real system call first, so that the injector meets it; only what that has let
 * through is followed. VFIO wants a device, and its real answers are tested in tests/vm: here they
 * serve to get past them, to the call that fails. kernel_device.c is the device's part of it.
 */

#include <stdbool.h>

/* Bytes of a BAR 2, where the second page cannot be mapped: kernel_device.c. */
#define KERNEL_SPARSE_LEN 12288u

/* The eventfd of VFIO_PCI_MSIX_IRQ_INDEX that was enabled; -1: none. */
int kernel_eventfd(void);

/* Whether the device was reset since this was asked. */
bool kernel_was_reset(void);

/* Bytes that are mapped in the one container. */
unsigned long long kernel_mapped(void);

/* A new machine: its container is empty, no interrupt enabled, and the device was not reset. */
void kernel_reset(void);

#endif
