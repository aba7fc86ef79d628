/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

/* After a question its user rests: it is not heard for so many times as long as the answer took,
 * and for so long at least and at most. However many connections ask without end, most of the time
 * is left to others. (An order may take longer; but who gives one does no harm.) */
#define REST_TIMES 3
#define REST_MIN_NS UINT64_C(2000000)
#define REST_MAX_NS UINT64_C(50000000)

/* A member that has said as much as is heard at once rests likewise, it alone, for so long at
 * least. */
#define REST_MEMBER_NS UINT64_C(1000000)

/* Of those of a user that are put off one has a timer: the one that is next. More of them awake at
 * once would be in others' way, if only to be put off again. */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* How long its user still rests, in us; 0: it does not. While a pool is made for it nobody knows,
 * and it is asked again. */
static uint64_t rest_of(const struct service *service, uid_t uid)
{
	const uint64_t now = service_now_ns();
	const struct peer *peer;
	uint64_t rest = now;

	LIST_FOREACH(peer, &service->peers, link)
		if (peer->uid == uid)
			rest = later(rest, peer->making ? now + REST_MIN_NS : peer->rest_ns);
	return (rest - now + 999) / 1000;
}

static struct peer *find_next(const struct service *service, uid_t uid)
{
	struct peer *peer, *next = NULL;

	LIST_FOREACH(peer, &service->peers, link)
		if (peer->uid == uid && peer->put_off && (!next || peer->asked_ns < next->asked_ns))
			next = peer;
	return next;
}

static void wake(struct peer *peer)
{
	peer->pause = sd_event_source_disable_unref(peer->pause);
	peer->put_off = false;
	(void)sd_event_source_set_enabled(peer->io, SD_EVENT_ON);
}

/* What it says, or that it hung up, is there: the one after it comes when that was heard. */
static int on_turn(sd_event_source *source, uint64_t usec, void *context)
{
	struct peer *peer = context;
	const uint64_t rest = rest_of(peer->service, peer->uid);

	(void)usec;
	if (!rest) {
		wake(peer);
		return 0;
	}
	(void)sd_event_source_set_time_relative(source, rest);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void turn_go_on(const struct service *service, uid_t uid)
{
	struct peer *next = find_next(service, uid);

	if (next && !next->pause &&
	    sd_event_add_time_relative(service->event, &next->pause, CLOCK_MONOTONIC,
				       rest_of(service, uid), 100, on_turn, next) < 0)
		wake(next);
}

bool turn_has_come(struct peer *peer)
{
	if (!rest_of(peer->service, peer->uid))
		return true;
	if (!peer->asked_ns)
		peer->asked_ns = service_now_ns();
	peer->put_off = true;
	(void)sd_event_source_set_enabled(peer->io, SD_EVENT_OFF);
	turn_go_on(peer->service, peer->uid);
	return false;
}

/* After what was begun then, and ends now. */
static uint64_t rest_after(uint64_t began_ns, uint64_t least)
{
	const uint64_t rest = later((service_now_ns() - began_ns) * REST_TIMES, least);

	return rest < REST_MAX_NS ? rest : REST_MAX_NS;
}

void turn_end(struct peer *peer, uint64_t began_ns)
{
	peer->asked_ns = 0;
	peer->rest_ns = service_now_ns() + rest_after(began_ns, REST_MIN_NS);
}

static int on_rested(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source, (void)usec;
	wake(context);
	return 0;
}

void turn_rest(struct peer *peer, uint64_t began_ns)
{
	if (!peer->pause &&
	    sd_event_add_time_relative(peer->service->event, &peer->pause, CLOCK_MONOTONIC,
				       rest_after(began_ns, REST_MEMBER_NS) / 1000, 100, on_rested,
				       peer) >= 0)
		(void)sd_event_source_set_enabled(peer->io, SD_EVENT_OFF);
}

void turn_leave(const struct peer *peer)
{
	struct peer *other;

	LIST_FOREACH(other, &peer->service->peers, link)
		if (other->uid == peer->uid)
			break;
	if (!other)
		return;
	other->rest_ns = later(other->rest_ns, peer->rest_ns);
	turn_go_on(peer->service, peer->uid);
}
