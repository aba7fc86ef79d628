/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_RING_H
#define IPC_RING_H

/*
 * A one-way ring: one producer, one consumer, in a file of its own.
 *
 *     line 0   magic, version, slots, start         written once by the maker
 *     line 1   credit: slots given back             consumer
 *     line 2   consumer_closed                      consumer
 *     line 3   producer_closed                      producer
 *     line 4   bell                                 both, see bell.h
 *     line 8.. slots of 16 bytes, four to a line    producer; the consumer writes back what it read
 *
 * There is no tail. Each slot tells by its lap whether it was published: 1 in the first round, 0
 * in the second, ... So a message costs the transfer of one line.
 *
 * The first slot of a batch is written last, and that is where the consumer looks: it finds all of
 * the batch or nothing, and takes no line from the producer that is half written. Of a producer
 * killed in between, the slots behind the gap are never received; who searches the ring
 * for what a dead producer may have sent finds those too, and that is right: nobody received them.
 *
 *     R2  head of a batch's first slot, store-release    carries the other slots of the batch, the
 *                                                        buffers' bytes and the owner words
 *     A2  slot load-acquire                              by the consumer, in order: no slot is
 *                                                        looked at before the one in front of it
 *     R3  credit store-release         carries "I have copied the slots and changed the words"
 *     A3  credit load-acquire          by the producer, before it writes a slot again
 *     R4  *_closed store-release       the last act on a ring
 *     A4  *_closed load-acquire
 *
 * Positions count slots, in 64 bits, and may wrap: differences and laps are right all the same.
 * Both ends begin at start, 0 for all but those who want to see a wrap; any value will do. A slot
 * that was never written has the lap of the round before, so that it reads as not published.
 * Everything but the shared lines is private to each end: its own position, the mask, the number of
 * slots.
 */

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/ring.h>

#include "bell.h"
#include "bell_fd.h"
#include "desc16.h"
#include "fetch.h"

#define RING_MAGIC UINT64_C(0x676e69726e6f6e69) /* "inonring" in memory */
#define RING_VERSION 3

struct ring_shared {
	uint64_t magic;
	uint32_t version;
	_Atomic uint32_t slots; /* these two are read once by each end, which goes by that */
	_Atomic uint64_t start;
	uint8_t pad0[40];
	_Atomic uint64_t credit; /* the producer clamps it: between its last value and its tail */
	uint8_t pad1[56];
	_Atomic uint32_t consumer_closed;
	uint8_t pad2[60];
	_Atomic uint32_t producer_closed;
	uint8_t pad3[60];
	struct bell bell;
	uint8_t pad4[256 - sizeof(struct bell)];
	struct pinion_slot slot[];
};

static_assert(offsetof(struct ring_shared, credit) == 64, "line 1");
static_assert(offsetof(struct ring_shared, consumer_closed) == 128, "line 2");
static_assert(offsetof(struct ring_shared, producer_closed) == 192, "line 3");
static_assert(offsetof(struct ring_shared, bell) == 256, "line 4");
static_assert(offsetof(struct ring_shared, slot) == 512, "slots begin on a line");

/*
 * How long a receiver looks before it sleeps, unless told otherwise: about what a sleep and its end
 * cost, so that at worst twice the least is paid. Two cores of an EPYC, in a virtual machine that
 * did other work as well; a descriptor every so often, median of its latency in microseconds and
 * the share of a core that the receiver took:
 *
 *     spin         every 20 us    50 us        100 us       1000 us
 *       0          45   24 %      30   23 %    33   17 %    41    4 %
 *       5 us       20   34 %      29   29 %    31   21 %    44    4 %
 *      20 us       12   38 %      35   37 %    27   26 %    43    5 %
 *      50 us        9   35 %      16   37 %    26   30 %    34    7 %
 *     100 us      0.5   43 %      11   40 %    18   36 %    38   11 %
 *
 * Beyond 50 us the receiver that is seldom sent anything pays, and gains nothing.
 */
#define RING_SPIN_NS UINT64_C(50000)

/* One end's private part. */
struct ring {
	struct ring_shared *shared;
	size_t len;      /* of the mapping */
	uint32_t slots;  /* a power of two */
	uint32_t shift;  /* its log2 */
	uint64_t at;     /* next position to write, or to read */
	uint64_t credit; /* producer: up to where slots are known to be free again, of the lap
	                  * before; consumer: up to where it gave them back. At most at */
	struct bell_ear ear;   /* consumer */
	struct bell_fd fd;     /* consumer */
	uint64_t spin_ns;      /* consumer: how long wait looks before it sleeps */
	struct bell_hand hand; /* producer; of a consumer: for another thread that has to wake it */
	atomic_bool untold;    /* there was no memory for the byte: see ring_tell(). Any thread may
	                        * set or clear it, relaxed: the bell is what counts */
};

/* Bytes of a ring's file: whole pages. pre: ring_slots_valid(). */
static inline size_t ring_len(uint32_t slots)
{
	size_t len = sizeof(struct ring_shared) + slots * sizeof(struct pinion_slot);

	return (len + 4095) & ~(size_t)4095;
}

static inline bool ring_slots_valid(uint32_t slots)
{
	return slots >= PINION_RING_SLOTS_MIN && slots <= PINION_RING_SLOTS_MAX &&
	       !(slots & (slots - 1));
}

/* 0, or -EINVAL with a sentence: may a ring have so many? */
int ring_check_slots(uint32_t slots);

/* pinion_ring_create(), of a ring whose first position is @start. */
int ring_make(uint32_t slots, uint64_t start, int *fd);

/* Nothing is published from @start on: slots have the lap of the round before. From 0 on zeroes say
 * that. */
void ring_empty(struct ring_shared *shared, uint32_t slots, uint64_t start);

/* Maps a file that it made. -EPROTO: not one. */
int ring_map(int fd, struct ring *ring);
void ring_unmap(struct ring *ring);

/* The lap that a slot has when position @at is published in it. */
static inline struct pinion_lap ring_lap(const struct ring *ring, uint64_t at)
{
	bool odd = !(at >> ring->shift & 1);

	return (struct pinion_lap){odd ? PINION_SLOT_HEAD_LAP : 0, odd ? PINION_SLOT_BODY_LAP : 0};
}

static inline struct pinion_slot *ring_slot(const struct ring *ring, uint64_t at)
{
	return &ring->shared->slot[at & (ring->slots - 1)];
}

/* Up to @nr positions from @at on that have one lap: as many as there are before the wrap. */
static inline uint32_t ring_run(const struct ring *ring, uint64_t at, uint32_t nr)
{
	uint32_t left = ring->slots - (uint32_t)(at & (ring->slots - 1));

	return nr < left ? nr : left;
}

/* --- producer */

/*
 * A3. How many of the next @nr slots can be written; -EPROTO when the peer claims what cannot be.
 * The credit's line is left alone as long as what is known of it suffices.
 */
static inline int64_t ring_room(struct ring *ring, uint32_t nr)
{
	uint64_t used = ring->at - ring->credit, credit;

	if (__builtin_expect(ring->slots - used < nr, 0)) {
		credit = atomic_load_explicit(&ring->shared->credit, memory_order_acquire); /* A3 */
		if (credit - ring->credit > used)
			return -EPROTO;
		ring->credit = credit;
		used = ring->at - credit;
	}
	return ring->slots - used < nr ? (int64_t)(ring->slots - used) : nr;
}

/* How far ahead lines are fetched that the next batches will write, in slots: eight lines. Nearer
 * gains less, further takes lines from a consumer that is still reading them. */
#define RING_AHEAD 32u

/* As many lines as were just written, but for those behind the ring's end: there it is done without
 * once a round. */
static inline void ring_fetch_ahead(const struct ring *ring, uint32_t nr)
{
	const struct pinion_slot *slot = ring_slot(ring, ring->at + RING_AHEAD);
	const struct pinion_slot *end = slot + ring_run(ring, ring->at + RING_AHEAD, nr);

	for (; slot < end; slot += 4)
		fetch_to_write(slot);
}

/* R2: the first slot of a batch, behind which the others are written already. */
static inline void ring_open_gate(struct pinion_slot *slot, const struct pinion_desc *desc,
				  struct pinion_lap lap)
{
	atomic_store_explicit(&slot->body, ((uint64_t)desc->tag << 32 | desc->len) ^ lap.body,
			      memory_order_relaxed);
	atomic_store_explicit(&slot->head, desc->buffer.bits ^ lap.head,
			      memory_order_release); /* R2 */
}

/*
 * R2: publishes up to @nr, the first one last, and moves on; how many. It ends before the first
 * that is not valid. pre: there is room, and 1 <= nr.
 */
static inline uint32_t ring_publish(struct ring *ring, const struct pinion_desc *desc, uint32_t nr)
{
	struct pinion_lap lap = ring_lap(ring, ring->at);
	uint32_t i = 1;

	if (!pinion_desc_valid(desc))
		return 0;
	while (i < nr) {
		uint32_t end = i + ring_run(ring, ring->at + i, nr - i);
		struct pinion_slot *slot = ring_slot(ring, ring->at + i);
		struct pinion_lap here = ring_lap(ring, ring->at + i);

		for (; i < end && pinion_desc_valid(&desc[i]); i++)
			pinion_slot_store(slot++, &desc[i], here);
		if (i < end)
			break;
	}
	ring_open_gate(ring_slot(ring, ring->at), desc, lap);
	ring->at += i;
	ring_fetch_ahead(ring, i);
	return i;
}

/* After publishing, or closing. */
static inline void ring_strike(struct ring *ring)
{
	if (__builtin_expect(!bell_strike(&ring->shared->bell, &ring->hand), 0))
		atomic_store_explicit(&ring->untold, true, memory_order_relaxed);
}

/* Sets the bit of its lane, if it has joined a ready set, whoever sleeps or not. */
void ring_post(struct ring *ring);

/* Strikes again if the last strike told nobody. False: it tells nobody still. */
bool ring_tell(struct ring *ring);

/* ... for a tenth of a second: of an end that goes. */
bool ring_tell_at_last(struct ring *ring);

/* --- consumer */

/* A2: private copies of up to @nr slots from position @at on; how many were published. */
static inline uint32_t ring_copy(const struct ring *ring, uint64_t at, struct pinion_desc *desc,
				 uint32_t nr)
{
	uint32_t got = 0;

	while (got < nr) {
		uint32_t run = ring_run(ring, at + got, nr - got), end = got + run;
		const struct pinion_slot *slot = ring_slot(ring, at + got);
		struct pinion_lap lap = ring_lap(ring, at + got);

		for (; end - got >= 4 && desc16_load_line(slot, lap, &desc[got]); got += 4)
			slot += 4;
		for (; got < end; got++)
			if (!desc16_load(slot++, lap, &desc[got]))
				return got;
	}
	return got;
}

/*
 * Of each line that was copied to its end one word is written back as it was, before the credit
 * (R3): the producer's next store to a line that we wrote is faster than to one that we only read.
 * Measured, not explained: a bare stream of lines took 1.5 ns a line instead of 7.5 between cores
 * 110 ns apart, ring_32 7.5 ns instead of 10.6 at 480 ns.
 *
 * The body, since the head is what R2 releases. From the private copy: what the producer may have
 * stored since is not ours to look at. Not for less than a line at once: who answers a single
 * message would have the answer wait behind this store.
 */
static inline void ring_write_back(const struct ring *ring, uint64_t at,
				   const struct pinion_desc *desc, uint32_t nr)
{
	uint32_t i = 3 - (uint32_t)(at & 3);

	if (nr < 4)
		return;
	/* A peer that does not mind the credit may publish more than a round. */
	while (i < nr) {
		const uint32_t end = i + ring_run(ring, at + i, nr - i);
		struct pinion_slot *slot = ring_slot(ring, at + i);
		const uint64_t lap = ring_lap(ring, at + i).body;

		for (; i < end; i += 4, slot += 4)
			atomic_store_explicit(&slot->body,
					      ((uint64_t)desc[i].tag << 32 | desc[i].len) ^ lap,
					      memory_order_relaxed);
	}
}

/* Is anything there? */
static inline bool ring_ready(const struct ring *ring)
{
	struct pinion_desc ignored;

	return desc16_load(ring_slot(ring, ring->at), ring_lap(ring, ring->at), &ignored);
}

/* R3, after the words: the sender may now write the slots before ring->at again. */
static inline void ring_give(struct ring *ring)
{
	ring->credit = ring->at;
	atomic_store_explicit(&ring->shared->credit, ring->at, memory_order_release); /* R3 */
}

/* For somebody who only looks on: how many descriptors are published and not known to be taken, at
 * most slots. Both ends may be writing, and lying. */
uint32_t ring_depth(const struct ring *ring);

/* What is held back of the credit: the sender may wait for it. */
static inline void ring_give_rest(struct ring *ring)
{
	if (ring->at != ring->credit)
		ring_give(ring);
}

/* Credit goes so many slots at a time (each store takes the line from a sender that waits for it);
 * what is held back is always less than that. Requests count on it, see request.h. */
static inline uint32_t ring_credit_step(const struct ring *ring)
{
	return ring->slots / 16;
}

/* Moves on by @nr. What is held back of the credit comes at the latest when the ring is found
 * empty. */
static inline void ring_take(struct ring *ring, uint32_t nr)
{
	ring->at += nr;
	if (ring->at - ring->credit >= ring_credit_step(ring))
		ring_give(ring);
	bell_awake(&ring->shared->bell, &ring->ear, 1);
}

/* From another thread of the consumer's own process, about a peer that is dead or a liar. It
 * believes nothing of what the peer may have written about fences or about who sleeps. A fan-in
 * (BELL_LANE) is not woken: its patrol finds out. */
static inline void ring_wake_self(struct ring *ring)
{
	const struct bell_hand hand = {.registered = false, .socket = ring->hand.socket};

	if (!bell_toll(&ring->shared->bell, &hand))
		atomic_store_explicit(&ring->untold, true, memory_order_relaxed);
}

/* What ring_tell() is of a ring that this end receives from. */
bool ring_tell_self(struct ring *ring);

/* An empty ring was met. */
static inline void ring_idle(struct ring *ring)
{
	ring_give_rest(ring);
	bell_awake(&ring->shared->bell, &ring->ear, BELL_EMPTY);
}

#endif
