/* SPDX-License-Identifier: BSD-3-Clause */
#include "debug.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Neither 0 nor all ones, and no plausible address or length. */
#define POISON 0xdb

static size_t stride(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	return (size_t)1 << pinion_view_segment_of(&pool->view, pinion_buffer_id(buffer))->shift;
}

static void die(struct pinion_buffer buffer, const char *what, size_t off, uint8_t found)
{
	(void)fprintf(stderr, "pinion: buffer %u, generation %ju: %s: byte %zu is 0x%02x\n",
		      pinion_buffer_id(buffer), (uintmax_t)pinion_buffer_generation(buffer), what,
		      off, found);
	abort();
}

static void check(const struct pinion_pool *pool, struct pinion_buffer buffer, size_t begin,
		  size_t end, const char *what)
{
	const uint8_t *byte = pinion_buffer_addr(pool, buffer);

	for (size_t i = begin; i < end; i++)
		if (byte[i] != POISON)
			die(buffer, what, i, byte[i]);
}

static void check_red_zone(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	check(pool, buffer, pinion_buffer_size(pool, buffer), stride(pool, buffer),
	      "written past its end");
}

void debug_poison_segment(const struct pinion_pool *pool, uint32_t slot)
{
	memset(pool->memory[slot].addr, POISON, pool->segment[slot].len);
}

void debug_poison(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	memset(pinion_buffer_addr(pool, buffer), POISON, stride(pool, buffer));
}

void debug_alloc(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	size_t size = pinion_buffer_size(pool, buffer);

	check(pool, buffer, 0, size, "written after it was freed");
	check_red_zone(pool, buffer);
	if (pool->geometry.flags & PINION_POOL_SCRUB)
		memset(pinion_buffer_addr(pool, buffer), 0, size);
}

void debug_free(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	check_red_zone(pool, buffer);
	debug_poison(pool, buffer);
}
