/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

/*
 * Two processes, each on a core of its own: one leads and measures, the other follows.
 *
 *     leader (the parent)                     follower (its child)
 *     pair_run()                              forked
 *       lead(b, arg):                           follow(arg):
 *         pair_tell(1 + something)  --------->    pair_hear()
 *         (opens its end)                         (opens its end)
 *         pair_await()              <---------    pair_ready()
 *         measures                                works until pair_stopped()
 *     sets the stop flag and waits              returns; the process ends
 *
 * Before and after, the two bounce a pair of cache lines and the leader keeps the best time in
 * b->bounce_ns: how far the two cores are apart. In a virtual machine that changes when the host
 * moves it, by a factor of five and more, and results of different distances do not compare.
 *
 * Bounded: a follower that ends before it was told to ends the leader too, a leader that ends
 * takes the follower along, and both have bench_main()'s alarm.
 */

#include <sys/types.h>

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

void pair_run(struct bench *b, void (*lead)(struct bench *b, void *arg), void (*follow)(void *arg),
	      void *arg);

/* ... both on the leader's core, where neither may poll: no bounce, and b->bounce_ns stays 0. */
void pair_run_on_one(struct bench *b, void (*lead)(struct bench *b, void *arg),
		     void (*follow)(void *arg), void *arg);

/* One number from leader to follower; not 0. pair_hear() waits for it. */
void pair_tell(uint32_t value);
uint32_t pair_hear(void);

void pair_ready(void);
void pair_await(void);

bool pair_stopped(void);
pid_t pair_follower(void); /* the leader asks */

#ifdef __cplusplus
}
#endif

#endif
