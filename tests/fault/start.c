/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In the place of the library's, by the linker's --wrap: rings, broadcasts and pools whose
 * positions and generations begin where the environment says (../unit: ring_support.h,
 * broadcast_support.h, pool_age()), or as always.
 */

#include "broadcast_support.h"
#include "pool_support.h"
#include "ring_support.h"

int __wrap_pinion_ring_create(uint32_t slots, int *fd);
int __wrap_pinion_broadcast_create(uint32_t slots, int *fd);
int __real_pinion_pool_create(const struct pinion_pool_config *config, struct pinion_pool **pool);
int __wrap_pinion_pool_create(const struct pinion_pool_config *config, struct pinion_pool **pool);

int __wrap_pinion_ring_create(uint32_t slots, int *fd)
{
	return ring_begin(slots, fd);
}

int __wrap_pinion_broadcast_create(uint32_t slots, int *fd)
{
	return broadcast_begin(slots, fd);
}

int __wrap_pinion_pool_create(const struct pinion_pool_config *config, struct pinion_pool **pool)
{
	const int err = __real_pinion_pool_create(config, pool);

	if (!err)
		pool_age(*pool);
	return err;
}
