/* SPDX-License-Identifier: BSD-3-Clause */
#include <pinion/wait.h>

#include "call.h"
#include "judge.h"

static void nothing(struct scene *scene)
{
	(void)scene;
}

static void publish(struct scene *scene, uint32_t tag)
{
	struct pinion_desc desc = desc_for(scene->theirs[0], 0);

	desc.tag = tag;
	scene_publish(scene, 0, &desc);
}

static void publish_one(struct scene *scene)
{
	publish(scene, 5);
}

/* What lies in the first slot, as it was looked at last, once it is a's. */
static bool came(const struct scene *scene, const struct pinion_desc *got)
{
	struct pinion_desc want;

	if (!fetched(scene, 0, &want) || !may_take(scene, &want, 0))
		return false;
	want.buffer = pinion_buffer_next(want.buffer);
	return same(&want, got);
}

static bool is_lie(const struct scene *scene)
{
	struct pinion_desc desc;

	return fetched(scene, 0, &desc) && !may_take(scene, &desc, 0);
}

/* Some look found the first slot unpublished. */
static bool was_empty(const struct scene *scene)
{
	const struct fetch *slot;
	struct pinion_desc ignored;

	for (uint32_t i = 0; (slot = scene_load(scene, PLACE_SLOT, scene_index(scene, 0), i)); i++)
		if (!reads_as(scene, slot, 0, &ignored))
			return true;
	return false;
}

static const char *judge_empty(const struct scene *scene, int result)
{
	if (result == -EAGAIN)
		return was_empty(scene) ? NULL : "what is published is not taken";
	return result == -EPIPE && was_empty(scene) && seen(scene, PLACE_PRODUCER_CLOSED)
		       ? NULL
		       : "an error that does not follow from slot and flag";
}

/* --- closing, and waiting at several */

static int close_it(struct scene *scene)
{
	const int err = pinion_channel_close(scene->a.channel);

	scene->a.channel = NULL;
	watch_forget(scene->tx);
	watch_forget(scene->rx);
	return err;
}

static const char *judge_close(struct scene *scene, int result)
{
	if (result)
		return "close fails";
	return scene->ba.shared->consumer_closed && scene->ab.shared->producer_closed
		       ? NULL
		       : "the peer is not told";
}

static int wait_any(struct scene *scene)
{
	uint32_t which = 4711;
	const int err = pinion_channel_wait_any(&scene->a.channel, 1, 1000, &which);

	return !err && which ? -ENOTRECOVERABLE : err; /* no call of ours gives that */
}

static const char *judge_wait(struct scene *scene, int result)
{
	(void)scene;
	return result == 0 || result == -ETIMEDOUT ? NULL : "wait gives another error";
}

/* --- requests */

static int ask(struct scene *scene)
{
	void *const context = scene;

	return pinion_request_send(scene->requester, scene->desc, &context, 1);
}

static void hold_one(struct scene *scene)
{
	scene->desc[0] = desc_for(scene->ours[0], 0);
}

/* a asked, and b answers with the buffer. */
static void answer(struct scene *scene)
{
	hold_one(scene);
	assert_int_equal(ask(scene), 1);
	scene->tag = (uint32_t)(scene->ab.shared->slot[scene_index(scene, 0)].body >> 32);
	publish(scene, scene->tag | PINION_TAG_ANSWER);
}

/* b asked, and a is about to answer. */
static void be_asked(struct scene *scene)
{
	void *context;

	publish(scene, 7);
	assert_int_equal(pinion_request_recv(scene->requester, scene->desc, &context, 1), 1);
}

static int hear(struct scene *scene)
{
	void *context = NULL;
	int got = pinion_request_recv(scene->requester, scene->desc, &context, 1);

	/* The context is the scene, with an answer, and with nothing else. */
	if (got == 1 && pinion_desc_is_answer(&scene->desc[0]) != (context == scene))
		return -ENOTRECOVERABLE;
	return got;
}

static const char *judge_hear(struct scene *scene, int result)
{
	struct pinion_desc desc;
	bool good;

	if (result == -EAGAIN || result == -EPIPE)
		return judge_empty(scene, result);
	if (is_lie(scene))
		return result == -EPROTO ? NULL : "a lie is not -EPROTO";
	if (!fetched(scene, 0, &desc))
		return "something comes of an empty ring";
	good = !pinion_desc_is_answer(&desc) || desc.tag == (scene->tag | PINION_TAG_ANSWER);
	if (result != (good ? 1 : -EPROTO))
		return "the tag fetched is not the one that counts";
	return result < 0 || came(scene, &scene->desc[0]) ? NULL : "what came was not fetched";
}

static int give_answer(struct scene *scene)
{
	return pinion_request_answer(scene->requester, scene->desc, 1);
}

static const char *judge_send(const struct scene *scene, int result, const struct pinion_desc *desc)
{
	const int want = seen(scene, PLACE_CONSUMER_CLOSED) ? -EPIPE
			 : !it_is_ours(scene)               ? -EINVAL
							    : 1;

	if (result != want)
		return "not what follows from flag and word";
	return result < 0 || stored(scene, 0, desc) ? NULL : "what was sent is not in the slot";
}

/* The first of all tags is 0. */
static const char *judge_ask(struct scene *scene, int result)
{
	struct pinion_desc desc = scene->desc[0];

	desc.tag = 0;
	if (pinion_requester_outstanding(scene->requester) != (result == 1))
		return "what is outstanding is not what was sent";
	return judge_send(scene, result, &desc);
}

static const char *judge_answer(struct scene *scene, int result)
{
	struct pinion_desc desc = scene->desc[0];

	desc.tag |= PINION_TAG_ANSWER;
	return judge_send(scene, result, &desc);
}

/* --- a fan-in */

/* Cold: what b publishes is found by its bits, or late. */
static void cool_and_publish(struct scene *scene)
{
	struct pinion_channel *channel;

	for (int i = 0; i < 300; i++)
		assert_int_equal(pinion_fanin_recv(scene->fanin, &channel, scene->desc, 1),
				 -EAGAIN);
	publish_one(scene);
	scene->ready->word[0] = 1;
	scene->ready->summary = 1;
}

static int poll_fanin(struct scene *scene)
{
	struct pinion_channel *channel = NULL;
	int got = pinion_fanin_recv(scene->fanin, &channel, scene->desc, 1);

	if (got != -EAGAIN && channel != scene->a.channel)
		return -ENOTRECOVERABLE;
	return got;
}

static const char *judge_poll(struct scene *scene, int result)
{
	if (result == 1)
		return came(scene, &scene->desc[0]) ? NULL : "what came was not fetched";
	if (result == -EPROTO)
		return is_lie(scene) ? NULL : "an honest one is refused";
	return judge_empty(scene, result);
}

/* A lane is looked at if both bits were there; the bits of lanes that nobody has are nothing. */
static const char *judge_cold(struct scene *scene, int result)
{
	const struct fetch *bits;
	bool told = false;

	for (uint32_t i = 0; (bits = scene_load(scene, PLACE_READY, 0, i)); i++)
		told |= bits->value[0] & 1;
	if (!told && result != -EAGAIN)
		return "a cold lane is looked at, that nobody told of";
	return told ? judge_poll(scene, result) : NULL;
}

static int wait_at_fanin(struct scene *scene)
{
	return pinion_fanin_wait(scene->fanin, 1000);
}

/* --- a broadcast: the producer */

static int lend(struct scene *scene)
{
	return pinion_broadcast_send(scene->broadcast, scene->desc, 1);
}

static const char *judge_lend(struct scene *scene, int result)
{
	if (result != (it_is_ours(scene) ? 1 : -EINVAL))
		return "not what follows from the word";
	return result < 0 || stored(scene, 0, &scene->desc[0]) ? NULL
							       : "what was lent is not in the slot";
}

static void lend_two(struct scene *scene)
{
	for (uint32_t i = 0; i < 2; i++) {
		scene->desc[0] = desc_for(scene->ours[i], i);
		assert_int_equal(lend(scene), 1);
	}
	scene->chair->returned = 1;
}

static int collect(struct scene *scene)
{
	return pinion_broadcast_collect(scene->broadcast, scene->buffer, SLOTS);
}

/* How many of the two the seat leaves with the consumer, which said before that it returned
 * @before: by what was fetched. -EPIPE: it left; -EPROTO: it lied. */
static int lag_after(const struct scene *scene, uint64_t before)
{
	const uint64_t returned = seen(scene, PLACE_RETURNED);

	if (seen(scene, PLACE_CLOSED))
		return -EPIPE;
	return returned > 2 || returned < before ? -EPROTO : 2 - (int)returned;
}

/* Of a liar, and of nobody else, nothing is kept: it is told so. */
static const char *judge_severed(const struct scene *scene, int lag)
{
	return (scene->chair->ended > SEAT_ENDED) == (lag == -EPROTO)
		       ? NULL
		       : "the liar is not severed, or an honest one is";
}

static const char *judge_collect(struct scene *scene, int result)
{
	const int lag = lag_after(scene, 0), want = lag < 0 ? 2 : lag == 2 ? -EAGAIN : 2 - lag;

	if (result != want)
		return "not what follows from the seat";
	for (int i = 0; i < result; i++)
		if (scene->buffer[i].bits != scene->ours[i].bits)
			return "a buffer comes back that was not lent";
	return judge_severed(scene, lag);
}

static int ask_lag(struct scene *scene)
{
	return pinion_broadcast_lag(scene->broadcast, 0);
}

static const char *judge_lag_after(const struct scene *scene, int result, uint64_t before)
{
	const int lag = lag_after(scene, before);

	return result == lag ? judge_severed(scene, lag) : "not what follows from the seat";
}

static const char *judge_lag(struct scene *scene, int result)
{
	return judge_lag_after(scene, result, 0);
}

/* The one that came back cannot be lent again. */
static void lend_two_and_look(struct scene *scene)
{
	lend_two(scene);
	assert_int_equal(ask_lag(scene), 1);
}

static const char *judge_lag_again(struct scene *scene, int result)
{
	return judge_lag_after(scene, result, 1);
}

/* --- a broadcast: a consumer */

static int borrow(struct scene *scene)
{
	return pinion_broadcast_recv(scene->seat, scene->desc, 1);
}

/* The @nth look at whether it goes on. */
static uint64_t ended(const struct scene *scene, uint32_t nth)
{
	const struct fetch *fetch = scene_load(scene, PLACE_ENDED, 0, nth);

	return fetch ? fetch->value[0] : 0;
}

/* A broken seat stays so, whatever lies there by now, and its producer is told. */
static const char *judge_broken(struct scene *scene)
{
	const struct pinion_desc none = {0};

	if (!scene->chair->closed)
		return "the liar is not told";
	scene->ba.shared->slot[scene_index(scene, 0)] = slot_of_desc(&none, !scene_odd(scene, 0));
	return borrow(scene) == -EPROTO ? NULL : "a broken seat goes on";
}

/* A lie that is told by one who severed us meanwhile is none. */
static const char *judge_borrow(struct scene *scene, int result)
{
	struct pinion_desc desc;

	if (ended(scene, 0) > SEAT_ENDED)
		return result == -EPIPE ? NULL : "one that was severed goes on";
	if (result == -EAGAIN)
		return was_empty(scene) ? NULL : "what is published is not taken";
	if (result == -EPIPE && was_empty(scene))
		return ended(scene, 0) ? NULL : "it ends, and nobody said so";
	if (!fetched(scene, 0, &desc))
		return "something comes of an empty ring";
	if (is_lie(scene) && ended(scene, 1) > SEAT_ENDED)
		return result == -EPIPE ? NULL : "who severs us is taken for a liar";
	if (is_lie(scene))
		return result == -EPROTO ? judge_broken(scene) : "a lie is not -EPROTO";
	return result == 1 && same(&desc, &scene->desc[0]) ? NULL : "what came was not fetched";
}

/* What b may not lend: it is a's. */
static void publish_a_lie(struct scene *scene)
{
	const struct pinion_desc desc = desc_for(scene->ours[0], 0);

	scene_publish(scene, 0, &desc);
}

static void end_it(struct scene *scene)
{
	scene->chair->ended = SEAT_ENDED;
}

static void borrow_before(struct scene *scene)
{
	publish_one(scene);
	assert_int_equal(borrow(scene), 1);
}

static int give_back(struct scene *scene)
{
	return pinion_broadcast_return(scene->seat, 1);
}

static const char *judge_give_back(struct scene *scene, int result)
{
	const bool severed = ended(scene, 0) > SEAT_ENDED;

	if (result != (severed ? -EPIPE : 0))
		return "not what follows from the seat";
	return scene->chair->returned == !severed ? NULL : "the producer is not told of it";
}

static int wait_at_seat(struct scene *scene)
{
	return pinion_broadcast_wait(scene->seat, 1000);
}

/* The small numbers and the laps, see sweep.c. */
#define FEW 8

#define LOADS_OF_STRIKE .loads[PLACE_BELL_STATE] = 1, .loads[PLACE_BELL_FENCED] = ANY

const struct call more_calls[] = {
	{.name = "channel_close",
	 .prepare = publish_one,
	 .act = close_it,
	 .judge = judge_close,
	 LOADS_OF_STRIKE,
	 .most = 1},
	{.name = "wait_any",
	 .prepare = publish_one,
	 .act = wait_any,
	 .judge = judge_wait,
	 .loads[PLACE_SLOT] = 1,
	 .most = 1,
	 .whole = true,
	 .values = FEW},
	{.name = "request_send",
	 .kind = KIND_REQUEST,
	 .prepare = hold_one,
	 .act = ask,
	 .judge = judge_ask,
	 LOADS_OF_STRIKE,
	 .loads[PLACE_CONSUMER_CLOSED] = 1,
	 .loads[PLACE_WORD] = 1,
	 .most = 1},
	{.name = "request_recv",
	 .kind = KIND_REQUEST,
	 .prepare = answer,
	 .act = hear,
	 .judge = judge_hear,
	 .loads[PLACE_SLOT] = 1,
	 .loads[PLACE_WORD] = 1,
	 .most = 1,
	 .whole = true},
	{.name = "request_answer",
	 .kind = KIND_REQUEST,
	 .prepare = be_asked,
	 .act = give_answer,
	 .judge = judge_answer,
	 LOADS_OF_STRIKE,
	 .loads[PLACE_CONSUMER_CLOSED] = 1,
	 .loads[PLACE_WORD] = 1,
	 .most = 1},
	{.name = "fanin_recv",
	 .kind = KIND_FANIN,
	 .prepare = publish_one,
	 .act = poll_fanin,
	 .judge = judge_poll,
	 .loads[PLACE_SUMMARY] = 1,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_WORD] = 1,
	 .most = 2,
	 .whole = true},
	{.name = "fanin_recv_empty",
	 .kind = KIND_FANIN,
	 .prepare = nothing,
	 .act = poll_fanin,
	 .judge = judge_poll,
	 .loads[PLACE_SUMMARY] = 1,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_PRODUCER_CLOSED] = 2,
	 .most = 2,
	 .whole = true},
	{.name = "fanin_recv_cold",
	 .kind = KIND_FANIN,
	 .prepare = cool_and_publish,
	 .act = poll_fanin,
	 .judge = judge_cold,
	 .loads[PLACE_SUMMARY] = 2,
	 .loads[PLACE_READY] = 1,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_WORD] = 1,
	 .most = 2,
	 .whole = true},
	{.name = "fanin_wait",
	 .kind = KIND_FANIN,
	 .prepare = publish_one,
	 .act = wait_at_fanin,
	 .judge = judge_wait,
	 .loads[PLACE_SUMMARY] = 1,
	 .loads[PLACE_SLOT] = 1,
	 .most = 1,
	 .whole = true,
	 .values = FEW},
	{.name = "broadcast_send",
	 .kind = KIND_PRODUCER,
	 .prepare = hold_one,
	 .act = lend,
	 .judge = judge_lend,
	 LOADS_OF_STRIKE,
	 .loads[PLACE_WORD] = 1,
	 .most = 1},
	{.name = "broadcast_collect",
	 .kind = KIND_PRODUCER,
	 .prepare = lend_two,
	 .act = collect,
	 .judge = judge_collect,
	 .loads[PLACE_CLOSED] = 1,
	 .loads[PLACE_RETURNED] = 1,
	 .most = 1},
	{.name = "broadcast_lag",
	 .kind = KIND_PRODUCER,
	 .prepare = lend_two,
	 .act = ask_lag,
	 .judge = judge_lag,
	 .loads[PLACE_CLOSED] = 1,
	 .loads[PLACE_RETURNED] = 1,
	 .most = 1},
	{.name = "broadcast_lag_again",
	 .kind = KIND_PRODUCER,
	 .prepare = lend_two_and_look,
	 .act = ask_lag,
	 .judge = judge_lag_again,
	 .loads[PLACE_CLOSED] = 1,
	 .loads[PLACE_RETURNED] = 1,
	 .most = 1},
	{.name = "broadcast_recv",
	 .kind = KIND_CONSUMER,
	 .prepare = publish_one,
	 .act = borrow,
	 .judge = judge_borrow,
	 .loads[PLACE_SLOT] = 1,
	 .loads[PLACE_ENDED] = 1,
	 .loads[PLACE_WORD] = 1,
	 .most = 1,
	 .whole = true},
	{.name = "broadcast_recv_empty",
	 .kind = KIND_CONSUMER,
	 .prepare = nothing,
	 .act = borrow,
	 .judge = judge_borrow,
	 .loads[PLACE_SLOT] = 1,
	 .loads[PLACE_ENDED] = 1,
	 .most = 1,
	 .whole = true},
	{.name = "broadcast_recv_ended",
	 .kind = KIND_CONSUMER,
	 .prepare = end_it,
	 .act = borrow,
	 .judge = judge_borrow,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_ENDED] = 1,
	 .most = 2,
	 .whole = true},
	{.name = "broadcast_recv_lie",
	 .kind = KIND_CONSUMER,
	 .prepare = publish_a_lie,
	 .act = borrow,
	 .judge = judge_borrow,
	 .loads[PLACE_SLOT] = 1,
	 .loads[PLACE_ENDED] = 2,
	 .loads[PLACE_WORD] = 1,
	 .most = 2,
	 .whole = true},
	{.name = "broadcast_return",
	 .kind = KIND_CONSUMER,
	 .prepare = borrow_before,
	 .act = give_back,
	 .judge = judge_give_back,
	 .loads[PLACE_ENDED] = 1,
	 .most = 1},
	{.name = "broadcast_wait",
	 .kind = KIND_CONSUMER,
	 .prepare = publish_one,
	 .act = wait_at_seat,
	 .judge = judge_wait,
	 .loads[PLACE_SLOT] = 1,
	 .most = 1,
	 .whole = true,
	 .values = FEW},
};
const size_t nr_more_calls = sizeof(more_calls) / sizeof(more_calls[0]);
