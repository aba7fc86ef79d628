/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "pool.h"
#include "segment.h"

/*
 * Making a pool. Nothing is shared until all of it stands: the maker alone sees the files.
 */

static uint8_t log2_of(size_t power)
{
	return (uint8_t)__builtin_ctzll(power);
}

static int check(const struct pinion_pool_config *config)
{
	if (!config->nr_segments || config->nr_segments > PINION_SEGMENT_MAX)
		return pinion_fail(-EINVAL, "a pool has 1 to %d segments, not %u",
				   PINION_SEGMENT_MAX, config->nr_segments);
	if (config->nr_members > PINION_MEMBER_MAX)
		return pinion_fail(-EINVAL, "a pool has at most %d members, not %u",
				   PINION_MEMBER_MAX, config->nr_members);
	for (uint32_t i = 0; i < config->nr_segments; i++) {
		int err = segment_config_check(&config->segment[i], i);

		if (err)
			return err;
	}
	return 0;
}

/* All segments get as many ids as the largest needs: the segment is then a shift of the id. */
static int plan(const struct pinion_pool_config *config, struct pinion_pool *pool)
{
	struct control_geometry *geometry = &pool->geometry;
	size_t most = 64;

	for (uint32_t i = 0; i < config->nr_segments; i++) {
		size_t nr = config->segment[i].len / config->segment[i].buffer_size;

		most = nr > most ? nr : most;
	}
	geometry->segment_shift = (uint32_t)(64 - __builtin_clzll(most - 1));
	geometry->nr_segments = config->nr_segments;
	geometry->nr_members = config->nr_members ? config->nr_members : 64;
	geometry->nr_caches = config->nr_caches ? config->nr_caches : 128;
	if (control_geometry_check(geometry))
		return pinion_fail(-EINVAL, "%u segments of up to %zu buffers with %u caches: more "
				   "than 2^%d ids, 65536 caches or 2^23 magazines",
				   config->nr_segments, most, geometry->nr_caches,
				   PINION_ID_BITS);
	layout_compute(geometry, &pool->layout);
	return 0;
}

/* A zone is known by its first segment; the next free number is that segment's own index. */
static uint8_t zone_of(const struct pinion_pool *pool, uint32_t index)
{
	const struct control_segment *new = &pool->segment[index];
	uint8_t next = 0;

	for (uint32_t i = 0; i < index; i++) {
		const struct control_segment *old = &pool->segment[i];

		if (old->node == new->node && old->buffer_shift == new->buffer_shift &&
		    old->page_shift == new->page_shift)
			return old->zone;
		if (old->zone >= next)
			next = (uint8_t)(old->zone + 1);
	}
	return next;
}

static int inode_of(const struct pinion_hostmem *memory, uint32_t index, uint64_t *inode)
{
	struct stat status;

	if (fstat(memory->fd, &status))
		return pinion_fail(-errno, "segment %u: cannot tell its inode: %s", index,
				   strerror(errno));
	*inode = status.st_ino;
	return 0;
}

static int make_segments(const struct pinion_pool_config *config, const char *name,
			 struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < config->nr_segments; i++) {
		const struct pinion_segment_config *from = &config->segment[i];
		struct control_segment *to = &pool->segment[i];
		int node, err = segment_create(from, name, i, &pool->memory[i], &node);

		if (err)
			return err;
		err = inode_of(&pool->memory[i], i, &to->inode);
		if (err)
			return err;
		to->len = from->len;
		to->nr = (uint32_t)(from->len / from->buffer_size);
		to->node = node;
		to->buffer_shift = log2_of(from->buffer_size);
		to->page_shift = log2_of(from->page_size);
		to->zone = zone_of(pool, i);
	}
	return 0;
}

/* The pages that @len bytes at @off touch. */
static int populate(const struct pinion_pool *pool, size_t off, size_t len)
{
	size_t first = off & ~(size_t)4095, end = (off + len + 4095) & ~(size_t)4095;

	return pinion_hostmem_populate(&pool->control, first, end - first);
}

static int populate_segment(const struct pinion_pool *pool, uint32_t index)
{
	const struct layout *layout = &pool->layout;
	size_t nr = pool_magazine_nr(pool, index), first = pool_magazine_first(pool, index);
	size_t words = (size_t)index << pool->geometry.segment_shift;
	int err = populate(pool, layout->owner + words * 8, pool->segment[index].nr * 8ul);

	if (!err)
		err = populate(pool, layout->magazine + first * 8, nr * 8);
	if (!err)
		err = populate(pool, layout->content + first * sizeof(struct control_content),
			       nr * sizeof(struct control_content));
	return err;
}

/* All that is ever used, now: a touch later finds its page and never meets a full machine. The
 * holes that small segments leave stay holes. */
static int populate_control(const struct pinion_pool *pool)
{
	const struct layout *layout = &pool->layout;
	int err = populate(pool, 0, layout->owner);

	if (!err)
		err = populate(pool, layout->depot, layout->content - layout->depot);
	for (uint32_t i = 0; !err && i < pool->geometry.nr_segments; i++)
		err = populate_segment(pool, i);
	if (err)
		err = pinion_fail(err, "no memory for a control area of %zu bytes: %s", layout->len,
				  strerror(-err));
	return err;
}

static int make_control(const char *name, struct pinion_pool *pool)
{
	int err = pinion_hostmem_create(name, pool->layout.len, 4096, &pool->control);

	if (err)
		return pinion_fail(err, "cannot make a control area of %zu bytes: %s",
				   pool->layout.len, strerror(-err));
	err = populate_control(pool);
	if (err)
		return err;
	err = pinion_hostmem_seal(&pool->control, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (err)
		return pinion_fail(err, "cannot seal the control area: %s", strerror(-err));
	return 0;
}

/* All buffers begin free: magazines filled in order, lowest ids first, the rest empty. */
static void fill_depot(struct pinion_pool *pool, uint32_t index)
{
	uint32_t first = pool_magazine_first(pool, index), nr = pool_magazine_nr(pool, index);
	uint32_t base = index << pool->geometry.segment_shift, done = 0;

	for (uint32_t m = first; m < first + nr; m++) {
		uint32_t left = pool->segment[index].nr - done;
		uint32_t in = left < PINION_MAGAZINE_SIZE ? left : PINION_MAGAZINE_SIZE;
		_Atomic uint64_t *hint = in ? pool->depot : pool->empty;

		for (uint32_t i = 0; i < in; i++) {
			uint32_t id = base + done + i;
			/* Generations start at 1: a slot of zeroes names no hold. */
			struct pinion_buffer buffer = pinion_buffer_make(id, 1);

			pool->content[m].id[i] = id;
			pool->view.owner[id] = pinion_owner_word(buffer, pinion_owner_magazine(m));
		}
		pool->magazine[m] = magazine_word(in ? MAGAZINE_DEPOT : MAGAZINE_EMPTY, in);
		hint[m / 64] |= UINT64_C(1) << (m % 64);
		done += in;
	}
}

static int stamp(struct pinion_pool *pool)
{
	struct control *control = pool->control.addr;

	if (getrandom(&pool->id, sizeof(pool->id), 0) != sizeof(pool->id))
		return pinion_fail(-errno, "no random number for the pool: %s", strerror(errno));
	control->magic = CONTROL_MAGIC;
	control->stamp = CONTROL_STAMP;
	control->pool = pool->id;
	control->geometry = pool->geometry;
	memcpy(control->segment, pool->segment, sizeof(control->segment));
	return 0;
}

static int build(const struct pinion_pool_config *config, struct pinion_pool *pool)
{
	const char *name = config->name ? config->name : "pinion";
	int err = plan(config, pool);

	if (!err)
		err = make_segments(config, name, pool);
	if (!err)
		err = make_control(name, pool);
	if (!err)
		err = stamp(pool);
	if (err)
		return err;
	pool_open_view(pool, 0);
	for (uint32_t i = 0; i < config->nr_segments; i++)
		fill_depot(pool, i);
	pool->members[0].state = MEMBER_LIVE;
	pool->members[0].pid = (int32_t)getpid();
	return 0;
}

int pinion_pool_create(const struct pinion_pool_config *config, struct pinion_pool **out)
{
	KEEP_ERRNO;
	struct pinion_pool *pool;
	int err = check(config);

	if (err)
		return err;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return pinion_fail(-ENOMEM, "no memory for a pool's private part");
	err = build(config, pool);
	if (err) {
		pool_discard(pool);
		return err;
	}
	*out = pool;
	return 0;
}
