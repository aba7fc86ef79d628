/* SPDX-License-Identifier: BSD-3-Clause */
#include "rack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"
#include "quota.h"

static size_t magazine_len(const struct pinion_pool *pool)
{
	return sizeof(struct pinion_magazine) +
	       pool->geometry.magazine_size * sizeof(struct pinion_buffer);
}

static void swap(struct rack *rack)
{
	struct pinion_magazine *was = rack->loaded;

	rack->loaded = rack->spare;
	rack->spare = was;
}

/* What another member has written goes before we can see it. */
static void scrub(const struct pinion_pool *pool, const struct pinion_magazine *magazine)
{
	for (uint32_t i = 0; i < magazine->nr; i++)
		memset(pinion_buffer_addr(pool, magazine->buffer[i]), 0,
		       pinion_buffer_size(pool, magazine->buffer[i]));
}

/* Buffers came from the depot, into unused. */
static void draw(struct pinion_pool *pool, const struct rack *rack, uint32_t filler)
{
	if ((pool->geometry.flags & PINION_POOL_FLAGS) == PINION_POOL_SCRUB &&
	    filler != pool->view.self)
		scrub(pool, rack->unused); /* with debugging, debug_alloc() does it */
	quota_draw(pool, rack->unused->nr * rack->buffer_size);
}

static int claim_full(struct pinion_pool *pool, struct rack *rack)
{
	uint32_t filler;
	int err = depot_claim_full(pool, &rack->range, pool->view.self,
				   pool->geometry.magazine_size, rack->unused, &filler);

	if (!err)
		draw(pool, rack, filler);
	return err;
}

static void deposit(struct pinion_pool *pool, const struct rack *rack,
		    struct pinion_magazine *magazine)
{
	quota_return(pool, magazine->nr * rack->buffer_size);
	depot_deposit(pool, magazine, pool->view.self);
}

/* Into unused: a magazine with room. */
static int claim_room(struct pinion_pool *pool, struct rack *rack)
{
	uint32_t filler = 0;
	int err = depot_claim_room(pool, &rack->range, pool->view.self, rack->unused, &filler);

	if (!err && rack->unused->nr)
		draw(pool, rack, filler);
	return err;
}

static void take_unused(struct rack *rack, struct pinion_magazine **place)
{
	struct pinion_magazine *was = *place;

	*place = rack->unused;
	rack->unused = was;
}

/* Two with room from the start. */
static int take_magazines(struct pinion_pool *pool, struct rack *rack)
{
	int err = claim_room(pool, rack);

	if (err)
		return err;
	take_unused(rack, &rack->loaded);
	err = claim_room(pool, rack);
	if (err)
		deposit(pool, rack, rack->loaded);
	else
		take_unused(rack, &rack->spare);
	return err;
}

/* One piece: the rack, then room for three magazines. */
static struct rack *new_rack(const struct pinion_pool *pool)
{
	size_t len = magazine_len(pool);
	struct rack *rack = calloc(1, sizeof(*rack) + 3 * len);
	char *at = (char *)(rack + 1);

	if (!rack)
		return NULL;
	rack->loaded = (void *)at;
	rack->spare = (void *)(at + len);
	rack->unused = (void *)(at + 2 * len);
	rack->loaded->size = rack->spare->size = rack->unused->size = pool->geometry.magazine_size;
	return rack;
}

int rack_create(struct pinion_pool *pool, uint32_t slot, struct rack **out)
{
	const struct control_segment *segment = &pool->segment[slot];
	struct rack *rack = new_rack(pool);
	int err;

	if (!rack)
		return -ENOMEM;
	rack->slot = slot;
	rack->range = depot_range(pool, slot);
	rack->node = segment->node;
	rack->buffer_size = (size_t)1 << segment->buffer_shift;
	rack->retiring = slot_state_of(pool->state[slot]) == SLOT_RETIRING;
	err = take_magazines(pool, rack);
	if (err) {
		free(rack);
		return err;
	}
	*out = rack;
	return 0;
}

void rack_destroy(struct pinion_pool *pool, struct rack *rack)
{
	deposit(pool, rack, rack->loaded);
	deposit(pool, rack, rack->spare);
	free(rack);
}

void rack_forget(struct rack *rack)
{
	free(rack);
}

int rack_refill(struct pinion_pool *pool, struct rack *rack, bool *refused)
{
	int err;

	if (rack->loaded->nr)
		return 0;
	if (rack->spare->nr) {
		swap(rack);
		return 0;
	}
	*refused = *refused || !quota_allows(pool);
	if (*refused)
		return -EDQUOT;
	err = claim_full(pool, rack);
	if (err)
		return err;
	PINION_PROBE3(refill, rack->slot, rack->unused->nr, pool->member);
	/* No word names the loaded one any more: each of its buffers was popped and said HELD. */
	deposit(pool, rack, rack->loaded);
	take_unused(rack, &rack->loaded);
	return rack->loaded->nr ? 0 : -ENOMEM;
}

int rack_make_room(struct pinion_pool *pool, struct rack *rack)
{
	if (rack->loaded->nr < rack->loaded->size)
		return 0;
	if (rack->spare->nr == rack->spare->size) {
		int err = claim_room(pool, rack);

		if (err)
			return err;
		deposit(pool, rack, rack->spare);
		take_unused(rack, &rack->spare);
	}
	swap(rack);
	return 0;
}
