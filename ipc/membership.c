/* SPDX-License-Identifier: BSD-3-Clause */
#include "membership.h"

#include "pool.h"

int membership_open(const struct membership *membership, const int *files,
		    struct pinion_pool **pool)
{
	struct pinion_pool_fds fds = {.nr_segments = PINION_SEGMENT_MAX, .control = files[0]};
	unsigned next = 1;
	int err;

	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		fds.segment[i] = membership->segments >> i & 1 ? files[next++] : -1;
	err = pinion_pool_attach(&fds, membership->member, pool);
	if (err)
		return err;
	(*pool)->fetch = membership->fetch;
	(*pool)->fetch_context = membership->context;
	return 0;
}
