/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_BROADCAST_H
#define IPC_BROADCAST_H

/*
 * The two kinds of file of a broadcast, and the private parts of its ends.
 *
 * The ring has the shape of any ring (ring.h), with a magic of its own. Of the lines before its
 * slots only the first is used. The producer writes it, everybody else maps it read only.
 *
 * A seat is one page, for the producer and one consumer:
 *
 *     line 0   magic, version                  written once by the maker
 *     line 1   returned: loans given back      consumer
 *     line 2   closed                          consumer
 *     line 3   begin, ended                    producer; when it is dead, the keeper
 *     line 4   bell                            both, see bell.h
 *
 * A position counts what was sent, from the ring's start on: 0 for all but those who want to see a
 * wrap. Only the producer reads that. A consumer's loans are the positions from begin + returned up
 * to where the producer is. The producer writes a slot again when every open seat is beyond it; so,
 * seen from any open seat, the slots from begin + returned on are of this round of the ring if they
 * are published, and of the one before if not: their laps tell what it was lent, without any word
 * of the producer's. That is how a dead one's loans are found.
 *
 *     R2, A2   a slot, see ring.h
 *     R8  returned, closed store-release    carries "I have read the buffers"
 *     A8  returned, closed load-acquire     by the producer, before it gives them back
 *     R9  ended store-release, then a release fence
 *     A9  ended load-acquire, after an acquire fence
 *     R10 begin store-release               the last of an admission
 *     A10 begin load-acquire
 *
 * R9-A9 is the way of a sequence lock: a consumer that has seen any byte which was written after
 * it was severed, in a slot or in a buffer, sees then that it was.
 */

#include <pinion/broadcast.h>

#include "ring.h"
#include "stuck.h"

#define BROADCAST_MAGIC UINT64_C(0x736163646e6f6e69) /* "inondcas" in memory */
#define SEAT_MAGIC UINT64_C(0x746165736e6f6e69)      /* "inonseat" in memory */
#define SEAT_VERSION 1

enum {
	SEAT_OPEN = 0,
	SEAT_ENDED = 1,   /* nothing more is sent */
	SEAT_SEVERED = 2, /* nothing that was sent is kept for it. So is any other number */
};

struct seat_shared {
	uint64_t magic;
	uint32_t version;
	uint8_t pad0[52];
	_Atomic uint64_t returned; /* the producer clamps it: from its last value to what it sent */
	uint8_t pad1[56];
	_Atomic uint32_t closed;
	uint8_t pad2[60];
	_Atomic uint64_t begin; /* 1 + the first position of this consumer; 0: not admitted */
	_Atomic uint32_t ended;
	uint8_t pad3[52];
	struct bell bell;
	uint8_t pad4[64 - sizeof(struct bell)];
};

static_assert(offsetof(struct seat_shared, returned) == 64, "line 1");
static_assert(offsetof(struct seat_shared, closed) == 128, "line 2");
static_assert(offsetof(struct seat_shared, begin) == 192, "line 3");
static_assert(offsetof(struct seat_shared, bell) == 256, "line 4");
static_assert(sizeof(struct seat_shared) == 320, "whole lines");

#define SEAT_LEN ((size_t)4096)

/* What the producer knows of a consumer. */
enum place_state {
	PLACE_FREE = 0,
	PLACE_OPEN,
	PLACE_LEFT,
	PLACE_LIED,
};

struct place {
	enum place_state state;
	struct seat_shared *seat; /* NULL: free */
	uint64_t begin;           /* its first position */
	uint64_t returned;        /* as last seen and checked */
	struct bell_hand hand;    /* of its bell */
	bool untold;              /* there was no memory for its byte */
};

struct pinion_broadcast {
	struct ring ring; /* at: next position to send */
	const struct pinion_view *view;
	struct pinion_buffer *out; /* by slot: what we published there, our own record */
	uint64_t collected;        /* up to where the caller has its buffers back */
	uint64_t back;             /* up to where all are known to have returned; at most at */
	bool ended;
	uint32_t nr_places; /* those from here on are free */
	struct place place[PINION_BROADCAST_CONSUMERS_MAX];
};

struct pinion_seat {
	struct ring ring; /* at: next position to receive; read only */
	struct seat_shared *shared;
	struct pinion_pool *pool;
	uint64_t returned;    /* as we said last */
	uint64_t held;        /* loans: ring.at == begin + returned + held */
	uint32_t producer;    /* holder bits */
	bool broken;          /* the producer lied */
	struct stuck stuck;   /* in ring */
	uint32_t empty;       /* receives that found nothing, for slot_follow_seldom() */
	struct bell_ear ear;
	struct bell_fd fd; /* for a loop of the consumer's own */
	int notify;        /* what the producer is given of it */
};

/* 1 + @at. Of the last position that there is, whose next is 0, it is that of a later one with the
 * same slot and the same lap: 0 would say that nobody was admitted. */
static inline uint64_t seat_begin(const struct ring *ring, uint64_t at)
{
	return 1 + at ? 1 + at : 2 * (uint64_t)ring->slots;
}

/* For pinion_broadcast_lies(). */
void broadcast_count_lie(void);

/* pinion_broadcast_create(), of one whose first position is @start. */
int broadcast_make(uint32_t slots, uint64_t start, int *fd);

/* -EPROTO: not such a file. @ring is at 0: where it begins is for the caller to say. @protection:
 * PROT_READ, and PROT_WRITE for the producer. */
int broadcast_map_ring(int fd, int protection, struct ring *ring);

int broadcast_map_seat(int fd, struct seat_shared **seat);
void broadcast_unmap_seat(struct seat_shared *seat);

/* Says how it ended, and wakes. For the producer, or who stands in for a dead one. False as of
 * bell_wake(): again. */
static inline bool seat_end(struct seat_shared *seat, uint32_t how, const struct bell_hand *hand)
{
	atomic_store_explicit(&seat->ended, how, memory_order_release); /* R9 */
	atomic_thread_fence(memory_order_release); /* R9 */
	return bell_strike(&seat->bell, hand);
}

#endif
