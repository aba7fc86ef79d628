/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include <pinion/request.h>

#include "channel.h"
#include "fail.h"

/*
 * One of our requests, or the place for one. Its tag: index below, generation above, as the next
 * request of this place will carry it. While one is outstanding PINION_TAG_ANSWER is set as well,
 * so that what the one answer must say is what stands here.
 */
struct place {
	uint32_t tag;
	void *context;
};

/*
 * Idle places stand in a queue, so that each rests as long as it can: a tag comes again late.
 * idle[first], idle[first + 1] ... around the end, depth - outstanding of them.
 */
struct pinion_requester {
	struct pinion_channel *channel;
	uint32_t depth, peer_depth;
	uint32_t outstanding; /* our requests that were not answered */
	uint32_t unanswered;  /* the peer's, in our hands */
	uint32_t index_bits;
	uint32_t first; /* once abandoned: the place to look at next */
	bool abandoned;
	uint32_t nr_strays;
	struct pinion_buffer stray[PINION_REQUEST_BATCH]; /* came with a lie: nobody's */
	uint32_t *idle;
	struct place place[];
};

uint32_t pinion_request_depth(const struct pinion_channel *channel)
{
	return channel_room(channel);
}

static int check_rights(const struct pinion_channel *channel)
{
	if (pinion_channel_rights(channel) == PINION_RIGHT_BOTH)
		return 0;
	return pinion_fail(-EACCES, "requests need a channel that both sends and receives");
}

static int check_depths(const struct pinion_channel *channel, uint32_t depth, uint32_t peer_depth)
{
	uint32_t most = channel_room(channel);

	if (!depth && !peer_depth)
		return pinion_fail(-EINVAL, "with both depths 0 nobody may ask anything");
	if (depth > most || peer_depth > most - depth)
		return pinion_fail(-EINVAL, "with depths of %u (this member's) and %u (its "
				   "peer's) an answer may find no room: together at most %u on "
				   "this channel", depth, peer_depth, most);
	return 0;
}

/* The smallest number of bits that tell so many apart. */
static uint32_t bits_for(uint32_t nr)
{
	return nr > 1 ? 32 - (uint32_t)__builtin_clz(nr - 1) : 0;
}

int pinion_requester_open(struct pinion_channel *channel, uint32_t depth, uint32_t peer_depth,
			  struct pinion_requester **out)
{
	KEEP_ERRNO;
	struct pinion_requester *requester;
	int err = check_rights(channel);

	if (!err)
		err = check_depths(channel, depth, peer_depth);
	if (err)
		return err;
	requester = calloc(1, sizeof(*requester) + depth * sizeof(requester->place[0]));
	if (requester)
		requester->idle = calloc(depth + 1u, sizeof(*requester->idle));
	if (!requester || !requester->idle) {
		free(requester);
		return pinion_fail(-ENOMEM, "no memory for %u outstanding requests", depth);
	}
	requester->channel = channel;
	requester->depth = depth;
	requester->peer_depth = peer_depth;
	requester->index_bits = bits_for(depth);
	for (uint32_t i = 0; i < depth; i++)
		requester->idle[i] = requester->place[i].tag = i;
	*out = requester;
	return 0;
}

int pinion_requester_close(struct pinion_requester *requester)
{
	free(requester->idle);
	free(requester);
	return 0;
}

uint32_t pinion_requester_outstanding(const struct pinion_requester *requester)
{
	return requester->outstanding;
}

/* The @i-th place in the queue from its first on, idle or (from the idle ones on) free for one. */
static uint32_t *queue_at(const struct pinion_requester *requester, uint32_t i)
{
	uint32_t at = requester->first + i;

	return &requester->idle[at < requester->depth ? at : at - requester->depth];
}

/* The first @nr idle places are idle no more. */
static void await(struct pinion_requester *requester, void *const *context, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct place *place = &requester->place[*queue_at(requester, i)];

		place->tag |= PINION_TAG_ANSWER;
		place->context = context[i];
	}
	requester->first += nr;
	if (requester->first >= requester->depth)
		requester->first -= requester->depth;
	requester->outstanding += nr;
}

int pinion_request_send(struct pinion_requester *requester, const struct pinion_desc *desc,
			void *const *context, uint32_t nr)
{
	uint32_t room = requester->depth - requester->outstanding;
	struct pinion_desc out[PINION_REQUEST_BATCH];
	int sent;

	if (requester->abandoned)
		return -EPIPE;
	nr = nr < room ? nr : room;
	nr = nr < PINION_REQUEST_BATCH ? nr : PINION_REQUEST_BATCH;
	if (!nr)
		return -EAGAIN;
	for (uint32_t i = 0; i < nr; i++) {
		out[i] = desc[i];
		out[i].tag = requester->place[*queue_at(requester, i)].tag;
	}
	sent = pinion_channel_send(requester->channel, out, nr);
	/* This thread is the one that receives: no answer is looked at before this. */
	if (sent > 0)
		await(requester, context, (uint32_t)sent);
	return sent;
}

/* The context of the request that @tag answers. */
static bool pair(struct pinion_requester *requester, uint32_t tag, void **context)
{
	uint32_t index = tag & ((1u << requester->index_bits) - 1);
	struct place *place = &requester->place[index];

	if (index >= requester->depth || place->tag != tag)
		return false;
	*context = place->context;
	place->tag = (tag + (1u << requester->index_bits)) & ~PINION_TAG_ANSWER;
	*queue_at(requester, requester->depth - requester->outstanding) = index;
	requester->outstanding--;
	return true;
}

/* May the peer send this? */
static bool admit(struct pinion_requester *requester, const struct pinion_desc *desc,
		  void **context)
{
	if (pinion_desc_is_answer(desc))
		return pair(requester, desc->tag, context);
	if (requester->unanswered >= requester->peer_depth)
		return false;
	requester->unanswered++;
	*context = NULL;
	return true;
}

/* The peer broke the rule that @desc shows. The buffers came all the same: nothing is lost. */
static void reject(struct pinion_requester *requester, const struct pinion_desc *desc, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		requester->stray[requester->nr_strays++] = desc[i].buffer;
	pinion_channel_reject(requester->channel);
}

int pinion_request_recv(struct pinion_requester *requester, struct pinion_desc *desc,
			void **context, uint32_t nr)
{
	int got, i = 0;

	if (requester->abandoned)
		return -EPIPE;
	nr = nr < PINION_REQUEST_BATCH ? nr : PINION_REQUEST_BATCH;
	got = pinion_channel_recv(requester->channel, desc, nr);
	if (got < 0)
		return got;
	while (i < got && admit(requester, &desc[i], &context[i]))
		i++;
	/* What came before is good. The channel has ended: no second batch comes to this. */
	if (i < got)
		reject(requester, &desc[i], (uint32_t)(got - i));
	return i ? i : -EPROTO;
}

int pinion_request_answer(struct pinion_requester *requester, const struct pinion_desc *desc,
			  uint32_t nr)
{
	struct pinion_desc out[PINION_REQUEST_BATCH];
	uint32_t i = 0;
	int sent;

	if (requester->abandoned)
		return -EPIPE;
	nr = nr < requester->unanswered ? nr : requester->unanswered;
	nr = nr < PINION_REQUEST_BATCH ? nr : PINION_REQUEST_BATCH;
	for (; i < nr && !pinion_desc_is_answer(&desc[i]); i++) {
		out[i] = desc[i];
		out[i].tag |= PINION_TAG_ANSWER;
	}
	if (!i)
		return -EINVAL;
	sent = pinion_channel_send(requester->channel, out, i);
	if (sent > 0)
		requester->unanswered -= (uint32_t)sent;
	/* A peer that keeps to its depth leaves room (see request.h). */
	if (sent != -EAGAIN)
		return sent;
	pinion_channel_reject(requester->channel);
	return -EPROTO;
}

static int free_strays(struct pinion_requester *requester, struct pinion_cache *cache)
{
	while (requester->nr_strays) {
		int err = pinion_buffer_free(cache, requester->stray[requester->nr_strays - 1]);

		if (err)
			return err;
		requester->nr_strays--;
	}
	return 0;
}

int pinion_requester_abandon(struct pinion_requester *requester, struct pinion_cache *cache,
			     void **context, uint32_t nr)
{
	uint32_t got = 0;
	int err;

	if (!requester->abandoned)
		requester->first = 0;
	requester->abandoned = true;
	err = free_strays(requester, cache);
	if (err)
		return err;
	while (requester->outstanding && got < nr) {
		struct place *place = &requester->place[requester->first++];

		if (!(place->tag & PINION_TAG_ANSWER))
			continue;
		context[got++] = place->context;
		requester->outstanding--;
	}
	return (int)got;
}
