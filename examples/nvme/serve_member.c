/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/error.h>

#include "nvme_fail.h"
#include "nvme_status.h"
#include "nvme_wire.h"

#define STATUS_ABORTED_BY_HOST 0x371

int serve_join(struct serve *serve, const struct pinion_event *event)
{
	struct serve_member *member = calloc(1, sizeof(*member));

	if (!member)
		return nvme_fail(-ENOMEM, "no memory for member %u", event->member);
	member->number = event->member;
	member->pid = event->pid;
	member->uid = event->uid;
	member->channel = event->channel;
	member->queue = &serve->ctrl.queue[serve->nr_joined++ % serve->ctrl.nr_queues];
	TAILQ_INSERT_TAIL(&serve->members, member, link);
	++serve->nr_members;
	nvme_say("member %u joined: pid %d, uid %u", member->number, (int)member->pid,
		  (unsigned)member->uid);
	return 0;
}

void serve_leave(struct serve *serve, const struct pinion_event *event)
{
	struct serve_member *member;

	TAILQ_FOREACH(member, &serve->members, link) {
		if (member->number == event->member) {
			member->state = SERVE_GONE;
			member->killed = event->killed;
			serve->nr_killed += (uint32_t)member->killed;
		}
	}
}

static void give_up(struct serve *serve, struct serve_member *member,
		    const struct pinion_desc *desc)
{
	if (!pinion_buffer_free(serve->cache, desc->buffer))
		++member->counts.returned;
}

/* The protocol is broken: whatever else it sends, nothing of it is believed or answered. */
static void reject(struct serve *serve, struct serve_member *member, const char *why)
{
	nvme_say("member %u (pid %d) broke the protocol: %s: its channel is closed",
		  member->number, (int)member->pid, why);
	pinion_channel_reject(member->channel);
	if (member->state == SERVE_PRESENT)
		member->state = SERVE_REJECTED;
	member->rejected = true;
	++serve->nr_rejected;
}

/* What did not fit into the ring stays; what nobody will take is freed. True: something went. */
static bool send_outbox(struct serve *serve, struct serve_member *member)
{
	int sent = pinion_channel_send(member->channel, member->outbox, member->nr_outbox);

	if (sent == -EAGAIN)
		return false;
	if (sent < 0) {
		for (uint32_t i = 0; i < member->nr_outbox; ++i)
			give_up(serve, member, &member->outbox[i]);
		sent = (int)member->nr_outbox;
	}
	member->nr_outbox -= (uint32_t)sent;
	memmove(member->outbox, member->outbox + sent, member->nr_outbox * sizeof(*member->outbox));
	return true;
}

static void count_error(struct serve *serve, uint16_t status)
{
	uint32_t i = 0;

	while (i < serve->nr_errors && serve->error[i].status != status)
		++i;
	if (i == SERVE_ERRORS_MAX)
		return;
	if (i == serve->nr_errors)
		serve->error[serve->nr_errors++].status = status;
	++serve->error[i].nr;
}

static void count(struct serve_counts *counts, const struct serve_request *request,
		  uint16_t status)
{
	++counts->commands;
	if (status)
		++counts->errors;
	else if (nvme_wire_op(request->desc.tag) == NVME_WIRE_READ)
		counts->bytes_read += request->nr_bytes;
	else
		counts->bytes_written += request->nr_bytes;
}

/* The answer, without the drive or after it. pre: there is credit, so that it fits. */
static void answer(struct serve *serve, struct serve_request *request, uint16_t status,
		   uint32_t len)
{
	struct serve_member *member = request->member;
	struct pinion_desc *out = &member->outbox[member->nr_outbox++];

	out->buffer = request->desc.buffer;
	out->len = status ? 0 : len;
	out->tag = status;
	count(&member->counts, request, status);
	count(&serve->counts, request, status);
	if (status)
		count_error(serve, status);
	request->member = NULL;
}

void serve_complete(struct serve *serve, struct serve_request *request, uint16_t status)
{
	--request->member->in_flight;
	--serve->in_flight;
	answer(serve, request, status, request->desc.len);
}

/* pre: a request is free, because in_flight < SERVE_CREDIT. */
static struct serve_request *new_request(struct serve_member *member,
					 const struct pinion_desc *desc)
{
	struct serve_request *request = member->request;

	while (request->member)
		++request;
	request->member = member;
	request->desc = *desc;
	request->nr_bytes = desc->len;
	return request;
}

static void identify(struct serve *serve, struct serve_request *request)
{
	const struct nvme_wire_info info = {
		.version = NVME_WIRE_VERSION,
		.block_size = serve->ctrl.block_size,
		.blocks = serve->ctrl.blocks,
		.max_transfer = serve->ctrl.max_transfer,
		.node = serve->transport.node,
	};
	struct pinion_buffer buffer = request->desc.buffer;

	if (request->desc.len || pinion_buffer_size(serve->pool, buffer) < sizeof(info)) {
		answer(serve, request, NVME_STATUS_INVALID_FIELD, 0);
		return;
	}
	memcpy(pinion_buffer_addr(serve->pool, buffer), &info, sizeof(info));
	answer(serve, request, 0, sizeof(info));
}

/* See "Who refuses what" in nvme_wire.h. The channel has checked len against the buffer. */
static bool length_fits(const struct serve *serve, const struct pinion_desc *desc)
{
	if (nvme_wire_op(desc->tag) == NVME_WIRE_FLUSH)
		return !desc->len;
	return desc->len && desc->len % serve->ctrl.block_size == 0 &&
	       desc->len <= serve->ctrl.max_transfer;
}

/* A buffer of a segment that the pool got meanwhile has no bus address yet. */
static int submit_following(struct serve *serve, struct nvme_queue *queue,
			     const struct nvme_io *io)
{
	int err = nvme_ctrl_submit(&serve->ctrl, queue, serve->domain, io), changed;

	if (!err || pinion_buffer_bus(serve->domain, io->buffer, 0) != PINION_BUS_UNKNOWN)
		return err;
	changed = pinion_domain_update(serve->domain);
	if (changed < 0)
		nvme_say("the pool has grown; the drive cannot follow: %s", pinion_error_text());
	if (changed <= 0)
		return err;
	(void)serve->config->door->share(serve);
	return nvme_ctrl_submit(&serve->ctrl, queue, serve->domain, io);
}

static void submit(struct serve *serve, struct serve_request *request)
{
	static const enum nvme_io_opcode opcode[] = {
		[NVME_WIRE_READ] = NVME_IO_READ,
		[NVME_WIRE_WRITE] = NVME_IO_WRITE,
		[NVME_WIRE_FLUSH] = NVME_IO_FLUSH,
	};
	const struct pinion_desc *desc = &request->desc;
	const struct nvme_io io = {
		.opcode = opcode[nvme_wire_op(desc->tag)],
		.buffer = desc->buffer,
		.len = desc->len,
		.lba = nvme_wire_lba(desc->tag),
		.context = request,
	};

	if (!length_fits(serve, desc) ||
	    submit_following(serve, request->member->queue, &io)) {
		answer(serve, request, NVME_STATUS_INVALID_FIELD, 0);
		return;
	}
	++request->member->in_flight;
	++serve->in_flight;
}

/* False: the request breaks the protocol. */
static bool execute(struct serve *serve, struct serve_member *member,
		    const struct pinion_desc *desc)
{
	enum nvme_wire_op op = nvme_wire_op(desc->tag);

	if (op >= NVME_WIRE_FLUSH && nvme_wire_lba(desc->tag))
		return false;
	if (op == NVME_WIRE_IDENTIFY)
		identify(serve, new_request(member, desc));
	else
		submit(serve, new_request(member, desc));
	return true;
}

/* What arrived is ours, come what may: executed, or freed because nobody waits for it. */
static void handle(struct serve *serve, struct serve_member *member,
		   const struct pinion_desc *desc, int nr)
{
	for (int i = 0; i < nr; ++i) {
		if (member->state == SERVE_PRESENT && execute(serve, member, &desc[i]))
			continue;
		give_up(serve, member, &desc[i]);
		if (member->state == SERVE_PRESENT)
			reject(serve, member, "a request that does not exist");
	}
}

static uint32_t room(const struct serve_member *member)
{
	uint32_t credit = SERVE_CREDIT - member->in_flight - member->nr_outbox;
	uint32_t queue = nvme_queue_room(member->queue);
	uint32_t nr = credit < queue ? credit : queue;

	/* What a member that is gone had sent is only freed: that takes no room. */
	return member->state == SERVE_PRESENT && nr < SERVE_BATCH ? nr : SERVE_BATCH;
}

static bool receive(struct serve *serve, struct serve_member *member)
{
	struct pinion_desc desc[SERVE_BATCH];
	uint32_t nr = room(member);
	int got = nr && !member->drained ? pinion_channel_recv(member->channel, desc, nr) : 0;

	if (got > 0)
		handle(serve, member, desc, got);
	if (got == -EPROTO && !member->rejected)
		reject(serve, member, "a buffer that it does not hold, or a length beyond it");
	if (got == -EPROTO || got == -EPIPE)
		member->drained = true;
	return got > 0;
}

static void remember(struct serve *serve, struct serve_member *member)
{
	struct serve_member *oldest = TAILQ_FIRST(&serve->gone);

	TAILQ_INSERT_TAIL(&serve->gone, member, link);
	if (++serve->nr_gone <= SERVE_GONE_MAX)
		return;
	TAILQ_REMOVE(&serve->gone, oldest, link);
	free(oldest);
	--serve->nr_gone;
}

/* pre: nothing of its is in flight, and its ring is drained. */
static void bury(struct serve *serve, struct serve_member *member)
{
	int reclaimed = pinion_channel_reclaim(member->channel, serve->cache);
	int returned = serve->config->door->bury(serve, member->number);

	if (returned < 0)
		nvme_say("member %u: %s", member->number, pinion_error_text());
	member->counts.returned += (uint32_t)(returned > 0 ? returned : 0) +
				   (uint32_t)(reclaimed > 0 ? reclaimed : 0);
	serve->counts.returned += member->counts.returned;
	nvme_say("member %u %s: %ju commands, %ju buffers came back", member->number,
		  member->killed ? "was killed" : "left", (uintmax_t)member->counts.commands,
		  (uintmax_t)member->counts.returned);
	member->state = SERVE_BURIED;
	TAILQ_REMOVE(&serve->members, member, link);
	--serve->nr_members;
	remember(serve, member);
}

bool serve_member_step(struct serve *serve, struct serve_member *member)
{
	bool busy = receive(serve, member);

	if (member->nr_outbox)
		busy |= send_outbox(serve, member);
	if (member->state == SERVE_GONE && member->drained && !member->in_flight &&
	    !member->nr_outbox)
		bury(serve, member);
	return busy;
}

void serve_abort(struct serve *serve)
{
	struct serve_member *member;

	TAILQ_FOREACH(member, &serve->members, link) {
		for (uint32_t i = 0; i < SERVE_CREDIT; ++i)
			if (member->request[i].member)
				serve_complete(serve, &member->request[i], STATUS_ABORTED_BY_HOST);
		if (member->nr_outbox)
			send_outbox(serve, member);
		/* Whoever does not take its completions now never will. */
		for (uint32_t i = 0; i < member->nr_outbox; ++i)
			give_up(serve, member, &member->outbox[i]);
		member->nr_outbox = 0;
	}
}
