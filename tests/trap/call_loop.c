/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes before a loop sleeps, and when it wakes. The judges of prepare() go through its looks
 * in their order, by what each fetched, as the headers tell it: so they know which load each step
 * of the outcome has to follow from.
 */
#include <poll.h>
#include <sys/wait.h>

#include <pinion/wait.h>

#include "call.h"
#include "channel_inside.h"
#include "judge.h"

/* --- looks, one by one */

struct looks {
	const struct scene *scene;
	uint32_t next[PLACES]; /* of each place, but for words of a ready set */
	uint32_t next_word[READY_WORDS];
};

/* None: the call did not look where it had to, and 0 is what it must not have made of that. */
static uint64_t look(struct looks *looks, enum where place)
{
	const struct fetch *fetch = scene_load(looks->scene, place, 0, looks->next[place]++);

	return fetch ? fetch->value[0] : 0;
}

static uint64_t look_at_word(struct looks *looks, uint32_t word)
{
	const struct fetch *fetch =
		scene_load(looks->scene, PLACE_READY, word, looks->next_word[word]++);

	return fetch ? fetch->value[0] : 0;
}

static bool finds_one(struct looks *looks)
{
	const uint32_t nth = looks->next[PLACE_SLOT]++;
	struct pinion_desc ignored;

	return reads_as(looks->scene,
			scene_load(looks->scene, PLACE_SLOT, scene_index(looks->scene, 0), nth), 0,
			&ignored);
}

/* Is the last look of all one that came after the bell was armed? */
static bool looked_when_armed(const struct scene *scene)
{
	const struct fetch *last = NULL;

	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++) {
		const struct fetch *fetch = &scene->fetch[i];

		if (fetch->place == PLACE_BELL_STATE && fetch->store)
			last = NULL;
		else if (fetch->load)
			last = fetch;
	}
	return last;
}

/* 0 is for who may sleep: the bell is armed, and was before the last look. */
static const char *judge_bell(const struct scene *scene, const struct bell *bell, int result)
{
	const uint32_t want = result ? BELL_QUIET : BELL_ARMED_FD;

	if (bell->state != want)
		return "the bell is not as the loop needs it";
	return result || looked_when_armed(scene) ? NULL : "nobody looked when the bell was armed";
}

/* --- a channel */

static void open_channel_loop(struct scene *scene)
{
	assert_true(pinion_channel_fd(scene->a.channel) >= 0);
}

static void open_closed_loop(struct scene *scene)
{
	open_channel_loop(scene);
	scene->ba.shared->producer_closed = 1;
}

static int prepare_channel(struct scene *scene)
{
	return pinion_channel_prepare(scene->a.channel);
}

/* What one look at ring and flag says. */
static int reason(struct looks *looks)
{
	if (finds_one(looks))
		return 1;
	if (!look(looks, PLACE_PRODUCER_CLOSED))
		return 0;
	return finds_one(looks) ? 1 : -EPIPE;
}

static const char *judge_channel(struct scene *scene, int result)
{
	struct looks looks = {.scene = scene};
	int want = reason(&looks);

	if (!want)
		want = reason(&looks);
	if (result != want)
		return "not what follows from slot and flag";
	return judge_bell(scene, &scene->ba.shared->bell, result);
}

/* The pidfd of one that died, for good. */
static int dead_one(void)
{
	static int pidfd = -1;
	pid_t child;

	if (pidfd >= 0)
		return pidfd;
	child = fork();
	if (!child)
		_exit(0);
	pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	assert_true(pidfd >= 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	return pidfd;
}

static void open_with_a_dead_peer(struct scene *scene)
{
	channel_watch(scene->a.channel, dead_one());
	open_channel_loop(scene);
}

static int done_with_channel(struct scene *scene)
{
	return pinion_channel_done(scene->a.channel);
}

/* It is severed when nothing is left of what it sent. */
static const char *judge_death(struct scene *scene, int result)
{
	struct looks looks = {.scene = scene};
	const bool over = !reason(&looks);

	if (result)
		return "a death is an error";
	return atomic_load_explicit(&scene->a.channel->severed, memory_order_relaxed) == over
		       ? NULL
		       : "severed, or not, against what was fetched";
}

/* --- a fan-in, which has one lane */

static void open_fanin_loop(struct scene *scene)
{
	assert_true(pinion_fanin_loop_fd(scene->fanin) >= 0);
}

/* Cold, and told of. */
static void open_cold_loop(struct scene *scene)
{
	struct pinion_channel *channel;
	struct pinion_desc desc = desc_for(scene->theirs[0], 0);

	open_fanin_loop(scene);
	for (int i = 0; i < 300; i++)
		assert_int_equal(pinion_fanin_recv(scene->fanin, &channel, scene->desc, 1),
				 -EAGAIN);
	scene_publish(scene, 0, &desc);
	scene->ready->word[0] = 1;
	scene->ready->summary = 1;
}

static int prepare_fanin(struct scene *scene)
{
	return pinion_fanin_prepare(scene->fanin);
}

struct state {
	struct looks looks;
	uint64_t pending; /* words that the summary named, and that were not taken */
	bool hot;
};

static bool lane_has(struct state *state)
{
	return reason(&state->looks) != 0;
}

/* A word at a time: its bit makes the lane hot. */
static void take_posts(struct state *state)
{
	uint32_t word;

	if (!state->pending && look(&state->looks, PLACE_SUMMARY))
		state->pending = look(&state->looks, PLACE_SUMMARY);
	if (!state->pending)
		return;
	word = (uint32_t)__builtin_ctzll(state->pending);
	state->pending &= state->pending - 1;
	if (look_at_word(&state->looks, word) & 1 && !word)
		state->hot = true;
}

static bool find(struct state *state)
{
	take_posts(state);
	return state->hot && lane_has(state);
}

/* What prepare() makes of it; @told: the loop is to come back at once, since somebody set a bit. */
static int go_through(struct state *state, bool *told)
{
	*told = false;
	if (find(state))
		return 1;
	/* Hot lanes get a last look; then all that are cold have their turn. */
	state->hot = state->hot && lane_has(state);
	if (state->hot || lane_has(state))
		return 1;
	*told = state->pending || look(&state->looks, PLACE_SUMMARY);
	return *told && find(state) ? 1 : 0;
}

#define AT_ONCE_MS 20 /* all lanes are looked at after 100 */

static bool is_readable(struct scene *scene)
{
	struct pollfd want = {.fd = pinion_fanin_loop_fd(scene->fanin), .events = POLLIN};

	return poll(&want, 1, AT_ONCE_MS) == 1;
}

static const char *judge_fanin(struct scene *scene, int result, bool hot)
{
	struct state state = {.looks.scene = scene, .hot = hot};
	bool told;

	if (result != go_through(&state, &told))
		return "not what follows from bits, slot and flag";
	if (told && !result && !is_readable(scene))
		return "a bit that came late is left until somebody looks at all lanes";
	return judge_bell(scene, &scene->ready->bell, result);
}

static const char *judge_hot(struct scene *scene, int result)
{
	return judge_fanin(scene, result, true);
}

static const char *judge_cold(struct scene *scene, int result)
{
	return judge_fanin(scene, result, false);
}

static int done_with_fanin(struct scene *scene)
{
	return pinion_fanin_done(scene->fanin);
}

static const char *judge_nothing(struct scene *scene, int result)
{
	(void)scene;
	return result ? "an error, and nobody sent files" : NULL;
}

/* --- a consumer of a broadcast */

static void open_seat_loop(struct scene *scene)
{
	assert_true(pinion_broadcast_fd(scene->seat) >= 0);
}

static void open_ended_loop(struct scene *scene)
{
	open_seat_loop(scene);
	scene->chair->ended = SEAT_ENDED;
}

static int prepare_seat(struct scene *scene)
{
	return pinion_broadcast_prepare(scene->seat);
}

static bool seat_has_reason(struct looks *looks)
{
	return finds_one(looks) || look(looks, PLACE_ENDED);
}

/* Which it is: of one that was severed nothing is left, of one that ended what it sent before. */
static int seat_reason(struct looks *looks)
{
	const uint64_t how = look(looks, PLACE_ENDED);

	if (how > SEAT_ENDED)
		return -EPIPE;
	return !how || finds_one(looks) ? 1 : -EPIPE;
}

static const char *judge_seat(struct scene *scene, int result)
{
	struct looks looks = {.scene = scene};
	const bool found = seat_has_reason(&looks) || seat_has_reason(&looks);

	if (result != (found ? seat_reason(&looks) : 0))
		return "not what follows from slot and seat";
	return judge_bell(scene, &scene->chair->bell, result);
}

static int done_with_seat(struct scene *scene)
{
	return pinion_broadcast_done(scene->seat);
}

const struct call loop_calls[] = {
	{.name = "channel_prepare",
	 .prepare = open_channel_loop,
	 .act = prepare_channel,
	 .judge = judge_channel,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_PRODUCER_CLOSED] = 2,
	 .most = 2,
	 .whole = true},
	{.name = "channel_prepare_closed",
	 .prepare = open_closed_loop,
	 .act = prepare_channel,
	 .judge = judge_channel,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_PRODUCER_CLOSED] = 1,
	 .most = 2,
	 .whole = true},
	{.name = "channel_done",
	 .prepare = open_channel_loop,
	 .act = done_with_channel,
	 .judge = judge_nothing},
	{.name = "channel_done_death",
	 .prepare = open_with_a_dead_peer,
	 .act = done_with_channel,
	 .judge = judge_death,
	 .loads[PLACE_BELL_STATE] = 1, /* who sleeps at it in another thread is woken */
	 .loads[PLACE_BELL_FENCED] = ANY,
	 .most = 1,
	 .whole = true},
	{.name = "fanin_prepare",
	 .kind = KIND_FANIN,
	 .prepare = open_fanin_loop,
	 .act = prepare_fanin,
	 .judge = judge_hot,
	 .loads[PLACE_SUMMARY] = 2,
	 .loads[PLACE_SLOT] = 3,
	 .loads[PLACE_PRODUCER_CLOSED] = 3,
	 .most = 3,
	 .whole = true},
	{.name = "fanin_prepare_cold",
	 .kind = KIND_FANIN,
	 .prepare = open_cold_loop,
	 .act = prepare_fanin,
	 .judge = judge_cold,
	 .loads[PLACE_SUMMARY] = 2,
	 .loads[PLACE_READY] = 1,
	 .loads[PLACE_SLOT] = 1,
	 .most = 2,
	 .whole = true},
	{.name = "fanin_done",
	 .kind = KIND_FANIN,
	 .prepare = open_fanin_loop,
	 .act = done_with_fanin,
	 .judge = judge_nothing},
	{.name = "broadcast_prepare",
	 .kind = KIND_CONSUMER,
	 .prepare = open_seat_loop,
	 .act = prepare_seat,
	 .judge = judge_seat,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_ENDED] = 2,
	 .most = 2,
	 .whole = true},
	{.name = "broadcast_prepare_ended",
	 .kind = KIND_CONSUMER,
	 .prepare = open_ended_loop,
	 .act = prepare_seat,
	 .judge = judge_seat,
	 .loads[PLACE_SLOT] = 2,
	 .loads[PLACE_ENDED] = 2,
	 .most = 2,
	 .whole = true},
	{.name = "broadcast_done",
	 .kind = KIND_CONSUMER,
	 .prepare = open_seat_loop,
	 .act = done_with_seat,
	 .judge = judge_nothing},
};
const size_t nr_loop_calls = sizeof(loop_calls) / sizeof(loop_calls[0]);
