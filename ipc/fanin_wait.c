/* SPDX-License-Identifier: BSD-3-Clause */
/* How a fan-in waits, when all of its lanes are cold: here, or in a loop of the receiver's own. */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

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

/* --- in a loop */

/* Its timer does what the time limit of sleep_once() does, so that the same holds of liars and of
 * the dead. */
static int open_loop(struct pinion_fanin *fanin)
{
	int err, timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (timer < 0)
		return pinion_fail(-errno, "no timer for a fan-in: %s", strerror(errno));
	err = bell_fd_open(&fanin->loop, timer, &fanin->notify);
	if (err) {
		(void)close(timer);
		return err;
	}
	fanin->timer = timer;
	return 0;
}

void fanin_close_loop(const struct pinion_fanin *fanin)
{
	bell_fd_close(&fanin->loop);
	if (fanin->notify >= 0)
		(void)close(fanin->notify);
	if (fanin->timer >= 0)
		(void)close(fanin->timer);
}

int pinion_fanin_loop_fd(struct pinion_fanin *fanin)
{
	KEEP_ERRNO;
	int err = fanin->loop.socket < 0 ? open_loop(fanin) : 0;

	return err ? err : bell_fd_watched(&fanin->loop);
}

int pinion_fanin_notify_fd(struct pinion_fanin *fanin)
{
	int fd = pinion_fanin_loop_fd(fanin);

	return fd < 0 ? fd : fanin->notify;
}

#define AT_ONCE UINT64_C(1) /* a time that is over */

/* Set anew it is not readable, if it was. Seldom: as often as all lanes are looked at. What is over
 * is set each time, since a loop may be told of edges alone. */
static int set_timer(struct pinion_fanin *fanin, uint64_t when)
{
	const struct itimerspec time = {
		.it_value = {.tv_sec = (time_t)(when / 1000000000u),
			     .tv_nsec = (long)(when % 1000000000u)},
	};

	if (when == fanin->timer_ns && when != AT_ONCE)
		return 0;
	if (timerfd_settime(fanin->timer, TFD_TIMER_ABSTIME, &time, NULL))
		return -errno;
	fanin->timer_ns = when;
	return 0;
}

/* What a bit says that came just now may be a lie, and a liar may set one at each look: so the loop
 * goes on, and the descriptor is readable already. */
int pinion_fanin_prepare(struct pinion_fanin *fanin)
{
	KEEP_ERRNO;
	bool told;

	if (fanin->loop.socket < 0)
		return -EINVAL;
	if (find_ready(fanin) || arm(fanin))
		return 1;
	bell_arm(&fanin->ready->bell, &fanin->ear, BELL_ARMED_FD);
	told = fanin->pending || ready_any(fanin->ready);
	if (told && find_ready(fanin)) {
		bell_disarm(&fanin->ready->bell);
		return 1;
	}
	return set_timer(fanin, told ? AT_ONCE : fanin->patrolled_ns + FANIN_PATROL_NS);
}

int pinion_fanin_done(struct pinion_fanin *fanin)
{
	KEEP_ERRNO;

	if (fanin->loop.socket < 0)
		return -EINVAL;
	bell_disarm(&fanin->ready->bell);
	/* Whose files they are nobody can say. The timer is left. */
	if (bell_fd_drain(&fanin->loop))
		bell_fd_deafen(&fanin->loop);
	return 0;
}
