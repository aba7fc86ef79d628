/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_MOUNT_H
#define PINION_SOAK_MOUNT_H

/*
 * A hugetlbfs that no other process sees, for named pools: its free pages are counted exactly,
 * whatever other programs do with theirs.
 */

#include "board.h"

/* With @nr pages of 2 MiB; where it is, or NULL after a remark that says why not. */
const char *mount_open(int nr);
void mount_close(void);

/* No pool is there: all pages must be free. */
void mount_check(struct board *board);

#endif
