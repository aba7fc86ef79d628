/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_BELL_H
#define IPC_BELL_H

/*
 * A bell: how a sender wakes a receiver that sleeps, and pays nothing when it does not.
 *
 *     receiver                             sender
 *     state := ARMED                       publish
 *     fence F2                             fence F1, if fenced
 *     anything published? then go on       state not QUIET? then CAS it to QUIET, and
 *     futex wait while state == ARMED          ARMED: futex wake
 *                                              ARMED_FD: one byte into the socket
 *                                              LANE: a bit in the ready set
 *
 * ARMED_FD is for a receiver that sleeps in a loop of its own, where it waits for descriptors of
 * all kinds (bell_fd.h): the sender has one end of a pair of sockets, the receiver the other.
 * A sender that was not given one leaves the bell armed, and strikes again when it gets it. One for
 * whose byte the kernel has no memory arms the bell again, for its next strike, and knows that it
 * has to strike once more: its caller may have nothing more to send (pinion_channel_told()).
 *
 * LANE is for a receiver of many rings, which does not sleep at any of them: it goes on with
 * others, and is told by a bit in its ready set (ready.h). A sender that knows of no such set
 * leaves the bell as it is; it sets the bit when it joins one.
 *
 * The CAS decides how to wake: a sender held up before a plain store would take a bell for ARMED
 * that is ARMED_FD by now, and the receiver would sleep on. When it fails the receiver has moved
 * since, and its look came after what we published; or another thread woke it.
 *
 * With both fences at least one of the two sees the other's store (store buffering, Dekker). A
 * fence at each message is dear to a sender whose receiver never sleeps, so the receiver says
 * whether it wants one:
 *
 *     fenced 1   the sender fences (as at the start). The receiver's F2 is a fence.
 *     fenced 0   the sender does not. To arm, the receiver sets fenced and then has the kernel
 *                run a barrier on every processor that runs a process which asked for it
 *                (membarrier(2), GLOBAL_EXPEDITED), for F2. What a sender published before that
 *                barrier is seen by the look that follows; what it does after it finds fenced set.
 *
 * A receiver goes back to 0 when it has looked so many times without sleeping: it polls, or there
 * always is something (bell_awake()).
 * Who cannot register with the kernel fences always; who cannot call it never leaves 1. Who could
 * call it and cannot any more (a filter came, or there is no memory) arms that once without: it
 * waits for a millisecond, in which all that the sender did without a fence is done (bell_fence()).
 *
 * state is written by both: a strike that comes late, by a sender who was held up, wakes for
 * nothing. fenced is written by the receiver alone. A peer that never strikes, or strikes for
 * nothing, costs at most the time limit of the wait.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	BELL_QUIET = 0,
	BELL_ARMED = 1,
	BELL_ARMED_FD = 2,
	BELL_LANE = 3,
};

struct ready_shared;

/* Shared; a line of its own. */
struct bell {
	_Atomic uint32_t state; /* a futex */
	_Atomic uint32_t fenced;
};

/* The receiver's private part. */
struct bell_ear {
	bool unfenced; /* what it told the sender: 0 in shared memory */
	uint32_t awake; /* what it looked since the last sleep, while fenced; see bell_awake() */
};

/* The private part of who strikes. */
struct bell_hand {
	bool registered; /* what bell_register() said */
	int socket;      /* where a strike on ARMED_FD goes, here or at ready's; -1: nowhere yet */
	struct ready_shared *ready; /* where one on LANE goes; NULL: nowhere yet */
	uint32_t lane;              /* our bit there */
};

#define BELL_AWAKE_MAX 256u /* looks that found something, of which an empty one is worth */
#define BELL_EMPTY 4u
#define BELL_ANY_MAX 128u /* what futex_waitv(2) takes */

/* Makes this process one that needs no fence of its own; false: the kernel has no such call. */
bool bell_register(void);

/* Receiver: tells the sender to leave out the fence, if the kernel can do without. */
void bell_relax(struct bell *bell, struct bell_ear *ear);

/* Receiver: announce the sleep, in @state. Look for work after this, then bell_wait() or
 * bell_disarm(). It is bell_announce() and F2, which those who sleep at many bells have once. */
void bell_arm(struct bell *bell, struct bell_ear *ear, uint32_t state);
void bell_disarm(struct bell *bell);

void bell_announce(struct bell *bell, struct bell_ear *ear, uint32_t state);
/* F2. @unfenced: some sender of those leaves its fence out. All of them fence from now on. */
void bell_fence(bool unfenced);

/* 0: struck, or for no reason. -ETIMEDOUT: @deadline_ns (CLOCK_MONOTONIC) is over. -EINTR. */
int bell_wait(struct bell *bell, uint64_t deadline_ns);

/* At the first of @nr that is struck. -ENOSYS: this kernel waits at one bell at a time. */
int bell_wait_any(struct bell *const *bell, uint32_t nr, uint64_t deadline_ns);

/* The strike itself. Never blocks. False: there was no memory for the byte, strike again. */
bool bell_wake(struct bell *bell, const struct bell_hand *hand);

/* In the place of a sender that is dead. It may have set the bell to QUIET and died before it woke
 * anybody, so that the state says nothing about who sleeps: whoever does is woken. False: as
 * bell_wake(). */
bool bell_toll(struct bell *bell, const struct bell_hand *hand);

/* Of a sender that goes: strikes again by @all_told until that is true, for a tenth of a second. */
bool bell_tell_at_last(bool (*all_told)(void *context), void *context);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t bell_now_ns(void);

/* Receiver: it looked and did not go to sleep. @worth: 1, or BELL_EMPTY. A sender that is let off
 * saves a fence for each batch; to make it fence again takes a barrier of the kernel, as much as
 * some dozens of fences. */
static inline void bell_awake(struct bell *bell, struct bell_ear *ear, uint32_t worth)
{
	if (__builtin_expect(!ear->unfenced, 0) && (ear->awake += worth) >= BELL_AWAKE_MAX)
		bell_relax(bell, ear);
}

/* Sender, after publishing. False as of bell_wake(). */
static inline bool bell_strike(struct bell *bell, const struct bell_hand *hand)
{
	if (!hand->registered || atomic_load_explicit(&bell->fenced, memory_order_relaxed))
		atomic_thread_fence(memory_order_seq_cst); /* F1 */
	else
		atomic_signal_fence(memory_order_seq_cst); /* the kernel's F2 does the rest */
	if (__builtin_expect(atomic_load_explicit(&bell->state, memory_order_relaxed) != BELL_QUIET,
			     0))
		return bell_wake(bell, hand);
	return true;
}

#endif
