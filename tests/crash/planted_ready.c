/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harness is itself tested: this program's ready set was built with PINION_PLANTED_READY, which
 * moves one store (ready_post() in ipc/ready.c). Each claim here is that the harness noticed it
 * where the store is passed, and only there.
 */

#include <stdint.h>

#include "pin.h"
#include "tap.h"
#include "tour.h"

static void expect(struct company *company, const char *name, bool passes)
{
	const struct part *part = part_find(name);
	struct fault met = {0};
	struct tour tour = {0};

	if (!part)
		tap_bail("no part is called %s", name);
	tour_run(company, part, &tour);
	(void)tour_meet(company, part, &tour, &met);
	if (passes)
		tap_result(met.nr, "%s: noticed in %ju meetings, first after step %ju: %s", name,
			   (uintmax_t)met.nr, (uintmax_t)met.step, met.problem);
	else
		tap_result(!met.nr && !tour.fault.nr, "%s does not pass it: nothing noticed", name);
	tour_close(&tour);
}

int main(void)
{
	struct company company;

	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	company_open(&company);
	tap_plan(4);
	expect(&company, "post_cold", true);
	expect(&company, "post_hot", false);
	expect(&company, "watch_in_vain", false);
	expect(&company, "lend", false);
	company_close(&company);
	return tap_status();
}
