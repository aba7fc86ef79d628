/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fail.h"
#include "ready.h"
#include "sealed.h"

int ring_check_slots(uint32_t slots)
{
	if (ring_slots_valid(slots))
		return 0;
	return pinion_fail(-EINVAL, "a ring has a power of two of slots from %u to %u, not %u",
			   PINION_RING_SLOTS_MIN, PINION_RING_SLOTS_MAX, slots);
}

void ring_empty(struct ring_shared *shared, uint32_t slots, uint64_t start)
{
	const struct ring ring = {
		.shared = shared, .slots = slots, .shift = (uint32_t)__builtin_ctz(slots)};
	const struct pinion_desc nothing = {0};

	for (uint64_t at = start - ring.slots; at != start; at++)
		pinion_slot_store(ring_slot(&ring, at), &nothing, ring_lap(&ring, at));
}

static void lay_out(struct ring_shared *shared, uint32_t slots, uint64_t start)
{
	shared->magic = RING_MAGIC;
	shared->version = RING_VERSION;
	atomic_init(&shared->slots, slots);
	atomic_init(&shared->start, start);
	atomic_init(&shared->credit, start);
	atomic_init(&shared->bell.fenced, 1);
	if (start)
		ring_empty(shared, slots, start);
}

int ring_make(uint32_t slots, uint64_t start, int *fd)
{
	KEEP_ERRNO;
	struct pinion_hostmem memory;
	int err = ring_check_slots(slots);

	if (!err)
		err = sealed_make("pinion-ring", ring_len(slots), F_SEAL_SEAL, &memory);
	if (err)
		return err;
	lay_out(memory.addr, slots, start);
	*fd = sealed_leave(&memory);
	return 0;
}

int pinion_ring_create(uint32_t slots, int *fd)
{
	return ring_make(slots, 0, fd);
}

int ring_map(int fd, struct ring *ring)
{
	struct ring_shared *shared;
	uint64_t start;
	uint32_t slots;
	void *addr = NULL;
	size_t len = 0;
	int err = sealed_map(fd, "ring", ring_len(PINION_RING_SLOTS_MIN),
			     ring_len(PINION_RING_SLOTS_MAX), PROT_READ | PROT_WRITE, &addr, &len);

	if (err)
		return err;
	shared = addr;
	/* The file's size decides; the header only has to agree with it. */
	slots = atomic_load_explicit(&shared->slots, memory_order_relaxed);
	if (shared->magic != RING_MAGIC || shared->version != RING_VERSION ||
	    !ring_slots_valid(slots) || ring_len(slots) != len) {
		(void)munmap(addr, len);
		return pinion_fail(-EPROTO, "this file is not a ring of this layout");
	}
	start = atomic_load_explicit(&shared->start, memory_order_relaxed);
	*ring = (struct ring){
		.shared = shared,
		.len = len,
		.slots = slots,
		.shift = (uint32_t)__builtin_ctz(slots),
		.at = start,
		.credit = start,
		.fd = BELL_FD_NONE,
		.spin_ns = RING_SPIN_NS,
		.hand = {.registered = bell_register(), .socket = -1},
	};
	return 0;
}

void ring_unmap(struct ring *ring)
{
	if (!ring->shared)
		return;
	(void)munmap(ring->shared, ring->len);
	ring->shared = NULL;
	bell_fd_close(&ring->fd);
	if (ring->hand.socket >= 0)
		(void)close(ring->hand.socket);
	ready_unmap(ring->hand.ready);
}

/* Was it untold? Not any more, unless what follows says so again. */
static bool take_untold(struct ring *ring)
{
	return atomic_load_explicit(&ring->untold, memory_order_relaxed) &&
	       atomic_exchange_explicit(&ring->untold, false, memory_order_relaxed);
}

static bool is_told(const struct ring *ring)
{
	return !atomic_load_explicit(&ring->untold, memory_order_relaxed);
}

void ring_post(struct ring *ring)
{
	if (ring->hand.ready && !ready_post(&ring->hand))
		atomic_store_explicit(&ring->untold, true, memory_order_relaxed);
}

/* The byte that failed may have been of the ring's bell or of its ready set's. */
bool ring_tell(struct ring *ring)
{
	if (!take_untold(ring))
		return true;
	ring_strike(ring);
	ring_post(ring);
	return is_told(ring);
}

bool ring_tell_self(struct ring *ring)
{
	if (!take_untold(ring))
		return true;
	ring_wake_self(ring);
	return is_told(ring);
}

static bool tell(void *ring)
{
	return ring_tell(ring);
}

bool ring_tell_at_last(struct ring *ring)
{
	return bell_tell_at_last(tell, ring);
}

uint32_t ring_depth(const struct ring *ring)
{
	struct ring look = *ring;
	uint32_t nr = 0;

	look.at = atomic_load_explicit(&ring->shared->credit, memory_order_relaxed);
	for (; nr < ring->slots && ring_ready(&look); nr++)
		look.at++;
	return nr;
}
