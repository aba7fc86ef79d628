/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A crash at every instruction of every operation of a broadcast, and of a fan-in.
 *
 *     many              all of them
 *     many PART         one
 *     many PART STEP    a real kill after that step, as a report names it, and a meeting
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "pin.h"
#include "tap.h"
#include "tour.h"

/* How to have it again. */
static void tell(const struct part *part, const struct fault *fault)
{
	char again[128];

	snprintf(again, sizeof(again), "%s %ju", part->name, (uintmax_t)fault->step);
	fault_tell(fault, again);
}

static void crash_part(struct company *company, const struct part *part)
{
	struct fault killed = {0}, met = {0};
	struct tour tour = {0};
	uint64_t kills, meets;

	tour_run(company, part, &tour);
	kills = tour_kill(company, part, &tour, &killed);
	meets = tour_meet(company, part, &tour, &met);
	tell(part, &tour.fault);
	tell(part, &killed);
	tell(part, &met);
	tap_result(!tour.fault.nr && !killed.nr && !met.nr,
		   "%s: %ju points, %ju states, %ju wrong; %ju kills, %ju wrong; %ju meetings, %ju "
		   "wrong",
		   part->name, (uintmax_t)tour.points, (uintmax_t)tour.tracks.nr,
		   (uintmax_t)tour.fault.nr, (uintmax_t)kills, (uintmax_t)killed.nr,
		   (uintmax_t)meets, (uintmax_t)met.nr);
	tour_close(&tour);
}

static void crash_once(struct company *company, const struct part *part, uint64_t step)
{
	struct fault killed = {0}, met = {0};

	tour_kill_at(company, part, step, &killed);
	tour_meet_at(company, part, step, &met);
	tell(part, &killed);
	tell(part, &met);
	tap_result(!killed.nr && !met.nr, "%s, stopped after step %ju", part->name,
		   (uintmax_t)step);
}

int main(int argc, char **argv)
{
	const struct part *part = argc > 1 ? part_find(argv[1]) : NULL;
	struct company company;

	if (argc > 1 && !part)
		tap_bail("no part is called %s", argv[1]);
	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	company_open(&company);
	tap_plan(part ? 1 : (int)parts_nr());
	if (argc > 2)
		crash_once(&company, part, strtoull(argv[2], NULL, 0));
	for (size_t i = 0; argc <= 2 && i < parts_nr(); i++)
		if (!part || part == part_at(i))
			crash_part(&company, part_at(i));
	company_close(&company);
	return tap_status();
}
