/* SPDX-License-Identifier: BSD-3-Clause */
#include "keeper.h"

#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <pinion/fanin.h>

#define SECOND_NS UINT64_C(1000000000)

/* As the first segment of scene_config(), and twice as long. */
static const struct pinion_segment_config more = {
	.len = 16384, .buffer_size = 256, .page_size = 4096, .node = PINION_NODE_ANY};

static bool fulfil(struct scene *own, uint32_t wish)
{
	if (wish == KEEPER_GROW)
		return !pinion_pool_grow(own->pool, &more, &own->slot);
	if (wish == KEEPER_RETIRE)
		return !pinion_pool_retire(own->pool, own->slot);
	return true;
}

static void serve(struct scene *own, struct pinion_channel *channel)
{
	struct pinion_desc desc;

	while (pinion_channel_recv(channel, &desc, 1) == 1) {
		desc.tag = fulfil(own, desc.tag) ? KEEPER_DONE : KEEPER_FAILED;
		if (pinion_channel_send(channel, &desc, 1) != 1)
			return;
	}
}

/* One member beside the keeper, and one slot more than segments: what is lost is missed. It has a
 * fan-in for the sake of who joins, and receives from the one channel itself. */
static void open_pool(struct scene *own)
{
	struct pinion_rendezvous_config slots = {.slots = 16};
	struct pinion_pool_config config = scene_config();

	config.nr_caches = 2;
	config.max_segments = config.nr_segments + 1;
	scene_must(!pinion_pool_create(&config, &own->pool), "a pool");
	scene_cache_open(own, own->pool);
	scene_must(!pinion_fanin_create(&slots.fanin), "a fan-in");
	scene_must(!pinion_rendezvous_open(own->pool, own->path, &slots, &own->rendezvous),
		   "a rendezvous");
}

/* For ever: it is killed. */
static void keep(const struct scene *scene)
{
	struct scene own = *scene;
	struct pinion_channel *channel = NULL;

	open_pool(&own);
	for (;;) {
		struct pollfd want = {pinion_rendezvous_fd(own.rendezvous), POLLIN, 0};
		struct pinion_event event;

		(void)poll(&want, 1, channel ? 1 : 1000);
		if (pinion_rendezvous_next(own.rendezvous, &event) == 1) {
			channel = event.kind == PINION_EVENT_JOINED ? event.channel : NULL;
			if (event.kind == PINION_EVENT_LEFT)
				scene_must(!pinion_rendezvous_bury(own.rendezvous, event.member,
								   own.cache, NULL), "a burial");
		}
		if (channel)
			serve(&own, channel);
	}
}

/* Somebody listens there, within some seconds. */
static bool answers(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timespec ms = {.tv_nsec = 1000000};
	bool there = false;

	memcpy(address.sun_path, path, strlen(path));
	for (int i = 0; !there && i < 10000; i++) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		there = !connect(fd, (struct sockaddr *)&address, sizeof(address));
		(void)close(fd);
		if (!there)
			(void)nanosleep(&ms, NULL);
	}
	return there;
}

void keeper_start(struct scene *scene)
{
	scene_dir_open(scene);
	scene_other_start(scene, keep);
	scene_must(answers(scene->path), "a keeper");
}

void keeper_stop(struct scene *scene)
{
	scene_other_stop(scene);
	scene_dir_close(scene);
}

bool keeper_ask(const struct scene *scene, enum keeper_wish wish, struct pinion_buffer *buffer)
{
	struct pinion_channel *channel = pinion_session_channel(scene->session);
	struct pinion_desc desc = {.buffer = *buffer, .len = 1, .tag = wish};

	if (pinion_channel_send(channel, &desc, 1) != 1 ||
	    pinion_channel_wait(channel, 10 * SECOND_NS) ||
	    pinion_channel_recv(channel, &desc, 1) != 1)
		return false;
	*buffer = desc.buffer;
	return desc.tag == KEEPER_DONE;
}
