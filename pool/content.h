/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_CONTENT_H
#define POOL_CONTENT_H

/*
 * What lies in a magazine, as the control area has it while nobody holds the magazine: the ids of
 * its buffers. Their generations are in the owner words.
 *
 * Relaxed: the magazine's word carries them (depot.h). Anybody may have scribbled.
 */

#include "depot.h"

/*
 * Fills @magazine with those of the @nr ids at @content that count: which are of @range, and of
 * which the owner word agrees that it lies in this magazine. The contents alone do not say so.
 */
void content_read(const _Atomic uint32_t *content, uint32_t nr, _Atomic uint64_t *owner,
		  const struct depot_range *range, struct pinion_magazine *magazine);

/* The ids of @magazine. */
void content_write(_Atomic uint32_t *content, const struct pinion_magazine *magazine);

#endif
