/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pinion/named.h>

#include "adopt.h"
#include "attach.h"
#include "fail.h"
#include "make.h"
#include "member.h"
#include "named.h"
#include "pool.h"
#include "slot.h"
#include "whole.h"

/*
 * Taking over a named pool. The files were written by processes of ours that may have been killed
 * anywhere; they are checked as those of a stranger are, and then recovered.
 */

static int map_control(struct pinion_pool *pool)
{
	size_t len;
	int fd, err = named_open(pool->named, NAMED_CONTROL, &fd, &len);

	if (err == -ENOENT)
		return pinion_fail(-EPROTO,
				   "%s: no control area: its maker was killed before it "
				   "was done; remove it with pinion_pool_unlink()",
				   pool->named->path);
	if (err)
		return err;
	err = attach_control(pool, fd, len, pool->named->page_size);
	if (err)
		(void)close(fd);
	return err;
}

int adopt_slot(struct pinion_pool *pool, uint32_t slot)
{
	char what[NAMED_WHAT_MAX];
	size_t len;
	int fd, err;

	named_segment(slot, what);
	err = named_open(pool->named, what, &fd, &len);
	if (err == -ENOENT)
		return pinion_fail(-EINVAL,
				   "%s/%s: the file of this segment is missing: put it "
				   "back, or remove the pool with pinion_pool_unlink()",
				   pool->named->path, what);
	if (err)
		return err;
	err = slot_map(pool, slot, fd);
	if (err)
		(void)close(fd);
	return err;
}

/* A slot without a segment has no file either: a keeper killed while it added or took one away may
 * have left it, with its pages, and in the way of the next. */
static int map_slot(struct pinion_pool *pool, uint32_t slot)
{
	int err = slot_copy(pool, slot);

	if (err)
		return err;
	if (pool_has_segment(pool, slot))
		return adopt_slot(pool, slot);
	named_drop_segment(pool->named, slot);
	return 0;
}

/* Without a number as yet: recovery needs none, and gives numbers back. */
static int map_all(struct pinion_pool *pool)
{
	int err = map_control(pool);

	if (err)
		return err;
	pool_open_view(pool, pool->geometry.nr_members);
	for (uint32_t i = 0; !err && i < pool->geometry.nr_segments; i++)
		err = map_slot(pool, i);
	return err;
}

static bool is_free(const struct pinion_pool *pool, uint32_t member)
{
	return atomic_load_explicit(&pool->members[member].state, memory_order_relaxed) ==
	       MEMBER_FREE;
}

static bool lives(const struct pinion_pool *pool, uint32_t member)
{
	const struct control_member *slot = &pool->members[member];

	return atomic_load_explicit(&slot->state, memory_order_relaxed) == MEMBER_LIVE &&
	       !member_goodbye(slot) && member_lives(slot);
}

static void count_members(const struct pinion_pool *pool, struct pinion_adoption *adoption)
{
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		if (is_free(pool, i))
			continue;
		if (lives(pool, i))
			adoption->living++;
		else
			adoption->dead++;
	}
}

/* -ENOSPC: the control area was written over, and what it held is yet to come back. */
static int repair_member(struct pinion_pool *pool, uint32_t member, struct pinion_recovery *report)
{
	struct pinion_recovery this;
	int err = pinion_pool_release(pool, member, &this);

	report->returned += this.returned;
	report->magazines += this.magazines;
	return err;
}

static void free_numbers(struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		pool->dead[i] = false;
		if (!is_free(pool, i))
			atomic_store_explicit(&pool->members[i].state, MEMBER_FREE,
					      memory_order_relaxed);
	}
}

int adopt_repair(struct pinion_pool *pool, struct pinion_recovery *report)
{
	uint64_t *room = whole_room(pool);
	int err = 0;

	if (!room)
		return -ENOMEM;
	for (uint32_t i = 0; (!err || err == -ENOSPC) && i < pool->geometry.nr_members; i++)
		if (!is_free(pool, i))
			err = repair_member(pool, i, report);
	if (!err || err == -ENOSPC) {
		report->returned += whole_make(pool, room);
		free_numbers(pool);
		err = 0;
	}
	free(room);
	return err;
}

/* Whose burial the keeper before had begun. */
static void take_dead(struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		pool->dead[i] = atomic_load_explicit(&pool->members[i].state,
						     memory_order_relaxed) == MEMBER_DEAD;
}

static int take_number(struct pinion_pool *pool, const struct pinion_adoption *adoption)
{
	uint32_t member;

	take_dead(pool);
	slot_take_over(pool);
	if (pinion_pool_admit(pool, getpid(), &member))
		return pinion_fail(-EAGAIN,
				   "%s: all %u member numbers are taken: %u of them are "
				   "dead, and %u %s: end all that live, and the dead are "
				   "recovered",
				   pool->named->path, pool->geometry.nr_members, adoption->dead,
				   adoption->living, adoption->living == 1 ? "lives" : "live");
	pool_open_view(pool, member);
	slot_acknowledge(pool, atomic_load_explicit(&pool->epoch, memory_order_relaxed));
	return 0;
}

static int adopt(struct pinion_pool *pool, const char *path, struct pinion_adoption *adoption)
{
	int err = named_lookup(path, &pool->named);

	if (!err)
		err = named_lock(pool->named);
	if (!err)
		err = map_all(pool);
	if (err)
		return err;
	pool->keeper = true; /* who has the lock is */
	count_members(pool, adoption);
	if (adoption->living)
		make_forsake(pool);
	else
		err = adopt_repair(pool, &adoption->recovery);
	return err ? err : take_number(pool, adoption);
}

int pinion_pool_adopt(const char *path, struct pinion_pool **out, struct pinion_adoption *report)
{
	KEEP_ERRNO;
	struct pinion_adoption adoption = {0};
	struct pinion_pool *pool = pool_new();
	int err;

	if (!pool)
		return pinion_fail(-ENOMEM, "no memory for a pool's private part");
	err = adopt(pool, path, &adoption);
	if (err) {
		pool_discard(pool);
		return err;
	}
	if (report)
		*report = adoption;
	*out = pool;
	return 0;
}

int pinion_pool_unlink(const char *path)
{
	KEEP_ERRNO;
	struct named *named;
	int err = named_lookup(path, &named);

	if (err)
		return err;
	err = named_lock(named);
	if (!err)
		err = named_unlink(named);
	named_close(named);
	return err;
}
