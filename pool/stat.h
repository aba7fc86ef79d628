/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_STAT_H
#define POOL_STAT_H

#include <stdint.h>

struct pinion_pool;

/* pinion_pool_held() of every member, by one look at each word. @held: nr_members of them. */
void stat_held_by_each(const struct pinion_pool *pool, uint32_t *held);

#endif
