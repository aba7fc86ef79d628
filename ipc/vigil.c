/* SPDX-License-Identifier: BSD-3-Clause */
#include "vigil.h"

#include <errno.h>

#include "bell.h"

/* One sleep. -EAGAIN: nothing yet, go on. */
static int sleep_once(const struct vigil *vigil, void *context, uint64_t deadline_ns)
{
	uint64_t now;
	int err;

	if (vigil->arm(context))
		return 0;
	err = vigil->sleep(context, deadline_ns);
	if (err != -EINTR && vigil->look(context))
		return 0;
	now = bell_now_ns();
	if (vigil->tend)
		vigil->tend(context, now);
	if (err == -EINTR)
		return err;
	/* By the clock, not by the futex. */
	return now >= deadline_ns ? -ETIMEDOUT : -EAGAIN;
}

int vigil_sleep(const struct vigil *vigil, void *context, uint64_t deadline_ns)
{
	int err;

	do
		err = sleep_once(vigil, context, deadline_ns);
	while (err == -EAGAIN);
	return err;
}
