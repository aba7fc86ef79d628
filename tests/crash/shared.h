/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SHARED_H
#define PINION_TESTS_SHARED_H

/*
 * Memory of a traced process that others see: what it has mapped shared, and may write to. A step
 * of it that changes nothing there, and is no system call, is one that nobody can tell from none.
 *
 *     shared_look()      what it has mapped; again after every system call
 *     shared_aim()       what the instruction that comes next may change of that
 *     shared_changed()   after it: whether it did
 *
 * By the instruction, because to compare all of the memory after each would take a thousand times
 * as long. Any operand in memory counts, whether it is read or written is known of the commonest
 * instructions alone: the comparison decides.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SHARED_RANGES_MAX 256

/* The widest store there is (AVX-512). */
#define SHARED_WIDTH 64

struct shared {
	struct {
		uint64_t start, end;
	} range[SHARED_RANGES_MAX];
	uint32_t nr;
};

/* As many as there are breakpoints. */
#define AIM_PAST_MAX 4

struct aim {
	uint64_t addr; /* 0: at nothing that is shared */
	uint32_t len;
	bool call;     /* it is a system call, and not for shared_changed() */
	/* If any: from here on, up to the first of these, nothing that is shared is written to. */
	uint64_t past[AIM_PAST_MAX];
	uint8_t nr_past;
	uint8_t before[SHARED_WIDTH];
};

void shared_look(struct shared *shared, pid_t pid);

/* pre: @pid is stopped, and not in a system call. */
void shared_aim(const struct shared *shared, pid_t pid, struct aim *aim);
bool shared_changed(pid_t pid, const struct aim *aim);

#endif
