/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault.h"

#include <errno.h>
#include <stdio.h>

#include "tap.h"

void fault_note(struct fault *fault, const struct tracee *tracee, const char *problem)
{
	if (!problem || fault->nr++)
		return;
	fault->step = tracee->steps;
	fault->place = tracee_place(tracee);
	snprintf(fault->problem, sizeof(fault->problem), "%s", problem);
}

void fault_tell(const struct fault *fault, const char *again)
{
	if (!fault->nr)
		return;
	tap_remark("step %ju: %s", (uintmax_t)fault->step, fault->problem);
	tap_remark("again: %s %s", program_invocation_name, again);
	if (fault->place)
		tap_remark("before the instruction at: addr2line -fie %s %#jx",
			   program_invocation_name, (uintmax_t)fault->place);
	else
		tap_remark("before an instruction outside this program (libc)");
}
