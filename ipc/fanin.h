/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_FANIN_H
#define IPC_FANIN_H

/*
 * pinion_fanin_add() in two steps, for a rendezvous: a newcomer is told its lane before it has
 * joined, and nothing of it may be received before that. What it sends meanwhile waits in its ring,
 * and is found when the lane starts. pinion_fanin_remove() undoes either.
 */

#include <pinion/fanin.h>

/* A lane for @channel, at which nobody looks as yet. Errors: see pinion_fanin_add(). */
int fanin_reserve(struct pinion_fanin *fanin, struct pinion_channel *channel, uint32_t weight,
		  uint32_t *lane);

/* pre: @lane was reserved, and not started or removed since. */
void fanin_start(struct pinion_fanin *fanin, uint32_t lane);

#endif
