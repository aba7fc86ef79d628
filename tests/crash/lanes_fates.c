/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What might come of a fan-in when FIRST stands still:
 *
 *     it is a producer
 *         slow      SECOND, who receives, takes all of its batch or nothing; THIRD, who sends too,
 *                   is heard within so many looks, and wakes who waits
 *         dead      the same; then -EPIPE about FIRST's channel and no other, and the keeper
 *                   recovers and releases it, before SECOND drained the channel or after
 *     it is the receiver
 *         slow      the producers send until their rings are full; nobody lies
 *         dead      each producer, once told, gets -EPIPE and has back what was not taken
 */

#include <errno.h>

#include <pinion/cache.h>

#include "burial.h"
#include "match.h"

/* The patrol has looked at both lanes by then: see fanin.h. */
#define LOOKS 64

/* What SECOND found. */
struct haul {
	uint32_t first, third;
	bool end; /* of FIRST's channel */
};

static struct pinion_pool *keeper(const struct view *view)
{
	return view->company->pool;
}

/* --- FIRST is a producer */

/* One look of SECOND's; what came goes back to the pool. */
static const char *look(const struct view *view, struct haul *haul)
{
	struct player *second = &view->company->player[SECOND];
	struct pinion_channel *channel = NULL;
	struct pinion_desc desc[SLOTS];
	const int nr = lanes_take(second, &channel, desc, SLOTS);
	const bool is_first = channel == second->channel[FIRST];

	if (nr == -EAGAIN)
		return NULL;
	if (nr == -EPIPE && is_first && !haul->end) {
		haul->end = true;
		return NULL;
	}
	if (nr < 0)
		return "the receiver ends a channel that it should not";
	*(is_first ? &haul->first : &haul->third) += (uint32_t)nr;
	for (int i = 0; i < nr; i++)
		if (pinion_buffer_free(second->cache, desc[i].buffer))
			return "what was received is not the receiver's";
	return NULL;
}

static const char *look_round(const struct view *view, struct haul *haul)
{
	const char *problem = NULL;

	for (int i = 0; !problem && i < LOOKS; i++)
		problem = look(view, haul);
	return problem;
}

static const char *third_sends(const struct view *view)
{
	struct player *third = &view->company->player[THIRD];

	player_draw(third, 1);
	return pinion_channel_send(third->channel[SECOND], third->desc, 1) == 1
		       ? NULL
		       : "another producer cannot send";
}

static const char *wrong_haul(const struct view *view, const struct haul *haul)
{
	const uint32_t due = view->company->player[SECOND].due, batch = view->part->batch;
	const uint32_t got = haul->first - due;

	if (haul->first < due || (got && got != batch && got != batch + view->part->more))
		return "the receiver received a part of a batch";
	return haul->third == 1 ? NULL : "what another producer sent was not received once";
}

/* It waits for THIRD, and takes what is there. */
static const char *hear(const struct view *view, struct haul *haul)
{
	const char *problem = third_sends(view);

	if (!problem && pinion_fanin_wait(view->company->player[SECOND].fanin, 1000000000))
		problem = "who waits was not told of what another producer sent";
	if (!problem)
		problem = look_round(view, haul);
	return problem ? problem : wrong_haul(view, haul);
}

static const char *receiver_goes_on(struct view *view)
{
	struct haul haul = {0};
	const char *problem = look_round(view, &haul);

	if (!problem)
		problem = hear(view, &haul);
	if (!problem && haul.end && !view->part->ends)
		problem = "the receiver takes one that is slow for one that is gone";
	return problem;
}

/* What FIRST had published, and the end. */
static const char *drain(const struct view *view)
{
	struct haul haul = {0};
	const char *problem;

	pinion_channel_sever(view->company->player[SECOND].channel[FIRST]);
	problem = hear(view, &haul);
	return problem || haul.end ? problem : "what the dead sent does not end with -EPIPE";
}

static const char *reclaim(const struct view *view)
{
	struct player *second = &view->company->player[SECOND];

	return pinion_channel_reclaim(second->channel[FIRST], second->cache) < 0
		       ? "the receiver cannot reclaim what it sent to the dead"
		       : NULL;
}

static const char *producer_dies(struct view *view)
{
	const char *problem = drain(view);

	if (!problem)
		problem = reclaim(view);
	if (!problem)
		problem = burial_whole(view, FIRST);
	return problem ? problem : burial_sound(view);
}

/* All but what @receiver has still to take. */
static const char *recover_producer(const struct view *view, int producer, int receiver)
{
	struct pinion_buffer transit[SLOTS];
	const uint32_t nr = pinion_channel_published(
		view->company->player[receiver].channel[producer], transit);

	return burial_recover(view, producer, transit, nr);
}

static const char *producer_is_recovered(struct view *view)
{
	const char *problem = recover_producer(view, FIRST, SECOND);

	if (!problem)
		problem = drain(view);
	if (!problem)
		problem = burial_release(view, FIRST);
	if (!problem)
		problem = reclaim(view);
	return problem ? problem : burial_sound(view);
}

/* --- FIRST is the receiver */

static const char *send_on(struct player *player)
{
	int err = 1;

	for (uint32_t i = 0; err == 1; i++) {
		if (i > SLOTS)
			return "a producer can send without end";
		player_draw(player, 1);
		err = pinion_channel_send(player->channel[FIRST], player->desc, 1);
	}
	return err == -EAGAIN ? NULL : "a producer cannot send beside one that is slow";
}

static const char *producers_go_on(struct view *view)
{
	const char *problem = send_on(&view->company->player[SECOND]);

	return problem ? problem : send_on(&view->company->player[THIRD]);
}

/* @i hears of the death, and has back what was not taken. */
static const char *turns_away(const struct view *view, int i, int receiver)
{
	struct player *player = &view->company->player[i];
	struct pinion_channel *channel = player->channel[receiver];
	const int held = (int)pinion_pool_held(keeper(view), player->member);

	pinion_channel_sever(channel);
	if (pinion_channel_send(channel, player->desc, 1) != -EPIPE)
		return "a producer can send to the dead";
	if (pinion_channel_wait(channel, 0) ||
	    pinion_channel_recv(channel, player->desc, 1) != -EPIPE)
		return "a producer is not told that its receiver is dead";
	if (pinion_channel_reclaim(channel, player->cache) != held ||
	    pinion_pool_held(keeper(view), player->member))
		return "what was sent to the dead did not come back";
	return NULL;
}

static const char *producers_turn_away(const struct view *view)
{
	const char *problem = turns_away(view, SECOND, FIRST);

	return problem ? problem : turns_away(view, THIRD, FIRST);
}

static const char *receiver_dies(struct view *view)
{
	const char *problem = producers_turn_away(view);

	if (!problem)
		problem = burial_whole(view, FIRST);
	return problem ? problem : burial_sound(view);
}

static const char *receiver_is_recovered(struct view *view)
{
	const char *problem = burial_whole(view, FIRST);

	if (!problem)
		problem = producers_turn_away(view);
	return problem ? problem : burial_sound(view);
}

const struct fate lanes_of_producer[] = {
	{"the producer is slow", receiver_goes_on},
	{"the producer is dead", producer_dies},
	{"the producer is recovered, then drained", producer_is_recovered},
	{"all are dead", burial_of_all},
	{0},
};

const struct fate lanes_of_receiver[] = {
	{"the receiver is slow", producers_go_on},
	{"the receiver is dead", receiver_dies},
	{"the receiver is recovered, then left", receiver_is_recovered},
	{"all are dead", burial_of_all},
	{0},
};

/* --- two at once; in the child, of its own private state */

/* What came goes back to the pool. */
static int free_all(struct player *player, const struct pinion_desc *desc, int nr)
{
	for (int i = 0; i < nr; i++)
		if (pinion_buffer_free(player->cache, desc[i].buffer))
			return -EBADMSG;
	return nr > 0 ? nr : 0;
}

/* What is left in a channel, beside the fan-in. */
static int drain_channel(struct player *receiver, int from)
{
	struct pinion_desc desc[SLOTS];
	int nr, sum = 0;

	while ((nr = pinion_channel_recv(receiver->channel[from], desc, SLOTS)) > 0) {
		if (free_all(receiver, desc, nr) < 0)
			return -EBADMSG;
		sum += nr;
	}
	if (nr == -EPROTO)
		return nr;
	return nr == -EPIPE ? sum + PART_END : sum;
}

/* All that the fan-in has, to where its patrol has been everywhere. When a look finds nothing, all
 * are still: the patrol finds only what the dead did not come to tell of. */
static int look_on(struct player *receiver, bool peer_is_dead)
{
	struct pinion_channel *channel;
	struct pinion_desc desc[SLOTS];
	bool empty = false;
	int sum = 0;

	for (int i = 0; i < LOOKS; i++) {
		const int nr = lanes_take(receiver, &channel, desc, SLOTS);

		if (free_all(receiver, desc, nr) < 0 || nr == -EPROTO)
			return -EBADMSG;
		if (nr != -EAGAIN && empty && !peer_is_dead)
			return -ENOMSG;
		empty |= nr == -EAGAIN;
		sum += nr > 0 ? nr : 0;
	}
	return sum;
}

/* A lane that was dropped, or not added, is for its channel to tell of. */
static int receive_on(struct player *receiver, bool peer_is_dead)
{
	int all, direct;

	if (peer_is_dead)
		pinion_channel_sever(receiver->channel[receiver->peer]);
	all = look_on(receiver, peer_is_dead);
	direct = drain_channel(receiver, receiver->peer);
	if (all < 0)
		return all;
	return direct < 0 ? direct : all + direct;
}

/* What its dead receiver did not take. */
static int reclaim_on(struct player *producer)
{
	struct pinion_channel *channel = producer->channel[producer->peer];
	struct pinion_desc desc;

	pinion_channel_sever(channel);
	if (pinion_channel_recv(channel, &desc, 1) != -EPIPE)
		return -EBADMSG;
	return pinion_channel_reclaim(channel, producer->cache);
}

int lanes_rest(struct player *player, bool peer_is_dead)
{
	if (player->fanin)
		return receive_on(player, peer_is_dead);
	if (!player->channel[player->peer])
		return -ENOENT;
	return peer_is_dead ? reclaim_on(player) : 0;
}

/* --- ... and what they say, held against what was sent */

static const char *taker_wrong(const struct view *view, const struct contest *contest, int receiver,
			       const struct ending *ending)
{
	const int producer = contest->match->giver;
	const int rest = tracee_ask(ending->taker, ending->dead);
	const bool over = rest >= PART_END;
	const int took = contest->part[receiver]->takes && ending->took > 0 ? ending->took : 0;
	const int came = took + (over ? rest - PART_END : rest);
	const int transit = (int)(contest->held[producer] + contest->held[THIRD]) -
			    (int)view->company->player[producer].nr;

	if (rest < 0)
		return rest == -ENOMSG ? "the receiver was not told of all that was sent to it"
				       : "the receiver cannot receive on";
	if (over != (ending->dead || view->part->ends))
		return "the receiver does not hear of the end, or of one that did not come";
	if (!ending_is_fair(view, ending, came - transit))
		return "the receiver has not all that it was sent, or more";
	return (int)pinion_pool_held(keeper(view), (uint32_t)receiver + 1) == took
		       ? NULL
		       : "the receiver has not what it says that it received";
}

/* What it did not send is all that it has. */
static const char *giver_wrong(const struct view *view, const struct ending *ending, int producer)
{
	const int rest = tracee_ask(ending->giver, ending->dead);
	const int held = (int)pinion_pool_held(keeper(view), (uint32_t)producer + 1);

	if (rest == -ENOENT && view->part->ends)
		return NULL;
	if (rest < 0)
		return "a producer cannot have back what was not taken";
	return held == (int)view->company->player[producer].nr - ending_sent(view, ending)
		       ? NULL
		       : "a producer has more than it did not send, or less";
}

static const char *settle(struct view *view, const struct contest *contest,
			  const struct ending *ending)
{
	const int producer = contest->match->giver, receiver = company_other(producer);
	const char *problem = ending->taker ? taker_wrong(view, contest, receiver, ending)
					    : turns_away(view, THIRD, receiver);

	if (problem)
		return problem;
	return ending->giver ? giver_wrong(view, ending, producer) : burial_release(view, producer);
}

static const char *bury(struct view *view, int producer)
{
	return producer == SECOND ? recover_producer(view, SECOND, FIRST)
				  : burial_whole(view, SECOND);
}

static const char *both_die(struct view *view, int producer)
{
	const char *problem = burial_whole(view, FIRST);

	if (!problem)
		problem = burial_whole(view, SECOND);
	if (!problem)
		problem = turns_away(view, THIRD, company_other(producer));
	return problem ? problem : burial_sound(view);
}

const struct judge lanes_judge = {.both_die = both_die, .bury = bury, .settle = settle};
