/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

/* resume.h: the keeper of before is a process that is gone, and its pool is here as files. */

static struct pinion_pool_record record;
static struct pinion_member_record member[2]; /* of scene_config() */

/* Whoever had this number is dead. */
static void write_down_the_dead(void)
{
	pid_t child = fork();

	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	scene_must(child > 0 && !pinion_member_record(child, &member[0]), "a process");
	scene_must(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child, "its end");
}

/* A pool of which the files are left, and the record. */
static void left_behind(struct scene *scene)
{
	scene_pool_open(scene);
	scene_files_open(scene);
	scene_must(!pinion_pool_record(scene->pool, &record), "a record");
	scene_pool_close(scene);
}

static void resume_setup(struct scene *scene)
{
	write_down_the_dead();
	left_behind(scene);
}

static int resume(struct scene *scene)
{
	return pinion_pool_resume(&scene->files, &record, member, &scene->pool, &scene->adoption);
}

static void resume_undo(struct scene *scene)
{
	scene_pool_close(scene);
	left_behind(scene);
}

static int take_record(struct scene *scene)
{
	return pinion_pool_record(scene->pool, &record);
}

static int take_member(struct scene *scene)
{
	(void)scene;
	return pinion_member_record(getpid(), &member[1]);
}

static const char *member_works(struct scene *scene)
{
	(void)scene;
	return member[1].pid == getpid() && member[1].started ? NULL : "it is another process";
}

static void member_undo(struct scene *scene)
{
	(void)scene;
	member[1] = (struct pinion_member_record){0};
}

const struct operation resume_operations[] = {
	{.name = "pool resume", .setup = resume_setup, .run = resume, .use = scene_adopted_works,
	 .undo = resume_undo, .teardown = scene_files_close},
	{.name = "pool record", .setup = scene_pool_open, .run = take_record,
	 .teardown = scene_pool_close},
	{.name = "member record", .run = take_member, .use = member_works, .undo = member_undo},
	{0},
};
