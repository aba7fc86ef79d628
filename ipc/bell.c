/* SPDX-License-Identifier: BSD-3-Clause */
#include "bell.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* FUTEX_WAIT_BITSET takes an absolute time on CLOCK_MONOTONIC: no drift over restarts. Not
 * FUTEX_PRIVATE: the word is shared between processes. (futex(2)) */
static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *until)
{
	return syscall(SYS_futex, word, op, value, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

uint64_t bell_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bell_arm(_Atomic uint32_t *bell)
{
	atomic_store_explicit(bell, BELL_ARMED, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); /* F2 */
}

void bell_disarm(_Atomic uint32_t *bell)
{
	atomic_store_explicit(bell, BELL_QUIET, memory_order_relaxed);
}

int bell_wait(_Atomic uint32_t *bell, uint64_t deadline_ns)
{
	const struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / 1000000000u),
		.tv_nsec = (long)(deadline_ns % 1000000000u),
	};
	int saved = errno, err = 0;

	/* EAGAIN: the bell was struck before the kernel looked. */
	if (futex(bell, FUTEX_WAIT_BITSET, BELL_ARMED, &until) && errno != EAGAIN)
		err = -errno;
	errno = saved;
	return err;
}

void bell_strike(_Atomic uint32_t *bell)
{
	int saved = errno;

	atomic_thread_fence(memory_order_seq_cst); /* F1 */
	if (atomic_load_explicit(bell, memory_order_relaxed) == BELL_QUIET)
		return;
	atomic_store_explicit(bell, BELL_QUIET, memory_order_relaxed);
	(void)futex(bell, FUTEX_WAKE_BITSET, 1, NULL);
	errno = saved;
}
