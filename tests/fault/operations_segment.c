/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "pool.h"
#include "populate.h"
#include "scene.h"

/*
 * Segments that come and go (pool.h), and caches that meet them. The member that has to follow is
 * this same process, which has the pool mapped twice.
 */

/* As the first segment of scene_config(), and twice as long. */
static const struct pinion_segment_config more = {
	.len = 16384, .buffer_size = 256, .page_size = 4096, .node = PINION_NODE_ANY};

/* One slot more than segments: a slot that is lost is missed. */
static void growing_setup(struct scene *scene)
{
	struct pinion_pool_config config = scene_config();

	config.max_segments = config.nr_segments + 1;
	config.nr_caches = 2;
	scene_must(!pinion_pool_create(&config, &scene->pool), "a pool that can grow");
}

static int grow(struct scene *scene)
{
	return pinion_pool_grow(scene->pool, &more, &scene->slot);
}

static int retire(struct scene *scene)
{
	return pinion_pool_retire(scene->pool, scene->slot);
}

static void grow_must(struct scene *scene)
{
	scene_must(!grow(scene), "one more segment");
}

static void retire_must(struct scene *scene)
{
	scene_must(!retire(scene), "one segment less");
}

static void retiring_setup(struct scene *scene)
{
	growing_setup(scene);
	grow_must(scene);
}

static const char *pool_works(struct scene *scene)
{
	return scene_pool_works(scene->pool);
}

/* The same in hugepages. */

static void growing_huge_setup(struct scene *scene)
{
	struct pinion_pool_config config = scene_huge_config();

	config.max_segments = config.nr_segments + 1;
	scene_must(!pinion_pool_create(&config, &scene->pool), "a pool that can grow");
}

static int grow_huge(struct scene *scene)
{
	static const struct pinion_segment_config two = {2 * SCENE_HUGE, 65536, SCENE_HUGE, 0};

	return pinion_pool_grow(scene->pool, &two, &scene->slot);
}

static void grow_huge_must(struct scene *scene)
{
	scene_must(!grow_huge(scene), "one more segment");
}

static void retiring_huge_setup(struct scene *scene)
{
	growing_huge_setup(scene);
	grow_huge_must(scene);
}

/* The second mapping, from before the pool grew. */
static void join(struct scene *scene)
{
	scene_files_open(scene);
	if (scene->slot) {
		(void)close(scene->files.segment[scene->slot]);
		scene->files.segment[scene->slot] = -1;
	}
	scene_must(!pinion_pool_attach(&scene->files, scene->member, &scene->joined),
		   "a second mapping");
}

static void joined_setup(struct scene *scene)
{
	growing_setup(scene);
	scene_must(!pinion_pool_admit(scene->pool, getpid(), &scene->member), "a second member");
	join(scene);
}

static int file_again(const struct scene *scene)
{
	struct pinion_pool_fds fds;

	pinion_pool_export(scene->pool, &fds);
	return fcntl(fds.segment[scene->slot], F_DUPFD_CLOEXEC, 3);
}

static void file_must(struct scene *scene)
{
	scene->fd = file_again(scene);
	scene_must(scene->fd >= 0, "the segment's file");
}

static void leave(struct scene *scene)
{
	scene_must(!pinion_pool_detach(scene->joined), "no second mapping");
}

/* A cache that has found the segment without its file, and has nothing left in the other. */
static void extend_again(struct scene *scene)
{
	scene_cache_open(scene, scene->joined);
	scene_take_all(scene);
	file_must(scene);
}

static void extend_setup(struct scene *scene)
{
	joined_setup(scene);
	grow_must(scene);
	extend_again(scene);
}

static int extend(struct scene *scene)
{
	return pinion_pool_extend(scene->joined, scene->slot, scene->fd);
}

/* Buffers of 256 bytes in both segments. */
#define BOTH ((8192 + 16384) / 256)

/* All that is left is the cache's for the asking: @nr buffers. */
static bool has_left(struct scene *scene, uint32_t nr)
{
	uint32_t held = scene->nr_held, got;

	scene_take_all(scene);
	got = scene->nr_held - held;
	for (uint32_t i = 0; i < scene->nr_held; i++)
		memset(pinion_buffer_addr(scene->joined, scene->held[i]), 0x5a, 256);
	while (scene->nr_held > held)
		scene_must(!pinion_buffer_free(scene->cache, scene->held[--scene->nr_held]),
			   "a buffer back");
	return got == nr;
}

static const char *extended_works(struct scene *scene)
{
	return has_left(scene, BOTH - scene->nr_held) ? NULL : "the new segment is not used";
}

static void leave_with_cache(struct scene *scene)
{
	scene_give_all(scene);
	scene_cache_close(scene);
	leave(scene);
}

static void extend_undo(struct scene *scene)
{
	leave_with_cache(scene);
	join(scene);
	extend_again(scene);
}

static void extend_teardown(struct scene *scene)
{
	(void)close(scene->fd);
	leave_with_cache(scene);
	scene_pool_close(scene);
}

/* Stands for the socket of a session: here the file can be had at once, or not at all. */
static int bring(void *context, uint32_t slot, int *fd)
{
	(void)slot;
	*fd = file_again(context);
	return *fd < 0 ? -errno : 0;
}

/* A cache of the second mapping, with a segment in the pool that it has not heard of. */
static void meeting_setup(struct scene *scene)
{
	joined_setup(scene);
	scene->joined->fetch = bring;
	scene->joined->fetch_context = scene;
	scene_cache_open(scene, scene->joined);
	grow_must(scene);
}

/* The same with nothing left in the others. */
static void waiting_setup(struct scene *scene)
{
	joined_setup(scene);
	scene->joined->fetch = bring;
	scene->joined->fetch_context = scene;
	scene_cache_open(scene, scene->joined);
	scene_take_all(scene);
	grow_must(scene);
}

static int alloc(struct scene *scene)
{
	return pinion_buffer_alloc(scene->cache, &scene->buffer);
}

/* Whatever failed before, all buffers of both segments are there when asked for. */
static const char *both_have_buffers(struct scene *scene)
{
	return has_left(scene, BOTH - 1 - scene->nr_held) ? NULL : "the new segment is not used";
}

/* The segment goes, which the cache notices, and another comes, which it does not. */
static void meeting_undo(struct scene *scene)
{
	scene_must(!pinion_buffer_free(scene->cache, scene->buffer), "the buffer back");
	scene_must(!pinion_cache_flush(scene->cache), "an empty cache");
	retire_must(scene);
	scene_must(!pinion_cache_flush(scene->cache), "a look at what went");
	grow_must(scene);
}

static void meeting_teardown(struct scene *scene)
{
	leave_with_cache(scene);
	scene_pool_close(scene);
}

/* A message with a buffer in a segment that its receiver knows of, and has not mapped. */

static void large_cache(struct pinion_pool *pool, struct pinion_cache **cache)
{
	const struct pinion_cache_config config = {.buffer_size = 1024, .node = PINION_NODE_ANY};

	scene_must(!pinion_cache_open(pool, &config, cache), "a cache of large buffers");
}

static void send_new(struct scene *scene)
{
	static const struct pinion_segment_config larger = {16384, 1024, 4096, PINION_NODE_ANY};
	struct pinion_desc desc = {.len = 1};
	struct pinion_segment_stat stat;
	struct pinion_cache *cache;

	scene_must(!pinion_pool_grow(scene->pool, &larger, &scene->slot), "one more segment");
	/* When it looked, the file had not come. */
	scene->joined->fetch = NULL;
	scene_must(!pinion_pool_segment(scene->joined, scene->slot, &stat), "a look at it");
	scene->joined->fetch = bring;
	large_cache(scene->pool, &cache);
	scene_must(!pinion_buffer_alloc(cache, &desc.buffer), "a large buffer");
	scene_must(!pinion_cache_close(cache), "no cache");
	scene_must(pinion_channel_send(scene->sender, &desc, 1) == 1, "a message");
}

static void message_setup(struct scene *scene)
{
	joined_setup(scene);
	scene->joined->fetch_context = scene;
	for (int i = 0; i < 2; i++)
		scene_must(!pinion_ring_create(16, &scene->ring[i]), "a ring");
	scene_must(!pinion_channel_open(scene->pool, scene->ring[0], scene->ring[1],
					scene->member, &scene->sender) &&
			   !pinion_channel_open(scene->joined, scene->ring[1], scene->ring[0], 0,
						&scene->channel), "a channel");
	send_new(scene);
}

static int receive(struct scene *scene)
{
	struct pinion_desc desc;
	int got = pinion_channel_recv(scene->channel, &desc, 1);

	if (got == 1)
		scene->buffer = desc.buffer;
	return got == 1 ? 0 : got;
}

static const char *received_works(struct scene *scene)
{
	memset(pinion_buffer_addr(scene->joined, scene->buffer), 0x5a, 1024);
	return NULL;
}

static void receive_undo(struct scene *scene)
{
	struct pinion_segment_stat stat;
	struct pinion_cache *cache;

	large_cache(scene->joined, &cache);
	scene_must(!pinion_buffer_free(cache, scene->buffer), "the large buffer back");
	scene_must(!pinion_cache_close(cache), "no cache");
	retire_must(scene);
	scene_must(pinion_pool_segment(scene->joined, scene->slot, &stat) == -ENOENT,
		   "a look at what went");
	send_new(scene);
}

static void message_teardown(struct scene *scene)
{
	scene_must(!pinion_channel_close(scene->sender) && !pinion_channel_close(scene->channel),
		   "no channel");
	for (int i = 0; i < 2; i++)
		(void)close(scene->ring[i]);
	leave(scene);
	scene_pool_close(scene);
}

/* Many at once: more than the loaded magazine has. */

static void bulk_setup(struct scene *scene)
{
	scene_pool_open(scene);
	scene_cache_open(scene, scene->pool);
}

#define BULK 20

static struct pinion_buffer bulk[BULK];

static int bulk_alloc(struct scene *scene)
{
	int got = pinion_buffer_alloc_bulk(scene->cache, bulk, BULK);

	return got == BULK ? 0 : got;
}

static void bulk_undo(struct scene *scene)
{
	scene_must(pinion_buffer_free_bulk(scene->cache, bulk, BULK) == BULK, "buffers back");
	scene_must(!pinion_cache_flush(scene->cache), "an empty cache");
}

static void bulk_teardown(struct scene *scene)
{
	scene_cache_close(scene);
	scene_pool_close(scene);
}

/*
 * Populating by workers. As many bytes as that takes are these few, populated again and again:
 * what matters here is not the pages. One processor, and so one worker: the number of threads
 * that ever were at once decides how many of their blocks stay on the heap.
 */

#define JOB_LEN (2 * SCENE_HUGE)

static cpu_set_t cpus_before;

static void workers_setup(struct scene *scene)
{
	static struct pinion_hostmem memory;
	cpu_set_t one;

	scene_must(!pinion_hostmem_create("fault", JOB_LEN, SCENE_HUGE, &memory), "two hugepages");
	scene_must(!pinion_hostmem_populate(&memory, 0, JOB_LEN), "all of its pages");
	scene->block = &memory;
	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	scene_must(!sched_getaffinity(0, sizeof(cpus_before), &cpus_before) &&
			   !sched_setaffinity(0, sizeof(one), &one), "one processor");
}

/* The sentence is made by the caller, segment.c. */
static int populate(struct scene *scene)
{
	KEEP_ERRNO;
	static const struct populate_progress silent;
	struct populate_job job[POPULATE_ALONE / JOB_LEN];
	uint32_t failed, nr = sizeof(job) / sizeof(*job);

	for (uint32_t i = 0; i < nr; i++)
		job[i] = (struct populate_job){scene->block, -1};
	return populate_jobs(job, nr, &silent, &failed);
}

static void workers_teardown(struct scene *scene)
{
	scene_must(!sched_setaffinity(0, sizeof(cpus_before), &cpus_before), "all processors");
	scene_must(!pinion_hostmem_destroy(scene->block), "no memory");
}

const struct operation segment_operations[] = {
	{.name = "pool grow", .setup = growing_setup, .run = grow, .use = pool_works,
	 .undo = retire_must, .teardown = scene_pool_close},
	{.name = "pool retire", .setup = retiring_setup, .run = retire, .use = pool_works,
	 .undo = grow_must, .teardown = scene_pool_close},
	{.name = "pool grow, hugepages", .setup = growing_huge_setup, .run = grow_huge,
	 .use = pool_works, .undo = retire_must, .teardown = scene_pool_close, .huge = 5},
	{.name = "pool retire, hugepages", .setup = retiring_huge_setup, .run = retire,
	 .use = pool_works, .undo = grow_huge_must, .teardown = scene_pool_close, .huge = 5},
	{.name = "pool extend", .setup = extend_setup, .run = extend, .use = extended_works,
	 .undo = extend_undo, .teardown = extend_teardown},
	{.name = "cache alloc, beside a new segment", .setup = meeting_setup, .run = alloc,
	 .use = both_have_buffers, .undo = meeting_undo, .teardown = meeting_teardown,
	 .terse = true, .keeps = true},
	{.name = "cache alloc, from a new segment", .setup = waiting_setup, .run = alloc,
	 .use = both_have_buffers, .undo = meeting_undo, .teardown = meeting_teardown,
	 .terse = true, .keeps = true},
	{.name = "channel recv, from a new segment", .setup = message_setup, .run = receive,
	 .use = received_works, .undo = receive_undo, .teardown = message_teardown,
	 .terse = true, .keeps = true},
	{.name = "cache alloc, many at once", .setup = bulk_setup, .run = bulk_alloc,
	 .undo = bulk_undo, .teardown = bulk_teardown, .terse = true},
	{.name = "populate, by a worker", .setup = workers_setup, .run = populate,
	 .teardown = workers_teardown, .terse = true, .huge = 2},
	{0},
};
