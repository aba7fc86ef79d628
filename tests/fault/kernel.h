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
 * serve to get past them, to the call that fails.
 */

/* The eventfd of VFIO_PCI_MSIX_IRQ_INDEX that was enabled; -1: none. */
int kernel_eventfd(void);

/* Bytes that are mapped in the one container. */
unsigned long long kernel_mapped(void);

/* A new machine: its container is empty, and no interrupt enabled. */
void kernel_reset(void);

#endif
