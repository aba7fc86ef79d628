/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_ERA_H
#define PINION_SOAK_ERA_H

/*
 * The life of a plan's pool, through as many keepers as it takes: MAKING, MADE, ENDING, OVER.
 */

#include <stdbool.h>

/* Makes the pool, or adopts it with the seats that an earlier keeper left. False: a problem. */
bool era_open(void);
/* Nobody is left: unmaps it. */
void era_close(void);
/* Removes its files. */
void era_end(void);

#endif
