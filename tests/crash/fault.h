/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FAULT_H
#define PINION_TESTS_FAULT_H

/*
 * What was found wrong: how often, and the first of it with the place, so that it can be had again.
 */

#include "step.h"

struct fault {
	uint64_t nr;    /* 0: nothing is wrong, and the rest says nothing */
	uint64_t step;  /* of the child that is named */
	uint64_t place; /* tracee_place() there */
	char problem[256];
};

/* @problem may be NULL, and may change later: it is copied. */
void fault_note(struct fault *fault, const struct tracee *tracee, const char *problem);

/* Prints the first, if any: what, where, and @again, this program's arguments that repeat it. */
void fault_tell(const struct fault *fault, const char *again);

#endif
