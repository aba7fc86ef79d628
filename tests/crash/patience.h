/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_PATIENCE_H
#define PINION_TESTS_PATIENCE_H

/*
 * For how long something is looked for that is to come by itself:
 *
 *     struct patience patience = patience_for(PATIENCE_NS);
 *
 *     do
 *             look();
 *     while (!came && patience_left(&patience));
 *
 * The time alone does not end it: on a machine that is busy enough the first look may take all of
 * that, and tell what was the case when it began.
 */

#include "support.h"

/* At some milliseconds each, which is more than whoever has just been let run again takes to come
 * back (RETRY_NS in ipc/link.c). */
#define PATIENCE_LOOKS 100

struct patience {
	uint64_t until_ns;
	uint32_t looks;
};

static inline struct patience patience_for(uint64_t ns)
{
	return (struct patience){.until_ns = test_now_ns() + ns};
}

/* One look was in vain: may there be another? */
static inline bool patience_left(struct patience *patience)
{
	return ++patience->looks < PATIENCE_LOOKS || test_now_ns() < patience->until_ns;
}

#endif
