/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_BELL_H
#define IPC_BELL_H

/*
 * A bell: how a sender wakes a receiver that sleeps, and pays nothing much when it does not.
 *
 *     receiver                          sender
 *     bell := ARMED                     publish
 *     fence F2                          fence F1
 *     anything published? then go on    bell ARMED? then bell := QUIET, futex wake
 *     futex wait while bell == ARMED
 *
 * With both fences at least one of the two sees the other's store (store buffering, Dekker).
 * A peer that never strikes, or strikes for nothing, costs at most the time limit of the wait.
 */

#include <stdatomic.h>
#include <stdint.h>

enum {
	BELL_QUIET = 0,
	BELL_ARMED = 1,
};

/* Receiver: announce the sleep. Look for work after this, then bell_wait() or bell_disarm(). */
void bell_arm(_Atomic uint32_t *bell);
void bell_disarm(_Atomic uint32_t *bell);

/* 0: struck, or for no reason. -ETIMEDOUT: @deadline_ns (CLOCK_MONOTONIC) is over. -EINTR. */
int bell_wait(_Atomic uint32_t *bell, uint64_t deadline_ns);

/* Sender, after publishing. */
void bell_strike(_Atomic uint32_t *bell);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t bell_now_ns(void);

#endif
