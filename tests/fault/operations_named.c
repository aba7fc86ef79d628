/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "scene.h"

/*
 * named.h: what a failed call leaves on the mount is looked at as well as what it leaves in the
 * process.
 */

/* Three hugepages with the control area, and room for one segment more. */
static struct pinion_pool_config named_config(const struct scene *scene)
{
	struct pinion_pool_config config = scene_config();

	config.path = scene->path;
	config.max_segments = config.nr_segments + 1;
	config.segment[0] =
		(struct pinion_segment_config){SCENE_HUGE, 65536, SCENE_HUGE, PINION_NODE_ANY};
	config.segment[1] =
		(struct pinion_segment_config){SCENE_HUGE, SCENE_HUGE, SCENE_HUGE, PINION_NODE_ANY};
	return config;
}

static int create(struct scene *scene)
{
	const struct pinion_pool_config config = named_config(scene);

	return pinion_pool_create(&config, &scene->pool);
}

static void create_must(struct scene *scene)
{
	scene_must(!create(scene), "a named pool");
}

static const char *pool_works(struct scene *scene)
{
	return scene_pool_works(scene->pool);
}

static int unlink_pool(struct scene *scene)
{
	return pinion_pool_unlink(scene->path);
}

static void remove_must(struct scene *scene)
{
	scene_pool_close(scene);
	scene_must(!unlink_pool(scene), "no named pool");
}

/* A keeper that ends without a word, and holds some of the pool's buffers. */
static void make_and_die(const struct scene *scene)
{
	struct scene own = *scene;

	create_must(&own);
	scene_cache_open(&own, own.pool);
	for (int i = 0; i < 5; i++)
		scene_must(!pinion_buffer_alloc(own.cache, &own.buffer), "a buffer");
}

static void left_behind(struct scene *scene)
{
	scene_other_start(scene, make_and_die);
	scene_other_wait(scene);
}

static void adopt_setup(struct scene *scene)
{
	scene_mount_open(scene);
	left_behind(scene);
}

static int adopt(struct scene *scene)
{
	return pinion_pool_adopt(scene->path, &scene->pool, &scene->adoption);
}

static void adopt_undo(struct scene *scene)
{
	remove_must(scene);
	left_behind(scene);
}

/* The same by a record: resume.h. Whoever has number 0 is dead, as everybody is who started at
 * another time. */

static struct pinion_pool_record record;
static const struct pinion_member_record dead[2] = {{.admitted = 1, .pid = 1, .started = 1}};

static void recorded(struct scene *scene)
{
	create_must(scene);
	scene_must(!pinion_pool_record(scene->pool, &record), "a record");
	scene_pool_close(scene);
}

static void resume_setup(struct scene *scene)
{
	scene_mount_open(scene);
	recorded(scene);
}

static int resume(struct scene *scene)
{
	return pinion_pool_resume_named(scene->path, &record, dead, &scene->pool,
					&scene->adoption);
}

static void resume_undo(struct scene *scene)
{
	remove_must(scene);
	recorded(scene);
}

/* Adopted or not, it can be removed. */
static void adopt_teardown(struct scene *scene)
{
	remove_must(scene);
	scene_mount_close(scene);
}

static void unlink_undo(struct scene *scene)
{
	create_must(scene);
	scene_pool_close(scene);
}

static void unlink_setup(struct scene *scene)
{
	scene_mount_open(scene);
	unlink_undo(scene);
}

static const char *is_gone(struct scene *scene)
{
	return access(scene->path, F_OK) ? NULL : "the directory is still there";
}

/* What was not all removed can be removed again. */
static void unlink_teardown(struct scene *scene)
{
	int err = unlink_pool(scene);

	scene_must(!err || err == -ENOENT, "no named pool");
	scene_mount_close(scene);
}

static void grow_setup(struct scene *scene)
{
	scene_mount_open(scene);
	create_must(scene);
}

static int grow(struct scene *scene)
{
	static const struct pinion_segment_config more = {SCENE_HUGE, 65536, SCENE_HUGE,
							  PINION_NODE_ANY};

	return pinion_pool_grow(scene->pool, &more, &scene->slot);
}

static void grow_undo(struct scene *scene)
{
	scene_must(!pinion_pool_retire(scene->pool, scene->slot), "one segment less");
}

const struct operation named_operations[] = {
	{.name = "named pool create", .setup = scene_mount_open, .run = create, .use = pool_works,
	 .undo = remove_must, .teardown = scene_mount_close, .mount = true, .huge = 3},
	{.name = "named pool adopt", .setup = adopt_setup, .run = adopt, .use = scene_adopted_works,
	 .undo = adopt_undo, .teardown = adopt_teardown, .mount = true, .huge = 3},
	{.name = "named pool resume", .setup = resume_setup, .run = resume,
	 .use = scene_adopted_works, .undo = resume_undo, .teardown = adopt_teardown,
	 .mount = true, .huge = 3},
	{.name = "named pool unlink", .setup = unlink_setup, .run = unlink_pool, .use = is_gone,
	 .undo = unlink_undo, .teardown = unlink_teardown, .final = true, .mount = true,
	 .huge = 3},
	{.name = "named pool grow", .setup = grow_setup, .run = grow, .use = pool_works,
	 .undo = grow_undo, .teardown = adopt_teardown, .mount = true, .huge = 4},
	{0},
};
