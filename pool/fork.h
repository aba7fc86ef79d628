/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_FORK_H
#define POOL_FORK_H

/*
 * What a fork does to a pool: the child inherits mappings and caches, and is no member. Were it to
 * go on with its parent's caches, both would hand out the same buffers.
 *
 * So every pool of the process is on a list, and a handler of pthread_atfork(3) goes through it in
 * the child before fork() returns there: each cache is turned off (cache_orphan()), which costs the
 * fast paths nothing.
 */

struct pinion_pool;

/* -ENOMEM, the one error of pthread_atfork(3): no pool then, now or later. */
int fork_watch(struct pinion_pool *pool);
void fork_unwatch(struct pinion_pool *pool);

#endif
