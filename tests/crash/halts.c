/* SPDX-License-Identifier: BSD-3-Clause */
#include "halts.h"

#include <stdlib.h>
#include <string.h>

#include "estate.h"
#include "tap.h"
#include "tracks.h"

static void kill_here(const struct halts *halts, struct tracee *victim, const char *where,
		      uint64_t nr, uint32_t *wrong)
{
	const char *problem;

	tracee_kill(victim);
	problem = halts->look(halts->arg);
	if (problem && !(*wrong)++)
		tap_remark("%s, killed at %s %ju: %s", halts->name, where, (uintmax_t)nr, problem);
}

/* Killed at its @nr-th stop. False when it had come to its end before. */
static bool kill_at(const struct halts *halts, uint32_t nr, uint32_t *wrong)
{
	enum step at = STEP_MORE;
	struct tracee victim;

	halts->begin(halts->arg, nr, &victim);
	for (uint32_t i = 0; i < nr && at == STEP_MORE; i++)
		at = tracee_call(&victim);
	if (at == STEP_DIED || (at == STEP_DONE && victim.stage->err))
		tap_bail("%s failed by itself: %d", halts->name, victim.stage->err);
	kill_here(halts, &victim, "stop", nr, wrong);
	return at == STEP_MORE;
}

void halts_calls(const struct halts *halts)
{
	uint32_t nr = 0, wrong = 0;

	while (kill_at(halts, nr, &wrong))
		nr++;
	tap_result(!wrong, "%s: killed at %u entries and exits of system calls, %u wrong",
		   halts->name, nr, wrong);
}

/* Steps it from its start to its end, and notes what stored to the control area. */
static void follow(const struct halts *halts, struct tracks *tracks)
{
	char *last = malloc(estate_len());
	enum step at = STEP_MORE;
	struct tracee victim;
	const char *control, *problem;

	halts->begin(halts->arg, 0, &victim);
	control = estate_map();
	if (!last)
		tap_bail("no memory for a copy of the control area");
	memcpy(last, control, estate_len());
	while (at == STEP_MORE) {
		at = tracks_step(tracks, &victim);
		if (!memcmp(last, control, estate_len()))
			continue;
		tracks_add(tracks, &victim);
		memcpy(last, control, estate_len());
	}
	if (at == STEP_DIED || victim.stage->err)
		tap_bail("%s failed by itself: %d", halts->name, victim.stage->err);
	estate_unmap(control);
	free(last);
	tracee_kill(&victim);
	problem = halts->look(halts->arg);
	if (problem)
		tap_bail("%s, at its end: %s", halts->name, problem);
}

void halts_stores(const struct halts *halts)
{
	struct tracks tracks;
	struct tracee victim;
	uint32_t wrong = 0;

	tracks_open(&tracks);
	follow(halts, &tracks);
	for (uint64_t i = 0; i < tracks.nr; i++) {
		const struct store *store = &tracks.store[i];

		halts->begin(halts->arg, 0, &victim);
		if (tracee_reach(&victim, store) != STEP_MORE && store->place)
			tap_bail("%s did not come to its store at %#jx again", halts->name,
				 (uintmax_t)store->place);
		kill_here(halts, &victim, "store", i, &wrong);
	}
	tap_result(tracks.nr && !wrong, "%s: killed after %ju stores, %u wrong", halts->name,
		   (uintmax_t)tracks.nr, wrong);
	tracks_close(&tracks);
}
