/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * FIRST and SECOND send into one fan-in at once, each in a lane of its own: their bits lie in the
 * same word of the ready set, and one bell calls who sleeps. THIRD is the receiver, in the tracer.
 * It stands still until both have ended; or it looks once where SECOND has, or is dead, and FIRST
 * stands still (the watched).
 *
 *     both live      THIRD is told, before its patrol comes by, of all that was sent, and of the
 *                    end of each that left; it has that once, and in order; if it slept it was
 *                    called. If it looks between, it is told there of all of SECOND's
 *     SECOND dies    the same of FIRST's, but that nobody may have called: who dies on its way to
 *                    wake has silenced the bell. Of SECOND's each batch whole or not at all, at
 *                    the latest by the patrol; then the end
 *     both die       of both each batch whole or not at all, and the end
 */

#include <errno.h>
#include <poll.h>

#include <pinion/cache.h>

#include "burial.h"
#include "fanin_inside.h"
#include "match.h"

/* All that two send, their ends, and a look that finds nothing. The patrol has been nowhere. */
#define TOLD 8

/* The patrol has looked at both lanes by then: see fanin.h. */
#define LOOKS 64

static struct player *receiver(const struct view *view)
{
	return &view->company->player[THIRD];
}

/* One look; false: it found nothing. What came goes back to the pool. */
static bool look(const struct view *view, struct tally *tally, const char **problem)
{
	struct player *third = receiver(view);
	struct pinion_channel *channel = NULL;
	struct pinion_desc desc[SLOTS];
	const int nr = lanes_take(third, &channel, desc, SLOTS);
	const int from = channel == third->channel[FIRST] ? FIRST : SECOND;

	if (nr == -EAGAIN)
		return false;
	if (nr == -EPIPE && !tally->end[from])
		tally->end[from] = true;
	else if (nr < 0)
		*problem = "the receiver takes one for a liar, or ends a channel twice";
	for (int i = 0; i < nr; i++) {
		const uint32_t before = view->company->player[from].out, at = tally->came[from]++;

		if (at >= before && desc[i].tag != at - before)
			*problem = "what was sent does not come in order";
		if (pinion_buffer_free(third->cache, desc[i].buffer))
			*problem = "what was received is not the receiver's";
	}
	return true;
}

static const char *hear_told(const struct view *view, struct tally *tally)
{
	const char *problem = NULL;

	for (int i = 0; i < TOLD && look(view, tally, &problem); i++)
		;
	return problem;
}

static const char *hear_all(const struct view *view, struct tally *tally)
{
	const char *problem = NULL;

	for (int i = 0; i < LOOKS; i++)
		(void)look(view, tally, &problem);
	return problem;
}

static const struct part *part_of(const struct view *view, int player)
{
	return player == FIRST ? view->part : view->other;
}

/* What a living one sent that returned @result; some was sent before. */
static uint32_t sent(const struct view *view, int player, int result)
{
	const struct part *part = part_of(view, player);

	return view->company->player[player].out + (result > 0 ? part->batch + part->more : 0);
}

/* All of it came from one that lives. */
static bool has_all(const struct view *view, const struct tally *tally, int player, int result)
{
	return tally->came[player] == sent(view, player, result) &&
	       tally->end[player] == part_of(view, player)->ends;
}

/* What came from a dead one may be all that it sent, and the end came. */
static bool is_fair(const struct view *view, const struct tally *tally, int player)
{
	const uint32_t before = view->company->player[player].out, came = tally->came[player];
	const struct part *part = part_of(view, player);

	if (!tally->end[player])
		return false;
	return came == before || came == before + part->batch ||
	       came == before + part->batch + part->more;
}

/* --- FIRST stands still */

static const char *between(struct view *view, struct contest *contest, const struct ending *ending)
{
	const char *problem = hear_told(view, &contest->tally);

	if (problem || ending->dead)
		return problem;
	return has_all(view, &contest->tally, SECOND, ending->took)
		       ? NULL
		       : "the receiver was not told of what came beside one that stands still";
}

/* THIRD is told of each death. All come back from @from to SECOND but what is on its way to it:
 * each recovery is told what all the dead have sent and nobody has received. */
static const char *recover(const struct view *view, int from)
{
	struct pinion_buffer transit[2 * SLOTS];
	const char *problem = NULL;
	uint32_t nr = 0;

	for (int i = from; i <= SECOND; i++) {
		struct pinion_channel *channel = receiver(view)->channel[i];

		nr += pinion_channel_published(channel, &transit[nr]);
		pinion_channel_sever(channel);
	}
	for (int i = from; !problem && i <= SECOND; i++)
		problem = burial_recover(view, i, transit, nr);
	return problem;
}

static const char *bury(struct view *view, int giver)
{
	(void)giver;
	return recover(view, SECOND);
}

/* --- both have ended, or SECOND is dead */

static const char *asleep(const struct view *view)
{
	struct pinion_fanin *fanin = receiver(view)->fanin;
	struct pollfd loop = {.fd = fanin->loop.socket, .events = POLLIN};

	if (atomic_load(&fanin->ready->bell.state) != BELL_QUIET)
		return "the bell of one that sleeps was not struck";
	if (loop.fd >= 0 && poll(&loop, 1, 0) != 1)
		return "a loop sleeps on, and something is there for it";
	return NULL;
}

/* One that lives holds what it did not send. */
static bool holds_its_own(const struct view *view, int player, int result)
{
	const struct player *is = &view->company->player[player];

	return pinion_pool_held(view->company->pool, is->member) ==
	       is->nr - (sent(view, player, result) - is->out);
}

static const char *settle_second(const struct view *view, const struct tally *tally,
				 const struct ending *ending)
{
	if (ending->dead)
		return is_fair(view, tally, SECOND) ? burial_release(view, SECOND)
						    : "a part of what the dead sent came";
	return has_all(view, tally, SECOND, ending->took) &&
			       holds_its_own(view, SECOND, ending->took)
		       ? NULL
		       : "more came than was sent";
}

static const char *settle(struct view *view, const struct contest *contest,
			  const struct ending *ending)
{
	struct tally tally = contest->tally;
	const char *problem = ending->dead ? NULL : asleep(view);

	if (receiver(view)->fanin->loop.socket >= 0)
		(void)pinion_fanin_done(receiver(view)->fanin);
	if (!problem)
		problem = hear_told(view, &tally);
	if (!problem && (!has_all(view, &tally, FIRST, ending->gave) ||
			 (!ending->dead && !has_all(view, &tally, SECOND, ending->took))))
		problem = "the receiver was not told of all that was sent to it";
	if (!problem)
		problem = hear_all(view, &tally);
	if (!problem && (!has_all(view, &tally, FIRST, ending->gave) ||
			 !holds_its_own(view, FIRST, ending->gave)))
		problem = "more came than was sent";
	return problem ? problem : settle_second(view, &tally, ending);
}

/* --- both are dead */

static const char *both_die(struct view *view, int giver)
{
	struct tally tally = {{0}, {false}};
	const char *problem = recover(view, FIRST);

	(void)giver;
	if (!problem)
		problem = hear_all(view, &tally);
	if (!problem && !(is_fair(view, &tally, FIRST) && is_fair(view, &tally, SECOND)))
		problem = "a part of what the dead sent came, or not the end";
	for (int i = FIRST; !problem && i <= SECOND; i++)
		problem = burial_release(view, i);
	return problem ? problem : burial_sound(view);
}

const struct judge rivals_judge = {both_die, bury, NULL, settle};
const struct judge watched_rivals_judge = {both_die, bury, between, settle};
