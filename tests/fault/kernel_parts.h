/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_KERNEL_PARTS_H
#define TESTS_FAULT_KERNEL_PARTS_H

/*
 * What the parts of kernel.h know of each other. An answer is what ioctl(2) gives, or -errno.
 */

/* Name of an open file of the tree below its root, until the next call; NULL for others. */
const char *kernel_name_of(int fd);

int kernel_device_answer(unsigned long request, void *arg);
void kernel_device_reset(void);

/* Of an iommufd, and of a device's node that goes under it. */
int kernel_iommufd_answer(unsigned long request, void *arg);
int kernel_node_answer(unsigned long request, void *arg);
void kernel_iommufd_reset(void);

#endif
