/* SPDX-License-Identifier: BSD-3-Clause */
#include "attach.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "member.h"
#include "once.h"
#include "slot.h"
#include "steady.h"

/*
 * Joining a pool made elsewhere. The files come from another process: what they say is copied
 * once and held against what the kernel says of them before it is used as a size or an index.
 */

/* One read of the header, then only the copy is looked at. What is behind the geometry has readers
 * of its own: the epoch and each slot are read in their order, see slot.c. */
static int copy_header(struct pinion_pool *pool)
{
	struct control header;

	once_copy(&header, pool->control.addr, offsetof(struct control, epoch));
	if (header.magic != CONTROL_MAGIC)
		return pinion_fail(-EPROTO, "this file is not the control area of a pool");
	if (header.stamp != CONTROL_STAMP)
		return pinion_fail(-EPROTO, "the pool has layout %#jx, this library %#jx: use the "
				   "same release of pinion on both sides",
				   (uintmax_t)header.stamp, (uintmax_t)CONTROL_STAMP);
	pool->id = header.pool;
	pool->geometry = header.geometry;
	if (control_geometry_check(&pool->geometry))
		return pinion_fail(-EINVAL, "the control area's geometry is not one of a pool");
	layout_compute(&pool->geometry, &pool->layout);
	if (pool->layout.len > pool->control.len)
		return pinion_fail(-EINVAL, "the control area has %zu bytes, its geometry wants "
				   "%zu", pool->control.len, pool->layout.len);
	return 0;
}

int attach_control(struct pinion_pool *pool, int fd, size_t len, size_t page_size)
{
	int err;

	if (len < sizeof(struct control))
		return pinion_fail(-EPROTO, "this file is too short for a control area");
	err = steady_file(fd);
	if (err == -EINVAL)
		return pinion_fail(err, "the control area is not sealed against shrinking");
	if (err)
		return pinion_fail(err, "cannot tell if the control area is sealed: %s",
				   strerror(-err));
	err = pinion_hostmem_attach(fd, len, page_size, &pool->control);
	if (err)
		return pinion_fail(err, "cannot map the control area: %s", strerror(-err));
	err = copy_header(pool);
	if (err) {
		pool->control.fd = -1; /* stays the caller's */
		(void)pinion_hostmem_destroy(&pool->control);
	}
	return err;
}

static int map_control(struct pinion_pool *pool, int fd)
{
	struct stat status;
	size_t page_size;
	int err;

	if (fstat(fd, &status))
		return pinion_fail(-errno, "control area: %s", strerror(errno));
	err = pinion_hostmem_page_size(fd, &page_size);
	if (err == -ENOTSUP)
		return pinion_fail(-EPROTO, "this file is not the control area of a pool");
	if (err)
		return pinion_fail(err, "control area: %s", strerror(-err));
	return attach_control(pool, fd, (size_t)status.st_size, page_size);
}

/* A slot that changes while we look is looked at again: its file comes but once, and the segment
 * may only have begun to retire. LIVE, RETIRING, GONE: more changes than two wait for what we are
 * about to acknowledge. */
static int copy_slot(struct pinion_pool *pool, uint32_t slot)
{
	int err = slot_copy(pool, slot);

	for (int changes = 1; err == -EAGAIN && changes <= 2; changes++)
		err = slot_copy(pool, slot);
	return err;
}

/* The file of a segment that went since is not mapped; nor is that of a slot which somebody writes
 * over all the time. */
static int map_segment(struct pinion_pool *pool, uint32_t slot, int fd)
{
	int err = copy_slot(pool, slot);

	if (err == -EAGAIN)
		return 0;
	if (err || fd < 0 || !pool_has_segment(pool, slot))
		return err;
	return slot_map(pool, slot, fd);
}

/* *epoch: which is acknowledged then. */
static int map_segments(struct pinion_pool *pool, const struct pinion_pool_fds *fds,
			uint64_t *epoch)
{
	int err = 0;

	*epoch = atomic_load_explicit(&pool->shared->epoch, memory_order_acquire); /* A5 */
	for (uint32_t i = 0; !err && i < pool->geometry.nr_segments; i++)
		err = map_segment(pool, i, i < fds->nr_segments ? fds->segment[i] : -1);
	return err;
}

/* All of @fds is the pool's now; what it has no use for goes. */
static void close_unused(const struct pinion_pool *pool, const struct pinion_pool_fds *fds)
{
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		if (!pool->memory[i].addr && fds->segment[i] >= 0)
			(void)close(fds->segment[i]);
}

void attach_discard(struct pinion_pool *pool)
{
	pool->control.fd = -1;
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		pool->memory[i].fd = -1;
	pool_discard(pool);
}

/* Nothing is written to what is shared before all that this process does has gone well. */
static int attach(struct pinion_pool *pool, const struct pinion_pool_fds *fds, uint32_t member)
{
	uint64_t epoch;
	int err = map_control(pool, fds->control);

	if (err)
		return err;
	pool_open_view(pool, member);
	err = map_segments(pool, fds, &epoch);
	if (!err)
		err = member_join(pool, member);
	if (err)
		return err;
	slot_acknowledge(pool, epoch);
	return 0;
}

int pinion_pool_attach(const struct pinion_pool_fds *fds, uint32_t member,
		       struct pinion_pool **out)
{
	KEEP_ERRNO;
	struct pinion_pool *pool;
	int err;

	if (!fds->nr_segments || fds->nr_segments > PINION_SEGMENT_MAX)
		return pinion_fail(-EINVAL, "a pool has 1 to %d segments, not %u",
				   PINION_SEGMENT_MAX, fds->nr_segments);
	pool = pool_new();
	if (!pool)
		return pinion_fail(-ENOMEM, "no memory for a pool's private part");
	err = attach(pool, fds, member);
	if (err) {
		attach_discard(pool);
		return err;
	}
	close_unused(pool, fds);
	*out = pool;
	return 0;
}
