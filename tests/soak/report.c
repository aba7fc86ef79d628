/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdio.h>

#include "enough.h"
#include "tap.h"

static void report_where(const char *who, const uint64_t *killed_in)
{
	char line[512] = "";
	size_t at = 0;

	for (int i = DOING_NOTHING + 1; i < DOING_NR && at < sizeof(line); i++)
		if (killed_in[i])
			at += (size_t)snprintf(line + at, sizeof(line) - at, " %s %ju",
					       doing_name((enum doing)i), (uintmax_t)killed_in[i]);
	tap_remark("%s killed in%s", who, line);
}

void report(const struct tally *tally, uint64_t ns)
{
	const double seconds = (double)ns / 1e9;

	tap_remark("%ju kills in %.1f s, %.0f a second, %.0f %% inside a call; %ju left in order",
		   (uintmax_t)tally->killed, seconds, (double)tally->killed / seconds,
		   100.0 * (double)enough_inside(tally) /
			   (double)(tally->killed ? tally->killed : 1),
		   (uintmax_t)tally->left);
	report_where("members", tally->killed_in);
	tap_remark("returned %ju buffers, %ju in transit, %ju magazines; handed over %ju",
		   (uintmax_t)tally->returned, (uintmax_t)tally->transit,
		   (uintmax_t)tally->magazines, (uintmax_t)tally->handed_over);
	tap_remark("grown %ju, retired %ju segments; looked at the whole %ju times",
		   (uintmax_t)tally->grown, (uintmax_t)tally->retired, (uintmax_t)tally->rests);
	tap_remark("%u members or more alive at the same time in %ju of %ju turns", CROWD,
		   (uintmax_t)tally->crowded, (uintmax_t)tally->turns);
	if (!tally->keepers)
		return;
	tap_remark("%ju keepers killed, %ju living members taken over", (uintmax_t)tally->keepers,
		   (uintmax_t)tally->adopted_living);
	report_where("keepers", tally->keepers_in);
}
