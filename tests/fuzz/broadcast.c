/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A broadcast, of which the fuzzer writes one side. The first byte of a script says which:
 *
 *     a lends      to b, whose seat is the fuzzer's, and to c, which is honest: c gets all that was
 *                  lent, in order, and what a collects has c returned
 *     a borrows    from b, whose ring and seats are the fuzzer's: what a receives is what lies in
 *                  the ring, and b's; and what the keeper finds lent are its handles
 */

#include <sys/mman.h>

#include "broadcast_support.h"
#include "loop.h"
#include "rings.h"
#include "stage.h"
#include "target.h"

#define LENT_MAX 64u

struct chair {
	int fd;
	struct seat_shared *raw;
};

/* Made once. */
static struct {
	struct chair b, c;
	struct seat_shared new_seat;
	struct pinion_pool *c_pool;
	/* b's ring, where a borrows: wiped for each run. */
	int fd;
	struct ring ring;
} once;

/* Of one run. */
static struct {
	bool lends;
	struct pinion_broadcast *broadcast;
	struct pinion_seat *seat; /* c's, or a's */
	int fd;                   /* a's ring, where it lends */
	uint32_t number;          /* b's */
	struct pinion_buffer lent[LENT_MAX];
	uint32_t nr_lent, collected; /* by a */
	uint32_t back;               /* up to where a knows that all have returned */
	struct {
		enum place_state state;
		uint32_t returned;
	} b;                         /* as a saw it last */
	uint32_t received, returned; /* by who sits in the seat */
	bool broken;
	int waits;
	struct loop loop;
} run;

static void open_chair(struct chair *chair)
{
	assert_int_equal(pinion_broadcast_create_seat(&chair->fd), 0);
	assert_int_equal(broadcast_map_seat(chair->fd, &chair->raw), 0);
	once.new_seat = *chair->raw;
}

static void open_once(void)
{
	struct pinion_broadcast *ignored;

	stage_open();
	once.c_pool = pool_join(stage.a.pool);
	open_chair(&once.b);
	open_chair(&once.c);
	once.fd = broadcast_file(SLOTS);
	assert_int_equal(broadcast_map_ring(once.fd, PROT_READ | PROT_WRITE, &once.ring), 0);
	assert_int_equal(pinion_broadcast_open(stage.b.pool, once.fd, &ignored), 0);
	assert_int_equal(pinion_broadcast_close(ignored), 0);
	stage_picture();
}

static void join(struct pinion_pool *pool, int fd, const struct chair *chair, uint32_t producer)
{
	assert_int_equal(pinion_broadcast_join(pool, fd, chair->fd, producer, &run.seat), 0);
}

static void open_to_lend(void)
{
	uint32_t ignored;

	run.fd = broadcast_file(SLOTS);
	assert_int_equal(pinion_broadcast_open(stage.a.pool, run.fd, &run.broadcast), 0);
	assert_int_equal(pinion_broadcast_admit(run.broadcast, once.b.fd, &run.number), 0);
	assert_int_equal(pinion_broadcast_admit(run.broadcast, once.c.fd, &ignored), 0);
	run.b.state = PLACE_OPEN;
	join(once.c_pool, run.fd, &once.c, pinion_pool_member(stage.a.pool));
}

static void open_to_borrow(void)
{
	ring_wipe(once.ring.shared);
	once.b.raw->begin = 1 + broadcast_start();
	join(stage.a.pool, once.fd, &once.b, pinion_pool_member(stage.b.pool));
}

/* Which side it is, the first step says. */
void target_open(void)
{
	if (!stage.picture)
		open_once();
	stage_put_back();
	*once.b.raw = once.new_seat;
	*once.c.raw = once.new_seat;
	memset(&run, 0, sizeof(run));
}

/* Any place of a seat. */
static void lie_in_seat(struct script *script)
{
	struct seat_shared *seat = once.b.raw;

	switch (script_below(script, 6)) {
	case 0:
		seat->returned = lie_value(script, seat->returned);
		break;
	case 1:
		seat->closed = script_byte(script) < 64;
		break;
	case 2:
		seat->begin = lie_value(script, seat->begin);
		break;
	case 3:
		seat->ended = script_byte(script) % 4 ? 0 : (uint32_t)lie_value(script, 0);
		break;
	case 4:
		seat->bell.state = (uint32_t)lie_value(script, seat->bell.state);
		break;
	default:
		seat->bell.fenced = (uint32_t)lie_value(script, seat->bell.fenced);
	}
}

/* --- a lends */

static void lend(void)
{
	struct pinion_desc desc = {.len = 1, .tag = run.nr_lent};
	int sent;

	if (run.nr_lent == LENT_MAX)
		return;
	desc.buffer = stage.ours[run.nr_lent % SLOTS];
	sent = pinion_broadcast_send(run.broadcast, &desc, 1);
	oracle(sent == (run.nr_lent - run.collected == SLOTS ? -EAGAIN : 1), "send: %d", sent);
	if (sent == 1)
		run.lent[run.nr_lent++] = desc.buffer;
}

static void hear_honest(void)
{
	struct pinion_desc desc;
	int got = pinion_broadcast_recv(run.seat, &desc, 1);

	oracle(got == (run.received < run.nr_lent ? 1 : -EAGAIN), "c receives: %d", got);
	if (got < 0)
		return;
	oracle(desc.tag == run.received && desc.buffer.bits == run.lent[run.received].bits,
	       "c does not get what was lent");
	run.received++;
}

static void return_honest(void)
{
	if (run.returned == run.received)
		return;
	oracle(!pinion_broadcast_return(run.seat, 1), "c cannot return");
	run.returned++;
}

/* b returns one, as it should: of those it was sent, in order. Or it takes its word back. */
static void return_by_liar(struct script *script)
{
	if (script_below(script, 8) == 7)
		once.b.raw->returned = run.b.returned - 1;
	else if (run.b.returned < run.nr_lent)
		once.b.raw->returned = run.b.returned + 1;
}

/* What a makes of b when it looks: one that left, or lied, stays that. */
static void look_at_b(void)
{
	const struct seat_shared *seat = once.b.raw;
	const uint64_t returned = seat->returned;

	if (run.b.state != PLACE_OPEN)
		return;
	if (seat->closed)
		run.b.state = PLACE_LEFT;
	else if (returned < run.b.returned || returned > run.nr_lent)
		run.b.state = PLACE_LIED;
	else
		run.b.returned = (uint32_t)returned;
}

/* A liar is severed when it is found out, nobody else. @was: before the call. */
static void check_told(enum place_state was, uint32_t ended)
{
	const bool found = run.b.state == PLACE_LIED && was == PLACE_OPEN;

	oracle(once.b.raw->ended == (found ? SEAT_SEVERED : ended), "b %s severed: %u",
	       found ? "lied and is not" : "is", once.b.raw->ended);
}

/* a looks only when what it knows does not suffice. */
static int expect_collected(uint32_t nr)
{
	if (run.back - run.collected < nr) {
		look_at_b();
		run.back = run.returned;
		if (run.b.state == PLACE_OPEN && run.b.returned < run.back)
			run.back = run.b.returned;
	}
	if (run.back == run.collected)
		return run.nr_lent == run.collected ? 0 : -EAGAIN;
	return (int)(run.back - run.collected < nr ? run.back - run.collected : nr);
}

static void collect(struct script *script)
{
	struct pinion_buffer buffer[DESCS];
	const uint32_t nr = 1 + script_below(script, DESCS), ended = once.b.raw->ended;
	const enum place_state was = run.b.state;
	const int expected = expect_collected(nr);
	const int got = pinion_broadcast_collect(run.broadcast, buffer, nr);

	oracle(got == expected, "collect of %u: %d, not %d", nr, got, expected);
	for (int i = 0; i < got; i++)
		oracle(buffer[i].bits == run.lent[run.collected++].bits,
		       "collected another one than was lent");
	check_told(was, ended);
}

static void ask_lag(void)
{
	const enum place_state was = run.b.state;
	const uint32_t ended = once.b.raw->ended;
	const int lag = pinion_broadcast_lag(run.broadcast, run.number);

	look_at_b();
	if (run.b.state == PLACE_OPEN)
		oracle(lag == (int)(run.nr_lent - run.b.returned), "lag: %d", lag);
	else
		oracle(lag == (run.b.state == PLACE_LEFT ? -EPIPE : -EPROTO), "lag: %d", lag);
	check_told(was, ended);
}

static void step_to_lend(struct script *script)
{
	switch (script_below(script, 8)) {
	case 0:
	case 1:
		lie_in_seat(script);
		break;
	case 2:
		return_by_liar(script);
		break;
	case 3:
		lend();
		break;
	case 4:
		hear_honest();
		break;
	case 5:
		return_honest();
		break;
	case 6:
		collect(script);
		break;
	default:
		ask_lag();
	}
}

/* With b severed, all comes back that c returns. */
static void close_lending(void)
{
	oracle(!pinion_broadcast_sever(run.broadcast, run.number), "b cannot be severed");
	run.b.state = PLACE_FREE;
	while (run.received < run.nr_lent)
		hear_honest();
	while (run.returned < run.received)
		return_honest();
	while (run.collected < run.nr_lent)
		collect(&(struct script){0});
	assert_int_equal(pinion_broadcast_leave(run.seat), 0);
	assert_int_equal(pinion_broadcast_close(run.broadcast), 0);
	close(run.fd);
}

/* --- a borrows */

/* The position that it receives next. */
static uint64_t next(void)
{
	return broadcast_start() + run.received;
}

static void lie_in_ring(struct script *script)
{
	struct pinion_slot *slot = &once.ring.shared->slot[script_below(script, SLOTS)];

	if (script_byte(script) & 1)
		slot->head = lie_value(script, slot->head);
	else
		slot->body = lie_value(script, slot->body);
}

static void publish(struct script *script)
{
	const uint64_t at = next() + script_below(script, SLOTS);
	const struct pinion_desc desc = some_desc(script);

	slot_put(once.ring.shared->slot, at, &desc);
}

static int expect(struct pinion_desc *desc, uint32_t nr)
{
	uint32_t there, got = 0;
	uint64_t word[BUFFERS];

	if (run.broken)
		return -EPROTO;
	if (once.b.raw->ended > SEAT_ENDED)
		return -EPIPE;
	words_look(word);
	there = slots_say(once.ring.shared->slot, next(), desc, nr);
	if (!there)
		return once.b.raw->ended ? -EPIPE : -EAGAIN;
	while (got < there && good(&desc[got], word, &stage.b))
		got++;
	return got ? (int)got : -EPROTO;
}

static void borrow(struct script *script)
{
	const uint32_t nr = 1 + script_below(script, DESCS);
	struct pinion_desc want[DESCS], *desc = descs_new(nr);
	const int expected = expect(want, nr);
	int got = pinion_broadcast_recv(run.seat, desc, nr);

	oracle(got == expected, "recv of %u: %d, not %d", nr, got, expected);
	for (int i = 0; i < got; i++)
		oracle(same_desc(&desc[i], &want[i]), "recv: descriptor %d is not the slot's", i);
	run.received += got > 0 ? (uint32_t)got : 0;
	oracle(run.broken || got != -EPROTO || once.b.raw->closed, "a liar is not told");
	run.broken |= got == -EPROTO;
	free(desc);
}

static void give_back(struct script *script)
{
	const uint32_t nr = script_below(script, SLOTS + 2), held = run.received - run.returned;
	const int expected = run.broken                       ? -EPROTO
			     : nr > held                      ? -EINVAL
			     : once.b.raw->ended > SEAT_ENDED ? -EPIPE
							      : 0;
	int err = pinion_broadcast_return(run.seat, nr);

	oracle(err == expected, "return of %u: %d, not %d", nr, err, expected);
	run.returned += err ? 0 : nr;
	oracle(err || once.b.raw->returned == run.returned, "returned: another number");
}

static void wait_shortly(struct script *script)
{
	struct pinion_desc ignored;
	const bool reason = run.broken || once.b.raw->ended ||
			    slot_says(once.ring.shared->slot, next(), &ignored);
	int err;

	if (run.waits++ == WAITS)
		return;
	err = pinion_broadcast_wait(run.seat, script_byte(script));
	oracle(err == 0 || (!reason && (err == -ETIMEDOUT || err == -EINTR)), "wait: %d", err);
}

/* --- ... and sleeps in a loop */

static void open_loop(struct script *script)
{
	loop_open(&run.loop, pinion_broadcast_fd(run.seat), pinion_broadcast_notify_fd(run.seat));
	if (script_byte(script) & 1)
		loop_age(&run.seat->fd);
}

static int expect_prepared(void)
{
	const uint32_t ended = once.b.raw->ended;
	struct pinion_desc ignored;

	if (!run.loop.open)
		return -EINVAL;
	if (run.broken)
		return -EPROTO;
	if (ended > SEAT_ENDED)
		return -EPIPE;
	if (slot_says(once.ring.shared->slot, next(), &ignored))
		return 1;
	return ended ? -EPIPE : 0;
}

static void prepare(void)
{
	const uint32_t state = once.b.raw->bell.state;
	const int expected = expect_prepared();
	const int got = pinion_broadcast_prepare(run.seat);

	oracle(got == expected, "prepare: %d, not %d", got, expected);
	loop_check_prepared(got, &once.b.raw->bell, state);
}

static void finish(void)
{
	const struct drain drain = loop_drain(&run.loop);
	const int expected = loop_expect_done(&run.loop, &drain);
	const int got = pinion_broadcast_done(run.seat);

	oracle(got == expected, "done: %d, not %d", got, expected);
	loop_check_done(&run.loop, &drain, got, &once.b.raw->bell);
	run.broken |= got == -EPROTO;
	oracle(got != -EPROTO || once.b.raw->closed, "a sender of files is not told");
}

static void turn(struct script *script)
{
	loop_turn(script, &run.loop, &(struct loop_steps){open_loop, prepare, finish});
}

/* Slots that are of this round of the ring, seen from the seat; whose head is there was lent. */
static uint32_t expect_lent(uint64_t *bits)
{
	const struct seat_shared *seat = once.b.raw;
	uint32_t nr = 0;

	if (!seat->begin || seat->ended > SEAT_ENDED || seat->closed)
		return 0;
	for (uint32_t i = 0; i < SLOTS; i++) {
		const uint64_t at = seat->begin - 1 + seat->returned + i;
		const uint64_t head = once.ring.shared->slot[at % SLOTS].head;

		if (head >> 63 == lap_of(at))
			bits[nr++] = head & ~PINION_SLOT_HEAD_LAP;
	}
	return nr;
}

/* The keeper's look, with room for some. */
static void list_lent(struct script *script)
{
	const uint32_t room = script_below(script, SLOTS + 1);
	struct pinion_buffer *buffer = malloc(room * sizeof(*buffer));
	uint64_t bits[SLOTS];
	const uint32_t expected = expect_lent(bits);
	const int nr = pinion_broadcast_lent(once.fd, once.b.fd, buffer, room);

	oracle(nr == (expected > room ? -ENOSPC : (int)expected), "lent: %d, not %u, into %u", nr,
	       expected, room);
	for (int i = 0; i < nr; i++)
		oracle(buffer[i].bits == bits[i], "lent: another one than lies there");
	free(buffer);
}

static void step_to_borrow(struct script *script)
{
	switch (script_below(script, 9)) {
	case 0:
		lie_in_seat(script);
		break;
	case 1:
		lie_in_ring(script);
		break;
	case 2:
	case 3:
		publish(script);
		break;
	case 4:
		give_back(script);
		break;
	case 5:
		wait_shortly(script);
		break;
	case 6:
		list_lent(script);
		break;
	case 7:
		turn(script);
		break;
	default:
		borrow(script);
	}
}

/* --- */

void target_step(struct script *script)
{
	if (!run.seat) {
		run.lends = script_byte(script) & 1;
		if (run.lends)
			open_to_lend();
		else
			open_to_borrow();
		return;
	}
	if (run.lends)
		step_to_lend(script);
	else
		step_to_borrow(script);
}

void target_close(void)
{
	if (!run.seat)
		return;
	if (run.lends)
		close_lending();
	else
		assert_int_equal(pinion_broadcast_leave(run.seat), 0);
}
