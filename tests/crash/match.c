/* SPDX-License-Identifier: BSD-3-Clause */
#include "match.h"

int ending_sent(const struct view *view, const struct ending *ending)
{
	return ending->gave > 0 ? (int)(view->part->batch + view->part->more) : 0;
}

bool ending_is_fair(const struct view *view, const struct ending *ending, int came)
{
	const int batch = (int)view->part->batch, more = (int)view->part->more;

	if (ending->giver)
		return came == ending_sent(view, ending);
	return came == 0 || came == batch || came == batch + more;
}
