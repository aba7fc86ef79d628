/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_MEMBER_H
#define POOL_MEMBER_H

#include "pool.h"

/* Slot @member is this process's from now on. */
void member_set(struct pinion_pool *pool, uint32_t member, pid_t pid);

/* Admitted before it was known which process it would be: this one. */
void member_note(struct pinion_pool *pool);

/* Does the process of the slot live, as far as it was written down? */
bool member_lives(const struct control_member *slot);

#endif
