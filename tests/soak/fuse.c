/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuse.h"

#include "pool_support.h"

int fuse_light(uint64_t ns)
{
	struct sigevent kill_us = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	const struct itimerspec when = {
		.it_value = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)},
	};
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &kill_us, &timer) ||
	    timer_settime(timer, 0, &when, NULL))
		return -errno;
	return 0;
}

uint64_t fuse_length(uint64_t *random, uint64_t longest)
{
	if (test_below(random, 8) == 0)
		longest *= 16;
	return 1000 + test_random(random) % longest;
}
