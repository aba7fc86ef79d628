/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A channel whose other end is written by the fuzzer: member b of the pool. a is under test, and
 * has an honest channel to c beside it. The oracles recompute each outcome from what lies in shared
 * memory, which does not change during a call: there is one thread.
 *
 * b writes its rings and any owner word but those of the buffers between a and c: who writes those
 * is a member that others trust with allocation (pool.h).
 *
 * Rings have room for rows, which go by vectors (ipc/desc_row.h): whole, or with one that spoils
 * it.
 */

#define SLOTS 16u
#define ROW 8u /* DESC_ROW_MIN */

#include <pinion/wait.h>

#include "channel.h"
#include "loop.h"
#include "rings.h"
#include "stage.h"
#include "target.h"

#define HONEST 4u

static struct rings rings;

/* Made once: the channel beside it. */
static struct {
	struct side a, c;
	struct pinion_buffer buffer[HONEST];
} neighbour;

/* Of one run: where a is, by our own count. */
static struct {
	uint64_t sent, received, given;
	uint64_t next; /* behind what b published last */
	bool broken, severed;
	bool ended; /* prepare said so: nothing is received after that */
	struct pinion_buffer out[SLOTS];
	struct pinion_cache *cache;
	int waits;
	struct loop loop;
} model;

static void open_honest(void)
{
	struct pair pair = {.a.pool = stage.a.pool, .b.pool = pool_join(stage.a.pool)};

	pair_open_channels(&pair, SLOTS);
	hold(pair.b.pool, neighbour.buffer, HONEST);
	neighbour.a = pair.a;
	neighbour.c = pair.b;
}

static void open_once(void)
{
	stage_open();
	open_honest();
	stage_picture();
}

void target_open(void)
{
	if (!stage.picture)
		open_once();
	stage_put_back();
	/* The honest channel goes on where it was. */
	for (uint32_t i = 0; i < HONEST; i++)
		words()[pinion_buffer_id(neighbour.buffer[i])] =
			held(neighbour.buffer[i], &neighbour.c);
	rings_wipe(&rings);
	memset(&model, 0, sizeof(model));
	model.sent = model.received = model.given = model.next = rings_start(&rings);
	assert_int_equal(pinion_channel_open(stage.a.pool, rings.fd_ab, rings.fd_ba,
					     pinion_pool_member(stage.b.pool), &stage.a.channel),
			 0);
}

/* --- what b does */

static bool is_honest(uint32_t id)
{
	for (uint32_t i = 0; i < HONEST; i++)
		if (pinion_buffer_id(neighbour.buffer[i]) == id)
			return true;
	return false;
}

static void scribble_word(struct script *script)
{
	const uint32_t holders[] = {stage.a.pool->view.self, stage.b.pool->view.self,
				    pinion_owner_magazine(0), 0};
	const struct pinion_buffer buffer = some_handle(script);
	const uint32_t id = pinion_buffer_id(buffer);
	const uint8_t how = script_byte(script);

	if (id >= stage.b.pool->view.nr_ids || is_honest(id))
		return;
	words()[id] = how < 128 ? pinion_owner_word(buffer, holders[how % 4])
				: lie_value(script, words()[id]);
}

/* Publishes well, behind what it published last or anywhere: what it has, or whatever it names. */
static void publish(struct script *script)
{
	const uint8_t where = script_byte(script), what = script_byte(script);
	struct pinion_desc desc = {find_theirs(what), BUFFER, what};

	if (what >= 128)
		desc = some_desc(script);
	if (where < 64 || model.next - model.received >= SLOTS)
		model.next = model.received + where % SLOTS;
	slot_put(rings.ba.shared->slot, model.next++, &desc);
}

/* Takes the one sent @back before the last, as it should; could it? */
static bool take_back(uint32_t back)
{
	struct pinion_desc desc;

	if (back >= model.sent - rings_start(&rings))
		return false;
	if (!slot_says(rings.ab.shared->slot, model.sent - 1 - back, &desc) ||
	    pinion_buffer_id(desc.buffer) >= BUFFERS || is_honest(pinion_buffer_id(desc.buffer)))
		return false;
	desc.buffer = pinion_buffer_next(desc.buffer);
	words()[pinion_buffer_id(desc.buffer)] = held(desc.buffer, &stage.b);
	return true;
}

/* And may give credit. */
static void take_sent(struct script *script)
{
	const uint8_t how = script_byte(script);

	if (take_back(how % SLOTS) && how & 64)
		rings.ab.shared->credit = model.sent - how % SLOTS;
}

/* All or, with credit for it, all but the last. */
static void take_all_sent(struct script *script)
{
	for (uint32_t back = script_below(script, 2); back < SLOTS; back++)
		(void)take_back(back);
	rings.ab.shared->credit = model.sent;
}

/* @nr buffers whose ids follow each other, at one generation; their words may say that @side has
 * them. One of them may be spoilt. */
static void make_row(struct script *script, struct pinion_desc *desc, uint32_t nr,
		     const struct side *side)
{
	const struct pinion_buffer first = some_handle(script);
	const uint8_t how = script_byte(script), spoilt = script_byte(script);

	for (uint32_t i = 0; i < nr; i++) {
		const struct pinion_buffer buffer = {first.bits + i};
		const uint32_t id = pinion_buffer_id(buffer);

		desc[i] = (struct pinion_desc){buffer, BUFFER, i};
		if (how < 192 && id < stage.b.pool->view.nr_ids && !is_honest(id))
			words()[id] = held(buffer, side);
	}
	if (how % 4 == 0)
		desc[spoilt % nr] = some_desc(script);
	if (how % 4 == 1)
		desc[spoilt % nr].len = BUFFER + 1;
}

static void publish_row(struct script *script)
{
	const uint8_t where = script_byte(script);
	struct pinion_desc desc[SLOTS];
	uint32_t nr = ROW + script_below(script, SLOTS + 1 - ROW);

	if (where < 192 || model.next - model.received >= SLOTS)
		model.next = model.received;
	make_row(script, desc, nr, &stage.b);
	for (uint32_t i = 0; i < nr && model.next - model.received < SLOTS; i++)
		slot_put(rings.ba.shared->slot, model.next++, &desc[i]);
}

/* --- what a does, and what must come of it */

struct before {
	struct slots slots;
	uint64_t word[BUFFERS];
	bool sender_gone, receiver_gone;
};

static struct before look(void)
{
	struct before before = {.slots = slots_look(&rings)};

	words_look(before.word);
	before.sender_gone = model.severed || rings.ba.shared->producer_closed;
	before.receiver_gone = model.severed || rings.ab.shared->consumer_closed;
	return before;
}

static void check_same(const struct before *before, const char *call)
{
	slots_check(&before->slots, &rings, call);
	for (uint32_t id = 0; id < BUFFERS; id++)
		oracle(before->word[id] == words()[id], "%s: the word of %u is %#jx", call, id,
		       (uintmax_t)words()[id]);
}

/* What must be received; the words change in @before, as they must in memory. */
static int expect_received(struct before *before, struct pinion_desc *desc, uint32_t nr)
{
	uint32_t got;

	if (model.broken)
		return -EPROTO;
	if (model.ended)
		return -EPIPE;
	got = slots_say(before->slots.ba, model.received, desc, nr);
	if (!got)
		return before->sender_gone ? -EPIPE : -EAGAIN;
	got = taken(desc, got, before->word);
	return got ? (int)got : -EPROTO;
}

static void receive(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	struct pinion_desc want[DESCS], *desc = descs_new(nr);
	struct before before = look();
	const uint64_t credit = rings.ba.shared->credit;
	const bool broken = model.broken;
	int expected = expect_received(&before, want, nr), got;

	got = pinion_channel_recv(stage.a.channel, desc, nr);
	oracle(got == expected, "recv of %u: %d, not %d", nr, got, expected);
	for (int i = 0; i < got; i++)
		oracle(same_desc(&desc[i], &want[i]), "recv: descriptor %d is not the slot's", i);
	check_same(&before, "recv");
	model.received += got > 0 ? (uint64_t)got : 0;
	model.broken |= got == -EPROTO;
	oracle(rings.ba.shared->credit == credit || rings.ba.shared->credit == model.received,
	       "recv: credit for what was not received");
	/* Once: what it writes over that afterwards is its own loss. */
	oracle(!model.broken || rings.ba.shared->consumer_closed, "a liar is not told by recv");
	oracle(broken == model.broken || rings.ab.shared->producer_closed, "a liar is not told");
	free(desc);
}

/* How many of @nr go. The record of a buffer that is still ours is not lost: who gives credit for
 * such a one lies. */
static int expect_sent(const struct before *before, const struct pinion_desc *desc, uint32_t nr)
{
	int room, good_nr = 0;

	if (model.broken)
		return -EPROTO;
	if (before->receiver_gone)
		return -EPIPE;
	room = room_for(rings.ab.shared, &model.given, model.sent, nr);
	for (; good_nr < room && good(&desc[good_nr], before->word, &stage.a); good_nr++) {
		struct pinion_buffer *out = &model.out[(model.sent + (uint32_t)good_nr) % SLOTS];

		if (out->bits && before->word[pinion_buffer_id(*out)] == held(*out, &stage.a))
			return good_nr ? good_nr : -EPROTO;
		*out = desc[good_nr].buffer;
	}
	if (room < 0)
		return room;
	return good_nr ? good_nr : -EINVAL;
}

static void transmit(const struct pinion_desc *desc, uint32_t nr)
{
	struct before before = look();
	int expected, sent;

	expected = expect_sent(&before, desc, nr);
	sent = pinion_channel_send(stage.a.channel, desc, nr);
	oracle(sent == expected, "send of %u: %d, not %d", nr, sent, expected);
	for (int i = 0; i < sent; i++)
		slot_put(before.slots.ab, model.sent++, &desc[i]);
	model.broken |= sent == -EPROTO;
	check_same(&before, "send");
}

static void transmit_any(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	struct pinion_desc desc[DESCS];

	for (uint32_t i = 0; i < nr; i++)
		desc[i] = some_desc(script);
	transmit(desc, nr);
}

static void transmit_row(struct script *script)
{
	const uint32_t nr = ROW + script_below(script, DESCS + 1 - ROW);
	struct pinion_desc desc[DESCS];

	make_row(script, desc, nr, &stage.a);
	transmit(desc, nr);
}

static void wait_shortly(struct script *script)
{
	struct pinion_desc ignored;
	const bool there = slot_says(rings.ba.shared->slot, model.received, &ignored);
	const struct before before = look();
	int err;

	if (model.waits++ == WAITS)
		return;
	err = pinion_channel_wait(stage.a.channel, script_byte(script));
	oracle(err == 0 || err == -ETIMEDOUT || err == -EINTR, "wait: %d", err);
	oracle(err == 0 || !(there || before.sender_gone || model.broken || model.ended),
	       "something to say, and wait waits: %d", err);
	check_same(&before, "wait");
}

static int expect_room(const struct before *before)
{
	int room;

	if (model.broken)
		return -EPROTO;
	room = room_for(rings.ab.shared, &model.given, model.sent, 1);
	if (before->receiver_gone)
		return -EPIPE;
	return room == -EAGAIN ? -ETIMEDOUT : room < 0 ? room : 0;
}

static void wait_room(void)
{
	const struct before before = look();
	const int want = expect_room(&before);
	const int err = pinion_channel_wait_room(stage.a.channel, 0);

	oracle(err == want, "wait for room: %d, not %d", err, want);
	model.broken |= err == -EPROTO;
	check_same(&before, "wait for room");
}

static void drain(void)
{
	const struct before before = look();
	int want = 0, err;

	for (uint32_t i = 0; i < SLOTS; i++)
		if (model.out[i].bits &&
		    before.word[pinion_buffer_id(model.out[i])] == held(model.out[i], &stage.a))
			want = before.receiver_gone ? -EPIPE : -ETIMEDOUT;
	err = pinion_channel_drain(stage.a.channel, 0);
	oracle(err == want, "drain: %d, not %d", err, want);
	check_same(&before, "drain");
}

/* --- in a loop */

static void open_loop(struct script *script)
{
	loop_open(&model.loop, pinion_channel_fd(stage.a.channel),
		  pinion_channel_notify_fd(stage.a.channel));
	if (script_byte(script) & 1)
		loop_age(&channel_rx(stage.a.channel)->fd);
}

static int expect_prepared(const struct before *before)
{
	struct pinion_desc ignored;

	if (!model.loop.open)
		return -EINVAL;
	if (model.broken)
		return -EPROTO;
	if (model.ended)
		return -EPIPE;
	if (slot_says(rings.ba.shared->slot, model.received, &ignored))
		return 1;
	return before->sender_gone ? -EPIPE : 0;
}

static void prepare(void)
{
	const struct before before = look();
	const uint32_t state = rings.ba.shared->bell.state;
	const int expected = expect_prepared(&before);
	const int got = pinion_channel_prepare(stage.a.channel);

	oracle(got == expected, "prepare: %d, not %d", got, expected);
	model.ended |= got == -EPIPE;
	/* Or the peer would not take back what it sent. */
	oracle(got != -EPIPE || rings.ba.shared->consumer_closed, "the end, and nobody is told");
	loop_check_prepared(got, &rings.ba.shared->bell, state);
	check_same(&before, "prepare");
}

static void finish(void)
{
	const struct before before = look();
	const struct drain drain = loop_drain(&model.loop);
	const int expected = loop_expect_done(&model.loop, &drain);
	const int got = pinion_channel_done(stage.a.channel);

	oracle(got == expected, "done: %d, not %d", got, expected);
	loop_check_done(&model.loop, &drain, got, &rings.ba.shared->bell);
	model.broken |= got == -EPROTO;
	oracle(got != -EPROTO || rings.ba.shared->consumer_closed, "a sender of files is not told");
	check_same(&before, "done");
}

static void turn(struct script *script)
{
	loop_turn(script, &model.loop, &(struct loop_steps){open_loop, prepare, finish});
}

/* --- the end of a peer */

/* Ours under a new generation, then free under the next. */
static uint64_t twice_next(struct pinion_buffer buffer)
{
	return pinion_buffer_next(pinion_buffer_next(buffer)).bits;
}

static void reclaim(void)
{
	struct before before = look();
	int freed, want = 0;

	if (!model.cache)
		model.cache = cache_make(stage.a.pool, BUFFER);
	freed = pinion_channel_reclaim(stage.a.channel, model.cache);
	oracle(before.receiver_gone || freed == -EBUSY, "reclaim from the living: %d", freed);
	if (!before.receiver_gone)
		return check_same(&before, "reclaim");
	for (uint32_t i = 0; i < SLOTS; i++) {
		const uint32_t id = pinion_buffer_id(model.out[i]);

		if (model.out[i].bits && before.word[id] == held(model.out[i], &stage.a)) {
			oracle(pinion_owner_holder(words()[id]) & PINION_HOLDER_MAGAZINE,
			       "reclaimed, and not free: %u", id);
			oracle(pinion_owner_buffer(words()[id], id).bits ==
				       twice_next(model.out[i]),
			       "reclaimed, and its slot is not stale: %u", id);
			before.word[id] = words()[id];
			want++;
		}
		model.out[i].bits = 0;
	}
	oracle(freed == want, "reclaimed %d, not %d", freed, want);
	check_same(&before, "reclaim");
}

static void list_published(void)
{
	struct pinion_buffer buffer[SLOTS];
	const struct before before = look();
	const uint32_t nr = pinion_channel_published(stage.a.channel, buffer);

	oracle(nr <= SLOTS, "published: %u", nr);
	for (uint32_t i = 0; i < nr; i++)
		oracle(!(buffer[i].bits >> 63), "published: a handle with a lap");
	check_same(&before, "published");
}

/* The neighbour: there and back. */
static void use_honest(struct script *script)
{
	struct pinion_buffer *buffer = &neighbour.buffer[script_below(script, HONEST)];
	struct pinion_desc desc = {*buffer, BUFFER, 1};

	oracle(pinion_channel_send(neighbour.c.channel, &desc, 1) == 1, "c cannot send");
	oracle(pinion_channel_recv(neighbour.a.channel, &desc, 1) == 1, "a cannot receive");
	oracle(pinion_channel_send(neighbour.a.channel, &desc, 1) == 1, "a cannot send");
	oracle(pinion_channel_recv(neighbour.c.channel, &desc, 1) == 1, "c cannot receive");
	*buffer = desc.buffer;
}

void target_step(struct script *script)
{
	switch (script_below(script, 22)) {
	case 0:
	case 1:
		lie_store(script, rings.ba.shared);
		break;
	case 2:
	case 3:
		lie_store(script, rings.ab.shared);
		break;
	case 4:
		scribble_word(script);
		break;
	case 5:
	case 6:
		publish(script);
		break;
	case 7:
		take_sent(script);
		break;
	case 8:
	case 9:
		transmit_any(script);
		break;
	case 10:
		wait_shortly(script);
		break;
	case 11:
		reclaim();
		break;
	case 12:
		list_published();
		break;
	case 13:
		use_honest(script);
		break;
	case 14:
		if (script_byte(script) == 1) {
			pinion_channel_sever(stage.a.channel);
			model.severed = true;
		}
		break;
	case 15:
		publish_row(script);
		break;
	case 16:
		transmit_row(script);
		break;
	case 17:
		take_all_sent(script);
		break;
	case 18:
		turn(script);
		break;
	case 19:
		script_byte(script) & 1 ? drain() : wait_room();
		break;
	default:
		receive(script);
	}
}

void target_close(void)
{
	assert_int_equal(pinion_channel_close(stage.a.channel), 0);
	if (model.cache)
		assert_int_equal(pinion_cache_close(model.cache), 0);
	use_honest(&(struct script){0});
}
