/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_ERRNOS_H
#define TESTS_FAULT_ERRNOS_H

/*
 * How each system call may go wrong: a table, and nothing else.
 */

#include <stdbool.h>

#define ERRNOS_MAX 8

struct errnos {
	const char *name; /* of the system call */
	/* Done, and then reported as failed: close() lets go of the descriptor whatever it returns.
	 * Otherwise the call is not made at all. */
	bool done;
	/* What it returns instead: -errno, or a count that is too short. Ends with NOTHING. */
	long value[ERRNOS_MAX + 1];
};

#define ERRNOS_NOTHING 1000000L

/* Never NULL: a call that the table does not know may be refused by a filter (seccomp(2)). @op is
 * its second argument: what futex(2) is called for. */
const struct errnos *errnos_of(long number, unsigned long long op);

/* How many values it has. */
unsigned errnos_nr(const struct errnos *errnos);

#endif
