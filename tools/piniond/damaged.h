/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_DAMAGED_H
#define PINIOND_DAMAGED_H

#include <stdbool.h>

/*
 * Is it for what its files hold that pinion_pool_adopt() said @err of the pool at @path? They take
 * no seals: who was given them can cut them off, or write over them. One of another layout is whole
 * and waits for the release that made it; and a path that is no pool's directory is a mistake in
 * the configuration. Those are no damage.
 */
bool damaged_is(const char *path, int err);

#endif
