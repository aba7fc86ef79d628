/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both ends of a channel at once: FIRST stopped within an operation, and SECOND does not wait.
 *
 *     duel                      all duels, N sampled
 *     duel NAME STEP [DEATH]    one, as a report names it: FIRST stopped after so many steps, and,
 *                               if given, SECOND killed after so many of its own
 *
 * For each duel, with two children:
 *
 *     FIRST    steps to N ....................... goes on to its end, and is right
 *     SECOND              steps to its end, and is right, within bounded steps
 *     tracer              after each: both die here, at (N, M)
 *
 * and the same with SECOND killed at M: the keeper recovers it, all but what is in transit to
 * FIRST, and FIRST goes on as if nothing had happened.
 *
 * PINION_SEED repeats the choice of N and M; PINION_STEPS is how far
 * each is stepped in a duel, about.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/wait.h>

#include "pin.h"
#include "pool_support.h"
#include "recount.h"
#include "tap.h"
#include "walk.h"

/* Each duel has the same share: the shorter it is, the more N. PINION_STEPS overrides it. */
#define STEPS 6000u

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
	{"wait_any_send", first_waits_for_both, "wait_any_woken", "send"},
	{"send_wait_any", second_waits_for_both, "send", "wait_any_woken"},
	{"leave_wait_any", second_waits_for_both, "leave", "wait_any_woken"},
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

struct run {
	struct pair *pair;
	const struct duel *duel;
	const struct transfer *first, *second;
	struct walk alone; /* FIRST by itself: its length and its stores */
	uint64_t other;    /* SECOND's length, after it */
	struct tracee one, two;
	struct still start, last;
	uint32_t held[2]; /* by FIRST and SECOND, at the start */
	uint64_t *known;  /* states that were checked: hashes, in a table that has room */
	struct store where;
	uint64_t death; /* of SECOND, so many steps on; 0: it lives */
	uint64_t stalls, deaths, states;
	struct fault fault;
	char again[128]; /* arguments for the first fault */
};

#define KNOWN (1u << 14)

static void note(struct run *run, const struct tracee *tracee, const char *problem)
{
	fault_note(&run->fault, tracee, problem);
	if (problem && run->fault.nr == 1)
		snprintf(run->again, sizeof(run->again), "%s %ju %ju", run->duel->name,
			 (uintmax_t)run->where.step, (uintmax_t)run->death);
}

/* FNV-1a, of words. */
static uint64_t hash(uint64_t sum, const void *bytes, size_t len)
{
	const char *at = bytes;
	uint64_t word;

	for (size_t i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, at + i, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
	}
	return sum;
}

static bool is_known(struct run *run)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	size_t i;

	sum = hash(sum, run->last.control.bytes, run->last.control.len);
	sum = hash(sum, run->last.ring, sizeof(run->last.ring)) | 1;
	for (i = sum >> 50; run->known[i % KNOWN]; i++)
		if (run->known[i % KNOWN] == sum)
			return true;
	if (run->states < KNOWN / 2)
		run->known[i % KNOWN] = sum;
	return false;
}

/* In libc, where system calls are. */
static bool sleeps_next(const struct tracee *tracee)
{
	return !tracee_place(tracee) && tracee_will_sleep(tracee);
}

/* Both are dead here, if nobody was in the same state before. */
static void look(struct run *run)
{
	if (run->last.control.bytes && still_same(&run->last, run->pair))
		return;
	still_take(&run->last, run->pair);
	if (is_known(run))
		return;
	run->states++;
	note(run, &run->two, outlive_nobody(run->pair, &run->start));
}

/* What it meets beside one that is stopped can be another path; it cannot be a wait. */
static uint64_t bound(const struct run *run)
{
	return 2 * (run->alone.points + run->other) + 4000;
}

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
	return transfer->woken ? "it was not woken" : "it returned what it should not";
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
static const char *wrong_sums(struct run *run)
{
	const int first = got(run->first, &run->one), second = got(run->second, &run->two);
	int held[2] = {(int)run->held[0] + first - second, (int)run->held[1] + second - first};

	if (reclaims(run->first) && run->one.stage->err > 0)
		held[0] -= run->one.stage->err;
	if (reclaims(run->second) && run->two.stage->err > 0)
		held[1] -= run->two.stage->err;
	if ((int)pinion_pool_held(run->pair->pool, PAIR_FIRST) != held[0] ||
	    (int)pinion_pool_held(run->pair->pool, PAIR_SECOND) != held[1])
		return "one has not what it says that it received";
	return NULL;
}

/* FIRST comes to @where, or to where it would sleep. */
static enum step stop_first(struct run *run, const struct store *where)
{
	enum step at = STEP_MORE;

	if (where->place)
		return tracee_reach(&run->one, where);
	while (run->one.steps < where->step && at == STEP_MORE && !sleeps_next(&run->one))
		at = tracee_step(&run->one);
	return at;
}

/* To its end, or to where it sleeps: then it is FIRST that has to wake it. */
static enum step run_second(struct run *run)
{
	const uint64_t most = run->death ? run->death : bound(run);
	enum step at = STEP_MORE;

	look(run);
	while (at == STEP_MORE && run->two.steps < most && !sleeps_next(&run->two)) {
		at = tracee_step(&run->two);
		look(run);
	}
	return at;
}

/* FIRST has ended, if SECOND slept. */
static void end_second(struct run *run, enum step at)
{
	if (at == STEP_MORE && sleeps_next(&run->two))
		at = tracee_finish(&run->two);
	if (at == STEP_DIED)
		note(run, &run->two, "it died by itself");
	else if (at == STEP_DONE)
		note(run, &run->two, wrong_result(run->second, run->two.stage->err));
	else
		note(run, &run->two, "it did not end beside one that is stopped");
}

/* Where a keeper recovers the dead, FIRST still is to take what is on its way. */
static void bury_second(struct run *run)
{
	struct pinion_buffer transit[RING];
	const uint32_t nr = pinion_channel_published(run->pair->first.channel, transit);
	const char *problem;

	tracee_kill(&run->two);
	problem = recount_recover(run->pair->pool, PAIR_SECOND, transit, nr);
	if (problem)
		note(run, &run->one, problem);
}

static void end_first(struct run *run, enum step at)
{
	const bool sleeps = run->first->woken && run->death;

	/* A sender that is dead wakes nobody: that is what FIRST's time limit is for. */
	if (at == STEP_MORE && !sleeps)
		at = tracee_finish(&run->one);
	if (at == STEP_DONE)
		note(run, &run->one, wrong_result(run->first, run->one.stage->err));
	else if (!sleeps)
		note(run, &run->one,
		     at == STEP_DIED ? "it died by itself after it was stopped"
				     : "it did not go on to its end after it was stopped");
}

static void enter(struct run *run, const struct store *where, uint64_t death)
{
	struct pair *pair = run->pair;

	run->where = *where;
	run->death = death;
	pair_reset(pair);
	run->duel->set(pair);
	still_take(&run->start, pair);
	run->held[0] = pinion_pool_held(pair->pool, PAIR_FIRST);
	run->held[1] = pinion_pool_held(pair->pool, PAIR_SECOND);
	walk_enter(&run->one, run->first, &pair->first);
	walk_enter(&run->two, run->second, &pair->second);
}

static void duel_once(struct run *run, const struct store *where, uint64_t death)
{
	enum step first, second;

	enter(run, where, death);
	first = stop_first(run, where);
	second = run_second(run);
	if (death)
		bury_second(run);
	end_first(run, first);
	if (!death) {
		end_second(run, second);
		note(run, &run->one, wrong_sums(run));
		note(run, &run->one,
		     left_asleep(run->first, &run->one, &run->pair->first, &run->two));
		note(run, &run->two,
		     left_asleep(run->second, &run->two, &run->pair->second, &run->one));
		tracee_kill(&run->two);
	}
	tracee_kill(&run->one);
	note(run, &run->one, outlive_nobody(run->pair, &run->start));
	still_close(&run->last);
}

/* FIRST by itself. One that would sleep is stopped there: nobody would wake it. */
static void measure(struct run *run)
{
	struct tracks *tracks = &run->alone.tracks;
	enum step at = STEP_MORE;

	enter(run, &(struct store){0}, 0);
	tracks_open(tracks);
	still_take(&run->last, run->pair);
	tracks_add(tracks, &run->one);
	while (at == STEP_MORE && !sleeps_next(&run->one)) {
		at = tracks_step(tracks, &run->one);
		if (still_same(&run->last, run->pair))
			continue;
		tracks_add(tracks, &run->one);
		still_take(&run->last, run->pair);
	}
	run->alone.points = run->one.steps + 1;
	for (at = STEP_MORE; at == STEP_MORE && !sleeps_next(&run->two);)
		at = tracee_step(&run->two);
	run->other = run->two.steps;
	still_close(&run->last);
	tracee_kill(&run->one);
	tracee_kill(&run->two);
}

/* Anywhere. */
static struct store choose(const struct run *run, uint64_t *random)
{
	return (struct store){.step = test_below(random, (uint32_t)run->alone.points)};
}

static void duel_open(struct run *run, struct pair *pair, const struct duel *duel)
{
	*run = (struct run){
		.pair = pair,
		.duel = duel,
		.first = transfer_find(duel->first),
		.second = transfer_find(duel->second),
		.known = calloc(KNOWN, sizeof(*run->known)),
	};
	if (!run->first || !run->second || !run->known)
		tap_bail("%s cannot be had", duel->name);
	measure(run);
}

static void duel_close(struct run *run)
{
	fault_tell(&run->fault, run->again);
	walk_close(&run->alone);
	still_close(&run->start);
	free(run->known);
}

/* FIRST is stopped after each of its stores, and elsewhere up to @most times. */
static void stall(struct run *run, uint64_t most, uint64_t *random)
{
	const bool all = run->alone.points <= most;

	for (uint64_t i = 0; i < run->alone.tracks.nr; i++, run->stalls++)
		duel_once(run, &run->alone.tracks.store[i], 0);
	for (uint64_t i = 0; i < (all ? run->alone.points : most); i++, run->stalls++) {
		const struct store where = all ? (struct store){.step = i} : choose(run, random);

		duel_once(run, &where, 0);
	}
}

/* ... and beside one that dies. */
static void stall_with_death(struct run *run, uint64_t most, uint64_t *random)
{
	for (; run->deaths < most; run->deaths++) {
		const struct store where = choose(run, random);

		duel_once(run, &where, 1 + test_below(random, (uint32_t)run->other));
	}
}

static void duel_all(struct pair *pair, const struct duel *duel, uint64_t steps, uint64_t *random)
{
	struct run run;
	uint64_t most;

	duel_open(&run, pair, duel);
	most = 2 * steps / (run.alone.points + run.other) + 1;
	stall(&run, most, random);
	stall_with_death(&run, most, random);
	duel_close(&run);
	tap_result(!run.fault.nr,
		   "%s: stopped %ju times, %ju times beside one that dies, both dead in %ju "
		   "states, %ju wrong",
		   duel->name, (uintmax_t)run.stalls, (uintmax_t)run.deaths, (uintmax_t)run.states,
		   (uintmax_t)run.fault.nr);
}

static void duel_one(struct pair *pair, const struct duel *duel, uint64_t step, uint64_t death)
{
	struct run run;

	duel_open(&run, pair, duel);
	duel_once(&run, &(struct store){.step = step}, death);
	duel_close(&run);
	tap_result(!run.fault.nr, "%s stopped after step %ju", duel->name, (uintmax_t)step);
}

static const struct duel *find(const char *name)
{
	for (size_t i = 0; i < DUELS; i++)
		if (!strcmp(duels[i].name, name))
			return &duels[i];
	tap_bail("usage: duel [NAME [STEP [DEATH]]]");
}

int main(int argc, char **argv)
{
	const char *given = getenv("PINION_STEPS");
	const uint64_t steps = given ? strtoull(given, NULL, 0) : STEPS;
	const struct duel *duel = argc > 1 ? find(argv[1]) : NULL;
	uint64_t random;
	struct pair pair;

	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	pair_open(&pair);
	tap_plan(duel ? 1 : (int)DUELS);
	random = test_seed();
	if (argc > 2)
		duel_one(&pair, duel, strtoull(argv[2], NULL, 0),
			 argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
	for (size_t i = 0; argc <= 2 && i < DUELS; i++)
		if (!duel || duel == &duels[i])
			duel_all(&pair, &duels[i], steps, &random);
	pair_close(&pair);
	return tap_status();
}
