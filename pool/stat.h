/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_STAT_H
#define POOL_STAT_H

#include <stdint.h>

struct pinion_pool;
struct pinion_zone_stat;

/* pinion_pool_stat(), and what each member holds of the zone, by the same look at each word: in
 * all no more than stat->held. @held: nr_members of them. */
int stat_zone(const struct pinion_pool *pool, uint32_t zone, struct pinion_zone_stat *stat,
	      uint32_t *held);

/* pinion_pool_held() of every member, by one look at each word. @held: nr_members of them. */
void stat_held_by_each(const struct pinion_pool *pool, uint32_t *held);

#endif
