/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A crash at every instruction of every operation.
 *
 *     crash                    all of them
 *     crash OPERATION          one
 *     crash OPERATION STEP     a real kill after that step, as a report names it
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "kill.h"
#include "pin.h"
#include "tap.h"

/* How to have it again. */
static void tell(const struct operation *operation, const struct fault *fault)
{
	char again[128];

	snprintf(again, sizeof(again), "%s %ju", operation->name, (uintmax_t)fault->step);
	fault_tell(fault, again);
}

static void crash_operation(struct scene *scene, const struct operation *operation)
{
	struct sweep sweep = {0};
	struct fault fault = {0};
	uint64_t kills;

	sweep_run(scene, operation, true, &sweep);
	kills = kill_run(scene, operation, &sweep, &fault);
	tell(operation, &sweep.fault);
	tell(operation, &fault);
	tap_result(!sweep.fault.nr && !fault.nr,
		   "%s: %ju points, %ju states, %ju wrong; %ju kills, %ju wrong", operation->name,
		   (uintmax_t)sweep.points, (uintmax_t)sweep.tracks.nr, (uintmax_t)sweep.fault.nr,
		   (uintmax_t)kills, (uintmax_t)fault.nr);
	sweep_close(&sweep);
}

static void crash_once(struct scene *scene, const struct operation *operation, uint64_t step)
{
	struct fault fault = {0};

	kill_at(scene, operation, step, &fault);
	tell(operation, &fault);
	tap_result(!fault.nr, "%s, killed after step %ju", operation->name, (uintmax_t)step);
}

int main(int argc, char **argv)
{
	const struct operation *operation = argc > 1 ? operation_find(argv[1]) : NULL;
	struct scene scene;

	if (argc > 1 && !operation)
		tap_bail("no operation is called %s", argv[1]);
	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	scene_open(&scene);
	tap_plan(operation ? 1 : (int)nr_operations);
	if (argc > 2)
		crash_once(&scene, operation, strtoull(argv[2], NULL, 0));
	for (size_t i = 0; argc <= 2 && i < nr_operations; i++)
		if (!operation || operation == &operations[i])
			crash_operation(&scene, &operations[i]);
	scene_close(&scene);
	return tap_status();
}
