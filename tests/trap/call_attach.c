/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who joins a pool gets a control area where every member may write: its geometry, from which all
 * offsets follow, the shape of its segments, and what its member slots say are copied once, and
 * the copy is what is held against the files. Which numbers can be those of a pool is a matter of
 * other tests: the judge asks the library, of what was fetched.
 */
#include "slot.h" /* before what has calls of another kind */

#include "call.h"
#include "judge.h"

static void nothing(struct scene *scene)
{
	(void)scene;
}

static int attach(struct scene *scene)
{
	return pinion_pool_attach(&scene->fds, scene->member, &scene->pool);
}

/* As the @nth look found it. */
static uint64_t word(const struct scene *scene, enum where place, uint32_t index, uint32_t nth)
{
	const struct fetch *fetch = scene_load(scene, place, index, nth);

	return fetch ? fetch->value[0] : 0;
}

/* @pool: what the call must have made of what it fetched. */
static int find_head(const struct scene *scene, struct pinion_pool *pool)
{
	uint64_t head[offsetof(struct control, epoch) / 8];

	for (uint32_t i = 0; i < sizeof(head) / 8; i++)
		head[i] = word(scene, PLACE_CONTROL, i, 0);
	if (head[offsetof(struct control, magic) / 8] != CONTROL_MAGIC ||
	    head[offsetof(struct control, stamp) / 8] != CONTROL_STAMP)
		return -EPROTO;
	pool->id = head[offsetof(struct control, pool) / 8];
	memcpy(&pool->geometry, &head[offsetof(struct control, geometry) / 8],
	       sizeof(pool->geometry));
	if (control_geometry_check(&pool->geometry))
		return -EINVAL;
	layout_compute(&pool->geometry, &pool->layout);
	return pool->layout.len > scene->b.pool->control.len ? -EINVAL : 0;
}

/* One that changed between two looks is left for later; of the others the file must be its own. */
static int find_segment(const struct scene *scene, struct pinion_pool *pool, uint32_t index)
{
	const struct control_segment *made = &scene->a.pool->segment[index];
	struct control_segment *segment = &pool->segment[index];
	const uint32_t first = index * (uint32_t)sizeof(struct control_slot) / 8;
	const uint64_t state = word(scene, PLACE_SEGMENT, first, 0);
	uint64_t words[sizeof(*segment) / 8];

	if (slot_state_of(state) != SLOT_LIVE && slot_state_of(state) != SLOT_RETIRING)
		return 0;
	for (uint32_t i = 0; i < sizeof(words) / 8; i++)
		words[i] = word(scene, PLACE_SEGMENT, first + 1 + i, 0);
	if (word(scene, PLACE_SEGMENT, first, 1) != state)
		return 0;
	memcpy(segment, words, sizeof(words));
	if (slot_check(pool, segment))
		return -EINVAL;
	if (scene->fds.segment[index] < 0)
		return 0;
	return segment->inode == made->inode && segment->len == made->len &&
			       segment->page_shift == made->page_shift
		       ? 0
		       : -EINVAL;
}

static int find_member(const struct scene *scene, const struct pinion_pool *pool)
{
	const uint32_t first = scene->member * (uint32_t)sizeof(struct control_member) / 8;
	const uint32_t at = first + (uint32_t)offsetof(struct control_member, joined) / 8;

	if (scene->member >= pool->geometry.nr_members ||
	    (uint32_t)word(scene, PLACE_MEMBER, first, 0) != MEMBER_LIVE)
		return -EINVAL;
	switch ((uint32_t)word(scene, PLACE_MEMBER, at, 0)) {
	case MEMBER_INVITED:
	case MEMBER_JOINED:
		return 0;
	case MEMBER_TOO_LATE:
		return -ESTALE;
	default:
		return -EINVAL;
	}
}

static int find(const struct scene *scene, struct pinion_pool *pool)
{
	int err = find_head(scene, pool);

	for (uint32_t i = 0; !err && i < pool->geometry.nr_segments; i++)
		err = find_segment(scene, pool, i);
	return err ? err : find_member(scene, pool);
}

/* A member slot is changed by who may join alone, and by compare and swap: a store in any case. */
static const char *judge_stores(const struct scene *scene, const struct pinion_pool *pool,
				int result)
{
	const char *const control = (const char *)scene->b.pool->shared;
	const char *const seen =
		control + pool->layout.seen + scene->member * sizeof(*scene->b.pool->seen);

	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++) {
		const struct fetch *fetch = &scene->fetch[i];

		if (fetch->place == PLACE_OTHER && fetch->alias != seen)
			return "it touches what it has no part in";
		if (result < 0 && fetch->store && fetch->place != PLACE_MEMBER)
			return "it writes where it does not join";
	}
	return NULL;
}

static const char *judge_pool(const struct scene *scene, const struct pinion_pool *pool)
{
	const struct pinion_pool *got = scene->pool;

	if (got->id != pool->id ||
	    memcmp(&got->geometry, &pool->geometry, sizeof(pool->geometry)) != 0 ||
	    memcmp(&got->layout, &pool->layout, sizeof(pool->layout)) != 0)
		return "a pool that does not follow from the head";
	if (memcmp(got->segment, pool->segment, sizeof(pool->segment)) != 0)
		return "segments that do not follow from their slots";
	if (got->view.segment[0].nr != (got->memory[0].addr ? pool->segment[0].nr : 0))
		return "a view of what is not mapped";
	return got->epoch == word(scene, PLACE_EPOCH, 0, 0) ? NULL : "an epoch that was not seen";
}

static const char *judge_attach(struct scene *scene, int result)
{
	static struct pinion_pool pool;
	const char *problem;

	memset(&pool, 0, sizeof(pool));
	if (result != find(scene, &pool))
		return "not what follows from what it was given";
	if (scene->kept != !result)
		return "not the mapping that it needs";
	problem = judge_stores(scene, &pool, result);
	return problem || result ? problem : judge_pool(scene, &pool);
}

const struct call attach_calls[] = {
	{.name = "pool_attach",
	 .kind = KIND_POOL,
	 .prepare = nothing,
	 .act = attach,
	 .judge = judge_attach,
	 .loads[PLACE_CONTROL] = 6,
	 .loads[PLACE_EPOCH] = 1,
	 .loads[PLACE_SEGMENT] = 7,
	 .loads[PLACE_MEMBER] = 3,
	 .loads[PLACE_OTHER] = ANY},
};
const size_t nr_attach_calls = sizeof(attach_calls) / sizeof(attach_calls[0]);
