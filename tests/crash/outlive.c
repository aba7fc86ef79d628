/* SPDX-License-Identifier: BSD-3-Clause */
#include "outlive.h"

#include <errno.h>
#include <string.h>

#include <pinion/cache.h>

#include "fate.h"
#include "invariant.h"
#include "recount.h"
#include "tap.h"

/* One thing that might come: what is wrong then, or NULL. */
struct view {
	struct pair *pair;
	const struct transfer *transfer;
	uint32_t queued;
	const struct still *earlier;
	struct still now;
	bool received[PAIR_BUFFERS]; /* by id: SECOND got it */
};

typedef const char *fate(struct view *view);

/* As fate_try() wants it. */
struct attempt {
	fate *comes;
	struct view *view;
};

static uint64_t word_of(const struct pair *pair, uint32_t id)
{
	return pair->pool->view.owner[id];
}

/* What @side sent last of @id, if nobody took it. */
static bool is_out(const struct side *side, uint32_t id, uint64_t word)
{
	return side->sent[id].bits &&
	       word == pinion_owner_word(side->sent[id], pinion_owner_held(side->member));
}

uint32_t outlive_queued(const struct pair *pair)
{
	uint32_t nr = 0;

	for (uint32_t id = 0; id < PAIR_BUFFERS; id++)
		nr += is_out(&pair->first, id, word_of(pair, id));
	return nr;
}

/* --- FIRST is only slow */

static const char *send_all(struct side *side)
{
	int err = 1;

	for (uint32_t i = 0; err == 1; i++) {
		if (i > RING)
			return "SECOND can send without end";
		side_draw(side, 1);
		err = pinion_channel_send(side->channel, side->desc, 1);
	}
	if (err != -EAGAIN && err != -EPIPE)
		return err == -EPROTO ? "SECOND, which sends, takes one that is slow for a liar"
				      : "SECOND cannot send beside one that is slow";
	return NULL;
}

/* What comes, by way of the requester where there is one. */
static int hear(struct side *side, struct pinion_desc *desc, uint32_t nr)
{
	void *context[RING];

	return side->requester ? pinion_request_recv(side->requester, desc, context, nr)
			       : pinion_channel_recv(side->channel, desc, nr);
}

/* Answers all that came, and asks as much as it may: for both there is room. */
static const char *talks_on(struct side *side, const struct pinion_desc *desc, int nr)
{
	void *context = side_context(0);
	int err;

	for (int i = 0; i < nr; i++)
		if (!pinion_desc_is_answer(&desc[i])) {
			err = pinion_request_answer(side->requester, &desc[i], 1);
			if (err != 1 && err != -EPIPE)
				return "SECOND cannot answer one that is slow";
		}
	do {
		side_draw(side, 1);
		err = pinion_request_send(side->requester, side->desc, &context, 1);
	} while (err == 1);
	return err == -EAGAIN || err == -EPIPE ? NULL : "SECOND cannot ask one that is slow";
}

/* Not of a channel of one way. */
static bool may(const struct side *side, uint32_t right)
{
	return pinion_channel_rights(side->channel) & right;
}

static const char *goes_on(struct view *view)
{
	struct side *side = &view->pair->second;
	struct pinion_desc desc[RING];
	int nr, err;

	nr = may(side, PINION_RIGHT_RECV) ? hear(side, desc, RING) : -EAGAIN;
	if (nr < 0 && nr != -EAGAIN && nr != -EPIPE)
		return nr == -EPROTO ? "SECOND, which receives, takes one that is slow for a liar"
				     : "SECOND cannot receive beside one that is slow";
	err = pinion_channel_wait(side->channel, 0);
	if (err && err != -ETIMEDOUT)
		return "SECOND cannot wait beside one that is slow";
	if (side->requester)
		return talks_on(side, desc, nr);
	return may(side, PINION_RIGHT_SEND) ? send_all(side) : NULL;
}

/* --- FIRST is dead */

static const char *receive(struct view *view, const struct pinion_desc *desc)
{
	const struct pair *pair = view->pair;
	const uint32_t id = pinion_buffer_id(desc->buffer);

	if (id >= PAIR_BUFFERS || view->received[id])
		return "SECOND received what is not a buffer, or one twice";
	view->received[id] = true;
	if (word_of(pair, id) != pinion_owner_word(desc->buffer, pinion_owner_held(PAIR_SECOND)))
		return "SECOND received what it does not hold";
	return NULL;
}

/* What SECOND asked and will never hear of: each context once. */
static const char *give_up(struct side *side)
{
	const uint32_t want = side->requester ? pinion_requester_outstanding(side->requester) : 0;
	void *context[RING];

	if (!side->requester)
		return NULL;
	if (pinion_requester_abandon(side->requester, side->cache, context, RING) != (int)want)
		return "SECOND has not back what it asked the dead";
	for (uint32_t i = 1; i < want; i++)
		if (context[i] == context[i - 1])
			return "SECOND has a context back twice";
	return pinion_requester_outstanding(side->requester) ? "SECOND still waits for the dead"
							     : NULL;
}

static const char *drain(struct view *view)
{
	struct side *side = &view->pair->second;
	struct pinion_desc desc[3];
	const char *problem = NULL;
	uint32_t drained = 0;
	int nr;

	pinion_channel_sever(side->channel);
	if (!may(side, PINION_RIGHT_RECV))
		return NULL;
	while (!problem && (nr = hear(side, desc, 3)) > 0) {
		drained += (uint32_t)nr;
		for (int i = 0; !problem && i < nr; i++)
			problem = receive(view, &desc[i]);
	}
	if (problem)
		return problem;
	if (nr != -EPIPE)
		return "what the dead sent does not end with -EPIPE";
	if (drained != view->queued && drained != view->queued + view->transfer->batch)
		return "SECOND received a part of a batch";
	return give_up(side);
}

static const char *reclaim(struct view *view)
{
	struct side *side = &view->pair->second;

	return pinion_channel_reclaim(side->channel, side->cache) < 0
		       ? "SECOND cannot reclaim what it sent to the dead"
		       : NULL;
}

/* Of the dead, all but what is in transit, twice. */
static const char *recover(struct view *view)
{
	struct pair *pair = view->pair;
	struct pinion_buffer transit[RING];
	uint32_t nr = 0;

	if (pair->second.channel)
		nr = pinion_channel_published(pair->second.channel, transit);
	return recount_recover_twice(pair->pool, PAIR_FIRST, transit, nr);
}

static const char *release(struct view *view)
{
	const char *problem = recount_release(view->pair->pool, PAIR_FIRST);

	if (problem)
		return problem;
	return pinion_pool_held(view->pair->pool, PAIR_FIRST) ? "the dead still hold a buffer"
							      : NULL;
}

/* One word as it was found, and as it is now that FIRST is gone. */
static const char *wrongly_kept(const struct view *view, uint32_t id, uint64_t was, uint64_t word)
{
	const uint32_t holder = pinion_owner_holder(was);
	const bool is_free = pinion_owner_holder(word) & PINION_HOLDER_MAGAZINE;
	const struct pinion_buffer old = pinion_owner_buffer(was, id);
	const struct pinion_buffer new = pinion_owner_buffer(word, id);
	const bool moved_once = new.bits == pinion_buffer_next(old).bits;

	if (holder == pinion_owner_held(PAIR_FIRST)) {
		if (view->received[id])
			return moved_once ? NULL : "a buffer changed hands more than once";
		return is_free && moved_once ? NULL : "a buffer of the dead did not come back";
	}
	if (view->received[id])
		return "SECOND received what the dead did not hold";
	if (holder != pinion_owner_held(PAIR_SECOND))
		return NULL;
	if (!is_out(&view->pair->second, id, was) || !view->pair->second.channel)
		return word == was ? NULL : "SECOND lost a buffer that it had not sent";
	return is_free && new.bits != old.bits ? NULL
					       : "a buffer sent to the dead did not come back";
}

static const char *accounts(struct view *view)
{
	const struct pair *pair = view->pair;
	const char *problem = NULL;

	for (uint32_t id = 0; !problem && id < PAIR_BUFFERS; id++)
		problem = wrongly_kept(
			view, id,
			snapshot_word(&view->now.control, pair->pool, &pair->pool->view.owner[id]),
			word_of(pair, id));
	return problem ? problem : invariant_broken(pair->pool, &view->earlier->control, 0);
}

/* As pinion_rendezvous_bury() has it. */
static const char *drains_first(struct view *view)
{
	const char *problem = view->pair->second.channel ? drain(view) : NULL;

	if (!problem && view->pair->second.channel)
		problem = reclaim(view);
	if (!problem)
		problem = recover(view);
	if (!problem)
		problem = release(view);
	return problem ? problem : accounts(view);
}

/* As pinion_pool_recover() has it, where the keeper is not the consumer. */
static const char *drains_last(struct view *view)
{
	const char *problem = recover(view);

	if (!problem && view->pair->second.channel)
		problem = drain(view);
	if (!problem)
		problem = release(view);
	if (!problem && view->pair->second.channel)
		problem = reclaim(view);
	return problem ? problem : accounts(view);
}

/* --- both are dead */

static const char *nobody(struct view *view)
{
	return invariant_broken(view->pair->pool, &view->earlier->control,
				1u << PAIR_FIRST | 1u << PAIR_SECOND);
}

/* --- of a ring by itself */

static bool same_desc(const struct pinion_desc *a, const struct pinion_desc *b)
{
	return a->buffer.bits == b->buffer.bits && a->len == b->len && a->tag == b->tag;
}

static const char *ring_drains(struct view *view)
{
	struct side *side = &view->pair->second;
	struct pinion_desc desc;
	uint32_t drained = 0;
	int nr;

	while ((nr = pinion_ring_recv(side->ring, &desc, 1)) > 0) {
		const struct pinion_desc want = pair_desc(view->pair->at + drained++);

		if (!same_desc(&desc, &want))
			return "SECOND received what was not sent, or not in order";
	}
	if (nr != -EAGAIN && nr != -EPIPE)
		return "SECOND cannot receive";
	if (drained && drained != view->transfer->batch)
		return "SECOND received a part of a batch";
	return NULL;
}

/* It was full, and FIRST then gave back four at most. */
static const char *ring_fills(struct view *view)
{
	struct side *side = &view->pair->second;
	const struct pinion_desc desc = pair_desc(0);
	uint32_t sent = 0;
	int err;

	while ((err = pinion_ring_send(side->ring, &desc, 1)) == 1)
		if (++sent > view->pair->first.nr)
			return "there is room for more than was taken";
	if (err != -EAGAIN && err != -EPIPE)
		return "SECOND cannot send";
	return NULL;
}

static const char *ring_outlived(struct view *view)
{
	return view->pair->sends ? ring_drains(view) : ring_fills(view);
}

/* --- what might come, each from the same state */

static const struct {
	const char *name;
	fate *comes;
} fates[] = {
	{"FIRST is slow", goes_on},
	{"FIRST is dead", drains_first},
	{"FIRST is recovered, then drained", drains_last},
	{"both are dead", nobody},
	{"one end of a ring is dead", ring_outlived},
};

/* Does it make sense here? */
static bool applies(fate *comes, const struct view *view)
{
	if (view->transfer && view->transfer->alone)
		return comes == ring_outlived;
	if (comes == ring_outlived)
		return false;
	if (!view->transfer || view->transfer->bereft)
		return comes == nobody;
	return comes != goes_on || view->pair->second.channel;
}

static const char *attempt(void *arg)
{
	const struct attempt *attempt = arg;

	return attempt->comes(attempt->view);
}

#define FATES (sizeof(fates) / sizeof(fates[0]))

/* All that may come, from the present state, or with @only below FATES that one. */
static const char *come_all(struct view *view, size_t only)
{
	const char *problem = NULL;

	still_take(&view->now, view->pair);
	if (!view->earlier)
		view->earlier = &view->now;
	for (size_t i = 0; !problem && i < FATES; i++) {
		if (!applies(fates[i].comes, view) || (only < FATES && i != only))
			continue;
		problem = fate_try(fates[i].name, attempt, &(struct attempt){fates[i].comes, view});
		still_load(&view->now, view->pair);
	}
	still_close(&view->now);
	return problem;
}

const char *outlive_problem(struct pair *pair, const struct transfer *transfer, uint32_t queued,
			    const struct still *earlier)
{
	struct view view = {
		.pair = pair, .transfer = transfer, .queued = queued, .earlier = earlier};

	return come_all(&view, FATES);
}

const char *outlive_turn(struct pair *pair, const struct transfer *transfer, uint32_t queued,
			 uint64_t turn)
{
	struct view view = {.pair = pair, .transfer = transfer, .queued = queued};
	size_t i = turn % FATES;

	while (!applies(fates[i].comes, &view))
		i = (i + 1) % FATES;
	return come_all(&view, i);
}

const char *outlive_nobody(struct pair *pair, const struct still *earlier)
{
	struct view view = {.pair = pair, .earlier = earlier};

	return come_all(&view, FATES);
}
