/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_BURIAL_H
#define PINION_SOAK_BURIAL_H

/*
 * Burials: recovery when a member died, with what is in transit; release when its neighbours have
 * drained what it sent.
 */

#include <stdint.h>

/* The member of @seat is dead, its pidfd says so: LIVE becomes DEAD. */
void burial_of(uint32_t seat);
/* A DEAD one whose recovery an earlier keeper may not have ended. */
void burial_again(uint32_t seat);
/* DEAD becomes EMPTY where nobody has anything to take any more. */
void burial_release_mourned(void);
/* Members admitted to no seat, because a keeper was killed between the one and the other; and
 * killed keepers themselves. */
void burial_of_strays(void);

#endif
