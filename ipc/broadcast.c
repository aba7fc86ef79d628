/* SPDX-License-Identifier: BSD-3-Clause */
/* The producer's end of a broadcast. */
#include "broadcast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pinion/hostmem.h>

#include "fail.h"
#include "pool.h"

/* --- life */

/* From here on nobody else maps it for writing, nor punches holes into it. */
static int shut(int fd)
{
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL))
		return pinion_fail(-errno, "cannot seal the ring of a broadcast: %s",
				   strerror(errno));
	return 0;
}

static void discard(struct pinion_broadcast *broadcast)
{
	ring_unmap(&broadcast->ring);
	free(broadcast->out);
	free(broadcast);
}

/* Nobody else goes by it: consumers are told where they begin. */
static void find_start(struct pinion_broadcast *broadcast)
{
	struct ring *ring = &broadcast->ring;

	ring->at = atomic_load_explicit(&ring->shared->start, memory_order_relaxed);
	broadcast->collected = broadcast->back = ring->at;
}

int pinion_broadcast_open(struct pinion_pool *pool, int fd, struct pinion_broadcast **out)
{
	KEEP_ERRNO;
	struct pinion_broadcast *broadcast = calloc(1, sizeof(*broadcast));
	int err;

	if (!broadcast)
		return pinion_fail(-ENOMEM, "no memory for a broadcast");
	broadcast->view = pinion_pool_view(pool);
	err = broadcast_map_ring(fd, PROT_READ | PROT_WRITE, &broadcast->ring);
	if (err)
		goto failed;
	broadcast->out = calloc(broadcast->ring.slots, sizeof(*broadcast->out));
	if (!broadcast->out) {
		err = pinion_fail(-ENOMEM, "no memory for a broadcast of %u slots",
				  broadcast->ring.slots);
		goto failed;
	}
	err = shut(fd);
	if (err)
		goto failed;
	find_start(broadcast);
	*out = broadcast;
	return 0;
failed:
	discard(broadcast);
	return err;
}

static void vacate(struct place *place)
{
	broadcast_unmap_seat(place->seat);
	if (place->seat && place->hand.socket >= 0)
		(void)close(place->hand.socket);
	*place = (struct place){.state = PLACE_FREE};
}

static bool tell(void *broadcast)
{
	return pinion_broadcast_told(broadcast) == 0;
}

int pinion_broadcast_close(struct pinion_broadcast *broadcast)
{
	KEEP_ERRNO;
	bool told;

	pinion_broadcast_end(broadcast);
	told = bell_tell_at_last(tell, broadcast);
	for (uint32_t i = 0; i < broadcast->nr_places; i++)
		vacate(&broadcast->place[i]);
	discard(broadcast);
	return told ? 0 : pinion_fail(-ENOBUFS, "a consumer's loop cannot be told of the end now");
}

/* --- consumers */

static struct place *free_place(struct pinion_broadcast *broadcast)
{
	for (uint32_t i = 0; i < PINION_BROADCAST_CONSUMERS_MAX; i++)
		if (broadcast->place[i].state == PLACE_FREE)
			return &broadcast->place[i];
	return NULL;
}

int pinion_broadcast_admit(struct pinion_broadcast *broadcast, int fd, uint32_t *consumer)
{
	KEEP_ERRNO;
	struct place *place = free_place(broadcast);
	struct seat_shared *seat;
	int err;

	if (broadcast->ended)
		return pinion_fail(-EPIPE, "the broadcast was ended");
	if (!place)
		return pinion_fail(-EAGAIN, "a broadcast has no more than %d consumers",
				   PINION_BROADCAST_CONSUMERS_MAX);
	err = broadcast_map_seat(fd, &seat);
	if (err)
		return err;
	if (atomic_load_explicit(&seat->begin, memory_order_relaxed)) {
		broadcast_unmap_seat(seat);
		return pinion_fail(-EEXIST, "this seat was used before");
	}
	*place = (struct place){PLACE_OPEN, seat, .begin = broadcast->ring.at,
				.hand = broadcast->ring.hand};
	atomic_store_explicit(&seat->begin, seat_begin(&broadcast->ring, place->begin),
			      memory_order_release); /* R10 */
	*consumer = (uint32_t)(place - broadcast->place);
	if (*consumer >= broadcast->nr_places)
		broadcast->nr_places = *consumer + 1;
	return 0;
}

static struct place *place_of(struct pinion_broadcast *broadcast, uint32_t consumer)
{
	if (consumer >= broadcast->nr_places || broadcast->place[consumer].state == PLACE_FREE)
		return NULL;
	return &broadcast->place[consumer];
}

int pinion_broadcast_sever(struct pinion_broadcast *broadcast, uint32_t consumer)
{
	KEEP_ERRNO;
	struct place *place = place_of(broadcast, consumer);

	if (!place)
		return -EINVAL;
	if (!seat_end(place->seat, SEAT_SEVERED, &place->hand)) {
		place->state = PLACE_LEFT;
		place->untold = true;
		return pinion_fail(-ENOBUFS, "a consumer's loop cannot be told of the end now");
	}
	vacate(place);
	return 0;
}

/* Of this process, for who watches it. */
static _Atomic uint64_t lies;

uint64_t pinion_broadcast_lies(void)
{
	return atomic_load_explicit(&lies, memory_order_relaxed);
}

void broadcast_count_lie(void)
{
	atomic_fetch_add_explicit(&lies, 1, memory_order_relaxed);
}

/*
 * A8. What an open place says now. It said more than it was sent, or less than before, if the step
 * from its last word is larger than what it had out then. One subtraction finds both.
 */
static void look(const struct pinion_broadcast *broadcast, struct place *place)
{
	uint64_t out = broadcast->ring.at - place->begin - place->returned;
	uint64_t returned;

	if (place->state != PLACE_OPEN)
		return;
	if (atomic_load_explicit(&place->seat->closed, memory_order_acquire)) { /* A8 */
		place->state = PLACE_LEFT;
		return;
	}
	returned = atomic_load_explicit(&place->seat->returned, memory_order_acquire); /* A8 */
	if (returned - place->returned <= out) {
		place->returned = returned;
		return;
	}
	place->state = PLACE_LIED;
	broadcast_count_lie();
	place->untold = !seat_end(place->seat, SEAT_SEVERED, &place->hand);
}

int pinion_broadcast_lag(struct pinion_broadcast *broadcast, uint32_t consumer)
{
	KEEP_ERRNO;
	struct place *place = place_of(broadcast, consumer);

	if (!place)
		return -EINVAL;
	look(broadcast, place);
	if (place->state == PLACE_LEFT)
		return -EPIPE;
	if (place->state == PLACE_LIED)
		return -EPROTO;
	return (int)(broadcast->ring.at - place->begin - place->returned);
}

int pinion_broadcast_set_notify(struct pinion_broadcast *broadcast, uint32_t consumer, int fd)
{
	KEEP_ERRNO;
	struct place *place = place_of(broadcast, consumer);
	int err;

	if (!place)
		return pinion_fail(-EINVAL, "the broadcast has no consumer %u", consumer);
	err = bell_fd_keep(&place->hand.socket, fd);
	/* Strikes before this left the bell armed. */
	if (!err)
		place->untold = !bell_strike(&place->seat->bell, &place->hand);
	return err;
}

int pinion_broadcast_told(struct pinion_broadcast *broadcast)
{
	KEEP_ERRNO;
	bool told = true;

	for (uint32_t i = 0; i < broadcast->nr_places; i++) {
		struct place *place = &broadcast->place[i];

		if (!place->untold)
			continue;
		place->untold = !bell_strike(&place->seat->bell, &place->hand);
		told = told && !place->untold;
	}
	return told ? 0 : -ENOBUFS;
}

void pinion_broadcast_end(struct pinion_broadcast *broadcast)
{
	KEEP_ERRNO;

	broadcast->ended = true;
	for (uint32_t i = 0; i < broadcast->nr_places; i++)
		if (broadcast->place[i].state == PLACE_OPEN)
			broadcast->place[i].untold =
				!seat_end(broadcast->place[i].seat, SEAT_ENDED,
					  &broadcast->place[i].hand);
}

/* --- work */

/* Ours, and not longer than it is? */
static bool sendable(const struct pinion_view *view, const struct pinion_desc *desc)
{
	uint32_t id = pinion_buffer_id(desc->buffer);

	if (!pinion_view_has(view, id))
		return false;
	if (atomic_load_explicit(&view->owner[id], memory_order_relaxed) !=
	    pinion_owner_word(desc->buffer, view->self))
		return false;
	return desc->len <= pinion_view_segment_of(view, id)->size;
}

/* The record comes first: how many of the first @nr may be sent, each written down. */
static uint32_t record(struct pinion_broadcast *broadcast, const struct pinion_desc *desc,
		       uint32_t nr)
{
	const uint32_t mask = broadcast->ring.slots - 1;
	uint32_t i;

	for (i = 0; i < nr && sendable(broadcast->view, &desc[i]); i++)
		broadcast->out[(broadcast->ring.at + i) & mask] = desc[i].buffer;
	return i;
}

static void strike(struct pinion_broadcast *broadcast)
{
	for (uint32_t i = 0; i < broadcast->nr_places; i++) {
		struct place *place = &broadcast->place[i];

		if (place->state == PLACE_OPEN &&
		    __builtin_expect(!bell_strike(&place->seat->bell, &place->hand), 0))
			place->untold = true;
	}
}

/* What every open place has returned was collected before its slot is free: so the one number that
 * matters here is ours. */
int pinion_broadcast_send(struct pinion_broadcast *broadcast, const struct pinion_desc *desc,
			  uint32_t nr)
{
	struct ring *ring = &broadcast->ring;
	uint32_t room = ring->slots - (uint32_t)(ring->at - broadcast->collected);

	if (broadcast->ended)
		return -EPIPE;
	if (!room)
		return -EAGAIN;
	nr = record(broadcast, desc, nr < room ? nr : room);
	if (nr)
		nr = ring_publish(ring, desc, nr);
	if (!nr)
		return -EINVAL;
	strike(broadcast);
	return (int)nr;
}

/* The least that open places have returned. Loans to a new consumer begin where we are: it cannot
 * bring this back below what was known. */
static void find_back(struct pinion_broadcast *broadcast)
{
	uint64_t least = broadcast->ring.at - broadcast->collected;

	for (uint32_t i = 0; i < broadcast->nr_places; i++) {
		struct place *place = &broadcast->place[i];
		uint64_t back;

		look(broadcast, place);
		back = place->begin + place->returned - broadcast->collected;
		if (place->state == PLACE_OPEN && back < least)
			least = back;
	}
	broadcast->back = broadcast->collected + least;
}

int pinion_broadcast_collect(struct pinion_broadcast *broadcast, struct pinion_buffer *buffer,
			     uint32_t nr)
{
	const uint32_t mask = broadcast->ring.slots - 1;
	uint64_t back;

	/* Their lines are left alone as long as what is known of them suffices. */
	if (broadcast->back - broadcast->collected < nr)
		find_back(broadcast);
	back = broadcast->back - broadcast->collected;
	if (!back)
		return broadcast->ring.at == broadcast->collected ? 0 : -EAGAIN;
	if (back < nr)
		nr = (uint32_t)back;
	for (uint32_t i = 0; i < nr; i++)
		buffer[i] = broadcast->out[(broadcast->collected + i) & mask];
	broadcast->collected += nr;
	return (int)nr;
}
