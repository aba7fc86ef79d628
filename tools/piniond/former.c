/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "fail.h"
#include "ledger.h"
#include "member.h"
#include "process.h"
#include "stat.h"

/*
 * A pool on hugetlbfs outlives a service that had no store. Who is in it, its slots alone tell:
 * members can write there, and trust each other with that (pool.h, "Trust"). They go on, but this
 * service does not know their cookies: told so, they close what they have, and open anew. Until
 * then, or until they die, they are kept in mind here, or what they held would never come back.
 *
 * Channels between them are known to nobody: what a dead one has sent may be on its way to a living
 * one, and is not to be freed under its hands. So the dead wait for the last of the living that has
 * joined: one whose answer was lost with the service that sent it has no channel.
 */

static struct control_member *slot_of(const struct member *member)
{
	return &member->pool->pool->members[member->number];
}

static uint32_t state_of(const struct member *member)
{
	return atomic_load_explicit(&slot_of(member)->state, memory_order_relaxed);
}

/* Does it live? Then from now on its death is noticed. It does not if it said goodbye, or its
 * burial had begun, whatever became of its process. */
static int look(struct member *member, uint64_t started)
{
	member->state = GONE;
	member->killed = state_of(member) == MEMBER_LIVE && !burial_has_left(member);
	if (!member->killed)
		return 0;
	member->pidfd = process_open(member->pid, started);
	if (member->pidfd == -ESRCH)
		return 0;
	if (member->pidfd < 0)
		return pinion_fail(member->pidfd, "pool %s: no pidfd of process %d",
				   member->pool->name, (int)member->pid);
	member->state = LIVE;
	member->former = member_uninvite(slot_of(member));
	return admit_watch(member);
}

/* Not DEAD, or the burial of another would go on with this one; nor LIVE, or the next service might
 * take its number for one that somebody has. Who holds nothing, such as the service of before, has
 * nothing on its way. */
static void lay_out(struct member *member, bool holds)
{
	if (member->state != GONE)
		return;
	atomic_store_explicit(&slot_of(member)->state, MEMBER_GONE, memory_order_relaxed);
	member->former = holds;
}

static void drop(struct member *member)
{
	(void)sd_event_source_disable_unref(member->death);
	if (member->pidfd >= 0)
		(void)close(member->pidfd);
	free(member);
}

static int take_in(struct pool *pool, uint32_t number, bool holds)
{
	struct member *member = calloc(1, sizeof(*member));
	uint64_t started;
	int err;

	if (!member)
		return pinion_fail(-ENOMEM, "no memory for a member");
	/* No uid: what the slot says is hearsay, see order.c. No cookie: it has one, but which? */
	*member = (struct member){.pool = pool, .number = number, .uid = (uid_t)-1,
				  .gid = (gid_t)-1, .pidfd = -1, .former = true};
	member->pid = atomic_load_explicit(&slot_of(member)->pid, memory_order_relaxed);
	member->quota = atomic_load_explicit(&slot_of(member)->quota, memory_order_relaxed);
	started = atomic_load_explicit(&slot_of(member)->started, memory_order_relaxed);
	err = look(member, started);
	if (err) {
		drop(member);
		return err;
	}
	lay_out(member, holds);
	ledger_add_former(pool->service->ledger, member, started);
	LIST_INSERT_HEAD(&pool->members, member, of_pool);
	return 0;
}

static void drop_all(struct pool *pool)
{
	struct member *member, *next;

	LIST_FOREACH_SAFE(member, &pool->members, of_pool, next) {
		LIST_REMOVE(member, of_pool);
		drop(member);
	}
}

int former_take_in(struct pool *pool)
{
	static uint32_t held[PINION_MEMBER_MAX];
	const struct pinion_pool *inside = pool->pool;
	int err = 0;

	/* What the dead hold becomes less while the living receive it, and never more. */
	stat_held_by_each(inside, held);
	for (uint32_t i = 0; !err && i < inside->geometry.nr_members; i++)
		if (i != inside->member &&
		    atomic_load_explicit(&inside->members[i].state, memory_order_relaxed) !=
			    MEMBER_FREE)
			err = take_in(pool, i, held[i] > 0);
	if (err)
		drop_all(pool);
	return err;
}

bool former_waits(const struct pool *pool)
{
	const struct member *member;

	LIST_FOREACH(member, &pool->members, of_pool)
		if (member->former && member->state == LIVE)
			return true;
	return false;
}
