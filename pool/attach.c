/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fail.h"
#include "pool.h"

/*
 * Joining a pool made elsewhere. The files come from another process: what they say is copied
 * once and held against what the kernel says of them before it is used as a size or an index.
 */

/* A file that its sender can still shorten would be a SIGBUS whenever the sender likes. */
static bool cannot_shrink(int fd)
{
	int seals;

	return !pinion_hostmem_seals(fd, &seals) && (seals & F_SEAL_SHRINK);
}

static bool same_kind(const struct control_segment *a, const struct control_segment *b)
{
	return a->buffer_shift == b->buffer_shift && a->page_shift == b->page_shift &&
	       a->node == b->node;
}

static int check_segment(const struct pinion_pool *pool, uint32_t index)
{
	const struct control_segment *segment = &pool->segment[index];

	if (segment->buffer_shift < 6 || segment->buffer_shift > segment->page_shift ||
	    segment->page_shift < 12 || segment->page_shift > 40)
		return -EINVAL;
	if (!segment->nr || segment->nr > 1u << pool->geometry.segment_shift)
		return -EINVAL;
	if (segment->len != (uint64_t)segment->nr << segment->buffer_shift)
		return -EINVAL;
	if (segment->zone > index)
		return -EINVAL;
	/* A zone is of one kind: a cache's buffer_size and node hold for all of it. */
	for (uint32_t i = 0; i < index; i++)
		if (pool->segment[i].zone == segment->zone &&
		    !same_kind(&pool->segment[i], segment))
			return -EINVAL;
	return 0;
}

/* One read of the header, then only the copy is looked at. */
static int copy_header(struct pinion_pool *pool, uint32_t nr_segments)
{
	struct control header;

	memcpy(&header, pool->control.addr, sizeof(header));
	if (header.magic != CONTROL_MAGIC)
		return pinion_fail(-EPROTO, "this file is not the control area of a pool");
	if (header.stamp != CONTROL_STAMP)
		return pinion_fail(-EPROTO, "the pool has layout %#jx, this library %#jx: use the "
				   "same release of pinion on both sides",
				   (uintmax_t)header.stamp, (uintmax_t)CONTROL_STAMP);
	pool->id = header.pool;
	pool->geometry = header.geometry;
	memcpy(pool->segment, header.segment, sizeof(pool->segment));
	if (control_geometry_check(&pool->geometry) || pool->geometry.nr_segments != nr_segments)
		return pinion_fail(-EINVAL, "the control area's geometry is not one of a pool of "
				   "%u segments", nr_segments);
	layout_compute(&pool->geometry, &pool->layout);
	if (pool->layout.len != pool->control.len)
		return pinion_fail(-EINVAL, "the control area has %zu bytes, its geometry wants "
				   "%zu", pool->control.len, pool->layout.len);
	return 0;
}

static int map_control(struct pinion_pool *pool, const struct pinion_pool_fds *fds)
{
	struct stat status;
	int err;

	if (fstat(fds->control, &status))
		return pinion_fail(-errno, "control area: %s", strerror(errno));
	if (status.st_size < (off_t)sizeof(struct control))
		return pinion_fail(-EPROTO, "this file is too short for a control area");
	if (!cannot_shrink(fds->control))
		return pinion_fail(-EINVAL, "the control area is not sealed against shrinking");
	err = pinion_hostmem_attach(fds->control, (size_t)status.st_size, 4096, &pool->control);
	if (err)
		return pinion_fail(err, "cannot map the control area: %s", strerror(-err));
	return copy_header(pool, fds->nr_segments);
}

/* Files of one shape could come in the wrong order: the control area knows them by inode. */
static bool is_segment(const struct control_segment *segment, int fd)
{
	struct stat status;

	return !fstat(fd, &status) && status.st_ino == segment->inode && cannot_shrink(fd);
}

static int map_segments(struct pinion_pool *pool, const struct pinion_pool_fds *fds)
{
	for (uint32_t i = 0; i < fds->nr_segments; i++) {
		const struct control_segment *segment = &pool->segment[i];
		int err = check_segment(pool, i);

		if (err)
			return pinion_fail(err, "segment %u: the control area describes none that "
					   "can be", i);
		if (!is_segment(segment, fds->segment[i]))
			return pinion_fail(-EINVAL, "segment %u: the file is not the one that the "
					   "pool was made with, or not sealed", i);
		err = pinion_hostmem_attach(fds->segment[i], segment->len,
					    (size_t)1 << segment->page_shift, &pool->memory[i]);
		if (err)
			return pinion_fail(err, "segment %u: cannot map %ju bytes in pages of %zu: "
					   "%s", i, (uintmax_t)segment->len,
					   (size_t)1 << segment->page_shift, strerror(-err));
	}
	return 0;
}

static int check_member(const struct pinion_pool *pool, uint32_t member)
{
	const struct control_member *members =
		(const void *)((const char *)pool->control.addr + pool->layout.member);

	if (member < pool->geometry.nr_members &&
	    atomic_load_explicit(&members[member].state, memory_order_acquire) == MEMBER_LIVE)
		return 0;
	return pinion_fail(-EINVAL, "member %u was not admitted to the pool", member);
}

/* The files stay the caller's until all is well: forget them before discarding. */
static void discard_keeping_files(struct pinion_pool *pool)
{
	pool->control.fd = -1;
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		pool->memory[i].fd = -1;
	pool_discard(pool);
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
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return pinion_fail(-ENOMEM, "no memory for a pool's private part");
	err = map_control(pool, fds);
	if (!err)
		err = map_segments(pool, fds);
	if (!err)
		err = check_member(pool, member);
	if (err) {
		discard_keeping_files(pool);
		return err;
	}
	pool_open_view(pool, member);
	*out = pool;
	return 0;
}
