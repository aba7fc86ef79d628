/* SPDX-License-Identifier: BSD-3-Clause */
#include "kill.h"

#include "invariant.h"
#include "tap.h"

/* Every instruction of operations up to so many. */
#define SHORT 300

static void kill_after(struct scene *scene, const struct operation *operation,
		       const struct store *store, struct fault *fault)
{
	struct actor actor;
	uint64_t place;
	uint32_t victims;

	scene_reset(scene);
	scene_enter(scene, &actor, operation, SCENE_FIRST);
	if (tracee_reach(&actor.tracee, store) == STEP_DONE && store->place)
		tap_bail("%s did not come to its store at %#jx again", operation->name,
			 (uintmax_t)store->place);
	place = tracee_place(&actor.tracee);
	victims = scene_victims(&actor);
	tracee_kill(&actor.tracee);
	fault_note(fault, &actor.tracee, invariant_broken(scene->pool, &scene->base, victims));
	if (fault->nr == 1)
		fault->place = place; /* as it was while there was somebody to ask */
}

void kill_at(struct scene *scene, const struct operation *operation, uint64_t step,
	     struct fault *fault)
{
	const struct store anywhere = {.step = step};

	kill_after(scene, operation, &anywhere, fault);
}

uint64_t kill_run(struct scene *scene, const struct operation *operation, const struct sweep *sweep,
		  struct fault *fault)
{
	if (sweep->points <= SHORT) {
		for (uint64_t i = 0; i < sweep->points; i++)
			kill_at(scene, operation, i, fault);
		return sweep->points;
	}
	for (uint64_t i = 0; i < sweep->tracks.nr; i++)
		kill_after(scene, operation, &sweep->tracks.store[i], fault);
	return sweep->tracks.nr;
}
