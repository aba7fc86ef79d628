/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <pinion/channel.h>
#include <pinion/error.h>

#include "channel.h"
#include "fail.h"
#include "footprint.h"
#include "ledger.h"
#include "member.h"
#include "probe.h"
#include "whole.h"

/* For another try, when a device is not quiet yet; when it has been so for long, which was said;
 * and when something was short: then each try goes through all of the pool. */
#define RETRY_USEC 1000
#define RETRY_LATER_USEC 50000
#define RETRY_SELDOM_USEC 1000000
#define DESERTED_USEC UINT64_C(200000) /* a pool is so long, until it is made whole */

static bool is_done(const struct pairing *pairing)
{
	for (enum side side = CLIENT; side <= DEVICE; ++side)
		if (tell_has(pairing, side) && pairing->end[side]->state == LIVE)
			return false;
	return true;
}

/* In transit: what a dead member has published to a living one that has not settled. */

struct transit {
	struct pinion_buffer *buffer;
	uint32_t nr, room;
};

static int make_room(struct transit *transit, uint32_t more)
{
	struct pinion_buffer *larger;

	if (transit->room - transit->nr >= more)
		return 0;
	larger = reallocarray(transit->buffer, transit->nr + more, sizeof(*larger));
	if (!larger)
		return pinion_fail(-ENOMEM, "no memory for what is in transit");
	transit->buffer = larger;
	transit->room = transit->nr + more;
	return 0;
}

/* Looks at the rings as @living has them, and touches nothing. A ring that cannot be mapped any
 * more was scribbled on by one of its two: what lies in it comes back at once, and who takes it
 * nevertheless is told that it is stale. */
static int add_published(struct transit *transit, const struct pairing *pairing, enum side dead)
{
	enum side living = other_side(dead);
	struct pinion_channel *channel;
	int err = make_room(transit, pairing->slots);

	if (err)
		return err;
	err = pinion_channel_open(pairing->end[dead]->pool->pool, pairing->ring[living],
				  pairing->ring[dead], pairing->end[dead]->number, &channel);
	if (err)
		return err == -EPROTO || err == -EBADF ? 0 : err;
	if (pinion_channel_slots(channel) == pairing->slots)
		transit->nr += pinion_channel_published(channel, transit->buffer + transit->nr);
	channel_abandon(channel);
	return 0;
}

static bool is_dead(const struct member *member)
{
	return member->state == GONE || member->state == RECOVERED;
}

static int find_transit(const struct pool *pool, struct transit *transit)
{
	const struct pairing *pairing;
	int err = 0;

	LIST_FOREACH(pairing, &pool->pairings, of_pool)
		for (enum side side = CLIENT; !err && side <= DEVICE; ++side)
			if (is_dead(pairing->end[side]) &&
			    pairing->end[other_side(side)]->state == LIVE &&
			    !pairing->settled[other_side(side)])
				err = add_published(transit, pairing, side);
	return err;
}

static bool nobody_lives(const struct pool *pool)
{
	const struct member *member;

	LIST_FOREACH(member, &pool->members, of_pool)
		if (!is_dead(member))
			return false;
	return true;
}

static int free_strays(struct pool *pool, uint32_t *strays)
{
	uint64_t *room = whole_room(pool->pool);

	if (!room)
		return -ENOMEM;
	*strays = whole_make(pool->pool, room);
	free(room);
	return 0;
}

/* After recovery gave @err. -ENOSPC: somebody wrote over the magazines, or has them all; as long as
 * others live, no more can be done. */
static int mend(struct member *member, int err, struct pinion_recovery *report)
{
	uint32_t strays = 0;

	if (err == -ENOSPC && nobody_lives(member->pool))
		err = free_strays(member->pool, &strays);
	report->returned += strays;
	if (err && !member->complained)
		service_log(LOG_WARNING, "pool %s, member %u: not recovered: %s; it is tried again",
			    member->pool->name, member->number, pinion_error_text());
	member->complained = err;
	return err;
}

/* GONE -> RECOVERED. */
static int recover(struct member *member)
{
	struct service *service = member->pool->service;
	struct pinion_recovery report = {0};
	struct transit transit = {0};
	const uint64_t began = service_now_ns();
	uint64_t took;
	int err = find_transit(member->pool, &transit);

	if (!err)
		err = pinion_pool_recover(member->pool->pool, member->number, transit.buffer,
					  transit.nr, &report);
	free(transit.buffer);
	err = mend(member, err, &report);
	service->counters.returned += report.returned;
	if (err)
		return err;
	service->counters.recoveries++;
	took = service_now_ns() - began;
	service->counters.recovery_ns += took;
	PINION_PROBE4(recovery, member->pool->name, member->number, report.returned, took);
	member->state = RECOVERED;
	return 0;
}

static bool is_free(const struct member *member)
{
	const struct pairing *pairing;

	LIST_FOREACH(pairing, &member->pool->pairings, of_pool)
		if (pairing->end[CLIENT] == member || pairing->end[DEVICE] == member)
			return false;
	return true;
}

/* One that left in order is still parked. */
static void let_container_go(struct member *member)
{
	if (!member->device || member->device->container < 0)
		return;
	ledger_remove_container(member);
	(void)close(member->device->container);
	member->device->container = -1;
}

/* Whatever the last ones left, whoever comes next finds all of it. */
static int tidy_up(struct pool *pool)
{
	uint32_t strays;
	int err;

	whole_right(pool->pool);
	err = free_strays(pool, &strays);
	if (err)
		service_log(LOG_WARNING, "pool %s: not looked at: %s", pool->name,
			    pinion_error_text());
	else if (strays)
		service_log(LOG_WARNING, "pool %s: one who was in it wrote over its control area: "
			    "%u buffers were nobody's, and are free again", pool->name, strays);
	footprint_let_go(pool);
	return err;
}

/* Where one comes as another goes this would be a look for each, 3 ns for each buffer. Not 0: it is
 * due in so many us. */
static uint64_t see_to_deserted(struct pool *pool)
{
	uint64_t since;

	if (!pool->left_ns || !LIST_EMPTY(&pool->members))
		return 0;
	since = (service_now_ns() - pool->left_ns) / 1000;
	if (since < DESERTED_USEC)
		return DESERTED_USEC - since;
	if (tidy_up(pool))
		return RETRY_SELDOM_USEC;
	pool->left_ns = 0;
	return 0;
}

/* RECOVERED -> freed. pre: no pairing names it. */
static int release(struct member *member)
{
	struct pool *pool = member->pool;
	struct service *service = pool->service;
	struct pinion_recovery report = {0};
	int err = pinion_pool_release(pool->pool, member->number, &report);

	if (err) {
		/* Now none of them is short of anything. */
		err = mend(member, err, &report);
		if (!err)
			err = pinion_pool_release(pool->pool, member->number, NULL);
	}
	service->counters.returned += report.returned;
	if (err)
		return err;
	footprint_let_go(pool);
	LIST_REMOVE(member, of_pool);
	pool->left_ns = service_now_ns();
	if (member->home)
		LIST_REMOVE(member, of_home);
	let_container_go(member);
	ledger_remove_member(service->ledger, member);
	if (member->pidfd >= 0)
		(void)close(member->pidfd);
	if (member->device && member->device->table >= 0)
		(void)close(member->device->table);
	free(member->device);
	free(member);
	return 0;
}

static void drop_done(struct pool *pool)
{
	struct pairing *pairing, *next;

	LIST_FOREACH_SAFE(pairing, &pool->pairings, of_pool, next) {
		if (!is_done(pairing))
			continue;
		LIST_REMOVE(pairing, of_pool);
		admit_part(pairing);
	}
}

void burial_mark(struct member *member, bool killed)
{
	ledger_member(member->pool->service->ledger, member)->left = !killed;
	member->killed = killed;
	member->death = sd_event_source_disable_unref(member->death);
	member->state = killed && member->device ? QUIETING : GONE;
	if (member->state == QUIETING)
		member->device->dead_ns = service_now_ns();
}

/* A branch whose pairing has settled; or which has none, for a service was killed before it was
 * told of. */
static bool has_let_go(const struct member *member)
{
	const struct pairing *pairing;

	if (!member->branch || member->state != LIVE)
		return false;
	LIST_FOREACH(pairing, &member->pool->pairings, of_pool)
		if (pairing->end[DEVICE] == member && tell_has(pairing, DEVICE))
			return false;
	return true;
}

/* Its goodbye, if it says one, comes to nobody, and only its slot tells of it. */
static bool is_silent(const struct member *member)
{
	return member->state == LIVE && !member->branch && !member->peer;
}

/* One step of one member's burial; not 0: it must be tried again by itself, in so many us. @waits:
 * former_waits(). */
static uint64_t step(struct member *member, bool waits)
{
	if (is_silent(member) || (member->former && waits))
		return RETRY_LATER_USEC;
	if (has_let_go(member))
		burial_mark(member, false);
	if (member->state == QUIETING && quiet_now(member))
		member->state = GONE;
	if (member->state == QUIETING)
		return member->device->complained ? RETRY_LATER_USEC : RETRY_USEC;
	pool_insist_dead(member->pool->pool, member->number);
	if (service_now_ns() < member->again_ns)
		return RETRY_SELDOM_USEC;
	if ((member->state == GONE && recover(member)) ||
	    (member->state == RECOVERED && is_free(member) && release(member))) {
		member->again_ns = service_now_ns() + RETRY_SELDOM_USEC * UINT64_C(1000);
		return RETRY_SELDOM_USEC;
	}
	return 0;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *context)
{
	struct pool *pool = context;

	(void)source, (void)usec;
	pool->retry = sd_event_source_disable_unref(pool->retry);
	burial_look(pool);
	return 0;
}

/* Nobody is left in a pool that was one client's. */
static bool is_over(const struct pool *pool)
{
	return pool->own && LIST_EMPTY(&pool->members);
}

/* Or sooner, if it was to be. */
static int retry_in(struct pool *pool, uint64_t usec)
{
	sd_event *event = pool->service->event;
	uint64_t now, due;

	if (!pool->retry)
		return sd_event_add_time_relative(event, &pool->retry, CLOCK_MONOTONIC, usec, 100,
						  on_retry, pool);
	if (sd_event_now(event, CLOCK_MONOTONIC, &now) >= 0 &&
	    sd_event_source_get_time(pool->retry, &due) >= 0 && due > now + usec)
		return sd_event_source_set_time(pool->retry, now + usec);
	return 0;
}

void burial_go_on(struct pool *pool)
{
	const bool waits = former_waits(pool);
	struct member *member, *next;
	uint64_t again = 0;

	drop_done(pool);
	LIST_FOREACH_SAFE(member, &pool->members, of_pool, next)
		again = sooner(again, step(member, waits));
	if (is_over(pool)) {
		pools_end(pool);
		return;
	}
	again = sooner(again, see_to_deserted(pool));
	if (again && retry_in(pool, again) < 0)
		service_log(LOG_ERR, "pool %s: no timer for another try", pool->name);
}

/* The others hear of it at once: they have something to do before its number is free. */
static void tell_others(struct member *member)
{
	struct pairing *pairing;

	LIST_FOREACH(pairing, &member->pool->pairings, of_pool)
		for (enum side side = CLIENT; side <= DEVICE; ++side)
			if (pairing->end[side] == member)
				tell(pairing->end[other_side(side)]);
}

static void end(struct member *member, bool killed)
{
	burial_mark(member, killed);
	service_log(LOG_INFO, "pool %s, member %u (pid %d): %s", member->pool->name, member->number,
		    (int)member->pid, killed ? "died" : "left");
	tell_others(member);
	burial_go_on(member->pool);
}

/* They go first: to a service that is killed in between, and started again, a branch without its
 * home looks as if the process had died. */
static void end_branches(struct member *member, bool killed)
{
	struct member *branch;

	while ((branch = LIST_FIRST(&member->branches))) {
		LIST_REMOVE(branch, of_home);
		branch->home = NULL;
		if (branch->state == LIVE)
			end(branch, killed);
	}
}

void burial_begin(struct member *member, bool killed)
{
	struct counters *counters = &member->pool->service->counters;

	*(killed ? &counters->deaths : &counters->left) += 1;
	PINION_PROBE4(death, member->pool->name, member->number, member->pid, killed);
	end_branches(member, killed);
	end(member, killed);
}

bool burial_has_left(const struct member *member)
{
	const struct pinion_pool *pool = member->pool->pool;
	const uint64_t said = member_goodbye(&pool->members[member->number]);

	return member->cookie ? said == member->cookie : said != 0;
}

static struct member *find_left(const struct pool *pool)
{
	struct member *member;

	LIST_FOREACH(member, &pool->members, of_pool)
		if (is_silent(member) && burial_has_left(member))
			return member;
	return NULL;
}

void burial_look(struct pool *pool)
{
	const bool own = pool->own; /* then it may go with the first */
	struct member *member = find_left(pool);

	if (!member)
		burial_go_on(pool);
	for (; member; member = own ? NULL : find_left(pool))
		burial_begin(member, false);
}
