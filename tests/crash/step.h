/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_STEP_H
#define PINION_TESTS_STEP_H

/*
 * A child that runs one instruction at a time.
 *
 *     tracer                                  child
 *     ------                                  -----
 *     tracee_start()   ----- fork --------->  prepare(arg)     at full speed
 *                      <---- stopped -------    step_pause()   if it calls that
 *     tracee_resume()  ----- goes on ------>
 *                      <---- stopped -------  start marker
 *     tracee_step()    ----- one step ----->  act(arg)         instruction by instruction
 *       ...                                     ...
 *                                             stage.done = 1
 *     tracee_finish()  ----- goes on ------>                   or at full speed from anywhere
 *                      <---- stopped -------  end marker
 *     tracee_kill()    ----- SIGKILL ------>
 *
 * The child tells of its progress in a page shared with the tracer, so that a step costs one
 * ptrace(2) and one wait. A step over a system call counts as one; so does each round of an
 * instruction with a rep prefix. Tracer and tracee share one CPU (pin.h): a step is then two
 * switches, and what the child stored is there when the tracer looks.
 *
 * The child is made by _Fork(3): it is whoever the tracer was, and the library does not notice.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Shared with the child. */
struct stage {
	_Atomic int done;     /* act() has returned */
	int err;              /* what it or prepare() returned */
	int question, answer; /* of tracee_ask() */
	_Atomic int asked;    /* and not answered */
};

struct tracee {
	pid_t pid;
	struct stage *stage;
	uint64_t steps; /* done so far */
};

struct play {
	int (*prepare)(void *arg);
	int (*act)(void *arg);
	void *arg;
};

enum step {
	STEP_MORE, /* inside the operation */
	STEP_DONE, /* it has returned; stage->err is its result */
	STEP_DIED, /* a signal, or an end it should not have come to */
};

/* May this process trace? 0 or -errno. */
int step_allowed(void);

/* Runs a child up to the start marker, or to where its prepare() pauses. A prepare() that fails
 * ends the program. */
void tracee_start(struct tracee *tracee, const struct play *play);

/* For the child, in prepare(): until the tracer says so. */
void step_pause(void);

/* ... which it does here: from there to the start marker. */
void tracee_resume(struct tracee *tracee);

/* The same; with its end it has not ended, but can be asked. */
void tracee_start_asked(struct tracee *tracee, const struct play *play,
			int (*ask)(void *arg, int question));

/* What ask() says in the child, at full speed; -ESRCH: it died over it, or did not end.
 * pre: its last step was STEP_DONE. */
int tracee_ask(struct tracee *tracee, int question);

enum step tracee_step(struct tracee *tracee);

/* At full speed to where it next enters or leaves a system call. */
enum step tracee_call(struct tracee *tracee);

/* One step into a system call that sleeps; when it does, @wake(@arg) ends that. */
enum step tracee_step_asleep(struct tracee *tracee, void (*wake)(void *arg), void *arg);

/* Is the next step a call of futex(2) that sleeps? */
bool tracee_will_sleep(const struct tracee *tracee);

/* Does a process sleep in the kernel, for a reason of its own? */
bool step_sleeps(pid_t pid);

/* Up to @nr steps, fewer when the operation ends before. */
enum step tracee_steps(struct tracee *tracee, uint64_t nr);

/* A store that the tracer has seen: which step did it, and how to come there at full speed. */
struct store {
	uint64_t step;  /* after this many the store is done */
	uint64_t place; /* of the instruction; 0: not in this program */
	uint64_t nth;   /* how often it is passed until then, from 1 */
};

/* Right after @store, by a breakpoint, or by steps where there is no place. STEP_DONE: it never
 * came there; beside others an operation can take another way. pre: at the start. */
enum step tracee_reach(struct tracee *tracee, const struct store *store);

/* At full speed to the end. STEP_MORE: it did not come to it in five seconds. */
enum step tracee_finish(struct tracee *tracee);

/* Where it stands, as an offset into this program, for addr2line(1); 0: elsewhere (libc). */
uint64_t tracee_place(const struct tracee *tracee);

/* Places are below. */
uint64_t step_places(void);

/* The place of a function of this program. */
uint64_t step_place(const void *function);

/* SIGKILL, wherever it is, and waits until it is gone. */
void tracee_kill(struct tracee *tracee);

#endif
