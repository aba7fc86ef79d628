/* SPDX-License-Identifier: BSD-3-Clause */
/* A consumer's end of a broadcast. */
#include "broadcast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pinion/hostmem.h>

#include "fail.h"
#include "pool.h"
#include "slot.h"
#include "vigil.h"

/* How often an empty ring is looked at before the bell is armed: a few microseconds, less than what
 * a sleep and a wake-up cost. */
#define SPINS 2000

/* --- life */

/* Before the producer has shut it the ring may yet become anybody's. */
static int check_shut(int fd)
{
	int seals;

	if (!pinion_hostmem_seals(fd, &seals) && !(seals & F_SEAL_FUTURE_WRITE))
		return pinion_fail(-EAGAIN, "this broadcast has no producer yet");
	return 0;
}

/* A10. Where we begin, as the producer says: a place in the ring, whatever the number. */
static int find_begin(struct pinion_seat *seat)
{
	uint64_t begin = atomic_load_explicit(&seat->shared->begin, memory_order_acquire); /* A10 */

	if (!begin)
		return pinion_fail(-EAGAIN, "this seat was not admitted yet");
	seat->ring.at = begin - 1;
	return 0;
}

static void discard(struct pinion_seat *seat)
{
	bell_fd_close(&seat->fd);
	if (seat->notify >= 0)
		(void)close(seat->notify);
	ring_unmap(&seat->ring);
	broadcast_unmap_seat(seat->shared);
	free(seat);
}

int pinion_broadcast_join(struct pinion_pool *pool, int fd, int seat_fd, uint32_t producer,
			  struct pinion_seat **joined)
{
	KEEP_ERRNO;
	struct pinion_seat *seat;
	int err;

	if (producer >= pool->geometry.nr_members)
		return pinion_fail(-EINVAL, "the pool has no member %u", producer);
	seat = calloc(1, sizeof(*seat));
	if (!seat)
		return pinion_fail(-ENOMEM, "no memory for a seat");
	seat->fd = BELL_FD_NONE;
	seat->notify = -1;
	seat->pool = pool;
	seat->producer = pinion_owner_held(producer);
	err = broadcast_map_ring(fd, PROT_READ, &seat->ring);
	if (!err)
		err = broadcast_map_seat(seat_fd, &seat->shared);
	if (!err)
		err = check_shut(fd);
	if (!err)
		err = find_begin(seat);
	if (err)
		discard(seat);
	else
		*joined = seat;
	return err;
}

/* The last act here: whatever we were lent, we do not read it any more. */
static void close_seat(struct pinion_seat *seat)
{
	atomic_store_explicit(&seat->shared->closed, 1, memory_order_release); /* R8 */
}

/* The producer broke a rule. */
static int break_off(struct pinion_seat *seat)
{
	if (!seat->broken)
		broadcast_count_lie();
	seat->broken = true;
	close_seat(seat);
	return -EPROTO;
}

int pinion_broadcast_leave(struct pinion_seat *seat)
{
	KEEP_ERRNO;

	close_seat(seat);
	discard(seat);
	return 0;
}

/* --- work */

/* SEAT_OPEN, _ENDED or _SEVERED; after what was read before this. */
static uint32_t ended(const struct pinion_seat *seat)
{
	uint32_t how;

	atomic_thread_fence(memory_order_acquire); /* A9 */
	how = atomic_load_explicit(&seat->shared->ended, memory_order_acquire); /* A9 */
	return how > SEAT_ENDED ? SEAT_SEVERED : how;
}

/* The copy in @desc is what is checked and what the caller gets; the slot is not read again.
 * -EINVAL: the producer lies; else it is we who cannot take it now. */
static int believe(const struct pinion_seat *seat, const struct pinion_desc *desc)
{
	const struct pinion_view *view = pinion_pool_view(seat->pool);
	uint32_t id = pinion_buffer_id(desc->buffer);

	/* A segment that was added a moment ago may be unknown here as yet. */
	if (__builtin_expect(!pinion_view_has(view, id), 0)) {
		int err = slot_meet(seat->pool, id);

		if (err)
			return err;
	}
	if (desc->len > pinion_view_segment_of(view, id)->size)
		return -EINVAL;
	if (atomic_load_explicit(&view->owner[id], memory_order_relaxed) !=
	    pinion_owner_word(desc->buffer, seat->producer))
		return -EINVAL;
	return 0;
}

/* Nothing there: for now, or for good? @how was read after the look that found nothing. */
static int why_empty(struct pinion_seat *seat, uint32_t how)
{
	bell_awake(&seat->shared->bell, &seat->ear, BELL_EMPTY);
	slot_follow_seldom(seat->pool, &seat->empty);
	if (how == SEAT_OPEN)
		return -EAGAIN;
	/* It may have published just before it ended: look once more. */
	return ring_ready(&seat->ring) ? -EAGAIN : -EPIPE;
}

static uint32_t believe_batch(const struct pinion_seat *seat, const struct pinion_desc *desc,
			      uint32_t nr, int *err)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		*err = believe(seat, &desc[i]);
		if (*err)
			break;
	}
	return i;
}

/* As a channel's: what an ended broadcast's seat has no file for, it does not wait for. */
static int get_stuck(struct pinion_seat *seat, const struct pinion_desc *desc, uint32_t how)
{
	seat->stuck = (struct stuck){seat->ring.at, pinion_buffer_id(desc->buffer), true};
	bell_awake(&seat->shared->bell, &seat->ear, BELL_EMPTY);
	return how == SEAT_OPEN ? -EAGAIN : -EPIPE;
}

int pinion_broadcast_recv(struct pinion_seat *seat, struct pinion_desc *desc, uint32_t nr)
{
	uint32_t got, how;
	int err = 0;

	if (seat->broken)
		return -EPROTO;
	got = ring_copy(&seat->ring, seat->ring.at, desc, nr);
	/* A9, after the slots: one that was severed may have seen those of a later round. */
	how = ended(seat);
	if (how == SEAT_SEVERED)
		return -EPIPE;
	if (!got)
		return why_empty(seat, how);
	got = believe_batch(seat, desc, got, &err);
	seat->ring.at += got;
	seat->held += got;
	/* What came before the lie is good: the lie itself is met again by the next call. */
	if (got) {
		bell_awake(&seat->shared->bell, &seat->ear, 1);
		return (int)got;
	}
	if (err == -EAGAIN)
		return get_stuck(seat, desc, how);
	if (err != -EINVAL)
		return err;
	/* Severed between our look and the check: no lie, a buffer that it has back already. */
	if (ended(seat) == SEAT_SEVERED)
		return -EPIPE;
	return break_off(seat);
}

int pinion_broadcast_return(struct pinion_seat *seat, uint32_t nr)
{
	if (seat->broken)
		return -EPROTO;
	if (nr > seat->held)
		return -EINVAL;
	/* A9, after what the caller read of them. */
	if (ended(seat) == SEAT_SEVERED)
		return -EPIPE;
	seat->held -= nr;
	seat->returned += nr;
	atomic_store_explicit(&seat->shared->returned, seat->returned,
			      memory_order_release); /* R8 */
	return 0;
}

/* --- waiting */

/* Something that can be taken. */
static bool has_some(const struct pinion_seat *seat)
{
	return ring_ready(&seat->ring) && !stuck_at(&seat->stuck, seat->ring.at, seat->pool);
}

static bool ready(void *context)
{
	const struct pinion_seat *seat = context;

	return seat->broken || has_some(seat) || ended(seat) != SEAT_OPEN;
}

static bool arm(void *context)
{
	struct pinion_seat *seat = context;

	bell_arm(&seat->shared->bell, &seat->ear, BELL_ARMED);
	return ready(seat);
}

static int sleep_once(void *context, uint64_t deadline_ns)
{
	struct pinion_seat *seat = context;

	return bell_wait(&seat->shared->bell, deadline_ns);
}

int pinion_broadcast_wait(struct pinion_seat *seat, uint64_t timeout_ns)
{
	KEEP_ERRNO;
	static const struct vigil vigil = {ready, arm, sleep_once, NULL};
	uint64_t deadline_ns = vigil_later(bell_now_ns(), timeout_ns);
	int err;

	slot_follow(seat->pool);
	if (vigil_spin(ready, seat, SPINS))
		return 0;
	err = vigil_sleep(&vigil, seat, deadline_ns);
	bell_disarm(&seat->shared->bell);
	return err;
}

/* --- in a loop */

int pinion_broadcast_fd(struct pinion_seat *seat)
{
	KEEP_ERRNO;
	int err = 0;

	if (seat->fd.socket < 0)
		err = bell_fd_open(&seat->fd, -1, &seat->notify);
	return err ? err : bell_fd_watched(&seat->fd);
}

int pinion_broadcast_notify_fd(struct pinion_seat *seat)
{
	int fd = pinion_broadcast_fd(seat);

	return fd < 0 ? fd : seat->notify;
}

/* Why to go on, when there is a reason. */
static int reason(struct pinion_seat *seat)
{
	uint32_t how = ended(seat);

	if (seat->broken)
		return -EPROTO;
	if (how == SEAT_SEVERED)
		return -EPIPE;
	/* It may have published just before it ended. */
	return how == SEAT_OPEN || has_some(seat) ? 1 : -EPIPE;
}

int pinion_broadcast_prepare(struct pinion_seat *seat)
{
	KEEP_ERRNO;

	if (seat->fd.socket < 0)
		return -EINVAL;
	slot_follow(seat->pool);
	if (ready(seat))
		return reason(seat);
	bell_arm(&seat->shared->bell, &seat->ear, BELL_ARMED_FD);
	if (!ready(seat))
		return 0;
	bell_disarm(&seat->shared->bell);
	return reason(seat);
}

int pinion_broadcast_done(struct pinion_seat *seat)
{
	KEEP_ERRNO;

	if (seat->fd.socket < 0)
		return -EINVAL;
	bell_disarm(&seat->shared->bell);
	return bell_fd_drain(&seat->fd) ? break_off(seat) : 0;
}
