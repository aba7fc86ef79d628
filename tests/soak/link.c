/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "ring.h"

int link_create_all(struct board *board)
{
	for (uint32_t i = 0; i < SEATS; i++)
		for (int side = 0; side < 2; side++) {
			const int err =
				pinion_ring_create(LINK_SLOTS, &board->link[i].ring[side]);

			if (err)
				return err;
		}
	return 0;
}

void link_destroy_all(struct board *board)
{
	for (uint32_t i = 0; i < SEATS; i++)
		for (int side = 0; side < 2; side++)
			close(board->link[i].ring[side]);
}

/* Its member will not touch the rings of this serial any more. */
static bool end_is_done(const struct link_end *end, uint32_t serial)
{
	return atomic_load_explicit(&end->closed, memory_order_acquire) == serial ||
	       atomic_load_explicit(&end->dead, memory_order_relaxed) == serial;
}

static bool is_live(const struct board *board, uint32_t seat)
{
	return atomic_load_explicit(&board->seat[seat].state, memory_order_relaxed) == SEAT_LIVE;
}

/* As just made: nobody has it mapped but us. */
static int empty_ring(int fd)
{
	struct ring ring;
	const int err = ring_map(fd, &ring);

	if (err)
		return err;
	memset((char *)ring.shared + offsetof(struct ring_shared, credit), 0,
	       ring.len - offsetof(struct ring_shared, credit));
	atomic_store_explicit(&ring.shared->bell.fenced, 1, memory_order_relaxed);
	ring_unmap(&ring);
	return 0;
}

/* Killed in between it stays at serial 0, which the next keeper makes anew. */
static int renew(struct board *board, uint32_t i)
{
	struct link *link = &board->link[i];
	int err;

	atomic_store_explicit(&link->serial, 0, memory_order_relaxed);
	err = empty_ring(link->ring[0]);
	if (!err)
		err = empty_ring(link->ring[1]);
	if (err)
		return err;
	link->end[0].life = board->seat[i].life;
	link->end[1].life = board->seat[link_neighbour(i, 0)].life;
	atomic_store_explicit(&link->serial, ++board->next_serial, memory_order_release);
	return 0;
}

int link_renew(struct board *board)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < SEATS; i++) {
		const struct link *link = &board->link[i];
		const uint32_t serial = atomic_load_explicit(&link->serial, memory_order_relaxed);

		if (!is_live(board, i) || !is_live(board, link_neighbour(i, 0)))
			continue;
		if (!serial ||
		    (end_is_done(&link->end[0], serial) && end_is_done(&link->end[1], serial)))
			err = renew(board, i);
	}
	return err;
}

/* The serial of the link in which the member of @seat has end @side; 0: it has none. */
static uint32_t serial_of(struct board *board, uint32_t seat, uint32_t side)
{
	const struct link *link = link_of(board, seat, side);
	const uint32_t serial = atomic_load_explicit(&link->serial, memory_order_relaxed);

	return serial && link->end[side].life == board->seat[seat].life ? serial : 0;
}

void link_bury(struct board *board, uint32_t seat)
{
	for (uint32_t side = 0; side < 2; side++) {
		const uint32_t serial = serial_of(board, seat, side);

		if (serial)
			atomic_store_explicit(&link_of(board, seat, side)->end[side].dead, serial,
					      memory_order_release);
	}
}

/* Is there a living consumer that may still take what the member of @seat sent? */
static bool has_consumer(struct board *board, uint32_t seat, uint32_t side)
{
	const uint32_t serial = serial_of(board, seat, side);

	return serial && is_live(board, link_neighbour(seat, side)) &&
	       !end_is_done(&link_of(board, seat, side)->end[!side], serial);
}

bool link_drained(struct board *board, uint32_t seat)
{
	return !has_consumer(board, seat, 0) && !has_consumer(board, seat, 1);
}

/* A look through the consumer's end, which is left as it is. */
static int published(struct pinion_pool *pool, const struct link *link, uint32_t side,
		     uint32_t peer, struct pinion_buffer *buffer)
{
	struct pinion_channel *channel;
	const int err = pinion_channel_open(pool, link->ring[!side], link->ring[side], peer,
					    &channel);
	int nr;

	if (err)
		return err;
	nr = (int)pinion_channel_published(channel, buffer);
	channel_abandon(channel);
	return nr;
}

int link_published(struct board *board, struct pinion_pool *pool, uint32_t seat,
		   struct pinion_buffer *buffer)
{
	int nr = 0;

	for (uint32_t side = 0; side < 2; side++) {
		const struct link *link = link_of(board, seat, side);
		int more;

		if (!has_consumer(board, seat, side) ||
		    atomic_load_explicit(&link->end[side].opened, memory_order_relaxed) !=
			    serial_of(board, seat, side))
			continue;
		more = published(pool, link, side, board->seat[seat].number, &buffer[nr]);
		if (more < 0)
			return more;
		nr += more;
	}
	return nr;
}
