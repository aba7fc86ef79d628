/* SPDX-License-Identifier: BSD-3-Clause */
#include "member.h"

#include <errno.h>
#include <unistd.h>

#include "fail.h"
#include "process.h"

/*
 * Member slots: life and the keeper's side of them. recovery.c moves LIVE and GONE to DEAD to FREE;
 * resume.c sets right what somebody wrote over them.
 */

void member_set(struct pinion_pool *pool, uint32_t member, pid_t pid)
{
	struct control_member *slot = &pool->members[member];

	atomic_store_explicit(&slot->pid, (int32_t)pid, memory_order_relaxed);
	atomic_store_explicit(&slot->started, process_started(pid), memory_order_relaxed);
	atomic_store_explicit(&slot->quota, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->joined, MEMBER_INVITED, memory_order_relaxed);
	atomic_store_explicit(&slot->goodbye, 0, memory_order_relaxed);
	/* It maps nothing yet, so nothing that is GONE. */
	atomic_store_explicit(&pool->seen[member],
			      atomic_load_explicit(&pool->epoch, memory_order_relaxed),
			      memory_order_relaxed);
	/* The member reads its state when it attaches, told its number by us: relaxed would do;
	 * release keeps the rest before state for onlookers. */
	atomic_store_explicit(&slot->state, MEMBER_LIVE, memory_order_release);
}

/* Admitted before it was known which process it would be: this one. */
static void note(struct control_member *slot)
{
	if (atomic_load_explicit(&slot->pid, memory_order_relaxed))
		return;
	atomic_store_explicit(&slot->started, process_started(getpid()), memory_order_relaxed);
	atomic_store_explicit(&slot->pid, (int32_t)getpid(), memory_order_relaxed);
}

static int refuse(uint32_t member)
{
	return pinion_fail(-EINVAL, "member %u was not admitted to the pool", member);
}

int member_join(struct pinion_pool *pool, uint32_t member)
{
	uint32_t was = MEMBER_INVITED;
	struct control_member *slot;

	if (member >= pool->geometry.nr_members)
		return refuse(member);
	slot = &pool->members[member];
	if (atomic_load_explicit(&slot->state, memory_order_acquire) != MEMBER_LIVE)
		return refuse(member);
	note(slot); /* first: the next keeper takes who joined and has no pid for dead */
	if (atomic_compare_exchange_strong_explicit(&slot->joined, &was, MEMBER_JOINED, /* R9 */
						    memory_order_release, memory_order_relaxed) ||
	    was == MEMBER_JOINED)
		return 0;
	if (was != MEMBER_TOO_LATE)
		return refuse(member);
	return pinion_fail(-ESTALE, "the keeper that admitted member %u was killed meanwhile, and "
			   "the next one did not wait for it: try again, and be admitted anew",
			   member);
}

bool member_uninvite(struct control_member *slot)
{
	uint32_t was = MEMBER_INVITED;

	(void)atomic_compare_exchange_strong_explicit(&slot->joined, &was, MEMBER_TOO_LATE,
						      memory_order_acquire, /* A9 */
						      memory_order_acquire);
	return was == MEMBER_JOINED;
}

void member_leave(struct pinion_pool *pool, uint64_t secret)
{
	atomic_store_explicit(&pool->members[pool->member].goodbye, secret,
			      memory_order_release); /* R8 */
}

uint64_t member_goodbye(const struct control_member *slot)
{
	return atomic_load_explicit(&slot->goodbye, memory_order_acquire); /* A8 */
}

bool member_lives(const struct control_member *slot)
{
	return process_lives(atomic_load_explicit(&slot->pid, memory_order_relaxed),
			     atomic_load_explicit(&slot->started, memory_order_relaxed));
}

int pinion_pool_admit(struct pinion_pool *pool, pid_t pid, uint32_t *member)
{
	KEEP_ERRNO;
	int err = pool_check_keeper(pool);

	if (err)
		return err;
	if (pid < 0)
		return pinion_fail(-EINVAL, "%d is no process", (int)pid);
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		if (atomic_load_explicit(&pool->members[i].state, memory_order_relaxed) !=
		    MEMBER_FREE)
			continue;
		member_set(pool, i, pid);
		*member = i;
		return 0;
	}
	return pinion_fail(-EAGAIN, "all %u member slots of the pool are taken: make it with a "
			   "larger nr_members", pool->geometry.nr_members);
}

void pool_dismiss(struct pinion_pool *pool, uint32_t member)
{
	atomic_store_explicit(&pool->members[member].state, MEMBER_FREE, memory_order_relaxed);
}

void pool_insist_dead(struct pinion_pool *pool, uint32_t member)
{
	_Atomic uint32_t *state = &pool->members[member].state;

	if (atomic_load_explicit(state, memory_order_relaxed) == MEMBER_FREE)
		atomic_store_explicit(state, MEMBER_DEAD, memory_order_relaxed);
}
