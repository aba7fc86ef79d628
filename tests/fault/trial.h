/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_TRIAL_H
#define TESTS_FAULT_TRIAL_H

/*
 * One operation, once, disturbed; and then the same undisturbed. What is looked for: an error of
 * the library's kind with a sentence made by this call, the caller's errno, nothing printed,
 * nothing left behind (leak.h), and a result that works whenever 0 was returned.
 */

#include "operations.h"

struct trial {
	const struct operation *operation;
	void (*begin)(void); /* right before the operation: from here on it is disturbed */
	void (*end)(void);
	long allocation;     /* the one that fails, see heap.h; negative: none */
	/* Cold, the libraries' own first steps are disturbed too. Warm, those have been taken,
	 * and blocks on the heap can be counted. */
	bool warm;

	struct scene scene; /* here, for what a child that dies leaves: scene_dir_remove() */

	/* Found. */
	int returned;
	bool refused; /* an allocation */
	char sentence[512];
	char problem[640]; /* "": none */
	bool machine;      /* the problem is one that other processes may have made */
	bool finished;
};

void trial_run(struct trial *trial);

#endif
