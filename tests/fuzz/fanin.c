/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fan-in with three lanes. Two are the fuzzer's, member b's, which writes their rings and the
 * whole ready set; the third is of c, which is honest. Whatever b does, c is heard: all it said, in
 * order, in as many calls as fanin.h allows a liar to cost.
 */

#include <pinion/fanin.h>

#include "ready.h"
#include "channel.h"
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

static void rest(void)
{
	for (int i = 0; i < 300; i++)
		(void)receive(1);
}

void target_step(struct script *script)
{
	switch (script_below(script, 12)) {
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
