/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_REQUEUE_H
#define PINION_TESTS_REQUEUE_H

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bell.h"

/* What a peer can do to who sleeps at a bell that it maps: the kernel moves him, unasked, to a word
 * that nobody strikes. Until there is one; how many there were. */
static inline long requeue_sleepers(struct bell *bell)
{
	static uint32_t elsewhere;
	long moved;

	while (!(moved = syscall(SYS_futex, &bell->state, FUTEX_REQUEUE, 0, INT_MAX, &elsewhere)))
		usleep(1000);
	return moved;
}

#endif
