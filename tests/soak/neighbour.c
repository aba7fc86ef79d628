/* SPDX-License-Identifier: BSD-3-Clause */
#include "neighbour.h"

#include <unistd.h>

#include "link.h"
#include "pool_support.h"

static struct link_end *own_end(struct work *work, uint32_t side)
{
	return &link_of(work->board, work->seat_index, side)->end[side];
}

static const struct link_end *other_end(struct work *work, uint32_t side)
{
	return &link_of(work->board, work->seat_index, side)->end[!side];
}

/* The serial of a link that is ours and that we have not done with; 0: none. */
static uint32_t serial_now(struct work *work, uint32_t side)
{
	const struct link *link = link_of(work->board, work->seat_index, side);
	const struct link_end *own = own_end(work, side);
	const uint32_t serial = atomic_load_explicit(&link->serial, memory_order_acquire);

	if (!serial || own->life != work->life ||
	    atomic_load_explicit(&own->closed, memory_order_relaxed) == serial)
		return 0;
	return serial;
}

static bool is_dead(struct work *work, uint32_t side)
{
	return atomic_load_explicit(&other_end(work, side)->dead, memory_order_acquire) ==
	       work->serial[side];
}

/* The keeper may take the link away from here on. */
static void done(struct work *work, uint32_t side)
{
	atomic_store_explicit(&own_end(work, side)->closed, work->serial[side],
			      memory_order_release);
	work->serial[side] = 0;
}

static void open_end(struct work *work, uint32_t side)
{
	const struct link *link = link_of(work->board, work->seat_index, side);
	const uint32_t peer = work->board->seat[link_neighbour(work->seat_index, side)].number;
	int err;

	atomic_store_explicit(&own_end(work, side)->opened, work->serial[side],
			      memory_order_relaxed);
	err = WORK_DO(work, DOING_LINK,
		      pinion_channel_open(work->pool, link->ring[side], link->ring[!side], peer,
					  &work->channel[side]));
	if (err)
		work_problem(work, "channel_open gave %d: %s", err, pinion_error_text());
}

static void close_end(struct work *work, uint32_t side)
{
	const int err =
		WORK_DO(work, DOING_LINK, pinion_channel_close(work->channel[side]));

	if (err)
		work_problem(work, "channel_close gave %d: %s", err, pinion_error_text());
	work->channel[side] = NULL;
	done(work, side);
}

/* Nobody else may have had it, from the sender's writing on. */
static void accept(struct work *work, const struct pinion_desc *desc)
{
	if (!work_has_token(work, desc->buffer, desc->tag))
		work_problem(work, "buffer %u from life %u does not have its token",
			     pinion_buffer_id(desc->buffer), desc->tag);
	work_keep(work, desc->buffer);
	work->board->tally.handed_over++;
}

/* The keeper of our birth is dead: its files go a moment before its children are told. */
static bool keeper_is_gone(const struct work *work)
{
	for (int i = 0; i < 1000 && getppid() == work->keeper; i++)
		usleep(1000);
	return getppid() != work->keeper;
}

/* recv gave @err, which it may when the file of a new segment cannot be had from a keeper that is
 * no more: until there is another one (try again), or for good (what the board says is of two). */
static int without_keeper(const struct work *work, int err)
{
	static uint32_t tries;

	/* Some ten seconds in all: if the whole soak was ended, nobody adopts. */
	usleep(100);
	if (!keeper_is_gone(work) || tries++ > 100000)
		work_problem(work, "recv gave %d: %s", err, pinion_error_text());
	return err == -EPROTO ? -EPIPE : -EAGAIN;
}

/* What pinion_channel_recv() gave, at most 0 in the end. */
static int receive(struct work *work, uint32_t side)
{
	struct pinion_desc desc[4];
	int got = 0;

	while (work->nr + 4 <= WORK_HELD) {
		got = WORK_DO(work, DOING_RECV,
			      pinion_channel_recv(work->channel[side], desc, 4));
		if (got <= 0)
			break;
		for (int i = 0; i < got; i++)
			accept(work, &desc[i]);
	}
	if (got < 0 && got != -EAGAIN && got != -EPIPE)
		got = without_keeper(work, got);
	return got > 0 ? 0 : got;
}

static void free_one(struct work *work)
{
	const struct pinion_buffer buffer = work_part(work, 0);
	const int err =
		WORK_DO(work, DOING_FREE, pinion_buffer_free(work->cache[0], buffer));

	if (err)
		work_refused(work, "free", err);
}

/* The other end is gone for good: what it sent is ours, what it did not take is ours again. */
static void farewell(struct work *work, uint32_t side)
{
	int err;

	if (is_dead(work, side))
		pinion_channel_sever(work->channel[side]);
	do
		while (work->nr + 4 > WORK_HELD)
			free_one(work);
	while (receive(work, side) != -EPIPE);
	err = WORK_DO(work, DOING_RECLAIM,
		      pinion_channel_reclaim(work->channel[side], work->cache[0]));
	/* -EBUSY: it ended the channel without having taken all that we sent, and lives. */
	if (err < 0 && err != -EBUSY)
		work_refused(work, "reclaim", err);
	close_end(work, side);
}

static void send(struct work *work, uint32_t side)
{
	struct pinion_desc desc[4];
	uint32_t nr = 0;
	int sent;

	for (; nr < 4 && work->nr; nr++) {
		const struct pinion_buffer buffer =
			work_part(work, test_below(&work->random, work->nr));

		desc[nr] = (struct pinion_desc){buffer, 8, work->life};
	}
	if (!nr)
		return;
	sent = WORK_DO(work, DOING_SEND, pinion_channel_send(work->channel[side], desc, nr));
	if (sent < 0 && sent != -EAGAIN && sent != -EPIPE)
		work_problem(work, "send gave %d", sent);
	for (uint32_t i = sent > 0 ? (uint32_t)sent : 0; i < nr; i++)
		work_keep(work, desc[i].buffer);
}

static void begin(struct work *work, uint32_t side, uint32_t serial)
{
	work->serial[side] = serial;
	if (is_dead(work, side))
		done(work, side);
	else
		open_end(work, side);
}

void neighbour_visit(struct work *work, uint32_t side)
{
	const uint32_t serial = serial_now(work, side);

	if (!serial)
		return;
	if (!work->channel[side]) {
		begin(work, side, serial);
		return;
	}
	if (is_dead(work, side) || receive(work, side) == -EPIPE)
		farewell(work, side);
	else if (work->nr > 4)
		send(work, side);
}

void neighbour_mourn(struct work *work)
{
	for (uint32_t side = 0; side < 2; side++) {
		const uint32_t serial = serial_now(work, side);

		if (!serial ||
		    atomic_load_explicit(&other_end(work, side)->dead, memory_order_acquire) !=
			    serial)
			continue;
		work->serial[side] = serial;
		if (work->channel[side])
			farewell(work, side);
		else
			done(work, side);
	}
}

/* What we sent and the other has not taken stays its to take: see pinion_channel_close(). */
void neighbour_leave(struct work *work)
{
	for (uint32_t side = 0; side < 2; side++)
		if (work->channel[side])
			close_end(work, side);
}
