/* SPDX-License-Identifier: BSD-3-Clause */
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"

/*
 * channel.h, request.h, rendezvous.h and session.h. The other end is a process of its own where a
 * real one has to answer: keeper.h.
 */

#define SLOTS 16
#define SECOND_NS UINT64_C(1000000000)

/* Rings and channels. */

static int ring_create(struct scene *scene)
{
	return pinion_ring_create(SLOTS, &scene->ring[0]);
}

static void ring_close(struct scene *scene)
{
	scene_must(!close(scene->ring[0]), "no ring");
}

static void rings_open(struct scene *scene)
{
	for (int i = 0; i < 2; i++)
		scene_must(!pinion_ring_create(SLOTS, &scene->ring[i]), "a ring");
}

static void rings_close(struct scene *scene)
{
	(void)close(scene->ring[0]);
	(void)close(scene->ring[1]);
}

/* Member 0 talks to itself through one ring: both ends open it. */
static int channel_open(struct scene *scene)
{
	return pinion_channel_open(scene->pool, scene->ring[0], scene->ring[1], 0,
				   &scene->channel);
}

static const char *say(struct pinion_channel *from, struct pinion_channel *to,
		       struct pinion_cache *cache)
{
	struct pinion_desc desc = {.len = 1};

	if (pinion_buffer_alloc(cache, &desc.buffer))
		return "there is no buffer to send";
	if (pinion_channel_send(from, &desc, 1) != 1)
		return "the channel does not send";
	if (pinion_channel_wait(to, SECOND_NS) || pinion_channel_recv(to, &desc, 1) != 1)
		return "nothing comes out of the channel";
	return pinion_buffer_free(cache, desc.buffer) ? "what came cannot be freed" : NULL;
}

static struct pinion_cache *cache_of(struct pinion_pool *pool)
{
	const struct pinion_cache_config config = {.buffer_size = 256, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;

	scene_must(!pinion_cache_open(pool, &config, &cache), "a cache");
	return cache;
}

static const char *ring_works(struct scene *scene)
{
	const char *problem = NULL;
	struct pinion_cache *cache;

	scene->ring[1] = scene->ring[0];
	if (channel_open(scene))
		return "the ring cannot be opened";
	cache = cache_of(scene->pool);
	problem = say(scene->channel, scene->channel, cache);
	scene_must(!pinion_cache_close(cache), "no cache");
	scene_must(!pinion_channel_close(scene->channel), "no channel");
	return problem;
}

static const char *channel_works(struct scene *scene)
{
	struct pinion_cache *cache = cache_of(scene->pool);
	struct pinion_channel *end;
	const char *problem;

	scene_must(!pinion_channel_open(scene->pool, scene->ring[1], scene->ring[0], 0, &end),
		   "the other end");
	problem = say(scene->channel, end, cache);
	if (!problem)
		problem = say(end, scene->channel, cache);
	scene_must(!pinion_channel_close(end), "no other end");
	scene_must(!pinion_cache_close(cache), "no cache");
	return problem;
}

static int channel_close(struct scene *scene)
{
	int err = pinion_channel_close(scene->channel);

	scene->channel = NULL;
	return err;
}

/* A ring that was closed once stays so: new ones. */
static void channel_undo(struct scene *scene)
{
	if (scene->channel)
		scene_must(!channel_close(scene), "no channel");
	rings_close(scene);
	rings_open(scene);
}

static void channel_setup(struct scene *scene)
{
	scene_pool_open(scene);
	rings_open(scene);
}

static void channel_teardown(struct scene *scene)
{
	rings_close(scene);
	scene_pool_close(scene);
}

static void open_channel_must(struct scene *scene)
{
	scene_must(!channel_open(scene), "a channel");
}

static void closing_setup(struct scene *scene)
{
	channel_setup(scene);
	open_channel_must(scene);
}

static void closing_undo(struct scene *scene)
{
	channel_undo(scene);
	open_channel_must(scene);
}

static void closing_teardown(struct scene *scene)
{
	if (scene->channel)
		scene_must(!channel_close(scene), "no channel");
	channel_teardown(scene);
}

/* The keeper's side. */

static void rendezvous_setup(struct scene *scene)
{
	scene_dir_open(scene);
	scene_pool_open(scene);
}

static int rendezvous_open(struct scene *scene)
{
	const struct pinion_rendezvous_config config = {.slots = SLOTS};

	return pinion_rendezvous_open(scene->pool, scene->path, &config, &scene->rendezvous);
}

static int rendezvous_close(struct scene *scene)
{
	int err = pinion_rendezvous_close(scene->rendezvous);

	scene->rendezvous = NULL;
	return err;
}

static void open_rendezvous_must(struct scene *scene)
{
	scene_must(!rendezvous_open(scene), "a rendezvous");
}

static void rendezvous_undo(struct scene *scene)
{
	scene_must(!rendezvous_close(scene), "no rendezvous");
}

static void rendezvous_teardown(struct scene *scene)
{
	if (scene->rendezvous)
		rendezvous_undo(scene);
	scene_pool_close(scene);
	scene_dir_close(scene);
}

static void listening_setup(struct scene *scene)
{
	rendezvous_setup(scene);
	open_rendezvous_must(scene);
}

/* The next event, within a second. */
static bool event_of(const struct scene *scene, enum pinion_event_kind kind,
		     struct pinion_event *event)
{
	struct pollfd want = {.fd = pinion_rendezvous_fd(scene->rendezvous), .events = POLLIN};

	while (poll(&want, 1, 1000) == 1) {
		int got = pinion_rendezvous_next(scene->rendezvous, event);

		if (got)
			return got == 1 && event->kind == kind;
	}
	return false;
}

static void visit(const struct scene *scene)
{
	struct pinion_session *session;

	if (!pinion_session_open(scene->path, &session))
		(void)pinion_session_close(session);
}

static const char *rendezvous_works(struct scene *scene)
{
	struct pinion_cache *cache = cache_of(scene->pool);
	const char *problem = NULL;
	struct pinion_event event;

	scene_other_start(scene, visit);
	if (!event_of(scene, PINION_EVENT_JOINED, &event))
		problem = "nobody can join";
	else if (!event_of(scene, PINION_EVENT_LEFT, &event))
		problem = "who joined cannot leave";
	else if (pinion_rendezvous_bury(scene->rendezvous, event.member, cache, NULL))
		problem = "who left cannot be buried";
	scene_other_stop(scene);
	scene_must(!pinion_cache_close(cache), "no cache");
	return problem;
}

/* The member's side. */

static int session_open(struct scene *scene)
{
	return pinion_session_open(scene->path, &scene->session);
}

static const char *session_works(struct scene *scene)
{
	struct pinion_channel *channel = pinion_session_channel(scene->session);
	struct pinion_cache *cache = cache_of(pinion_session_pool(scene->session));
	const char *problem = say(channel, channel, cache);

	scene_must(!pinion_cache_close(cache), "no cache");
	return problem;
}

static int session_close(struct scene *scene)
{
	int err = pinion_session_close(scene->session);

	scene->session = NULL;
	return err;
}

static void session_undo(struct scene *scene)
{
	scene_must(!session_close(scene), "no session");
}

static void open_session_must(struct scene *scene)
{
	scene_must(!session_open(scene), "a session");
}

static void leaving_setup(struct scene *scene)
{
	keeper_start(scene);
	open_session_must(scene);
}

static void leaving_teardown(struct scene *scene)
{
	if (scene->session)
		session_undo(scene);
	keeper_stop(scene);
}

/* A session whose cache has nothing left, and a segment whose file waits in the socket. */

static void waiting_setup(struct scene *scene)
{
	leaving_setup(scene);
	scene_cache_open(scene, pinion_session_pool(scene->session));
	scene_take_all(scene);
	scene_must(keeper_ask(scene, KEEPER_GROW, &scene->held[0]), "one more segment");
}

static int alloc(struct scene *scene)
{
	return pinion_buffer_alloc(scene->cache, &scene->buffer);
}

static const char *buffer_works(struct scene *scene)
{
	memset(pinion_buffer_addr(pinion_session_pool(scene->session), scene->buffer), 0x5a, 256);
	return keeper_ask(scene, KEEPER_ECHO, &scene->buffer)
		       ? NULL : "a buffer of the new segment cannot be sent";
}

/* The segment goes, which the cache notices, and another comes, which it does not. */
static void waiting_undo(struct scene *scene)
{
	scene_must(!pinion_buffer_free(scene->cache, scene->buffer), "the buffer back");
	scene_must(!pinion_cache_flush(scene->cache), "an empty cache");
	scene_must(keeper_ask(scene, KEEPER_RETIRE, &scene->held[0]), "one segment less");
	scene_must(!pinion_cache_flush(scene->cache), "a look at what went");
	scene_must(keeper_ask(scene, KEEPER_GROW, &scene->held[0]), "one more segment");
}

static void waiting_teardown(struct scene *scene)
{
	scene_give_all(scene);
	scene_cache_close(scene);
	leaving_teardown(scene);
}

/* Requests: member 0 asks itself, over one ring that it has both ends of. */

static void asking_setup(struct scene *scene)
{
	scene_pool_open(scene);
	scene_must(!pinion_ring_create(SLOTS, &scene->ring[0]), "a ring");
	scene->ring[1] = scene->ring[0];
	scene_must(!channel_open(scene), "a channel");
}

static void asking_teardown(struct scene *scene)
{
	scene_must(!channel_close(scene), "no channel");
	(void)close(scene->ring[0]);
	scene_pool_close(scene);
}

static int requester_open(struct scene *scene)
{
	return pinion_requester_open(scene->channel, SLOTS / 4, SLOTS / 4, &scene->requester);
}

static const char *requester_works(struct scene *scene)
{
	struct pinion_cache *cache = cache_of(scene->pool);
	struct pinion_desc desc = {.len = 1};
	void *context = &desc, *came = NULL;
	const char *problem = NULL;

	if (pinion_buffer_alloc(cache, &desc.buffer) ||
	    pinion_request_send(scene->requester, &desc, &context, 1) != 1 ||
	    pinion_request_recv(scene->requester, &desc, &came, 1) != 1 || came ||
	    pinion_request_answer(scene->requester, &desc, 1) != 1 ||
	    pinion_request_recv(scene->requester, &desc, &came, 1) != 1 || came != context)
		problem = "a request is not answered";
	else if (pinion_buffer_free(cache, desc.buffer))
		problem = "what came cannot be freed";
	scene_must(!pinion_cache_close(cache), "no cache");
	return problem;
}

static void requester_undo(struct scene *scene)
{
	scene_must(!pinion_requester_close(scene->requester), "no requester");
}

const struct operation ipc_operations[] = {
	{.name = "ring create", .setup = scene_pool_open, .run = ring_create, .use = ring_works,
	 .undo = ring_close, .teardown = scene_pool_close},
	{.name = "channel open", .setup = channel_setup, .run = channel_open,
	 .use = channel_works, .undo = channel_undo, .teardown = channel_teardown},
	{.name = "channel close", .setup = closing_setup, .run = channel_close,
	 .undo = closing_undo, .teardown = closing_teardown, .final = true},
	{.name = "requester open", .setup = asking_setup, .run = requester_open,
	 .use = requester_works, .undo = requester_undo, .teardown = asking_teardown},
	{.name = "rendezvous open", .setup = rendezvous_setup, .run = rendezvous_open,
	 .use = rendezvous_works, .undo = rendezvous_undo, .teardown = rendezvous_teardown},
	{.name = "rendezvous close", .setup = listening_setup, .run = rendezvous_close,
	 .undo = open_rendezvous_must, .teardown = rendezvous_teardown, .final = true},
	{.name = "session open", .setup = keeper_start, .run = session_open,
	 .use = session_works, .undo = session_undo, .teardown = keeper_stop},
	{.name = "session close", .setup = leaving_setup, .run = session_close,
	 .undo = open_session_must, .teardown = leaving_teardown, .final = true},
	{.name = "session, a segment's file", .setup = waiting_setup, .run = alloc,
	 .use = buffer_works, .undo = waiting_undo, .teardown = waiting_teardown, .terse = true,
	 .keeps = true},
	{0},
};
