/* SPDX-License-Identifier: BSD-3-Clause */
#include "tour.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fate.h"
#include "tap.h"

/* One that is dead to the world for so long was not woken. */
#define PATIENCE_NS UINT64_C(2000000000)

static void begin(struct company *company, const struct part *part, struct tracee *tracee)
{
	company_reset(company);
	part->set(company);
	part_enter(tracee, part, &company->player[FIRST]);
}

/* --- what might come */

struct attempt {
	const struct fate *fate;
	struct view *view;
};

static const char *attempt(void *arg)
{
	const struct attempt *attempt = arg;

	return attempt->fate->comes(attempt->view);
}

/* All of it, each from the present state. */
static const char *problem_of(struct company *company, const struct part *part,
			      const struct frame *earlier)
{
	struct view view = {.company = company, .part = part, .earlier = earlier};
	const char *problem = NULL;

	frame_take(&view.now, company);
	if (!earlier)
		view.earlier = &view.now;
	for (const struct fate *fate = part->fates; !problem && fate->name; fate++) {
		problem = fate_try(fate->name, attempt, &(struct attempt){fate, &view});
		frame_load(&view.now, company);
	}
	frame_close(&view.now);
	return problem;
}

/* --- every instruction */

/* The state now, if it is another than the last, which it then becomes. */
static void look(struct company *company, const struct part *part, const struct tracee *tracee,
		 struct tour *tour, struct frame *last)
{
	const bool is_start = !tour->points++;

	if (part->often) {
		tour->every.place = tour->tracks.place;
		tracks_add(&tour->every, tracee);
	}
	if (!is_start && frame_same(last, company))
		return;
	tracks_add(&tour->tracks, tracee);
	fault_note(&tour->fault, tracee, problem_of(company, part, is_start ? NULL : last));
	frame_take(last, company);
}

/* FIRST's sleep, and who ends it. */
struct call {
	struct company *company;
	const struct part *part;
};

static void wake(void *arg)
{
	const struct call *call = arg;

	call->part->wake(call->company);
}

static enum step advance(struct company *company, const struct part *part, struct tracee *tracee,
			 struct tour *tour)
{
	/* In libc, where system calls are. */
	if (part->wake && !tracee_place(tracee) && tracee_will_sleep(tracee)) {
		tour->tracks.place = 0;
		return tracee_step_asleep(tracee, wake, &(struct call){company, part});
	}
	return tracks_step(&tour->tracks, tracee);
}

void tour_run(struct company *company, const struct part *part, struct tour *tour)
{
	enum step at = STEP_MORE;
	struct frame last = {0};
	struct tracee tracee;

	tracks_open(&tour->tracks);
	tour->every.passed = tour->tracks.passed;
	begin(company, part, &tracee);
	look(company, part, &tracee, tour, &last);
	while (at == STEP_MORE) {
		at = advance(company, part, &tracee, tour);
		look(company, part, &tracee, tour, &last);
	}
	if (at == STEP_DIED)
		fault_note(&tour->fault, &tracee, "it died by itself");
	else if (tracee.stage->err != part->result)
		fault_note(&tour->fault, &tracee, "it did not return what it should");
	tracee_kill(&tracee);
	frame_close(&last);
}

void tour_close(struct tour *tour)
{
	free(tour->every.store);
	tracks_close(&tour->tracks);
}

/* --- real deaths */

static void reach(struct tracee *tracee, const struct part *part, const struct store *store)
{
	if (tracee_reach(tracee, store) == STEP_DONE && store->place)
		tap_bail("%s did not come to its store at %#jx again", part->name,
			 (uintmax_t)store->place);
}

static void note(struct fault *fault, const struct tracee *tracee, uint64_t place,
		 const char *problem)
{
	fault_note(fault, tracee, problem);
	if (problem && fault->nr == 1)
		fault->place = place; /* as it was while there was somebody to ask */
}

/* Does it end, and well? */
static const char *hears(pid_t sleeper)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	int status = 1;

	for (uint64_t ns = 0; ns < PATIENCE_NS; ns += (uint64_t)nap.tv_nsec) {
		if (waitpid(sleeper, &status, WNOHANG) == sleeper)
			return status ? "who was asleep woke, and did not find what it should"
				      : NULL;
		(void)nanosleep(&nap, NULL);
	}
	(void)kill(sleeper, SIGKILL);
	(void)waitpid(sleeper, &status, 0);
	return "who was asleep sleeps on";
}

static void kill_after(struct company *company, const struct part *part, const struct store *store,
		       struct fault *fault)
{
	struct tracee tracee;
	uint64_t place;

	begin(company, part, &tracee);
	reach(&tracee, part, store);
	place = tracee_place(&tracee);
	tracee_kill(&tracee);
	note(fault, &tracee, place, problem_of(company, part, NULL));
}

/* The same with somebody asleep, from before FIRST began. */
static void kill_beside(struct company *company, const struct part *part, const struct store *store,
			struct fault *fault)
{
	struct tracee tracee;
	uint64_t place;
	pid_t sleeper;

	company_reset(company);
	part->set(company);
	sleeper = player_sleep(&company->player[SECOND], part->sleep);
	part_enter(&tracee, part, &company->player[FIRST]);
	reach(&tracee, part, store);
	place = tracee_place(&tracee);
	tracee_kill(&tracee);
	part->rouse(company);
	note(fault, &tracee, place, hears(sleeper));
}

static void kill_both_ways(struct company *company, const struct part *part,
			   const struct store *store, struct fault *fault)
{
	kill_after(company, part, store, fault);
	if (part->sleep)
		kill_beside(company, part, store, fault);
}

void tour_kill_at(struct company *company, const struct part *part, uint64_t step,
		  struct fault *fault)
{
	kill_both_ways(company, part, &(struct store){.step = step}, fault);
}

uint64_t tour_kill(struct company *company, const struct part *part, const struct tour *tour,
		   struct fault *fault)
{
	/* At full speed nobody would wake it. */
	if (part->wake)
		return 0;
	for (uint64_t i = 0; i < tour->tracks.nr; i++)
		kill_both_ways(company, part, &tour->tracks.store[i], fault);
	return tour->tracks.nr;
}

/* --- FIRST goes on */

static const char *go_on(struct company *company, const struct part *part, struct tracee *tracee)
{
	const enum step at = tracee_finish(tracee);
	const char *problem;

	if (at != STEP_DONE)
		return at == STEP_MORE ? "it does not end" : "it died by itself";
	problem = part->afterwards(company, tracee->stage->err);
	if (!problem && part->severed && tracee_ask(tracee, false) != PART_END)
		problem = "who was severed does not learn of it";
	return problem;
}

static void meet_after(struct company *company, const struct part *part, const struct store *store,
		       struct fault *fault)
{
	struct tracee tracee;

	begin(company, part, &tracee);
	reach(&tracee, part, store);
	part->meanwhile(company);
	fault_note(fault, &tracee, go_on(company, part, &tracee));
	tracee_kill(&tracee);
}

uint64_t tour_meet(struct company *company, const struct part *part, const struct tour *tour,
		   struct fault *fault)
{
	const struct tracks *tracks = part->often ? &tour->every : &tour->tracks;
	const uint64_t nr = tracks->nr - 1; /* after the last it has ended, or is about to */

	if (!part->meanwhile)
		return 0;
	for (uint64_t i = 0; i < nr; i++)
		meet_after(company, part, &tracks->store[i], fault);
	return nr;
}

void tour_meet_at(struct company *company, const struct part *part, uint64_t step,
		  struct fault *fault)
{
	if (part->meanwhile)
		meet_after(company, part, &(struct store){.step = step}, fault);
}
