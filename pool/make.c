/* SPDX-License-Identifier: BSD-3-Clause */
#include "make.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "debug.h"
#include "depot.h"
#include "fail.h"
#include "named.h"
#include "segment.h"
#include "slot.h"

static uint8_t log2_of(size_t power)
{
	return (uint8_t)__builtin_ctzll(power);
}

size_t make_stride(const struct pinion_segment_config *config, uint32_t flags)
{
	return flags & PINION_POOL_DEBUG ? 2 * config->buffer_size : config->buffer_size;
}

int make_check(const struct pinion_segment_config *config, uint32_t first, uint32_t nr,
	       uint32_t flags)
{
	for (uint32_t i = 0; i < nr; i++) {
		int err = segment_config_check(&config[i], first + i);

		if (err)
			return err;
		if (config[i].len % make_stride(&config[i], flags))
			return pinion_fail(-EINVAL, "segment %u: with red zones each buffer takes "
					   "%zu bytes, of which %zu bytes are no multiple",
					   first + i, make_stride(&config[i], flags),
					   config[i].len);
	}
	return 0;
}

static bool same_kind(const struct control_segment *a, const struct control_segment *b)
{
	return a->buffer_shift == b->buffer_shift && a->page_shift == b->page_shift &&
	       a->node == b->node;
}

/* A zone is a number for one kind of buffers: that of a segment of this kind, or the lowest that
 * no other has. */
static uint8_t zone_of(const struct pinion_pool *pool, const struct control_segment *new)
{
	bool used[PINION_SEGMENT_MAX + 1] = {false};
	uint8_t zone = 0;

	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++) {
		const struct control_segment *old = &pool->segment[i];

		if (old == new || !old->nr)
			continue;
		if (same_kind(old, new))
			return old->zone;
		used[old->zone % (PINION_SEGMENT_MAX + 1)] = true;
	}
	while (used[zone])
		zone++;
	return zone;
}

static int inode_of(const struct pinion_hostmem *memory, uint32_t slot, uint64_t *inode)
{
	struct stat status;

	if (fstat(memory->fd, &status))
		return pinion_fail(-errno, "segment %u: cannot tell its inode: %s", slot,
				   strerror(errno));
	*inode = status.st_ino;
	return 0;
}

static int describe(struct made *made, uint32_t slot, const struct pinion_segment_config *from,
		    uint32_t flags, int node)
{
	size_t stride = make_stride(from, flags);
	uint64_t inode = 0;
	int err = inode_of(&made->memory, slot, &inode);

	if (err)
		return err;
	made->segment = (struct control_segment){
		.len = from->len,
		.inode = inode,
		.nr = (uint32_t)(from->len / stride),
		.node = node,
		.buffer_shift = log2_of(from->buffer_size),
		.stride_shift = log2_of(stride),
		.page_shift = log2_of(from->page_size),
	};
	return 0;
}

void make_undo(struct made *made, uint32_t slot, const struct named *named)
{
	(void)pinion_hostmem_destroy(&made->memory);
	if (named)
		named_drop_segment(named, slot);
}

/* Bytes of the control area that belong to a slot with so many buffers: see make_room(), whose
 * pages may have a little more. */
static size_t room_len(const struct pinion_pool *pool, uint32_t nr)
{
	size_t magazines = layout_magazines(&pool->geometry, nr);

	return nr * 8ul + magazines * (8 + layout_content(&pool->geometry)) +
	       2 * (pool->layout.stride / 8);
}

/* Base pages that the slots will want. What is on hugetlbfs is the pool's already. A slot that had
 * a segment before has some, but that one may have been smaller: they are counted again, since one
 * grow refused too early harms less than the kernel's OOM killer. */
static size_t room_wanted(const struct pinion_pool *pool, const struct make_order *order)
{
	size_t len = 0;

	for (uint32_t i = 0; i < order->nr && !order->named; i++) {
		size_t stride = make_stride(&order->config[i], pool->geometry.flags);

		len += room_len(pool, (uint32_t)(order->config[i].len / stride));
	}
	return len;
}

int make_segments(const struct pinion_pool *pool, const struct make_order *order,
		  struct made *made)
{
	const struct segment_options options = {
		.name = order->name,
		.named = order->named,
		.mode = order->mode,
		.control = room_wanted(pool, order),
		.progress = order->progress,
	};
	struct segment_order wanted[PINION_SEGMENT_MAX];
	int err;

	for (uint32_t i = 0; i < order->nr; i++)
		wanted[i] = (struct segment_order){&order->config[i], order->first + i,
						   &made[i].memory, -1};
	err = segments_create(wanted, order->nr, &options);
	if (err)
		return err;
	for (uint32_t i = 0; !err && i < order->nr; i++)
		err = describe(&made[i], order->first + i, &order->config[i],
			       pool->geometry.flags, wanted[i].node);
	for (uint32_t i = 0; err && i < order->nr; i++)
		make_undo(&made[i], order->first + i, order->named);
	return err;
}

int make_populate(const struct pinion_pool *pool, size_t off, size_t len)
{
	size_t page = pool->control.page_size;
	size_t first = off & ~(page - 1), end = (off + len + page - 1) & ~(page - 1);

	return pinion_hostmem_populate(&pool->control, first, end - first);
}

/* All pages of the control area that belong to the slot. */
static int make_room(struct pinion_pool *pool, uint32_t slot)
{
	const struct layout *layout = &pool->layout;
	size_t nr = pool_magazine_nr(pool, slot), first = pool_magazine_first(pool, slot);
	size_t ids = (size_t)slot << pool->geometry.segment_shift;
	size_t content = layout_content(&pool->geometry);
	int err = make_populate(pool, layout->owner + ids * 8, pool->segment[slot].nr * 8ul);

	if (!err)
		err = make_populate(pool, layout->magazine + first * 8, nr * 8);
	if (!err)
		err = make_populate(pool, layout->depot + first / 8, layout->stride / 8);
	if (!err)
		err = make_populate(pool, layout->empty + first / 8, layout->stride / 8);
	if (!err)
		err = make_populate(pool, layout->content + first * content, nr * content);
	if (err)
		return pinion_fail(err, "segment %u: no memory for its %u owner words: %s", slot,
				   pool->segment[slot].nr, strerror(-err));
	return 0;
}

/* In a slot that was used before generations go on, so that old handles stay stale. */
static void free_id(struct pinion_pool *pool, uint32_t id, uint32_t magazine)
{
	uint64_t word = atomic_load_explicit(&pool->view.owner[id], memory_order_relaxed);
	struct pinion_buffer buffer = pinion_buffer_next(pinion_owner_buffer(word, id));

	atomic_store_explicit(&pool->view.owner[id],
			      pinion_owner_word(buffer, pinion_owner_magazine(magazine)),
			      memory_order_relaxed);
}

/* Relaxed all: the slot's state is stored last, with release (R5). Where nobody lives (whole.h)
 * whoever comes is let in later. */
static void fill_magazine(struct pinion_pool *pool, uint32_t m, uint32_t first_id, uint32_t nr)
{
	_Atomic uint64_t *hint = nr ? pool->depot : pool->empty;
	_Atomic uint32_t *content = pool_content(pool, m);

	for (uint32_t i = 0; i < nr; i++) {
		atomic_store_explicit(&content[i], first_id + i, memory_order_relaxed);
		free_id(pool, first_id + i, m);
	}
	atomic_signal_fence(memory_order_release); /* a kill comes between two instructions */
	atomic_store_explicit(&pool->magazine[m],
			      magazine_word(nr ? MAGAZINE_DEPOT : MAGAZINE_EMPTY, nr, 0),
			      memory_order_relaxed);
	atomic_fetch_or_explicit(&hint[m / 64], UINT64_C(1) << (m % 64), memory_order_relaxed);
}

/* Of a fill that is killed recovery makes them anew from the words. Else one that still said what
 * was in it before would have a buffer twice: where it lay, and where it lies now. */
static void set_aside(struct pinion_pool *pool, uint32_t first, uint32_t nr)
{
	for (uint32_t i = 0; i < pool->layout.stride / 64; i++) {
		atomic_store_explicit(&pool->depot[first / 64 + i], 0, memory_order_relaxed);
		atomic_store_explicit(&pool->empty[first / 64 + i], 0, memory_order_relaxed);
	}
	for (uint32_t m = first; m < first + nr; m++)
		atomic_store_explicit(&pool->magazine[m], magazine_word(MAGAZINE_SERVICE, 0, 0),
				      memory_order_relaxed);
	atomic_signal_fence(memory_order_release);
}

void make_fill(struct pinion_pool *pool, uint32_t slot)
{
	uint32_t first = pool_magazine_first(pool, slot), nr = pool_magazine_nr(pool, slot);
	uint32_t base = slot << pool->geometry.segment_shift, done = 0;

	/* First: words that say "free" are not to be there without it, if we are killed. */
	if (pool->geometry.flags & PINION_POOL_DEBUG)
		debug_poison_segment(pool, slot);
	set_aside(pool, first, nr);
	for (uint32_t m = first; m < first + nr; m++) {
		uint32_t left = pool->segment[slot].nr - done;
		uint32_t in = left < pool->geometry.magazine_size ? left
								  : pool->geometry.magazine_size;

		fill_magazine(pool, m, base + done, in);
		done += in;
	}
}

int make_place(struct pinion_pool *pool, uint32_t slot, const struct made *made)
{
	int err;

	pool->segment[slot] = made->segment;
	pool->segment[slot].zone = zone_of(pool, &pool->segment[slot]);
	err = make_room(pool, slot);
	if (err) {
		pool->segment[slot] = (struct control_segment){0};
		return err;
	}
	pool->memory[slot] = made->memory;
	slot_show(pool, slot);
	make_fill(pool, slot);
	return 0;
}

void make_forsake(struct pinion_pool *pool)
{
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		/* All that the slot may have: how many that segment had is not known. */
		const struct depot_range range = {.first = pool_magazine_first(pool, s),
						  .nr = pool->layout.stride};

		if (slot_state_of(pool->state[s]) == SLOT_GONE)
			depot_seize(pool, &range);
	}
}

void make_publish(struct pinion_pool *pool, uint32_t slot, enum slot_state state)
{
	struct control_slot *shared = &pool->shared->slot[slot];
	uint64_t epoch = atomic_load_explicit(&pool->epoch, memory_order_relaxed) + 1;

	if (state == SLOT_LIVE)
		memcpy(&shared->segment, &pool->segment[slot], sizeof(shared->segment));
	pool->state[slot] = slot_word(epoch, state);
	/* First the slot, then the epoch that makes others look at it. */
	atomic_store_explicit(&shared->state, pool->state[slot], memory_order_release); /* R5 */
	atomic_store_explicit(&pool->shared->epoch, epoch, memory_order_release); /* R5 */
	slot_acknowledge(pool, epoch);
}
