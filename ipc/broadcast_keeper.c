/* SPDX-License-Identifier: BSD-3-Clause */
/* What a keeper does in the files of a broadcast whose producer is dead, and reads there. */
#include "broadcast.h"

#include <errno.h>
#include <sys/mman.h>

#include "fail.h"

/* The dead may have ended it already, or have taken the call at the bell, and woken nobody: so the
 * bell tolls whatever they say. */
int pinion_broadcast_orphan(int fd)
{
	KEEP_ERRNO;
	const struct bell_hand hand = {.registered = false, .socket = -1}; /* no byte, no loop */
	struct seat_shared *seat;
	int err = broadcast_map_seat(fd, &seat);

	if (err)
		return err;
	/* One that was severed stays so: it must not use what it read. */
	if (atomic_load_explicit(&seat->ended, memory_order_relaxed) == SEAT_OPEN)
		(void)seat_end(seat, SEAT_ENDED, &hand);
	(void)bell_toll(&seat->bell, &hand);
	broadcast_unmap_seat(seat);
	return 0;
}

/* The first position that this consumer has a loan at; false: none, now and later. */
static bool first_loan(const struct seat_shared *seat, uint64_t *at)
{
	uint64_t begin = atomic_load_explicit(&seat->begin, memory_order_acquire); /* A10 */
	uint32_t ended = atomic_load_explicit(&seat->ended, memory_order_acquire); /* A9 */

	*at = begin - 1 + atomic_load_explicit(&seat->returned, memory_order_acquire); /* A8 */
	return begin && ended <= SEAT_ENDED &&
	       !atomic_load_explicit(&seat->closed, memory_order_acquire); /* A8 */
}

/* All slots as this consumer sees them: lent if the lap of the head is that of its position. (The
 * head is stored last: a slot whose head lacks was never received.) */
static int lent(const struct ring *ring, uint64_t at, struct pinion_buffer *buffer, uint32_t room)
{
	uint32_t nr = 0;

	for (uint64_t end = at + ring->slots; at != end; at++) {
		uint64_t head =
			atomic_load_explicit(&ring_slot(ring, at)->head, memory_order_relaxed) ^
			ring_lap(ring, at).head;

		if (head >> 63)
			continue;
		if (nr == room)
			return pinion_fail(-ENOSPC, "more than %u buffers are lent", room);
		buffer[nr++].bits = head;
	}
	return (int)nr;
}

int pinion_broadcast_lent(int fd, int seat_fd, struct pinion_buffer *buffer, uint32_t nr)
{
	KEEP_ERRNO;
	struct seat_shared *seat;
	struct ring ring;
	uint64_t at;
	int result = broadcast_map_ring(fd, PROT_READ, &ring);

	if (result)
		return result;
	result = broadcast_map_seat(seat_fd, &seat);
	if (!result) {
		result = first_loan(seat, &at) ? lent(&ring, at, buffer, nr) : 0;
		broadcast_unmap_seat(seat);
	}
	ring_unmap(&ring);
	return result;
}
