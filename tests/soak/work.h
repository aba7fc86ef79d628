/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_WORK_H
#define PINION_SOAK_WORK_H

/*
 * What a member does until it is killed: allocates, frees, hands over, chosen at random.
 *
 * Each buffer that a member has carries a token in its first and in its last word: the life that
 * has it, and its id. A token that changed while the buffer was held, or that is not the sender's
 * on arrival, means that somebody else had the buffer as well.
 */

#include <stdint.h>

#include <pinion/cache.h>
#include <pinion/channel.h>

#include "board.h"

#define WORK_HELD 48
#define WORK_CACHES 2

struct work {
	struct board *board;
	struct seat *seat;
	uint32_t seat_index;
	uint32_t life;
	struct pinion_pool *pool;
	pid_t keeper; /* under which it was born: another one may lack files that it had */
	uint64_t random;
	size_t size[WORK_CACHES];
	struct pinion_cache *cache[WORK_CACHES];
	struct pinion_buffer held[WORK_HELD];
	uint32_t nr;
	struct pinion_buffer freed; /* the last one; bits 0: none yet */
	struct pinion_channel *channel[2]; /* by side, see link.h; NULL: none */
	uint32_t serial[2];
};

#define WORK_DO(work, what, call) WHILE_DOING(&(work)->seat->doing, what, call)

/* Says what is wrong, and ends this process. */
__attribute__((format(printf, 2, 3), noreturn)) void work_problem(const struct work *work,
								  const char *format, ...);

/* The same of a call that says no place was free: with what the depots looked like. */
__attribute__((noreturn)) void work_refused(const struct work *work, const char *what, int err);

/* Takes a buffer in: its token becomes ours. */
void work_keep(struct work *work, struct pinion_buffer buffer);
/* Looks whether the token of held[i] is still ours, and gives the buffer out. */
struct pinion_buffer work_part(struct work *work, uint32_t i);
/* Are both tokens of @buffer those of @life? */
bool work_has_token(const struct work *work, struct pinion_buffer buffer, uint32_t life);

void work_open_caches(struct work *work);
/* One operation, chosen at random. */
void work_step(struct work *work);
/* In good order: everything is given back. */
void work_leave(struct work *work);

#endif
