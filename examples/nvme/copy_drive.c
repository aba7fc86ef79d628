/* SPDX-License-Identifier: BSD-3-Clause */
#include "copy.h"

#include <errno.h>
#include <string.h>

#include <pinion/error.h>

#include "nvme_fail.h"
#include "nvme_status.h"

/* The device process answers in microseconds, drives in milliseconds: after this it is stuck. */
#define PATIENCE_S 60

static enum copy_status left(uint32_t under_way)
{
	nvme_say("the device process left with %u requests under way: they are settled, and may be "
		 "done or not; run this again when it is back", under_way);
	return COPY_LEFT;
}

static enum copy_status lost(struct copy *copy, int err)
{
	const char *why = "it does not answer";
	uint32_t under_way = copy->nr_busy;

	if (err == -EPIPE && copy_settle(copy))
		return left(under_way);
	if (err == -EPIPE)
		why = "it ended, or closed this channel";
	else if (err != -ETIMEDOUT)
		why = strerror(-err);
	nvme_say("the device process at %s: %s", copy_peer_name(copy), why);
	return COPY_LOST;
}

static enum copy_status open_cache(struct copy *copy, size_t buffer_size, int node)
{
	const struct pinion_cache_config config = {.buffer_size = buffer_size, .node = node};

	if (!pinion_cache_open(copy->pool, &config, &copy->cache))
		return COPY_DONE;
	nvme_say("%s", pinion_error_text());
	return COPY_LOST;
}

/* The largest buffers on the drive's node, or, when it has none there, the largest of all. */
static void choose_zone(struct copy *copy)
{
	const struct pinion_pool *pool = copy->pool;
	struct pinion_zone_stat stat;
	int best = -1;

	for (uint32_t i = 0; !pinion_pool_stat(pool, i, &stat); ++i) {
		bool local = copy->info.node < 0 || stat.node == copy->info.node;
		bool better = (int)local > best ||
			      ((int)local == best && stat.buffer_size > copy->zone.buffer_size);

		if (better) {
			copy->zone = stat;
			best = local;
		}
	}
	if (!best)
		nvme_say("no buffers on the drive's node %d: using node %d", copy->info.node,
			 copy->zone.node);
}

/* Whole blocks, as many as one buffer, and one command of the drive's, can have. */
static enum copy_status choose_chunk(struct copy *copy)
{
	uint64_t chunk = copy->zone.buffer_size;

	if (chunk > copy->info.max_transfer)
		chunk = copy->info.max_transfer;
	if (copy->info.block_size)
		copy->chunk = (uint32_t)(chunk - chunk % copy->info.block_size);
	if (copy->chunk)
		return COPY_DONE;
	nvme_say("buffers of %zu bytes hold no block of %u bytes", copy->zone.buffer_size,
		 copy->info.block_size);
	return COPY_REFUSED;
}

/* The answer lies in the buffer, and the buffer is ours alone again: one copy, then checked. */
static enum copy_status read_info(struct copy *copy, const struct pinion_desc *desc)
{
	const struct pinion_pool *pool = copy->pool;

	if (desc->len == sizeof(copy->info))
		memcpy(&copy->info, pinion_buffer_addr(pool, desc->buffer), sizeof(copy->info));
	if (copy->info.version == NVME_WIRE_VERSION)
		return COPY_DONE;
	nvme_say("%s is not an nvme-serve of this release", copy_peer_name(copy));
	return COPY_LOST;
}

static enum copy_status identify(struct copy *copy)
{
	struct copy_op *op = &copy->op[0];
	struct pinion_buffer buffer;
	struct pinion_desc desc;
	enum copy_status status;

	if (copy_alloc(copy, &buffer))
		return lost(copy, -ENOMEM);
	status = copy_send(copy, op, buffer, NVME_WIRE_IDENTIFY, 0);
	if (!status)
		status = copy_recv(copy, &op, &desc);
	if (!status)
		status = copy_check(copy, op, &desc);
	if (status)
		return status;
	status = read_info(copy, &desc);
	copy_free(copy, desc.buffer);
	return status;
}

/* The first cache is of any zone, just for identify; the second is where the drive is. */
static enum copy_status prepare(struct copy *copy)
{
	enum copy_status status = open_cache(copy, sizeof(copy->info), PINION_NODE_ANY);

	if (!status)
		status = identify(copy);
	if (status)
		return status;
	choose_zone(copy);
	pinion_cache_close(copy->cache);
	copy->cache = NULL;
	status = open_cache(copy, copy->zone.buffer_size, copy->zone.node);
	return status ? status : choose_chunk(copy);
}

enum copy_status copy_open(struct copy *copy)
{
	enum copy_status status = copy_attach(copy);

	if (!status)
		status = prepare(copy);
	if (status)
		copy_close(copy);
	return status;
}

void copy_close(struct copy *copy)
{
	if (copy->cache)
		pinion_cache_close(copy->cache);
	copy_detach(copy);
}

int copy_alloc(struct copy *copy, struct pinion_buffer *buffer)
{
	int err = pinion_buffer_alloc(copy->cache, buffer);

	copy->allocated += !err;
	return err;
}

void copy_free(struct copy *copy, struct pinion_buffer buffer)
{
	if (!pinion_buffer_free(copy->cache, buffer))
		++copy->freed;
}

enum copy_status copy_send(struct copy *copy, struct copy_op *op, struct pinion_buffer buffer,
			   enum nvme_wire_op wire_op, uint32_t lba)
{
	const struct pinion_desc desc = {
		.buffer = buffer,
		.len = op->len,
		.tag = nvme_wire_tag(wire_op, lba),
	};
	int sent = pinion_channel_send(copy->channel, &desc, 1);

	if (sent < 0)
		return lost(copy, sent);
	op->busy = true;
	op->id = pinion_buffer_id(buffer);
	++copy->nr_busy;
	++copy->commands;
	return COPY_DONE;
}

/* The request that this buffer went with; NULL when there is none: the other side lies. */
static struct copy_op *find(struct copy *copy, struct pinion_buffer buffer)
{
	for (uint32_t i = 0; i < COPY_DEPTH_MAX; ++i)
		if (copy->op[i].busy && copy->op[i].id == pinion_buffer_id(buffer))
			return &copy->op[i];
	return NULL;
}

enum copy_status copy_recv(struct copy *copy, struct copy_op **op, struct pinion_desc *desc)
{
	struct pinion_channel *channel = copy->channel;
	int got = pinion_channel_recv(channel, desc, 1);

	/* EINTR without a handler does not happen, and would only shorten the wait. */
	for (int s = 0; got == -EAGAIN && s < PATIENCE_S; ++s) {
		(void)pinion_channel_wait(channel, UINT64_C(1000000000));
		got = pinion_channel_recv(channel, desc, 1);
	}
	if (got < 0)
		return lost(copy, got == -EAGAIN ? -ETIMEDOUT : got);
	*op = find(copy, desc->buffer);
	if (!*op)
		return lost(copy, -EPROTO);
	(*op)->busy = false;
	--copy->nr_busy;
	return COPY_DONE;
}

enum copy_status copy_check(struct copy *copy, const struct copy_op *op,
			    const struct pinion_desc *desc)
{
	uint64_t lba = copy->config->offset;
	char text[NVME_STATUS_TEXT];

	if (!desc->tag)
		return COPY_DONE;
	if (copy->refused++)
		return COPY_FAILED;
	nvme_status_format((uint16_t)desc->tag, text, sizeof(text));
	if (op->len)
		nvme_say("block %ju, %u bytes: the drive refused: %s",
			 (uintmax_t)(lba + op->off / copy->info.block_size), op->len, text);
	else
		nvme_say("the drive refused: %s", text);
	return COPY_FAILED;
}
