/* SPDX-License-Identifier: BSD-3-Clause */
#include "belief.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "tap.h"

/* What the child has at an address of its own; those of before the fork are ours too. */
static void peek(const struct actor *actor, void *to, const void *from, size_t len)
{
	const struct iovec here = {to, len};
	const struct iovec there = {(void *)(uintptr_t)from, len};

	if (process_vm_readv(actor->tracee.pid, &here, 1, &there, 1, 0) != (ssize_t)len)
		tap_bail("cannot read a child's memory: %s", strerror(errno));
}

const char *belief_wrong(const struct scene *scene, const struct actor *actor)
{
	const struct control *shared = scene->pool->shared;
	static struct pinion_pool pool; /* a copy: nothing that it points to is here */
	struct operation_state state;

	if (!actor->tracee.pid)
		return NULL; /* it died by itself, which was noted */
	peek(actor, &state, &actor->state, sizeof(state));
	if (!state.pool)
		return NULL;
	peek(actor, &pool, state.pool, sizeof(pool));
	for (uint32_t i = 0; i < pool.geometry.nr_segments; i++)
		if (pool.epoch == shared->epoch && pool.state[i] != shared->slot[i].state)
			return "a member does not know of a change, and will not look again";
	return NULL;
}
