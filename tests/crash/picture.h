/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_PICTURE_H
#define PINION_TESTS_PICTURE_H

/*
 * What a process believes about segments, brought up to a control area that changed under it: by
 * a child that is the keeper now, or because another state was loaded. That is what adoption does
 * (pool/adopt.c), for a pool that is there already. The control area itself is only read.
 */

#include "pool.h"

/* NULL, or what the control area says that cannot be. */
const char *picture_update(struct pinion_pool *pool);

#endif
