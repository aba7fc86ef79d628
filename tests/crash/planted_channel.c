/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harness is itself tested: this program's channel was built with PINION_PLANTED_CREDIT, which
 * moves one store (pinion_channel_recv(), channel_recv.c). Each claim here is that the harness
 * noticed it where the store is passed, and only there.
 */

#include <stdint.h>

#include "pin.h"
#include "tap.h"
#include "walk.h"

static void expect(struct pair *pair, const char *name, bool passes)
{
	const struct transfer *transfer = transfer_find(name);
	struct walk walk = {0};

	if (!transfer)
		tap_bail("no transfer is called %s", name);
	walk_run(pair, transfer, true, &walk);
	if (passes)
		tap_result(walk.fault.nr, "%s: noticed in %ju states, first after step %ju: %s",
			   name, (uintmax_t)walk.fault.nr, (uintmax_t)walk.fault.step,
			   walk.fault.problem);
	else
		tap_result(!walk.fault.nr, "%s does not pass it: nothing noticed", name);
	walk_close(&walk);
}

int main(void)
{
	struct pair pair;

	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	pair_open(&pair);
	tap_plan(4);
	expect(&pair, "recv_and_give", true);
	expect(&pair, "recv", false);
	expect(&pair, "recv_nothing", false);
	expect(&pair, "send_four", false);
	pair_close(&pair);
	return tap_status();
}
