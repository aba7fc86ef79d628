/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harness is itself tested: this program's pool was built with PINION_PLANTED_BUG, which moves
 * one store (depot_deposit() in pool/depot.c). Each claim here is that the harness noticed it where
 * the store is passed, and only there.
 */

#include <stdint.h>

#include "kill.h"
#include "pin.h"
#include "tap.h"

static void expect(struct scene *scene, const char *name, bool passes)
{
	const struct operation *operation = operation_find(name);
	struct sweep sweep = {0};
	struct fault killed = {0};

	if (!operation)
		tap_bail("no operation is called %s", name);
	sweep_run(scene, operation, true, &sweep);
	(void)kill_run(scene, operation, &sweep, &killed);
	if (passes)
		tap_result(sweep.fault.nr && killed.nr,
			   "%s: noticed in %ju states, first after step %ju, and in %ju kills: %s",
			   name, (uintmax_t)sweep.fault.nr, (uintmax_t)sweep.fault.step,
			   (uintmax_t)killed.nr, sweep.fault.problem);
	else
		tap_result(!sweep.fault.nr && !killed.nr, "%s does not pass it: nothing noticed",
			   name);
	sweep_close(&sweep);
}

int main(void)
{
	struct scene scene;

	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	scene_open(&scene);
	tap_plan(4);
	expect(&scene, "free_flush", true);
	expect(&scene, "cache_close", true);
	expect(&scene, "alloc", false);
	expect(&scene, "free", false);
	scene_close(&scene);
	return tap_status();
}
