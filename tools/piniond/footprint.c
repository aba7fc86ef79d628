/* SPDX-License-Identifier: BSD-3-Clause */
#include "footprint.h"

#include <sys/mman.h>

#include "service.h"

void footprint_let_go(const struct pool *pool)
{
	for (uint32_t i = 0; i < pinion_pool_slots(pool->pool); i++) {
		const struct pinion_hostmem *memory = &pool->pool->memory[i];

		if (memory->addr && memory->page_size == pinion_hostmem_base_page())
			(void)madvise(memory->addr, memory->len, MADV_DONTNEED);
	}
	/* A named one is of hugepages. */
	if (!pool->path)
		(void)madvise(pool->pool->control.addr, pool->pool->control.len, MADV_DONTNEED);
}
