/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SLOTS_H
#define PINION_TESTS_SLOTS_H

#include <pinion/resume.h>

/* What in the slots of a pool, this process's part and the one that is shared, is not as recorded:
 * each segment is all there, or not at all. NULL: nothing. */
const char *slots_wrong(const struct pinion_pool *pool, const struct pinion_pool_record *record);

#endif
