/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_MEMBER_H
#define POOL_MEMBER_H

#include "pool.h"

/* Slot @member is this process's from now on. */
void member_set(struct pinion_pool *pool, uint32_t member, pid_t pid);

/* This process is in as @member from now on, and is known by its pid, though it was admitted before
 * that was known: last of all that can fail. -EINVAL: it was not admitted; -ESTALE: it was, and
 * came too late. Leaves a sentence. */
int member_join(struct pinion_pool *pool, uint32_t member);

/* Who has not joined by now does not any more. True: its process had. */
bool member_uninvite(struct control_member *slot);

/* This process is about to let go of the pool, and has nothing under way any more. @secret: what
 * its keeper knows it by, and nobody else. */
void member_leave(struct pinion_pool *pool, uint64_t secret);

/* The secret with which it did so; 0: it has not. */
uint64_t member_goodbye(const struct control_member *slot);

/* Does the process of the slot live, as far as it was written down? */
bool member_lives(const struct control_member *slot);

#endif
