/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_SYSFS_H
#define POOL_SYSFS_H

/*
 * What the kernel says of nodes and processors, in short files under /sys/devices/system.
 *
 * Not by libnuma where a call would read them: it ends the process when memory is short, and
 * remembers for the rest of its life what it could not read. Here a failure is one of this look
 * alone, and costs no memory.
 */

#include <stdbool.h>
#include <stddef.h>

/* Room for any of these files: the kernel writes at most a page into one. */
#define SYSFS_MAX 4096

/* The whole of it, as a string; false when it cannot be read. */
bool sysfs_read(const char *path, char *text, size_t room);

/* The next range of a list such as "0-1,4", and @at moved behind it; false at the end. */
bool sysfs_range(const char **at, unsigned long *first, unsigned long *last);

#endif
