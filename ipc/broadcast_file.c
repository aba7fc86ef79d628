/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of a broadcast, and what a keeper reads in them about a dead producer. */
#include "broadcast.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <pinion/hostmem.h>

#include "fail.h"

/* All of it now: a touch later must not meet a full machine. */
static int make(const char *name, size_t len, int seals, struct pinion_hostmem *memory)
{
	int err = pinion_hostmem_create(name, len, 4096, memory);

	if (err)
		return pinion_fail(err, "cannot make a %s of %zu bytes: %s", name, len,
				   strerror(-err));
	err = pinion_hostmem_populate(memory, 0, len);
	if (!err)
		err = pinion_hostmem_seal(memory, F_SEAL_SHRINK | F_SEAL_GROW | seals);
	if (!err)
		return 0;
	(void)pinion_hostmem_destroy(memory);
	return pinion_fail(err, "cannot populate and seal a %s of %zu bytes: %s", name, len,
			   strerror(-err));
}

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
	err = make("pinion-broadcast", ring_len(slots), 0, &memory);
	if (err)
		return err;
	shared = memory.addr;
	shared->magic = BROADCAST_MAGIC;
	shared->version = RING_VERSION;
	shared->slots = slots;
	(void)munmap(memory.addr, memory.len);
	*fd = memory.fd;
	return 0;
}

int pinion_broadcast_create_seat(int *fd)
{
	KEEP_ERRNO;
	struct pinion_hostmem memory;
	struct seat_shared *shared;
	int err = make("pinion-seat", SEAT_LEN, F_SEAL_SEAL, &memory);

	if (err)
		return err;
	shared = memory.addr;
	shared->magic = SEAT_MAGIC;
	shared->version = SEAT_VERSION;
	atomic_init(&shared->bell.fenced, 1);
	(void)munmap(memory.addr, memory.len);
	*fd = memory.fd;
	return 0;
}

/* Mapped only if it cannot be shortened: an access behind its end would be a SIGBUS. */
static int map(int fd, size_t least, size_t most, int protection, void **addr, size_t *len)
{
	struct stat status;
	int seals;

	if (fstat(fd, &status))
		return pinion_fail(-errno, "broadcast: %s", strerror(errno));
	if (status.st_size < (off_t)least || status.st_size > (off_t)most)
		return pinion_fail(-EPROTO, "a file of %jd bytes is not of a broadcast",
				   (intmax_t)status.st_size);
	if (pinion_hostmem_seals(fd, &seals) || !(seals & F_SEAL_SHRINK))
		return pinion_fail(-EPROTO, "this file is not of a broadcast: it is not sealed");
	*len = (size_t)status.st_size;
	*addr = mmap(NULL, *len, protection, MAP_SHARED, fd, 0);
	if (*addr == MAP_FAILED && errno == EPERM)
		return pinion_fail(-EPERM, "this file is sealed against writing");
	if (*addr == MAP_FAILED)
		return pinion_fail(-errno, "cannot map a file of a broadcast: %s", strerror(errno));
	return 0;
}

int broadcast_map_ring(int fd, int protection, struct ring *ring)
{
	struct ring_shared *shared;
	uint32_t slots;
	void *addr = NULL;
	size_t len = 0;
	int err = map(fd, ring_len(PINION_RING_SLOTS_MIN), ring_len(PINION_RING_SLOTS_MAX),
		      protection, &addr, &len);

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
	int err = map(fd, SEAT_LEN, SEAT_LEN, PROT_READ | PROT_WRITE, &addr, &len);

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
