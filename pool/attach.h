/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_ATTACH_H
#define POOL_ATTACH_H

#include "pool.h"

/*
 * Maps a control area made elsewhere and copies what it says of the pool's shape. @fd is the
 * pool's on success.
 * -EPROTO, -EINVAL  as pinion_pool_attach()
 */
int attach_control(struct pinion_pool *pool, int fd, size_t len, size_t page_size);

/* Discards a pool whose files are the caller's still. */
void attach_discard(struct pinion_pool *pool);

#endif
