/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_DAMAGED_H
#define PINIOND_DAMAGED_H

#include <stdbool.h>

/*
 * Is it for what its files hold that pinion_pool_adopt() said @err of the pool at @path? They take
 * no seals: who was given them can cut them off, make them longer, or write over them. Another
 * layout's stamp may be the truth, and the pool whole, and so may be that all who are in it live;
 * but anybody who is in it can write that, and nothing else tells. The next start looks again. A
 * path that is no pool's directory is a mistake in the configuration, and no damage.
 */
bool damaged_is(const char *path, int err);

#endif
