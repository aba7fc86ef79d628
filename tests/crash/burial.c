/* SPDX-License-Identifier: BSD-3-Clause */
#include "burial.h"

#include <pinion/error.h>

#include "invariant.h"

#define ALL (1u << (FIRST + 1) | 1u << (SECOND + 1) | 1u << (THIRD + 1))

const char *burial_recover(const struct view *view, int player, const struct pinion_buffer *transit,
			   uint32_t nr)
{
	struct pinion_pool *pool = view->company->pool;
	const uint32_t member = view->company->player[player].member;
	struct snapshot once = {0};

	if (pinion_pool_recover(pool, member, transit, nr, NULL))
		return pinion_error_text();
	snapshot_take(&once, pool);
	if (pinion_pool_recover(pool, member, transit, nr, NULL))
		return pinion_error_text();
	return snapshot_same(&once, pool) ? NULL : "a second recovery changed something";
}

const char *burial_release(const struct view *view, int player)
{
	struct pinion_pool *pool = view->company->pool;
	const uint32_t member = view->company->player[player].member;

	if (pinion_pool_release(pool, member, NULL))
		return pinion_error_text();
	return pinion_pool_held(pool, member) ? "the dead still hold a buffer" : NULL;
}

const char *burial_sound(const struct view *view)
{
	return invariant_broken(view->company->pool, &view->earlier->control, 0);
}

const char *burial_of_all(struct view *view)
{
	return invariant_broken(view->company->pool, &view->earlier->control, ALL);
}
