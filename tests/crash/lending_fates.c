/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What might come of a broadcast when FIRST stands still, in every case with burial:
 *
 *     it is the producer
 *         slow      consumers receive all of its batch or nothing, and return it; nobody lies
 *         dead      the keeper recovers what is not lent, consumers drain and leave, the keeper
 *                   releases it: no loan is freed before, all are after
 *     it is a consumer
 *         slow      the producer has back what FIRST returned, all of it or nothing, and sends on
 *         dead      the producer severs it, and has all back, under the handles that it sent;
 *                   before FIRST is recovered, or after
 */

#include <errno.h>

#include <pinion/cache.h>

#include "broadcast.h"
#include "burial.h"
#include "match.h"

#define MOST ((uint32_t)PLAYERS * SLOTS)

static struct pinion_pool *keeper(const struct view *view)
{
	return view->company->pool;
}

/* --- a consumer that lives on */

static bool is_cast_out(const struct view *view, int i)
{
	return view->part->severs && i == SECOND;
}

/* What desc[] of @player names is there, and @producer's. */
static const char *loans_wrong(const struct view *view, const struct player *player, int producer)
{
	const uint32_t holder = pinion_owner_held((uint32_t)producer + 1);

	for (uint32_t i = 0; i < player->nr; i++) {
		const struct pinion_buffer buffer = player->desc[i].buffer;

		if (company_word(view->company, pinion_buffer_id(buffer)) !=
		    pinion_owner_word(buffer, holder))
			return "what is lent was taken from its reader";
	}
	return NULL;
}

/* All there is, into desc[]. @err: how it ended. */
static const char *receive(const struct view *view, int i, int producer, int *err)
{
	struct player *player = &view->company->player[i];
	const uint32_t had = player->nr;
	uint32_t got;

	do {
		*err = pinion_broadcast_recv(player->seat, &player->desc[player->nr],
					     SLOTS + 1 - player->nr);
		player->nr += *err > 0 ? (uint32_t)*err : 0;
	} while (*err > 0 && player->nr <= SLOTS);
	got = player->nr - had;
	if (got != player->due && got != player->due + view->part->batch &&
	    !(is_cast_out(view, i) && !got))
		return "a consumer received a part of a batch";
	return is_cast_out(view, i) ? NULL : loans_wrong(view, player, producer);
}

static const char *give_back(const struct view *view, int i)
{
	struct player *player = &view->company->player[i];
	const int err = pinion_broadcast_return(player->seat, player->nr);

	player->nr = 0;
	if (err && !(err == -EPIPE && is_cast_out(view, i)))
		return "a consumer cannot return its loans";
	return NULL;
}

static const char *leave(struct player *player)
{
	const int err = pinion_broadcast_leave(player->seat);

	player->seat = NULL;
	return err ? "a consumer cannot leave" : NULL;
}

/* --- the producer is slow */

static const char *reads_on(const struct view *view, int i)
{
	int err = 0;
	const char *problem = receive(view, i, FIRST, &err);

	if (problem)
		return problem;
	if (err != -EAGAIN && !(err == -EPIPE && (view->part->ends || is_cast_out(view, i))))
		return "a consumer cannot receive beside one that is slow";
	err = pinion_broadcast_wait(view->company->player[i].seat, 0);
	if (err && err != -ETIMEDOUT)
		return "a consumer cannot wait beside one that is slow";
	return give_back(view, i);
}

static const char *consumers_go_on(struct view *view)
{
	const char *problem = NULL;

	for (int i = SECOND; !problem && i < PLAYERS; i++)
		if (view->company->player[i].seat)
			problem = reads_on(view, i);
	return problem;
}

/* --- the producer is dead; a bit for each consumer that lives */

/* Handles that the living were lent, and how many. */
static int all_lent(const struct view *view, uint32_t living, struct pinion_buffer *buffer)
{
	const struct company *company = view->company;
	int nr = 0;

	for (int i = FIRST; i < PLAYERS; i++) {
		int more = 0;

		if (living >> i & 1 && company->file[LENDING_SEAT + i].addr)
			more = pinion_broadcast_lent(company->file[LENDING_RING].fd,
						     company->file[LENDING_SEAT + i].fd,
						     buffer + nr, SLOTS);
		if (more < 0)
			return more;
		nr += more;
	}
	return nr;
}

static const char *orphan(const struct view *view, uint32_t living)
{
	for (int i = FIRST; i < PLAYERS; i++)
		if (living >> i & 1 && view->company->file[LENDING_SEAT + i].addr &&
		    pinion_broadcast_orphan(view->company->file[LENDING_SEAT + i].fd))
			return "a consumer cannot be told that its producer died";
	return NULL;
}

/* It reads to the end, and goes. */
static const char *reads_out(const struct view *view, int i, int producer)
{
	struct player *player = &view->company->player[i];
	const char *problem = is_cast_out(view, i) ? NULL : loans_wrong(view, player, producer);
	int err = 0;

	if (!problem)
		problem = receive(view, i, producer, &err);
	if (!problem && err != -EPIPE)
		problem = "what the dead lent does not end with -EPIPE";
	if (!problem)
		problem = give_back(view, i);
	return problem ? problem : leave(player);
}

static const char *read_out_all(const struct view *view, uint32_t living, int producer)
{
	const char *problem = NULL;

	for (int i = FIRST; !problem && i < PLAYERS; i++)
		if (living >> i & 1 && view->company->player[i].seat)
			problem = reads_out(view, i, producer);
	return problem;
}

/* As broadcast.h has it: what is not lent is recovered. */
static const char *recover_producer(const struct view *view, int producer, uint32_t living)
{
	struct pinion_buffer transit[MOST];
	const char *problem = orphan(view, living);
	const int nr = all_lent(view, living, transit);

	if (!problem && nr < 0)
		problem = "what the dead lent cannot be told";
	return problem ? problem : burial_recover(view, producer, transit, (uint32_t)nr);
}

/* ... and the rest, when all have left. */
static const char *release_producer(const struct view *view, int producer, uint32_t living)
{
	struct pinion_buffer transit[MOST];

	if (all_lent(view, living, transit))
		return "who left still has what the dead lent";
	return burial_release(view, producer);
}

static const char *bury_producer(const struct view *view, int producer, uint32_t living)
{
	const char *problem = recover_producer(view, producer, living);

	if (!problem)
		problem = read_out_all(view, living, producer);
	return problem ? problem : release_producer(view, producer, living);
}

static const char *producer_dies(struct view *view)
{
	const char *problem = bury_producer(view, FIRST, 1u << SECOND | 1u << THIRD);

	return problem ? problem : burial_sound(view);
}

/* A consumer with it, FIRST or SECOND. */
static const char *both_die(struct view *view, int producer)
{
	const char *problem = bury_producer(view, producer, 1u << THIRD);

	if (!problem)
		problem = burial_whole(view, company_other(producer));
	return problem ? problem : burial_sound(view);
}

static const char *a_consumer_dies_too(struct view *view)
{
	return both_die(view, FIRST);
}

/* --- the consumer is slow */

/* What is back now: @most of it, or nothing. */
static const char *collect(const struct view *view, uint32_t most)
{
	struct player *second = &view->company->player[SECOND];
	struct pinion_buffer buffer[SLOTS];
	const int nr = pinion_broadcast_collect(second->broadcast, buffer, SLOTS);

	if (nr < 0 ? nr != -EAGAIN : nr && (uint32_t)nr != most)
		return "the producer has back what was not returned";
	for (int i = 0; i < nr; i++)
		if (pinion_buffer_free(second->cache, buffer[i]))
			return "what came back is not the producer's";
	second->out -= nr > 0 ? (uint32_t)nr : 0;
	return NULL;
}

static const char *lend_on(const struct view *view, struct player *second)
{
	int err = 1;

	for (uint32_t i = 0; err == 1; i++) {
		if (i > SLOTS)
			return "the producer can lend without end";
		player_draw(second, 1);
		err = pinion_broadcast_send(second->broadcast, second->desc, 1);
	}
	if (err != -EAGAIN && (err != -EPIPE || view->part->result != -EPIPE))
		return "the producer cannot lend beside one that is slow";
	return NULL;
}

static const char *producer_goes_on(struct view *view)
{
	struct player *second = &view->company->player[SECOND];
	const int lag = pinion_broadcast_lag(second->broadcast, second->number[FIRST]);
	const char *problem = collect(view, view->part->returns);

	if (!problem && lag < 0 && !(lag == -EPIPE && view->part->ends))
		problem = "the producer takes one that is slow for a liar";
	if (!problem)
		problem = lend_on(view, second);
	if (!problem && pinion_broadcast_recv(view->company->player[THIRD].seat,
					      view->company->player[THIRD].desc, 1) == -EPROTO)
		problem = "another consumer takes the producer for a liar";
	return problem;
}

/* --- the consumer is dead */

static const char *sever(const struct view *view)
{
	struct player *second = &view->company->player[SECOND];
	const char *problem = collect(view, view->part->returns);

	if (!problem && pinion_broadcast_sever(second->broadcast, second->number[FIRST]))
		problem = "the dead cannot be severed";
	if (!problem)
		problem = collect(view, second->out);
	if (!problem && second->out)
		problem = "what was lent to the dead did not come back";
	if (!problem && pinion_pool_held(keeper(view), SECOND + 1))
		problem = "the producer does not know of all that it has";
	return problem;
}

static const char *consumer_dies(struct view *view)
{
	const char *problem = sever(view);

	if (!problem)
		problem = burial_whole(view, FIRST);
	return problem ? problem : burial_sound(view);
}

static const char *consumer_is_buried(struct view *view)
{
	const char *problem = burial_whole(view, FIRST);

	if (!problem)
		problem = sever(view);
	return problem ? problem : burial_sound(view);
}

static const char *producer_dies_too(struct view *view)
{
	return both_die(view, SECOND);
}

const struct fate lending_of_producer[] = {
	{"the producer is slow", consumers_go_on},
	{"the producer is dead", producer_dies},
	{"producer and a consumer are dead", a_consumer_dies_too},
	{"all are dead", burial_of_all},
	{0},
};

const struct fate lending_of_consumer[] = {
	{"the consumer is slow", producer_goes_on},
	{"the consumer is dead", consumer_dies},
	{"the consumer is recovered, then severed", consumer_is_buried},
	{"consumer and producer are dead", producer_dies_too},
	{"all are dead", burial_of_all},
	{0},
};

/* --- two at once; in the child, of its own private state */

/* What came is the producer's still. */
static bool is_lent(const struct player *consumer, const struct pinion_desc *desc, int nr)
{
	for (int i = 0; i < nr; i++) {
		const struct pinion_buffer buffer = desc[i].buffer;

		if (consumer->pool->view.owner[pinion_buffer_id(buffer)] !=
		    pinion_owner_word(buffer, consumer->seat->producer))
			return false;
	}
	return true;
}

/* To where nothing is, and returns all; when it is the end, it leaves. */
static int read_on(struct player *consumer)
{
	int nr, sum = 0;

	while ((nr = pinion_broadcast_recv(consumer->seat, consumer->desc, SLOTS)) > 0) {
		if (!is_lent(consumer, consumer->desc, nr))
			return -EBADMSG;
		sum += nr;
	}
	if (nr != -EAGAIN && nr != -EPIPE)
		return nr;
	if (pinion_broadcast_return(consumer->seat, (uint32_t)consumer->seat->held) && nr != -EPIPE)
		return -EBADMSG;
	return nr == -EPIPE ? (int)pinion_broadcast_leave(consumer->seat) + sum + PART_END : sum;
}

/* All that is out, which goes back to the pool. */
static int have_back(struct player *producer, bool peer_is_dead)
{
	struct pinion_buffer buffer[SLOTS + 1];
	int nr;

	if (peer_is_dead)
		(void)pinion_broadcast_sever(producer->broadcast, producer->number[producer->peer]);
	nr = pinion_broadcast_collect(producer->broadcast, buffer, SLOTS + 1);
	for (int i = 0; i < nr; i++)
		if (pinion_buffer_free(producer->cache, buffer[i]))
			return -EBADMSG;
	return nr;
}

int lending_rest(struct player *player, bool peer_is_dead)
{
	if (player->seat)
		return read_on(player);
	return player->broadcast ? have_back(player, peer_is_dead) : -ENOENT;
}

/* --- ... and what they say, held against what was lent */

static const char *taker_wrong(const struct view *view, const struct contest *contest, int consumer,
			       const struct ending *ending)
{
	const struct part *part = contest->part[consumer];
	const int rest = tracee_ask(ending->taker, ending->dead);
	const int due = (int)view->company->player[consumer].due;
	const bool over = rest >= PART_END;
	int came = over ? rest - PART_END : rest;

	if (rest == -ENOENT)
		return part->ends && !part->batch ? NULL : "a consumer has no seat";
	if (rest < 0)
		return "a consumer cannot read on";
	if (over != (ending->dead || view->part->ends || view->part->severs))
		return "a consumer does not hear of the end, or of one that did not come";
	if (part->takes && ending->took > 0)
		came += ending->took;
	if (ending_is_fair(view, ending, came - due))
		return NULL;
	return view->part->severs && came <= due
		       ? NULL
		       : "a consumer has not all that it was lent, or more";
}

static const char *third_wrong(const struct view *view, const struct ending *ending, int producer)
{
	struct player *third = &view->company->player[THIRD];
	const uint32_t had = third->nr;
	int err = 0;
	const char *problem = receive(view, THIRD, producer, &err);

	if (!problem && !ending_is_fair(view, ending, (int)(third->nr - had - third->due)))
		problem = "another consumer has not all that it was lent, or more";
	if (!problem && !ending->giver && err != -EPIPE)
		problem = "another consumer does not hear of the end";
	if (!problem)
		problem = give_back(view, THIRD);
	return problem || ending->giver ? problem : leave(third);
}

/* It was returned before: all of what the taker returns at once, or nothing. */
static bool is_returned(const struct contest *contest, int back, uint32_t out)
{
	const int taker = company_other(contest->match->giver);
	const uint32_t whole = contest->part[taker]->returns;

	return !back || back == (int)(whole < out ? whole : out);
}

static const char *giver_wrong(const struct view *view, const struct contest *contest, int producer,
			       const struct ending *ending)
{
	const struct part *part = view->part;
	const int rest = tracee_ask(ending->giver, ending->dead);
	const int lent = ending_sent(view, ending);
	const int back = part->takes && ending->gave > 0 ? ending->gave : 0;

	if (rest == -ENOENT)
		return part->ends ? NULL : "the producer has no broadcast";
	if (!is_returned(contest, back, view->company->player[producer].out))
		return "the producer has back what was not returned";
	if (rest + back != (int)view->company->player[producer].out + lent)
		return "the producer has not all back that it lent, or more";
	if ((int)pinion_pool_held(keeper(view), (uint32_t)producer + 1) !=
	    (int)contest->held[producer] - rest)
		return "the producer does not know of all that it has";
	return NULL;
}

static const char *settle(struct view *view, const struct contest *contest,
			  const struct ending *ending)
{
	const int producer = contest->match->giver, consumer = company_other(producer);
	const char *problem = NULL;

	if (ending->taker)
		problem = taker_wrong(view, contest, consumer, ending);
	if (!problem)
		problem = third_wrong(view, ending, producer);
	if (problem)
		return problem;
	if (ending->giver)
		return giver_wrong(view, contest, producer, ending);
	return release_producer(view, producer, 1u << consumer | 1u << THIRD);
}

static const char *bury(struct view *view, int producer)
{
	if (producer == SECOND)
		return recover_producer(view, SECOND, 1u << FIRST | 1u << THIRD);
	return burial_whole(view, SECOND);
}

const struct judge lending_judge = {.both_die = both_die, .bury = bury, .settle = settle};
