/* SPDX-License-Identifier: BSD-3-Clause */
#include "parcel.h"

#include "mail.h"

int parcels_take(struct parcels *parcels, uint32_t slot)
{
	int file = parcels->file[slot];

	parcels->file[slot] = -1;
	return file;
}

void parcels_put(struct parcels *parcels, uint32_t slot, int file)
{
	int before = parcels_take(parcels, slot);

	if (before >= 0)
		mail_close_files(&before, 1);
	parcels->file[slot] = file;
}

void parcels_drop(struct parcels *parcels)
{
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		parcels_put(parcels, i, -1);
}
