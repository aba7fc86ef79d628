/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two of a broadcast, or of a fan-in, at once, as match.h has it.
 *
 *     duel_many                      all duels, N sampled
 *     duel_many --planted            with PINION_PLANTED_RIVALS (ready_post()): noticed where two
 *                                    producers meet, and nowhere else
 *     duel_many NAME STEP [DEATH]    one, as a report names it: FIRST stopped after so many steps,
 *                                    and, if given, SECOND killed after so many of its own
 *
 * PINION_SEED repeats the choice of N and M; PINION_STEPS is how far each is stepped in a duel,
 * about.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "burial.h"
#include "fate.h"
#include "match.h"
#include "pin.h"
#include "pool_support.h"
#include "tap.h"

#define STEPS 3000u /* of a duel, about; PINION_STEPS overrides it */

/* What a bout is about. */
struct ground {
	struct contest contest;
	const struct judge *judge;
};

static int giver(const struct contest *contest)
{
	return contest->match->giver;
}

static int taker(const struct contest *contest)
{
	return company_other(giver(contest));
}

static struct view view_of(const struct contest *contest)
{
	return (struct view){
		.company = contest->company,
		.part = contest->part[giver(contest)],
		.other = contest->part[taker(contest)],
		.earlier = &contest->start,
	};
}

/* --- what might come, each from the present state */

struct attempt {
	const struct ground *ground;
	struct view view;
};

static const char *both_die(void *arg)
{
	struct attempt *attempt = arg;

	return attempt->ground->judge->both_die(&attempt->view, giver(&attempt->ground->contest));
}

static const char *all_die(void *arg)
{
	struct attempt *attempt = arg;

	return burial_of_all(&attempt->view);
}

static const char *nobody(struct bout *bout)
{
	const struct ground *ground = bout->ground;
	struct company *company = ground->contest.company;
	struct attempt attempt = {ground, view_of(&ground->contest)};
	const char *problem;

	frame_take(&attempt.view.now, company);
	problem = fate_try("both are dead", both_die, &attempt);
	frame_load(&attempt.view.now, company);
	if (!problem)
		problem = fate_try("all are dead", all_die, &attempt);
	frame_load(&attempt.view.now, company);
	frame_close(&attempt.view.now);
	return problem;
}

static const char *after(struct bout *bout)
{
	const struct ground *ground = bout->ground;
	struct attempt attempt = {ground, view_of(&ground->contest)};

	return fate_try("all are dead in the end", all_die, &attempt);
}

static const char *bury(struct bout *bout)
{
	const struct ground *ground = bout->ground;
	struct view view = view_of(&ground->contest);

	return ground->judge->bury(&view, giver(&ground->contest));
}

/* --- how they end */

static const char *result(const struct bout *bout, bool first)
{
	const struct ground *ground = bout->ground;
	const struct part *part = ground->contest.part[first ? FIRST : SECOND];
	const int err = first ? bout->one.stage->err : bout->two.stage->err;

	if (err == -EPROTO)
		return "it took the other, which is slow or dead, for a liar";
	if (err >= 0 || err == -EAGAIN || err == -EPIPE || err == part->result)
		return NULL;
	return "it returned what it should not";
}

static const char *left_asleep(const struct contest *contest, const struct ending *ending)
{
	const struct part *part = contest->part[taker(contest)];

	if (!part->is_called || ending->dead || ending->took)
		return NULL;
	return part->is_called(&contest->company->player[taker(contest)])
		       ? NULL
		       : "a loop sleeps on, and something is there for it";
}

/* @one: FIRST, or NULL while it has not ended. */
static struct ending ending_of(struct bout *bout, struct tracee *one)
{
	const struct ground *ground = bout->ground;
	const bool first_gives = giver(&ground->contest) == FIRST;
	struct tracee *second = bout->death ? NULL : &bout->two;
	struct ending ending = {.dead = bout->death != 0};

	ending.giver = first_gives ? one : second;
	ending.taker = first_gives ? second : one;
	ending.gave = ending.giver ? ending.giver->stage->err : 0;
	ending.took = ending.taker ? ending.taker->stage->err : 0;
	return ending;
}

static void between(struct bout *bout)
{
	struct ground *ground = bout->ground;
	struct view view = view_of(&ground->contest);
	const struct ending ending = ending_of(bout, NULL);

	if (ground->judge->between)
		bout_note(bout, &bout->one,
			  ground->judge->between(&view, &ground->contest, &ending));
}

static void settle(struct bout *bout)
{
	const struct ground *ground = bout->ground;
	const struct contest *contest = &ground->contest;
	struct view view = view_of(contest);
	const struct ending ending = ending_of(bout, &bout->one);

	bout_note(bout, &bout->one, left_asleep(contest, &ending));
	bout_note(bout, &bout->one, ground->judge->settle(&view, contest, &ending));
}

static void enter(struct bout *bout)
{
	struct ground *ground = bout->ground;
	struct contest *contest = &ground->contest;
	struct company *company = contest->company;

	company_reset(company);
	contest->match->set(company, giver(contest));
	contest->tally = (struct tally){{0}, {false}};
	frame_take(&contest->start, company);
	for (int i = 0; i < PLAYERS; i++)
		contest->held[i] = pinion_pool_held(company->pool, company->player[i].member);
	part_enter(&bout->one, contest->part[FIRST], &company->player[FIRST]);
	part_enter(&bout->two, contest->part[SECOND], &company->player[SECOND]);
	bout_region(bout, company->pool->control.addr, company->pool->control.len);
	for (int i = 0; i < COMPANY_FILES; i++)
		if (company->file[i].addr)
			bout_region(bout, company->file[i].addr, COMPANY_BYTES);
}

static const struct arena arena = {enter, nobody, between, bury, result, settle, after};

/* --- all of them */

/* The tables, one behind the other. */
static const struct {
	const struct match *match;
	const size_t *nr;
	const struct judge *judge;
} tables[] = {
	{lending_matches, &nr_lending_matches, &lending_judge},
	{lanes_matches, &nr_lanes_matches, &lanes_judge},
	{rival_matches, &nr_rival_matches, &rivals_judge},
	{watched_rival_matches, &nr_watched_rival_matches, &watched_rivals_judge},
};

/* The @i-th, or NULL. */
static const struct match *match_at(size_t i, const struct judge **judge)
{
	for (size_t table = 0; table < sizeof(tables) / sizeof(tables[0]); table++) {
		*judge = tables[table].judge;
		if (i < *tables[table].nr)
			return &tables[table].match[i];
		i -= *tables[table].nr;
	}
	return NULL;
}

static void meet(struct company *company, const struct match *match, struct ground *ground)
{
	ground->contest = (struct contest){
		.company = company,
		.match = match,
		.part = {part_find(match->first), part_find(match->second)},
	};
	if (!ground->contest.part[FIRST] || !ground->contest.part[SECOND])
		tap_bail("%s cannot be had", match->name);
}

/* With @where: FIRST's steps, and SECOND's, if it is to die. */
static void fight(struct company *company, size_t i, uint64_t *random, char **where)
{
	struct ground ground;
	const struct match *match = match_at(i, &ground.judge);
	struct bout bout = {.arena = &arena, .ground = &ground, .name = match->name};

	meet(company, match, &ground);
	if (where[0])
		bout_one(&bout, strtoull(where[0], NULL, 0),
			 where[1] ? strtoull(where[1], NULL, 0) : 0);
	else
		bout_all(&bout, bout_steps(STEPS), random);
	frame_close(&ground.contest.start);
}

/* Those that are called @name, or all: how many. Without a company they are only counted. */
static int fight_all(struct company *company, const char *name, uint64_t *random, char **where)
{
	const struct judge *judge;
	const struct match *match;
	int nr = 0;

	for (size_t i = 0; (match = match_at(i, &judge)) != NULL; i++) {
		if (name && strcmp(match->name, name) != 0)
			continue;
		nr++;
		if (company)
			fight(company, i, random, where);
	}
	return nr;
}

/* With PINION_PLANTED_RIVALS in the library: @noticed, or all is well. */
static void planted(struct company *company, const char *name, bool noticed, uint64_t *random)
{
	struct ground ground;
	const struct match *match;
	struct bout bout = {.arena = &arena, .ground = &ground, .name = name, .planted = noticed};

	for (size_t i = 0; (match = match_at(i, &ground.judge)) != NULL; i++)
		if (!strcmp(match->name, name))
			break;
	if (!match)
		tap_bail("no match is called %s", name);
	meet(company, match, &ground);
	bout_all(&bout, bout_steps(STEPS), random);
	frame_close(&ground.contest.start);
}

#define PLANTED 4

static void planted_all(struct company *company, uint64_t *random)
{
	planted(company, "post_post", true, random);
	planted(company, "post_post_watched", true, random);
	planted(company, "post_take", false, random);
	planted(company, "lend_return", false, random);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	char **where = argv + (name ? 2 : 1); /* argv[argc] is NULL */
	const bool with_bug = name && !strcmp(name, "--planted");
	const int nr = with_bug ? PLANTED : fight_all(NULL, name, NULL, NULL);
	struct company company;
	uint64_t random;

	if (!nr)
		tap_bail("usage: duel_many [--planted | NAME [STEP [DEATH]]]");
	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	company_open(&company);
	tap_plan(nr);
	random = test_seed();
	if (with_bug)
		planted_all(&company, &random);
	else
		(void)fight_all(&company, name, &random, where);
	company_close(&company);
	return tap_status();
}
