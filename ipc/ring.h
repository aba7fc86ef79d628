/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_RING_H
#define IPC_RING_H

/*
 * A one-way ring: one producer, one consumer, in a file of its own.
 *
 *     line 0   magic, version, slots                written once by the maker
 *     line 1   credit: slots given back             consumer
 *     line 2   consumer_closed                      consumer
 *     line 3   producer_closed                      producer
 *     line 4   bell                                 both: the consumer arms it, the producer
 *                                                   strikes it
 *     line 8.. slots of 16 bytes, four to a line    producer
 *
 * There is no tail. Each slot tells by itself whether it was published: bit 63 of its first half
 * is the lap (1 in the first round, 0 in the second, ...), stored last, with release. So a
 * message costs the transfer of one line, and of a dead producer one sees just what it published.
 *
 *     R2  slot head store-release      carries the body, the buffer's bytes, the owner word
 *     A2  slot head load-acquire       by the consumer
 *     R3  credit store-release         carries "I have copied the slots and changed the words"
 *     A3  credit load-acquire          by the producer, before it writes a slot again
 *     R4  *_closed store-release       the last act on a ring
 *     A4  *_closed load-acquire
 *     F1  fence between publishing and looking at the bell   (producer)
 *     F2  fence between arming the bell and looking for slots (consumer)
 *         With either one missing both could miss the other: publish unseen, bell unseen.
 *
 * Positions count slots from 0 and never wrap in practice (64 bits). Everything but the shared
 * lines is private to each end: its own position, the mask, the number of slots.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/channel.h>

#define RING_MAGIC UINT64_C(0x676e69726e6f6e69) /* "inonring" in memory */
#define RING_VERSION 1
#define RING_LAP (UINT64_C(1) << 63)

struct ring_slot {
	_Atomic uint64_t head; /* lap | generation | id: a handle with the lap in bit 63 */
	_Atomic uint64_t body; /* tag << 32 | len */
};

struct ring_shared {
	uint64_t magic;
	uint32_t version;
	uint32_t slots;
	uint8_t pad0[48];
	_Atomic uint64_t credit; /* the producer clamps it: between its last value and its tail */
	uint8_t pad1[56];
	_Atomic uint32_t consumer_closed;
	uint8_t pad2[60];
	_Atomic uint32_t producer_closed;
	uint8_t pad3[60];
	_Atomic uint32_t bell; /* a futex; see bell.h */
	uint8_t pad4[252];
	struct ring_slot slot[];
};

static_assert(offsetof(struct ring_shared, credit) == 64, "line 1");
static_assert(offsetof(struct ring_shared, consumer_closed) == 128, "line 2");
static_assert(offsetof(struct ring_shared, producer_closed) == 192, "line 3");
static_assert(offsetof(struct ring_shared, bell) == 256, "line 4");
static_assert(offsetof(struct ring_shared, slot) == 512, "slots begin on a line");
static_assert(sizeof(struct ring_slot) == 16, "four slots to a line");

/* One end's private part. */
struct ring {
	struct ring_shared *shared;
	size_t len;     /* of the mapping */
	uint32_t slots; /* a power of two */
	uint32_t shift; /* its log2 */
	uint64_t at;    /* next position to write, or to read */
};

/* Maps a file made by pinion_ring_create(). -EPROTO: not one. */
int ring_map(int fd, struct ring *ring);
void ring_unmap(struct ring *ring);

/* The lap bit that a slot has when position @at is published in it. */
static inline uint64_t ring_lap(const struct ring *ring, uint64_t at)
{
	return (at >> ring->shift) & 1 ? 0 : RING_LAP;
}

static inline struct ring_slot *ring_slot(const struct ring *ring, uint64_t at)
{
	return &ring->shared->slot[at & (ring->slots - 1)];
}

/* R2: publishes the slot at ring->at and moves on. */
static inline void ring_publish(struct ring *ring, const struct pinion_desc *desc)
{
	struct ring_slot *slot = ring_slot(ring, ring->at);

	atomic_store_explicit(&slot->body, (uint64_t)desc->tag << 32 | desc->len,
			      memory_order_relaxed);
	atomic_store_explicit(&slot->head,
			      (desc->buffer.bits & ~RING_LAP) | ring_lap(ring, ring->at),
			      memory_order_release);
	ring->at++;
}

/* A2: a private copy of the slot at ring->at, if it is published. Does not move on. */
static inline bool ring_peek(const struct ring *ring, struct pinion_desc *desc)
{
	const struct ring_slot *slot = ring_slot(ring, ring->at);
	uint64_t head = atomic_load_explicit(&slot->head, memory_order_acquire), body;

	if ((head ^ ring_lap(ring, ring->at)) & RING_LAP)
		return false;
	body = atomic_load_explicit(&slot->body, memory_order_relaxed);
	desc->buffer.bits = head & ~RING_LAP;
	desc->len = (uint32_t)body;
	desc->tag = (uint32_t)(body >> 32);
	return true;
}

#endif
