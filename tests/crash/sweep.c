/* SPDX-License-Identifier: BSD-3-Clause */
#include "sweep.h"

#include <stdlib.h>

#include "invariant.h"

/* One operation on its way. */
struct walk {
	struct scene *scene;
	struct sweep *sweep;
	struct actor actor;
	struct snapshot last; /* the state that was checked last */
};

/* The state now, if it is another than the last, which it then becomes. */
static void look(struct walk *walk, bool check)
{
	struct scene *scene = walk->scene;
	struct snapshot now = {0};

	walk->sweep->points++;
	if (walk->sweep->tracks.nr && snapshot_same(&walk->last, scene->pool))
		return;
	tracks_add(&walk->sweep->tracks, &walk->actor.tracee);
	snapshot_take(&now, scene->pool);
	if (check) {
		snapshot_load(&now, scene->shadow);
		fault_note(&walk->sweep->fault, &walk->actor.tracee,
			   invariant_broken(scene->shadow, walk->last.bytes ? &walk->last : &now,
					    scene_victims(&walk->actor)));
	}
	free(walk->last.bytes);
	walk->last = now;
}

/* Did any magazine's word change since @before? */
static bool exchanged(const struct scene *scene, const struct snapshot *before)
{
	const struct pinion_pool *pool = scene->pool;

	for (uint32_t m = 0; m < pool->geometry.nr_segments * pool->layout.stride; m++)
		if (pool->magazine[m] != snapshot_word(before, pool, &pool->magazine[m]))
			return true;
	return false;
}

/* Is it the path that the table says? */
static const char *claim(struct scene *scene, const struct actor *actor,
			 const struct snapshot *before)
{
	const char *problem = scene_claim(scene, actor);

	if (!problem && exchanged(scene, before) != actor->operation->exchanges)
		problem = actor->operation->exchanges ? "it did not exchange a magazine"
						      : "it exchanged a magazine";
	return problem;
}

void sweep_run(struct scene *scene, const struct operation *operation, bool check,
	       struct sweep *sweep)
{
	struct walk walk = {.scene = scene, .sweep = sweep};
	struct snapshot before = {0};
	enum step at = STEP_MORE;

	tracks_open(&sweep->tracks);
	scene_reset(scene);
	scene_enter(scene, &walk.actor, operation, SCENE_FIRST);
	snapshot_take(&before, scene->pool);
	look(&walk, check);
	while (at == STEP_MORE) {
		at = tracks_step(&sweep->tracks, &walk.actor.tracee);
		look(&walk, check);
	}
	fault_note(&sweep->fault, &walk.actor.tracee,
		   at == STEP_DIED ? "it died by itself" : claim(scene, &walk.actor, &before));
	tracee_kill(&walk.actor.tracee);
	free(before.bytes);
	free(walk.last.bytes);
}

void sweep_close(struct sweep *sweep)
{
	tracks_close(&sweep->tracks);
}
