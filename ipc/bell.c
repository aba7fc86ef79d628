/* SPDX-License-Identifier: BSD-3-Clause */
#include "bell.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"
#include "ready.h"

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

bool bell_tell_at_last(bool (*all_told)(void *context), void *context)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	for (int i = 0; !all_told(context); i++) {
		if (i == 100)
			return false;
		(void)nanosleep(&nap, NULL);
	}
	return true;
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
	ear->awake = 0;
	if (!membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED))
		return;
	ear->unfenced = true;
	atomic_store_explicit(&bell->fenced, 0, memory_order_relaxed);
}

void bell_announce(struct bell *bell, struct bell_ear *ear, uint32_t state)
{
	ear->awake = 0;
	if (ear->unfenced)
		atomic_store_explicit(&bell->fenced, 1, memory_order_relaxed);
	atomic_store_explicit(&bell->state, state, memory_order_relaxed);
}

/*
 * F2 of a sender that no barrier of ours reaches: time. What a processor has in flight now, a store
 * that nobody sees yet, a load that it did ahead of it, is done with in less than a microsecond, or
 * thrown away where an interrupt comes in between; a millisecond is a thousand times that. Whatever
 * it loads from now on finds the fences on. By the clock, whoever refuses or interrupts the sleep.
 */
#define GRACE_NS 1000000

static void wait_out_a_grace(void)
{
	const struct timespec time = {.tv_nsec = GRACE_NS};
	const uint64_t end = bell_now_ns() + GRACE_NS;
	int saved = errno;

	do
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
	while (bell_now_ns() < end);
	errno = saved;
}

void bell_fence(bool unfenced)
{
	atomic_thread_fence(memory_order_seq_cst); /* F2 */
	if (unfenced && !membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)) /* F2, for both */
		wait_out_a_grace();
}

void bell_arm(struct bell *bell, struct bell_ear *ear, uint32_t state)
{
	bell_announce(bell, ear, state);
	bell_fence(ear->unfenced);
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

	/* EAGAIN: the bell was struck before the kernel looked. Never without a time limit: the
	 * kernel would then go on after a handler that was installed with SA_RESTART. */
	if (futex(&bell->state, FUTEX_WAIT_BITSET, BELL_ARMED, &until) && errno != EAGAIN)
		err = -errno;
	errno = saved;
	return err;
}

/* What <linux/futex.h> has from 5.16 on. */
struct waitv {
	uint64_t value, address;
	uint32_t flags, reserved;
};

#define WAITV_32 2u
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* What is none of these means that we cannot sleep so: no such call, a filter that refuses it
 * (seccomp(2)), no memory. */
static int waitv_error(int error)
{
	switch (error) {
	case EAGAIN: /* struck before the kernel looked */
		return 0;
	case EINTR:
	case ETIMEDOUT:
		return -error;
	default:
		return -ENOSYS;
	}
}

int bell_wait_any(struct bell *const *bell, uint32_t nr, uint64_t deadline_ns)
{
	const int64_t until[2] = {(int64_t)(deadline_ns / 1000000000u),
				  (int64_t)(deadline_ns % 1000000000u)};
	struct waitv waiter[BELL_ANY_MAX];
	int saved = errno, err = 0;

	for (uint32_t i = 0; i < nr; i++)
		waiter[i] = (struct waitv){
			.value = BELL_ARMED,
			.address = (uintptr_t)&bell[i]->state,
			.flags = WAITV_32,
		};
	if (syscall(SYS_futex_waitv, waiter, nr, 0, until, CLOCK_MONOTONIC) < 0)
		err = waitv_error(errno);
	errno = saved;
	return err;
}

/* Whatever the socket's other holders did to it: this neither blocks nor raises SIGPIPE. It may be
 * full (then it is readable), closed or connected to others (then nobody reads). False: the kernel
 * had no room. */
static bool tell(int socket)
{
	return send(socket, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
	       (errno != ENOBUFS && errno != ENOMEM && errno != EINTR);
}

/* Nobody was told: the next strike is to try again. A receiver that has moved since stays as it
 * is, or is told once for nothing. */
static void rearm(struct bell *bell, uint32_t state)
{
	uint32_t quiet = BELL_QUIET;

	(void)atomic_compare_exchange_strong_explicit(&bell->state, &quiet, state,
						      memory_order_relaxed, memory_order_relaxed);
}

bool bell_wake(struct bell *bell, const struct bell_hand *hand)
{
	uint32_t state = atomic_load_explicit(&bell->state, memory_order_relaxed);
	bool told = true;
	int saved = errno;

	if ((state == BELL_ARMED_FD && hand->socket < 0) || (state == BELL_LANE && !hand->ready))
		return true;
	if (!atomic_compare_exchange_strong_explicit(&bell->state, &state, BELL_QUIET,
						     memory_order_relaxed, memory_order_relaxed))
		return true;
	PINION_PROBE2(wake, bell, state);
	if (state == BELL_ARMED_FD) {
		told = tell(hand->socket);
		if (!told)
			rearm(bell, state);
	} else if (state == BELL_LANE) {
		told = ready_post(hand); /* behind the QUIET, see ready.h */
	} else {
		(void)futex(&bell->state, FUTEX_WAKE_BITSET, 1, NULL);
	}
	errno = saved;
	return told;
}

bool bell_toll(struct bell *bell, const struct bell_hand *hand)
{
	bool told;
	int saved = errno;

	(void)bell_strike(bell, hand);
	told = hand->socket < 0 || tell(hand->socket);
	(void)futex(&bell->state, FUTEX_WAKE_BITSET, INT_MAX, NULL);
	errno = saved;
	return told;
}
