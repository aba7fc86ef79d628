/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_RACK_H
#define POOL_RACK_H

/*
 * A rack: the magazines that one cache has of one segment, and their exchange with the depot.
 *
 *     loaded   where alloc pops and free pushes
 *     spare    the one before, so that a thread at the edge of one does not exchange at each call
 *     unused   room for what is claimed, until one of the others is deposited
 *
 * Between calls it holds exactly two magazines of the segment, within an exchange three. The new
 * one is claimed before the old one goes, so that a free never lacks a place.
 */

#include "depot.h"

struct rack {
	uint32_t slot;
	struct depot_range range;
	int node;
	size_t buffer_size;
	bool retiring; /* nothing may be allocated from it */
	struct pinion_magazine *loaded, *spare, *unused;
};

/* pre: the pool is locked, and the slot has a segment.
 * -ENOMEM  no private memory
 * -EAGAIN  no magazines (members broke the protocol: there are enough for nr_caches) */
int rack_create(struct pinion_pool *pool, uint32_t slot, struct rack **rack);

/* Deposits what is inside. */
void rack_destroy(struct pinion_pool *pool, struct rack *rack);

/* Frees the private part alone: in a child that inherited it. */
void rack_forget(struct rack *rack);

/* A buffer in loaded. -ENOMEM  the segment has none; -EDQUOT  the member may have no more, which is
 * counted once and then stands in @refused, for the racks to come: one count for one call. */
int rack_refill(struct pinion_pool *pool, struct rack *rack, bool *refused);

/* Room in loaded. -EAGAIN  as rack_create() */
int rack_make_room(struct pinion_pool *pool, struct rack *rack);

#endif
