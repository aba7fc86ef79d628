/* SPDX-License-Identifier: BSD-3-Clause */
#include "vigil.h"

#include <errno.h>

#include "bell.h"

/*
 * How long one sleep lasts at most. A bell's word lies in memory that the peer maps, too, and who
 * maps a futex can have the kernel move those who sleep there to a word of his own (futex(2),
 * FUTEX_REQUEUE). No strike reaches them there, not even one of their own process, which was told
 * that the peer is dead.
 */
#define SLEEP_NS UINT64_C(100000000)

/* One sleep, begun at @now_ns, which is set to its end. -EAGAIN: nothing yet, go on. */
static int sleep_once(const struct vigil *vigil, void *context, uint64_t deadline_ns,
		      uint64_t *now_ns)
{
	uint64_t until = vigil_later(*now_ns, SLEEP_NS);
	int err;

	if (vigil->arm(context))
		return 0;
	err = vigil->sleep(context, until < deadline_ns ? until : deadline_ns);
	if (err != -EINTR && vigil->look(context))
		return 0;
	*now_ns = bell_now_ns();
	if (vigil->tend)
		vigil->tend(context, *now_ns);
	if (err == -EINTR)
		return err;
	/* By the clock, not by the futex. */
	return *now_ns >= deadline_ns ? -ETIMEDOUT : -EAGAIN;
}

int vigil_sleep(const struct vigil *vigil, void *context, uint64_t deadline_ns)
{
	uint64_t now_ns = bell_now_ns();
	int err;

	do
		err = sleep_once(vigil, context, deadline_ns, &now_ns);
	while (err == -EAGAIN);
	return err;
}
