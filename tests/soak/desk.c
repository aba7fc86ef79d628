/* SPDX-License-Identifier: BSD-3-Clause */
#include "desk.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "fuse.h"
#include "pool_support.h"

struct keeper keeper;

void desk_mortal(enum doing what)
{
	const bool everyday =
		what == DOING_ADMIT || what == DOING_RECOVER || what == DOING_RELEASE;
	const uint64_t longest = keeper.board->fuse_ns;

	if (keeper.plan->kind != PLAN_MORTAL ||
	    test_below(&keeper.random, everyday ? MORTALITY : MORTALITY_RARE))
		return;
	if (fuse_light(fuse_length(&keeper.random, everyday ? longest / 2 : longest * 4)))
		board_problem(keeper.board, "no timer for the keeper's fuse");
}

void desk_problem(const char *what, int err)
{
	board_problem(keeper.board, "%s gave the keeper %d: %s", what, err, pinion_error_text());
}

int desk_open_pidfd(pid_t pid)
{
	const int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}
