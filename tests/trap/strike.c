/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A strike of the bell that comes late. The sender is stopped after each instruction of
 * bell_wake() in turn, and the receiver, which slept in one way, has meanwhile looked, found all
 * that was published, and sleeps in another. Whatever the sender does then:
 *
 *     it wakes the receiver where that sleeps now, or leaves the bell armed for the next strike
 *
 * A bell that is QUIET before a receiver that sleeps loses every message from there on.
 */

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "bell.h"
#include "ready.h"
#include "tap.h"

#define TRAP_FLAG 0x100  /* EFLAGS.TF: SIGTRAP after the next instruction */
#define STEPS_MAX 10000u /* more than any strike has */

static struct bell bell;
static struct bell_ear ear;
static struct ready_shared *ready;
static int told[2]; /* the receiver's socket and the sender's */

/* Where the sender is stopped, and how the receiver sleeps when it goes on. */
static struct {
	uint32_t steps, stop;
	uint32_t state;
} plan;

static const char *const state_name[] = {"quiet", "at the futex", "in a loop", "at a ready set"};

static void on_step(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (++plan.steps < plan.stop)
		return;
	bell_disarm(&bell);
	bell_arm(&bell, &ear, plan.state);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static void strike_stepped(const struct bell_hand *hand)
{
	__asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(TRAP_FLAG) : "memory", "cc");
	bell_wake(&bell, hand);
	__asm__ volatile("pushfq; andq %0, (%%rsp); popfq" : : "i"(~TRAP_FLAG) : "memory", "cc");
}

/* Takes what was said; was anything? */
static bool is_told(uint32_t state)
{
	char byte;

	if (state == BELL_ARMED_FD)
		return recv(told[0], &byte, 1, MSG_DONTWAIT) == 1;
	return ready_take_summary(ready) != 0 && ready_take_word(ready, 0) != 0;
}

/* One strike on a bell that was armed as @from, stopped after @stop instructions. False: it has not
 * so many. */
static bool strike(uint32_t from, uint32_t to, uint32_t stop, bool *good)
{
	const struct bell_hand hand = {.socket = told[1], .ready = ready, .lane = 7};

	(void)is_told(BELL_ARMED_FD);
	(void)is_told(BELL_LANE);
	plan.steps = 0;
	plan.stop = stop;
	plan.state = to;
	bell_arm(&bell, &ear, from);
	strike_stepped(&hand);
	*good = atomic_load_explicit(&bell.state, memory_order_relaxed) == to || is_told(to);
	return plan.steps >= stop;
}

static void strike_everywhere(uint32_t from, uint32_t to)
{
	uint32_t stop = 1, lost = 0, first = 0;
	bool good;

	for (; stop < STEPS_MAX && strike(from, to, stop, &good); stop++)
		if (!good && !lost++)
			first = stop;
	tap_result(!lost && stop > 1 && stop < STEPS_MAX,
		   "it slept %s, now %s: of %u late strikes %u are lost", state_name[from],
		   state_name[to], stop - 1, lost);
	if (lost)
		tap_remark("the first after %u instructions", first);
}

int main(void)
{
	const struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_step};
	int fd;

	if (sigaction(SIGTRAP, &action, NULL) || ready_create(&fd) || ready_map(fd, &ready) ||
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, told))
		tap_bail("no bell to strike");
	tap_plan(4);
	strike_everywhere(BELL_ARMED, BELL_ARMED_FD);
	strike_everywhere(BELL_ARMED, BELL_LANE);
	strike_everywhere(BELL_ARMED_FD, BELL_LANE);
	strike_everywhere(BELL_LANE, BELL_ARMED_FD);
	ready_unmap(ready);
	(void)close(fd);
	(void)close(told[0]);
	(void)close(told[1]);
	return tap_status();
}
