/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two raw rings, of which a sends on one and receives from the other; the fuzzer writes both. The
 * oracles recompute each outcome from what lies in shared memory, as in channel.c.
 */

#include "rings.h"
#include "target.h"

static struct rings rings;

/* Of one run. */
static struct {
	struct pinion_ring *tx, *rx;
	uint64_t sent, received, given;
	uint32_t reserved, put;
	int waits;
} model;

void target_open(void)
{
	rings_wipe(&rings);
	memset(&model, 0, sizeof(model));
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

/* Why there is no room. */
static void check_no_room(int err)
{
	const uint64_t credit = rings.ab.shared->credit;

	if (rings.ab.shared->consumer_closed)
		oracle(err == -EPIPE, "the receiver closed: %d", err);
	else if (err == -EAGAIN)
		oracle(credit == model.sent - SLOTS, "full, with a credit of %ju",
		       (uintmax_t)credit);
	else
		oracle(err == -EPROTO && (credit > model.sent || credit < model.given),
		       "no room: %d, with a credit of %ju", err, (uintmax_t)credit);
}

static void check_room(uint32_t reserved)
{
	oracle(model.sent + reserved - model.given <= SLOTS, "room that was not given back");
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
	int sent;

	for (uint32_t i = 0; i < nr; i++)
		desc[i] = some_desc(script);
	model.given = credit_believed(rings.ab.shared, model.given, model.sent);
	sent = pinion_ring_send(model.tx, desc, nr);
	oracle(sent && sent <= (int)nr && sent <= (int)SLOTS, "send of %u: %d", nr, sent);
	if (sent < 0 && sent != -EINVAL) {
		check_no_room(sent);
		return slots_check(&before, &rings, "send");
	}
	oracle(sent > 0 || !valid(&desc[0]), "a good descriptor is refused");
	if (sent < 0) /* a reservation stays, too */
		return slots_check(&before, &rings, "send");
	empty(&before, 0);
	for (int i = 0; i < sent; i++) {
		oracle(valid(&desc[i]), "a reserved bit was sent");
		slot_put(before.ab, model.sent++, &desc[i]);
	}
	check_room(0);
	slots_check(&before, &rings, "send");
}

static void reserve(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	struct slots before = slots_look(&rings);
	int got;

	model.given = credit_believed(rings.ab.shared, model.given, model.sent);
	got = pinion_ring_reserve(model.tx, nr);
	if (got < 0) {
		check_no_room(got);
		return slots_check(&before, &rings, "reserve");
	}
	oracle(got && got <= (int)nr && model.sent % SLOTS + (uint32_t)got <= SLOTS,
	       "reserve of %u: %d", nr, got);
	empty(&before, 0);
	model.reserved = (uint32_t)got;
	check_room(model.reserved);
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

static void check_empty(int err)
{
	struct pinion_desc ignored;

	if (!rings.ba.shared->producer_closed ||
	    slot_says(rings.ba.shared->slot, model.received, &ignored))
		oracle(err == -EAGAIN, "nothing there: %d", err);
	else
		oracle(err == -EPIPE, "nothing will come: %d", err);
}

static uint32_t there(uint64_t at, struct pinion_desc *desc, uint32_t nr)
{
	uint32_t got = 0;

	while (got < nr && slot_says(rings.ba.shared->slot, at + got, &desc[got]))
		got++;
	return got;
}

static void check_received(int got, int want, const struct pinion_desc *desc,
			   const struct pinion_desc *slot)
{
	if (!want)
		return check_empty(got);
	oracle(got == want, "received %d, not %d", got, want);
	for (int i = 0; i < got; i++)
		oracle(same_desc(&desc[i], &slot[i]), "descriptor %d is not the slot's", i);
}

static void receive(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	struct pinion_desc want[DESCS], *desc = descs_new(nr);
	const struct slots before = slots_look(&rings);
	const uint32_t expected = there(model.received, want, nr);
	int got;

	got = pinion_ring_recv(model.rx, desc, nr);
	check_received(got, (int)expected, desc, want);
	model.received += expected;
	slots_check(&before, &rings, "recv");
	free(desc);
}

/* What was seen to be published counts as seen, whatever became of it: how far that is, only the
 * library knows. */
static void check_none_further(int err)
{
	const bool closed = rings.ba.shared->producer_closed;
	struct pinion_desc ignored;
	bool any = false;

	for (uint32_t i = 0; i < SLOTS; i++)
		any |= slot_says(rings.ba.shared->slot, model.received + i, &ignored);
	if (err == -EPIPE)
		oracle(closed, "nothing will come, from a sender that has not closed");
	else
		oracle(err == -EAGAIN && (!closed || any), "nothing further: %d", err);
}

static void peek(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS), skip = script_below(script, SLOTS + 2);
	const uint32_t left = skip < SLOTS ? SLOTS - skip : 0, most = nr < left ? nr : left;
	struct pinion_desc want[DESCS], *desc = descs_new(nr);
	const struct slots before = slots_look(&rings);
	int got;

	got = pinion_ring_peek(model.rx, skip, desc, nr);
	oracle(got && got <= (int)most, "peek of %u: %d", nr, got);
	if (got < 0)
		check_none_further(got);
	else
		check_received(got, (int)there(model.received + skip, want, most), desc, want);
	slots_check(&before, &rings, "peek");
	free(desc);
}

static void release(struct script *script)
{
	const uint32_t nr = script_below(script, SLOTS + 2);
	struct pinion_desc ignored[SLOTS + 2];
	const struct slots before = slots_look(&rings);
	const bool all = nr <= SLOTS && there(model.received, ignored, nr) == nr;
	const int err = pinion_ring_release(model.rx, nr);

	oracle(err == 0 || (err == -EINVAL && !all), "release of %u: %d", nr, err);
	oracle(err || nr <= SLOTS, "more was released than there is");
	if (!err)
		model.received += nr;
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

static void publish(struct script *script)
{
	const uint64_t at = model.received + script_below(script, SLOTS);
	struct pinion_desc desc = some_desc(script);

	if (valid(&desc))
		slot_put(rings.ba.shared->slot, at, &desc);
}

void target_step(struct script *script)
{
	static void (*const acts[])(struct script *) = {
		publish, publish, transmit, transmit, reserve,      put,     put,
		commit,  receive, receive,  peek,     wait_shortly, release,
	};
	const uint32_t which = script_below(script, 16);

	if (which < sizeof(acts) / sizeof(acts[0]))
		return acts[which](script);
	if (which == 15) /* takes and gives credit, as it should */
		rings.ab.shared->credit = model.sent - script_below(script, 2);
	else
		lie_store(script, which == 13 ? rings.ab.shared : rings.ba.shared);
}
