/* SPDX-License-Identifier: BSD-3-Clause */
#include "header.h"

#include <string.h>

static void right(void *shared, const void *want, size_t len)
{
	if (memcmp(shared, want, len))
		memcpy(shared, want, len);
}

static void right_header(struct pinion_pool *pool)
{
	const struct control want = {
		.magic = CONTROL_MAGIC,
		.stamp = CONTROL_STAMP,
		.pool = pool->id,
		.geometry = pool->geometry,
	};

	right(pool->shared, &want, offsetof(struct control, epoch));
}

void header_right(struct pinion_pool *pool, uint64_t epoch)
{
	right_header(pool);
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++) {
		struct control_slot *slot = &pool->shared->slot[i];

		if (pool_has_segment(pool, i))
			right(&slot->segment, &pool->segment[i], sizeof(slot->segment));
		atomic_store_explicit(&slot->state, pool->state[i], memory_order_release); /* R5 */
	}
	atomic_store_explicit(&pool->shared->epoch, epoch, memory_order_release); /* R5 */
	atomic_store_explicit(&pool->epoch, epoch, memory_order_relaxed);
}
