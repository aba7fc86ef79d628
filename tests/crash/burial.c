/* SPDX-License-Identifier: BSD-3-Clause */
#include "burial.h"

#include "invariant.h"
#include "recount.h"

#define ALL (1u << (FIRST + 1) | 1u << (SECOND + 1) | 1u << (THIRD + 1))

const char *burial_recover(const struct view *view, int player, const struct pinion_buffer *transit,
			   uint32_t nr)
{
	return recount_recover_twice(view->company->pool, view->company->player[player].member,
				     transit, nr);
}

const char *burial_release(const struct view *view, int player)
{
	struct pinion_pool *pool = view->company->pool;
	const uint32_t member = view->company->player[player].member;

	const char *problem = recount_release(pool, member);

	if (problem)
		return problem;
	return pinion_pool_held(pool, member) ? "the dead still hold a buffer" : NULL;
}

const char *burial_whole(const struct view *view, int player)
{
	const char *problem = burial_recover(view, player, NULL, 0);

	return problem ? problem : burial_release(view, player);
}

const char *burial_sound(const struct view *view)
{
	return invariant_broken(view->company->pool, &view->earlier->control, 0);
}

const char *burial_of_all(struct view *view)
{
	return invariant_broken(view->company->pool, &view->earlier->control, ALL);
}
