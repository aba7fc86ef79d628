/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_TARGET_H
#define PINION_TESTS_FUZZ_TARGET_H

/*
 * A target, as target.c plays it: a run is a script, from its first byte to its last.
 */

#include "script.h"

void target_open(void);
void target_step(struct script *script);
void target_close(void);

#endif
