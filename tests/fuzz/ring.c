/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two raw rings, of which a sends on one and receives from the other; the fuzzer writes both. The
 * oracles recompute each outcome from what lies in shared memory, as in channel.c.
 */

#include <pinion/wait.h>

#include "loop.h"
#include "ring_end.h"
#include "rings.h"
#include "target.h"

static struct rings rings;

/* Of one run. */
static struct {
	struct pinion_ring *tx, *rx;
	uint64_t sent, received, given;
	uint64_t next; /* behind what the sender published last */
	uint32_t reserved, put;
	uint32_t seen; /* of the slots not received: found published by some call */
	int waits;
	struct loop loop;
	bool lied; /* sent files */
} model;

void target_open(void)
{
	rings_wipe(&rings);
	memset(&model, 0, sizeof(model));
	model.sent = model.received = model.given = model.next = rings_start(&rings);
	assert_int_equal(pinion_ring_open(rings.fd_ab, PINION_RING_SEND, &model.tx), 0);
	assert_int_equal(pinion_ring_open(rings.fd_ba, PINION_RING_RECV, &model.rx), 0);
}

void target_close(void)
{
	assert_int_equal(pinion_ring_close(model.tx), 0);
	assert_int_equal(pinion_ring_close(model.rx), 0);
}

static struct pinion_desc some_desc(struct script *script)
{
	const uint8_t how = script_byte(script);
	struct pinion_desc desc = {pinion_buffer_make(how, script_byte(script)), how, how};

	if (how == 254)
		desc.buffer.bits |= PINION_SLOT_HEAD_LAP; /* refused */
	if (how == 255)
		desc.len = PINION_DESC_LEN_MAX + 1;
	return desc;
}

static bool valid(const struct pinion_desc *desc)
{
	return !(desc->buffer.bits >> 63) && desc->len <= PINION_DESC_LEN_MAX;
}

/* --- sending */

/* Slots of the next @nr that may be written, or why none. */
static int expect_room(uint32_t nr)
{
	if (rings.ab.shared->consumer_closed)
		return -EPIPE;
	return room_for(rings.ab.shared, &model.given, model.sent, nr);
}

/* Slots of a reservation that were not published count for nothing. */
static void empty(struct slots *before, uint32_t from)
{
	for (uint32_t i = from; i < model.reserved; i++) {
		struct pinion_slot *slot = &before->ab[(model.sent + i) % SLOTS];

		slot->head = (lap_of(model.sent) ^ 1) << 63;
		slot->body = (lap_of(model.sent) ^ 1) << 31;
	}
	model.reserved = 0;
	model.put = 0;
}

static void transmit(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	struct pinion_desc desc[DESCS];
	struct slots before = slots_look(&rings);
	const int room = expect_room(nr);
	int sent, good = 0;

	for (uint32_t i = 0; i < nr; i++)
		desc[i] = some_desc(script);
	while (good < room && valid(&desc[good]))
		good++;
	sent = pinion_ring_send(model.tx, desc, nr);
	oracle(sent == (room < 0 ? room : good ? good : -EINVAL), "send of %u: %d", nr, sent);
	if (sent > 0) /* else a reservation stays, too */
		empty(&before, 0);
	for (int i = 0; i < sent; i++)
		slot_put(before.ab, model.sent++, &desc[i]);
	slots_check(&before, &rings, "send");
}

static void reserve(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	const int run = (int)(SLOTS - model.sent % SLOTS), room = expect_room(nr);
	struct slots before = slots_look(&rings);
	const int got = pinion_ring_reserve(model.tx, nr);

	oracle(got == (room < run ? room : run), "reserve of %u: %d, with %d", nr, got, room);
	if (got > 0) {
		empty(&before, 0);
		model.reserved = (uint32_t)got;
	}
	slots_check(&before, &rings, "reserve");
}

/* In order, so that those committed were put; and now and then one that was not reserved. */
static void put(struct script *script)
{
	const struct pinion_desc desc = some_desc(script);
	struct slots before = slots_look(&rings);
	const bool may = model.put < model.reserved && valid(&desc);
	const int err = pinion_ring_put(model.tx, model.put, &desc);

	oracle(err == (may ? 0 : -EINVAL), "put: %d", err);
	oracle(pinion_ring_put(model.tx, model.reserved, &desc) == -EINVAL, "put beyond");
	if (may) {
		slot_put(before.ab, model.sent + model.put, &desc);
		if (!model.put)
			before.ab[model.sent % SLOTS].head ^= PINION_SLOT_HEAD_LAP;
		model.put++;
	}
	slots_check(&before, &rings, "put");
}

static void commit(struct script *script)
{
	const uint32_t nr = script_below(script, model.put + 1);
	struct slots before = slots_look(&rings);
	struct pinion_slot *first = &before.ab[model.sent % SLOTS];

	oracle(pinion_ring_commit(model.tx, model.reserved + 1) == -EINVAL, "committed too many");
	oracle(pinion_ring_commit(model.tx, nr) == (int)nr, "commit of %u", nr);
	empty(&before, nr);
	if (nr)
		first->head = (first->head & ~PINION_SLOT_HEAD_LAP) | lap_of(model.sent) << 63;
	model.sent += nr;
	slots_check(&before, &rings, "commit");
}

/* --- receiving */

static uint32_t published(uint32_t skip, struct pinion_desc *desc, uint32_t nr)
{
	return slots_say(rings.ba.shared->slot, model.received + skip, desc, nr);
}

/* Nothing @skip slots further: for now, or for good? */
static int why_empty(uint32_t skip)
{
	struct pinion_desc ignored;

	return rings.ba.shared->producer_closed && !published(skip, &ignored, 1) ? -EPIPE : -EAGAIN;
}

/* Are the next @nr published? What was seen to be counts as seen, whatever becomes of it. */
static bool see(uint32_t nr)
{
	struct pinion_desc ignored;

	while (model.seen < nr && model.seen < SLOTS && published(model.seen, &ignored, 1))
		model.seen++;
	return model.seen >= nr;
}

/* So many are received: a ring so small holds nothing of the credit back. */
static void move_on(uint32_t nr)
{
	model.received += nr;
	model.seen -= model.seen < nr ? model.seen : nr;
	oracle(rings.ba.shared->credit == model.received, "a credit of %ju for %ju",
	       (uintmax_t)rings.ba.shared->credit, (uintmax_t)model.received);
}

static void check_received(int got, int want, const struct pinion_desc *desc,
			   const struct pinion_desc *slot)
{
	oracle(got == want, "received %d, not %d", got, want);
	for (int i = 0; i < got; i++)
		oracle(same_desc(&desc[i], &slot[i]), "descriptor %d is not the slot's", i);
}

static void receive(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	struct pinion_desc want[DESCS], *desc = descs_new(nr);
	const struct slots before = slots_look(&rings);
	const uint32_t expected = published(0, want, nr);
	int got;

	got = pinion_ring_recv(model.rx, desc, nr);
	check_received(got, expected ? (int)expected : why_empty(0), desc, want);
	if (expected)
		move_on(expected);
	slots_check(&before, &rings, "recv");
	free(desc);
}

/* No further than a round, and nothing behind a gap. */
static void peek(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS), skip = script_below(script, SLOTS + 2);
	const uint32_t left = skip < SLOTS ? SLOTS - skip : 0, most = nr < left ? nr : left;
	struct pinion_desc want[DESCS], *desc = descs_new(nr);
	const struct slots before = slots_look(&rings);
	const uint32_t expected = see(skip) ? published(skip, want, most) : 0;
	int got;

	got = pinion_ring_peek(model.rx, skip, desc, nr);
	check_received(got, expected ? (int)expected : why_empty(model.seen), desc, want);
	if (expected && model.seen < skip + expected)
		model.seen = skip + expected;
	slots_check(&before, &rings, "peek");
	free(desc);
}

static void release(struct script *script)
{
	const uint32_t nr = script_below(script, SLOTS + 2);
	const struct slots before = slots_look(&rings);
	const bool may = see(nr);
	const int err = pinion_ring_release(model.rx, nr);

	oracle(err == (may ? 0 : -EINVAL), "release of %u: %d", nr, err);
	if (!err && nr)
		move_on(nr);
	slots_check(&before, &rings, "release");
}

static void wait_shortly(struct script *script)
{
	struct pinion_desc ignored;
	const bool reason = slot_says(rings.ba.shared->slot, model.received, &ignored) ||
			    rings.ba.shared->producer_closed;
	int err;

	if (model.waits++ == WAITS)
		return;
	err = pinion_ring_wait(model.rx, script_byte(script));
	oracle(err == 0 || (!reason && (err == -ETIMEDOUT || err == -EINTR)), "wait: %d", err);
}

/* --- in a loop */

static void open_loop(struct script *script)
{
	loop_open(&model.loop, pinion_ring_fd(model.rx), pinion_ring_notify_fd(model.rx));
	if (script_byte(script) & 1)
		loop_age(&ring_end_of(model.rx, PINION_RING_RECV)->fd);
}

static int expect_prepared(void)
{
	struct pinion_desc ignored;

	if (!model.loop.open)
		return -EINVAL;
	if (published(0, &ignored, 1))
		return 1;
	return rings.ba.shared->producer_closed ? -EPIPE : 0;
}

/* What was held back is given first: see move_on(), there is nothing. */
static void prepare(void)
{
	const struct slots before = slots_look(&rings);
	const uint32_t state = rings.ba.shared->bell.state;
	const int expected = expect_prepared();
	const int got = pinion_ring_prepare(model.rx);

	oracle(got == expected, "prepare: %d, not %d", got, expected);
	loop_check_prepared(got, &rings.ba.shared->bell, state);
	slots_check(&before, &rings, "prepare");
}

static void finish(void)
{
	const struct slots before = slots_look(&rings);
	const struct drain drain = loop_drain(&model.loop);
	const int expected = loop_expect_done(&model.loop, &drain);
	const uint64_t lies = pinion_ring_lies();
	const int got = pinion_ring_done(model.rx);

	oracle(got == expected, "done: %d, not %d", got, expected);
	oracle(pinion_ring_lies() - lies == (got == -EPROTO && !model.lied),
	       "a lie is not counted once");
	model.lied |= got == -EPROTO;
	loop_check_done(&model.loop, &drain, got, &rings.ba.shared->bell);
	slots_check(&before, &rings, "done");
}

static void turn(struct script *script)
{
	loop_turn(script, &model.loop, &(struct loop_steps){open_loop, prepare, finish});
}

/* Behind what was published last, whether or not there is room; or in this round of the ring, or
 * the next. */
static void publish(struct script *script)
{
	const uint8_t where = script_byte(script);
	const struct pinion_desc desc = some_desc(script);

	if (where < 64 || model.next - model.received >= 2 * SLOTS)
		model.next = model.received + where % (2 * SLOTS);
	if (valid(&desc))
		slot_put(rings.ba.shared->slot, model.next++, &desc);
}

void target_step(struct script *script)
{
	static void (*const acts[])(struct script *) = {
		publish, publish, transmit, transmit, reserve,      put,     put,
		commit,  receive, receive,  peek,     wait_shortly, release, turn,
	};
	const uint32_t which = script_below(script, 17);

	if (which < sizeof(acts) / sizeof(acts[0]))
		return acts[which](script);
	if (which == 16) /* gives credit, more or less as it should */
		rings.ab.shared->credit = model.sent - script_below(script, SLOTS);
	else
		lie_store(script, which == 14 ? rings.ab.shared : rings.ba.shared);
}
