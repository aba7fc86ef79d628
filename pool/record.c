/* SPDX-License-Identifier: BSD-3-Clause */
#include "record.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fail.h"
#include "named.h"
#include "process.h"
#include "slot.h"

#define RECORD_MAGIC UINT64_C(0x64726365726e6970) /* "pinrecrd" in memory */

/* A slot of the record is a slot of the control area, and both are stored. */
static_assert(sizeof(struct pinion_segment_record) == sizeof(struct control_slot),
	      "slots are recorded as they are");
static_assert(offsetof(struct pinion_segment_record, len) ==
		      offsetof(struct control_slot, segment.len) &&
	      offsetof(struct pinion_segment_record, zone) ==
		      offsetof(struct control_slot, segment.zone),
	      "and their fields stand alike");
static_assert(sizeof(struct pinion_pool_record) == 72 + 40 * PINION_SEGMENT_MAX + 8,
	      "a record has no holes");

/* FNV-1a of 64 bits: it is to notice a store that was cut short, not one who means it. */
static uint64_t sum(const struct pinion_pool_record *record)
{
	const unsigned char *byte = (const void *)record;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct pinion_pool_record, sum); i++)
		hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
	return hash;
}

void record_close(struct pinion_pool_record *record)
{
	record->sum = sum(record);
}

int record_check(const struct pinion_pool_record *record)
{
	if (record->magic != RECORD_MAGIC)
		return pinion_fail(-EPROTO, "this is not the record of a pool");
	if (record->stamp != CONTROL_STAMP)
		return pinion_fail(-EPROTO, "the record is of layout %#jx, this library of %#jx: "
				   "use the release that stored it", (uintmax_t)record->stamp,
				   (uintmax_t)CONTROL_STAMP);
	if (record->sum != sum(record))
		return pinion_fail(-EPROTO, "the record was stored in part only, or changed since");
	return 0;
}

static void set_segment(struct pinion_segment_record *record, uint64_t state,
			const struct control_segment *segment)
{
	record->state = state;
	memcpy(&record->len, segment, sizeof(*segment));
}

/* pre: the pool is locked, or nobody else's. */
static int take(const struct pinion_pool *pool, struct pinion_pool_record *record)
{
	const struct control_geometry *geometry = &pool->geometry;
	struct stat status;

	if (fstat(pool->control.fd, &status))
		return pinion_fail(-errno, "cannot tell the control area's inode: %s",
				   strerror(errno));
	*record = (struct pinion_pool_record){
		.magic = RECORD_MAGIC,
		.stamp = CONTROL_STAMP,
		.pool = pool->id,
		.epoch = atomic_load_explicit(&pool->epoch, memory_order_relaxed),
		.control_len = pool->control.len,
		.control_inode = status.st_ino,
		.segment_shift = geometry->segment_shift,
		.nr_segments = geometry->nr_segments,
		.nr_members = geometry->nr_members,
		.nr_caches = geometry->nr_caches,
		.magazine_size = geometry->magazine_size,
		.flags = geometry->flags,
	};
	for (uint32_t i = 0; i < geometry->nr_segments; i++)
		set_segment(&record->segment[i], pool->state[i], &pool->segment[i]);
	record_close(record);
	return 0;
}

int pinion_pool_record(const struct pinion_pool *pool, struct pinion_pool_record *record)
{
	KEEP_ERRNO;
	struct pinion_pool_record taken;
	int err = pool_check_keeper(pool);

	if (err)
		return err;
	pool_lock(pool);
	err = take(pool, &taken);
	pool_unlock(pool);
	if (!err)
		*record = taken;
	return err;
}

int pinion_member_record(pid_t pid, struct pinion_member_record *record)
{
	KEEP_ERRNO;
	uint64_t started = process_started(pid);

	if (!started)
		return pinion_fail(-ESRCH, "process %d is not there, or /proc does not tell",
				   (int)pid);
	*record = (struct pinion_member_record){1, (int32_t)pid, started, 0};
	return 0;
}

int pinion_pool_watch(struct pinion_pool *pool,
		      int (*store)(void *context, uint32_t slot, int fd,
				   const struct pinion_pool_record *record),
		      void *context)
{
	KEEP_ERRNO;
	int err = pool_check_keeper(pool);

	if (err)
		return err;
	pool_lock(pool);
	pool->store = store;
	pool->store_context = context;
	pool_unlock(pool);
	return 0;
}

int record_tell(struct pinion_pool *pool, uint32_t index, enum slot_state state)
{
	static const struct control_segment none;
	struct pinion_pool_record record;
	int err;

	if (!pool->store)
		return 0;
	err = take(pool, &record);
	if (err)
		return err;
	record.epoch++;
	set_segment(&record.segment[index], slot_word(record.epoch, state),
		    state == SLOT_GONE ? &none : &pool->segment[index]);
	record_close(&record);
	err = pool->store(pool->store_context, index, pool->memory[index].fd, &record);
	if (err)
		return pinion_fail(err, "segment %u: the record of it could not be stored: %s",
				   index, strerror(-err));
	return 0;
}

void record_tell_gone(struct pinion_pool *pool, uint32_t index)
{
	struct pinion_pool_record record;

	if (pool->store && !take(pool, &record))
		(void)pool->store(pool->store_context, index, -1, &record);
}

/* A slot without a segment has no shape. */
static int apply_slot(const struct pinion_segment_record *from, uint64_t newest,
		      struct pinion_pool *pool, uint32_t index)
{
	enum slot_state state = slot_state_of(from->state);

	if (from->state >> 2 > newest)
		return -EPROTO;
	pool->state[index] = from->state;
	memcpy(&pool->segment[index], &from->len, sizeof(pool->segment[index]));
	if (state != SLOT_LIVE && state != SLOT_RETIRING)
		return pool_has_segment(pool, index) ? -EPROTO : 0;
	return slot_check(pool, &pool->segment[index]) ? -EPROTO : 0;
}

/* Whole pages, of the mount if it lies on one. */
static size_t control_len(const struct pinion_pool *pool)
{
	const size_t page = pool->named ? pool->named->page_size : 4096;

	return (pool->layout.len + page - 1) & ~(page - 1);
}

static int apply(const struct pinion_pool_record *record, struct pinion_pool *pool)
{
	pool->id = record->pool;
	pool->geometry = (struct control_geometry){
		.segment_shift = record->segment_shift,
		.nr_segments = record->nr_segments,
		.nr_members = record->nr_members,
		.nr_caches = record->nr_caches,
		.magazine_size = record->magazine_size,
		.flags = record->flags,
	};
	if (control_geometry_check(&pool->geometry))
		return -EPROTO;
	layout_compute(&pool->geometry, &pool->layout);
	if (control_len(pool) != record->control_len)
		return -EPROTO;
	for (uint32_t i = 0; i < record->nr_segments; i++)
		if (apply_slot(&record->segment[i], record->epoch, pool, i))
			return -EPROTO;
	return 0;
}

int record_apply(const struct pinion_pool_record *record, struct pinion_pool *pool)
{
	if (apply(record, pool))
		return pinion_fail(-EPROTO, "the record describes no pool that can be");
	return 0;
}
