/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_VIGIL_H
#define IPC_VIGIL_H

/*
 * The wait of all who wait here: at rings, for room in one, at a fan-in, at a seat of a broadcast.
 *
 *     vigil_spin(): look, a number of times
 *     vigil_sleep():
 *         arm: say where we sleep, and look once more
 *         sleep until a bell is struck, or the time is over
 *         look
 *         ... again, as long as there is nothing
 *
 * A wake-up is a hint and no more. What counts is the look that follows, and the clock: a peer that
 * rings for nothing keeps nobody longer. Nor does one that keeps wake-ups away: no sleep is longer
 * than 100 ms, so that what is there is found by then.
 */

#include <stdbool.h>
#include <stdint.h>

struct vigil {
	/* Any reason to go on? */
	bool (*look)(void *context);
	/* Before each sleep; true: there is a reason. */
	bool (*arm)(void *context);
	/* 0, -ETIMEDOUT or -EINTR, as bell_wait(). It may end before @deadline_ns. */
	int (*sleep)(void *context, uint64_t deadline_ns);
	/* After a sleep that gave no reason, at @now_ns. NULL: nothing to do then. */
	void (*tend)(void *context, uint64_t now_ns);
};

/* CLOCK_MONOTONIC, or never. */
static inline uint64_t vigil_later(uint64_t now_ns, uint64_t ns)
{
	return now_ns + ns < now_ns ? UINT64_MAX : now_ns + ns;
}

/* Always inlined, so that the look is as well. */
__attribute__((always_inline)) static inline bool vigil_spin(bool (*look)(void *context),
							     void *context, uint32_t looks)
{
	for (; looks; looks--) {
		if (look(context))
			return true;
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
	}
	return false;
}

/* 0: there is a reason. -ETIMEDOUT, -EINTR: none. The bells may still be armed. */
int vigil_sleep(const struct vigil *vigil, void *context, uint64_t deadline_ns);

#endif
