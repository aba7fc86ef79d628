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

unsigned membership_files(const struct pinion_pool *pool, int *files, uint64_t *segments)
{
	struct pinion_pool_fds fds;
	unsigned nr = 1;

	pinion_pool_export(pool, &fds);
	*segments = 0;
	files[0] = fds.control;
	for (uint32_t i = 0; i < fds.nr_segments; i++) {
		if (fds.segment[i] < 0)
			continue;
		*segments |= UINT64_C(1) << i;
		files[nr++] = fds.segment[i];
	}
	return nr;
}
