/* SPDX-License-Identifier: BSD-3-Clause */
#include "transfers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/wait.h>

#include "bell.h"
#include "channel.h"
#include "ring.h"
#include "tap.h"

/* So far into the ring that a batch of four wraps. */
#define NEAR_THE_END (RING - 2)

#define ONE_MS UINT64_C(1000000)
#define A_MINUTE UINT64_C(60000000000)

/* --- FIRST's operations */

static int send(struct side *first)
{
	return pinion_channel_send(first->channel, first->desc, first->nr);
}

static int recv(struct side *first)
{
	return pinion_channel_recv(first->channel, first->desc, first->nr);
}

static int wait(struct side *first)
{
	return pinion_channel_wait(first->channel, ONE_MS);
}

static int wait_long(struct side *first)
{
	return pinion_channel_wait(first->channel, A_MINUTE);
}

static int drain(struct side *first)
{
	return pinion_channel_drain(first->channel, ONE_MS);
}

static int drain_long(struct side *first)
{
	return pinion_channel_drain(first->channel, A_MINUTE);
}

static int wait_room(struct side *first)
{
	return pinion_channel_wait_room(first->channel, ONE_MS);
}

static int wait_room_long(struct side *first)
{
	return pinion_channel_wait_room(first->channel, A_MINUTE);
}

/* The channel is the second of two. */
static int wait_for_both(struct side *first, uint64_t timeout_ns)
{
	struct pinion_channel *both[] = {first->more, first->channel};
	uint32_t which = 0;
	int err = pinion_channel_wait_any(both, 2, timeout_ns, &which);

	return err ? err : (int)which;
}

static int wait_any(struct side *first)
{
	return wait_for_both(first, ONE_MS);
}

static int wait_any_long(struct side *first)
{
	return wait_for_both(first, A_MINUTE);
}

static int loop_prepare(struct side *first)
{
	return pinion_channel_prepare(first->channel);
}

/* From one sleep of a loop to the next. */
static int loop_turn(struct side *first)
{
	int err = pinion_channel_done(first->channel);

	return err ? err : pinion_channel_prepare(first->channel);
}

static int set_notify(struct side *first)
{
	return pinion_channel_set_notify(first->channel, first->notify);
}

static int leave(struct side *first)
{
	return pinion_channel_close(first->channel);
}

/* SECOND broke a rule of what the two do with the channel. */
static int reject(struct side *first)
{
	pinion_channel_reject(first->channel);
	return 0;
}

static int reclaim(struct side *first)
{
	return pinion_channel_reclaim(first->channel, first->cache);
}

static int ring_send(struct side *first)
{
	return pinion_ring_send(first->ring, first->desc, first->nr);
}

static int ring_recv(struct side *first)
{
	return pinion_ring_recv(first->ring, first->desc, first->nr);
}

static int ring_wait_short(struct side *first)
{
	return pinion_ring_wait(first->ring, ONE_MS);
}

static int ring_wait_long(struct side *first)
{
	return pinion_ring_wait(first->ring, A_MINUTE);
}

/* As by another thread of its process. */
static int ring_sever(struct side *first)
{
	pinion_ring_sever(first->ring);
	return 0;
}

static int ring_leave(struct side *first)
{
	struct pinion_ring *ring = first->ring;

	first->ring = NULL;
	return pinion_ring_close(ring);
}

static int put_all(struct side *first)
{
	const int room = pinion_ring_reserve(first->ring, first->nr);

	for (int i = 0; i < room; i++)
		(void)pinion_ring_put(first->ring, (uint32_t)i, &first->desc[i]);
	return room;
}

static int ring_commit(struct side *first)
{
	return pinion_ring_commit(first->ring, (uint32_t)put_all(first));
}

/* Two that were put are given up. */
static int ring_commit_less(struct side *first)
{
	return pinion_ring_commit(first->ring, (uint32_t)put_all(first) - 2);
}

static int ring_release(struct side *first)
{
	const int seen = pinion_ring_peek(first->ring, 0, first->desc, first->nr);

	return seen < 0 ? seen : pinion_ring_release(first->ring, (uint32_t)seen);
}

static int ask(struct side *first)
{
	void *context[RING];

	for (uint32_t i = 0; i < first->nr; i++)
		context[i] = side_context(i);
	return pinion_request_send(first->requester, first->desc, context, first->nr);
}

static int hear(struct side *first)
{
	void *context[RING];

	return pinion_request_recv(first->requester, first->desc, context, first->nr);
}

static int answer(struct side *first)
{
	return pinion_request_answer(first->requester, first->desc, first->nr);
}

/* The end in good order: nothing is awaited any more, and nobody is told but by the channel. */
static int hang_up(struct side *first)
{
	struct pinion_requester *requester = first->requester;
	void *context[RING];
	int err = pinion_requester_abandon(requester, first->cache, context, RING);

	first->requester = NULL;
	if (err != 2 || pinion_requester_close(requester))
		return -EINVAL;
	return pinion_channel_close(first->channel);
}

/* --- how both come there */

static void to_send(struct pair *pair)
{
	pair_cycle(pair, 5);
	side_draw(&pair->first, 1);
}

static void to_send_four(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	side_draw(&pair->first, 4);
}

/* A row, which goes by vectors; drawn first, while buffers still lie in their order. In the slots
 * that it will have, behind which no ring ends, lay others a round ago. */
static void draw_row_and_go_round(struct pair *pair, struct side *side)
{
	struct pinion_desc row[ROW];

	side_draw_row(side, ROW);
	memcpy(row, side->desc, sizeof(row));
	pair_cycle(pair, RING);
	pair_cycle(pair, 11);
	memcpy(side->desc, row, sizeof(row));
	side->nr = ROW;
}

static void to_send_row(struct pair *pair)
{
	draw_row_and_go_round(pair, &pair->first);
}

/* Two are there already that SECOND did not take. */
static void to_send_behind(struct pair *pair)
{
	pair_cycle(pair, 3);
	side_post(&pair->first, 2);
	side_draw(&pair->first, 4);
}

static void to_send_full(struct pair *pair)
{
	pair_cycle(pair, 3);
	side_post(&pair->first, RING);
	side_draw(&pair->first, 1);
}

/* Full as far as FIRST knows, until it looks at the credit. */
static void to_send_with_credit(struct pair *pair)
{
	to_send_full(pair);
	side_free(&pair->first);
	side_take(&pair->second, 4);
	side_draw(&pair->first, 4);
}

static void to_send_for_nothing(struct pair *pair)
{
	pair_cycle(pair, 3);
	side_draw(&pair->first, 1);
	(void)pinion_channel_close(pair->second.channel);
	pair->second.channel = NULL;
}

static void to_wake(struct pair *pair)
{
	pair_cycle(pair, 3);
	side_draw(&pair->first, 1);
	side_doze(pair, &pair->second);
}

static void to_recv(struct pair *pair)
{
	pair_cycle(pair, 4);
	side_post(&pair->second, 3);
	pair->first.nr = 1;
}

/* What was held back is given with it: then SECOND, whose ring was full, goes on. */
static void to_recv_and_give(struct pair *pair)
{
	pair_cycle(pair, 4);
	side_post(&pair->second, RING);
	side_take(&pair->first, 1);
	pair->first.nr = 1;
}

static void to_recv_four(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	side_post(&pair->second, 4);
	pair->first.nr = 4;
}

static void to_recv_row(struct pair *pair)
{
	draw_row_and_go_round(pair, &pair->second);
	side_send(&pair->second);
	pair->first.nr = ROW;
}

static void to_recv_nothing(struct pair *pair)
{
	pair_cycle(pair, 4);
	side_post(&pair->second, 1);
	side_take(&pair->first, 1);
}

/* So often that it will tell its sender to leave out the fence. */
static void to_recv_idly(struct pair *pair)
{
	const struct bell_ear *ear = &channel_rx(pair->first.channel)->ear;

	pair_cycle(pair, 4);
	while (ear->awake + BELL_EMPTY < BELL_AWAKE_MAX)
		(void)pinion_channel_recv(pair->first.channel, pair->first.desc, 1);
	pair->first.nr = 1;
}

static void to_recv_the_end(struct pair *pair)
{
	pair_cycle(pair, 4);
	(void)pinion_channel_close(pair->second.channel);
	pair->second.channel = NULL;
	pair->first.nr = 1;
}

static void to_wait(struct pair *pair)
{
	pair_cycle(pair, 4);
	side_post(&pair->second, 1);
}

static void to_sleep(struct pair *pair)
{
	pair_cycle(pair, 4);
	side_draw(&pair->second, 1);
}

static void to_wait_any(struct pair *pair)
{
	to_wait(pair);
	pair_more(pair, &pair->first);
}

static void to_sleep_at_both(struct pair *pair)
{
	to_sleep(pair);
	pair_more(pair, &pair->first);
}

/* SECOND strikes where FIRST's loop waits. */
static void to_prepare(struct pair *pair)
{
	pair_cycle(pair, 5);
	pair_loop(pair, &pair->first);
}

static void to_prepare_for_nothing(struct pair *pair)
{
	to_prepare(pair);
	side_post(&pair->second, 1);
}

static void sleep_in_a_loop(struct side *side)
{
	if (pinion_channel_prepare(side->channel))
		tap_bail("a loop does not go to sleep");
}

/* Called once; what it was called for is received. */
static void to_turn(struct pair *pair)
{
	to_prepare(pair);
	sleep_in_a_loop(&pair->first);
	side_post(&pair->second, 1);
	side_take(&pair->first, 1);
}

static void to_call(struct pair *pair)
{
	pair_cycle(pair, 3);
	side_draw(&pair->first, 1);
	pair_loop(pair, &pair->second);
	sleep_in_a_loop(&pair->second);
}

/* It was sent something before its sender knew how to call it. */
static void to_set_notify(struct pair *pair)
{
	pair_cycle(pair, 3);
	pair->first.notify = pinion_channel_notify_fd(pair->second.channel);
	sleep_in_a_loop(&pair->second);
	side_post(&pair->first, 1);
}

/* Both have sent something that nobody took. */
static void to_leave(struct pair *pair)
{
	pair_cycle(pair, 4);
	side_post(&pair->first, 3);
	side_post(&pair->second, 2);
}

static void to_leave_a_sleeper(struct pair *pair)
{
	to_leave(pair);
	side_take(&pair->second, 3);
	side_doze(pair, &pair->second);
}

/* SECOND took one of four, sent another, and died; FIRST has that. */
static void to_reclaim(struct pair *pair)
{
	static struct pinion_buffer transit[RING];
	struct pinion_desc more[1];
	uint32_t nr;

	pair_cycle(pair, NEAR_THE_END);
	side_post(&pair->first, 4);
	side_take(&pair->second, 1);
	side_post(&pair->second, 1);
	nr = pinion_channel_published(pair->first.channel, transit);
	if (pinion_pool_recover(pair->pool, PAIR_SECOND, transit, nr, NULL))
		tap_bail("SECOND cannot be recovered");
	pinion_channel_sever(pair->first.channel);
	side_take(&pair->first, 1);
	if (pinion_channel_recv(pair->first.channel, more, 1) != -EPIPE)
		tap_bail("the dead one's ring has more than it sent");
}

/* Over a channel of one way. */
static void to_send_one_way(struct pair *pair)
{
	pair_one_way(pair, &pair->first, NEAR_THE_END);
	side_draw(&pair->first, 4);
}

static void to_recv_one_way(struct pair *pair)
{
	pair_one_way(pair, &pair->second, NEAR_THE_END);
	side_post(&pair->second, 4);
	pair->first.nr = 4;
}

static void to_leave_a_receiver(struct pair *pair)
{
	pair_one_way(pair, &pair->first, NEAR_THE_END);
	side_post(&pair->first, 3);
}

static void to_leave_a_sender(struct pair *pair)
{
	pair_one_way(pair, &pair->second, NEAR_THE_END);
	side_post(&pair->second, 3);
}

static void to_wait_for_room(struct pair *pair)
{
	pair_one_way(pair, &pair->first, NEAR_THE_END);
	side_post(&pair->first, RING);
}

/* The same of an end that also receives. */
static void to_wait_full(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	side_post(&pair->first, RING);
}

static void to_find_some_room(struct pair *pair)
{
	to_wait_full(pair);
	side_take(&pair->second, 4);
}

/* There is some, but that has to be looked at. */
static void to_find_room(struct pair *pair)
{
	to_wait_for_room(pair);
	side_take(&pair->second, 4);
}

/* SECOND took one of four, and died. */
static void to_reclaim_one_way(struct pair *pair)
{
	pair_one_way(pair, &pair->first, NEAR_THE_END);
	side_post(&pair->first, 4);
	side_take(&pair->second, 1);
	if (pinion_pool_recover(pair->pool, PAIR_SECOND, NULL, 0, NULL))
		tap_bail("SECOND cannot be recovered");
	pinion_channel_sever(pair->first.channel);
}

/* FIRST has asked two, and SECOND has heard one of them. */
static void talk(struct pair *pair)
{
	pair_cycle(pair, NEAR_THE_END);
	pair_talk(pair, 4, 4);
	side_ask(&pair->first, 2);
	side_hear(&pair->second, 1);
}

static void to_ask(struct pair *pair)
{
	talk(pair);
	side_draw(&pair->first, 2);
}

static void to_ask_too_much(struct pair *pair)
{
	talk(pair);
	side_ask(&pair->first, 2);
	side_draw(&pair->first, 1);
}

static void to_hear_an_answer(struct pair *pair)
{
	struct side *second = &pair->second;

	talk(pair);
	if (pinion_request_answer(second->requester, second->desc, 1) != 1)
		tap_bail("a request is not answered");
	second->sent[pinion_buffer_id(second->desc[0].buffer)] = second->desc[0].buffer;
	pair->first.nr = 1;
}

static void to_hear_requests(struct pair *pair)
{
	talk(pair);
	side_ask(&pair->second, 2);
	pair->first.nr = 2;
}

static void to_answer(struct pair *pair)
{
	to_hear_requests(pair);
	side_hear(&pair->first, 2);
}

static void ring_of(struct pair *pair, enum pinion_ring_end end, uint32_t at, uint32_t nr)
{
	pair_ring(pair, end, at);
	pair->first.nr = nr;
	for (uint32_t i = 0; i < nr; i++)
		pair->first.desc[i] = pair_desc(at + i);
}

static void to_ring_send(struct pair *pair)
{
	ring_of(pair, PINION_RING_SEND, NEAR_THE_END, 4);
}

static void to_ring_put(struct pair *pair)
{
	ring_of(pair, PINION_RING_SEND, 5, 4);
}

static void to_ring_recv(struct pair *pair)
{
	static struct pinion_desc desc[RING];

	ring_of(pair, PINION_RING_RECV, NEAR_THE_END, 4);
	for (uint32_t i = 0; i < RING; i++)
		desc[i] = pair_desc(NEAR_THE_END + i);
	if (pinion_ring_send(pair->second.ring, desc, RING) != (int)RING)
		tap_bail("a ring is not filled");
}

/* Nothing is there, and one may come. FIRST holds credit back, and SECOND has all of the room. */
static void to_ring_sleep(struct pair *pair)
{
	ring_of(pair, PINION_RING_RECV, 5, RING);
	pair->second.nr = 1;
	pair->second.desc[0] = pair_desc(5);
}

static void to_ring_wait(struct pair *pair)
{
	to_ring_sleep(pair);
	if (pinion_ring_send(pair->second.ring, pair->second.desc, 1) != 1)
		tap_bail("a ring does not move");
}

const struct transfer transfers[] = {
	{"send", to_send, send, .result = 1, .batch = 1},
	{"send_four", to_send_four, send, .result = 4, .batch = 4},
	{"send_row", to_send_row, send, .result = ROW, .batch = ROW},
	{"send_behind", to_send_behind, send, .result = 4, .batch = 4},
	{"send_full", to_send_full, send, .result = -EAGAIN},
	{"send_with_credit", to_send_with_credit, send, .result = 4, .batch = 4},
	{"send_for_nothing", to_send_for_nothing, send, .result = -EPIPE},
	{"wake", to_wake, send, .result = 1, .batch = 1},
	{"recv", to_recv, recv, .result = 1},
	{"recv_and_give", to_recv_and_give, recv, .result = 1, .gives = true},
	{"recv_four", to_recv_four, recv, .result = 4, .gives = true},
	{"recv_row", to_recv_row, recv, .result = ROW, .gives = true},
	{"recv_nothing", to_recv_nothing, recv, .result = -EAGAIN, .gives = true},
	{"recv_idly", to_recv_idly, recv, .result = -EAGAIN},
	{"recv_the_end", to_recv_the_end, recv, .result = -EPIPE},
	{"wait", to_wait, wait, .result = 0},
	{"wait_in_vain", to_sleep, wait, .result = -ETIMEDOUT, .from = (const void *)bell_announce},
	{"wait_woken", to_sleep, wait_long, .result = 0, .woken = true,
	 .from = (const void *)bell_announce},
	{"wait_any", to_wait_any, wait_any, .result = 1},
	{"wait_any_in_vain", to_sleep_at_both, wait_any, .result = -ETIMEDOUT,
	 .from = (const void *)bell_announce},
	{"wait_any_woken", to_sleep_at_both, wait_any_long, .result = 1, .woken = true,
	 .from = (const void *)bell_announce},
	{"loop_prepare", to_prepare, loop_prepare, .result = 0},
	{"loop_prepare_for_nothing", to_prepare_for_nothing, loop_prepare, .result = 1},
	{"loop_turn", to_turn, loop_turn, .result = 0, .gives = true},
	{"loop_call", to_call, send, .result = 1, .batch = 1, .calls = true},
	{"loop_set_notify", to_set_notify, set_notify, .result = 0, .calls = true},
	{"leave", to_leave, leave, .result = 0},
	{"leave_a_sleeper", to_leave_a_sleeper, leave, .result = 0},
	{"reject", to_leave, reject, .result = 0},
	{"reject_a_sleeper", to_leave_a_sleeper, reject, .result = 0},
	{"wait_for_room", to_wait_full, wait_room, .result = -ETIMEDOUT},
	{"find_room", to_find_some_room, wait_room, .result = 0},
	{"wait_for_room_of_the_dead", to_reclaim, wait_room, .result = -EPIPE, .bereft = true},
	{"drain", to_wait, drain, .result = 0},
	{"drain_in_vain", to_wait_for_room, drain, .result = -ETIMEDOUT},
	{"drain_of_the_dead", to_reclaim, drain, .result = -EPIPE, .bereft = true},
	{"reclaim", to_reclaim, reclaim, .result = 3, .bereft = true},
	{"one_way_send", to_send_one_way, send, .result = 4, .batch = 4},
	{"one_way_recv", to_recv_one_way, recv, .result = 4, .gives = true},
	{"one_way_leave_receiver", to_leave_a_receiver, leave, .result = 0},
	{"one_way_leave_sender", to_leave_a_sender, leave, .result = 0},
	{"one_way_wait_for_room", to_wait_for_room, wait, .result = -ETIMEDOUT},
	{"one_way_find_room", to_find_room, wait, .result = 0},
	{"one_way_reclaim_nothing", to_recv_one_way, reclaim, .result = 0},
	{"one_way_reclaim", to_reclaim_one_way, reclaim, .result = 3, .bereft = true},
	{"ask", to_ask, ask, .result = 2, .batch = 2, .brief = true},
	{"ask_too_much", to_ask_too_much, ask, .result = -EAGAIN, .brief = true},
	{"hear_an_answer", to_hear_an_answer, hear, .result = 1, .brief = true},
	{"hear_requests", to_hear_requests, hear, .result = 2, .gives = true, .brief = true},
	{"answer", to_answer, answer, .result = 2, .batch = 2, .brief = true},
	{"hang_up", to_hear_requests, hang_up, .result = 0, .brief = true},
	{"ring_send", to_ring_send, ring_send, .result = 4, .batch = 4, .alone = true},
	{"ring_commit", to_ring_put, ring_commit, .result = 4, .batch = 4, .alone = true},
	{"ring_commit_wrap", to_ring_send, ring_commit, .result = 2, .batch = 2, .alone = true},
	{"ring_commit_less", to_ring_put, ring_commit_less, .result = 2, .batch = 2, .alone = true},
	{"ring_leave_send", to_ring_put, ring_leave, .result = 0, .alone = true},
	{"ring_recv", to_ring_recv, ring_recv, .result = 4, .gives = true, .alone = true},
	{"ring_release", to_ring_recv, ring_release, .result = 0, .gives = true, .alone = true},
	{"ring_leave_recv", to_ring_recv, ring_leave, .result = 0, .alone = true},
	{"ring_sever", to_ring_recv, ring_sever, .result = 0, .alone = true},
	{"ring_wait", to_ring_wait, ring_wait_short, .result = 0, .alone = true},
	{"ring_wait_in_vain", to_ring_sleep, ring_wait_short, .result = -ETIMEDOUT, .alone = true,
	 .from = (const void *)bell_announce},
	{"ring_wait_woken", to_ring_sleep, ring_wait_long, .result = 0, .woken = true,
	 .alone = true, .from = (const void *)bell_announce},
};
const size_t nr_transfers = sizeof(transfers) / sizeof(transfers[0]);

/* Naps that end when SECOND takes something, or goes: only in a duel does it. Those that are short
 * end by themselves, at the worst as it says here. */
static const struct transfer naps[] = {
	{"drain_short", NULL, drain, .result = -ETIMEDOUT},
	{"wait_room_short", NULL, wait_room, .result = -ETIMEDOUT},
	{"drain_long", NULL, drain_long, .result = 0, .woken = true},
	{"wait_room_long", NULL, wait_room_long, .result = 0, .woken = true},
};

static const struct transfer *find_in(const struct transfer *table, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

const struct transfer *transfer_find(const char *name)
{
	const struct transfer *transfer = find_in(transfers, nr_transfers, name);

	return transfer ? transfer : find_in(naps, sizeof(naps) / sizeof(naps[0]), name);
}
