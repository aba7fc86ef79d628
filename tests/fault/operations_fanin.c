/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pinion/wait.h>
#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#include "scene.h"

/* fanin.h. Member 0 talks to itself through one ring: it has both ends of the channel. */

#define SLOTS 16
#define SECOND_NS UINT64_C(1000000000)
#define SHORTLY_NS UINT64_C(1000000)
#define BUSY 256  /* looks that find something, after which the producer leaves its fences out */
#define TIRED 256 /* that find nothing, after which a lane is cold */

static void channel_make(struct scene *scene)
{
	int ring;

	scene_must(!pinion_ring_create(SLOTS, &ring), "a ring");
	scene_must(!pinion_channel_open(scene->pool, ring, ring, 0, &scene->channel), "a channel");
	(void)close(ring);
}

static void channel_close(struct scene *scene)
{
	scene_must(!pinion_channel_close(scene->channel), "no channel");
}

static void channel_setup(struct scene *scene)
{
	scene_pool_open(scene);
	scene_cache_open(scene, scene->pool);
	scene_must(!pinion_buffer_alloc(scene->cache, &scene->buffer), "a buffer");
	channel_make(scene);
}

static void channel_teardown(struct scene *scene)
{
	channel_close(scene);
	scene_must(!pinion_buffer_free(scene->cache, scene->buffer), "the buffer back");
	scene_cache_close(scene);
	scene_pool_close(scene);
}

static int create(struct scene *scene)
{
	return pinion_fanin_create(&scene->fanin);
}

static void add(struct scene *scene)
{
	scene_must(!pinion_fanin_add(scene->fanin, scene->channel, 1, &scene->lane), "a lane");
}

static void drop(struct scene *scene)
{
	scene_must(!pinion_fanin_remove(scene->fanin, scene->channel), "no lane");
}

static int destroy(struct scene *scene)
{
	struct pinion_fanin *fanin = scene->fanin;

	scene->fanin = NULL;
	return pinion_fanin_destroy(fanin);
}

static void destroy_must(struct scene *scene)
{
	scene_must(!scene->fanin || !destroy(scene), "no fan-in");
}

static int join(struct scene *scene)
{
	return pinion_channel_join(scene->channel, pinion_fanin_fd(scene->fanin), scene->lane);
}

static void added_setup(struct scene *scene)
{
	channel_setup(scene);
	scene_must(!create(scene), "a fan-in");
	add(scene);
}

static void added_teardown(struct scene *scene)
{
	destroy_must(scene);
	channel_teardown(scene);
}

static void added_renew(struct scene *scene)
{
	scene_must(!create(scene), "a fan-in");
	add(scene);
}

static void joined_setup(struct scene *scene)
{
	added_setup(scene);
	scene_must(!join(scene), "a producer that tells");
}

/* One that joined stays so. */
static void joining_undo(struct scene *scene)
{
	drop(scene);
	channel_close(scene);
	channel_make(scene);
	add(scene);
}

/* The buffer is there and back. */

static bool send_one(struct scene *scene)
{
	const struct pinion_desc desc = {.buffer = scene->buffer, .len = 1};

	return pinion_channel_send(scene->channel, &desc, 1) == 1;
}

static int recv_one(struct scene *scene)
{
	struct pinion_channel *channel;
	struct pinion_desc desc;
	int got = pinion_fanin_recv(scene->fanin, &channel, &desc, 1);

	if (got == 1)
		scene->buffer = desc.buffer;
	return got;
}

static const char *fanin_wakes(struct scene *scene)
{
	if (!send_one(scene))
		return "nothing can be sent";
	if (pinion_fanin_wait(scene->fanin, SECOND_NS) || recv_one(scene) != 1)
		return "what was sent is not waited for";
	return NULL;
}

static const char *fanin_works(struct scene *scene)
{
	const char *problem;

	add(scene);
	problem = fanin_wakes(scene);
	drop(scene);
	return problem;
}

/* A cold lane is told of, too: nobody looks there for 100 ms. */
static const char *join_works(struct scene *scene)
{
	scene_must(pinion_fanin_wait(scene->fanin, SHORTLY_NS) == -ETIMEDOUT, "a cold lane");
	return fanin_wakes(scene);
}

static int wait_shortly(struct scene *scene)
{
	return operation_unless(pinion_fanin_wait(scene->fanin, SHORTLY_NS), -ETIMEDOUT);
}

/* Up to a look that makes something of it. */

static void find_something(struct scene *scene, int looks)
{
	while (looks--)
		scene_must(send_one(scene) && recv_one(scene) == 1, "a busy lane");
}

static void find_nothing(struct scene *scene, int looks)
{
	while (looks--)
		scene_must(recv_one(scene) == -EAGAIN, "an empty lane");
}

static void relax(struct scene *scene)
{
	find_something(scene, BUSY);
}

static void relaxed_setup(struct scene *scene)
{
	joined_setup(scene);
	relax(scene);
}

static void almost_setup(struct scene *scene)
{
	joined_setup(scene);
	find_something(scene, BUSY - 1);
}

static void almost_undo(struct scene *scene)
{
	joining_undo(scene);
	scene_must(!join(scene), "a producer that tells");
	find_something(scene, BUSY - 1);
}

static int echo(struct scene *scene)
{
	scene_must(send_one(scene), "a message");
	return operation_unless(recv_one(scene), 1);
}

static void tired_setup(struct scene *scene)
{
	relaxed_setup(scene);
	find_nothing(scene, TIRED - 1);
}

static void tired_undo(struct scene *scene)
{
	relax(scene);
	find_nothing(scene, TIRED - 1);
}

static int recv_nothing(struct scene *scene)
{
	return operation_unless(recv_one(scene), -EAGAIN);
}

/* In a loop. */

static int loop_fd(struct scene *scene)
{
	int fd = pinion_fanin_loop_fd(scene->fanin);

	return fd < 0 ? fd : 0;
}

static void notify(struct scene *scene)
{
	scene_must(!pinion_channel_set_notify(scene->channel, pinion_fanin_notify_fd(scene->fanin)),
		   "a producer that tells the loop");
}

static bool is_told(struct scene *scene)
{
	struct pollfd want = {.fd = pinion_fanin_loop_fd(scene->fanin), .events = POLLIN};

	return poll(&want, 1, 0) == 1;
}

/* With a bit to take the loop comes back once; and once more if we were held up until its timer was
 * over. */
static bool sleeps(struct scene *scene)
{
	for (int i = 0; i < 10; i++) {
		if (pinion_fanin_prepare(scene->fanin))
			return false;
		if (i && !is_told(scene))
			return true;
	}
	return false;
}

static const char *loop_wakes(struct scene *scene)
{
	if (!sleeps(scene))
		return "the loop cannot be prepared for";
	if (!send_one(scene) || !is_told(scene))
		return "the loop is not told";
	if (pinion_fanin_done(scene->fanin) || recv_one(scene) != 1)
		return "the loop gets nothing";
	return NULL;
}

static const char *loop_works(struct scene *scene)
{
	notify(scene);
	return loop_wakes(scene);
}

static void looped_setup(struct scene *scene)
{
	joined_setup(scene);
	notify(scene);
}

static void fanin_renew(struct scene *scene)
{
	drop(scene);
	destroy_must(scene);
	channel_close(scene);
	channel_make(scene);
	added_renew(scene);
	scene_must(!join(scene), "a producer that tells");
}

static void looped_renew(struct scene *scene)
{
	fanin_renew(scene);
	notify(scene);
}

static int prepare(struct scene *scene)
{
	return pinion_fanin_prepare(scene->fanin);
}

static void told_setup(struct scene *scene)
{
	looped_setup(scene);
	scene_must(sleeps(scene) && send_one(scene), "a loop that is told");
}

static void told_undo(struct scene *scene)
{
	looped_renew(scene);
	scene_must(sleeps(scene) && send_one(scene), "a loop that is told");
}

static int done(struct scene *scene)
{
	return pinion_fanin_done(scene->fanin);
}

/* A byte that could not be taken makes the descriptor readable for nothing, no more. */
static const char *done_works(struct scene *scene)
{
	if (recv_one(scene) != 1 || pinion_fanin_done(scene->fanin))
		return "what came is lost";
	return loop_wakes(scene);
}

const struct operation fanin_operations[] = {
	{.name = "fan-in create", .setup = channel_setup, .run = create, .use = fanin_works,
	 .undo = destroy_must, .teardown = channel_teardown},
	{.name = "fan-in destroy", .setup = added_setup, .run = destroy, .undo = added_renew,
	 .teardown = added_teardown, .final = true},
	{.name = "channel join", .setup = added_setup, .run = join, .use = join_works,
	 .undo = joining_undo, .teardown = added_teardown},
	{.name = "fan-in wait", .setup = joined_setup, .run = wait_shortly, .use = fanin_wakes,
	 .teardown = added_teardown, .terse = true},
	{.name = "fan-in wait, without fences", .setup = relaxed_setup, .run = wait_shortly,
	 .use = fanin_wakes, .undo = relax, .teardown = added_teardown, .terse = true},
	{.name = "fan-in recv, off the fences", .setup = almost_setup, .run = echo,
	 .use = fanin_wakes, .undo = almost_undo, .teardown = added_teardown, .terse = true},
	{.name = "fan-in recv, a lane cools", .setup = tired_setup, .run = recv_nothing,
	 .use = fanin_wakes, .undo = tired_undo, .teardown = added_teardown, .terse = true},
	{.name = "fan-in loop fd", .setup = joined_setup, .run = loop_fd, .use = loop_works,
	 .undo = fanin_renew, .teardown = added_teardown},
	{.name = "fan-in prepare", .setup = looped_setup, .run = prepare, .use = loop_wakes,
	 .undo = looped_renew, .teardown = added_teardown, .terse = true},
	{.name = "fan-in done", .setup = told_setup, .run = done, .use = done_works,
	 .undo = told_undo, .teardown = added_teardown, .terse = true},
	{0},
};
