/* SPDX-License-Identifier: BSD-3-Clause */
#include <stddef.h>
#include <unistd.h>

#include "fail.h"
#include "pool.h"
#include "process.h"
#include "scene.h"

/*
 * pool.h and cache.h.
 */

/* Create. */

static int create(struct scene *scene)
{
	const struct pinion_pool_config config = scene_config();

	return pinion_pool_create(&config, &scene->pool);
}

static int create_on_node(struct scene *scene)
{
	struct pinion_pool_config config = scene_config();

	config.segment[0].node = config.segment[1].node = 0;
	return pinion_pool_create(&config, &scene->pool);
}

static int create_huge(struct scene *scene)
{
	const struct pinion_pool_config config = scene_huge_config();

	return pinion_pool_create(&config, &scene->pool);
}

static const char *pool_works(struct scene *scene)
{
	return scene_pool_works(scene->pool);
}

static int destroy(struct scene *scene)
{
	int err = pinion_pool_destroy(scene->pool);

	scene->pool = NULL;
	return err;
}

/* Members. */

static int admit(struct scene *scene)
{
	return pinion_pool_admit(scene->pool, getpid(), &scene->member);
}

static void release(struct scene *scene)
{
	scene_must(!pinion_pool_release(scene->pool, scene->member, NULL), "no second member");
}

static void attach_setup(struct scene *scene)
{
	scene_pool_open(scene);
	scene_must(!admit(scene), "a second member");
	scene_files_open(scene);
}

static void attach_huge_setup(struct scene *scene)
{
	scene_huge_pool_open(scene);
	scene_must(!admit(scene), "a second member");
	scene_files_open(scene);
}

static int attach(struct scene *scene)
{
	return pinion_pool_attach(&scene->files, scene->member, &scene->joined);
}

static const char *joined_works(struct scene *scene)
{
	return scene_pool_works(scene->joined);
}

static void attach_undo(struct scene *scene)
{
	scene_must(!pinion_pool_detach(scene->joined), "no second mapping");
	scene_files_open(scene);
}

static void attach_teardown(struct scene *scene)
{
	scene_files_close(scene);
	scene_pool_close(scene);
}

/* Whatever cannot be read: of a process that lives it is never said that it is dead. */
static int look_for_self(struct scene *scene)
{
	KEEP_ERRNO;

	scene->lives = process_lives(getpid(), process_started(getpid()));
	return 0;
}

static const char *self_lives(struct scene *scene)
{
	return scene->lives ? NULL : "a living process was taken for dead";
}

/* This process has to stay the one that is watched: it is only told that it is the child. */
static void child_setup(struct scene *scene)
{
	scene_pool_open(scene);
	scene_must(!admit(scene), "a second member");
	atomic_store_explicit(&scene->pool->forked, true, memory_order_relaxed);
}

static int become(struct scene *scene)
{
	return pinion_pool_become(scene->pool, scene->member);
}

static void become_undo(struct scene *scene)
{
	scene_pool_close(scene);
	child_setup(scene);
}

/* A real child, that ends with buffers of the pool. */
static void hold(const struct scene *scene)
{
	struct scene own = *scene;

	scene_must(!become(&own), "a member in a child");
	scene_cache_open(&own, own.pool);
	for (int i = 0; i < 5; i++)
		scene_must(!pinion_buffer_alloc(own.cache, &own.buffer), "a buffer");
}

static void dead_member(struct scene *scene)
{
	scene_must(!admit(scene), "a second member");
	scene_other_start(scene, hold);
	scene_other_wait(scene);
}

static void recover_setup(struct scene *scene)
{
	scene_pool_open(scene);
	dead_member(scene);
}

static int release_dead(struct scene *scene)
{
	return pinion_pool_release(scene->pool, scene->member, NULL);
}

/* Caches. The zone is chosen by distance, which asks the system where this thread runs. */

static int cache_open(struct scene *scene)
{
	const struct pinion_cache_config config = {.buffer_size = 4096, .node = PINION_NODE_ANY};

	return pinion_cache_open(scene->pool, &config, &scene->cache);
}

static const char *cache_works(struct scene *scene)
{
	struct pinion_buffer buffer = {0};

	if (pinion_buffer_alloc(scene->cache, &buffer))
		return "the cache has no buffer";
	return pinion_buffer_free(scene->cache, buffer) ? "the cache takes no buffer back" : NULL;
}

static void cache_close(struct scene *scene)
{
	scene_must(!pinion_cache_close(scene->cache), "no cache");
}

const struct operation pool_operations[] = {
	{.name = "pool create, pages of 4 KiB", .run = create, .use = pool_works,
	 .undo = scene_pool_close},
	{.name = "pool create, on a node", .run = create_on_node, .use = pool_works,
	 .undo = scene_pool_close},
	{.name = "pool create, hugepages", .run = create_huge, .use = pool_works,
	 .undo = scene_pool_close, .huge = 3},
	{.name = "pool destroy", .setup = scene_pool_open, .run = destroy,
	 .undo = scene_pool_open, .teardown = scene_pool_close, .final = true},
	{.name = "pool admit", .setup = scene_pool_open, .run = admit, .undo = release,
	 .teardown = scene_pool_close},
	{.name = "process lives", .run = look_for_self, .use = self_lives},
	{.name = "pool attach", .setup = attach_setup, .run = attach, .use = joined_works,
	 .undo = attach_undo, .teardown = attach_teardown},
	{.name = "pool attach, hugepages", .setup = attach_huge_setup, .run = attach,
	 .use = joined_works, .undo = attach_undo, .teardown = attach_teardown, .huge = 3},
	{.name = "pool become", .setup = child_setup, .run = become, .use = pool_works,
	 .undo = become_undo, .teardown = scene_pool_close},
	{.name = "pool release, of a dead member", .setup = recover_setup, .run = release_dead,
	 .use = pool_works, .undo = dead_member, .teardown = scene_pool_close},
	{.name = "cache open", .setup = scene_pool_open, .run = cache_open, .use = cache_works,
	 .undo = cache_close, .teardown = scene_pool_close},
	{0},
};
