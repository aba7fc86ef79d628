/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_CENSUS_H
#define PINION_SOAK_CENSUS_H

/*
 * A census: the pool's own counts against one of ours over the owner words, with nothing held and
 * with some. The pool takes for held what is not free; here a buffer is held whose word names a
 * member, and free whose word names a magazine.
 */

#include "board.h"

/* pre: nobody but the keeper is there, and it holds nothing. Leaves it like that. */
void census(struct board *board, struct pinion_pool *pool);

#endif
