/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring_end.h"

#include <errno.h>
#include <stdlib.h>

#include "fail.h"
#include "ring.h"

/* One end of a ring by itself, as its library sees it. */
struct end {
	struct pinion_ring pub; /* first: the caller's handle */
	struct ring ring;
	enum pinion_ring_end is;
	uint32_t seen; /* receiver: slots that were found published and not taken as yet */
	bool lied_to;  /* the peer broke a rule, which is counted */
	atomic_bool severed; /* R4, A4: the other end's process is dead */
};

static struct end *end_of(struct pinion_ring *pub)
{
	return (struct end *)(void *)pub;
}

struct ring *ring_end_of(struct pinion_ring *pub, enum pinion_ring_end is)
{
	struct end *end = end_of(pub);

	return end->is == is ? &end->ring : NULL;
}

int pinion_ring_open(int fd, enum pinion_ring_end is, struct pinion_ring **ring)
{
	KEEP_ERRNO;
	struct end *end;
	int err;

	if (is != PINION_RING_SEND && is != PINION_RING_RECV)
		return pinion_fail(-EINVAL, "an end of a ring sends or receives, it is not %d",
				   (int)is);
	end = calloc(1, sizeof(*end));
	if (!end)
		return pinion_fail(-ENOMEM, "no memory for an end of a ring");
	err = ring_map(fd, &end->ring);
	if (err) {
		free(end);
		return err;
	}
	end->is = is;
	*ring = &end->pub;
	return 0;
}

int pinion_ring_close(struct pinion_ring *pub)
{
	KEEP_ERRNO;
	struct end *end = end_of(pub);
	struct ring_shared *shared = end->ring.shared;
	bool sends = end->is == PINION_RING_SEND, told = true;

	atomic_store_explicit(sends ? &shared->producer_closed : &shared->consumer_closed, 1,
			      memory_order_release); /* R4 */
	if (sends) {
		ring_strike(&end->ring);
		told = ring_tell_at_last(&end->ring);
	}
	ring_unmap(&end->ring);
	free(end);
	return told ? 0 : pinion_fail(-ENOBUFS, "the receiver's loop could not be told of the end");
}

uint32_t pinion_ring_slots(const struct pinion_ring *pub)
{
	return ((const struct end *)(const void *)pub)->ring.slots;
}

/* Who heard of the death has seen what the dead had; so has who hears of it from that thread. */
void pinion_ring_sever(struct pinion_ring *pub)
{
	struct end *end = end_of(pub);

	atomic_store_explicit(&end->severed, true, memory_order_release); /* R4 */
	if (end->is == PINION_RING_RECV)
		ring_wake_self(&end->ring);
}

/* @closed: the other end's flag. */
static bool is_gone(const struct end *end, const _Atomic uint32_t *closed)
{
	return atomic_load_explicit(closed, memory_order_acquire) ||      /* A4 */
	       atomic_load_explicit(&end->severed, memory_order_acquire); /* A4 */
}

/* Of this process, for who watches it. */
static _Atomic uint64_t lies;

uint64_t pinion_ring_lies(void)
{
	return atomic_load_explicit(&lies, memory_order_relaxed);
}

void ring_end_lied_to(struct pinion_ring *pub)
{
	struct end *end = end_of(pub);

	if (!end->lied_to)
		atomic_fetch_add_explicit(&lies, 1, memory_order_relaxed);
	end->lied_to = true;
}

static int no_room(struct end *end, int64_t why)
{
	if (!why)
		return -EAGAIN;
	ring_end_lied_to(&end->pub);
	return (int)why;
}

/* Slots of the next @nr that can be written: at least 1, or why not. */
static int room(struct end *end, uint32_t nr)
{
	int64_t free_slots;

	if (is_gone(end, &end->ring.shared->consumer_closed))
		return -EPIPE;
	free_slots = ring_room(&end->ring, nr);
	return free_slots > 0 ? (int)free_slots : no_room(end, free_slots);
}

/* Reserved slots that may have been put and are not published would count as soon as those before
 * them do: from the @from-th on they get the lap of the round before. Ends the reservation. */
static void give_up(struct end *end, uint32_t from)
{
	const struct pinion_lap lap = {end->pub.lap.head ^ PINION_SLOT_HEAD_LAP,
				       end->pub.lap.body ^ PINION_SLOT_BODY_LAP};
	const struct pinion_desc nothing = {0};

	for (uint32_t i = from; i < end->pub.reserved; i++)
		pinion_slot_store(&end->pub.slot[i], &nothing, lap);
	end->pub.reserved = 0;
}

int pinion_ring_send(struct pinion_ring *ring, const struct pinion_desc *desc, uint32_t nr)
{
	struct end *end = end_of(ring);
	int free_slots = room(end, nr);

	if (free_slots < 0)
		return free_slots;
	/* A call that fails leaves the reservation. */
	if (ring->reserved && pinion_desc_valid(desc))
		give_up(end, 0);
	nr = ring_publish(&end->ring, desc, (uint32_t)free_slots);
	if (!nr)
		return -EINVAL;
	ring_strike(&end->ring);
	return (int)nr;
}

int pinion_ring_reserve(struct pinion_ring *ring, uint32_t nr)
{
	struct end *end = end_of(ring);
	int free_slots = room(end, nr);

	if (free_slots < 0)
		return free_slots;
	if (ring->reserved)
		give_up(end, 0);
	ring->slot = ring_slot(&end->ring, end->ring.at);
	ring->lap = ring_lap(&end->ring, end->ring.at);
	ring->reserved = ring_run(&end->ring, end->ring.at, (uint32_t)free_slots);
	return (int)ring->reserved;
}

/* The head that was put with the wrong lap is read back. Only who has the ring mapped can have
 * changed it, and then only for itself: nothing here depends on what it says. */
int pinion_ring_commit(struct pinion_ring *ring, uint32_t nr)
{
	struct end *end = end_of(ring);
	uint64_t head;

	if (nr > ring->reserved)
		return -EINVAL;
	if (nr < ring->reserved)
		give_up(end, nr);
	ring->reserved = 0;
	if (!nr)
		return 0;
	head = atomic_load_explicit(&ring->slot->head, memory_order_relaxed);
	atomic_store_explicit(&ring->slot->head,
			      (head & ~PINION_SLOT_HEAD_LAP) | ring->lap.head,
			      memory_order_release); /* R2 */
	end->ring.at += nr;
	ring_fetch_ahead(&end->ring, nr);
	ring_strike(&end->ring);
	return (int)nr;
}

/* Nothing at @at, which is not received as yet: for now, or for good? */
static int why_empty(struct end *end, uint64_t at)
{
	struct pinion_desc ignored;

	ring_idle(&end->ring);
	if (!is_gone(end, &end->ring.shared->producer_closed))
		return -EAGAIN;
	/* It may have published just before it closed: look once more. */
	return ring_copy(&end->ring, at, &ignored, 1) ? -EAGAIN : -EPIPE;
}

int pinion_ring_recv(struct pinion_ring *ring, struct pinion_desc *desc, uint32_t nr)
{
	struct end *end = end_of(ring);
	uint32_t got = ring_copy(&end->ring, end->ring.at, desc, nr);

	if (!got)
		return why_empty(end, end->ring.at);
	end->seen -= end->seen < got ? end->seen : got;
	ring_write_back(&end->ring, end->ring.at, desc, got);
	ring_take(&end->ring, got);
	return (int)got;
}

/* Are the next @nr published? In order: what lies behind a gap may be a batch half written. */
static bool see(struct end *end, uint32_t nr)
{
	struct pinion_desc ignored;

	while (end->seen < nr && end->seen < end->ring.slots &&
	       ring_copy(&end->ring, end->ring.at + end->seen, &ignored, 1))
		end->seen++;
	return end->seen >= nr;
}

int pinion_ring_peek(struct pinion_ring *ring, uint32_t skip, struct pinion_desc *desc, uint32_t nr)
{
	struct end *end = end_of(ring);
	uint32_t got = 0;

	if (see(end, skip)) {
		uint32_t left = end->ring.slots - skip;

		got = ring_copy(&end->ring, end->ring.at + skip, desc, nr < left ? nr : left);
	}
	if (!got)
		return why_empty(end, end->ring.at + end->seen);
	ring_write_back(&end->ring, end->ring.at + skip, desc, got);
	if (end->seen < skip + got)
		end->seen = skip + got;
	/* The end of what is published was met: the sender may wait for what we hold back. */
	if (got < nr)
		ring_give_rest(&end->ring);
	return (int)got;
}

int pinion_ring_release(struct pinion_ring *ring, uint32_t nr)
{
	struct end *end = end_of(ring);

	if (!see(end, nr))
		return -EINVAL;
	end->seen -= nr;
	ring_take(&end->ring, nr);
	return 0;
}

static int ready(void *context)
{
	struct end *end = context;
	struct ring *ring = &end->ring;

	if (ring_ready(ring))
		return 1;
	if (!is_gone(end, &ring->shared->producer_closed))
		return 0;
	return ring_ready(ring) ? 1 : -EPIPE;
}

struct ring_waiter ring_end_waiter(struct pinion_ring *ring)
{
	struct end *end = end_of(ring);

	return (struct ring_waiter){
		.ring = &end->ring, .ready = ready, .context = end, .pidfd = -1};
}

int pinion_ring_wait(struct pinion_ring *ring, uint64_t timeout_ns)
{
	KEEP_ERRNO;
	const struct ring_waiter waiter = ring_end_waiter(ring);
	uint32_t which = 0;

	return ring_wait(&waiter, 1, timeout_ns, &which);
}
