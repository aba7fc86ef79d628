/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HUNT_H
#define PINION_TESTS_HUNT_H

/*
 * The real piniond under its manager (../proc/manager.c), which starts it anew whenever it is
 * killed; and a tracer that stops it anywhere.
 *
 *     tracer                         manager                  piniond
 *     ------                         -------                  -------
 *     hunt_open()      --seize-->    goes on
 *     hunt_hold()      ---------------------------- stop -->  wherever it is
 *     hunt_call()      ---------------------------- go ---->  to where it enters or leaves a
 *                                                             system call;
 *     hunt_store()                                            to behind a store that others see;
 *     hunt_step()                                             or one instruction
 *     hunt_kill()      ---------------------------- KILL -->  is gone
 *     hunt_next()      <----fork---  the next one
 *                      <--------------------------- exec ---  stands before its first instruction
 *     hunt_go()        ---------------------------- go ---->  at full speed
 *
 * The manager is traced so that the next one cannot run before it is held.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ledger.h"

struct hunt {
	pid_t manager, service;
	const struct ledger *ledger; /* the service's own, to read */
};

enum stop {
	STOP_HERE,
	STOP_CALL, /* hunt_store(): there is none before the next entry or exit of a system call */
	STOP_LATE, /* hunt_store(): nor was there one so far, and the time is over */
	STOP_IDLE, /* it sleeps, and nothing more is to come */
	STOP_GONE, /* it ended by itself */
};

void hunt_open(struct hunt *hunt, pid_t manager);

void hunt_hold(struct hunt *hunt);
void hunt_go(struct hunt *hunt);

/* It is told to end in order, and the manager then starts the next. pre: held. False: it was not
 * told. */
bool hunt_tell_end(struct hunt *hunt);

/* @over: whether whoever it works for has what he asked for. If so, and it does not come to
 * another stop, it is idle. */
enum stop hunt_call(struct hunt *hunt, bool (*over)(void *arg), void *arg);
enum stop hunt_step(struct hunt *hunt, bool (*over)(void *arg), void *arg);

/* pre: it stands where one of these three has left it. @until_ns: monotonic time. */
enum stop hunt_store(struct hunt *hunt, uint64_t until_ns);

/* Is the next step a system call? pre: stopped. */
bool hunt_at_call(const struct hunt *hunt);

void hunt_kill(struct hunt *hunt);

/* Waits for the next one. False: it did not come. */
bool hunt_next(struct hunt *hunt);

/* What can change in a ledger of two pools with few members: bytes that are compared. */
struct glance {
	struct ledger_pool pool[2];
	struct ledger_pairing pairing[8];
	struct ledger_member member[2][24];
};

/* Takes another glance; true: it is not what it was. */
bool hunt_glance(const struct hunt *hunt, struct glance *glance);

#endif
