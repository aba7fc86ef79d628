/* SPDX-License-Identifier: BSD-3-Clause */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pinion/domain.h>
#include <pinion/error.h>

void scene_must(bool good, const char *what)
{
	if (good)
		return;
	(void)dprintf(STDERR_FILENO, "# the scene wants: %s (%s)\n", what, pinion_error_text());
	abort();
}

struct pinion_pool_config scene_config(void)
{
	struct pinion_pool_config config = {
		.name = "fault",
		.nr_members = 2,
		.nr_caches = 1,
		.nr_segments = 2,
	};

	config.segment[0] = (struct pinion_segment_config){8192, 256, 4096, PINION_NODE_ANY};
	config.segment[1] = (struct pinion_segment_config){65536, 4096, 4096, PINION_NODE_ANY};
	return config;
}

struct pinion_pool_config scene_huge_config(void)
{
	struct pinion_pool_config config = scene_config();

	config.segment[0] =
		(struct pinion_segment_config){2 * SCENE_HUGE, 65536, SCENE_HUGE, 0};
	config.segment[1] =
		(struct pinion_segment_config){SCENE_HUGE, SCENE_HUGE, SCENE_HUGE, PINION_NODE_ANY};
	return config;
}

void scene_pool_open(struct scene *scene)
{
	const struct pinion_pool_config config = scene_config();

	scene_must(!pinion_pool_create(&config, &scene->pool), "a pool");
}

void scene_huge_pool_open(struct scene *scene)
{
	const struct pinion_pool_config config = scene_huge_config();

	scene_must(!pinion_pool_create(&config, &scene->pool), "a pool of hugepages");
}

void scene_pool_close(struct scene *scene)
{
	if (scene->pool)
		scene_must(!pinion_pool_destroy(scene->pool), "no pool");
	scene->pool = NULL;
}

int scene_domain_audit(struct scene *scene)
{
	int err = pinion_domain_audit(scene->domain, NULL);

	return err == -ESTALE ? 1 : err;
}

/* As many buffers as any zone of these pools has. */
#define BUFFERS_MAX 256

static const char *zone_works(struct pinion_pool *pool, const struct pinion_zone_stat *stat)
{
	/* By its node: of all nodes, the nearest would come before the fitting size. */
	const struct pinion_cache_config config = {.buffer_size = stat->buffer_size,
						   .node = stat->node};
	struct pinion_buffer buffer[BUFFERS_MAX + 1];
	const char *problem = NULL;
	struct pinion_cache *cache;
	uint32_t nr = 0;

	if (stat->free != stat->total)
		return "not all of the pool's buffers are free";
	if (pinion_cache_open(pool, &config, &cache))
		return "no cache can be opened in the pool";
	while (nr <= BUFFERS_MAX && !pinion_buffer_alloc(cache, &buffer[nr])) {
		memset(pinion_buffer_addr(pool, buffer[nr]), 0x5a, stat->buffer_size);
		nr++;
	}
	if (nr != stat->total)
		problem = "not all of the pool's buffers can be taken";
	while (nr--)
		if (pinion_buffer_free(cache, buffer[nr]))
			problem = "a buffer cannot be given back";
	if (pinion_cache_close(cache))
		problem = "the cache cannot be closed";
	return problem;
}

const char *scene_pool_works(struct pinion_pool *pool)
{
	const char *problem = NULL;

	for (uint32_t zone = 0; !problem && zone < pinion_pool_zones(pool); zone++) {
		struct pinion_zone_stat stat;

		if (pinion_pool_stat(pool, zone, &stat))
			return "the pool does not tell what it holds";
		problem = zone_works(pool, &stat);
	}
	return problem;
}

const char *scene_adopted_works(struct scene *scene)
{
	const struct pinion_adoption *adoption = &scene->adoption;

	if (adoption->living + adoption->dead != 1)
		return "there was one member";
	if (adoption->living && pinion_pool_release(scene->pool, 0, NULL))
		return "the dead keeper's slot cannot be released";
	return scene_pool_works(scene->pool);
}

/* Slots without a segment have -1. */
static int again(int fd)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

	scene_must(fd < 0 || copy >= 0, "one more descriptor");
	return copy;
}

void scene_files_open(struct scene *scene)
{
	pinion_pool_export(scene->pool, &scene->files);
	scene->files.control = again(scene->files.control);
	for (uint32_t i = 0; i < scene->files.nr_segments; i++)
		scene->files.segment[i] = again(scene->files.segment[i]);
}

void scene_files_close(struct scene *scene)
{
	(void)close(scene->files.control);
	for (uint32_t i = 0; i < scene->files.nr_segments; i++)
		if (scene->files.segment[i] >= 0)
			(void)close(scene->files.segment[i]);
}

void scene_dir_open(struct scene *scene)
{
	(void)snprintf(scene->dir, sizeof(scene->dir), "/tmp/pinion-fault-XXXXXX");
	scene_must(mkdtemp(scene->dir), "a directory in /tmp");
	(void)snprintf(scene->path, sizeof(scene->path), "%s/socket", scene->dir);
}

/* Empty after a good end; a keeper that was killed left these two. */
static bool remove_dir(const struct scene *scene)
{
	char lock[sizeof(scene->path) + 8];

	(void)snprintf(lock, sizeof(lock), "%s.lock", scene->path);
	(void)unlink(lock);
	(void)unlink(scene->path);
	return !rmdir(scene->dir);
}

void scene_dir_close(struct scene *scene)
{
	scene_must(remove_dir(scene), "an empty directory");
	scene->dir[0] = '\0';
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void scene_dir_remove(const struct scene *scene)
{
	if (scene->dir[0])
		(void)nftw(scene->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Once for a process: its mounts are seen nowhere else from then on. */
static bool leave_mounts(void)
{
	static bool left;

	if (!left)
		left = !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return left;
}

static bool mount_huge(const char *dir)
{
	return !mount("none", dir, "hugetlbfs", 0, "pagesize=2M");
}

bool scene_can_mount(void)
{
	return leave_mounts() && mount_huge("/tmp");
}

/* leak.c knows mappings of its files by "huge". */
void scene_mount_open(struct scene *scene)
{
	(void)snprintf(scene->dir, sizeof(scene->dir), "/tmp/pinion-huge-XXXXXX");
	scene_must(mkdtemp(scene->dir), "a directory in /tmp");
	(void)snprintf(scene->path, sizeof(scene->path), "%s/pool", scene->dir);
	scene_must(leave_mounts() && mount_huge(scene->dir), "a hugetlbfs");
}

void scene_mount_close(struct scene *scene)
{
	scene_must(!umount(scene->dir), "no hugetlbfs");
	scene_must(!rmdir(scene->dir), "an empty directory");
	scene->dir[0] = '\0';
}

void scene_other_start(struct scene *scene, void (*f)(const struct scene *scene))
{
	/* Not in the scene, which may be shared: what the child writes there we would read. */
	const pid_t other = fork();

	scene_must(other >= 0, "another process");
	if (other) {
		scene->other = other;
		return;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)close_range(3, ~0u, 0);
	f(scene);
	_exit(0);
}

void scene_other_wait(struct scene *scene)
{
	int status = 1;

	scene_must(waitpid(scene->other, &status, 0) == scene->other && !status,
		   "a good end of the other process");
	scene->other = 0;
}

void scene_other_stop(struct scene *scene)
{
	scene_must(scene->other > 0 && !kill(scene->other, SIGKILL), "another process");
	scene_must(waitpid(scene->other, NULL, 0) == scene->other, "the end of the other process");
	scene->other = 0;
}

void scene_cache_open(struct scene *scene, struct pinion_pool *pool)
{
	const struct pinion_cache_config config = {.buffer_size = 256, .node = PINION_NODE_ANY};

	scene_must(!pinion_cache_open(pool, &config, &scene->cache), "a cache");
}

void scene_cache_close(struct scene *scene)
{
	scene_must(!pinion_cache_close(scene->cache), "no cache");
}

void scene_take_all(struct scene *scene)
{
	static struct pinion_buffer held[BUFFERS_MAX];

	scene->held = held;
	while (scene->nr_held < BUFFERS_MAX &&
	       !pinion_buffer_alloc(scene->cache, &held[scene->nr_held]))
		scene->nr_held++;
	scene_must(!pinion_cache_flush(scene->cache), "an empty cache");
}

void scene_give_all(struct scene *scene)
{
	while (scene->nr_held)
		scene_must(!pinion_buffer_free(scene->cache, scene->held[--scene->nr_held]),
			   "a buffer back");
	scene_must(!pinion_cache_flush(scene->cache), "an empty cache");
}
