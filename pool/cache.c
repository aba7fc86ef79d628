/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <numa.h>
#include <sched.h>
#include <stdlib.h>

#include <pinion/cache.h>

#include "depot.h"
#include "fail.h"

/* A cache and its two magazines. Buffers of other zones that are freed through it go to further
 * racks behind, made when first needed. */
struct rack {
	struct pinion_cache cache; /* first: the caller's handle */
	struct pinion_pool *pool;
	struct pinion_magazine *spare;
	struct pinion_magazine magazine[2];
	struct rack *next;
};

static struct rack *rack_of(struct pinion_cache *cache)
{
	return (struct rack *)(void *)cache;
}

static void swap(struct rack *rack)
{
	struct pinion_magazine *was = rack->cache.loaded;

	rack->cache.loaded = rack->spare;
	rack->spare = was;
}

static const struct control_segment *first_of_zone(const struct pinion_pool *pool, uint32_t zone)
{
	uint32_t i = 0;

	while (pool->segment[i].zone != zone)
		i++;
	return &pool->segment[i];
}

/* Magazines of a zone that caches hold. */
static uint32_t held_in(const struct pinion_pool *pool, uint32_t zone)
{
	uint32_t held = 0;

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		uint32_t first = pool_magazine_first(pool, s), nr = pool_magazine_nr(pool, s);

		if (pool->segment[s].zone != zone)
			continue;
		for (uint32_t m = first; m < first + nr; m++)
			if (pinion_owner_holder(atomic_load_explicit(
				    &pool->magazine[m], memory_order_relaxed)) < MAGAZINE_DEPOT)
				held++;
	}
	return held;
}

/* A magazine with room. None empty: then some are partly filled, by the count of magazines. */
static int claim_room(struct pinion_pool *pool, uint32_t zone, struct pinion_magazine *magazine)
{
	uint32_t self = pool->view.self;
	int err = depot_claim_empty(pool, zone, self, magazine);

	if (err)
		err = depot_claim_full(pool, zone, self, PINION_MAGAZINE_SIZE - 1, magazine);
	return err ? -EAGAIN : 0;
}

/* Two with room from the start: a free then never lacks a place. */
static int take_magazines(struct rack *rack, uint32_t zone)
{
	int err = claim_room(rack->pool, zone, &rack->magazine[0]);

	if (err)
		return err;
	err = claim_room(rack->pool, zone, &rack->magazine[1]);
	if (err)
		depot_deposit(rack->pool, &rack->magazine[0]);
	return err;
}

static int too_many(const struct pinion_pool *pool, int err)
{
	return pinion_fail(err, "%u caches are open in this zone already: make the pool with a "
			   "larger nr_caches", pool->geometry.nr_caches);
}

static int rack_create(struct pinion_pool *pool, uint32_t zone, struct rack **out)
{
	const struct control_segment *segment = first_of_zone(pool, zone);
	struct rack *rack = calloc(1, sizeof(*rack));
	int err;

	if (!rack)
		return pinion_fail(-ENOMEM, "no memory for a cache");
	rack->pool = pool;
	err = take_magazines(rack, zone);
	if (err) {
		free(rack);
		return too_many(pool, err);
	}
	rack->spare = &rack->magazine[1];
	rack->cache = (struct pinion_cache){
		.loaded = &rack->magazine[0],
		.view = &pool->view,
		.owner = pool->view.owner,
		.nr_ids = pool->view.nr_ids,
		.self = pool->view.self,
		.zone = zone,
		.node = segment->node,
		.buffer_size = (size_t)1 << segment->buffer_shift,
	};
	*out = rack;
	return 0;
}

/* Smaller is better: first the distance of the node, then what a larger buffer would waste. */
static int rank(const struct control_segment *segment, const struct pinion_cache_config *config,
		int here)
{
	int distance = 255; /* farther than any node (numa(3)): on several, or not known */

	if ((size_t)1 << segment->buffer_shift < config->buffer_size)
		return -1;
	if (config->node != PINION_NODE_ANY && segment->node != config->node)
		return -1;
	if (config->node == PINION_NODE_ANY && segment->node >= 0 && here >= 0)
		distance = numa_distance(here, segment->node);
	return segment->buffer_shift + (distance << 8);
}

static int choose_zone(const struct pinion_pool *pool, const struct pinion_cache_config *config)
{
	int here = numa_available() < 0 ? -1 : numa_node_of_cpu(sched_getcpu());
	int best = -1, zone = -1;

	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++) {
		int this = rank(&pool->segment[i], config, here);

		if (this >= 0 && (best < 0 || this < best)) {
			best = this;
			zone = pool->segment[i].zone;
		}
	}
	return zone;
}

int pinion_cache_open(struct pinion_pool *pool, const struct pinion_cache_config *config,
		      struct pinion_cache **cache)
{
	KEEP_ERRNO;
	int err, zone = choose_zone(pool, config);
	struct rack *rack;

	if (zone < 0)
		return pinion_fail(-ENOENT, "the pool has no buffers of %zu bytes or more on node "
				   "%d (-1: any)", config->buffer_size, config->node);
	err = rack_create(pool, (uint32_t)zone, &rack);
	if (err)
		return err;
	/* Claimed first and counted then, so that of several that open at once too many may be
	 * refused, but never too few. (A third magazine, held for the moment of an exchange, is
	 * counted too: it has a place of its own in layout_magazines(), and here can only refuse.)
	 * The racks behind a cache are not limited: a member must be able to free what it holds. */
	if (held_in(pool, (uint32_t)zone) > 2 * pool->geometry.nr_caches) {
		(void)pinion_cache_close(&rack->cache);
		return too_many(pool, -EAGAIN);
	}
	*cache = &rack->cache;
	return 0;
}

int pinion_cache_close(struct pinion_cache *cache)
{
	struct rack *rack = rack_of(cache);

	while (rack) {
		struct rack *next = rack->next;

		depot_deposit(rack->pool, &rack->magazine[0]);
		depot_deposit(rack->pool, &rack->magazine[1]);
		free(rack);
		rack = next;
	}
	return 0;
}

int pinion_cache_refill(struct pinion_cache *cache)
{
	struct rack *rack = rack_of(cache);
	struct pinion_magazine full;
	int err;

	if (rack->spare->nr) {
		swap(rack);
		return 0;
	}
	err = depot_claim_full(rack->pool, cache->zone, cache->self, PINION_MAGAZINE_SIZE,
			       &full);
	if (err)
		return err;
	/* No word names the loaded one any more: each of its buffers was popped and said HELD. */
	depot_deposit(rack->pool, cache->loaded);
	*cache->loaded = full;
	return full.nr ? 0 : -ENOMEM;
}

/* Room for one more. The new magazine is claimed before the full one goes: two at all times. */
static int make_room(struct rack *rack)
{
	struct pinion_magazine room;

	if (rack->spare->nr == PINION_MAGAZINE_SIZE) {
		int err = claim_room(rack->pool, rack->cache.zone, &room);

		if (err)
			return err;
		depot_deposit(rack->pool, rack->spare);
		*rack->spare = room;
	}
	swap(rack);
	return 0;
}

static int rack_for(struct rack *rack, uint32_t zone, struct rack **found)
{
	int err;

	while (rack->cache.zone != zone && rack->next)
		rack = rack->next;
	if (rack->cache.zone != zone) {
		err = rack_create(rack->pool, zone, &rack->next);
		if (err)
			return err;
		rack = rack->next;
	}
	*found = rack;
	return 0;
}

/* pre: the caller checked that this member holds @buffer. */
int pinion_cache_free(struct pinion_cache *cache, struct pinion_buffer buffer)
{
	KEEP_ERRNO;
	const struct pinion_view_segment *segment =
		pinion_view_segment_of(cache->view, pinion_buffer_id(buffer));
	struct rack *rack;
	int err = rack_for(rack_of(cache), segment->zone, &rack);

	if (!err && rack->cache.loaded->nr == PINION_MAGAZINE_SIZE)
		err = make_room(rack);
	if (err)
		return err;
	return pinion_buffer_free(&rack->cache, buffer);
}
