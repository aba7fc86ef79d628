/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_MEMBER_H
#define PINION_SOAK_MEMBER_H

/*
 * The life of a member: a child of the keeper that becomes a member over the mappings it inherited,
 * works in bursts with rests in between, and in the last burst lights its fuse. Those that do
 * not rest are young when they die; some die before they have a cache.
 */

#include "board.h"

/* In the child of a fork. Does not return. @life: the one it is to have. */
__attribute__((noreturn)) void member_live(struct board *board, uint32_t seat, uint32_t life,
					   struct pinion_pool *pool, const size_t size[2]);

#endif
