/* SPDX-License-Identifier: BSD-3-Clause */
#include "scene.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pinion/cache.h>
#include <pinion/error.h>

#include "picture.h"
#include "pool_support.h"
#include "post.h"
#include "tap.h"

/*
 * Small buffers in two segments, which make one zone, and other sizes in others: see operations.h
 * for what each is there for. Of the small ones the dead has taken one magazine full, and two
 * children beside each other take three each, to fill two and hold some more: 56 of 64.
 */
static const struct pinion_pool_config scene_config = {
	.name = "scene",
	.flags = PINION_POOL_SCRUB, /* so that fillers are written, and forgotten */
	.nr_members = SCENE_MEMBERS,
	.nr_caches = 5, /* two of the dead, two children's, the keeper's while it checks */
	.magazine_size = MAGAZINE,
	.nr_segments = SEGMENTS - 1,
	.segment =
		{
			[SEGMENT_SMALL] = {1 * 4096, SMALL, 4096, PINION_NODE_ANY},
			[SEGMENT_LARGE] = {12 * 4096, LARGE, 4096, PINION_NODE_ANY},
			[SEGMENT_SMALL_TOO] = {1 * 4096, SMALL, 4096, PINION_NODE_ANY},
			[SEGMENT_QUIET] = {1 * 4096, QUIET, 4096, PINION_NODE_ANY},
			[SEGMENT_GOING] = {2 * 4096, GOING, 4096, PINION_NODE_ANY},
		},
};

/* Opens a cache and takes @nr buffers; the last is @buffer. */
static int take_buffer(struct pinion_pool *pool, size_t size, int nr, struct pinion_cache **cache,
		       struct pinion_buffer *buffer)
{
	const struct pinion_cache_config wish = {.buffer_size = size, .node = PINION_NODE_ANY};
	int err = pinion_cache_open(pool, &wish, cache);

	for (int i = 0; !err && i < nr; i++)
		err = pinion_buffer_alloc(*cache, buffer);
	return err;
}

/* The dead one's last acts: buffers of three sizes, two caches still open, one of them with a
 * magazine of the segment that will be going. */
static int live_and_die(struct pinion_pool *keeper)
{
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	struct pinion_pool_fds fds;
	struct pinion_pool *pool;
	int err;

	pinion_pool_export(keeper, &fds);
	err = pinion_pool_attach(&fds, SCENE_DEAD, &pool);
	err = err || take_buffer(pool, LARGE, 1, &cache, &buffer) || pinion_cache_close(cache);
	err = err || take_buffer(pool, GOING, 1, &cache, &buffer);
	err = err || take_buffer(pool, SMALL, 5, &cache, &buffer);
	/* One came back: its generation is not that of its neighbours. */
	return err || pinion_buffer_free(cache, buffer);
}

static void make_dead(struct pinion_pool *pool)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(live_and_die(pool));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		tap_bail("the scene has no dead member");
}

static void open_with(struct scene *scene, uint32_t slots)
{
	struct pinion_pool_config config = scene_config;
	uint32_t member;

	config.max_segments = slots;

	/* For the children: calloc() clears what it recycles, and each round of a rep stos is a
	 * step; recovery's tables were 100,000 of them. What comes by mmap(2) is clear. */
	(void)mallopt(M_MMAP_THRESHOLD, 4096);
	*scene = (struct scene){0};
	if (pinion_pool_create(&config, &scene->pool))
		tap_bail("no pool: %s", pinion_error_text());
	pool_age(scene->pool);
	for (uint32_t i = SCENE_FIRST; i <= SCENE_DEAD; i++)
		if (pinion_pool_admit(scene->pool, getpid(), &member) || member != i)
			tap_bail("member %u was not admitted: %s", i, pinion_error_text());
	make_dead(scene->pool);
	if (pinion_pool_retire(scene->pool, SEGMENT_GOING) != -EBUSY)
		tap_bail("a segment of which buffers are held went, or cannot go");
	post_open(scene->pool);
	snapshot_take(&scene->base, scene->pool);
	scene->shadow = shadow_open(scene->pool);
}

void scene_open(struct scene *scene)
{
	open_with(scene, SEGMENTS);
}

void scene_open_for_two(struct scene *scene)
{
	open_with(scene, SEGMENTS_OF_TWO);
}

void scene_close(struct scene *scene)
{
	(void)pinion_pool_detach(scene->shadow);
	(void)pinion_pool_destroy(scene->pool);
	post_close();
	free(scene->base.bytes);
}

/* Between operations, when all is as it should be. */
static void look(struct scene *scene)
{
	const char *problem = picture_update(scene->pool);

	if (problem)
		tap_bail("%s", problem);
}

void scene_reset(struct scene *scene)
{
	post_clear();
	snapshot_load(&scene->base, scene->pool);
	look(scene);
}

static int prepare(void *arg)
{
	struct actor *actor = arg;
	const struct operation *operation = actor->operation;
	int err = operation->prepare(&actor->state);

	if (!err && actor->waits)
		step_pause();
	else if (!err && operation->deed)
		err = operation_do_deed(operation, &actor->state);
	return err || !operation->after ? err : operation->after(&actor->state);
}

static int act(void *arg)
{
	struct actor *actor = arg;

	return actor->operation->act(&actor->state);
}

/* If the one of the table has come, or gone, for who entered before: another. */
static uint32_t segment_for(const struct scene *scene, const struct operation *operation)
{
	const enum slot_state now = slot_state_of(scene->pool->state[operation->segment]);

	if (operation->segment == SEGMENT_SPARE && now != SLOT_ABSENT)
		return SEGMENT_SPARE_TOO;
	if (operation->segment == SEGMENT_QUIET && now != SLOT_LIVE)
		return SEGMENT_SPARE;
	return operation->segment;
}

static void enter(struct scene *scene, struct actor *actor, const struct operation *operation,
		  uint32_t member, bool waits)
{
	const struct play play = {prepare, act, actor};

	*actor = (struct actor){
		.operation = operation,
		.member = member,
		.waits = waits,
		.state = {.member = member,
			  .victim = SCENE_DEAD,
			  .served = member,
			  .segment = segment_for(scene, operation),
			  .inherited = scene->pool},
	};
	pinion_pool_export(scene->pool, &actor->state.fds);
	tracee_start(&actor->tracee, &play);
	look(scene);
	actor->held = pinion_pool_held(scene->pool, member);
}

void scene_enter(struct scene *scene, struct actor *actor, const struct operation *operation,
		 uint32_t member)
{
	enter(scene, actor, operation, member, false);
}

void scene_enter_both(struct scene *scene, struct actor *first, const struct operation *operation,
		      struct actor *second, const struct operation *other)
{
	enter(scene, first, operation, SCENE_FIRST, true);
	enter(scene, second, other, SCENE_SECOND, false);
	tracee_resume(&first->tracee);
}

const char *scene_claim(struct scene *scene, const struct actor *actor)
{
	const struct operation *operation = actor->operation;
	const char *problem = picture_update(scene->pool);
	int held;

	if (problem)
		return problem;
	held = (int)pinion_pool_held(scene->pool, actor->member);
	if (actor->tracee.stage->err)
		return "it returned an error";
	if (held != (int)actor->held + operation->held)
		return "its member does not hold as many buffers as it should";
	if (slot_state_of(scene->pool->state[actor->state.segment]) < operation->becomes)
		return "its segment is not in the state in which it should be";
	return NULL;
}

uint32_t scene_victims(const struct actor *actor)
{
	return 1u << actor->member | (actor->operation->buries ? 1u << SCENE_DEAD : 0);
}
