/* SPDX-License-Identifier: BSD-3-Clause */
#include "bell.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
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

static bool membarrier(int command)
{
	int saved = errno;
	long result = syscall(SYS_membarrier, command, 0, 0);

	errno = saved;
	return result == 0;
}

uint64_t bell_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Once for a process and its children (fork copies the registration). Two threads that ask at
 * once both call the kernel, which is harmless. */
bool bell_register(void)
{
	static _Atomic int answer; /* 0: not asked; 1: yes; 2: no */
	int known = atomic_load_explicit(&answer, memory_order_relaxed);

	if (!known) {
		known = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) ? 1 : 2;
		atomic_store_explicit(&answer, known, memory_order_relaxed);
	}
	return known == 1;
}

/* The barrier itself is tried before it is relied on: a filter may refuse it (seccomp(2)). */
void bell_relax(struct bell *bell, struct bell_ear *ear)
{
	ear->idle = 0;
	if (!membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED))
		return;
	ear->unfenced = true;
	atomic_store_explicit(&bell->fenced, 0, memory_order_relaxed);
}

void bell_arm(struct bell *bell, struct bell_ear *ear)
{
	ear->idle = 0;
	if (ear->unfenced)
		atomic_store_explicit(&bell->fenced, 1, memory_order_relaxed);
	atomic_store_explicit(&bell->state, BELL_ARMED, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); /* F2 */
	if (ear->unfenced && membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)) /* F2, for both */
		ear->unfenced = false;
}

void bell_disarm(struct bell *bell)
{
	atomic_store_explicit(&bell->state, BELL_QUIET, memory_order_relaxed);
}

int bell_wait(struct bell *bell, uint64_t deadline_ns)
{
	const struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / 1000000000u),
		.tv_nsec = (long)(deadline_ns % 1000000000u),
	};
	int saved = errno, err = 0;

	/* EAGAIN: the bell was struck before the kernel looked. */
	if (futex(&bell->state, FUTEX_WAIT_BITSET, BELL_ARMED, &until) && errno != EAGAIN)
		err = -errno;
	errno = saved;
	return err;
}

void bell_wake(struct bell *bell)
{
	int saved = errno;

	atomic_store_explicit(&bell->state, BELL_QUIET, memory_order_relaxed);
	(void)futex(&bell->state, FUTEX_WAKE_BITSET, 1, NULL);
	errno = saved;
}
