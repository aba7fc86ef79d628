/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include <string.h>

#include <pinion/error.h>

void bench_check(int err)
{
	if (err < 0)
		bench_die("%s (%s)", pinion_error_text(), strerror(-err));
}

static struct pinion_pool *make(const struct bench *b, size_t len, size_t buffer_size,
				uint32_t magazine_size)
{
	const struct pinion_pool_config config = {
		.name = "pinion-bench",
		.magazine_size = magazine_size,
		.nr_segments = 1,
		.segment = {{
			.len = len,
			.buffer_size = buffer_size,
			.page_size = b->huge ? BENCH_HUGE : 4096,
			.node = PINION_NODE_ANY,
		}},
	};
	struct pinion_pool *pool;

	bench_check(pinion_pool_create(&config, &pool));
	return pool;
}

struct pinion_pool *bench_pool(const struct bench *b, size_t len, size_t buffer_size)
{
	/* A cache keeps two: as much as the peer's, of 512. */
	return make(b, len, buffer_size, 256);
}

struct pinion_pool *bench_pool_by_default(const struct bench *b, size_t len, size_t buffer_size)
{
	return make(b, len, buffer_size, 0);
}

struct pinion_cache *bench_cache(struct pinion_pool *pool, size_t buffer_size)
{
	const struct pinion_cache_config config = {
		.buffer_size = buffer_size, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;

	bench_check(pinion_cache_open(pool, &config, &cache));
	return cache;
}
