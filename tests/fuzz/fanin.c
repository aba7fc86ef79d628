/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fan-in with three lanes. Two are the fuzzer's, member b's, which writes their rings and the
 * whole ready set; the third is of c, which is honest. Whatever b does, c is heard: all it said, in
 * order, in as many calls as fanin.h allows a liar to cost.
 */

#include <pinion/fanin.h>

#include <sys/timerfd.h>

#include "channel_inside.h"
#include "fanin_inside.h"
#include "loop.h"
#include "rings.h"
#include "stage.h"
#include "target.h"

#define LIARS 2u
#define HONEST 3u /* buffers between c and a */

/* Calls of recv until all is taken: 16 for a look at each of three lanes, and what the liars' rings
 * can have. */
#define CALLS_MAX (16u * 4 + LIARS * 4 * SLOTS)

/* Made once. */
static struct {
	struct rings liar[LIARS];
	struct side c;
	int fd_ca, fd_ac;
	struct ring ca, ac;
	struct pinion_buffer first[HONEST], buffer[HONEST]; /* c's, as at first, and now */
} once;

/* Of one run. */
static struct {
	struct pinion_fanin *fanin;
	struct ready_shared *ready;
	struct pinion_channel *liar[LIARS], *honest;
	bool left[LIARS];
	uint32_t said, heard, waits; /* of c; tags are in order */
	struct loop loop;
	bool deaf; /* to that socket, for good */
} run;

static void open_once(void)
{
	stage_open();
	once.c.pool = pool_join(stage.a.pool);
	hold(once.c.pool, once.first, HONEST);
	once.fd_ca = ring_file(SLOTS);
	once.fd_ac = ring_file(SLOTS);
	assert_int_equal(ring_map(once.fd_ca, &once.ca), 0);
	assert_int_equal(ring_map(once.fd_ac, &once.ac), 0);
	stage_picture();
}

static uint32_t add(struct pinion_channel *channel)
{
	uint32_t lane = UINT32_MAX;

	assert_int_equal(pinion_fanin_add(run.fanin, channel, 1, &lane), 0);
	return lane;
}

static void open_liar(uint32_t i)
{
	rings_wipe(&once.liar[i]);
	assert_int_equal(pinion_channel_open(stage.a.pool, once.liar[i].fd_ab, once.liar[i].fd_ba,
					     pinion_pool_member(stage.b.pool), &run.liar[i]),
			 0);
	(void)add(run.liar[i]);
}

static void open_honest(void)
{
	ring_wipe(once.ca.shared);
	ring_wipe(once.ac.shared);
	assert_int_equal(pinion_channel_open(stage.a.pool, once.fd_ac, once.fd_ca,
					     pinion_pool_member(once.c.pool), &run.honest),
			 0);
	assert_int_equal(pinion_channel_open(once.c.pool, once.fd_ca, once.fd_ac,
					     pinion_pool_member(stage.a.pool), &once.c.channel),
			 0);
	assert_int_equal(
		pinion_channel_join(once.c.channel, pinion_fanin_fd(run.fanin), add(run.honest)),
		0);
}

void target_open(void)
{
	if (!stage.picture)
		open_once();
	stage_put_back();
	memcpy(once.buffer, once.first, sizeof(once.buffer));
	memset(&run, 0, sizeof(run));
	assert_int_equal(pinion_fanin_create(&run.fanin), 0);
	assert_int_equal(ready_map(pinion_fanin_fd(run.fanin), &run.ready), 0);
	for (uint32_t i = 0; i < LIARS; i++)
		open_liar(i);
	open_honest();
}

/* --- b and c */

static void publish(struct script *script)
{
	const uint32_t i = script_below(script, LIARS);
	const uint64_t at = channel_rx(run.liar[i])->at + script_below(script, SLOTS);
	const struct pinion_desc desc = some_desc(script);

	slot_put(once.liar[i].ba.shared->slot, at, &desc);
}

static void scribble_ready(struct script *script)
{
	const uint8_t where = script_byte(script);

	if (where < 64)
		run.ready->summary = lie_value(script, run.ready->summary);
	else if (where < 128)
		run.ready->word[0] = lie_value(script, run.ready->word[0]);
	else if (where < 192)
		run.ready->word[where % READY_WORDS] = script_word(script);
	else if (where < 224)
		run.ready->bell.state = (uint32_t)lie_value(script, run.ready->bell.state);
	else
		run.ready->bell.fenced = (uint32_t)lie_value(script, run.ready->bell.fenced);
}

static void speak(void)
{
	struct pinion_desc desc = {.len = 1, .tag = run.said};

	if (run.said - run.heard == HONEST)
		return;
	desc.buffer = once.buffer[run.said % HONEST];
	oracle(pinion_channel_send(once.c.channel, &desc, 1) == 1, "c cannot send");
	run.said++;
}

/* --- a */

/* ... and back to c. */
static void check_honest(struct pinion_desc desc)
{
	oracle(desc.tag == run.heard && desc.len == 1, "what c said comes as another thing");
	oracle(pinion_channel_send(run.honest, &desc, 1) == 1, "a cannot send to c");
	oracle(pinion_channel_recv(once.c.channel, &desc, 1) == 1, "c cannot receive");
	once.buffer[run.heard++ % HONEST] = desc.buffer;
}

static void check_liar(const struct pinion_desc *desc, const uint64_t *before)
{
	const uint32_t id = pinion_buffer_id(desc->buffer);
	struct pinion_desc was = *desc;

	was.buffer.bits -= UINT64_C(1) << PINION_ID_BITS;
	oracle(good(&was, before, &stage.b), "what came was not the liar's: %u", id);
	oracle(words()[id] == held(desc->buffer, &stage.a), "what came is not ours: %u", id);
}

static uint32_t liar_of(const struct pinion_channel *channel)
{
	for (uint32_t i = 0; i < LIARS; i++)
		if (run.liar[i] == channel && !run.left[i])
			return i;
	oracle(false, "a channel is told that is not there");
	return 0;
}

/* One call. False: nothing there. */
static bool receive(uint32_t nr)
{
	struct pinion_channel *channel = NULL;
	struct pinion_desc *desc = descs_new(nr);
	uint64_t before[BUFFERS];
	int got;

	for (uint32_t id = 0; id < BUFFERS; id++)
		before[id] = words()[id];
	got = pinion_fanin_recv(run.fanin, &channel, desc, nr);
	oracle(got && got <= (int)nr, "recv of %u: %d", nr, got);
	if (channel && channel == run.honest) {
		oracle(got > 0, "c's channel ends: %d", got);
		for (int i = 0; i < got; i++)
			check_honest(desc[i]);
	} else if (channel) {
		const uint32_t liar = liar_of(channel);

		oracle(got > 0 || got == -EPIPE || got == -EPROTO, "of a liar: %d", got);
		run.left[liar] = got < 0;
		for (int i = 0; i < got; i++)
			check_liar(&desc[i], before);
	} else {
		oracle(got == -EAGAIN, "of nobody: %d", got);
	}
	free(desc);
	return channel != NULL;
}

static void wait_shortly(struct script *script)
{
	int err;

	if (run.waits++ == WAITS)
		return;
	err = pinion_fanin_wait(run.fanin, script_byte(script));
	oracle(err == 0 || err == -ETIMEDOUT || err == -EINTR, "wait: %d", err);
}

/* --- in a loop */

static void open_loop(struct script *script)
{
	loop_open(&run.loop, pinion_fanin_loop_fd(run.fanin), pinion_fanin_notify_fd(run.fanin));
	if (script_byte(script) & 1)
		loop_age(&run.fanin->loop);
}

/* Lanes are in the order in which they were added. */
#define LANES (LIARS + 1u)

/* Any reason to look there: something published, or an end. */
static bool lane_has(uint32_t n)
{
	struct pinion_channel *channel = n < LIARS ? run.liar[n] : run.honest;
	const struct ring_shared *shared = n < LIARS ? once.liar[n].ba.shared : once.ca.shared;
	struct pinion_desc ignored;

	return channel_over(channel) || shared->producer_closed ||
	       slot_says(shared->slot, channel_rx(channel)->at, &ignored);
}

/* Of those lanes that are there. */
static bool any_has(uint64_t lanes)
{
	for (uint32_t n = 0; n < LANES; n++)
		if ((lanes & run.fanin->used[0]) >> n & 1 && lane_has(n))
			return true;
	return false;
}

/* What prepare() goes by beside the rings. */
struct posts {
	uint64_t pending, summary, hot;
	uint32_t taken; /* words, from the lowest on */
};

/* One word; its bits are lanes that are hot. */
static void take_posts(struct posts *posts)
{
	uint32_t word;

	if (!posts->pending) {
		posts->pending = posts->summary;
		posts->summary = 0;
	}
	if (!posts->pending)
		return;
	word = (uint32_t)__builtin_ctzll(posts->pending);
	posts->pending &= posts->pending - 1;
	if (!word && !posts->taken++)
		posts->hot |= run.ready->word[0];
}

static bool is_due(void)
{
	return bell_now_ns() - run.fanin->patrolled_ns >= FANIN_PATROL_NS;
}

/* @due: all lanes are looked at. @told: by a bit that is not looked at as yet. */
static int expect_prepared(bool due, bool *told)
{
	struct posts posts = {.pending = run.fanin->pending, .summary = run.ready->summary,
			      .hot = run.fanin->hot[0]};

	*told = false;
	take_posts(&posts);
	if (any_has(posts.hot) || (due && any_has(UINT64_MAX)))
		return 1;
	posts.hot = 0;
	*told = posts.pending || posts.summary;
	if (*told)
		take_posts(&posts);
	return any_has(posts.hot) ? 1 : 0;
}

static bool timer_is_over(void)
{
	struct pollfd timer = {.fd = run.fanin->timer, .events = POLLIN};

	return poll(&timer, 1, 0) == 1;
}

/* Who sleeps is woken in time, whatever the liars did: at once if somebody was told of. */
static void check_timer(bool told)
{
	const struct timespec shortly = {.tv_nsec = 20000000};
	struct pollfd timer = {.fd = run.fanin->timer, .events = POLLIN};
	struct itimerspec time;

	oracle(!timerfd_gettime(run.fanin->timer, &time), "no timer");
	oracle(!time.it_value.tv_sec && time.it_value.tv_nsec <= (long)FANIN_PATROL_NS,
	       "nobody looks for %jd ns", (intmax_t)time.it_value.tv_nsec);
	oracle(time.it_value.tv_nsec || timer_is_over(), "nobody ever looks");
	oracle(!told || ppoll(&timer, 1, &shortly, NULL) == 1, "a bit is left for the patrol");
}

static void prepare(void)
{
	const uint64_t patrolled_ns = run.fanin->patrolled_ns;
	const bool due = is_due();
	bool told;
	const int expected = expect_prepared(due, &told);
	const int got = pinion_fanin_prepare(run.fanin);

	if (!run.loop.open) {
		oracle(got == -EINVAL, "prepare, without a loop: %d", got);
		return;
	}
	/* Unless the time came in between. */
	oracle(got == expected || (!due && run.fanin->patrolled_ns != patrolled_ns),
	       "prepare: %d, not %d", got, expected);
	if (got)
		return;
	oracle(run.ready->bell.state == BELL_ARMED_FD, "it sleeps, and the bell is %u",
	       (unsigned)run.ready->bell.state);
	/* A bit for nothing heats its lane, and the loop comes back at once for that. */
	oracle(told || !run.fanin->nr_hot, "it sleeps, and a lane is hot");
	check_timer(told);
}

/* Files are nobody's: the socket is heard no more then, and the timer alone wakes. */
static void finish(void)
{
	const struct drain drain = loop_drain(&run.loop);
	const int got = pinion_fanin_done(run.fanin);

	oracle(got == (run.loop.open ? 0 : -EINVAL), "done: %d", got);
	if (!run.loop.open)
		return;
	oracle(run.ready->bell.state == BELL_QUIET, "done, and the bell is %u",
	       (unsigned)run.ready->bell.state);
	oracle(loop_queued(&run.loop) == drain.queued - drain.take, "done leaves %u of %u",
	       loop_queued(&run.loop), drain.queued);
	run.deaf |= drain.met;
	oracle(!run.deaf || !loop_is_readable(&run.loop) || timer_is_over(),
	       "files keep the loop awake");
}

static void turn(struct script *script)
{
	loop_turn(script, &run.loop, &(struct loop_steps){open_loop, prepare, finish});
}

static void rest(void)
{
	for (int i = 0; i < 300; i++)
		(void)receive(1);
}

void target_step(struct script *script)
{
	switch (script_below(script, 13)) {
	case 0:
	case 1:
		lie_store(script, once.liar[script_below(script, LIARS)].ba.shared);
		break;
	case 2:
		lie_store(script, once.liar[script_below(script, LIARS)].ab.shared);
		break;
	case 3:
	case 4:
		publish(script);
		break;
	case 5:
	case 6:
		scribble_ready(script);
		break;
	case 7:
	case 8:
		speak();
		break;
	case 9:
		wait_shortly(script);
		break;
	case 10:
		if (script_byte(script) < 16)
			rest();
		break;
	case 11:
		turn(script);
		break;
	default:
		(void)receive(1 + script_below(script, DESCS));
	}
}

static void close_channel(struct pinion_channel *channel)
{
	(void)pinion_fanin_remove(run.fanin, channel);
	assert_int_equal(pinion_channel_close(channel), 0);
}

void target_close(void)
{
	for (uint32_t i = 0; i < CALLS_MAX && run.heard != run.said; i++)
		(void)receive(1);
	oracle(run.heard == run.said, "c is not heard");
	for (uint32_t i = 0; i < LIARS; i++)
		close_channel(run.liar[i]);
	close_channel(run.honest);
	assert_int_equal(pinion_channel_close(once.c.channel), 0);
	ready_unmap(run.ready);
	assert_int_equal(pinion_fanin_destroy(run.fanin), 0);
}
