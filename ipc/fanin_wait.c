/* SPDX-License-Identifier: BSD-3-Clause */
/* How a fan-in waits, when all of its lanes are cold. */
#include <errno.h>

#include "fail.h"
#include "fanin_inside.h"
#include "vigil.h"

/* Looks at rings before wait sleeps: a count and not a time, which no set_spin() reaches. */
#define SPINS 2000u

/* Has any hot lane something? */
static bool any_ready(const struct pinion_fanin *fanin)
{
	uint32_t n = fanin->at;

	for (uint32_t left = fanin->nr_hot; left; left--, n = fanin->lane[n].next)
		if (channel_ready(fanin->lane[n].channel))
			return true;
	return false;
}

static bool find_ready(void *context)
{
	struct pinion_fanin *fanin = context;

	fanin_take_posts(fanin);
	return any_ready(fanin);
}

static bool spin(struct pinion_fanin *fanin)
{
	for (uint32_t looks = 0; looks < SPINS; looks += 1 + fanin->nr_hot)
		if (vigil_spin(find_ready, fanin, 1))
			return true;
	return false;
}

/* What has nothing is cold after this, what is hot has something. */
static bool arm(void *context)
{
	struct pinion_fanin *fanin = context;
	uint64_t now = bell_now_ns();

	fanin_cool_all(fanin);
	if (!fanin->nr_hot && now - fanin->patrolled_ns >= FANIN_PATROL_NS)
		fanin_patrol_all(fanin, now);
	return fanin->nr_hot;
}

/* pre: all lanes are cold. */
static int sleep_once(void *context, uint64_t deadline)
{
	struct pinion_fanin *fanin = context;
	uint64_t patrol_ns = fanin->patrolled_ns + FANIN_PATROL_NS;
	struct bell *bell = &fanin->ready->bell;
	int err = 0;

	bell_arm(bell, &fanin->ear, BELL_ARMED);
	if (!fanin->pending && !ready_any(fanin->ready))
		err = bell_wait(bell, deadline < patrol_ns ? deadline : patrol_ns);
	bell_disarm(bell);
	return err;
}

int pinion_fanin_wait(struct pinion_fanin *fanin, uint64_t timeout_ns)
{
	KEEP_ERRNO;
	static const struct vigil vigil = {find_ready, arm, sleep_once, NULL};
	uint64_t deadline = vigil_later(bell_now_ns(), timeout_ns);

	return spin(fanin) ? 0 : vigil_sleep(&vigil, fanin, deadline);
}
