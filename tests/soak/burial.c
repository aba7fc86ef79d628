/* SPDX-License-Identifier: BSD-3-Clause */
#include "burial.h"

#include <unistd.h>

#include "desk.h"
#include "link.h"
#include "pool_support.h"
#include "process.h"

static void close_pidfd(uint32_t i)
{
	if (keeper.pidfd[i] >= 0)
		close(keeper.pidfd[i]);
	keeper.pidfd[i] = -1;
}

static uint32_t gather_transit(struct pinion_buffer *buffer)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < SEATS; i++) {
		int more;

		if (state_of(i) != SEAT_DEAD)
			continue;
		more = link_published(keeper.board, keeper.pool, i, &buffer[nr]);
		if (more < 0)
			desk_problem("channel_open", more);
		else
			nr += (uint32_t)more;
	}
	return nr;
}

static void recover(uint32_t number)
{
	struct pinion_buffer transit[SEATS * 2 * LINK_SLOTS];
	const uint32_t nr = gather_transit(transit);
	struct pinion_recovery report = {0};
	int err;

	ledger_before(&keeper.ledger, number);
	err = KEEPER_DO(DOING_RECOVER,
			pinion_pool_recover(keeper.pool, number, transit, nr, &report));
	if (err)
		desk_problem("recover", err);
	ledger_recovered(&keeper.ledger, number, &report, nr);
	keeper.board->tally.returned += report.returned;
	keeper.board->tally.transit += report.transit;
	keeper.board->tally.magazines += report.magazines;
}

static void release(uint32_t number)
{
	struct pinion_recovery report = {0};
	int err;

	ledger_before(&keeper.ledger, number);
	err = KEEPER_DO(DOING_RELEASE, pinion_pool_release(keeper.pool, number, &report));
	if (err)
		desk_problem("release", err);
	ledger_released(&keeper.ledger, number, &report);
	keeper.board->tally.returned += report.returned;
}

/* The end of one of our children; those of an earlier keeper are the supervisor's to collect. */
static void count_death(uint32_t i)
{
	const uint32_t doing = atomic_load(&seat_at(i)->doing);
	int status = 0;

	if (waitpid(seat_at(i)->pid, &status, 0) == seat_at(i)->pid && WIFEXITED(status)) {
		keeper.board->tally.left++;
		return;
	}
	if (status && WTERMSIG(status) != SIGKILL)
		board_problem(keeper.board, "life %u (seat %u) ended by signal %d while doing %s",
			      seat_at(i)->life, i, WTERMSIG(status), doing_name(doing));
	keeper.board->tally.killed++;
	keeper.board->tally.killed_in[doing < DOING_NR ? doing : 0]++;
}

void burial_again(uint32_t i)
{
	recover(seat_at(i)->number);
	link_bury(keeper.board, i);
}

void burial_of(uint32_t i)
{
	keeper.last_death = test_now_ns();
	close_pidfd(i);
	count_death(i);
	/* From here on it is nobody's consumer: what others had sent it is in transit no more. */
	set_state(i, SEAT_DEAD);
	burial_again(i);
}

void burial_release_mourned(void)
{
	for (uint32_t i = 0; i < SEATS; i++) {
		if (state_of(i) != SEAT_DEAD || !link_drained(keeper.board, i))
			continue;
		if (is_admitted(i))
			release(seat_at(i)->number);
		set_state(i, SEAT_EMPTY);
	}
}

static bool is_seated(uint32_t number)
{
	for (uint32_t i = 0; i < SEATS; i++)
		if (state_of(i) != SEAT_EMPTY && seat_at(i)->number == number && is_admitted(i))
			return true;
	return false;
}

void burial_of_strays(void)
{
	for (uint32_t m = 0; m < keeper.pool->geometry.nr_members; m++) {
		const struct control_member *slot = &keeper.pool->members[m];

		if (m == keeper.pool->member || atomic_load(&slot->state) == MEMBER_FREE ||
		    is_seated(m) || process_lives(slot->pid, slot->started))
			continue;
		recover(m);
		release(m);
	}
}
