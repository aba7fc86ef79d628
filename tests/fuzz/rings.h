/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_RINGS_H
#define PINION_TESTS_FUZZ_RINGS_H

/*
 * What each target begins with: two rings, from a, which is under test, to the liar b and back,
 * and what lies in them before a call of a's.
 */

#include "lie.h"

#define DESCS (SLOTS + 2) /* in one call: more than a ring has */
#define WAITS 2  /* in one run: each spins */

/* Made once, wiped for each run. b's mappings; a opens the files. */
struct rings {
	struct ring ab, ba;
	int fd_ab, fd_ba;
};

static inline void rings_open(struct rings *rings)
{
	rings->fd_ab = ring_file(SLOTS);
	rings->fd_ba = ring_file(SLOTS);
	assert_int_equal(ring_map(rings->fd_ab, &rings->ab), 0);
	assert_int_equal(ring_map(rings->fd_ba, &rings->ba), 0);
}

static inline void rings_wipe(struct rings *rings)
{
	if (!rings->ab.shared)
		rings_open(rings);
	ring_wipe(rings->ab.shared);
	ring_wipe(rings->ba.shared);
}

/* The position at which both begin: 0, or as PINION_RING_START says. */
static inline uint64_t rings_start(const struct rings *rings)
{
	return rings->ab.shared->start;
}

/* Slots as they must be after a call. */
struct slots {
	struct pinion_slot ab[SLOTS], ba[SLOTS];
};

static inline struct slots slots_look(const struct rings *rings)
{
	struct slots slots;

	memcpy(slots.ab, rings->ab.shared->slot, sizeof(slots.ab));
	memcpy(slots.ba, rings->ba.shared->slot, sizeof(slots.ba));
	return slots;
}

static inline void slots_check(const struct slots *slots, const struct rings *rings,
			       const char *call)
{
	oracle(!memcmp(slots->ab, rings->ab.shared->slot, sizeof(slots->ab)),
	       "%s: a sender's slots are not what they must be", call);
	oracle(!memcmp(slots->ba, rings->ba.shared->slot, sizeof(slots->ba)),
	       "%s wrote the peer's slots", call);
}

/*
 * How many of @nr slots who sent @sent may write, by the credit that lies there; -EPROTO: it went
 * back, or beyond what was sent. @given is what is believed of it: the sender looks only when that
 * does not suffice.
 */
static inline int room_for(const struct ring_shared *shared, uint64_t *given, uint64_t sent,
			   uint32_t nr)
{
	const uint64_t credit = shared->credit;
	uint64_t room = SLOTS - (sent - *given);

	if (room < nr) {
		if (credit - *given > sent - *given)
			return -EPROTO;
		*given = credit;
		room = SLOTS - (sent - credit);
	}
	if (!room)
		return -EAGAIN;
	return (int)(room < nr ? room : nr);
}

/* Room for @nr descriptors, of its exact length, so that a write behind it is seen. */
static inline struct pinion_desc *descs_new(uint32_t nr)
{
	struct pinion_desc *desc = malloc(nr * sizeof(*desc));

	oracle(desc, "no memory");
	return desc;
}

#endif
