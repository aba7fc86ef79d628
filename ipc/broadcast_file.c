/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of a broadcast. */
#include "broadcast.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "fail.h"
#include "sealed.h"

/* The last seals of the ring are set when its producer has it mapped. */
int broadcast_make(uint32_t slots, uint64_t start, int *fd)
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
	atomic_init(&shared->slots, slots);
	atomic_init(&shared->start, start);
	if (start)
		ring_empty(shared, slots, start);
	*fd = sealed_leave(&memory);
	return 0;
}

int pinion_broadcast_create(uint32_t slots, int *fd)
{
	return broadcast_make(slots, 0, fd);
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
	slots = atomic_load_explicit(&shared->slots, memory_order_relaxed);
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
		.fd = BELL_FD_NONE,
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
