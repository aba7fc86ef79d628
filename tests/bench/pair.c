/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Both processes see it; it changes a few times in a run. */
struct pair {
	_Atomic uint32_t told, ready; /* written by leader, by follower */
	_Atomic uint32_t stop;        /* leader */
	_Alignas(512) _Atomic uint32_t there; /* leader; apart: see rtt.c */
	_Alignas(512) _Atomic uint32_t back;  /* follower */
};

#define BOUNCE_BLOCKS 20u
#define BOUNCES 100u /* of a block */

static struct pair *pair;
static pid_t follower;

/* The follower ended though nobody told it to: the leader would wait for ever. */
static void on_child(int signal)
{
	static const char text[] = "bench: the second process ended too early\n";

	(void)signal;
	if (atomic_load_explicit(&pair->stop, memory_order_relaxed))
		return;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

/* @turn goes on from the value before, the same in both. */
static void bounce_there(uint32_t turn)
{
	for (uint32_t i = 0; i < BOUNCES; i++) {
		atomic_store_explicit(&pair->there, ++turn, memory_order_release);
		while (atomic_load_explicit(&pair->back, memory_order_acquire) != turn)
			;
	}
}

static void bounce_back(uint32_t turn)
{
	for (uint32_t i = 0; i < BOUNCES; i++) {
		turn++;
		while (atomic_load_explicit(&pair->there, memory_order_acquire) != turn)
			;
		atomic_store_explicit(&pair->back, turn, memory_order_release);
	}
}

/* The best of its blocks, in nanoseconds for a round trip. */
static double bounce_lead(uint32_t turn)
{
	uint64_t best = UINT64_MAX;

	for (uint32_t i = 0; i < BOUNCE_BLOCKS; i++) {
		uint64_t start = bench_now_ns(), took;

		bounce_there(turn + i * BOUNCES);
		took = bench_now_ns() - start;
		best = took < best ? took : best;
	}
	return (double)best / BOUNCES;
}

static void bounce_follow(uint32_t turn)
{
	for (uint32_t i = 0; i < BOUNCE_BLOCKS; i++)
		bounce_back(turn + i * BOUNCES);
}

void pair_tell(uint32_t value)
{
	atomic_store_explicit(&pair->told, value, memory_order_release);
}

uint32_t pair_hear(void)
{
	uint32_t value;

	while (!(value = atomic_load_explicit(&pair->told, memory_order_acquire)))
		sched_yield();
	return value;
}

void pair_ready(void)
{
	atomic_store_explicit(&pair->ready, 1, memory_order_release);
}

void pair_await(void)
{
	while (!atomic_load_explicit(&pair->ready, memory_order_acquire))
		sched_yield();
}

bool pair_stopped(void)
{
	return atomic_load_explicit(&pair->stop, memory_order_relaxed);
}

pid_t pair_follower(void)
{
	return follower;
}

static _Noreturn void be_follower(const struct bench *b, pid_t leader, bool bounces,
				  void (*follow)(void *arg), void *arg)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before we asked to hear of it. */
	if (getppid() != leader)
		_exit(1);
	/* Alarms are not inherited. */
	(void)alarm(120);
	bench_pin(b->cpu[bounces]);
	if (bounces)
		bounce_follow(0);
	follow(arg);
	if (bounces)
		bounce_follow(BOUNCE_BLOCKS * BOUNCES);
	while (!pair_stopped())
		sched_yield();
	_exit(0);
}

static void run(struct bench *b, bool bounces, void (*lead)(struct bench *b, void *arg),
		void (*follow)(void *arg), void *arg)
{
	const struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_NOCLDSTOP};
	pid_t leader = getpid();
	int status = 0;

	pair = bench_shared(b, sizeof(*pair));
	(void)sigaction(SIGCHLD, &action, NULL);
	follower = fork();
	if (follower < 0)
		bench_die("fork: %s", strerror(errno));
	if (!follower)
		be_follower(b, leader, bounces, follow, arg);
	if (bounces)
		b->bounce_ns[0] = bounce_lead(0);
	lead(b, arg);
	atomic_store_explicit(&pair->stop, 1, memory_order_relaxed);
	if (bounces)
		b->bounce_ns[1] = bounce_lead(BOUNCE_BLOCKS * BOUNCES);
	while (waitpid(follower, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		bench_die("the second process failed");
}

void pair_run(struct bench *b, void (*lead)(struct bench *b, void *arg), void (*follow)(void *arg),
	      void *arg)
{
	if (b->cpu[1] < 0)
		bench_skip("%s needs two cores", b->is->bench);
	run(b, true, lead, follow, arg);
}

void pair_run_on_one(struct bench *b, void (*lead)(struct bench *b, void *arg),
		     void (*follow)(void *arg), void *arg)
{
	run(b, false, lead, follow, arg);
}
