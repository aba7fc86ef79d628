/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A crash at every instruction of every operation of a channel, of requests over it, and of a ring
 * by itself.
 *
 *     channel                   all of them
 *     channel TRANSFER          one
 *     channel TRANSFER STEP     a real kill after that step, as a report names it
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "pin.h"
#include "tap.h"
#include "walk.h"

/* How to have it again. */
static void tell(const struct transfer *transfer, const struct fault *fault)
{
	char again[128];

	snprintf(again, sizeof(again), "%s %ju", transfer->name, (uintmax_t)fault->step);
	fault_tell(fault, again);
}

static void crash_transfer(struct pair *pair, const struct transfer *transfer)
{
	struct walk walk = {0};
	struct fault fault = {0};
	uint64_t kills;

	walk_run(pair, transfer, true, &walk);
	kills = walk_kill(pair, transfer, &walk, &fault);
	tell(transfer, &walk.fault);
	tell(transfer, &fault);
	tap_result(!walk.fault.nr && !fault.nr,
		   "%s: %ju points, %ju states, %ju wrong; %ju kills, %ju wrong", transfer->name,
		   (uintmax_t)walk.points, (uintmax_t)walk.tracks.nr, (uintmax_t)walk.fault.nr,
		   (uintmax_t)kills, (uintmax_t)fault.nr);
	walk_close(&walk);
}

static void crash_once(struct pair *pair, const struct transfer *transfer, uint64_t step)
{
	struct fault fault = {0};

	walk_kill_at(pair, transfer, step, &fault);
	tell(transfer, &fault);
	tap_result(!fault.nr, "%s, killed after step %ju", transfer->name, (uintmax_t)step);
}

int main(int argc, char **argv)
{
	const struct transfer *transfer = argc > 1 ? transfer_find(argv[1]) : NULL;
	struct pair pair;

	if (argc > 1 && !transfer)
		tap_bail("no transfer is called %s", argv[1]);
	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	pair_open(&pair);
	tap_plan(transfer ? 1 : (int)nr_transfers);
	if (argc > 2)
		crash_once(&pair, transfer, strtoull(argv[2], NULL, 0));
	for (size_t i = 0; argc <= 2 && i < nr_transfers; i++)
		if (!transfer || transfer == &transfers[i])
			crash_transfer(&pair, &transfers[i]);
	pair_close(&pair);
	return tap_status();
}
