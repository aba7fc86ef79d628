/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include <stdlib.h>

#include "fail.h"

/* Addresses are biased so that the id itself is the offset: one shift and one add. */
static void open_segment(struct pinion_pool *pool, uint32_t index)
{
	const struct control_segment *from = &pool->segment[index];
	struct pinion_view_segment *to = &pool->view.segment[index];
	uint64_t first = (uint64_t)index << pool->geometry.segment_shift;

	to->shift = from->buffer_shift;
	to->zone = from->zone;
	to->nr = from->nr;
	to->base = (uintptr_t)pool->memory[index].addr - (uintptr_t)(first << to->shift);
	if (from->zone >= pool->nr_zones)
		pool->nr_zones = from->zone + 1u;
}

void pool_open_view(struct pinion_pool *pool, uint32_t member)
{
	char *control = pool->control.addr;
	const struct layout *layout = &pool->layout;

	pool->member = member;
	pool->members = (void *)(control + layout->member);
	pool->magazine = (void *)(control + layout->magazine);
	pool->depot = (void *)(control + layout->depot);
	pool->empty = (void *)(control + layout->empty);
	pool->content = (void *)(control + layout->content);

	pool->view.owner = (void *)(control + layout->owner);
	pool->view.segment_shift = pool->geometry.segment_shift;
	pool->view.nr_ids = pool->geometry.nr_segments << pool->geometry.segment_shift;
	pool->view.self = pinion_owner_held(member);
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		open_segment(pool, i);
}

void pool_discard(struct pinion_pool *pool)
{
	if (!pool)
		return;
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (pool->memory[i].addr)
			(void)pinion_hostmem_destroy(&pool->memory[i]);
	if (pool->control.addr)
		(void)pinion_hostmem_destroy(&pool->control);
	free(pool);
}

int pinion_pool_destroy(struct pinion_pool *pool)
{
	KEEP_ERRNO;

	pool_discard(pool);
	return 0;
}

int pinion_pool_detach(struct pinion_pool *pool)
{
	KEEP_ERRNO;

	pool_discard(pool);
	return 0;
}

uint32_t pinion_pool_member(const struct pinion_pool *pool)
{
	return pool->member;
}

void pinion_pool_export(const struct pinion_pool *pool, struct pinion_pool_fds *fds)
{
	fds->nr_segments = pool->geometry.nr_segments;
	fds->control = pool->control.fd;
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		fds->segment[i] = pool->memory[i].fd;
}
