/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_LAST_WORDS_H
#define PINION_TESTS_LAST_WORDS_H

/*
 * Are the last words of a peer heard that says them and closes at once? The kernel looks for a
 * message first and for the end afterwards; who says and closes in between has its end alone told.
 * To who believes it that is so a few times in a second of last_words_all_heard(), on a machine
 * that has two processors for it, and every time in last_words_heard_behind_an_end().
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

struct last_words {
	/* Says it, once. 0 or -errno. */
	int (*say)(int socket, void *context);
	/* Hears it, once; -EAGAIN: nothing there yet. */
	int (*hear)(int socket, void *context);
	void *context;
	int socket; /* the sayer's */
	_Atomic uint64_t round, done; /* the hearer's, the sayer's */
};

#define LAST_WORDS_OVER UINT64_MAX

static inline void *last_words_say(void *argument)
{
	struct last_words *words = argument;
	uint64_t round, seen = 0;

	for (;;) {
		while ((round = atomic_load_explicit(&words->round, memory_order_acquire)) == seen)
			sched_yield();
		if (round == LAST_WORDS_OVER)
			return NULL;
		seen = round;
		/* Now sooner, now later than the other looks. */
		for (volatile uint64_t i = round * 7919 % 1000; i; i--)
			continue;
		(void)words->say(words->socket, words->context);
		(void)close(words->socket);
		atomic_store_explicit(&words->done, round, memory_order_release);
	}
}

static inline void last_words_pair(int pair[2])
{
	const int on = 1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
}

static inline bool last_words_are_heard(struct last_words *words, uint64_t round)
{
	int pair[2], err;

	last_words_pair(pair);
	words->socket = pair[1];
	atomic_store_explicit(&words->round, round, memory_order_release);
	do
		err = words->hear(pair[0], words->context);
	while (err == -EAGAIN);
	while (atomic_load_explicit(&words->done, memory_order_acquire) != round)
		sched_yield();
	assert_int_equal(close(pair[0]), 0);
	return !err;
}

/* For four seconds, by two threads; how often depends on what else the machine has to do. */
static inline void last_words_all_heard(struct last_words *words)
{
	const uint64_t until = test_now_ns() + UINT64_C(4000000000);
	uint64_t lost = 0, round = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, last_words_say, words), 0);
	while (test_now_ns() < until)
		lost += !last_words_are_heard(words, ++round);
	atomic_store_explicit(&words->round, LAST_WORDS_OVER, memory_order_release);
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("# %ju of %ju lost\n", (uintmax_t)lost, (uintmax_t)round);
	assert_int_equal(lost, 0);
}

/* The next look of this process at a socket: all that it would see came in the middle of it. */
static bool last_words_late;

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	if (!last_words_late)
		return syscall(SYS_recvmsg, fd, message, flags);
	last_words_late = false;
	message->msg_controllen = 0;
	message->msg_flags = 0;
	return 0;
}

static inline void last_words_heard_behind_an_end(const struct last_words *words)
{
	int pair[2];

	last_words_pair(pair);
	assert_int_equal(words->say(pair[1], words->context), 0);
	assert_int_equal(close(pair[1]), 0);
	last_words_late = true;
	assert_int_equal(words->hear(pair[0], words->context), 0);
	assert_false(last_words_late);
	assert_int_equal(close(pair[0]), 0);
}

#endif
