/* SPDX-License-Identifier: BSD-3-Clause */
#include "census.h"

#include <pinion/cache.h>

#include "pool_support.h"

#define SAMPLE 40 /* buffers: more than two magazines */

struct count {
	uint32_t held, free;
};

static struct count by_words(const struct pinion_pool *pool, uint32_t zone)
{
	struct count count = {0};

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		const uint32_t first = s << pool->geometry.segment_shift;

		if (!pool_has_segment(pool, s) || pool->segment[s].zone != zone)
			continue;
		for (uint32_t i = 0; i < pool->segment[s].nr; i++) {
			const uint32_t holder = pinion_owner_holder(pool->view.owner[first + i]);

			count.free += (holder & PINION_HOLDER_MAGAZINE) != 0;
			count.held += holder >= pinion_owner_held(0) &&
				      holder < pinion_owner_held(pool->geometry.nr_members);
		}
	}
	return count;
}

/* @held: in all zones. */
static void compare(struct board *board, const struct pinion_pool *pool, uint32_t held)
{
	uint32_t nr = 0;

	for (uint32_t z = 0; z < pinion_pool_zones(pool); z++) {
		const struct count words = by_words(pool, z);
		struct pinion_zone_stat stat;
		const int err = pinion_pool_stat(pool, z, &stat);

		if (err || stat.held != words.held || stat.free != words.free ||
		    stat.total != words.held + words.free)
			board_problem(board, "zone %u counts %u held and %u free of %u; by its "
				      "words %u are held and %u free", z, stat.held, stat.free,
				      stat.total, words.held, words.free);
		nr += words.held;
	}
	if (nr != held || pinion_pool_held(pool, pinion_pool_member(pool)) != held)
		board_problem(board, "the keeper has %u buffers; %u words are held, and the pool "
			      "says that %u are its own", held, nr,
			      pinion_pool_held(pool, pinion_pool_member(pool)));
}

static void with_some(struct board *board, const struct pinion_pool *pool,
		      struct pinion_cache *cache)
{
	struct pinion_buffer buffer[SAMPLE];
	const uint32_t nr = take_all(cache, buffer, SAMPLE);

	if (nr == 0)
		board_problem(board, "at rest the keeper gets no buffer: %s", pinion_error_text());
	compare(board, pool, nr);
	for (uint32_t i = 0; i < nr; i++)
		if (pinion_buffer_free(cache, buffer[i]))
			board_problem(board, "at rest a free failed: %s", pinion_error_text());
}

void census(struct board *board, struct pinion_pool *pool)
{
	const struct pinion_cache_config any = {.node = PINION_NODE_ANY,
						.flags = PINION_CACHE_PREFERRED};
	struct pinion_cache *cache;

	compare(board, pool, 0);
	if (pinion_cache_open(pool, &any, &cache)) {
		board_problem(board, "at rest the keeper gets no cache: %s", pinion_error_text());
		return;
	}
	with_some(board, pool, cache);
	if (pinion_cache_close(cache))
		board_problem(board, "at rest a cache stays open: %s", pinion_error_text());
	compare(board, pool, 0);
}
