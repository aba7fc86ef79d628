/* SPDX-License-Identifier: BSD-3-Clause */
#include "keeper.h"

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "burial.h"
#include "census.h"
#include "desk.h"
#include "enough.h"
#include "era.h"
#include "link.h"
#include "member.h"
#include "pool_support.h"

#define PATIENCE_NS UINT64_C(60000000000) /* nobody lives that long */

/* --- starts */

static void admit(uint32_t i)
{
	struct seat *seat = seat_at(i);
	const int err = KEEPER_DO(DOING_ADMIT,
				  pinion_pool_admit(keeper.pool, seat->pid, &seat->number));

	if (err)
		desk_problem("admit", err);
	if (!err && test_below(&keeper.random, 16) == 0 &&
	    pinion_pool_quota(keeper.pool, seat->number, keeper.plan->size[0] * 20))
		desk_problem("quota", -EINVAL);
	keeper.pidfd[i] = desk_open_pidfd(seat->pid);
	if (keeper.pidfd[i] < 0)
		desk_problem("pidfd_open", keeper.pidfd[i]);
	/* Before go: a member at work always is in a seat that says so. */
	set_state(i, SEAT_LIVE);
	atomic_store_explicit(&seat->go, seat->life, memory_order_release);
}

static void start(uint32_t i)
{
	/* Local: the child starts late, and the board goes on meanwhile. */
	const uint32_t life = ++keeper.board->next_life;
	struct seat *seat = seat_at(i);
	pid_t pid;

	atomic_store(&seat->go, 0);
	atomic_store(&seat->doing, DOING_NOTHING);
	atomic_store(&seat->shown, 0);
	seat->life = life;
	pid = fork();
	if (pid == 0)
		member_live(keeper.board, i, life, keeper.pool, keeper.plan->size);
	if (pid < 0) {
		desk_problem("fork", -errno);
		return;
	}
	seat->pid = pid;
	admit(i);
}

/* One at a time: in between others die. */
static void fill_a_seat(void)
{
	const uint32_t from = test_below(&keeper.random, SEATS);

	for (uint32_t i = 0; i < SEATS; i++)
		if (state_of((from + i) % SEATS) == SEAT_EMPTY) {
			start((from + i) % SEATS);
			return;
		}
}

static void watch(void)
{
	struct pollfd poll_fds[SEATS];
	const struct timespec most = {0, 100000};

	for (uint32_t i = 0; i < SEATS; i++)
		poll_fds[i] = (struct pollfd){.fd = keeper.pidfd[i], .events = POLLIN};
	(void)ppoll(poll_fds, SEATS, &most, NULL);
	for (uint32_t i = 0; i < SEATS; i++)
		if (poll_fds[i].revents)
			burial_of(i);
	if (test_now_ns() - keeper.last_death > PATIENCE_NS)
		board_problem(keeper.board, "nobody died for a minute");
}

/* --- segments */

static void add_segment(void)
{
	const struct pinion_segment_config config =
		plan_segment(keeper.plan, keeper.board->nodes, &keeper.random);
	uint32_t slot;
	const int err = KEEPER_DO(DOING_GROW, pinion_pool_grow(keeper.pool, &config, &slot));

	keeper.board->tally.grown += !err;
	/* Other programs may have the hugepages; members may not have noticed what went. */
	if (err && err != -ENOSPC && (err != -ENOMEM || keeper.plan->kind == PLAN_SMALL))
		desk_problem("grow", err);
}

static void take_segment(void)
{
	const uint32_t slots = pinion_pool_slots(keeper.pool), base = keeper.plan->nr_base;
	const uint32_t slot = base + test_below(&keeper.random, slots - base);
	struct pinion_segment_stat stat;
	int err;

	if (pinion_pool_segment(keeper.pool, slot, &stat))
		return;
	err = KEEPER_DO(DOING_RETIRE, pinion_pool_retire(keeper.pool, slot));
	keeper.board->tally.retired += !err;
	if (err && err != -EBUSY)
		desk_problem("retire", err);
}

static void change_segments(void)
{
	switch (test_below(&keeper.random, 64)) {
	case 0:
		add_segment();
		break;
	case 1:
	case 2:
	case 3:
		take_segment();
		break;
	}
}

/* --- rests and turns */

static bool anyone_is_seated(void)
{
	for (uint32_t i = 0; i < SEATS; i++)
		if (state_of(i) != SEAT_EMPTY)
			return true;
	return false;
}

static bool strays_are_left(void)
{
	burial_of_strays();
	for (uint32_t m = 0; m < keeper.pool->geometry.nr_members; m++)
		if (m != keeper.pool->member &&
		    atomic_load(&keeper.pool->members[m].state) != MEMBER_FREE)
			return true;
	return false;
}

/* Until all are dead and buried; then the pool must be whole. Every other time they are killed by
 * the keeper, all at once. */
static void rest(void)
{
	const bool massacre = test_below(&keeper.random, 2);

	for (uint32_t i = 0; massacre && i < SEATS; i++)
		if (state_of(i) == SEAT_LIVE)
			kill(seat_at(i)->pid, SIGKILL);
	do {
		watch();
		burial_release_mourned();
	} while ((anyone_is_seated() || strays_are_left()) && !board_has_problem(keeper.board));
	if (board_has_problem(keeper.board))
		return;
	census(keeper.board, keeper.pool);
	ledger_rest(&keeper.ledger);
	keeper.board->tally.rests++;
}

/* pre: watch() has just seen who is dead. */
static void count_living(void)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < SEATS; i++)
		nr += state_of(i) == SEAT_LIVE;
	keeper.board->tally.turns++;
	keeper.board->tally.crowded += nr >= CROWD;
}

static void turn(void)
{
	fill_a_seat();
	watch();
	count_living();
	burial_release_mourned();
	if (link_renew(keeper.board))
		board_problem(keeper.board, "a link could not be made anew");
	change_segments();
	if (keeper.plan->kind == PLAN_MORTAL)
		burial_of_strays();
	if (test_below(&keeper.random, 256) == 0)
		rest();
}

static bool is_fulfilled(void)
{
	return keeper.board->tally.killed >= keeper.plan->until;
}

/* Whoever lives would go on using what the report shows. */
static int stop_at_problem(void)
{
	for (uint32_t i = 0; i < SEATS; i++)
		if (state_of(i) == SEAT_LIVE)
			kill(seat_at(i)->pid, SIGKILL);
	if (keeper.pool)
		ledger_dump(&keeper.ledger);
	return 1;
}

int keeper_run(struct board *board, struct plan *plan)
{
	const int fds = support_fd_count(), maps = pool_maps();

	/* Without its supervisor nobody would hear of what it finds. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	keeper = (struct keeper){.board = board, .plan = plan, .last_death = test_now_ns()};
	/* Another sequence for each keeper of a plan, all from the one seed. */
	keeper.random = (board->seed ^ ++board->next_life * UINT64_C(0xd1342543de82ef95)) | 1;
	(void)test_random(&keeper.random);
	keeper.ledger = (struct ledger){.board = board, .fds = -1};
	for (uint32_t i = 0; i < SEATS; i++)
		keeper.pidfd[i] = -1;
	atomic_store(&board->keeper, getpid());
	plan->config.path = plan->path[0] ? plan->path : NULL;
	if (board->era != ERA_ENDING && era_open()) {
		while (!is_fulfilled() && !board_has_problem(board))
			turn();
		if (!board_has_problem(board))
			rest();
		if (!board_has_problem(board))
			era_close();
	}
	if (board_has_problem(board))
		return stop_at_problem();
	if (support_fd_count() != fds || pool_maps() != maps)
		board_problem(board, "without its pool the keeper has %d descriptors and %d "
			      "mappings; it had %d and %d", support_fd_count(), pool_maps(), fds,
			      maps);
	era_end();
	return board_has_problem(board);
}
