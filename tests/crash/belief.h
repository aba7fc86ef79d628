/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_BELIEF_H
#define PINION_TESTS_BELIEF_H

/*
 * What a stopped child believes of segments, read out of its memory. A member that has looked at
 * the present epoch does not look again: it must know every slot's state as it is now.
 */

#include "scene.h"

/* NULL, or what @actor would go on to believe. pre: nobody is within an operation. */
const char *belief_wrong(const struct scene *scene, const struct actor *actor);

#endif
