/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_CONTAINER_H
#define PINION_TESTS_CONTAINER_H

/*
 * A file that piniond keeps for a device process: a VFIO container, with nothing in it. Where there
 * is no VFIO it is /dev/null by that name, in a /dev that this process and its children alone see:
 * whether the service keeps it and lets it go is the same, what is mapped in one is not seen here
 * (../vm, suite nvme_kills).
 */

#include <stdbool.h>

#define CONTAINER "/dev/vfio/vfio"

/* False: there is none, and none can be made. Idempotent. */
bool container_make(void);

#endif
