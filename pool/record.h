/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_RECORD_H
#define POOL_RECORD_H

/*
 * The record of a pool: what resume.h says is stored, taken from the keeper's private picture and
 * put back into that of the next. Nothing of it is read from shared memory.
 */

#include <pinion/resume.h>

#include "pool.h"

/* Closes a record: its sum. */
void record_close(struct pinion_pool_record *record);

/* Is it whole, and of this layout? 0 or -EPROTO with a sentence. */
int record_check(const struct pinion_pool_record *record);

/* Fills id, geometry, layout and slots of @pool, which is new but for the directory of a named one.
 * pre: record_check() accepted it.
 * -EPROTO  for slots that no pool has */
int record_apply(const struct pinion_pool_record *record, struct pinion_pool *pool);

/*
 * Tells the watch, if there is one, that slot @index is about to be in @state, by the next
 * make_publish(). -errno: it could not store that, and it is not to be done; with a sentence.
 * pre: the pool is locked.
 */
int record_tell(struct pinion_pool *pool, uint32_t index, enum slot_state state);

/* And that a segment went, for good. */
void record_tell_gone(struct pinion_pool *pool, uint32_t index);

#endif
