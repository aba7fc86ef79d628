/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_CONFIG_SCAN_H
#define PINIOND_CONFIG_SCAN_H

/*
 * What libconfig passes over in silence, found in the text before it is parsed:
 *  - a whole number beyond 32 bits without an L behind it is cut to its low 32 bits (1.5): a size
 *    of 68719476736 would be 0;
 *  - a leading zero means nothing, so that 0666 is six hundred and sixty-six;
 *  - all that follows a comment that is never closed;
 *  - @include, which would bring text that nobody looked at here.
 */

#include <stdbool.h>

#include "config_mistake.h"

/* False: it is not to be parsed. */
bool scan_text(struct config_mistakes *mistakes, const char *text);

#endif
