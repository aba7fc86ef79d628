/* SPDX-License-Identifier: BSD-3-Clause */
#include "walk.h"

#include <string.h>

#include "tap.h"

/* Every instruction of transfers up to so many. */
#define SHORT 400

/* One on its way. */
struct way {
	struct pair *pair;
	const struct transfer *transfer;
	struct walk *walk;
	struct tracee tracee;
	struct still last; /* the state that was checked last */
	uint32_t queued;
};

/* What a child is given; it has a copy. */
static struct {
	int (*act)(struct side *side);
	struct side *side;
} part;

static int prepare(void *arg)
{
	(void)arg;
	return 0;
}

static int act(void *arg)
{
	(void)arg;
	return part.act(part.side);
}

void walk_enter(struct tracee *tracee, const struct transfer *transfer, struct side *side)
{
	const struct play play = {prepare, act, NULL};

	part.act = transfer->act;
	part.side = side;
	tracee_start(tracee, &play);
	if (!transfer->from)
		return;
	if (tracee_reach(tracee, &(struct store){1, step_place(transfer->from), 1}) != STEP_MORE)
		tap_bail("%s did not come to its start", transfer->name);
	tracee->steps = 0;
}

/* The state now, if it is another than the last, which it then becomes. */
static void look(struct way *way, bool check)
{
	const bool is_start = !way->walk->points++;

	if (!is_start && still_same(&way->last, way->pair))
		return;
	tracks_add(&way->walk->tracks, &way->tracee);
	if (check)
		fault_note(&way->walk->fault, &way->tracee,
			   outlive_problem(way->pair, way->transfer, way->queued,
					   is_start ? NULL : &way->last));
	still_take(&way->last, way->pair);
}

static void wake(void *arg)
{
	struct way *way = arg;
	struct side *second = &way->pair->second;

	if (!way->transfer->alone)
		side_send(second);
	else if (pinion_ring_send(second->ring, second->desc, second->nr) != (int)second->nr)
		tap_bail("%s is not woken", way->transfer->name);
}

static enum step advance(struct way *way)
{
	struct tracks *tracks = &way->walk->tracks;

	/* In libc, where system calls are. */
	if (way->transfer->woken && !tracee_place(&way->tracee) &&
	    tracee_will_sleep(&way->tracee)) {
		tracks->place = 0;
		return tracee_step_asleep(&way->tracee, wake, way);
	}
	return tracks_step(tracks, &way->tracee);
}

/* What it should have done and did not, or NULL. */
static const char *claim(const struct way *way, enum step at, uint64_t credit)
{
	if (at == STEP_DIED)
		return "it died by itself";
	if (way->tracee.stage->err != way->transfer->result)
		return "it did not return what it should";
	if (way->transfer->calls && !side_is_called(&way->pair->second))
		return "a loop sleeps on, and something is there for it";
	if ((pair_credit(way->pair) != credit) != way->transfer->gives)
		return way->transfer->gives ? "it gave no credit" : "it gave credit";
	return NULL;
}

/* To the start. */
static void begin(struct pair *pair, const struct transfer *transfer, struct tracee *tracee)
{
	pair_reset(pair);
	transfer->set(pair);
	walk_enter(tracee, transfer, &pair->first);
}

void walk_run(struct pair *pair, const struct transfer *transfer, bool check, struct walk *walk)
{
	struct way way = {.pair = pair, .transfer = transfer, .walk = walk};
	enum step at = STEP_MORE;
	uint64_t credit;

	tracks_open(&walk->tracks);
	begin(pair, transfer, &way.tracee);
	way.queued = outlive_queued(pair);
	credit = pair_credit(pair);
	look(&way, check);
	while (at == STEP_MORE) {
		at = advance(&way);
		look(&way, check);
	}
	fault_note(&walk->fault, &way.tracee, claim(&way, at, credit));
	tracee_kill(&way.tracee);
	still_close(&way.last);
}

void walk_close(struct walk *walk)
{
	tracks_close(&walk->tracks);
}

static void kill_after(struct pair *pair, const struct transfer *transfer,
		       const struct store *store, struct fault *fault)
{
	struct tracee tracee;
	uint32_t queued;
	uint64_t place;

	begin(pair, transfer, &tracee);
	queued = outlive_queued(pair);
	if (tracee_reach(&tracee, store) == STEP_DONE && store->place)
		tap_bail("%s did not come to its store at %#jx again", transfer->name,
			 (uintmax_t)store->place);
	place = tracee_place(&tracee);
	tracee_kill(&tracee);
	fault_note(fault, &tracee,
		   store->place ? outlive_problem(pair, transfer, queued, NULL)
				: outlive_turn(pair, transfer, queued, store->step));
	if (fault->nr == 1)
		fault->place = place; /* as it was while there was somebody to ask */
}

void walk_kill_at(struct pair *pair, const struct transfer *transfer, uint64_t step,
		  struct fault *fault)
{
	const struct store anywhere = {.step = step};

	kill_after(pair, transfer, &anywhere, fault);
}

uint64_t walk_kill(struct pair *pair, const struct transfer *transfer, const struct walk *walk,
		   struct fault *fault)
{
	/* At full speed nobody would wake it. */
	if (transfer->woken)
		return 0;
	if (walk->points <= SHORT && !transfer->brief) {
		for (uint64_t i = 0; i < walk->points; i++)
			walk_kill_at(pair, transfer, i, fault);
		return walk->points;
	}
	for (uint64_t i = 0; i < walk->tracks.nr; i++)
		kill_after(pair, transfer, &walk->tracks.store[i], fault);
	return walk->tracks.nr;
}
