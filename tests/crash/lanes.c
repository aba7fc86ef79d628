/* SPDX-License-Identifier: BSD-3-Clause */
/* What is stepped of a fan-in. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <pinion/cache.h>
#include <pinion/wait.h>

#include "bell.h"
#include "fanin_inside.h"
#include "match.h"
#include "parts.h"
#include "ready.h"
#include "ring_support.h"

_Static_assert(sizeof(struct ready_shared) <= COMPANY_BYTES, "a ready set is copied whole");

#define ONE_MS UINT64_C(1000000)
#define A_MINUTE UINT64_C(60000000000)

/* As ipc/fanin.c has them: after so many looks that find nothing a lane is cold, and one of so many
 * goes to a cold lane. */
#define COOL 256u
#define PATROL 16u
#define A_REST (COOL + 44) /* then all lanes are cold */

/* --- FIRST's operations */

int lanes_take(struct player *receiver, struct pinion_channel **channel, struct pinion_desc *desc,
	       uint32_t nr)
{
	receiver->looks++;
	return pinion_fanin_recv(receiver->fanin, channel, desc, nr);
}

static int post(struct player *first)
{
	return pinion_channel_send(first->channel[first->peer], first->desc, first->nr);
}

/* One and then the rest. */
static int post_twice(struct player *first)
{
	const int sent = pinion_channel_send(first->channel[first->peer], first->desc, 1);

	return sent != 1 ? sent
			 : pinion_channel_send(first->channel[first->peer], &first->desc[1],
					       first->nr - 1);
}

static int join(struct player *first)
{
	return pinion_channel_join(first->channel[first->peer], first->file[0],
				   first->number[FIRST]);
}

static int leave(struct player *first)
{
	const int err = pinion_channel_close(first->channel[first->peer]);

	first->channel[first->peer] = NULL;
	return err;
}

static int take(struct player *first)
{
	struct pinion_channel *channel;

	return lanes_take(first, &channel, first->desc, first->nr);
}

/* ... and again, until the patrol would find what nobody told of. */
static int take_untold(struct player *first)
{
	int nr = take(first);

	while (nr == -EAGAIN && first->looks % PATROL)
		nr = take(first);
	return nr;
}

static int add(struct player *first)
{
	uint32_t lane;

	return pinion_fanin_add(first->fanin, first->channel[first->peer], 1, &lane);
}

static int drop(struct player *first)
{
	return pinion_fanin_remove(first->fanin, first->channel[first->peer]);
}

static int undo(struct player *first)
{
	return pinion_fanin_destroy(first->fanin);
}

static int watch(struct player *first)
{
	return pinion_fanin_wait(first->fanin, ONE_MS);
}

static int watch_long(struct player *first)
{
	return pinion_fanin_wait(first->fanin, A_MINUTE);
}

static int loop_prepare(struct player *first)
{
	return pinion_fanin_prepare(first->fanin);
}

/* From one sleep of a loop to the next. */
static int loop_turn(struct player *first)
{
	const int err = pinion_fanin_done(first->fanin);

	return err ? err : pinion_fanin_prepare(first->fanin);
}

static int set_notify(struct player *first)
{
	return pinion_channel_set_notify(first->channel[first->peer], first->file[0]);
}

/* --- how all come there */

static int ring_for(struct company *company, int file)
{
	int fd = -1;

	company_must(!ring_begin(SLOTS, &fd), "no ring");
	company_file(company, file, fd);
	return fd;
}

/* @file: of the two between them the one that goes to the receiver. */
static void connect(struct company *company, int receiver, int producer, int file)
{
	const int in = ring_for(company, file), back = ring_for(company, file + 1);
	struct player *to = &company->player[receiver], *from = &company->player[producer];

	company_must(
		!pinion_channel_open(from->pool, in, back, to->member, &from->channel[receiver]) &&
			!pinion_channel_open(to->pool, back, in, from->member,
					     &to->channel[producer]),
		"no channel");
}

static void join_lane(struct player *receiver, struct player *producer, int from, int to)
{
	uint32_t lane;

	company_must(!pinion_fanin_add(receiver->fanin, receiver->channel[from], 1, &lane) &&
			     !pinion_channel_join(producer->channel[to],
						  pinion_fanin_fd(receiver->fanin), lane),
		     "no lane");
}

/* A fan-in with no lane, and channels to it from the two others. */
static struct player *receiver_for(struct company *company, int receiver)
{
	struct player *player = &company->player[receiver];
	int file = LANES_RING;

	company_must(!pinion_fanin_create(&player->fanin), "no fan-in");
	company_file(company, LANES_READY, dup(pinion_fanin_fd(player->fanin)));
	for (int i = 0; i < PLAYERS; i++) {
		if (i == receiver)
			continue;
		connect(company, receiver, i, file);
		file += 2;
	}
	return player;
}

static void send_some(struct player *producer, int receiver, uint32_t nr)
{
	player_draw(producer, nr);
	company_must(pinion_channel_send(producer->channel[receiver], producer->desc, nr) ==
			     (int)nr,
		     "a batch is not sent");
}

/* What came goes back to the pool. */
static void take_one(struct player *receiver)
{
	struct pinion_channel *channel;
	struct pinion_desc desc;

	company_must(lanes_take(receiver, &channel, &desc, 1) == 1 &&
			     !pinion_buffer_free(receiver->cache, desc.buffer),
		     "what was sent is not received");
}

/* All lanes hot, each has been used. */
static struct player *lanes_hot(struct company *company, int receiver)
{
	struct player *player = receiver_for(company, receiver);

	for (int i = 0; i < PLAYERS; i++) {
		if (i == receiver)
			continue;
		join_lane(player, &company->player[i], i, receiver);
		send_some(&company->player[i], receiver, 1);
		take_one(player);
	}
	return player;
}

/* Looks until all lanes are cold, the last of them by the patrol; what came, of @desc. */
static uint32_t rest(struct player *receiver)
{
	struct pinion_channel *channel;
	struct pinion_desc desc;
	uint32_t idle = 0, got = 0;

	while (idle < A_REST || receiver->looks % PATROL != 1) {
		const int nr = lanes_take(receiver, &channel, &desc, 1);

		idle = nr == -EAGAIN ? idle + 1 : 0;
		got += nr == 1;
	}
	return got;
}

static struct player *lanes_cold(struct company *company, int receiver)
{
	struct player *player = lanes_hot(company, receiver);

	(void)rest(player);
	return player;
}

static void to_post_hot(struct company *company)
{
	(void)lanes_hot(company, SECOND);
	player_draw(&company->player[FIRST], 1);
}

static void to_post_cold(struct company *company)
{
	(void)lanes_cold(company, SECOND);
	player_draw(&company->player[FIRST], 1);
}

static void to_post_three(struct company *company)
{
	(void)lanes_cold(company, SECOND);
	player_draw(&company->player[FIRST], 3);
}

static void to_wake(struct company *company)
{
	to_post_cold(company);
	player_doze(&company->player[SECOND], watch_long);
}

/* With one sent before, which nobody was told of. */
static void to_join(struct company *company)
{
	struct player *second = receiver_for(company, SECOND), *first = &company->player[FIRST];

	company_must(
		!pinion_fanin_add(second->fanin, second->channel[FIRST], 1, &first->number[FIRST]),
		"no lane");
	join_lane(second, &company->player[THIRD], THIRD, SECOND);
	(void)rest(second);
	send_some(first, SECOND, 1);
	second->due = 1;
	first->file[0] = company->file[LANES_READY].fd;
}

static void to_leave(struct company *company)
{
	(void)lanes_cold(company, SECOND);
}

static void to_take_hot(struct company *company)
{
	(void)lanes_hot(company, FIRST);
	send_some(&company->player[SECOND], FIRST, 3);
	company->player[FIRST].nr = 2;
}

static void to_take_posted(struct company *company)
{
	(void)lanes_cold(company, FIRST);
	send_some(&company->player[SECOND], FIRST, 3);
	send_some(&company->player[THIRD], FIRST, 1);
	company->player[FIRST].nr = 3;
}

/* One look more, and the first of the others' lanes is cold; another, and so is the second's. */
static void lanes_about_to_cool(struct company *company, int receiver)
{
	struct player *player = lanes_hot(company, receiver);
	struct pinion_channel *channel;
	struct pinion_desc desc;

	for (uint32_t i = 1; i < COOL - 1; i++)
		company_must(lanes_take(player, &channel, &desc, 1) == -EAGAIN, "something came");
}

static void to_cool(struct company *company)
{
	lanes_about_to_cool(company, FIRST);
	company->player[FIRST].nr = 1;
}

static void to_watch(struct company *company)
{
	(void)lanes_hot(company, FIRST);
}

static void to_add(struct company *company)
{
	join_lane(receiver_for(company, FIRST), &company->player[THIRD], THIRD, FIRST);
	send_some(&company->player[SECOND], FIRST, 2);
}

static void to_drop(struct company *company)
{
	(void)lanes_cold(company, FIRST);
	send_some(&company->player[SECOND], FIRST, 2);
}

/* --- a loop, and whom it waits for */

/* All producers strike where @receiver's loop waits. */
static void loop_for(struct company *company, int receiver)
{
	const int fd = pinion_fanin_notify_fd(company->player[receiver].fanin);

	for (int i = 0; i < PLAYERS; i++)
		if (i != receiver)
			company_must(fd >= 0 && !pinion_channel_set_notify(
							company->player[i].channel[receiver], fd),
				     "no descriptor for a loop");
}

/* What is told by bits of before, it comes back for. */
static void sleep_in_a_loop(struct player *receiver)
{
	for (int i = 0; i < 2; i++)
		company_must(!pinion_fanin_prepare(receiver->fanin), "a loop does not go to sleep");
}

/* By a producer; not by the timer, which calls every 100 ms, whoever sleeps. */
static bool is_struck(const struct player *receiver)
{
	struct pollfd loop = {.fd = receiver->fanin->loop.socket, .events = POLLIN};

	return poll(&loop, 1, 0) > 0;
}

static void to_prepare(struct company *company)
{
	(void)lanes_hot(company, FIRST);
	loop_for(company, FIRST);
}

static void to_prepare_for_nothing(struct company *company)
{
	(void)lanes_cold(company, FIRST);
	loop_for(company, FIRST);
	send_some(&company->player[SECOND], FIRST, 1);
}

/* Called once; what it was called for is taken. */
static void lanes_called(struct company *company, int receiver, int producer)
{
	struct player *player = lanes_hot(company, receiver);

	loop_for(company, receiver);
	sleep_in_a_loop(player);
	send_some(&company->player[producer], receiver, 1);
	company_must(pinion_fanin_prepare(player->fanin) == 1, "what was sent is not there");
	take_one(player);
}

static void to_turn(struct company *company)
{
	lanes_called(company, FIRST, SECOND);
}

static void to_call(struct company *company)
{
	to_post_hot(company);
	loop_for(company, SECOND);
	sleep_in_a_loop(&company->player[SECOND]);
}

static void to_call_twice(struct company *company)
{
	to_call(company);
	player_draw(&company->player[FIRST], 3);
}

/* It was sent something before its producer knew how to call it. */
static void to_set_notify(struct company *company)
{
	struct player *second = lanes_hot(company, SECOND), *first = &company->player[FIRST];

	first->file[0] = pinion_fanin_notify_fd(second->fanin);
	sleep_in_a_loop(second);
	send_some(first, SECOND, 1);
	second->due = 1;
}

/* --- what the others do meanwhile; SECOND's nr is what came */

/* A look that finds nothing but what the ready set says. */
static void glance(struct company *company)
{
	struct player *second = &company->player[SECOND];
	struct pinion_channel *channel;

	second->nr = lanes_take(second, &channel, second->desc, SLOTS) > 0;
}

static void rest_meanwhile(struct company *company)
{
	company->player[SECOND].nr = rest(&company->player[SECOND]);
}

/* Before the patrol comes by. */
static const char *all_came(struct company *company, int result)
{
	struct player *second = &company->player[SECOND];
	struct pinion_channel *channel;
	struct pinion_desc desc;
	uint32_t got = second->nr;

	(void)result;
	while (second->looks % PATROL)
		got += lanes_take(second, &channel, &desc, 1) == 1;
	return got == company->player[FIRST].nr
		       ? NULL
		       : "the receiver was not told of all that was sent to it";
}

static void send_one(struct company *company)
{
	send_some(&company->player[SECOND], FIRST, 1);
}

static const char *told(struct company *company, int result)
{
	(void)company;
	return result == 1 ? NULL : "the receiver was not told of what was sent while it looked";
}

static const char *woke(struct company *company, int result)
{
	(void)company;
	return result ? "who waits was not told of what was sent" : NULL;
}

/* Or is to come back at once. */
static bool is_called(const struct player *receiver)
{
	struct pollfd timer = {.fd = receiver->fanin->timer, .events = POLLIN};

	return is_struck(receiver) || poll(&timer, 1, 0) > 0;
}

/* It may sleep on when it is called, or was told not to sleep. */
static const char *loop_hears(struct company *company, int result)
{
	return result || is_called(&company->player[FIRST])
		       ? NULL
		       : "a loop sleeps on, and something was sent to it";
}

static void sleep_on(struct company *company)
{
	(void)company;
}

static const char *loop_is_called(struct company *company, int result)
{
	(void)result;
	return is_struck(&company->player[SECOND]) ? NULL : "a loop was not called";
}

/* Woken, for whatever reason: until it may sleep again. */
static void take_a_turn(struct company *company)
{
	struct player *second = &company->player[SECOND];
	struct pinion_channel *channel;
	int nr;

	second->nr = 0;
	company_must(!pinion_fanin_done(second->fanin), "a loop cannot be done with");
	do {
		nr = lanes_take(second, &channel, second->desc, SLOTS);
		second->nr += nr > 0 ? (uint32_t)nr : 0;
	} while (pinion_fanin_prepare(second->fanin) == 1);
}

static const char *rest_is_told(struct company *company, int result)
{
	struct player *second = &company->player[SECOND];
	const uint32_t had = second->nr;

	(void)result;
	if (had == company->player[FIRST].nr)
		return NULL;
	if (!is_struck(second))
		return "a loop was not called for what came after it had looked";
	take_a_turn(company);
	return had + second->nr == company->player[FIRST].nr
		       ? NULL
		       : "the receiver was not told of all that was sent to it";
}

/* --- asleep when FIRST dies: it hears of THIRD all the same */

static int sleep_till_third(struct player *second)
{
	struct pinion_channel *channel = NULL;
	struct pinion_desc desc;

	while (channel != second->channel[THIRD])
		if (lanes_take(second, &channel, &desc, 1) == -EAGAIN && watch_long(second))
			return 1;
	return 0;
}

/* In its loop. If FIRST silenced the bell and died before it called, the timer does. */
static int loop_till_third(struct player *second)
{
	struct pollfd loop = {.fd = pinion_fanin_loop_fd(second->fanin), .events = POLLIN};
	struct pinion_channel *channel = NULL;
	struct pinion_desc desc;

	while (channel != second->channel[THIRD]) {
		if (pinion_fanin_prepare(second->fanin) == 0 && poll(&loop, 1, -1) != 1)
			return 1;
		if (pinion_fanin_done(second->fanin))
			return 1;
		(void)lanes_take(second, &channel, &desc, 1);
	}
	return 0;
}

static void third_sends(struct company *company)
{
	send_some(&company->player[THIRD], SECOND, 1);
}

#define PRODUCER .fates = lanes_of_producer, .rest = lanes_rest
#define GLANCE .meanwhile = glance, .afterwards = all_came
#define REST .meanwhile = rest_meanwhile, .afterwards = all_came
#define RECEIVER .fates = lanes_of_receiver, .rest = lanes_rest
#define SLEEPS_ON .meanwhile = sleep_on, .afterwards = loop_is_called
#define TURNS .meanwhile = take_a_turn, .afterwards = rest_is_told
#define HEARS .meanwhile = send_one, .afterwards = loop_hears, .is_called = is_called

const struct part lanes_parts[] = {
	{"post_hot", to_post_hot, post, .result = 1, .batch = 1, PRODUCER, GLANCE},
	{"post_cold", to_post_cold, post, .result = 1, .batch = 1, PRODUCER, GLANCE},
	{"post_three", to_post_three, post, .result = 3, .batch = 3, PRODUCER},
	{"post_twice", to_post_three, post_twice, .result = 2, .batch = 1, .more = 2, PRODUCER,
	 REST},
	{"post_awakes", to_wake, post, .result = 1, .batch = 1, .sleep = sleep_till_third,
	 .rouse = third_sends, PRODUCER},
	{"join_lane", to_join, join, .result = 0, PRODUCER, GLANCE},
	{"leave_lane", to_leave, leave, .result = 0, .ends = true, PRODUCER},
	{"call_lane", to_call, post, .result = 1, .batch = 1, .sleep = loop_till_third,
	 .rouse = third_sends, PRODUCER, SLEEPS_ON},
	{"call_lane_twice", to_call_twice, post_twice, .result = 2, .batch = 1, .more = 2, PRODUCER,
	 TURNS},
	{"call_lane_and_leave", to_call, leave, .result = 0, .ends = true, PRODUCER, SLEEPS_ON},
	{"set_lane_notify", to_set_notify, set_notify, .result = 0, PRODUCER, SLEEPS_ON},
	{"take_hot", to_take_hot, take, .takes = true, .result = 2, RECEIVER},
	{"take_posted", to_take_posted, take, .takes = true, .result = 3, RECEIVER},
	{"take_and_cool", to_cool, take, .takes = true, .result = -EAGAIN, RECEIVER},
	{"cool_and_take", to_cool, take_untold, .takes = true, .result = -EAGAIN,
	 .from = (const void *)bell_announce, .meanwhile = send_one, .afterwards = told, RECEIVER},
	{"watch_in_vain", to_watch, watch, .result = -ETIMEDOUT,
	 .from = (const void *)bell_announce, .meanwhile = send_one, .afterwards = woke, RECEIVER},
	{"prepare_lanes", to_prepare, loop_prepare, .result = 0, RECEIVER, HEARS},
	{"prepare_lanes_armed", to_prepare, loop_prepare, .result = 0,
	 .from = (const void *)bell_arm, RECEIVER, HEARS, .often = true},
	{"prepare_lanes_for_nothing", to_prepare_for_nothing, loop_prepare, .result = 1, RECEIVER},
	{"turn_lanes", to_turn, loop_turn, .result = 0, RECEIVER, HEARS},
	{"add_lane", to_add, add, .result = 0, .from = (const void *)bell_disarm, RECEIVER},
	{"drop_lane", to_drop, drop, .result = 0, RECEIVER},
	{"destroy_hot", to_take_hot, undo, .result = 0, RECEIVER},
	{"destroy_cold", to_take_posted, undo, .result = 0, RECEIVER},
};
const size_t nr_lanes_parts = sizeof(lanes_parts) / sizeof(lanes_parts[0]);

/* --- two at once */

static void ready_to_send(struct company *company, int giver)
{
	player_draw(&company->player[giver], 3);
	company->player[company_other(giver)].nr = 3;
}

static void hot(struct company *company, int giver)
{
	(void)lanes_hot(company, company_other(giver));
	send_some(&company->player[giver], company_other(giver), 2);
	send_some(&company->player[THIRD], company_other(giver), 1);
	ready_to_send(company, giver);
}

static void cold(struct company *company, int giver)
{
	(void)lanes_cold(company, company_other(giver));
	ready_to_send(company, giver);
}

static void cooling(struct company *company, int giver)
{
	lanes_about_to_cool(company, company_other(giver));
	ready_to_send(company, giver);
}

/* A lane is there that its producer does not know of, which has sent. */
static void at_the_door(struct company *company, int giver)
{
	struct player *taker = receiver_for(company, company_other(giver));
	struct player *player = &company->player[giver];

	company_must(
		!pinion_fanin_add(taker->fanin, taker->channel[giver], 1, &player->number[FIRST]),
		"no lane");
	join_lane(taker, &company->player[THIRD], THIRD, company_other(giver));
	(void)rest(taker);
	send_some(player, company_other(giver), 1);
	player->file[0] = company->file[LANES_READY].fd;
	ready_to_send(company, giver);
}

static void at_rest(struct company *company, int giver)
{
	(void)lanes_hot(company, company_other(giver));
	ready_to_send(company, giver);
}

static void in_a_loop(struct company *company, int giver)
{
	at_rest(company, giver);
	loop_for(company, company_other(giver));
}

static void called_once(struct company *company, int giver)
{
	lanes_called(company, company_other(giver), giver);
	ready_to_send(company, giver);
}

const struct match lanes_matches[] = {
	{"post_take", hot, FIRST, "post_three", "take_hot"},
	{"take_post", hot, SECOND, "take_hot", "post_three"},
	{"post_take_cold", cold, FIRST, "post_three", "take_posted"},
	{"take_post_cold", cold, SECOND, "take_posted", "post_three"},
	{"post_cool", cooling, FIRST, "post_three", "take_and_cool"},
	{"cool_post", cooling, SECOND, "take_and_cool", "post_three"},
	{"post_twice_cool", cooling, FIRST, "post_twice", "cool_and_take"},
	{"cool_post_twice", cooling, SECOND, "cool_and_take", "post_twice"},
	{"post_watch", at_rest, FIRST, "post_three", "watch_in_vain"},
	{"watch_post", at_rest, SECOND, "watch_in_vain", "post_three"},
	{"post_prepare", in_a_loop, FIRST, "post_three", "prepare_lanes_armed"},
	{"prepare_post", in_a_loop, SECOND, "prepare_lanes_armed", "post_three"},
	{"post_turn", called_once, FIRST, "post_three", "turn_lanes"},
	{"turn_post", called_once, SECOND, "turn_lanes", "post_three"},
	{"leave_take", hot, FIRST, "leave_lane", "take_hot"},
	{"take_leave", hot, SECOND, "take_hot", "leave_lane"},
	{"leave_cool", cooling, FIRST, "leave_lane", "cool_and_take"},
	{"cool_leave", cooling, SECOND, "cool_and_take", "leave_lane"},
	{"leave_watch", at_rest, FIRST, "leave_lane", "watch_in_vain"},
	{"watch_leave", at_rest, SECOND, "watch_in_vain", "leave_lane"},
	{"leave_turn", called_once, FIRST, "leave_lane", "turn_lanes"},
	{"turn_leave", called_once, SECOND, "turn_lanes", "leave_lane"},
	{"join_take", at_the_door, FIRST, "join_lane", "take_posted"},
	{"take_join", at_the_door, SECOND, "take_posted", "join_lane"},
	{"post_drop", hot, FIRST, "post_three", "drop_lane"},
	{"drop_post", hot, SECOND, "drop_lane", "post_three"},
};
const size_t nr_lanes_matches = sizeof(lanes_matches) / sizeof(lanes_matches[0]);

/* --- two that send at once, to THIRD */

static void be_rivals(struct company *company)
{
	for (int i = FIRST; i <= SECOND; i++) {
		company->player[i].peer = THIRD;
		player_draw(&company->player[i], 3);
	}
}

static void rivals(struct company *company, int giver)
{
	(void)giver;
	(void)lanes_cold(company, THIRD);
	be_rivals(company);
}

static void rivals_asleep(struct company *company, int giver)
{
	rivals(company, giver);
	player_doze(&company->player[THIRD], watch_long);
}

static void rivals_in_a_loop(struct company *company, int giver)
{
	(void)giver;
	(void)lanes_hot(company, THIRD);
	loop_for(company, THIRD);
	sleep_in_a_loop(&company->player[THIRD]);
	be_rivals(company);
}

/* @producer does not know of its lane as yet, and has sent. */
static void bring_to_the_door(struct company *company, struct player *third, int producer)
{
	struct player *player = &company->player[producer];

	company_must(!pinion_fanin_add(third->fanin, third->channel[producer], 1,
				       &player->number[FIRST]),
		     "no lane");
	player->file[0] = company->file[LANES_READY].fd;
}

static void rivals_at_the_door(struct company *company, int giver)
{
	struct player *third = receiver_for(company, THIRD);

	(void)giver;
	for (int i = FIRST; i <= SECOND; i++)
		bring_to_the_door(company, third, i);
	(void)rest(third);
	for (int i = FIRST; i <= SECOND; i++) {
		send_some(&company->player[i], THIRD, 1);
		company->player[i].out = 1;
	}
	be_rivals(company);
}

/* FIRST does not know of its lane; SECOND has one. */
static void rival_at_the_door(struct company *company, int giver)
{
	struct player *third = receiver_for(company, THIRD);

	(void)giver;
	bring_to_the_door(company, third, FIRST);
	join_lane(third, &company->player[SECOND], SECOND, THIRD);
	(void)rest(third);
	send_some(&company->player[FIRST], THIRD, 1);
	company->player[FIRST].out = 1;
	be_rivals(company);
}

const struct match rival_matches[] = {
	{"post_post", rivals, FIRST, "post_three", "post_three"},
	{"post_post_asleep", rivals_asleep, FIRST, "post_three", "post_twice"},
	{"post_post_loop", rivals_in_a_loop, FIRST, "post_three", "post_three"},
	{"leave_post_loop", rivals_in_a_loop, FIRST, "leave_lane", "post_three"},
	{"leave_leave_loop", rivals_in_a_loop, FIRST, "leave_lane", "leave_lane"},
};
const size_t nr_rival_matches = sizeof(rival_matches) / sizeof(rival_matches[0]);

const struct match watched_rival_matches[] = {
	{"post_post_watched", rivals, FIRST, "post_three", "post_three"},
	{"post_twice_post", rivals, FIRST, "post_twice", "post_three"},
	{"post_post_twice", rivals, FIRST, "post_three", "post_twice"},
	{"leave_post", rivals, FIRST, "leave_lane", "post_three"},
	{"post_leave", rivals, FIRST, "post_three", "leave_lane"},
	{"join_post", rival_at_the_door, FIRST, "join_lane", "post_three"},
	{"join_join", rivals_at_the_door, FIRST, "join_lane", "join_lane"},
};
const size_t nr_watched_rival_matches =
	sizeof(watched_rival_matches) / sizeof(watched_rival_matches[0]);
