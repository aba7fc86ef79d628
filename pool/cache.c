/* SPDX-License-Identifier: BSD-3-Clause */
#include "cache.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "debug.h"
#include "fail.h"
#include "slot.h"

static struct cache *cache_of(struct pinion_cache *pub)
{
	return (struct cache *)(void *)pub;
}

static bool is_debugged(const struct cache *cache)
{
	return cache->pool->geometry.flags & PINION_POOL_DEBUG;
}

/* The inline paths find neither a buffer nor room: each call comes here. */
static void hide(struct pinion_cache *pub)
{
	pub->top = pub->bottom = pub->end = NULL;
	pub->nr = 0;
}

/* What the inline paths did to the loaded magazine is said there. First act of each call here. */
static void settle(struct cache *cache)
{
	if (cache->active && cache->pub.bottom)
		cache->active->loaded->nr = (uint32_t)(cache->pub.top - cache->pub.bottom);
}

/* The inline paths get the active rack as it is now: last act. With debugging they get none. */
static void show(struct cache *cache)
{
	const struct rack *rack = cache->active;
	struct pinion_cache *pub = &cache->pub;

	if (!rack || is_debugged(cache)) {
		hide(pub);
		return;
	}
	pub->bottom = rack->loaded->buffer;
	pub->top = pub->bottom + rack->loaded->nr;
	pub->end = pub->bottom + rack->loaded->size;
	pub->first = rack->range.base;
	pub->nr = rack->range.nr_ids;
	pub->freed = (UINT64_C(1) << PINION_ID_BITS) + rack->loaded->holder - pub->self;
}

static void drop(struct cache *cache, uint32_t slot)
{
	struct rack *rack = cache->rack[slot];

	if (!rack)
		return;
	if (cache->active == rack)
		cache->active = NULL;
	cache->rack[slot] = NULL;
	rack_destroy(cache->pool, rack);
}

static void drop_all(struct cache *cache)
{
	for (uint32_t s = 0; s < PINION_SEGMENT_MAX; s++)
		drop(cache, s);
}

/* Racks of segments that go or went are given up, and the order is made anew. */
static void follow(struct cache *cache)
{
	struct pinion_pool *pool = cache->pool;

	(void)slot_sync(pool);
	pool_lock(pool);
	cache->changes = atomic_load_explicit(&pool->changes, memory_order_relaxed);
	for (uint32_t s = 0; s < PINION_SEGMENT_MAX; s++)
		if (slot_state_of(pool->state[s]) != SLOT_LIVE)
			drop(cache, s);
	rank_segments(pool, &cache->wish, &cache->order);
	pool_unlock(pool);
}

/* By the keeper, or seen by another thread of this process. */
static bool has_changed(const struct cache *cache)
{
	return slot_changed(cache->pool) ||
	       cache->changes != atomic_load_explicit(&cache->pool->changes, memory_order_relaxed);
}

static void follow_changes(struct cache *cache)
{
	if (has_changed(cache))
		follow(cache);
}

/* pre: the pool is locked. */
static int new_rack(struct cache *cache, uint32_t slot)
{
	struct pinion_pool *pool = cache->pool;

	if (cache->changes != atomic_load_explicit(&pool->changes, memory_order_relaxed))
		return -ESTALE;
	return pool_has_segment(pool, slot) ? rack_create(pool, slot, &cache->rack[slot]) : -EINVAL;
}

/*
 * The rack of a slot that has a segment, made when first asked for. -ESTALE: another thread of this
 * process saw a change since this cache followed, so that the slot may have another segment than
 * the order was made for; follow and ask again. (While there is a rack its segment cannot go.)
 */
static int rack_of(struct cache *cache, uint32_t slot, struct rack **rack)
{
	int err = 0;

	if (!cache->rack[slot]) {
		pool_lock(cache->pool);
		err = new_rack(cache, slot);
		pool_unlock(cache->pool);
	}
	*rack = cache->rack[slot];
	return err;
}

static bool has_stock(const struct cache *cache)
{
	return cache->active && cache->active->loaded->nr;
}

/* This one's rack becomes the active one, if it has a buffer. */
static int refill_from(struct cache *cache, const struct rank_choice *choice, bool *refused)
{
	struct rack *rack;
	int err = rack_of(cache, choice->slot, &rack);

	if (!err)
		err = rack_refill(cache->pool, rack, refused);
	if (err)
		return err;
	cache->active = rack;
	cache->turn = choice->node;
	return 0;
}

/* -ESTALE at once; else what counts is whether the member may have more, or there is none: a
 * segment that goes between our look and here has none, whatever the error is then. Who may have no
 * more may have a magazine yet that is not empty, of another segment. */
static int refill_of_class(struct cache *cache, uint32_t begin, bool *refused)
{
	const uint32_t nr = rank_class_end(&cache->order, begin) - begin;
	uint32_t first = 0;
	int worst = -ENOMEM;

	if (cache->wish.flags & PINION_CACHE_INTERLEAVE)
		first = rank_next_node(&cache->order, begin, cache->turn) - begin;
	for (uint32_t i = 0; i < nr; i++) {
		int err = refill_from(cache, &cache->order.choice[begin + (first + i) % nr],
				      refused);

		if (!err || err == -ESTALE)
			return err;
		if (err == -EDQUOT)
			worst = err;
	}
	return worst;
}

/* Some rack with a buffer in loaded becomes the active one; errors as above. */
static int refill(struct cache *cache)
{
	const struct rank_order *order = &cache->order;
	bool refused = false;
	int worst = -ENOMEM;

	for (uint32_t at = 0; at < order->nr; at = rank_class_end(order, at)) {
		int err = refill_of_class(cache, at, &refused);

		if (!err || err == -ESTALE)
			return err;
		if (err == -EDQUOT)
			worst = err;
	}
	return worst;
}

/* pre: settled, and a buffer is there. */
static void pop(struct cache *cache, struct pinion_buffer *buffer)
{
	struct rack *rack = cache->active;

	*buffer = rack->loaded->buffer[--rack->loaded->nr];
	/* Relaxed, as in pinion_buffer_alloc(). */
	atomic_store_explicit(&cache->pub.owner[pinion_buffer_id(*buffer)],
			      pinion_owner_word(*buffer, cache->pub.self), memory_order_relaxed);
	cache->pub.node = rack->node;
	cache->pub.buffer_size = rack->buffer_size;
	if (is_debugged(cache))
		debug_alloc(cache->pool, *buffer);
}

/* pre: settled. */
static int restock(struct cache *cache)
{
	int err;

	do {
		follow_changes(cache);
		err = has_stock(cache) ? 0 : refill(cache);
	} while (err == -ESTALE);
	return err;
}

/*
 * Of a segment that went between the look at the slots and that into its depot there is none, but
 * then another may serve. One look more, and no third: who scribbles on the slots shall not keep us
 * here. (A segment that cannot be mapped as yet counts as a change, and is looked for twice.)
 */
static int restock_beside_keeper(struct cache *cache)
{
	const int err = restock(cache);

	return err == -ENOMEM && has_changed(cache) ? restock(cache) : err;
}

int pinion_cache_alloc(struct pinion_cache *pub, struct pinion_buffer *buffer)
{
	KEEP_ERRNO;
	struct cache *cache = cache_of(pub);
	int err;

	if (cache->orphan)
		return -ECHILD;
	settle(cache);
	err = restock_beside_keeper(cache);
	if (!err)
		pop(cache, buffer);
	show(cache);
	return err;
}

static bool is_served_by(const struct cache *cache, uint32_t slot)
{
	for (uint32_t i = 0; i < cache->order.nr; i++)
		if (cache->order.choice[i].slot == slot)
			return true;
	return false;
}

/*
 * The inline paths go on where the last free was, or else a thread that only frees would come here
 * each time. Not where alloc may not take from; nor to another node or size than is told to be the
 * last buffer's.
 */
static void prefer(struct cache *cache, struct rack *rack)
{
	if (rack->node == cache->pub.node && rack->buffer_size == cache->pub.buffer_size &&
	    is_served_by(cache, rack->slot))
		cache->active = rack;
}

/* pre: settled, and this member holds @buffer. */
static int push(struct cache *cache, struct pinion_buffer buffer)
{
	uint32_t id = pinion_buffer_id(buffer), slot = id >> cache->pool->view.segment_shift;
	struct pinion_buffer next = pinion_buffer_next(buffer);
	struct rack *rack;
	int err = rack_of(cache, slot, &rack);

	/* The word may be scribbled: an id behind the segment's last would be given out again. */
	if (!err && id - rack->range.base >= rack->range.nr_ids)
		err = -EINVAL;
	if (!err)
		err = rack_make_room(cache->pool, rack);
	if (err)
		return err;
	if (is_debugged(cache))
		debug_free(cache->pool, buffer);
	atomic_store_explicit(&cache->pub.owner[id],
			      pinion_owner_word(next, rack->loaded->holder), memory_order_relaxed);
	rack->loaded->buffer[rack->loaded->nr++] = next;
	if (rack->retiring)
		drop(cache, slot);
	else
		prefer(cache, rack);
	return 0;
}

static bool is_held(const struct cache *cache, struct pinion_buffer buffer)
{
	uint32_t id = pinion_buffer_id(buffer);

	return id < cache->pool->view.nr_ids &&
	       atomic_load_explicit(&cache->pub.owner[id], memory_order_relaxed) ==
		       pinion_owner_word(buffer, cache->pub.self);
}

int pinion_cache_free(struct pinion_cache *pub, struct pinion_buffer buffer)
{
	KEEP_ERRNO;
	struct cache *cache = cache_of(pub);
	int err;

	if (cache->orphan)
		return -ECHILD;
	if (!is_held(cache, buffer))
		return -EINVAL;
	settle(cache);
	do {
		follow_changes(cache);
		err = push(cache, buffer);
	} while (err == -ESTALE);
	show(cache);
	return err;
}

/* One of the nr_caches tickets: who has one finds magazines for its racks in every segment. */
static int take_ticket(struct pinion_pool *pool, uint32_t *ticket)
{
	for (uint32_t i = 0; i < pool->geometry.nr_caches; i++) {
		uint32_t nobody = 0;

		if (atomic_load_explicit(&pool->cache[i], memory_order_relaxed))
			continue;
		if (atomic_compare_exchange_strong_explicit(&pool->cache[i], &nobody,
							    pool->view.self, memory_order_acquire,
							    memory_order_relaxed)) { /* A7 */
			*ticket = i;
			return 0;
		}
	}
	return pinion_fail(-EAGAIN, "%u caches of the pool are open already: make it with a larger "
			   "nr_caches", pool->geometry.nr_caches);
}

static void give_ticket(struct pinion_pool *pool, uint32_t ticket)
{
	atomic_store_explicit(&pool->cache[ticket], 0, memory_order_release); /* R7 */
}

static int nothing_serves(const struct rank_wish *wish)
{
	return pinion_fail(-ENOENT, "the pool has no buffers of %zu bytes or more on node %d "
			   "(-1: any)", wish->buffer_size, wish->node);
}

static struct cache *new_cache(struct pinion_pool *pool, const struct rank_wish *wish)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->pool = pool;
	cache->wish = *wish;
	cache->turn = INT_MAX; /* the first node's turn comes next */
	cache->pub = (struct pinion_cache){.owner = pool->view.owner, .self = pool->view.self};
	return cache;
}

/* Where the first buffer would come from. */
static void foretell(struct cache *cache)
{
	const struct control_segment *segment = &cache->pool->segment[cache->order.choice[0].slot];

	cache->pub.node = segment->node;
	cache->pub.buffer_size = (size_t)1 << segment->buffer_shift;
}

static int join(struct cache *cache)
{
	struct pinion_pool *pool = cache->pool;
	int err;

	follow(cache);
	if (!cache->order.nr)
		return nothing_serves(&cache->wish);
	err = take_ticket(pool, &cache->ticket);
	if (err)
		return err;
	pool_lock(pool);
	foretell(cache);
	LIST_INSERT_HEAD(&pool->caches, cache, link);
	pool_unlock(pool);
	return 0;
}

int pinion_cache_open(struct pinion_pool *pool, const struct pinion_cache_config *config,
		      struct pinion_cache **out)
{
	KEEP_ERRNO;
	struct rank_wish wish;
	struct cache *cache;
	int err;

	if (atomic_load_explicit(&pool->forked, memory_order_relaxed))
		return pinion_fail(-ECHILD, "this process inherited the pool by fork(): it needs a "
				   "member number of its own, see pinion_pool_become()");
	err = rank_understand(config, &wish);
	if (err)
		return err;
	cache = new_cache(pool, &wish);
	if (!cache)
		return pinion_fail(-ENOMEM, "no memory for a cache");
	err = join(cache);
	if (err) {
		free(cache);
		return err;
	}
	*out = &cache->pub;
	return 0;
}

/* An orphan's magazines are its parent's. */
static void leave(struct cache *cache)
{
	if (cache->orphan) {
		for (uint32_t s = 0; s < PINION_SEGMENT_MAX; s++)
			rack_forget(cache->rack[s]);
		return;
	}
	drop_all(cache);
	give_ticket(cache->pool, cache->ticket);
}

int pinion_cache_close(struct pinion_cache *pub)
{
	struct cache *cache = cache_of(pub);

	pool_lock(cache->pool);
	LIST_REMOVE(cache, link);
	pool_unlock(cache->pool);
	settle(cache);
	leave(cache);
	free(cache);
	return 0;
}

int pinion_cache_flush(struct pinion_cache *pub)
{
	KEEP_ERRNO;
	struct cache *cache = cache_of(pub);

	if (cache->orphan)
		return -ECHILD;
	settle(cache);
	drop_all(cache);
	follow_changes(cache);
	show(cache);
	return 0;
}

void cache_orphan(struct cache *cache)
{
	cache->orphan = true;
	hide(&cache->pub);
}
