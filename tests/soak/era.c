/* SPDX-License-Identifier: BSD-3-Clause */
#include "era.h"

#include <unistd.h>

#include <pinion/named.h>

#include "burial.h"
#include "desk.h"
#include "link.h"
#include "pool_support.h"

/* Seats as an earlier keeper left them. */
static void take_over(uint32_t i)
{
	const bool started = atomic_load(&seat_at(i)->go) == seat_at(i)->life;

	if (state_of(i) == SEAT_LIVE && started && is_admitted(i)) {
		keeper.pidfd[i] = desk_open_pidfd(seat_at(i)->pid);
		keeper.board->tally.adopted_living += keeper.pidfd[i] >= 0;
		if (keeper.pidfd[i] < 0)
			burial_of(i);
	} else if (state_of(i) == SEAT_DEAD && is_admitted(i)) {
		/* Recovery may have been cut short. */
		burial_again(i);
	} else if (state_of(i) != SEAT_EMPTY) {
		/* Adopting has recovered and released it already. */
		keeper.board->tally.killed += state_of(i) == SEAT_LIVE && started;
		link_bury(keeper.board, i);
		set_state(i, SEAT_EMPTY);
	}
}

static void announce(struct courier *courier, uint32_t slot, int fd)
{
	(void)courier;
	atomic_store(&keeper.board->file[slot], fd);
}

static void list_files(void)
{
	struct pinion_pool_fds fds;

	pinion_pool_export(keeper.pool, &fds);
	for (uint32_t i = 0; i < fds.nr_segments; i++)
		atomic_store(&keeper.board->file[i], fds.segment[i]);
}

/* The lock of a keeper that was killed goes when its last fork has dropped its copy. */
static int adopt(void)
{
	const uint64_t until = test_now_ns() + UINT64_C(5000000000);
	struct pinion_adoption adoption;
	int err;

	desk_mortal(DOING_ADOPT);
	for (;;) {
		err = WHILE_DOING(&keeper.board->keeper_doing, DOING_ADOPT,
				  pinion_pool_adopt(keeper.plan->path, &keeper.pool, &adoption));
		if (err != -EBUSY || test_now_ns() > until)
			break;
		usleep(100);
	}
	if (!err)
		keeper.board->tally.returned += adoption.recovery.returned;
	return err;
}

static int unlink_pool(void)
{
	const int err = KEEPER_DO(DOING_UNLINK, pinion_pool_unlink(keeper.plan->path));

	return err == -ENOENT ? 0 : err;
}

static int create(void)
{
	return KEEPER_DO(DOING_CREATE, pinion_pool_create(&keeper.plan->config, &keeper.pool));
}

/* A keeper before us may have been killed at any point of this. */
static int make_pool(void)
{
	int err = keeper.plan->kind == PLAN_MORTAL ? adopt() : -ENOENT;

	if (err == -EPROTO)
		err = unlink_pool() ? -EPROTO : -ENOENT;
	return err == -ENOENT ? create() : err;
}

bool era_open(void)
{
	const bool is_new = keeper.board->era == ERA_MAKING;
	const int err = is_new ? make_pool() : adopt();

	if (err) {
		desk_problem(is_new ? "making the pool" : "adopt", err);
		return false;
	}
	keeper.board->era = ERA_MADE;
	keeper.ledger.pool = keeper.pool;
	keeper.courier.announce = announce;
	LIST_INSERT_HEAD(&keeper.pool->couriers, &keeper.courier, link);
	list_files();
	for (uint32_t i = 0; i < SEATS; i++)
		take_over(i);
	return true;
}

void era_close(void)
{
	keeper.board->era = ERA_ENDING;
	LIST_REMOVE(&keeper.courier, link);
	if (pinion_pool_destroy(keeper.pool))
		board_problem(keeper.board, "destroy failed: %s", pinion_error_text());
	keeper.pool = NULL;
}

void era_end(void)
{
	const int err = keeper.plan->path[0] ? unlink_pool() : 0;

	if (err)
		desk_problem("unlink", err);
	keeper.board->era = ERA_OVER;
}
