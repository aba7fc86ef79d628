/* SPDX-License-Identifier: BSD-3-Clause */
#include "call.h"

#include "judge.h"

#define ROW 8u /* DESC_ROW_MIN */

/* --- receiving */

static void publish(struct scene *scene, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		const struct pinion_desc desc = desc_for(scene->theirs[i], i);

		scene_publish(scene, i, &desc);
	}
}

static void publish_one(struct scene *scene)
{
	publish(scene, 1);
}

static void publish_three(struct scene *scene)
{
	publish(scene, 3);
}

static void publish_all(struct scene *scene)
{
	publish(scene, scene->slots);
}

static void nothing(struct scene *scene)
{
	(void)scene;
}

static void producer_closes(struct scene *scene)
{
	scene->ba.shared->producer_closed = 1;
}

static int recv_one_desc(struct scene *scene)
{
	return pinion_channel_recv(scene->a.channel, scene->desc, 1);
}

static int recv_all(struct scene *scene)
{
	return pinion_channel_recv(scene->a.channel, scene->desc, SLOTS);
}

/* Was the slot looked at after the flag? */
static bool looked_again(const struct scene *scene)
{
	return seen_slot(scene, 0) > scene_load(scene, PLACE_PRODUCER_CLOSED, 0, 0);
}

/* -EAGAIN and -EPIPE: by the flag as it was fetched. Between the two looks at the slot the peer may
 * have published. */
static const char *judge_empty(const struct scene *scene, int result)
{
	struct pinion_desc ignored;

	if (!seen(scene, PLACE_PRODUCER_CLOSED) || fetched(scene, 0, &ignored))
		return result == -EAGAIN ? NULL : "an empty ring is not -EAGAIN";
	if (result != -EPIPE)
		return "an empty ring whose sender closed is not -EPIPE";
	return looked_again(scene) ? NULL : "it ends, and what came before may lie there";
}

static uint32_t earlier(const struct pinion_desc *desc, uint32_t i)
{
	uint32_t nr = 0;

	for (uint32_t k = 0; k < i; k++)
		nr += pinion_buffer_id(desc[k].buffer) == pinion_buffer_id(desc[i].buffer);
	return nr;
}

static const char *judge_refused(struct scene *scene, int result)
{
	struct pinion_desc desc;

	if (result != -EPROTO)
		return "a lie is not -EPROTO";
	if (!scene->ba.shared->consumer_closed || !scene->ab.shared->producer_closed)
		return "the liar is not told";
	if (pinion_channel_recv(scene->a.channel, &desc, 1) != -EPROTO ||
	    pinion_channel_send(scene->a.channel, &desc, 1) != -EPROTO)
		return "a broken channel goes on";
	return NULL;
}

static const char *judge_taken(const struct scene *scene, const struct pinion_desc *was,
			       uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct pinion_desc want = was[i];

		want.buffer = pinion_buffer_next(want.buffer);
		if (!same(&want, &scene->desc[i]))
			return "what was received is not what was fetched";
		if (scene_word(scene, want.buffer) !=
			    pinion_owner_word(want.buffer, scene->a.pool->view.self) &&
		    !earlier(was, i))
			return "a buffer received is not ours";
	}
	return NULL;
}

static const char *judge_recv(struct scene *scene, int result)
{
	struct pinion_desc was[SLOTS_MAX];
	uint32_t there = 0, good = 0;

	while (there < scene->slots && fetched(scene, there, &was[there]))
		there++;
	if (result > 0 && (uint32_t)result > there)
		return "more came than was published";
	while (good < there && may_take(scene, &was[good], earlier(was, good)))
		good++;
	if (!there || result == -EAGAIN || result == -EPIPE)
		return judge_empty(scene, result);
	if (!good)
		return judge_refused(scene, result);
	if (result != (int)good)
		return "not as many came as were good";
	return judge_taken(scene, was, good);
}

/* A row goes by vectors. */
static void publish_row(struct scene *scene)
{
	publish(scene, ROW);
}

/* The next buffer is not its neighbour. */
static void publish_row_and_one(struct scene *scene)
{
	const struct pinion_desc other = desc_for(scene->theirs[ROW + 1], ROW);

	publish(scene, ROW);
	scene_publish(scene, ROW, &other);
}

/* Half of its ids name no buffer, and all words say that b holds them. */
static void publish_row_beyond(struct scene *scene)
{
	for (uint32_t i = 0; i < ROW; i++) {
		const struct pinion_buffer buffer = pinion_buffer_make(BUFFERS - ROW / 2 + i, 1);
		const struct pinion_desc desc = desc_for(buffer, i);

		scene_hold(scene, buffer, &scene->b);
		scene_publish(scene, i, &desc);
	}
}

static int recv_row(struct scene *scene)
{
	return pinion_channel_recv(scene->a.channel, scene->desc, ROW);
}

static int recv_row_and_one(struct scene *scene)
{
	return pinion_channel_recv(scene->a.channel, scene->desc, ROW + 1);
}

static int wait_shortly(struct scene *scene)
{
	return pinion_channel_wait(scene->a.channel, 1000);
}

static const char *judge_wait(struct scene *scene, int result)
{
	(void)scene;
	return result == 0 || result == -ETIMEDOUT ? NULL : "wait gives another error";
}

/* Who may only send waits for room, or for the end. */
static const char *judge_wait_for_room(struct scene *scene, int result)
{
	const struct fetch *fetch;
	bool reason = false;

	for (uint32_t i = 0; (fetch = scene_load(scene, PLACE_CREDIT, 0, i)) != NULL; i++)
		reason |= fetch->value[0] != scene->start;
	for (uint32_t i = 0; (fetch = scene_load(scene, PLACE_CONSUMER_CLOSED, 0, i)) != NULL; i++)
		reason |= fetch->value[0] != 0;
	return result == (reason ? 0 : -ETIMEDOUT) ? NULL : "not what follows from flag and credit";
}

static int wait_room_shortly(struct scene *scene)
{
	return pinion_channel_wait_room(scene->a.channel, 1000);
}

/* Of a full ring: every look may have been the reason to come back, and the last ones say which. */
static const char *judge_wait_room(struct scene *scene, int result)
{
	const struct fetch *closed = seen_last(scene, PLACE_CONSUMER_CLOSED, 0);
	const struct fetch *credit = seen_last(scene, PLACE_CREDIT, 0), *fetch;
	bool reason = false;

	for (uint32_t i = 0; (fetch = scene_load(scene, PLACE_CREDIT, 0, i)) != NULL; i++)
		reason |= fetch->value[0] != scene->start;
	for (uint32_t i = 0; (fetch = scene_load(scene, PLACE_CONSUMER_CLOSED, 0, i)) != NULL; i++)
		reason |= fetch->value[0] != 0;
	if (!reason)
		return result == -ETIMEDOUT ? NULL : "no room, and it does not wait";
	if (closed && closed->value[0])
		return result == -EPIPE ? NULL : "the peer is gone, and it does not say so";
	if (credit && credit->value[0] - scene->start > SLOTS)
		return result == -EPROTO ? NULL : "credit that cannot be is taken";
	return result == 0 ? NULL : "not what follows from flag and credit";
}

static int drain_shortly(struct scene *scene)
{
	return pinion_channel_drain(scene->a.channel, 1000);
}

/* By the last look at each word that it came to, and at the flag. */
static const char *judge_drain(struct scene *scene, int result)
{
	const struct fetch *flag = seen_last(scene, PLACE_CONSUMER_CLOSED, 0);
	bool drained = true;

	for (uint32_t i = 0; i < SLOTS; i++) {
		const struct pinion_buffer sent = scene->ours[i];
		const struct fetch *word = seen_last(scene, PLACE_WORD, pinion_buffer_id(sent));

		drained &= !word ||
			   word->value[0] != pinion_owner_word(sent, scene->a.pool->view.self);
	}
	if (drained)
		return result == 0 ? NULL : "all is taken";
	return result == (flag && flag->value[0] ? -EPIPE : -ETIMEDOUT)
		       ? NULL
		       : "not what follows from the flag";
}

static int list_published(struct scene *scene)
{
	return (int)pinion_channel_published(scene->a.channel, scene->buffer);
}

static const char *judge_published(struct scene *scene, int result)
{
	int nr = 0;

	for (uint32_t i = 0; i < SLOTS; i++) {
		const struct fetch *slot = scene_load(scene, PLACE_SLOT, i, 0);

		if (!slot || !(slot->value[0] & ~PINION_SLOT_HEAD_LAP))
			continue;
		if (nr >= result ||
		    scene->buffer[nr++].bits != (slot->value[0] & ~PINION_SLOT_HEAD_LAP))
			return "a handle listed is not the one fetched";
	}
	return nr == result ? NULL : "more handles are listed than were fetched";
}

/* --- sending */

/* One of a's buffers, on a ring that is new ... */
static void hold_one(struct scene *scene)
{
	scene->desc[0] = desc_for(scene->ours[SLOTS], 0);
}

/* ... or whose slots were all sent, and taken. */
static void send_all_before(struct scene *scene)
{
	struct pinion_desc desc[SLOTS];

	for (uint32_t i = 0; i < SLOTS; i++)
		desc[i] = desc_for(scene->ours[i], i);
	if (scene->send)
		assert_int_equal(pinion_ring_send(scene->send, desc, SLOTS), SLOTS);
	else
		assert_int_equal(pinion_channel_send(scene->a.channel, desc, SLOTS), SLOTS);
	hold_one(scene);
}

static void send_all_and_take(struct scene *scene)
{
	send_all_before(scene);
	scene_take(scene, SLOTS);
}

static int send_it(struct scene *scene)
{
	return pinion_channel_send(scene->a.channel, scene->desc, 1);
}

/* Only then is the credit looked at. */
static bool is_second_lap(const struct scene *scene)
{
	return scene_load(scene, PLACE_CREDIT, 0, 0);
}

/* Was the buffer sent in that slot before not taken? In the first lap there was none, and no word
 * says otherwise. */
static bool last_is_ours(const struct scene *scene)
{
	return is_second_lap(scene) && is_ours(scene, scene->ours[0]);
}

static const char *judge_send(struct scene *scene, int result)
{
	int want = room_by_credit(scene);

	if (seen(scene, PLACE_CONSUMER_CLOSED))
		want = -EPIPE;
	else if (want > 0 && !it_is_ours(scene))
		want = -EINVAL;
	else if (want > 0 && last_is_ours(scene))
		want = -EPROTO;
	if (result != want)
		return "not what follows from flag, credit and words";
	if (result > 0 && !stored(scene, is_second_lap(scene) ? SLOTS : 0, &scene->desc[0]))
		return "what was sent is not in the slot";
	return NULL;
}

/* A row that a has, whole and for the first time in that ring, ... */
static void hold_row(struct scene *scene)
{
	for (uint32_t i = 0; i < ROW; i++)
		scene->desc[i] = desc_for(scene->ours[ROW + i], i);
}

/* a sends its other row, as it is for the @nth time. */
static void send_other_row(struct scene *scene, uint32_t nth)
{
	struct pinion_desc desc[ROW];

	for (uint32_t i = 0; i < ROW; i++) {
		desc[i] = desc_for(scene->ours[i], i);
		for (uint32_t passed = 0; passed < 2 * nth; passed++)
			desc[i].buffer = pinion_buffer_next(desc[i].buffer);
		scene_hold(scene, desc[i].buffer, &scene->a);
	}
	assert_int_equal(pinion_channel_send(scene->a.channel, desc, ROW), ROW);
}

/* ... or where the slots have the marks of another, which b gave back once, and has. */
static void send_rows_and_take(struct scene *scene)
{
	send_other_row(scene, 0);
	send_other_row(scene, 1);
	scene_take(scene, 2 * ROW);
	hold_row(scene);
}

static int send_row(struct scene *scene)
{
	return pinion_channel_send(scene->a.channel, scene->desc, ROW);
}

/* How many of a row have room, by the credit as it was fetched, if it was; or an error. */
static int room_for_row(const struct scene *scene)
{
	const uint64_t given = seen(scene, PLACE_CREDIT) - scene->start;
	const int room = room_by_credit(scene);

	return room <= 0 ? room : given < ROW && is_second_lap(scene) ? (int)given : (int)ROW;
}

/* How many of @room go; an error, if none. */
static int good_of_row(const struct scene *scene, int room)
{
	for (int i = 0; i < room; i++) {
		if (!is_ours(scene, scene->desc[i].buffer))
			return i ? i : -EINVAL;
		if (is_second_lap(scene) && is_ours(scene, scene->ours[i]))
			return i ? i : -EPROTO;
	}
	return room;
}

static const char *judge_send_row(struct scene *scene, int result)
{
	const uint32_t from = is_second_lap(scene) ? 2 * ROW : 0;
	int want = seen(scene, PLACE_CONSUMER_CLOSED) ? -EPIPE : room_for_row(scene);

	if (want > 0)
		want = good_of_row(scene, want);
	if (result != want)
		return "not what follows from flag, credit and words";
	for (int i = 0; i < result; i++)
		if (!stored(scene, from + (uint32_t)i, &scene->desc[i]))
			return "what was sent is not in the slots";
	return NULL;
}

static void consumer_closes(struct scene *scene)
{
	send_all_before(scene);
	scene->ab.shared->consumer_closed = 1;
}

static int reclaim(struct scene *scene)
{
	return pinion_channel_reclaim(scene->a.channel, scene->a.cache);
}

/* A word that changes between the take-back and the free gives that free's error. */
static const char *judge_reclaim(struct scene *scene, int result)
{
	if (!seen(scene, PLACE_CONSUMER_CLOSED))
		return result == -EBUSY ? NULL : "of a living peer it is not -EBUSY";
	return (result >= 0 && result <= (int)SLOTS) || result == -EINVAL ? NULL : "another error";
}

/* --- raw rings */

static int ring_recv_all(struct scene *scene)
{
	return pinion_ring_recv(scene->recv, scene->desc, SLOTS);
}

static int ring_peek_all(struct scene *scene)
{
	return pinion_ring_peek(scene->recv, 0, scene->desc, SLOTS);
}

static const char *judge_ring_recv(struct scene *scene, int result)
{
	struct pinion_desc was;
	uint32_t there = 0;

	for (; there < SLOTS && fetched(scene, there, &was); there++)
		if (result > 0 && !same(&was, &scene->desc[there]))
			return "what was received is not what was fetched";
	if (!there || result < 0)
		return judge_empty(scene, result);
	return result == (int)there ? NULL : "not as many came as were published";
}

static int ring_release_three(struct scene *scene)
{
	return pinion_ring_release(scene->recv, 3);
}

static const char *judge_release(struct scene *scene, int result)
{
	struct pinion_desc ignored;
	bool all = true;

	for (uint32_t i = 0; i < 3; i++)
		all = all && fetched(scene, i, &ignored);
	return result == (all ? 0 : -EINVAL) ? NULL : "not by what was fetched";
}

static int ring_send_it(struct scene *scene)
{
	return pinion_ring_send(scene->send, scene->desc, 1);
}

static const char *judge_ring_send(struct scene *scene, int result)
{
	const int want = seen(scene, PLACE_CONSUMER_CLOSED) ? -EPIPE : room_by_credit(scene);

	if (result != want)
		return "not what follows from flag and credit";
	if (result > 0 && !stored(scene, is_second_lap(scene) ? SLOTS : 0, &scene->desc[0]))
		return "what was sent is not in the slot";
	return NULL;
}

/* Two, where there is room for one by the last that was heard of the credit. */
static void send_five_and_take(struct scene *scene)
{
	send_all_before(scene);
	scene_take(scene, 2);
	assert_int_equal(pinion_ring_send(scene->send, scene->desc, 1), 1);
}

static int ring_send_two(struct scene *scene)
{
	scene->desc[1] = scene->desc[0];
	return pinion_ring_send(scene->send, scene->desc, 2);
}

/* Credit neither goes back nor beyond what was sent. */
static const char *judge_credit_again(struct scene *scene, int result)
{
	const uint64_t given = seen(scene, PLACE_CREDIT) - scene->start;
	int want = given > 2 ? 2 : 1;

	if (seen(scene, PLACE_CONSUMER_CLOSED))
		want = -EPIPE;
	else if (given < 2 || given > SLOTS + 1)
		want = -EPROTO;
	return result == want ? NULL : "not what follows from flag and credit";
}

static int ring_send_in_place(struct scene *scene)
{
	int nr = pinion_ring_reserve(scene->send, 3);

	for (int i = 0; i < nr; i++) {
		scene->desc[i] = desc_for(scene->ours[i], (uint32_t)i);
		if (pinion_ring_put(scene->send, (uint32_t)i, &scene->desc[i]))
			return -ENOTRECOVERABLE; /* no call of ours gives that */
	}
	return nr < 0 ? nr : pinion_ring_commit(scene->send, (uint32_t)nr);
}

/* The first slot's head may be read back: whoever changed it meanwhile changed what it gets. */
static const char *judge_in_place(struct scene *scene, int result)
{
	if (result < 0)
		return result == (seen(scene, PLACE_CONSUMER_CLOSED) ? -EPIPE : 0)
			       ? NULL
			       : "another error";
	for (uint32_t i = 1; i < 3; i++)
		if (!stored(scene, i, &scene->desc[i]))
			return "what was put is not in the slot";
	return result == 3 ? NULL : "not as many as were put";
}

static int ring_wait_shortly(struct scene *scene)
{
	return pinion_ring_wait(scene->recv, 1000);
}

/* The small numbers and the laps, see sweep.c. */
#define FEW 8

#define LOADS_OF_SEND                                                    \
	.loads[PLACE_CONSUMER_CLOSED] = 1, .loads[PLACE_BELL_STATE] = 1, \
	.loads[PLACE_BELL_FENCED] = ANY

const struct call calls[] = {
	{.name = "channel_recv",
	 .prepare = publish_one,
	 .act = recv_one_desc,
	 .judge = judge_recv,
	 .loads[PLACE_SLOT] = 1,
	 .loads[PLACE_WORD] = 1,
	 .most = 1,
	 .whole = true},
	{.name = "channel_recv_line",
	 .prepare = publish_all,
	 .act = recv_all,
	 .judge = judge_recv,
	 .loads[PLACE_SLOT] = 4,
	 .loads[PLACE_WORD] = 4,
	 .most = 1,
	 .whole = true},
	{.name = "channel_recv_row",
	 .slots = SLOTS_MAX,
	 .prepare = publish_row,
	 .act = recv_row,
	 .judge = judge_recv,
	 .loads[PLACE_SLOT] = ROW,
	 .loads[PLACE_WORD] = ROW,
	 .most = 1,
	 .whole = true,
	 .vectors = true},
	{.name = "channel_recv_row_and_one",
	 .slots = SLOTS_MAX,
	 .prepare = publish_row_and_one,
	 .act = recv_row_and_one,
	 .judge = judge_recv,
	 .loads[PLACE_SLOT] = ROW + 1,
	 .loads[PLACE_WORD] = ROW + 1,
	 .most = 1,
	 .whole = true},
	{.name = "channel_recv_row_beyond",
	 .slots = SLOTS_MAX,
	 .prepare = publish_row_beyond,
	 .act = recv_row,
	 .judge = judge_recv,
	 .loads[PLACE_SLOT] = ROW,
	 .loads[PLACE_WORD] = ROW / 2,
	 .most = 1,
	 .whole = true},
	{.name = "channel_recv_part",
	 .prepare = publish_three,
	 .act = recv_all,
	 .judge = judge_recv,
	 .loads[PLACE_SLOT] = ANY,
	 .loads[PLACE_WORD] = 3,
	 .most = 2,
	 .whole = true},
	{.name = "channel_recv_empty",
	 .prepare = nothing,
	 .act = recv_one_desc,
	 .judge = judge_recv,
	 .loads[PLACE_SLOT] = 1,
	 .loads[PLACE_PRODUCER_CLOSED] = 1,
	 .most = 1,
	 .whole = true},
	{.name = "channel_recv_closed",
	 .prepare = producer_closes,
	 .act = recv_one_desc,
	 .judge = judge_recv,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_PRODUCER_CLOSED] = 1,
	 .most = 2,
	 .whole = true},
	{.name = "channel_wait",
	 .prepare = publish_one,
	 .act = wait_shortly,
	 .judge = judge_wait,
	 .loads[PLACE_SLOT] = 1,
	 .most = 1,
	 .whole = true,
	 .values = FEW},
	{.name = "one_way_wait",
	 .kind = KIND_ONE_WAY,
	 .prepare = send_all_and_take,
	 .act = wait_shortly,
	 .judge = judge_wait_for_room,
	 .loads[PLACE_CONSUMER_CLOSED] = 1,
	 .loads[PLACE_CREDIT] = 1,
	 .most = 1},
	{.name = "one_way_wait_in_vain",
	 .kind = KIND_ONE_WAY,
	 .prepare = send_all_before,
	 .act = wait_shortly,
	 .judge = judge_wait_for_room,
	 .loads[PLACE_CONSUMER_CLOSED] = ANY,
	 .loads[PLACE_CREDIT] = ANY},
	{.name = "channel_published",
	 .prepare = publish_three,
	 .act = list_published,
	 .judge = judge_published,
	 .loads[PLACE_SLOT] = 4,
	 .most = 1},
	{.name = "channel_send",
	 .prepare = hold_one,
	 .act = send_it,
	 .judge = judge_send,
	 LOADS_OF_SEND,
	 .loads[PLACE_WORD] = ANY,
	 .most = 1},
	{.name = "channel_send_again",
	 .prepare = send_all_and_take,
	 .act = send_it,
	 .judge = judge_send,
	 LOADS_OF_SEND,
	 .loads[PLACE_CREDIT] = 1,
	 .loads[PLACE_WORD] = 2,
	 .most = 1},
	{.name = "channel_send_row",
	 .slots = SLOTS_MAX,
	 .prepare = hold_row,
	 .act = send_row,
	 .judge = judge_send_row,
	 LOADS_OF_SEND,
	 .loads[PLACE_WORD] = ROW,
	 .most = 1,
	 .vectors = true},
	{.name = "channel_send_row_again",
	 .slots = SLOTS_MAX,
	 .prepare = send_rows_and_take,
	 .act = send_row,
	 .judge = judge_send_row,
	 LOADS_OF_SEND,
	 .loads[PLACE_CREDIT] = 1,
	 .loads[PLACE_WORD] = 2 * ROW,
	 .most = 1,
	 .vectors = true},
	{.name = "channel_wait_room",
	 .prepare = send_all_and_take,
	 .act = wait_room_shortly,
	 .judge = judge_wait_room,
	 .loads[PLACE_CONSUMER_CLOSED] = 2,
	 .loads[PLACE_CREDIT] = 1,
	 .most = 2},
	{.name = "channel_wait_room_in_vain",
	 .prepare = send_all_before,
	 .act = wait_room_shortly,
	 .judge = judge_wait_room,
	 .loads[PLACE_CONSUMER_CLOSED] = ANY,
	 .loads[PLACE_CREDIT] = ANY},
	{.name = "channel_drain",
	 .prepare = send_all_and_take,
	 .act = drain_shortly,
	 .judge = judge_drain,
	 .loads[PLACE_CONSUMER_CLOSED] = 1,
	 .loads[PLACE_WORD] = SLOTS,
	 .most = 1},
	{.name = "channel_drain_in_vain",
	 .prepare = send_all_before,
	 .act = drain_shortly,
	 .judge = judge_drain,
	 .loads[PLACE_CONSUMER_CLOSED] = ANY,
	 .loads[PLACE_WORD] = ANY},
	{.name = "channel_drain_closed",
	 .prepare = consumer_closes,
	 .act = drain_shortly,
	 .judge = judge_drain,
	 .loads[PLACE_CONSUMER_CLOSED] = 1,
	 .loads[PLACE_WORD] = 1,
	 .most = 1},
	{.name = "channel_reclaim",
	 .prepare = consumer_closes,
	 .act = reclaim,
	 .judge = judge_reclaim,
	 .loads[PLACE_CONSUMER_CLOSED] = 1,
	 .loads[PLACE_WORD] = 2 * SLOTS,
	 .loads[PLACE_OTHER] = ANY},
	{.name = "ring_recv",
	 .kind = KIND_RAW,
	 .prepare = publish_all,
	 .act = ring_recv_all,
	 .judge = judge_ring_recv,
	 .loads[PLACE_SLOT] = 4,
	 .most = 1,
	 .whole = true},
	{.name = "ring_recv_part",
	 .kind = KIND_RAW,
	 .prepare = publish_three,
	 .act = ring_recv_all,
	 .judge = judge_ring_recv,
	 .loads[PLACE_SLOT] = ANY,
	 .most = 2,
	 .whole = true},
	{.name = "ring_recv_closed",
	 .kind = KIND_RAW,
	 .prepare = producer_closes,
	 .act = ring_recv_all,
	 .judge = judge_ring_recv,
	 .loads[PLACE_SLOT] = ANY,
	 .loads[PLACE_PRODUCER_CLOSED] = 1,
	 .most = 3,
	 .whole = true},
	{.name = "ring_peek",
	 .kind = KIND_RAW,
	 .prepare = publish_three,
	 .act = ring_peek_all,
	 .judge = judge_ring_recv,
	 .loads[PLACE_SLOT] = ANY,
	 .most = 2,
	 .whole = true},
	{.name = "ring_release",
	 .kind = KIND_RAW,
	 .prepare = publish_three,
	 .act = ring_release_three,
	 .judge = judge_release,
	 .loads[PLACE_SLOT] = 3,
	 .most = 1,
	 .whole = true},
	{.name = "ring_wait",
	 .kind = KIND_RAW,
	 .prepare = publish_one,
	 .act = ring_wait_shortly,
	 .judge = judge_wait,
	 .loads[PLACE_SLOT] = 1,
	 .most = 1,
	 .whole = true,
	 .values = FEW},
	{.name = "ring_send",
	 .kind = KIND_RAW,
	 .prepare = hold_one,
	 .act = ring_send_it,
	 .judge = judge_ring_send,
	 LOADS_OF_SEND,
	 .most = 1},
	{.name = "ring_send_again",
	 .kind = KIND_RAW,
	 .prepare = send_all_and_take,
	 .act = ring_send_it,
	 .judge = judge_ring_send,
	 LOADS_OF_SEND,
	 .loads[PLACE_CREDIT] = 1,
	 .most = 1},
	{.name = "ring_send_two",
	 .kind = KIND_RAW,
	 .prepare = send_five_and_take,
	 .act = ring_send_two,
	 .judge = judge_credit_again,
	 LOADS_OF_SEND,
	 .loads[PLACE_CREDIT] = 1,
	 .most = 1},
	{.name = "ring_in_place",
	 .kind = KIND_RAW,
	 .prepare = nothing,
	 .act = ring_send_in_place,
	 .judge = judge_in_place,
	 LOADS_OF_SEND,
	 .loads[PLACE_SLOT] = ANY,
	 .most = 1},
};
const size_t nr_calls = sizeof(calls) / sizeof(calls[0]);
