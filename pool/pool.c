/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include <stdlib.h>
#include <unistd.h>

#include "fail.h"
#include "fork.h"
#include "named.h"

struct pinion_pool *pool_new(void)
{
	struct pinion_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->control.fd = -1;
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		pool->memory[i].fd = -1;
	(void)pthread_mutex_init(&pool->lock, NULL); /* without attributes it does not fail */
	LIST_INIT(&pool->caches);
	LIST_INIT(&pool->couriers);
	LIST_INIT(&pool->watchers);
	if (fork_watch(pool)) {
		(void)pthread_mutex_destroy(&pool->lock);
		free(pool);
		return NULL;
	}
	return pool;
}

void pool_open_view(struct pinion_pool *pool, uint32_t member)
{
	char *control = pool->control.addr;
	const struct layout *layout = &pool->layout;

	pool->member = member;
	pool->shared = (void *)control;
	pool->members = (void *)(control + layout->member);
	pool->seen = (void *)(control + layout->seen);
	pool->cache = (void *)(control + layout->cache);
	pool->magazine = (void *)(control + layout->magazine);
	pool->depot = (void *)(control + layout->depot);
	pool->empty = (void *)(control + layout->empty);
	pool->content = (void *)(control + layout->content);

	pool->view.owner = (void *)(control + layout->owner);
	pool->view.segment_shift = pool->geometry.segment_shift;
	pool->view.nr_ids = pool->geometry.nr_segments << pool->geometry.segment_shift;
	pool->view.self = pinion_owner_held(member);
}

int pool_check_keeper(const struct pinion_pool *pool)
{
	if (pool->keeper && !atomic_load_explicit(&pool->forked, memory_order_relaxed))
		return 0;
	return pinion_fail(-EPERM, "only the process that made or adopted the pool, its keeper, "
			   "does this, not another member or a child of it: ask the keeper");
}

void pool_discard(struct pinion_pool *pool)
{
	if (!pool)
		return;
	fork_unwatch(pool);
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (pool->memory[i].addr)
			(void)pinion_hostmem_destroy(&pool->memory[i]);
		else if (pool->memory[i].fd >= 0)
			(void)close(pool->memory[i].fd);
	if (pool->control.addr)
		(void)pinion_hostmem_destroy(&pool->control);
	named_close(pool->named);
	(void)pthread_mutex_destroy(&pool->lock);
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
	pool_lock(pool); /* another thread may just be mapping one */
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		fds->segment[i] = pool->memory[i].addr ? pool->memory[i].fd : -1;
	pool_unlock(pool);
}
