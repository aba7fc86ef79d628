/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of a broadcast, and what a keeper reads in them about a dead producer. */
#include "broadcast.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "fail.h"
#include "sealed.h"

/* The last seals of the ring are set when its producer has it mapped. */
int pinion_broadcast_create(uint32_t slots, int *fd)
{
	KEEP_ERRNO;
	struct pinion_hostmem memory;
	struct ring_shared *shared;
	int err;

	if (!ring_slots_valid(slots))
		return pinion_fail(-EINVAL,
				   "a broadcast has a power of two of slots from %u to "
				   "%u, not %u",
				   PINION_RING_SLOTS_MIN, PINION_RING_SLOTS_MAX, slots);
	err = sealed_make("pinion-broadcast", ring_len(slots), 0, &memory);
	if (err)
		return err;
	shared = memory.addr;
	shared->magic = BROADCAST_MAGIC;
	shared->version = RING_VERSION;
	shared->slots = slots;
	*fd = sealed_leave(&memory);
	return 0;
}

int pinion_broadcast_create_seat(int *fd)
{
	KEEP_ERRNO;
	struct pinion_hostmem memory;
	struct seat_shared *shared;
	int err = sealed_make("pinion-seat", SEAT_LEN, F_SEAL_SEAL, &memory);

	if (err)
		return err;
	shared = memory.addr;
	shared->magic = SEAT_MAGIC;
	shared->version = SEAT_VERSION;
	atomic_init(&shared->bell.fenced, 1);
	*fd = sealed_leave(&memory);
	return 0;
}

int broadcast_map_ring(int fd, int protection, struct ring *ring)
{
	struct ring_shared *shared;
	uint32_t slots;
	void *addr = NULL;
	size_t len = 0;
	int err = sealed_map(fd, "broadcast", ring_len(PINION_RING_SLOTS_MIN),
			     ring_len(PINION_RING_SLOTS_MAX), protection, &addr, &len);

	if (err)
		return err;
	shared = addr;
	/* The file's size decides; the header only has to agree with it. */
	slots = shared->slots;
	if (shared->magic != BROADCAST_MAGIC || shared->version != RING_VERSION ||
	    !ring_slots_valid(slots) || ring_len(slots) != len) {
		(void)munmap(addr, len);
		return pinion_fail(-EPROTO, "this file is not the ring of a broadcast");
	}
	*ring = (struct ring){
		.shared = shared,
		.len = len,
		.slots = slots,
		.shift = (uint32_t)__builtin_ctz(slots),
		.fd = {.socket = -1, .epoll = -1},
		.hand = {.registered = bell_register(), .socket = -1},
	};
	return 0;
}

int broadcast_map_seat(int fd, struct seat_shared **seat)
{
	struct seat_shared *shared;
	void *addr = NULL;
	size_t len = 0;
	int err = sealed_map(fd, "broadcast", SEAT_LEN, SEAT_LEN, PROT_READ | PROT_WRITE, &addr,
			     &len);

	if (err)
		return err == -EPERM ? -EPROTO : err; /* a ring that has its producer */
	shared = addr;
	if (shared->magic != SEAT_MAGIC || shared->version != SEAT_VERSION) {
		(void)munmap(addr, len);
		return pinion_fail(-EPROTO, "this file is not a seat of a broadcast");
	}
	*seat = shared;
	return 0;
}

void broadcast_unmap_seat(struct seat_shared *seat)
{
	if (seat)
		(void)munmap(seat, SEAT_LEN);
}

int pinion_broadcast_orphan(int fd)
{
	KEEP_ERRNO;
	struct seat_shared *seat;
	int err = broadcast_map_seat(fd, &seat);

	if (err)
		return err;
	/* One that was severed stays so: it must not use what it read. */
	if (atomic_load_explicit(&seat->ended, memory_order_relaxed) == SEAT_OPEN)
		seat_end(seat, SEAT_ENDED, &(struct bell_hand){.registered = false, .socket = -1});
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
