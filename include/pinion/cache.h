/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_CACHE_H
#define PINION_CACHE_H

/*
 * A cache: how one thread allocates and frees buffers.
 *
 *     struct pinion_cache_config want = { .buffer_size = 65536, .node = 1 };
 *     pinion_cache_open(pool, &want, &cache);
 *     pinion_buffer_alloc(cache, &buffer);
 *     ...
 *     pinion_buffer_free(cache, buffer);
 *     pinion_cache_close(cache);
 *
 * A cache holds, for each segment that it has to do with, two magazines (Bonwick and Adams,
 * "Magazines and Vmem", USENIX 2001): stacks of up to magazine_size free buffers that no other
 * thread touches. Full and empty magazines are exchanged with the depot in shared memory by one
 * compare-and-swap on the magazine's word. Between exchanges alloc and free are a pop or a push
 * and one plain store of the owner word.
 *
 * Where buffers come from. All have the smallest size of the pool's that is not below buffer_size
 * (of that node's, where one is meant without PREFERRED).
 *
 *     node N                        from that NUMA node
 *     device "0000:41:00.0"         from that of the PCI device
 *     PINION_NODE_LOCAL             from that of the CPU that opens the cache
 *     none of them                  from the one nearest to that CPU that has such buffers,
 *                                   whichever it is
 *     PINION_CACHE_INTERLEAVE       from all nodes in turn, a magazine at a time, however many
 *                                   segments each has; one that has no more is passed over. From
 *                                   one node alone where one is meant without PREFERRED
 *     PINION_CACHE_PREFERRED        what is above says where first, and rules nothing out: then
 *                                   from the next nearest node, and then larger ones. A size that
 *                                   fits counts before the distance
 *
 * Without PREFERRED a node is meant strictly, however it is said: its buffers or none. The kernel
 * may not know a device's node (numa_node in sysfs is -1). It is the machine's, if that has but
 * one. Else nothing is guessed: without PREFERRED that is -ENODATA, and with it the CPU that opens
 * the cache stands for the device.
 *
 * What was got is told: cache->node and cache->buffer_size are those of the last buffer allocated,
 * pinion_buffer_node() and pinion_buffer_size() those of any.
 *
 * Threads: a cache is for one thread at a time. Buffers may be freed through any cache of the
 * member that holds them, wherever they lie.
 *
 * Progress: no call waits for another process or thread of another process. An exchange with the
 * depot looks at the magazines of a segment once; for room to free into, 16 times at most.
 *
 * Death: the stacks are copies. Words of buffers inside name their magazine, and the magazine's
 * word names the member: recovery rebuilds both from those.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/pool.h>

#define PINION_NODE_LOCAL (-2)

#define PINION_CACHE_PREFERRED 1u
#define PINION_CACHE_INTERLEAVE 2u

struct pinion_cache_config {
	size_t buffer_size; /* bytes, at least; 0: the smallest there are */
	int node;           /* NUMA node, PINION_NODE_LOCAL or PINION_NODE_ANY */
	const char *device; /* PCI address as sysfs writes it, or NULL; node is PINION_NODE_ANY
	                     * with one */
	uint32_t flags;     /* PINION_CACHE_* */
};

/*
 * Public for the inline paths below; read node and buffer_size, write nothing.
 *
 * The loaded magazine's stack is reached through fixed offsets of this struct, not a pointer
 * to it: what an alloc loads and the free before it stored then needs no wait (processors rename
 * memory by base register and offset; 3.25 ns a pair became 2.84).
 */
struct pinion_cache {
	struct pinion_buffer *top;    /* of the stack: where the next free goes */
	struct pinion_buffer *bottom; /* as far down as alloc goes */
	struct pinion_buffer *end;    /* as far up as free goes */
	_Atomic uint64_t *owner;
	uint64_t freed; /* makes {g, HELD us} {g + 1, MAG loaded}, when added */
	uint32_t first; /* ids from here on ... */
	uint32_t nr;    /* ... and so many, are free's to push there */
	uint32_t self;  /* holder bits of this member */
	int node;       /* of the last buffer allocated; at first, where it would be */
	size_t buffer_size; /* of that one */
};

/*
 * -ENOENT  no segment with buffers that large, or none on that node
 * -EAGAIN  nr_caches caches are open already: make the pool with more, or close some
 * -EINVAL  node and device are both given, device is no PCI address, or a flag is unknown
 * -ENODEV  no such device: lspci -D has those that there are
 * -ENODATA without PREFERRED: the kernel does not say which of several nodes is the device's, or
 *          the CPU's
 * -ENOMEM  no memory for the cache's private part
 * -ECHILD  this process inherited the pool by fork(): see pinion_pool_become()
 */
int pinion_cache_open(struct pinion_pool *pool, const struct pinion_cache_config *config,
		      struct pinion_cache **cache);
/* Gives all magazines back to the depot. Buffers still held stay held by the member. */
int pinion_cache_close(struct pinion_cache *cache);

/* Gives what lies in the cache back to the depot, for others to have. The cache stays open.
 * -ECHILD  this process inherited the cache by fork() */
int pinion_cache_flush(struct pinion_cache *cache);

/* The slow halves of the calls below: exchange magazines with the depot. */
int pinion_cache_alloc(struct pinion_cache *cache, struct pinion_buffer *buffer);
int pinion_cache_free(struct pinion_cache *cache, struct pinion_buffer buffer);

/*
 * pinion_buffer_alloc() - take a free buffer; no system call, no wait. (A system call is made once
 * after a segment came or went, to map or unmap it.)
 *
 * -ENOMEM  none left where this cache may take from (some may lie in other threads' magazines)
 * -EDQUOT  this member has as much as pinion_pool_quota() allows it
 * -ECHILD  this process inherited the cache by fork()
 */
static inline int pinion_buffer_alloc(struct pinion_cache *cache, struct pinion_buffer *buffer)
{
	struct pinion_buffer *top = cache->top, got;

	if (__builtin_expect(top == cache->bottom, 0))
		return pinion_cache_alloc(cache, buffer);
	got = *--top;
	cache->top = top;
	/* Relaxed: nobody reads this word for us until a slot or a deposit is released. */
	atomic_store_explicit(&cache->owner[pinion_buffer_id(got)],
			      pinion_owner_word(got, cache->self), memory_order_relaxed);
	*buffer = got;
	return 0;
}

/*
 * pinion_buffer_free() - give a buffer back; no system call, no wait.
 *
 * pre: no other thread frees it, or sends it, at the same moment: two that free one handle at once
 * may both be told 0, and the buffer then lies in two caches. (The check is a load, and the store
 * comes after it: a locked operation would cost more than the rest of the call.)
 * pre: @buffer was not sent away. Until the receiver takes it the owner word still names us, so
 * that a free in between is not noticed here; the receiver finds a buffer that its sender does not
 * hold, and ends the channel.
 *
 * After an error nothing is changed: what was held is still held.
 *
 * -EINVAL  this member does not hold it under that handle: freed already, sent and taken, never
 *          its own
 * -ENOMEM  the first free into a segment needs some private memory, and there was none
 * -EAGAIN  no room was met, though there always is some: members broke the protocol, or others
 *          were faster many times over; try again
 * -ECHILD  this process inherited the cache by fork()
 */
static inline int pinion_buffer_free(struct pinion_cache *cache, struct pinion_buffer buffer)
{
	struct pinion_buffer next = {buffer.bits + (UINT64_C(1) << PINION_ID_BITS)};
	uint32_t id = pinion_buffer_id(buffer);
	struct pinion_buffer *top = cache->top;
	uint64_t word = pinion_owner_word(buffer, cache->self);

	/* Another segment's, no room, or the last generation, after which comes the first. */
	if (__builtin_expect(id - cache->first >= cache->nr || top == cache->end ||
				     next.bits >> 63 != 0, 0))
		return pinion_cache_free(cache, buffer);
	if (__builtin_expect(atomic_load_explicit(&cache->owner[id], memory_order_relaxed) != word,
			     0))
		return -EINVAL;
	atomic_store_explicit(&cache->owner[id], word + cache->freed, memory_order_relaxed);
	*top = next;
	cache->top = top + 1;
	return 0;
}

/*
 * The same for many at once, which costs less for each.
 *
 * pinion_buffer_alloc_bulk() returns how many it got: fewer than @nr when there are no more, or the
 * error of pinion_buffer_alloc() when there is none at all.
 * pinion_buffer_free_bulk() returns how many it freed, from the first on: fewer than @nr when one
 * cannot be, or that one's error when it is the first.
 * 1 <= nr <= INT_MAX.
 */
int pinion_buffer_alloc_bulk(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t nr);
int pinion_buffer_free_bulk(struct pinion_cache *cache, const struct pinion_buffer *buffer,
			    uint32_t nr);

#endif
