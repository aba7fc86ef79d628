/* SPDX-License-Identifier: BSD-3-Clause */
/* What is stepped of a broadcast. */
#include "parts.h"

#include <errno.h>
#include <poll.h>

#include <pinion/cache.h>

#include "broadcast_support.h"
#include "match.h"
#include "ring.h"

_Static_assert(sizeof(struct ring_shared) + SLOTS * sizeof(struct pinion_slot) <= COMPANY_BYTES,
	       "a ring is copied whole");

/* So far into the ring that a batch of four wraps. */
#define NEAR_THE_END (SLOTS - 2)

/* What is in a buffer that FIRST is lent, and what others write into it later. */
#define ITS_OWN 1u
#define A_LATER 2u

#define ONE_MS UINT64_C(1000000)
#define A_MINUTE UINT64_C(60000000000)

/* --- FIRST's operations */

static int start(struct player *first)
{
	return pinion_broadcast_open(first->pool, first->file[0], &first->broadcast);
}

static int admit(struct player *first)
{
	return pinion_broadcast_admit(first->broadcast, first->file[1], &first->number[THIRD]);
}

static int lend(struct player *first)
{
	return pinion_broadcast_send(first->broadcast, first->desc, first->nr);
}

static int collect(struct player *first)
{
	struct pinion_buffer buffer[SLOTS];

	return pinion_broadcast_collect(first->broadcast, buffer, SLOTS);
}

static int sever(struct player *first)
{
	return pinion_broadcast_sever(first->broadcast, first->number[first->peer]);
}

static int end(struct player *first)
{
	pinion_broadcast_end(first->broadcast);
	return 0;
}

static int stop(struct player *first)
{
	const int err = pinion_broadcast_close(first->broadcast);

	first->broadcast = NULL;
	return err;
}

/* As the keeper of a producer that is dead. */
static int tell_orphan(struct player *first)
{
	return pinion_broadcast_orphan(first->file[1]);
}

static int join(struct player *first)
{
	return pinion_broadcast_join(first->pool, first->file[0], first->file[1],
				     (uint32_t)first->peer + 1, &first->seat);
}

static int borrow(struct player *first)
{
	return pinion_broadcast_recv(first->seat, first->desc, first->nr);
}

static int give_back(struct player *first)
{
	return pinion_broadcast_return(first->seat, first->nr);
}

static uint32_t *content(const struct player *player, struct pinion_buffer buffer)
{
	return pinion_buffer_addr(player->pool, buffer);
}

/* Borrows, reads and returns: how many. -EBADMSG: it is told that all is well, and read another's.
 */
static int read_all(struct player *first)
{
	const int nr = borrow(first);
	bool own = true;
	int err;

	for (int i = 0; i < nr; i++)
		own &= *content(first, first->desc[i].buffer) == ITS_OWN &&
		       first->desc[i].tag == (uint32_t)i;
	if (nr < 0)
		return nr;
	err = pinion_broadcast_return(first->seat, (uint32_t)nr);
	if (err)
		return err;
	return own ? nr : -EBADMSG;
}

static int leave(struct player *first)
{
	const int err = pinion_broadcast_leave(first->seat);

	first->seat = NULL;
	return err;
}

static int wait_shortly(struct player *first)
{
	return pinion_broadcast_wait(first->seat, ONE_MS);
}

static int wait_long(struct player *first)
{
	return pinion_broadcast_wait(first->seat, A_MINUTE);
}

static int loop_prepare(struct player *first)
{
	return pinion_broadcast_prepare(first->seat);
}

/* From one sleep of a loop to the next. */
static int loop_turn(struct player *first)
{
	const int err = pinion_broadcast_done(first->seat);

	return err ? err : pinion_broadcast_prepare(first->seat);
}

static int set_notify(struct player *first)
{
	return pinion_broadcast_set_notify(first->broadcast, first->number[first->peer],
					   first->file[0]);
}

/* --- how all come there */

/* @producer's ring is there, and not opened. */
static struct player *ring_for(struct company *company, int producer)
{
	struct player *player = &company->player[producer];
	int fd = -1;

	company_must(!broadcast_begin(SLOTS, &fd), "no broadcast");
	company_file(company, LENDING_RING, fd);
	player->file[0] = fd;
	return player;
}

static int seat_for(struct company *company, int consumer)
{
	int fd = -1;

	company_must(!pinion_broadcast_create_seat(&fd), "no seat");
	company_file(company, LENDING_SEAT + consumer, fd);
	return fd;
}

static void let_in(struct company *company, struct player *producer, int consumer)
{
	company_must(!pinion_broadcast_admit(producer->broadcast, seat_for(company, consumer),
					     &producer->number[consumer]),
		     "a consumer is not admitted");
}

static void seat(struct company *company, struct player *producer, int consumer)
{
	struct player *player = &company->player[consumer];

	let_in(company, producer, consumer);
	company_must(!pinion_broadcast_join(player->pool, company->file[LENDING_RING].fd,
					    company->file[LENDING_SEAT + consumer].fd,
					    producer->member, &player->seat),
		     "a consumer does not join");
}

/* With the others as its consumers. */
static struct player *producer_for(struct company *company, int producer)
{
	struct player *player = ring_for(company, producer);

	company_must(!pinion_broadcast_open(player->pool, player->file[0], &player->broadcast),
		     "no producer");
	return player;
}

static struct player *lender(struct company *company, int producer)
{
	struct player *player = producer_for(company, producer);

	for (int i = 0; i < PLAYERS; i++)
		if (i != producer)
			seat(company, player, i);
	return player;
}

static void lend_some(struct company *company, struct player *producer, uint32_t nr)
{
	player_draw(producer, nr);
	company_must(lend(producer) == (int)nr, "a batch is not lent");
	producer->out += nr;
	for (int i = 0; i < PLAYERS; i++)
		if (company->player[i].seat)
			company->player[i].due += nr;
}

/* What desc[] has is what it was lent. */
static void borrow_some(struct player *player, uint32_t nr)
{
	company_must(pinion_broadcast_recv(player->seat, &player->desc[player->nr], nr) == (int)nr,
		     "a batch does not come");
	player->nr += nr;
	player->due -= nr;
}

static void borrow_and_return(struct player *player)
{
	if (player->due)
		borrow_some(player, player->due);
	company_must(!give_back(player), "loans are not taken back");
	player->nr = 0;
}

static void collect_all(struct player *producer)
{
	struct pinion_buffer buffer[SLOTS];
	const int nr = pinion_broadcast_collect(producer->broadcast, buffer, SLOTS);

	company_must(nr == (int)producer->out, "what was lent is not back");
	for (int i = 0; i < nr; i++)
		company_must(!pinion_buffer_free(producer->cache, buffer[i]), "cannot free");
	producer->out = 0;
}

/* @nr have gone round. */
static struct player *lender_at(struct company *company, int producer, uint32_t nr)
{
	struct player *player = lender(company, producer);

	lend_some(company, player, nr);
	for (int i = 0; i < PLAYERS; i++)
		if (i != producer)
			borrow_and_return(&company->player[i]);
	collect_all(player);
	return player;
}

static void to_open(struct company *company)
{
	(void)ring_for(company, FIRST);
}

static void to_admit(struct company *company)
{
	struct player *first = producer_for(company, FIRST);

	seat(company, first, SECOND);
	lend_some(company, first, 2);
	first->file[1] = seat_for(company, THIRD);
}

static void to_lend(struct company *company)
{
	player_draw(lender_at(company, FIRST, 5), 1);
}

static void to_lend_four(struct company *company)
{
	player_draw(lender_at(company, FIRST, NEAR_THE_END), 4);
}

/* SECOND has loans, THIRD did not take its own. */
static struct player *lender_behind(struct company *company)
{
	struct player *first = lender_at(company, FIRST, 3);

	lend_some(company, first, 2);
	borrow_some(&company->player[SECOND], 2);
	return first;
}

static void to_lend_behind(struct company *company)
{
	player_draw(lender_behind(company), 4);
}

static void to_lend_full(struct company *company)
{
	struct player *first = lender_at(company, FIRST, 3);

	lend_some(company, first, SLOTS);
	player_draw(first, 1);
}

static void to_lend_to_nobody(struct company *company)
{
	player_draw(producer_for(company, FIRST), 1);
}

static void to_wake(struct company *company)
{
	to_lend(company);
	player_doze(&company->player[SECOND], wait_long);
}

/* One is back from both, two from SECOND. */
static void to_collect(struct company *company)
{
	struct player *first = lender_at(company, FIRST, 3);

	lend_some(company, first, 1);
	borrow_and_return(&company->player[THIRD]);
	lend_some(company, first, 1);
	borrow_and_return(&company->player[SECOND]);
}

static void to_end(struct company *company)
{
	(void)lender_behind(company);
}

static void to_orphan(struct company *company)
{
	lender_behind(company)->file[1] = company->file[LENDING_SEAT + SECOND].fd;
}

static void to_end_a_sleep(struct company *company)
{
	(void)lender_at(company, FIRST, 3);
	player_doze(&company->player[SECOND], wait_long);
}

/* FIRST is behind, THIRD is not. */
static void to_borrow(struct company *company)
{
	lend_some(company, lender_at(company, SECOND, 4), 3);
	borrow_and_return(&company->player[THIRD]);
	company->player[FIRST].nr = 1;
}

static void to_borrow_four(struct company *company)
{
	lend_some(company, lender_at(company, SECOND, NEAR_THE_END), 4);
	borrow_and_return(&company->player[THIRD]);
	company->player[FIRST].nr = 4;
}

static void to_borrow_nothing(struct company *company)
{
	(void)lender_at(company, SECOND, 4);
	company->player[FIRST].nr = 1;
}

/* So often that it will tell its producer to leave out the fence. */
static void to_borrow_idly(struct company *company)
{
	const struct bell_ear *ear;

	to_borrow_nothing(company);
	ear = &company->player[FIRST].seat->ear;
	while (ear->awake + BELL_EMPTY < BELL_AWAKE_MAX)
		(void)borrow(&company->player[FIRST]);
}

static void to_borrow_the_end(struct company *company)
{
	pinion_broadcast_end(lender_at(company, SECOND, 4)->broadcast);
	company->player[FIRST].nr = 1;
}

/* Of four it has had, two. */
static void to_return(struct company *company)
{
	to_borrow_four(company);
	company->player[FIRST].nr = 0;
	borrow_some(&company->player[FIRST], 4);
	company->player[FIRST].nr = 2;
}

static void fill(const struct player *player, struct pinion_buffer buffer, uint32_t with)
{
	*content(player, buffer) = with;
}

static void to_read(struct company *company)
{
	struct player *second = &company->player[SECOND];

	to_borrow(company);
	for (uint32_t i = 0; i < second->out; i++)
		fill(second, second->desc[i].buffer, ITS_OWN);
	company->player[FIRST].nr = second->out;
}

static void to_join(struct company *company)
{
	struct player *second = producer_for(company, SECOND);

	seat(company, second, THIRD);
	let_in(company, second, FIRST);
	lend_some(company, second, 3);
	borrow_and_return(&company->player[THIRD]);
	company->player[FIRST].file[0] = company->file[LENDING_RING].fd;
	company->player[FIRST].file[1] = company->file[LENDING_SEAT + FIRST].fd;
}

/* --- a loop, and whom it waits for */

/* @producer strikes where @consumer's loop waits. */
static void loop_for(struct company *company, int producer, int consumer)
{
	struct player *player = &company->player[producer];
	const int fd = pinion_broadcast_notify_fd(company->player[consumer].seat);

	company_must(fd >= 0 && !pinion_broadcast_set_notify(player->broadcast,
							     player->number[consumer], fd),
		     "no descriptor for a loop");
}

static void sleep_in_a_loop(struct player *player)
{
	company_must(!pinion_broadcast_prepare(player->seat), "a loop does not go to sleep");
}

static bool is_called(const struct player *player)
{
	struct pollfd loop = {.fd = pinion_broadcast_fd(player->seat), .events = POLLIN};

	return poll(&loop, 1, 0) > 0;
}

static void to_prepare(struct company *company)
{
	(void)lender_at(company, SECOND, 4);
	loop_for(company, SECOND, FIRST);
}

static void to_prepare_for_nothing(struct company *company)
{
	to_prepare(company);
	lend_some(company, &company->player[SECOND], 1);
	borrow_and_return(&company->player[THIRD]);
}

/* Called once; what it was called for is back. */
static void to_turn(struct company *company)
{
	to_prepare(company);
	sleep_in_a_loop(&company->player[FIRST]);
	lend_some(company, &company->player[SECOND], 1);
	borrow_and_return(&company->player[FIRST]);
	borrow_and_return(&company->player[THIRD]);
	collect_all(&company->player[SECOND]);
}

static void to_call(struct company *company)
{
	to_lend(company);
	loop_for(company, FIRST, SECOND);
	sleep_in_a_loop(&company->player[SECOND]);
}

static void to_call_with_four(struct company *company)
{
	to_lend_four(company);
	loop_for(company, FIRST, SECOND);
	sleep_in_a_loop(&company->player[SECOND]);
}

/* It was lent something before its producer knew how to call it. */
static void to_set_notify(struct company *company)
{
	struct player *first = lender_at(company, FIRST, 5);

	first->file[0] = pinion_broadcast_notify_fd(company->player[SECOND].seat);
	sleep_in_a_loop(&company->player[SECOND]);
	lend_some(company, first, 1);
}

/* --- what the others do meanwhile */

static void lend_one(struct company *company)
{
	lend_some(company, &company->player[SECOND], 1);
	borrow_and_return(&company->player[THIRD]);
}

static void borrow_what_is_there(struct company *company)
{
	for (int i = SECOND; i < PLAYERS; i++) {
		struct player *player = &company->player[i];
		int nr;

		nr = pinion_broadcast_recv(player->seat, player->desc, SLOTS);
		player->nr = nr > 0 ? (uint32_t)nr : 0;
		(void)give_back(player);
	}
}

/* The rest of the batch, or if there was nothing as yet all of it. */
static const char *all_came(struct company *company, int result)
{
	for (int i = SECOND; i < PLAYERS; i++) {
		struct player *player = &company->player[i];
		const int rest = (int)player->due + result - (int)player->nr;
		const int nr = pinion_broadcast_recv(player->seat, player->desc, SLOTS);

		if (rest ? nr != rest : nr != -EAGAIN)
			return "a part of what was lent did not come, or came twice";
	}
	return NULL;
}

static const char *woke(struct company *company, int result)
{
	(void)company;
	return result ? "who waits was not told of what was lent" : NULL;
}

/* It may sleep on when it is called, or was told not to sleep. */
static const char *loop_hears(struct company *company, int result)
{
	return result || is_called(&company->player[FIRST])
		       ? NULL
		       : "a loop sleeps on, and something was lent to it";
}

static void sleep_on(struct company *company)
{
	(void)company;
}

static const char *loop_is_called(struct company *company, int result)
{
	(void)result;
	return is_called(&company->player[SECOND]) ? NULL : "a loop was not called";
}

/* Woken, for whatever reason: until it may sleep again. */
static void take_a_turn(struct company *company)
{
	struct player *second = &company->player[SECOND];

	second->nr = 0;
	company_must(!pinion_broadcast_done(second->seat), "a loop cannot be done with");
	do {
		const int nr = pinion_broadcast_recv(second->seat, second->desc, SLOTS);

		second->nr += nr > 0 ? (uint32_t)nr : 0;
	} while (pinion_broadcast_prepare(second->seat) == 1);
}

static const char *rest_is_told(struct company *company, int result)
{
	struct player *second = &company->player[SECOND];
	const int rest = result - (int)second->nr;

	if (rest && !is_called(second))
		return "a loop was not called for what came after it had looked";
	if (rest && pinion_broadcast_recv(second->seat, second->desc, SLOTS) != rest)
		return "a part of what was lent did not come, or came twice";
	return NULL;
}

/* SECOND has cast FIRST out: all is back, from FIRST too. */
static uint32_t cast_out(struct company *company, struct pinion_buffer *buffer)
{
	struct player *second = &company->player[SECOND];
	int nr;

	company_must(!pinion_broadcast_sever(second->broadcast, second->number[FIRST]),
		     "a consumer is not severed");
	nr = pinion_broadcast_collect(second->broadcast, buffer, SLOTS);
	company_must(nr == (int)second->out, "what was lent is not back");
	second->out = 0;
	return (uint32_t)nr;
}

/* ... and goes to another, who fills it. */
static void cast_out_and_free(struct company *company)
{
	struct player *second = &company->player[SECOND], *third = &company->player[THIRD];
	struct pinion_buffer buffer[SLOTS];
	const uint32_t nr = cast_out(company, buffer);

	for (uint32_t i = 0; i < nr; i++)
		company_must(!pinion_buffer_free(second->cache, buffer[i]), "cannot free");
	for (uint32_t i = 0; i < nr; i++)
		fill(second, buffer[i], A_LATER);
	player_draw(third, nr);
}

/* ... and is lent again under the same handles, until the slots say what they said to FIRST, and
 * where it looks next there is something too. */
static void cast_out_and_lend(struct company *company)
{
	struct player *second = &company->player[SECOND], *third = &company->player[THIRD];
	struct pinion_buffer buffer[SLOTS];
	const uint32_t nr = cast_out(company, buffer);

	for (uint32_t sent = 0; sent < 2 * SLOTS + 1; sent++) {
		struct pinion_desc desc = {buffer[sent % nr], sizeof(uint32_t), 1000 + sent};

		fill(second, desc.buffer, A_LATER);
		company_must(pinion_broadcast_send(second->broadcast, &desc, 1) == 1 &&
				     pinion_broadcast_recv(third->seat, third->desc, 1) == 1 &&
				     !pinion_broadcast_return(third->seat, 1) &&
				     pinion_broadcast_collect(second->broadcast, &desc.buffer, 1) ==
					     1,
			     "a loan does not go round");
	}
}

/* All of it was its own, or it is told that it may not be. */
static const char *read_its_own(struct company *company, int result)
{
	if (result == -EBADMSG)
		return "who was severed takes a later loan for its own";
	return result == -EPIPE || result == (int)company->player[FIRST].nr
		       ? NULL
		       : "who was severed neither has its loans nor is told";
}

/* --- asleep when FIRST dies */

/* It hears that nothing more will come. */
static int sleep_to_the_end(struct player *second)
{
	const int err = wait_long(second);
	int nr;

	while (!err && (nr = pinion_broadcast_recv(second->seat, second->desc, 1)) != -EPIPE)
		if (nr != 1 && (nr != -EAGAIN || wait_long(second)))
			return 1;
	return err;
}

static void orphan(struct company *company)
{
	company_must(!pinion_broadcast_orphan(company->file[LENDING_SEAT + SECOND].fd),
		     "a consumer is not told that its producer died");
}

#define PRODUCER .fates = lending_of_producer, .rest = lending_rest
#define MEETS .meanwhile = borrow_what_is_there, .afterwards = all_came
#define CONSUMER .fates = lending_of_consumer, .rest = lending_rest
#define SLEEPS_ON .meanwhile = sleep_on, .afterwards = loop_is_called
#define HEARS .meanwhile = lend_one, .afterwards = loop_hears, .is_called = is_called

/* What might come of a borrower is looked at in others, and would scrub what is read here. */
static const struct fate no_fates[] = {{0}};

#define CAST_OUT                                                                            \
	.fates = no_fates, .rest = lending_rest, .afterwards = read_its_own, .often = true, \
	.severed = true

const struct part lending_parts[] = {
	{"open", to_open, start, .result = 0, PRODUCER},
	{"admit", to_admit, admit, .result = 0, PRODUCER},
	{"lend", to_lend, lend, .result = 1, .batch = 1, PRODUCER, MEETS},
	{"lend_four", to_lend_four, lend, .result = 4, .batch = 4, PRODUCER, MEETS},
	{"lend_behind", to_lend_behind, lend, .result = 4, .batch = 4, PRODUCER},
	{"lend_full", to_lend_full, lend, .result = -EAGAIN, PRODUCER},
	{"lend_to_nobody", to_lend_to_nobody, lend, .result = 1, PRODUCER},
	{"wake", to_wake, lend, .result = 1, .batch = 1, .sleep = sleep_to_the_end, .rouse = orphan,
	 PRODUCER},
	{"collect", to_collect, collect, .takes = true, .result = 1, PRODUCER},
	{"sever", to_end, sever, .result = 0, .severs = true, PRODUCER},
	{"end", to_end, end, .result = 0, .ends = true, PRODUCER},
	{"end_a_sleep", to_end_a_sleep, end, .result = 0, .ends = true, .sleep = sleep_to_the_end,
	 .rouse = orphan, PRODUCER},
	{"orphan", to_orphan, tell_orphan, .result = 0, .ends = true, PRODUCER},
	{"stop", to_end, stop, .result = 0, .ends = true, PRODUCER},
	{"call", to_call, lend, .result = 1, .batch = 1, PRODUCER, SLEEPS_ON},
	{"call_with_four", to_call_with_four, lend, .result = 4, .batch = 4, PRODUCER,
	 .meanwhile = take_a_turn, .afterwards = rest_is_told},
	{"call_to_the_end", to_call, end, .result = 0, .ends = true, PRODUCER, SLEEPS_ON},
	{"call_out", to_call, sever, .result = 0, .severs = true, PRODUCER, SLEEPS_ON},
	{"set_notify", to_set_notify, set_notify, .result = 0, PRODUCER, SLEEPS_ON},
	{"join", to_join, join, .result = 0, CONSUMER},
	{"borrow", to_borrow, borrow, .takes = true, .result = 1, CONSUMER},
	{"borrow_four", to_borrow_four, borrow, .takes = true, .result = 4, CONSUMER},
	{"borrow_nothing", to_borrow_nothing, borrow, .result = -EAGAIN, CONSUMER},
	{"borrow_idly", to_borrow_idly, borrow, .result = -EAGAIN, CONSUMER},
	{"borrow_the_end", to_borrow_the_end, borrow, .result = -EPIPE, .ends = true, CONSUMER},
	{"return", to_return, give_back, .result = 0, .returns = 2, CONSUMER},
	{"read_and_be_freed", to_read, read_all, .result = 3, .meanwhile = cast_out_and_free,
	 CAST_OUT},
	{"read_and_be_lent", to_read, read_all, .result = 3, .meanwhile = cast_out_and_lend,
	 CAST_OUT},
	{"leave", to_return, leave, .result = 0, .returns = 4, .ends = true, CONSUMER},
	{"await", to_borrow, wait_shortly, .result = 0, CONSUMER},
	{"await_in_vain", to_borrow_nothing, wait_shortly, .result = -ETIMEDOUT,
	 .from = (const void *)bell_arm, CONSUMER},
	{"await_woken", to_borrow_nothing, wait_long, .result = 0, .wake = lend_one,
	 .from = (const void *)bell_arm, .meanwhile = lend_one, .afterwards = woke, CONSUMER},
	{"prepare", to_prepare, loop_prepare, .result = 0, CONSUMER, HEARS, .often = true},
	{"prepare_for_nothing", to_prepare_for_nothing, loop_prepare, .result = 1, CONSUMER},
	{"turn", to_turn, loop_turn, .result = 0, CONSUMER, HEARS},
};
const size_t nr_lending_parts = sizeof(lending_parts) / sizeof(lending_parts[0]);

/* --- two at once */

/* The taker has loans, and more to borrow. */
static void at_work(struct company *company, int giver)
{
	struct player *player = lender_at(company, giver, NEAR_THE_END - 2);

	lend_some(company, player, 2);
	borrow_some(&company->player[company_other(giver)], 2);
	lend_some(company, player, 1);
	player_draw(player, 4);
}

/* Its producer is dead; the keeper says so, in its place. */
static void bereft(struct company *company, int giver)
{
	at_work(company, giver);
	company->player[giver].file[1] = company->file[LENDING_SEAT + company_other(giver)].fd;
}

/* It depends on the taker alone what comes back. */
static void at_work_alone(struct company *company, int giver)
{
	at_work(company, giver);
	borrow_and_return(&company->player[THIRD]);
}

/* The taker has nothing to do. */
static void at_rest(struct company *company, int giver)
{
	player_draw(lender_at(company, giver, NEAR_THE_END), 4);
	company->player[company_other(giver)].nr = 2;
}

static void bereft_at_rest(struct company *company, int giver)
{
	at_rest(company, giver);
	company->player[giver].file[1] = company->file[LENDING_SEAT + company_other(giver)].fd;
}

static void in_a_loop(struct company *company, int giver)
{
	at_rest(company, giver);
	loop_for(company, giver, company_other(giver));
}

/* Called once; what it was called for is back. */
static void called_once(struct company *company, int giver)
{
	struct player *player = lender_at(company, giver, NEAR_THE_END - 1);

	loop_for(company, giver, company_other(giver));
	sleep_in_a_loop(&company->player[company_other(giver)]);
	lend_some(company, player, 1);
	borrow_and_return(&company->player[company_other(giver)]);
	borrow_and_return(&company->player[THIRD]);
	collect_all(player);
	player_draw(player, 4);
}

/* The taker was admitted and has not joined; what was lent before it did is its due. */
static void at_the_door(struct company *company, int giver)
{
	struct player *player = producer_for(company, giver);
	struct player *taker = &company->player[company_other(giver)];

	seat(company, player, THIRD);
	let_in(company, player, company_other(giver));
	lend_some(company, player, 3);
	taker->due = 3;
	taker->file[0] = company->file[LENDING_RING].fd;
	taker->file[1] = company->file[LENDING_SEAT + company_other(giver)].fd;
	player_draw(player, 4);
}

const struct match lending_matches[] = {
	{"lend_borrow", at_work, FIRST, "lend_four", "borrow"},
	{"borrow_lend", at_work, SECOND, "borrow", "lend_four"},
	{"lend_return", at_work, FIRST, "lend_four", "return"},
	{"return_lend", at_work, SECOND, "return", "lend_four"},
	{"lend_leave", at_work, FIRST, "lend_four", "leave"},
	{"leave_lend", at_work, SECOND, "leave", "lend_four"},
	{"lend_join", at_the_door, FIRST, "lend_four", "join"},
	{"join_lend", at_the_door, SECOND, "join", "lend_four"},
	{"lend_await", at_rest, FIRST, "lend_four", "await_woken"},
	{"await_lend", at_rest, SECOND, "await_woken", "lend_four"},
	{"lend_prepare", in_a_loop, FIRST, "lend_four", "prepare"},
	{"prepare_lend", in_a_loop, SECOND, "prepare", "lend_four"},
	{"lend_turn", called_once, FIRST, "lend_four", "turn"},
	{"turn_lend", called_once, SECOND, "turn", "lend_four"},
	{"collect_return", at_work_alone, FIRST, "collect", "return"},
	{"return_collect", at_work_alone, SECOND, "return", "collect"},
	{"collect_leave", at_work_alone, FIRST, "collect", "leave"},
	{"leave_collect", at_work_alone, SECOND, "leave", "collect"},
	{"sever_borrow", at_work, FIRST, "sever", "borrow"},
	{"borrow_sever", at_work, SECOND, "borrow", "sever"},
	{"sever_return", at_work, FIRST, "sever", "return"},
	{"return_sever", at_work, SECOND, "return", "sever"},
	{"sever_leave", at_work, FIRST, "sever", "leave"},
	{"leave_sever", at_work, SECOND, "leave", "sever"},
	{"sever_await", at_rest, FIRST, "sever", "await_woken"},
	{"await_sever", at_rest, SECOND, "await_woken", "sever"},
	{"sever_turn", called_once, FIRST, "sever", "turn"},
	{"turn_sever", called_once, SECOND, "turn", "sever"},
	{"end_borrow", at_work, FIRST, "end", "borrow"},
	{"borrow_end", at_work, SECOND, "borrow", "end"},
	{"end_await", at_rest, FIRST, "end", "await_woken"},
	{"await_end", at_rest, SECOND, "await_woken", "end"},
	{"end_turn", called_once, FIRST, "end", "turn"},
	{"turn_end", called_once, SECOND, "turn", "end"},
	{"orphan_borrow", bereft, FIRST, "orphan", "borrow"},
	{"borrow_orphan", bereft, SECOND, "borrow", "orphan"},
	{"orphan_return", bereft, FIRST, "orphan", "return"},
	{"return_orphan", bereft, SECOND, "return", "orphan"},
	{"orphan_leave", bereft, FIRST, "orphan", "leave"},
	{"leave_orphan", bereft, SECOND, "leave", "orphan"},
	{"orphan_await", bereft_at_rest, FIRST, "orphan", "await_woken"},
	{"await_orphan", bereft_at_rest, SECOND, "await_woken", "orphan"},
	{"stop_return", at_work, FIRST, "stop", "return"},
	{"return_stop", at_work, SECOND, "return", "stop"},
};
const size_t nr_lending_matches = sizeof(lending_matches) / sizeof(lending_matches[0]);
