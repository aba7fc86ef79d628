/* SPDX-License-Identifier: BSD-3-Clause */
#include "picture.h"

#include <unistd.h>

#include <pinion/error.h>

#include "post.h"
#include "slot.h"
#include "tap.h"

static const char *map(struct pinion_pool *pool, uint32_t slot)
{
	int fd = -1;

	if (post_fetch(NULL, slot, &fd))
		tap_bail("segment %u was shown to all, and nobody was sent its file", slot);
	if (!slot_map(pool, slot, fd))
		return NULL;
	(void)close(fd);
	return pinion_error_text();
}

static const char *update_slot(struct pinion_pool *pool, uint32_t slot)
{
	const uint64_t inode = pool->segment[slot].inode;

	if (slot_copy(pool, slot))
		return pinion_error_text();
	if (pool->memory[slot].addr && pool->segment[slot].inode != inode)
		slot_unmap(pool, slot);
	if (pool_has_segment(pool, slot) && !pool->memory[slot].addr)
		return map(pool, slot);
	return NULL;
}

const char *picture_update(struct pinion_pool *pool)
{
	const char *problem = NULL;

	for (uint32_t i = 0; !problem && i < pool->geometry.nr_segments; i++)
		problem = update_slot(pool, i);
	atomic_store_explicit(&pool->epoch,
			      atomic_load_explicit(&pool->shared->epoch, memory_order_acquire),
			      memory_order_relaxed);
	return problem;
}
