/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fail.h"
#include "make.h"
#include "member.h"
#include "named.h"
#include "place.h"
#include "slot.h"

/*
 * Making a pool. Nothing is shared until all of it stands: the maker alone sees the files.
 */

#define NAME_MAX_LEN 249 /* memfd_create(2) */

static int check(const struct pinion_pool_config *config)
{
	if (!config->nr_segments || config->nr_segments > PINION_SEGMENT_MAX)
		return pinion_fail(-EINVAL, "a pool has 1 to %d segments, not %u",
				   PINION_SEGMENT_MAX, config->nr_segments);
	if (config->max_segments > PINION_SEGMENT_MAX ||
	    (config->max_segments && config->max_segments < config->nr_segments))
		return pinion_fail(-EINVAL, "max_segments is %u: from nr_segments, %u, to %d",
				   config->max_segments, config->nr_segments, PINION_SEGMENT_MAX);
	if (config->nr_members > PINION_MEMBER_MAX)
		return pinion_fail(-EINVAL, "a pool has at most %d members, not %u",
				   PINION_MEMBER_MAX, config->nr_members);
	if (config->magazine_size && (config->magazine_size < PINION_MAGAZINE_MIN ||
				      config->magazine_size > PINION_MAGAZINE_MAX))
		return pinion_fail(-EINVAL, "magazines have %d to %d buffers, not %u",
				   PINION_MAGAZINE_MIN, PINION_MAGAZINE_MAX,
				   config->magazine_size);
	if (config->flags & ~PINION_POOL_FLAGS)
		return pinion_fail(-EINVAL, "unknown flags of a pool: %#x",
				   config->flags & ~PINION_POOL_FLAGS);
	if (config->name && strlen(config->name) > NAME_MAX_LEN)
		return pinion_fail(-EINVAL, "a name has at most %d characters, not %zu",
				   NAME_MAX_LEN, strlen(config->name));
	return make_check(config->segment, 0, config->nr_segments, config->flags);
}

static size_t buffers_of(const struct pinion_pool_config *config, uint32_t segment)
{
	return config->segment[segment].len /
	       make_stride(&config->segment[segment], config->flags);
}

/* Buffers of the largest segment. */
static size_t most_buffers(const struct pinion_pool_config *config)
{
	size_t most = 64;

	for (uint32_t i = 0; i < config->nr_segments; i++)
		most = buffers_of(config, i) > most ? buffers_of(config, i) : most;
	return most;
}

static size_t clamp(size_t n, size_t low, size_t high)
{
	return n < low ? low : n > high ? high : n;
}

/* With magazines of 128, all of them together then keep 1/64 of a large pool from others. */
static uint32_t default_caches(const struct pinion_pool_config *config)
{
	size_t all = 0;

	for (uint32_t i = 0; i < config->nr_segments; i++)
		all += buffers_of(config, i);
	return (uint32_t)clamp(all / 16384, 16, 256);
}

/* As many slots as were asked for; or, if that is left to us, as have ids and magazines. */
static int choose_slots(const struct pinion_pool_config *config, struct control_geometry *geometry)
{
	uint32_t most = PINION_SEGMENT_MAX;

	/* On hugetlbfs even the holes of a control area are reserved, a word for each id. */
	if (config->path && config->nr_segments < PINION_SEGMENT_MAX)
		most = config->nr_segments + 1;
	geometry->nr_segments = config->max_segments ? config->max_segments : most;
	while (control_geometry_check(geometry)) {
		if (config->max_segments || geometry->nr_segments <= config->nr_segments)
			return -EINVAL;
		geometry->nr_segments--;
	}
	return 0;
}

/* All segments get as many ids as the largest needs: the segment is then a shift of the id. */
static int plan(const struct pinion_pool_config *config, struct pinion_pool *pool)
{
	struct control_geometry *geometry = &pool->geometry;
	size_t most = most_buffers(config);

	geometry->segment_shift = (uint32_t)(64 - __builtin_clzll(most - 1));
	geometry->nr_members = config->nr_members ? config->nr_members : 64;
	geometry->nr_caches = config->nr_caches ? config->nr_caches : default_caches(config);
	geometry->magazine_size = config->magazine_size ? config->magazine_size
							: (uint32_t)clamp(most / 16, 16, 128);
	geometry->flags = config->flags;
	if (choose_slots(config, geometry))
		return pinion_fail(-EINVAL, "%u segments of up to %zu buffers with %u caches: more "
				   "than 2^%d ids, %d caches or 2^23 magazines (of %u buffers)",
				   geometry->nr_segments, most, geometry->nr_caches, PINION_ID_BITS,
				   PINION_CACHE_MAX, geometry->magazine_size);
	layout_compute(geometry, &pool->layout);
	return 0;
}

size_t make_control_len(const struct pinion_pool_config *config)
{
	struct pinion_pool *pool = check(config) ? NULL : pool_new();
	size_t len = 0;

	if (pool && !plan(config, pool))
		len = pool->layout.len;
	pool_discard(pool);
	return len;
}

static int make_sealed(const char *name, struct pinion_pool *pool)
{
	size_t len = pool->layout.len;
	int err = pinion_hostmem_create(name, len, 4096, &pool->control);

	if (err)
		return pinion_fail(err, "cannot make a control area of %zu bytes: %s", len,
				   strerror(-err));
	err = pinion_hostmem_seal(&pool->control, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (err)
		return pinion_fail(err, "cannot seal the control area: %s", strerror(-err));
	return 0;
}

/* Bytes of a named pool's control area, holes and all: the kernel promises them when it is mapped,
 * or refuses, before a page of the pool is touched. */
static size_t named_len(const struct pinion_pool *pool)
{
	size_t page_size = pool->named->page_size;

	return (pool->layout.len + page_size - 1) & ~(page_size - 1);
}

/* pre: nothing of the control area's is left, or it would be counted with what others have. */
static int too_few(const struct pinion_pool_config *config, const struct pinion_pool *pool)
{
	size_t page_size = pool->named->page_size, later = 0;

	for (uint32_t i = 0; i < config->nr_segments; i++)
		later += config->segment[i].len / page_size;
	return place_control_too_few(page_size, named_len(pool) / page_size, later, -ENOMEM);
}

static int make_named(const struct pinion_pool_config *config, struct pinion_pool *pool)
{
	size_t len = named_len(pool);
	int fd, err = named_create(pool->named, NAMED_CONTROL, len, pool->mode, &fd);

	if (err)
		return err;
	err = pinion_hostmem_attach(fd, len, pool->named->page_size, &pool->control);
	if (!err)
		return 0;
	(void)close(fd);
	if (err == -ENOMEM)
		return too_few(config, pool);
	return pinion_fail(err, "%s: cannot map a control area of %zu bytes: %s",
			   pool->named->path, len, strerror(-err));
}

/* All that is ever used, now (slots: make_room()): a touch later finds its page and never meets a
 * full machine. The holes that small segments leave stay holes. */
static int populate_control(const struct pinion_pool_config *config, struct pinion_pool *pool)
{
	size_t len = pool->layout.owner;
	int err = make_populate(pool, 0, len);

	if (!err)
		return 0;
	if (err == -ENOMEM && pool->named) {
		(void)pinion_hostmem_destroy(&pool->control);
		named_drop(pool->named, NAMED_CONTROL);
		return too_few(config, pool);
	}
	return pinion_fail(err, "cannot populate a control area of %zu bytes: %s", len,
			   strerror(-err));
}

static int make_control(const struct pinion_pool_config *config, const char *name,
			struct pinion_pool *pool)
{
	int err = pool->named ? make_named(config, pool) : make_sealed(name, pool);

	return err ? err : populate_control(config, pool);
}

/* The magic comes last: without it a named pool is known to be half made. */
static int stamp(struct pinion_pool *pool)
{
	struct control *control = pool->control.addr;
	ssize_t got;

	/* Up to 256 bytes come whole or not at all, and are interrupted only while the machine
	 * starts (getrandom(2)). A short count, from a filter that lies, leaves no errno. */
	do
		got = getrandom(&pool->id, sizeof(pool->id), 0);
	while (got < 0 && errno == EINTR);
	if (got != sizeof(pool->id)) {
		int err = got < 0 ? -errno : -EIO;

		return pinion_fail(err, "no random number for the pool: %s", strerror(-err));
	}
	control->stamp = CONTROL_STAMP;
	control->pool = pool->id;
	control->geometry = pool->geometry;
	/* What a kill leaves is in program order, if the compiler keeps to it. */
	atomic_signal_fence(memory_order_release);
	control->magic = CONTROL_MAGIC;
	return 0;
}

/* Each into its slot; what found no place is undone, the rest goes with the pool. */
static int place_all(struct pinion_pool *pool, const struct make_order *order, struct made *made)
{
	int err = 0;

	for (uint32_t i = 0; i < order->nr; i++) {
		if (!err)
			err = make_place(pool, i, &made[i]);
		if (err)
			make_undo(&made[i], i, order->named);
		else
			make_publish(pool, i, SLOT_LIVE);
	}
	return err;
}

static int make_all(const struct pinion_pool_config *config, const char *name,
		    struct pinion_pool *pool)
{
	const struct make_order order = {
		.config = config->segment,
		.nr = config->nr_segments,
		.name = name,
		.named = pool->named,
		.mode = pool->mode,
		.progress = {config->progress, config->progress_context},
	};
	struct made made[PINION_SEGMENT_MAX];
	int err = make_segments(pool, &order, made);

	return err ? err : place_all(pool, &order, made);
}

static int build(const struct pinion_pool_config *config, struct pinion_pool *pool)
{
	const char *name = config->name ? config->name : "pinion";
	int err = plan(config, pool);

	pool->keeper = true;
	pool->mode = config->mode;
	if (!err && config->path)
		err = named_make(config->path, config->mode, &pool->named);
	if (!err)
		err = make_control(config, name, pool);
	if (err)
		return err;
	pool_open_view(pool, 0);
	err = make_all(config, name, pool);
	if (err)
		return err;
	member_set(pool, 0, getpid());
	return stamp(pool);
}

int pinion_pool_create(const struct pinion_pool_config *config, struct pinion_pool **out)
{
	KEEP_ERRNO;
	struct pinion_pool *pool;
	int err = check(config);

	if (err)
		return err;
	pool = pool_new();
	if (!pool)
		return pinion_fail(-ENOMEM, "no memory for a pool's private part");
	err = build(config, pool);
	if (err) {
		if (pool->named)
			(void)named_unlink(pool->named);
		pool_discard(pool);
		return err;
	}
	*out = pool;
	return 0;
}
