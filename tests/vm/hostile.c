/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile WHERE KIND: joins nvme-serve as any producer does, then sends one descriptor that it may
 * not send, and says how long its channel lived after that. WHERE is nvme-serve's socket, a path,
 * or what piniond knows the drive as, nvme:BDF.
 *
 *     id       an id that no buffer has
 *     unheld   a buffer that it gave away before
 *     length   its own buffer, with more bytes than it has
 *     tag      a request that does not exist (an identify with an LBA)
 *
 * The library refuses to send the first three, so they are written into the ring itself: it is
 * memory that every producer can write.
 *
 * Exit status: 0 the channel was closed; 1 it still works; 3 could not even begin.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/cache.h>
#include <pinion/client.h>
#include <pinion/error.h>
#include <pinion/session.h>

#include "nvme_wire.h"
#include "ring.h"

#define PATIENCE_S 10
#define CANNOT 3

static struct pinion_session *session;
static struct pinion_client *client;
static struct pinion_pool *pool;
static struct pinion_channel *channel;
static struct pinion_cache *cache;

static struct pinion_buffer new_buffer(void)
{
	struct pinion_buffer buffer;

	if (pinion_buffer_alloc(cache, &buffer))
		errx(CANNOT, "no buffer");
	return buffer;
}

/* The next completion, or the channel's error. */
static int next(struct pinion_desc *desc)
{
	int got = pinion_channel_recv(channel, desc, 1);

	for (int s = 0; got == -EAGAIN && s < PATIENCE_S; ++s) {
		(void)pinion_channel_wait(channel, UINT64_C(1000000000));
		got = pinion_channel_recv(channel, desc, 1);
	}
	return got;
}

static void send_or_fail(const struct pinion_desc *desc)
{
	int sent = pinion_channel_send(channel, desc, 1);

	if (sent != 1)
		errx(CANNOT, "send: %s", strerror(-sent));
}

/* Behave once. It also leaves a mark in slot 0, by which our ring is known from the other. */
static struct pinion_buffer identify(void)
{
	struct pinion_desc desc = {
		.buffer = new_buffer(),
		.tag = nvme_wire_tag(NVME_WIRE_IDENTIFY, 0),
	};

	send_or_fail(&desc);
	if (next(&desc) != 1 || desc.tag)
		errx(CANNOT, "identify failed");
	return desc.buffer;
}

/* The ring towards the device process: the mapping whose first slot has our identify. */
static struct ring_shared *find_ring(void)
{
	const uint64_t mark = (uint64_t)nvme_wire_tag(NVME_WIRE_IDENTIFY, 0) << 32;
	FILE *maps = fopen("/proc/self/maps", "r");
	struct ring_shared *found = NULL;
	char line[512];

	while (maps && !found && fgets(line, sizeof(line), maps)) {
		struct ring_shared *ring = NULL;

		if (strstr(line, "memfd:pinion-ring"))
			ring = (struct ring_shared *)(uintptr_t)strtoull(line, NULL, 16);
		if (ring && ring->magic == RING_MAGIC &&
		    (atomic_load(&ring->slot[0].body) & ~PINION_SLOT_BODY_LAP) == mark)
			found = ring;
	}
	if (maps)
		fclose(maps);
	if (!found)
		errx(CANNOT, "our own ring is not among the mappings");
	return found;
}

/* Position 1, in the first lap. */
static void forge(const struct pinion_desc *desc)
{
	const struct pinion_lap lap = {PINION_SLOT_HEAD_LAP, PINION_SLOT_BODY_LAP};

	pinion_slot_store(&find_ring()->slot[1], desc, lap);
}

static void misbehave(const char *kind, struct pinion_buffer given_away)
{
	struct pinion_desc desc = {
		.buffer = new_buffer(),
		.len = 4096,
		.tag = nvme_wire_tag(NVME_WIRE_WRITE, 0),
	};

	if (!strcmp(kind, "tag")) {
		desc.len = 0;
		desc.tag = nvme_wire_tag(NVME_WIRE_IDENTIFY, 1);
		send_or_fail(&desc);
		return;
	}
	if (!strcmp(kind, "id"))
		desc.buffer = pinion_buffer_make(PINION_ID_MAX, 1);
	else if (!strcmp(kind, "unheld"))
		desc.buffer = given_away;
	else if (!strcmp(kind, "length"))
		desc.len = (uint32_t)pinion_buffer_size(pool, desc.buffer) + 1;
	else
		errx(CANNOT, "%s: id, unheld, length or tag", kind);
	forge(&desc);
}

static int watch_the_end(void)
{
	struct pinion_desc desc;
	int got = next(&desc);

	if (got == -EPIPE || got == -EPROTO) {
		printf("hostile: the channel was closed\n");
		return 0;
	}
	printf("hostile: the channel still works: %s\n", got < 0 ? strerror(-got) : "an answer");
	return 1;
}

static int join(const char *where)
{
	int err = strchr(where, '/') ? pinion_session_open(where, &session)
				     : pinion_client_open(where, NULL, &client);

	if (err)
		return err;
	pool = session ? pinion_session_pool(session) : pinion_client_pool(client);
	channel = session ? pinion_session_channel(session) : pinion_client_channel(client);
	return 0;
}

static void leave(void)
{
	pinion_cache_close(cache);
	if (session)
		pinion_session_close(session);
	if (client)
		pinion_client_close(client);
}

int main(int argc, char **argv)
{
	const struct pinion_cache_config config = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	int status;

	if (argc != 3)
		errx(CANNOT, "usage: hostile SOCKET|DEVICE id|unheld|length|tag");
	if (join(argv[1]))
		errx(CANNOT, "%s", pinion_error_text());
	if (pinion_cache_open(pool, &config, &cache))
		errx(CANNOT, "%s", pinion_error_text());
	buffer = identify();
	if (pinion_buffer_free(cache, buffer))
		errx(CANNOT, "its own buffer cannot be freed");
	misbehave(argv[2], buffer);
	status = watch_the_end();
	leave();
	return status;
}
