/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_RECOUNT_H
#define PINION_TESTS_RECOUNT_H

/*
 * Recovery's report, held against our own count of the words: made before recovery ran, of what
 * those that it is about have. All that is not in transit is reported returned, once; what is in
 * transit is reported so, and is all that the dead still hold; so are their magazines, with those
 * that a killed recovery left.
 *
 * pre: nobody else moves. Each gives what is wrong, or NULL.
 */

#include <pinion/pool.h>

#include "snapshot.h"

/* pinion_pool_recover() */
const char *recount_recover(struct pinion_pool *pool, uint32_t member,
			    const struct pinion_buffer *transit, uint32_t nr);

/* ... and once more, which changes no byte. */
const char *recount_recover_twice(struct pinion_pool *pool, uint32_t member,
				  const struct pinion_buffer *transit, uint32_t nr);

/* pinion_pool_release() */
const char *recount_release(struct pinion_pool *pool, uint32_t member);

/* pinion_pool_adopt() or pinion_pool_resume(), where nobody lived: @pool was @before then. */
const char *recount_buried(const struct snapshot *before, const struct pinion_pool *pool,
			   const struct pinion_recovery *report);

#endif
