/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_READY_H
#define IPC_READY_H

/*
 * A ready set: which of 4,096 cold lanes have something, in a file of its own.
 *
 *     line 0       magic, version, lanes       written once by the maker
 *     line 1       bell of the receiver        all, see bell.h
 *     line 2       summary: a bit for a word   producers set, the receiver takes
 *     line 3..10   64 words, a bit for a lane  producers set, the receiver takes
 *
 * A producer that finds BELL_LANE in its ring's bell does, in this order:
 *
 *     bell of the ring := QUIET (bell_wake())
 *     R5  word |= lane, release        carries that QUIET, and what was published
 *     R6  summary |= word, release     carries the bit in the word
 *     F1  fence; the bell here ARMED? then strike it
 *
 * and the receiver:
 *
 *     A6  exchange of the summary with 0, acquire
 *     A5  exchange of each word named, acquire; only then BELL_LANE may be stored again
 *
 * The QUIET comes first. Were it last, a producer held up before it could wipe out the BELL_LANE of
 * the lane's next rest, and with it the only call for the message after that.
 *
 * No bit is lost between honest ones: a word that was taken before its summary's bit was set is
 * looked at once more, for nothing. Nothing here is believed: bits are a hint to look at a ring.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "bell.h"

#define READY_MAGIC UINT64_C(0x79646165726e6970) /* "pinready" in memory */
#define READY_VERSION 1
#define READY_WORDS 64u
#define READY_LANES (READY_WORDS * 64u)
#define READY_LEN ((size_t)4096)

struct ready_shared {
	uint64_t magic;
	uint32_t version;
	uint32_t lanes;
	uint8_t pad0[48];
	struct bell bell;
	uint8_t pad1[64 - sizeof(struct bell)];
	_Atomic uint64_t summary;
	uint8_t pad2[56];
	_Atomic uint64_t word[READY_WORDS];
};

static_assert(offsetof(struct ready_shared, bell) == 64, "line 1");
static_assert(offsetof(struct ready_shared, summary) == 128, "line 2");
static_assert(offsetof(struct ready_shared, word) == 192, "line 3");
static_assert(sizeof(struct ready_shared) == 704, "eleven lines");
static_assert(sizeof(struct ready_shared) <= READY_LEN, "in one page");

/* A new one, sealed, with no bit set. */
int ready_create(int *fd);

/* Maps a file made by ready_create(). -EPROTO: not one. */
int ready_map(int fd, struct ready_shared **ready);
void ready_unmap(struct ready_shared *ready);

/* Producer: there is something in its lane. pre: the ring's bell is QUIET already, or its
 * receiver has found out since what there is; the lane exists. False: as of bell_wake(), for the
 * bell here; once more is harmless. */
bool ready_post(const struct bell_hand *hand);

/* Receiver. */
static inline bool ready_any(const struct ready_shared *ready)
{
	return atomic_load_explicit(&ready->summary, memory_order_relaxed) != 0;
}

static inline uint64_t ready_take_summary(struct ready_shared *ready)
{
	return atomic_exchange_explicit(&ready->summary, 0, memory_order_acquire); /* A6 */
}

static inline uint64_t ready_take_word(struct ready_shared *ready, uint32_t word)
{
	return atomic_exchange_explicit(&ready->word[word], 0, memory_order_acquire); /* A5 */
}

#endif
