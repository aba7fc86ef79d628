/* SPDX-License-Identifier: BSD-3-Clause */
#include "bout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool_support.h"
#include "tap.h"

#define KNOWN (1u << 14)

uint64_t bout_steps(uint64_t usual)
{
	const char *given = getenv("PINION_STEPS");

	return given ? strtoull(given, NULL, 0) : usual;
}

void bout_note(struct bout *bout, const struct tracee *tracee, const char *problem)
{
	fault_note(&bout->fault, tracee, problem);
	if (problem && bout->fault.nr == 1)
		snprintf(bout->again, sizeof(bout->again), "%s %ju %ju", bout->name,
			 (uintmax_t)bout->where.step, (uintmax_t)bout->death);
}

/* --- the shared state */

void bout_region(struct bout *bout, const void *addr, size_t len)
{
	if (bout->regions == BOUT_REGIONS)
		tap_bail("%s is about more files than can be looked at", bout->name);
	bout->region[bout->regions].addr = addr;
	bout->region[bout->regions++].len = len;
}

static size_t state_len(const struct bout *bout)
{
	size_t len = 0;

	for (uint32_t i = 0; i < bout->regions; i++)
		len += bout->region[i].len;
	return len;
}

static void state_take(struct bout *bout)
{
	char *to = bout->last;

	for (uint32_t i = 0; i < bout->regions; to += bout->region[i++].len)
		memcpy(to, bout->region[i].addr, bout->region[i].len);
	bout->looked = true;
}

static bool state_same(const struct bout *bout)
{
	const char *last = bout->last;

	if (!bout->looked)
		return false;
	for (uint32_t i = 0; i < bout->regions; last += bout->region[i++].len)
		if (memcmp(last, bout->region[i].addr, bout->region[i].len))
			return false;
	return true;
}

/* FNV-1a, of words; never 0. */
static uint64_t state_hash(const struct bout *bout)
{
	const size_t len = state_len(bout);
	uint64_t word, sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, bout->last + i, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
	}
	return sum | 1;
}

static bool is_known(struct bout *bout)
{
	const uint64_t sum = state_hash(bout);
	size_t i;

	for (i = sum >> 50; bout->known[i % KNOWN]; i++)
		if (bout->known[i % KNOWN] == sum)
			return true;
	if (bout->states < KNOWN / 2)
		bout->known[i % KNOWN] = sum;
	return false;
}

/* Both are dead here, if nobody was in the same state before. */
static void look(struct bout *bout)
{
	bout->points++;
	if (state_same(bout))
		return;
	state_take(bout);
	if (is_known(bout))
		return;
	bout->states++;
	bout_note(bout, &bout->two, bout->arena->nobody(bout));
}

/* --- one bout */

/* In libc, where system calls are. */
static bool sleeps_next(const struct bout *bout, const struct tracee *tracee)
{
	return !bout->limited && !tracee_place(tracee) && tracee_will_sleep(tracee);
}

/* What it meets beside one that is stopped can be another path; it cannot be a wait. */
static uint64_t bound(const struct bout *bout)
{
	return 2 * (bout->length + bout->other) + 4000;
}

static void enter(struct bout *bout)
{
	bout->regions = 0;
	bout->looked = false;
	bout->arena->enter(bout);
}

/* FIRST comes to N, or to where it would sleep. */
static enum step stop_first(struct bout *bout)
{
	enum step at = STEP_MORE;

	if (bout->where.place)
		return tracee_reach(&bout->one, &bout->where);
	while (bout->one.steps < bout->where.step && at == STEP_MORE &&
	       !sleeps_next(bout, &bout->one))
		at = tracee_step(&bout->one);
	return at;
}

/* To its end, or to where it sleeps: then it is FIRST that has to wake it. */
static enum step run_second(struct bout *bout)
{
	const uint64_t most = bout->death ? bout->death : bound(bout);
	enum step at = STEP_MORE;

	look(bout);
	while (at == STEP_MORE && bout->two.steps < most && !sleeps_next(bout, &bout->two)) {
		at = tracee_step(&bout->two);
		look(bout);
	}
	if (bout->two.steps > bout->longest)
		bout->longest = bout->two.steps;
	return at;
}

/* FIRST has ended, if SECOND slept. */
static void end_second(struct bout *bout, enum step at)
{
	if (at == STEP_MORE && sleeps_next(bout, &bout->two))
		at = tracee_finish(&bout->two);
	if (at == STEP_DIED)
		bout_note(bout, &bout->two, "it died by itself");
	else if (at == STEP_DONE)
		bout_note(bout, &bout->two, bout->arena->result(bout, false));
	else
		bout_note(bout, &bout->two, "it did not end beside one that is stopped");
}

static void bury_second(struct bout *bout, enum step at)
{
	if (at == STEP_DIED)
		bout_note(bout, &bout->two, "it died by itself");
	tracee_kill(&bout->two);
	bout_note(bout, &bout->one, bout->arena->bury(bout));
}

static bool sleeps_on(const struct bout *bout)
{
	return bout->unrelieved && bout->death;
}

static void end_first(struct bout *bout, enum step at)
{
	if (at == STEP_MORE && !sleeps_on(bout))
		at = tracee_finish(&bout->one);
	if (at == STEP_DONE)
		bout_note(bout, &bout->one, bout->arena->result(bout, true));
	else if (!sleeps_on(bout))
		bout_note(bout, &bout->one,
			  at == STEP_DIED ? "it died by itself after it was stopped"
					  : "it did not go on to its end after it was stopped");
}

static void bout_once(struct bout *bout, const struct store *where, uint64_t death)
{
	enum step first, second;
	uint64_t wrong = bout->fault.nr;

	bout->where = *where;
	bout->death = death;
	enter(bout);
	first = stop_first(bout);
	second = run_second(bout);
	if (death)
		bury_second(bout, second);
	if (bout->arena->between)
		bout->arena->between(bout);
	end_first(bout, first);
	if (!death)
		end_second(bout, second);
	/* Who did not come to an end cannot be asked. */
	if (bout->fault.nr == wrong && !sleeps_on(bout))
		bout->arena->settle(bout);
	if (!death)
		tracee_kill(&bout->two);
	tracee_kill(&bout->one);
	bout_note(bout, &bout->one, bout->arena->after(bout));
}

/* --- many */

/* FIRST by itself. One that would sleep is stopped there: nobody would wake it. */
static void measure_first(struct bout *bout)
{
	enum step at = STEP_MORE;

	tracks_open(&bout->tracks);
	state_take(bout);
	tracks_add(&bout->tracks, &bout->one);
	while (at == STEP_MORE && !sleeps_next(bout, &bout->one)) {
		at = tracks_step(&bout->tracks, &bout->one);
		if (state_same(bout))
			continue;
		tracks_add(&bout->tracks, &bout->one);
		state_take(bout);
	}
	bout->length = bout->one.steps + 1;
}

static void bout_open(struct bout *bout)
{
	enum step at = STEP_MORE;

	enter(bout);
	bout->known = calloc(KNOWN, sizeof(*bout->known));
	bout->last = malloc(state_len(bout));
	if (!bout->known || !bout->last)
		tap_bail("no memory for %s", bout->name);
	measure_first(bout);
	while (at == STEP_MORE && !sleeps_next(bout, &bout->two))
		at = tracee_step(&bout->two);
	bout->other = bout->two.steps;
	tracee_kill(&bout->one);
	tracee_kill(&bout->two);
}

static void bout_close(struct bout *bout)
{
	fault_tell(&bout->fault, bout->again);
	tracks_close(&bout->tracks);
	free(bout->known);
	free(bout->last);
}

/* Anywhere. */
static struct store choose(const struct bout *bout, uint64_t *random)
{
	return (struct store){.step = test_below(random, (uint32_t)bout->length)};
}

/* FIRST is stopped after each of its stores, and elsewhere up to @most times. */
static void stall(struct bout *bout, uint64_t most, uint64_t *random)
{
	const bool all = bout->length <= most;

	for (uint64_t i = 0; i < bout->tracks.nr; i++, bout->stalls++)
		bout_once(bout, &bout->tracks.store[i], 0);
	for (uint64_t i = 0; i < (all ? bout->length : most); i++, bout->stalls++) {
		const struct store where = all ? (struct store){.step = i} : choose(bout, random);

		bout_once(bout, &where, 0);
	}
}

/* ... and beside one that dies. */
static void stall_with_death(struct bout *bout, uint64_t most, uint64_t *random)
{
	for (; bout->deaths < most; bout->deaths++) {
		const struct store where = choose(bout, random);

		bout_once(bout, &where, 1 + test_below(random, (uint32_t)bout->longest));
	}
}

void bout_all(struct bout *bout, uint64_t steps, uint64_t *random)
{
	uint64_t most;

	bout_open(bout);
	most = 2 * steps / (bout->length + bout->other) + 1;
	stall(bout, most, random);
	stall_with_death(bout, most, random);
	bout_close(bout);
	tap_result(bout->planted == (bout->fault.nr > 0),
		   "%s: stopped %ju times%s, %ju times beside one that dies, both dead at %ju "
		   "points, %ju states, %ju wrong",
		   bout->name, (uintmax_t)bout->stalls,
		   bout->length <= most ? " (after each step)" : "", (uintmax_t)bout->deaths,
		   (uintmax_t)bout->points, (uintmax_t)bout->states, (uintmax_t)bout->fault.nr);
}

void bout_one(struct bout *bout, uint64_t step, uint64_t death)
{
	bout_open(bout);
	bout_once(bout, &(struct store){.step = step}, death);
	bout_close(bout);
	tap_result(!bout->fault.nr, "%s stopped after step %ju", bout->name, (uintmax_t)step);
}
