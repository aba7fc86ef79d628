/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_PARCEL_H
#define IPC_PARCEL_H

/*
 * Files of segments that came and that the pool has not asked for yet, by slot.
 */

#include <pinion/pool.h>

struct parcels {
	int file[PINION_SEGMENT_MAX]; /* -1: none */
};

static inline void parcels_init(struct parcels *parcels)
{
	for (unsigned i = 0; i < PINION_SEGMENT_MAX; i++)
		parcels->file[i] = -1;
}

/* Takes @file over. Of two for one slot the later counts: the segment of the first is gone.
 * pre: @slot is below PINION_SEGMENT_MAX. */
void parcels_put(struct parcels *parcels, uint32_t slot, int file);

/* The file, which is the caller's; -1: none came. */
int parcels_take(struct parcels *parcels, uint32_t slot);

/* Closes what nobody asked for. */
void parcels_drop(struct parcels *parcels);

#endif
