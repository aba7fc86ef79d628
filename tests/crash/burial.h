/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_BURIAL_H
#define PINION_TESTS_BURIAL_H

/*
 * What a keeper does about the dead of a company, and what must hold then. Each gives what is
 * wrong, or NULL.
 */

#include "parts.h"

/* Of @player, all but the @nr that are in @transit; then again, which changes no byte. */
const char *burial_recover(const struct view *view, int player, const struct pinion_buffer *transit,
			   uint32_t nr);

/* Its number is free, and it holds nothing. */
const char *burial_release(const struct view *view, int player);

/* Both, where nothing is in transit. */
const char *burial_whole(const struct view *view, int player);

/* invariant_broken() of what is left. */
const char *burial_sound(const struct view *view);

/* A fate: nobody is left. */
const char *burial_of_all(struct view *view);

#endif
