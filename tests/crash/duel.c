/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both ends of a channel at once, as bout.h has it.
 *
 *     duel                      all duels, N sampled
 *     duel --planted NAME       with PINION_PLANTED_DRAIN or PINION_PLANTED_CREDIT: noticed in this
 *                               one, and in no other of those in claims[]
 *     duel NAME STEP [DEATH]    one, as a report names it: FIRST stopped after so many steps, and,
 *                               if given, SECOND killed after so many of its own
 *
 * PINION_SEED repeats the choice of N and M; PINION_STEPS is how far each is stepped in a duel,
 * about.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/wait.h>

#include "bout.h"
#include "channel.h"
#include "pin.h"
#include "pool_support.h"
#include "recount.h"
#include "tap.h"
#include "walk.h"

#define STEPS 6000u /* of a duel, about; PINION_STEPS overrides it */

/* What two do at once. Their parts are transfers' act(). */
struct duel {
	const char *name;
	void (*set)(struct pair *pair);
	const char *first, *second;
};

/* So far into the ring that a batch of four wraps. */
#define NEAR_THE_END (RING - 2)

static void four_each(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	side_draw(&pair->first, 4);
	side_draw(&pair->second, 4);
}

/* Who sends finds no room, or the credit of who receives. */
static void first_fills(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	side_post(&pair->first, RING);
	side_draw(&pair->first, 4);
	pair->second.nr = 4;
}

static void second_fills(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	side_post(&pair->second, RING);
	side_draw(&pair->second, 4);
	pair->first.nr = 4;
}

static void both_have_sent(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	side_post(&pair->first, 4);
	side_post(&pair->second, 4);
	side_draw(&pair->first, 2);
	side_draw(&pair->second, 2);
}

/* Two rows, which go by vectors: one is on its way, the other is to be sent. They lie as in
 * transfers.c, and may be received together. */
static void rows_move(struct pair *pair, struct side *from, struct side *to)
{
	struct pinion_desc row[2 * ROW];

	side_draw_row(from, 2 * ROW);
	memcpy(row, from->desc, sizeof(row));
	pair_cycle(pair, RING);
	pair_cycle(pair, 11);
	memcpy(from->desc, row, sizeof(row));
	from->nr = ROW;
	side_send(from);
	memmove(from->desc, from->desc + ROW, ROW * sizeof(*from->desc));
	to->nr = 2 * ROW;
}

static void first_sends_rows(struct pair *pair)
{
	rows_move(pair, &pair->first, &pair->second);
}

static void second_sends_rows(struct pair *pair)
{
	rows_move(pair, &pair->second, &pair->first);
}

static void first_sends_one_way(struct pair *pair)
{
	pair_one_way(pair, &pair->first, NEAR_THE_END);
	side_post(&pair->first, 2);
	side_draw(&pair->first, 4);
	pair->second.nr = 4;
}

/* So many that what is received gives credit, too. */
static void sends_all(struct pair *pair, struct side *from, struct side *to)
{
	pair_cycle(pair, NEAR_THE_END);
	side_post(from, RING);
	to->nr = RING;
}

static void first_has_sent_all(struct pair *pair)
{
	sends_all(pair, &pair->first, &pair->second);
}

static void second_has_sent_all(struct pair *pair)
{
	sends_all(pair, &pair->second, &pair->first);
}

static void first_waits_for_both(struct pair *pair)
{
	four_each(pair);
	pair_more(pair, &pair->first);
}

static void second_waits_for_both(struct pair *pair)
{
	four_each(pair);
	pair_more(pair, &pair->second);
}

static void first_has_a_loop(struct pair *pair)
{
	four_each(pair);
	pair_loop(pair, &pair->first);
}

static void second_has_a_loop(struct pair *pair)
{
	four_each(pair);
	pair_loop(pair, &pair->second);
}

/* In a loop, which was called once; what it was called for is received. */
static void turn_comes(struct pair *pair, struct side *to, struct side *from)
{
	pair_cycle(pair, NEAR_THE_END);
	pair_loop(pair, to);
	if (pinion_channel_prepare(to->channel))
		tap_bail("a loop does not go to sleep");
	side_post(from, 1);
	side_take(to, 1);
	side_draw(from, 4);
}

static void first_was_called(struct pair *pair)
{
	turn_comes(pair, &pair->first, &pair->second);
}

static void second_was_called(struct pair *pair)
{
	turn_comes(pair, &pair->second, &pair->first);
}

/* Each has asked two, and heard one of the other's, which it has in hand. */
static void both_talk(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	pair_talk(pair, 4, 4);
	side_ask(&pair->first, 2);
	side_ask(&pair->second, 2);
	side_hear(&pair->first, 1);
	side_hear(&pair->second, 1);
}

static void first_asks(struct pair *pair)
{
	both_talk(pair);
	side_draw(&pair->first, 2);
	pair->second.nr = 2;
}

static void second_asks(struct pair *pair)
{
	both_talk(pair);
	side_draw(&pair->second, 2);
	pair->first.nr = 2;
}

static void both_ask(struct pair *pair)
{
	both_talk(pair);
	side_draw(&pair->first, 2);
	side_draw(&pair->second, 2);
}

static void first_answers(struct pair *pair)
{
	both_talk(pair);
	pair->second.nr = 2;
}

static void second_answers(struct pair *pair)
{
	both_talk(pair);
	pair->first.nr = 2;
}

static void both_hear(struct pair *pair)
{
	both_talk(pair);
	pair->first.nr = pair->second.nr = 2;
}

/* Over a ring by itself, of which two are left that nobody took. */
static void ring_moves(struct pair *pair, enum pinion_ring_end end)
{
	struct side *from = end == PINION_RING_SEND ? &pair->first : &pair->second;
	struct side *to = end == PINION_RING_SEND ? &pair->second : &pair->first;

	pair_ring(pair, end, NEAR_THE_END - 2);
	for (uint32_t i = 0; i < 6; i++)
		from->desc[i] = pair_desc(NEAR_THE_END - 2 + i);
	if (pinion_ring_send(from->ring, from->desc, 2) != 2)
		tap_bail("a ring does not move");
	from->nr = to->nr = 4;
	memmove(from->desc, from->desc + 2, 4 * sizeof(*from->desc));
}

static void first_sends_in_a_ring(struct pair *pair)
{
	ring_moves(pair, PINION_RING_SEND);
}

static void second_sends_in_a_ring(struct pair *pair)
{
	ring_moves(pair, PINION_RING_RECV);
}

/* One of them waits there, for there is nothing left. */
static void ring_rests(struct pair *pair, enum pinion_ring_end end)
{
	struct side *to = end == PINION_RING_SEND ? &pair->second : &pair->first;

	ring_moves(pair, end);
	if (pinion_ring_recv(to->ring, to->desc, 2) != 2)
		tap_bail("a ring does not move");
}

static void first_waits_at_a_ring(struct pair *pair)
{
	ring_rests(pair, PINION_RING_RECV);
}

static void second_waits_at_a_ring(struct pair *pair)
{
	ring_rests(pair, PINION_RING_SEND);
}

static const struct duel duels[] = {
	{"send_recv", four_each, "send", "recv"},
	{"recv_send", four_each, "recv", "send"},
	{"send_send", four_each, "send", "send"},
	{"send_recv_full", first_fills, "send", "recv"},
	{"recv_send_full", second_fills, "recv", "send"},
	{"send_recv_row", first_sends_rows, "send_row", "recv_row"},
	{"recv_send_row", second_sends_rows, "recv_row", "send_row"},
	{"recv_recv", both_have_sent, "recv", "recv"},
	{"leave_send", both_have_sent, "leave", "send"},
	{"send_leave", both_have_sent, "send", "leave"},
	{"leave_recv", both_have_sent, "leave", "recv"},
	{"recv_leave", both_have_sent, "recv", "leave"},
	{"leave_leave", both_have_sent, "leave", "leave"},
	{"reclaim_leave", both_have_sent, "reclaim", "leave"},
	{"leave_reclaim", both_have_sent, "leave", "reclaim"},
	{"one_way_send_recv", first_sends_one_way, "send", "recv"},
	{"one_way_send_leave", first_sends_one_way, "send", "leave"},
	{"one_way_leave_recv", first_sends_one_way, "leave", "recv"},
	{"wait_send", four_each, "wait_woken", "send"},
	{"wait_leave", four_each, "wait_woken", "leave"},
	{"send_wait", four_each, "send", "wait_woken"},
	{"leave_wait", four_each, "leave", "wait_woken"},
	{"reject_wait", four_each, "reject", "wait_woken"},
	{"wait_any_send", first_waits_for_both, "wait_any_woken", "send"},
	{"send_wait_any", second_waits_for_both, "send", "wait_any_woken"},
	{"leave_wait_any", second_waits_for_both, "leave", "wait_any_woken"},
	{"drain_recv", first_has_sent_all, "drain_long", "recv"},
	{"recv_drain", second_has_sent_all, "recv", "drain_long"},
	{"drain_leave", first_has_sent_all, "drain_long", "leave"},
	{"leave_drain", second_has_sent_all, "leave", "drain_long"},
	{"room_recv", first_has_sent_all, "wait_room_long", "recv"},
	{"recv_room", second_has_sent_all, "recv", "wait_room_long"},
	{"room_leave", first_has_sent_all, "wait_room_long", "leave"},
	{"leave_room", second_has_sent_all, "leave", "wait_room_long"},
	{"drain_recv_limited", first_has_sent_all, "drain_short", "recv"},
	{"recv_drain_limited", second_has_sent_all, "recv", "drain_short"},
	{"room_recv_limited", first_has_sent_all, "wait_room_short", "recv"},
	{"recv_room_limited", second_has_sent_all, "recv", "wait_room_short"},
	{"prepare_send", first_has_a_loop, "loop_prepare", "send"},
	{"send_prepare", second_has_a_loop, "send", "loop_prepare"},
	{"turn_send", first_was_called, "loop_turn", "send"},
	{"send_turn", second_was_called, "send", "loop_turn"},
	{"turn_leave", first_was_called, "loop_turn", "leave"},
	{"leave_turn", second_was_called, "leave", "loop_turn"},
	{"ask_hear", first_asks, "ask", "hear_requests"},
	{"hear_ask", second_asks, "hear_requests", "ask"},
	{"ask_ask", both_ask, "ask", "ask"},
	{"answer_hear", first_answers, "answer", "hear_requests"},
	{"hear_answer", second_answers, "hear_requests", "answer"},
	{"answer_answer", both_talk, "answer", "answer"},
	{"hear_hear", both_hear, "hear_requests", "hear_requests"},
	{"answer_leave", both_talk, "answer", "leave"},
	{"leave_hear", second_answers, "leave", "hear_requests"},
	{"ring_send_recv", first_sends_in_a_ring, "ring_send", "ring_recv"},
	{"ring_recv_send", second_sends_in_a_ring, "ring_recv", "ring_send"},
	{"ring_commit_release", first_sends_in_a_ring, "ring_commit", "ring_release"},
	{"ring_leave_recv", first_sends_in_a_ring, "ring_leave_send", "ring_recv"},
	{"ring_send_leave", first_sends_in_a_ring, "ring_send", "ring_leave_recv"},
	{"ring_wait_send", first_waits_at_a_ring, "ring_wait_woken", "ring_send"},
	{"ring_send_wait", second_waits_at_a_ring, "ring_send", "ring_wait_woken"},
	{"ring_leave_wait", second_waits_at_a_ring, "ring_leave_send", "ring_wait_woken"},
	{"ring_sever_send", second_sends_in_a_ring, "ring_sever", "ring_send"},
};
#define DUELS (sizeof(duels) / sizeof(duels[0]))

/* One of them, as it is fought. */
struct ends {
	struct pair *pair;
	const struct duel *duel;
	const struct transfer *first, *second;
	struct still start;
	uint32_t held[2]; /* by FIRST and SECOND, at the start */
};

static bool receives(const struct transfer *transfer)
{
	return !strncmp(transfer->name, "recv", 4) || !strncmp(transfer->name, "hear", 4);
}

static const char *wrong_result(const struct transfer *transfer, int result)
{
	if (result == -EPROTO)
		return "it took the other, which is slow or dead, for a liar";
	if (result >= 0 || result == -EAGAIN || result == -EPIPE || result == -EBUSY)
		return NULL;
	if (result == transfer->result) /* its time was over */
		return NULL;
	return transfer->woken ? "it was not woken" : "it returned what it should not";
}

static bool is_limited(const struct transfer *transfer)
{
	return transfer->result == -ETIMEDOUT;
}

static const char *result(const struct bout *bout, bool first)
{
	const struct ends *ends = bout->ground;

	return first ? wrong_result(ends->first, bout->one.stage->err)
		     : wrong_result(ends->second, bout->two.stage->err);
}

static bool loops(const struct transfer *transfer)
{
	return !strncmp(transfer->name, "loop_", 5);
}

/* @side went to sleep in its loop, beside one that did what @other says. */
static const char *left_asleep(const struct transfer *transfer, const struct tracee *tracee,
			       const struct side *side, const struct tracee *other)
{
	if (!loops(transfer) || tracee->stage->err || other->stage->err < 0)
		return NULL;
	return side_is_called(side) ? NULL : "a loop sleeps on, and something is there for it";
}

static int got(const struct transfer *transfer, const struct tracee *tracee)
{
	const int result = tracee->stage->err;

	return receives(transfer) && result > 0 ? result : 0;
}

static bool reclaims(const struct transfer *transfer)
{
	return !strcmp(transfer->name, "reclaim");
}

/* Both have ended: each has what it received, and no longer what the other did. */
static const char *wrong_sums(const struct bout *bout)
{
	const struct ends *ends = bout->ground;
	const int first = got(ends->first, &bout->one), second = got(ends->second, &bout->two);
	int held[2] = {(int)ends->held[0] + first - second, (int)ends->held[1] + second - first};

	if (reclaims(ends->first) && bout->one.stage->err > 0)
		held[0] -= bout->one.stage->err;
	if (reclaims(ends->second) && bout->two.stage->err > 0)
		held[1] -= bout->two.stage->err;
	if ((int)pinion_pool_held(ends->pair->pool, PAIR_FIRST) != held[0] ||
	    (int)pinion_pool_held(ends->pair->pool, PAIR_SECOND) != held[1])
		return "one has not what it says that it received";
	return NULL;
}

static bool drains(const struct transfer *transfer)
{
	return !strncmp(transfer->name, "drain_", 6);
}

static bool waits_for_room(const struct transfer *transfer)
{
	return !strncmp(transfer->name, "wait_room_", 10);
}

/* Of what it sent, all of what it @had before: what was taken is no longer its own. */
static uint64_t taken_of(const struct side *side, uint32_t had)
{
	return had - pinion_pool_held(side->pool, side->member);
}

/* Since it was full. */
static uint64_t room_of(const struct side *side)
{
	const struct ring *tx = channel_tx(side->channel); /* as it was then */

	return tx->shared->credit - tx->credit;
}

/* It waited for what the other took, and says that there is enough. There is room for no more than
 * was taken. */
static const char *said_too_early(const struct transfer *transfer, const struct tracee *tracee,
				  const struct side *side, uint32_t had)
{
	if (!tracee->stage->done || tracee->stage->err)
		return NULL;
	if (drains(transfer) && taken_of(side, had) != RING)
		return "it says that all was taken, and some was not";
	if (waits_for_room(transfer) && !room_of(side))
		return "it says that there is room, and there is none";
	if (waits_for_room(transfer) && room_of(side) > taken_of(side, had))
		return "it says that there is room, which the other has not yet made";
	return NULL;
}

/* Its time was over while nobody moved: there was never enough. */
static const char *waited_in_vain(const struct transfer *transfer, const struct tracee *tracee,
				  const struct side *side, uint32_t had)
{
	if (!tracee->stage->done || tracee->stage->err != -ETIMEDOUT)
		return NULL;
	if (drains(transfer) && taken_of(side, had) == RING)
		return "it waited for what was taken long before";
	if (waits_for_room(transfer) && room_of(side))
		return "it waited for room, and there was some";
	return NULL;
}

/* FIRST stands still, in the midst of what it does. */
static void between(struct bout *bout)
{
	const struct ends *ends = bout->ground;
	const struct side *second = &ends->pair->second;

	if (bout->death)
		return;
	bout_note(bout, &bout->two,
		  said_too_early(ends->second, &bout->two, second, ends->held[1]));
	bout_note(bout, &bout->two,
		  waited_in_vain(ends->second, &bout->two, second, ends->held[1]));
}

static void settle(struct bout *bout)
{
	const struct ends *ends = bout->ground;

	bout_note(bout, &bout->one,
		  said_too_early(ends->first, &bout->one, &ends->pair->first, ends->held[0]));
	if (bout->death)
		return;
	bout_note(bout, &bout->one, wrong_sums(bout));
	bout_note(bout, &bout->one,
		  left_asleep(ends->first, &bout->one, &ends->pair->first, &bout->two));
	bout_note(bout, &bout->two,
		  left_asleep(ends->second, &bout->two, &ends->pair->second, &bout->one));
}

/* Where a keeper recovers the dead, FIRST still is to take what is on its way. */
static const char *bury(struct bout *bout)
{
	const struct ends *ends = bout->ground;
	struct pinion_buffer transit[RING];
	const uint32_t nr = pinion_channel_published(ends->pair->first.channel, transit);

	return recount_recover_twice(ends->pair->pool, PAIR_SECOND, transit, nr);
}

static const char *nobody(struct bout *bout)
{
	const struct ends *ends = bout->ground;

	return outlive_nobody(ends->pair, &ends->start);
}

static void enter(struct bout *bout)
{
	struct ends *ends = bout->ground;
	struct pair *pair = ends->pair;

	pair_reset(pair);
	ends->duel->set(pair);
	still_take(&ends->start, pair);
	ends->held[0] = pinion_pool_held(pair->pool, PAIR_FIRST);
	ends->held[1] = pinion_pool_held(pair->pool, PAIR_SECOND);
	walk_enter(&bout->one, ends->first, &pair->first);
	walk_enter(&bout->two, ends->second, &pair->second);
	bout_region(bout, pair->pool->control.addr, pair->pool->control.len);
	for (int i = 0; i < RINGS; i++)
		bout_region(bout, pair->ring[i].addr, RING_BYTES);
}

static const struct arena channel = {enter, nobody, between, bury, result, settle, nobody};

/* With @where: FIRST's steps, and SECOND's, if it is to die. @planted: something is to be wrong. */
static void fight(struct pair *pair, const struct duel *duel, bool planted, uint64_t *random,
		  char **where)
{
	struct ends ends = {
		.pair = pair,
		.duel = duel,
		.first = transfer_find(duel->first),
		.second = transfer_find(duel->second),
	};
	struct bout bout = {
		.arena = &channel, .ground = &ends, .name = duel->name, .planted = planted};

	if (!ends.first || !ends.second)
		tap_bail("%s cannot be had", duel->name);
	bout.limited = is_limited(ends.first) || is_limited(ends.second);
	/* A sender that is dead wakes nobody. */
	bout.unrelieved = ends.first->woken;
	if (where[0])
		bout_one(&bout, strtoull(where[0], NULL, 0),
			 where[1] ? strtoull(where[1], NULL, 0) : 0);
	else
		bout_all(&bout, bout_steps(STEPS), random);
	still_close(&ends.start);
}

static const struct duel *find(const char *name)
{
	for (size_t i = 0; i < DUELS; i++)
		if (!strcmp(duels[i].name, name))
			return &duels[i];
	tap_bail("usage: duel [--planted NAME | NAME [STEP [DEATH]]]");
}

/* Two who wait beside a receiver that stands still, for each of which there is a bug; these beside
 * one that came to its end; and one where nobody waits. */
static const char *const claims[] = {
	"recv_drain", "recv_room", "drain_recv", "room_recv", "send_recv",
};
#define CLAIMS (sizeof(claims) / sizeof(claims[0]))

static void fight_planted(struct pair *pair, const char *noticed, uint64_t *random)
{
	char *all[] = {NULL};

	for (size_t i = 0; i < CLAIMS; i++)
		fight(pair, find(claims[i]), !strcmp(claims[i], noticed), random, all);
}

static void fight_all(struct pair *pair, const struct duel *only, uint64_t *random, char **where)
{
	for (size_t i = 0; i < DUELS; i++)
		if (!only || only == &duels[i])
			fight(pair, &duels[i], false, random, where);
}

int main(int argc, char **argv)
{
	const bool with_bug = argc == 3 && !strcmp(argv[1], "--planted");
	const struct duel *duel = argc > 1 ? find(argv[with_bug ? 2 : 1]) : NULL;
	char **where = argv + (argc > 1 ? 2 : 1); /* argv[argc] is NULL */
	uint64_t random;
	struct pair pair;

	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	pair_open(&pair);
	tap_plan(with_bug ? (int)CLAIMS : duel ? 1 : (int)DUELS);
	random = test_seed();
	if (with_bug)
		fight_planted(&pair, duel->name, &random);
	else
		fight_all(&pair, duel, &random, where);
	pair_close(&pair);
	return tap_status();
}
