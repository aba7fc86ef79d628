/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_LIE_H
#define PINION_TESTS_FUZZ_LIE_H

/*
 * What a hostile peer stores into a ring, through a mapping of its own, and what a ring is for the
 * oracles: they know where the library is, and read slots by arithmetic of their own.
 */

#include "channel_support.h"
#include "script.h"

#ifndef SLOTS /* a target may say otherwise */
#define SLOTS 4u
#endif
#define BUFFERS 48u /* and words up to 64, of ids that name none */

static inline uint64_t lap_of(uint64_t at)
{
	return at / SLOTS % 2 ? 0 : 1;
}

/* As new: nothing published, no credit, nobody closed. Slots have the lap of the round before. */
static inline void ring_wipe(struct ring_shared *shared)
{
	const uint64_t start = shared->start;

	for (uint64_t at = start - SLOTS; at != start; at++) {
		shared->slot[at % SLOTS].head = lap_of(at) << 63;
		shared->slot[at % SLOTS].body = lap_of(at) << 31;
	}
	shared->credit = start;
	shared->consumer_closed = 0;
	shared->producer_closed = 0;
	shared->bell.state = 0;
	shared->bell.fenced = 1;
}

/* The descriptor in the slot of position @at; false: not published there. */
static inline bool slot_says(const struct pinion_slot *slots, uint64_t at, struct pinion_desc *desc)
{
	const uint64_t head = slots[at % SLOTS].head, body = slots[at % SLOTS].body;

	desc->buffer.bits = head & ~(UINT64_C(1) << 63);
	desc->len = (uint32_t)body & 0x7fffffff;
	desc->tag = (uint32_t)(body >> 32);
	return head >> 63 == lap_of(at) && (body >> 31 & 1) == lap_of(at);
}

static inline void slot_put(struct pinion_slot *slots, uint64_t at, const struct pinion_desc *desc)
{
	slots[at % SLOTS].head = desc->buffer.bits | lap_of(at) << 63;
	slots[at % SLOTS].body = (uint64_t)desc->tag << 32 | lap_of(at) << 31 | desc->len;
}

static inline bool same_desc(const struct pinion_desc *a, const struct pinion_desc *b)
{
	return a->buffer.bits == b->buffer.bits && a->len == b->len && a->tag == b->tag;
}

/* Up to @nr that are published from position @at on. */
static inline uint32_t slots_say(const struct pinion_slot *slots, uint64_t at,
				 struct pinion_desc *desc, uint32_t nr)
{
	uint32_t got = 0;

	while (got < nr && slot_says(slots, at + got, &desc[got]))
		got++;
	return got;
}

/* Another value for what was @now: near it, or small, or anything. */
static inline uint64_t lie_value(struct script *script, uint64_t now)
{
	const uint8_t how = script_byte(script);

	switch (how % 6) {
	case 0:
		return now + 1 + how / 6;
	case 1:
		return now - 1 - how / 6;
	case 2:
		return now ^ UINT64_C(1) << (how / 6 + script_below(script, 64)) % 64;
	case 3:
		return how / 6;
	case 4:
		return UINT64_MAX >> how / 6;
	default:
		return script_word(script);
	}
}

/* One store into any place of a ring. */
static inline void lie_store(struct script *script, struct ring_shared *shared)
{
	const uint8_t where = script_byte(script);
	struct pinion_slot *slot = &shared->slot[where / 8 % SLOTS];

	switch (where % 8) {
	case 0:
	case 1:
		slot->head = lie_value(script, slot->head);
		break;
	case 2:
	case 3:
		slot->body = lie_value(script, slot->body);
		break;
	case 4:
		shared->credit = lie_value(script, shared->credit);
		break;
	case 5:
		shared->bell.state = (uint32_t)lie_value(script, shared->bell.state);
		break;
	case 6:
		shared->bell.fenced = (uint32_t)lie_value(script, shared->bell.fenced);
		break;
	default: /* rarely: it is the end of much */
		if (where / 8 % 8 == 0)
			shared->consumer_closed = script_byte(script);
		else if (where / 8 % 8 == 1)
			shared->producer_closed = script_byte(script);
	}
}

#endif
