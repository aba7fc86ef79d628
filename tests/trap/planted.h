/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRAP_PLANTED_H
#define PINION_TESTS_TRAP_PLANTED_H

/*
 * A planted bug, put before the first line of a ring's user by the compiler (-include): slots are
 * looked at twice, first for the lap, then for the descriptor.
 */

#include "desc16.h"

static inline bool planted_load(const struct pinion_slot *slot, struct pinion_lap lap,
				struct pinion_desc *desc)
{
	struct pinion_desc ignored;

	if (!desc16_load(slot, lap, desc))
		return false;
	(void)desc16_load(slot, lap, &ignored);
	*desc = ignored;
	return true;
}

static inline bool planted_load_line(const struct pinion_slot *slot, struct pinion_lap lap,
				     struct pinion_desc *desc)
{
	struct pinion_desc ignored[4];

	if (!desc16_load_line(slot, lap, ignored))
		return false;
	(void)desc16_load_line(slot, lap, desc);
	return true;
}

#define desc16_load planted_load
#define desc16_load_line planted_load_line

#endif
