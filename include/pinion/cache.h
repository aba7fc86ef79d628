/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_CACHE_H
#define PINION_CACHE_H

/*
 * A cache: how one thread allocates and frees buffers of one zone.
 *
 *     struct pinion_cache_config want = { .buffer_size = 65536, .node = 1 };
 *     pinion_cache_open(pool, &want, &cache);
 *     pinion_buffer_alloc(cache, &buffer);
 *     ...
 *     pinion_buffer_free(cache, buffer);
 *     pinion_cache_close(cache);
 *
 * A cache holds two magazines (Bonwick and Adams, "Magazines and Vmem", USENIX 2001), stacks of
 * up to PINION_MAGAZINE_SIZE free buffers that no other thread touches. Full and empty magazines
 * are exchanged with the depot in shared memory by one compare-and-swap on the magazine's word.
 * Between exchanges alloc and free are a pop or a push and one plain store of the owner word.
 *
 * Threads: a cache is for one thread at a time. Buffers may be freed through any cache of the
 * member that holds them, whatever their zone.
 *
 * Death: the stacks are copies. Words of buffers inside name their magazine, and the magazine's
 * word names the member: recovery rebuilds both from those.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/pool.h>

#define PINION_MAGAZINE_SIZE 64

struct pinion_cache_config {
	size_t buffer_size; /* bytes; the smallest zone size that is not smaller is taken */
	int node;           /* NUMA node, or PINION_NODE_ANY: the nearest to the calling CPU */
};

/* A magazine as its holder sees it: private copies; nr of them are valid. */
struct pinion_magazine {
	uint32_t nr;
	uint32_t holder; /* pinion_owner_magazine() of its index */
	struct pinion_buffer buffer[PINION_MAGAZINE_SIZE];
};

/* Public for the inline paths below; read, do not write. */
struct pinion_cache {
	struct pinion_magazine *loaded;
	const struct pinion_view *view;
	_Atomic uint64_t *owner;
	uint32_t nr_ids;
	uint32_t self; /* holder bits of this member */
	uint32_t zone;
	int node;      /* what was got: the node of the zone */
	size_t buffer_size;
};

/*
 * -ENOENT  no zone with buffers that large, or none on that node
 * -EAGAIN  nr_caches caches are open in that zone already: make the pool with more, or close some
 * -ENOMEM  no memory for the cache's private part
 */
int pinion_cache_open(struct pinion_pool *pool, const struct pinion_cache_config *config,
		      struct pinion_cache **cache);
/* Gives both magazines back to the depot. Buffers still held stay held by the member. */
int pinion_cache_close(struct pinion_cache *cache);

/* The slow halves of the calls below: exchange magazines with the depot. */
int pinion_cache_refill(struct pinion_cache *cache);
int pinion_cache_free(struct pinion_cache *cache, struct pinion_buffer buffer);

/*
 * pinion_buffer_alloc() - take a free buffer; no system call, no wait.
 *
 * -ENOMEM  the zone has none left (some may lie in other threads' magazines)
 */
static inline int pinion_buffer_alloc(struct pinion_cache *cache, struct pinion_buffer *buffer)
{
	struct pinion_magazine *magazine = cache->loaded;

	if (__builtin_expect(!magazine->nr, 0)) {
		int err = pinion_cache_refill(cache);

		if (err)
			return err;
		magazine = cache->loaded;
	}
	*buffer = magazine->buffer[--magazine->nr];
	/* Relaxed: nobody reads this word for us until a slot or a deposit is released. */
	atomic_store_explicit(&cache->owner[pinion_buffer_id(*buffer)],
			      pinion_owner_word(*buffer, cache->self), memory_order_relaxed);
	return 0;
}

/*
 * pinion_buffer_free() - give a buffer back; no system call, no wait.
 *
 * pre: @buffer was not sent away. Until the receiver takes it the owner word still names us, so
 * that a free in between is not noticed here; the receiver finds a buffer that its sender does not
 * hold, and ends the channel.
 *
 * -EINVAL  this member does not hold it under that handle: freed already, sent and taken, never
 *          its own. Nothing is changed.
 * -EAGAIN, -ENOMEM  a buffer of another zone than the cache's needs a cache in that zone behind
 *          the scenes, and none could be opened: the buffer is still held
 */
static inline int pinion_buffer_free(struct pinion_cache *cache, struct pinion_buffer buffer)
{
	struct pinion_magazine *magazine = cache->loaded;
	uint32_t id = pinion_buffer_id(buffer);
	struct pinion_buffer next = pinion_buffer_next(buffer);

	if (__builtin_expect(id >= cache->nr_ids, 0))
		return -EINVAL;
	if (__builtin_expect(atomic_load_explicit(&cache->owner[id], memory_order_relaxed) !=
				     pinion_owner_word(buffer, cache->self), 0))
		return -EINVAL;
	if (__builtin_expect(magazine->nr == PINION_MAGAZINE_SIZE ||
			     pinion_view_segment_of(cache->view, id)->zone != cache->zone, 0))
		return pinion_cache_free(cache, buffer);
	atomic_store_explicit(&cache->owner[id], pinion_owner_word(next, magazine->holder),
			      memory_order_relaxed);
	magazine->buffer[magazine->nr++] = next;
	return 0;
}

#endif
