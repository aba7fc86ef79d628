/* SPDX-License-Identifier: BSD-3-Clause */
#include "slot.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "once.h"
#include "segment.h"
#include "steady.h"

/* Files of one shape could come in the wrong order: the control area knows them by inode. */
static int check_file(const struct control_segment *segment, int fd)
{
	struct stat status;

	if (fstat(fd, &status))
		return -errno;
	return status.st_ino == segment->inode ? steady_file(fd) : -EINVAL;
}

int slot_check(const struct pinion_pool *pool, const struct control_segment *segment)
{
	if (segment->page_shift < 12 || segment->page_shift > 40)
		return -EINVAL;
	if (segment->buffer_shift < 6 || segment->buffer_shift > 31 ||
	    segment->stride_shift < segment->buffer_shift || segment->stride_shift > 32)
		return -EINVAL;
	if (!segment->nr || segment->nr > 1u << pool->geometry.segment_shift)
		return -EINVAL;
	if (segment->len != (uint64_t)segment->nr << segment->stride_shift)
		return -EINVAL;
	return 0;
}

int slot_copy(struct pinion_pool *pool, uint32_t index)
{
	const struct control_slot *slot = &pool->shared->slot[index];
	uint64_t word = atomic_load_explicit(&slot->state, memory_order_acquire); /* A5 */
	struct control_segment segment = {0};
	enum slot_state state = slot_state_of(word);

	if (state == SLOT_LIVE || state == SLOT_RETIRING) {
		once_copy(&segment, &slot->segment, sizeof(segment));
		/* Was it still the same when the copy was done? */
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&slot->state, memory_order_relaxed) != word)
			return -EAGAIN;
		if (slot_check(pool, &segment))
			return pinion_fail(-EINVAL, "segment %u: the control area describes none "
					   "that can be", index);
	}
	pool->state[index] = word;
	pool->segment[index] = segment;
	return 0;
}

/* Caches look at the slots again. Relaxed: they do so with the pool locked. */
static void note_change(struct pinion_pool *pool)
{
	(void)atomic_fetch_add_explicit(&pool->changes, 1, memory_order_relaxed);
}

/* Addresses are biased so that the id itself is the offset: one shift and one add. */
void slot_show(struct pinion_pool *pool, uint32_t index)
{
	const struct control_segment *from = &pool->segment[index];
	struct pinion_view_segment *to = &pool->view.segment[index];
	uint64_t first = (uint64_t)index << pool->geometry.segment_shift;

	to->shift = from->stride_shift;
	to->size = (size_t)1 << from->buffer_shift;
	to->node = from->node;
	to->base = (uintptr_t)pool->memory[index].addr - (uintptr_t)(first << to->shift);
	atomic_store_explicit(&to->nr, from->nr, memory_order_release); /* R11 */
	note_change(pool);
}

/* pre: the slot is not mapped. */
static void drop_kept(struct pinion_pool *pool, uint32_t index)
{
	if (pool->memory[index].fd >= 0)
		(void)close(pool->memory[index].fd);
	pool->memory[index].fd = -1;
}

int slot_forget(struct pinion_pool *pool, uint32_t index, uint64_t inode)
{
	struct watcher *watcher;
	int err = 0;

	LIST_FOREACH(watcher, &pool->watchers, link)
		err = err ? err : watcher->forget(watcher, index, inode);
	return err;
}

void slot_unmap(struct pinion_pool *pool, uint32_t index)
{
	atomic_store_explicit(&pool->view.segment[index].nr, 0, memory_order_relaxed);
	if (pool->memory[index].addr)
		(void)pinion_hostmem_destroy(&pool->memory[index]);
	drop_kept(pool, index);
	pool->memory[index] = (struct pinion_hostmem){.fd = -1};
	note_change(pool);
}

int slot_map(struct pinion_pool *pool, uint32_t index, int fd)
{
	const struct control_segment *segment = &pool->segment[index];
	struct pinion_hostmem memory;
	int err = check_file(segment, fd);

	if (err == -EINVAL)
		return pinion_fail(err, "segment %u: the file is not the one that the pool was "
				   "made with, or not sealed", index);
	if (err)
		return pinion_fail(err, "segment %u: cannot tell what its file is: %s", index,
				   strerror(-err));
	err = segment_map(fd, segment->len, (size_t)1 << segment->page_shift,
			  (size_t)1 << segment->stride_shift, &memory);
	if (err)
		return pinion_fail(err, "segment %u: cannot map %ju bytes in pages of %zu: %s",
				   index, (uintmax_t)segment->len,
				   (size_t)1 << segment->page_shift, strerror(-err));
	if (pool->memory[index].fd != fd)
		drop_kept(pool, index);
	pool->memory[index] = memory;
	slot_show(pool, index);
	return 0;
}

/* The courier may have brought the file by now; then it is kept until it can be mapped. */
static int fetch(struct pinion_pool *pool, uint32_t index)
{
	int fd = -1, err = pool->fetch ? pool->fetch(pool->fetch_context, index, &fd) : -EAGAIN;

	if (!err) {
		drop_kept(pool, index);
		pool->memory[index].fd = fd;
	}
	return err == -EAGAIN ? 0 : err;
}

/*
 * 0: mapped, or there is nothing to be done before somebody asks for this segment; the slot stays
 * unmapped then. -errno: it failed for want of something, and is worth another look.
 */
static int try_to_map(struct pinion_pool *pool, uint32_t index)
{
	int err = fetch(pool, index);

	if (pool->memory[index].fd < 0)
		return err;
	err = slot_map(pool, index, pool->memory[index].fd);
	if (err != -EINVAL)
		return err;
	drop_kept(pool, index); /* of another segment, gone by now */
	return 0;
}

/* -errno: worth another look. @stuck: a domain still gives addresses of what was there, so that the
 * slot stays as it was, and the keeper has to wait with the next segment. */
static int look_at(struct pinion_pool *pool, uint32_t index, bool *stuck)
{
	const struct control_segment was = pool->segment[index];
	const uint64_t state = pool->state[index];
	int err = 0;

	if (slot_copy(pool, index))
		return 0; /* being changed, or scribbled on: as it was */
	if (was.nr && pool->segment[index].inode != was.inode)
		err = slot_forget(pool, index, pool->segment[index].inode);
	if (err) {
		pool->segment[index] = was;
		pool->state[index] = state;
		*stuck = true;
		return err;
	}
	if (pool->state[index] != state)
		note_change(pool);
	if (pool->segment[index].inode != was.inode)
		slot_unmap(pool, index);
	if (pool_has_segment(pool, index) && !pool->memory[index].addr)
		return try_to_map(pool, index);
	return 0;
}

/* What is GONE is unmapped. */
static void say_seen(struct pinion_pool *pool, uint64_t epoch)
{
	atomic_store_explicit(&pool->seen[pool->member], epoch, memory_order_release); /* R6 */
}

void slot_acknowledge(struct pinion_pool *pool, uint64_t epoch)
{
	atomic_store_explicit(&pool->epoch, epoch, memory_order_relaxed);
	note_change(pool);
	say_seen(pool, epoch);
}

void slot_take_over(struct pinion_pool *pool)
{
	uint64_t epoch = atomic_load_explicit(&pool->shared->epoch, memory_order_acquire); /* A5 */

	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		if (pool->state[i] >> 2 > epoch)
			epoch = pool->state[i] >> 2;
	atomic_store_explicit(&pool->shared->epoch, epoch, memory_order_release); /* R5 */
	atomic_store_explicit(&pool->epoch, epoch, memory_order_relaxed);
}

bool slot_sync(struct pinion_pool *pool)
{
	KEEP_ERRNO;
	uint64_t epoch;
	bool again = false, stuck = false;

	/* The child of a fork would say in its parent's name that it has looked. */
	if (!slot_changed(pool) || atomic_load_explicit(&pool->forked, memory_order_relaxed))
		return false;
	pool_lock(pool);
	epoch = atomic_load_explicit(&pool->shared->epoch, memory_order_acquire); /* A5 */
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		again |= look_at(pool, i, &stuck) != 0;
	/* With the old epoch there is still something to look at, whenever somebody looks. That
	 * alone is no change: threads would keep each other following for ever. */
	if (!again)
		slot_acknowledge(pool, epoch);
	else if (!stuck)
		say_seen(pool, epoch);
	pool_unlock(pool);
	return true;
}

/* pre: locked. */
static int meet(struct pinion_pool *pool, uint32_t index)
{
	int err;

	if (!pool_has_segment(pool, index))
		return -EINVAL;
	err = pool->memory[index].addr ? 0 : try_to_map(pool, index);
	if (!err && !pool->memory[index].addr)
		return -EAGAIN;
	return err;
}

int slot_meet(struct pinion_pool *pool, uint32_t id)
{
	KEEP_ERRNO;
	uint32_t index = id >> pool->geometry.segment_shift;
	int err;

	if (index >= pool->geometry.nr_segments)
		return -EINVAL;
	(void)slot_sync(pool);
	if (pinion_view_has(&pool->view, id))
		return 0;
	pool_lock(pool);
	err = meet(pool, index);
	pool_unlock(pool);
	if (err)
		return err;
	return pinion_view_has(&pool->view, id) ? 0 : -EINVAL;
}

void slot_meet_all(struct pinion_pool *pool)
{
	KEEP_ERRNO;

	if (pool->keeper)
		return; /* which has them all */
	(void)slot_sync(pool);
	pool_lock(pool);
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		(void)meet(pool, i);
	pool_unlock(pool);
}

int pinion_pool_extend(struct pinion_pool *pool, uint32_t slot, int fd)
{
	KEEP_ERRNO;
	int err;

	if (slot >= pool->geometry.nr_segments)
		return pinion_fail(-EINVAL, "the pool has segment slots 0 to %u, and no %u",
				   pool->geometry.nr_segments - 1, slot);
	(void)slot_sync(pool);
	pool_lock(pool);
	if (!pool_has_segment(pool, slot))
		err = pinion_fail(-EINVAL, "the pool has no segment %u", slot);
	else if (pool->memory[slot].addr)
		err = pinion_fail(-EEXIST, "segment %u is mapped already", slot);
	else
		err = slot_map(pool, slot, fd);
	pool_unlock(pool);
	return err;
}
