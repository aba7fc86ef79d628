/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HALTS_H
#define PINION_TESTS_HALTS_H

/*
 * One that works on a named pool (estate.h), killed wherever that can make a difference to others:
 * before and after each system call, and after each store to the control area. For each kill all is
 * made anew, and looked at afterwards.
 */

#include <stdint.h>

#include "step.h"

struct halts {
	const char *name;
	/* Makes all that there is before; @victim is at its start then. */
	void (*begin)(const void *arg, uint32_t nr, struct tracee *victim);
	/* After its death: what is wrong, or NULL. Nothing is left of the pool then. */
	const char *(*look)(const void *arg);
	const void *arg;
};

/* Each is one claim, and tells of the first kill that went wrong. */
void halts_calls(const struct halts *halts);
void halts_stores(const struct halts *halts);

#endif
