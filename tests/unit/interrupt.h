/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_INTERRUPT_H
#define PINION_TESTS_INTERRUPT_H

/*
 * Signals for a thread that waits, between interrupt_begin() and interrupt_end(): for calls that
 * a signal ends. No claim in between: one that fails would leave the signals to the tests to come.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <pinion/channel.h>

#include "support.h"

#define INTERRUPT_NS 50000000

struct interrupt {
	pthread_t waiter, thread;
	atomic_bool done; /* the wait is over */
};

static inline void interrupt_handle(int number)
{
	(void)number;
}

/* More than one: the first may come before a busy machine lets the other sleep. */
static inline void *interrupt_run(void *arg)
{
	const struct timespec pause = {0, INTERRUPT_NS};
	struct interrupt *interrupt = arg;

	while (!atomic_load(&interrupt->done)) {
		nanosleep(&pause, NULL);
		pthread_kill(interrupt->waiter, SIGUSR1);
	}
	return NULL;
}

/* The first comes in INTERRUPT_NS. The kernel may start calls again that it can (SA_RESTART). */
static inline void interrupt_begin(struct interrupt *interrupt)
{
	const struct sigaction action = {.sa_handler = interrupt_handle, .sa_flags = SA_RESTART};

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	interrupt->waiter = pthread_self();
	atomic_init(&interrupt->done, false);
	assert_int_equal(pthread_create(&interrupt->thread, NULL, interrupt_run, interrupt), 0);
}

/* The handler stays: the last signal may come a little later. */
static inline void interrupt_end(struct interrupt *interrupt)
{
	atomic_store(&interrupt->done, true);
	assert_int_equal(pthread_join(interrupt->thread, NULL), 0);
}

typedef int interrupted_call(struct pinion_channel *channel, uint64_t timeout_ns);

/* A signal ends this call, which would take ten seconds, and errno stays as it is. How long it was
 * until then, in ns. */
static inline uint64_t interrupt_expect(interrupted_call *wait, struct pinion_channel *channel)
{
	const uint64_t before = test_now_ns();
	struct interrupt interrupt;
	uint64_t took;
	int err, left;

	interrupt_begin(&interrupt);
	errno = 4711;
	err = wait(channel, UINT64_C(10000000000));
	left = errno;
	took = test_now_ns() - before;
	interrupt_end(&interrupt);
	assert_int_equal(err, -EINTR);
	assert_int_equal(left, 4711);
	return took;
}

#endif
