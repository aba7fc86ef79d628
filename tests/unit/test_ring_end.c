/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.h as its callers see it: both ends of a ring that stands alone. */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "pool_support.h"
#include "ring_end.h"
#include "ring_support.h"

#define LONG_NS UINT64_C(10000000000)
#define MUCH_NS UINT64_C(5000000000) /* more than a busy machine takes for anything else */

struct ends {
	struct pinion_ring *tx, *rx;
	uint32_t sent, got; /* how many, so that each descriptor is the desc_of() of its place */
};

static struct ends ends_make(uint32_t slots)
{
	struct ends ends = {0};
	const int fd = ring_file(slots);

	assert_int_equal(pinion_ring_open(fd, PINION_RING_SEND, &ends.tx), 0);
	assert_int_equal(pinion_ring_open(fd, PINION_RING_RECV, &ends.rx), 0);
	assert_int_equal(close(fd), 0);
	return ends;
}

/* Ends that a test closed itself are NULL. */
static void ends_close(struct ends *ends)
{
	if (ends->tx != NULL)
		assert_int_equal(pinion_ring_close(ends->tx), 0);
	if (ends->rx != NULL)
		assert_int_equal(pinion_ring_close(ends->rx), 0);
}

static void close_tx(struct ends *ends)
{
	assert_int_equal(pinion_ring_close(ends->tx), 0);
	ends->tx = NULL;
}

static void close_rx(struct ends *ends)
{
	assert_int_equal(pinion_ring_close(ends->rx), 0);
	ends->rx = NULL;
}

/* Sends the next @nr; how many went. */
static int send_next(struct ends *ends, uint32_t nr)
{
	struct pinion_desc desc[64];
	int sent;

	for (uint32_t i = 0; i < nr; i++)
		desc[i] = desc_of(ends->sent + i);
	sent = pinion_ring_send(ends->tx, desc, nr);
	ends->sent += sent > 0 ? (uint32_t)sent : 0;
	return sent;
}

/* Receives up to @nr, each of which must be the next one; how many came. */
static int recv_next(struct ends *ends, uint32_t nr)
{
	struct pinion_desc desc[64];
	const int got = pinion_ring_recv(ends->rx, desc, nr);

	for (int i = 0; i < got; i++)
		assert_desc(&desc[i], ends->got++);
	return got;
}

/* What must never arrive. */
static struct pinion_desc junk(void)
{
	return (struct pinion_desc){pinion_buffer_make(PINION_ID_MAX, 7), 77, 0xdeadbeef};
}

static void put_junk(struct ends *ends, int nr)
{
	const struct pinion_desc desc = junk();

	for (int i = 0; i < nr; i++)
		assert_int_equal(pinion_ring_put(ends->tx, (uint32_t)i, &desc), 0);
}

/* Puts the first @nr of a reservation, the last one first, as a loop that is in a hurry. */
static void put_next(struct ends *ends, int nr)
{
	const struct pinion_ring slots = *ends->tx;

	while (nr-- > 0) {
		const struct pinion_desc desc = desc_of(ends->sent + (uint32_t)nr);

		assert_int_equal(pinion_ring_put(&slots, (uint32_t)nr, &desc), 0);
	}
}

static void commit_next(struct ends *ends, int nr)
{
	assert_int_equal(pinion_ring_commit(ends->tx, (uint32_t)nr), nr);
	ends->sent += (uint32_t)nr;
}

static void a_descriptor_arrives_as_sent(void **state)
{
	const struct pinion_desc sent[] = {
		{pinion_buffer_make(PINION_ID_MAX, PINION_GENERATION_MASK), PINION_DESC_LEN_MAX,
		 UINT32_MAX},
		{{0}, 0, 0},
		{pinion_buffer_make(1, 1), 1, 1u << 31},
	};
	struct ends ends = ends_make(4);
	struct pinion_desc got[4];

	(void)state;
	assert_int_equal(pinion_ring_slots(ends.tx), 4);
	assert_int_equal(pinion_ring_slots(ends.rx), 4);
	/* In laps of either kind. */
	for (int lap = 0; lap < 4; lap++) {
		assert_int_equal(pinion_ring_send(ends.tx, sent, 3), 3);
		assert_int_equal(pinion_ring_recv(ends.rx, got, 4), 3);
		assert_memory_equal(got, sent, sizeof(sent));
	}
	ends_close(&ends);
}

static void nothing_there_is_eagain_and_errno_stays(void **state)
{
	struct ends ends = ends_make(4);
	struct pinion_desc desc;

	(void)state;
	errno = 4711;
	for (int i = 0; i < 200; i++) {
		assert_int_equal(pinion_ring_recv(ends.rx, &desc, 1), -EAGAIN);
		assert_int_equal(pinion_ring_peek(ends.rx, 0, &desc, 1), -EAGAIN);
	}
	assert_int_equal(pinion_ring_wait(ends.rx, 0), -ETIMEDOUT);
	ends_close(&ends);
	assert_int_equal(errno, 4711);
}

static void a_full_ring_takes_what_fits_and_is_then_eagain(void **state)
{
	struct ends ends = ends_make(8);

	(void)state;
	for (int lap = 0; lap < 4; lap++) {
		assert_int_equal(send_next(&ends, 12), 8);
		assert_int_equal(send_next(&ends, 1), -EAGAIN);
		assert_int_equal(pinion_ring_reserve(ends.tx, 1), -EAGAIN);
		assert_int_equal(recv_next(&ends, 3), 3);
		assert_int_equal(send_next(&ends, 4), 3);
		assert_int_equal(recv_next(&ends, 12), 8);
		assert_int_equal(recv_next(&ends, 1), -EAGAIN);
	}
	ends_close(&ends);
}

/* Credit goes a sixteenth of the ring at a time, but is never held back for good. */
static void a_sender_gets_every_slot_back_from_a_receiver_that_finds_nothing(void **state)
{
	struct ends ends = ends_make(64);

	(void)state;
	for (uint32_t taken = 1; taken <= 64; taken++) {
		while (ends.sent - ends.got < 64)
			assert_true(send_next(&ends, 64) > 0);
		assert_int_equal(recv_next(&ends, 64), 64);
		assert_int_equal(send_next(&ends, taken), taken);
		assert_int_equal(recv_next(&ends, 64), taken);
		assert_int_equal(recv_next(&ends, 1), -EAGAIN);
		assert_int_equal(send_next(&ends, 64), 64);
		assert_int_equal(recv_next(&ends, 64), 64);
	}
	ends_close(&ends);
}

static void a_reserved_bit_is_einval_or_ends_the_batch_before_it(void **state)
{
	struct ends ends = ends_make(8);
	struct pinion_desc bad[2] = {desc_of(0), desc_of(0)}, desc[3];

	(void)state;
	bad[0].len = PINION_DESC_LEN_MAX + 1;
	bad[1].buffer.bits |= UINT64_C(1) << 63;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pinion_ring_send(ends.tx, &bad[i], 1), -EINVAL);
		assert_int_equal(recv_next(&ends, 8), -EAGAIN);
	}
	for (uint32_t i = 0; i < 40; i++) {
		desc[0] = desc_of(ends.sent);
		desc[1] = i & 2 ? desc_of(ends.sent + 1) : bad[i & 1];
		desc[2] = bad[i & 1];
		assert_int_equal(pinion_ring_send(ends.tx, desc, 3), i & 2 ? 2 : 1);
		ends.sent += i & 2 ? 2 : 1;
		assert_int_equal(recv_next(&ends, 8), i & 2 ? 2 : 1);
		assert_int_equal(recv_next(&ends, 8), -EAGAIN);
	}
	ends_close(&ends);
}

static void what_was_put_is_seen_when_it_is_committed_and_all_of_it(void **state)
{
	struct ends ends = ends_make(8);

	(void)state;
	for (int round = 0; round < 100; round++) {
		const uint32_t nr = 1 + (uint32_t)round % 5;
		const int room = pinion_ring_reserve(ends.tx, nr);

		assert_in_range(room, 1, nr);
		/* What is put later counts. */
		put_junk(&ends, room);
		assert_int_equal(recv_next(&ends, 8), -EAGAIN);
		put_next(&ends, room);
		put_next(&ends, room);
		assert_int_equal(recv_next(&ends, 8), -EAGAIN);
		commit_next(&ends, room);
		assert_int_equal(recv_next(&ends, 8), room);
	}
	ends_close(&ends);
}

/* One by one, until the next position is slot @slot. */
static void go_to(struct ends *ends, uint32_t slot)
{
	while ((ring_end_of(ends->tx, PINION_RING_SEND)->at - slot) % pinion_ring_slots(ends->tx)) {
		assert_int_equal(send_next(ends, 1), 1);
		assert_int_equal(recv_next(ends, 1), 1);
	}
}

static void a_reservation_ends_where_the_ring_does(void **state)
{
	struct ends ends = ends_make(8);

	(void)state;
	for (int lap = 0; lap < 4; lap++) {
		go_to(&ends, 5);
		assert_int_equal(pinion_ring_reserve(ends.tx, 8), 3);
		put_next(&ends, 3);
		commit_next(&ends, 3);
		assert_int_equal(pinion_ring_reserve(ends.tx, 8), 5);
		put_next(&ends, 5);
		commit_next(&ends, 5);
		assert_int_equal(recv_next(&ends, 8), 8);
	}
	ends_close(&ends);
}

/* The four ways in which slots that were put stay unpublished. */
static void leave_junk(struct ends *ends, int way, int keep)
{
	const int room = pinion_ring_reserve(ends->tx, 4);

	assert_in_range(room, 1, 4);
	keep = keep < room ? keep : room;
	put_junk(ends, room);
	put_next(ends, keep);
	switch (way) {
	case 0: /* ended shorter, or given up */
		commit_next(ends, keep);
		break;
	case 1: /* another reservation */
		assert_int_equal(pinion_ring_reserve(ends->tx, 1), 1);
		break;
	case 2: /* another reservation, used */
		assert_int_equal(pinion_ring_reserve(ends->tx, 1), 1);
		put_next(ends, 1);
		commit_next(ends, 1);
		break;
	default: /* a send */
		assert_int_equal(send_next(ends, 1), 1);
		break;
	}
	if (ends->got < ends->sent)
		assert_true(recv_next(ends, 8) > 0);
	assert_int_equal(ends->got, ends->sent);
	assert_int_equal(recv_next(ends, 8), -EAGAIN);
}

static void what_was_put_and_not_published_never_arrives(void **state)
{
	(void)state;
	for (int way = 0; way < 4; way++) {
		for (int keep = 0; keep < 4; keep++) {
			struct ends ends = ends_make(4);

			/* From each slot, in laps of either kind, and one by one behind it. */
			for (int round = 0; round < 40; round++) {
				leave_junk(&ends, way, keep);
				for (int i = 0; i <= round % 5; i++) {
					assert_int_equal(send_next(&ends, 1), 1);
					assert_int_equal(recv_next(&ends, 4), 1);
					assert_int_equal(recv_next(&ends, 4), -EAGAIN);
				}
			}
			ends_close(&ends);
		}
	}
}

static void a_put_that_was_not_reserved_is_einval(void **state)
{
	struct ends ends = ends_make(8);
	struct pinion_desc desc = desc_of(0), bad[2] = {desc, desc};

	(void)state;
	bad[0].len = PINION_DESC_LEN_MAX + 1;
	bad[1].buffer.bits |= UINT64_C(1) << 63;
	assert_int_equal(pinion_ring_put(ends.tx, 0, &desc), -EINVAL);
	assert_int_equal(pinion_ring_put(ends.rx, 0, &desc), -EINVAL);
	assert_int_equal(pinion_ring_reserve(ends.tx, 3), 3);
	assert_int_equal(pinion_ring_put(ends.tx, 3, &desc), -EINVAL);
	assert_int_equal(pinion_ring_put(ends.tx, UINT32_MAX, &desc), -EINVAL);
	assert_int_equal(pinion_ring_put(ends.tx, 0, &bad[0]), -EINVAL);
	assert_int_equal(pinion_ring_put(ends.tx, 0, &bad[1]), -EINVAL);
	put_next(&ends, 3);
	commit_next(&ends, 2);
	assert_int_equal(pinion_ring_put(ends.tx, 0, &desc), -EINVAL);
	assert_int_equal(recv_next(&ends, 8), 2);
	ends_close(&ends);
}

static void a_commit_of_more_than_was_reserved_publishes_nothing(void **state)
{
	struct ends ends = ends_make(8);

	(void)state;
	assert_int_equal(pinion_ring_commit(ends.tx, 1), -EINVAL);
	assert_int_equal(pinion_ring_commit(ends.tx, 0), 0);
	assert_int_equal(pinion_ring_reserve(ends.tx, 3), 3);
	put_next(&ends, 3);
	assert_int_equal(pinion_ring_commit(ends.tx, 4), -EINVAL);
	assert_int_equal(pinion_ring_commit(ends.tx, UINT32_MAX), -EINVAL);
	assert_int_equal(recv_next(&ends, 8), -EAGAIN);
	/* It is still reserved. */
	commit_next(&ends, 3);
	assert_int_equal(recv_next(&ends, 8), 3);
	assert_int_equal(pinion_ring_commit(ends.tx, 1), -EINVAL);
	ends_close(&ends);
}

static void a_send_or_a_reservation_that_fails_leaves_the_one_before(void **state)
{
	struct ends ends = ends_make(8);
	struct pinion_desc bad = desc_of(0);

	(void)state;
	bad.len = PINION_DESC_LEN_MAX + 1;
	assert_int_equal(pinion_ring_reserve(ends.tx, 3), 3);
	put_next(&ends, 3);
	assert_int_equal(pinion_ring_send(ends.tx, &bad, 1), -EINVAL);
	assert_int_equal(recv_next(&ends, 8), -EAGAIN);
	commit_next(&ends, 3);
	assert_int_equal(recv_next(&ends, 8), 3);
	ends_close(&ends);
}

static void peek_copies_and_leaves_and_release_gives_back(void **state)
{
	struct ends ends = ends_make(8);
	struct pinion_desc desc[8];

	(void)state;
	for (uint32_t lap = 0; lap < 20; lap++) {
		const uint32_t first = ends.sent;

		assert_int_equal(send_next(&ends, 8), 8);
		assert_int_equal(pinion_ring_peek(ends.rx, 0, desc, 3), 3);
		assert_int_equal(pinion_ring_peek(ends.rx, 3, desc + 3, 8), 5);
		for (uint32_t i = 0; i < 8; i++)
			assert_desc(&desc[i], first + i);
		assert_int_equal(pinion_ring_peek(ends.rx, 6, desc, 1), 1);
		assert_desc(&desc[0], first + 6);
		assert_int_equal(send_next(&ends, 1), -EAGAIN);
		assert_int_equal(pinion_ring_release(ends.rx, 3), 0);
		assert_int_equal(pinion_ring_peek(ends.rx, 0, desc, 1), 1);
		assert_desc(&desc[0], first + 3);
		assert_int_equal(send_next(&ends, 8), 3);
		ends.got += 3;
		assert_int_equal(recv_next(&ends, 6), 6);
		assert_int_equal(pinion_ring_release(ends.rx, 2), 0);
		ends.got += 2;
		assert_int_equal(recv_next(&ends, 1), -EAGAIN);
		/* The laps begin elsewhere next time. */
		assert_int_equal(send_next(&ends, 1), 1);
		assert_int_equal(recv_next(&ends, 8), 1);
	}
	ends_close(&ends);
}

static void a_look_beyond_what_is_published_is_eagain(void **state)
{
	const uint32_t skips[] = {3, 4, 7, 8, 9, 16, UINT32_MAX};
	struct ends ends = ends_make(8);
	struct pinion_desc desc[8];

	(void)state;
	assert_int_equal(send_next(&ends, 3), 3);
	for (size_t i = 0; i < sizeof(skips) / sizeof(skips[0]); i++)
		assert_int_equal(pinion_ring_peek(ends.rx, skips[i], desc, 8), -EAGAIN);
	assert_int_equal(send_next(&ends, 5), 5);
	for (size_t i = 3; i < sizeof(skips) / sizeof(skips[0]); i++)
		assert_int_equal(pinion_ring_peek(ends.rx, skips[i], desc, 8), -EAGAIN);
	assert_int_equal(pinion_ring_peek(ends.rx, 7, desc, 8), 1);
	assert_desc(&desc[0], 7);
	assert_int_equal(recv_next(&ends, 8), 8);
	ends_close(&ends);
}

/* A sender that gives itself credit writes where the receiver has looked. */
static void a_look_goes_no_further_than_a_round(void **state)
{
	struct ends ends = ends_make(8);
	struct ring *tx = ring_end_of(ends.tx, PINION_RING_SEND);
	struct pinion_desc desc[16];

	(void)state;
	assert_int_equal(send_next(&ends, 8), 8);
	assert_int_equal(pinion_ring_peek(ends.rx, 0, desc, 8), 8);
	tx->shared->credit = tx->at;
	assert_int_equal(send_next(&ends, 3), 3);
	assert_int_equal(pinion_ring_peek(ends.rx, 4, desc, 16), 4);
	assert_desc(&desc[3], 7);
	assert_int_equal(pinion_ring_peek(ends.rx, 8, desc, 16), -EAGAIN);
	assert_int_equal(pinion_ring_release(ends.rx, 9), -EINVAL);
	ends_close(&ends);
}

static void a_release_of_more_than_is_published_is_einval(void **state)
{
	struct ends ends = ends_make(8);

	(void)state;
	assert_int_equal(pinion_ring_release(ends.rx, 0), 0);
	assert_int_equal(pinion_ring_release(ends.rx, 1), -EINVAL);
	assert_int_equal(send_next(&ends, 3), 3);
	assert_int_equal(pinion_ring_release(ends.rx, 4), -EINVAL);
	assert_int_equal(pinion_ring_release(ends.rx, 9), -EINVAL);
	assert_int_equal(pinion_ring_release(ends.rx, UINT32_MAX), -EINVAL);
	/* Nothing was given back. */
	assert_int_equal(recv_next(&ends, 8), 3);
	ends_close(&ends);
}

static void a_sender_whose_receiver_closed_gets_epipe(void **state)
{
	struct ends ends = ends_make(8);

	(void)state;
	assert_int_equal(send_next(&ends, 3), 3);
	assert_int_equal(pinion_ring_reserve(ends.tx, 2), 2);
	close_rx(&ends);
	assert_int_equal(send_next(&ends, 1), -EPIPE);
	assert_int_equal(pinion_ring_reserve(ends.tx, 1), -EPIPE);
	ends_close(&ends);
}

static void after_close_what_was_sent_is_drained_and_then_it_is_epipe(void **state)
{
	struct ends ends = ends_make(8);

	(void)state;
	assert_int_equal(send_next(&ends, 3), 3);
	assert_int_equal(pinion_ring_reserve(ends.tx, 2), 2);
	put_junk(&ends, 2);
	close_tx(&ends);
	assert_int_equal(pinion_ring_wait(ends.rx, LONG_NS), 0);
	assert_int_equal(recv_next(&ends, 2), 2);
	assert_int_equal(recv_next(&ends, 2), 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pinion_ring_wait(ends.rx, LONG_NS), 0);
		assert_int_equal(recv_next(&ends, 2), -EPIPE);
	}
	ends_close(&ends);
}

/* A receiver that keeps what it saw would otherwise look for more for ever. */
static void a_look_behind_the_last_of_a_closed_sender_is_epipe(void **state)
{
	struct ends ends = ends_make(4);
	struct pinion_desc desc[4];

	(void)state;
	assert_int_equal(send_next(&ends, 4), 4);
	close_tx(&ends);
	assert_int_equal(pinion_ring_peek(ends.rx, 0, desc, 2), 2);
	assert_int_equal(pinion_ring_peek(ends.rx, 2, desc, 4), 2);
	assert_int_equal(pinion_ring_peek(ends.rx, 4, desc, 4), -EPIPE);
	assert_int_equal(pinion_ring_peek(ends.rx, 5, desc, 4), -EPIPE);
	assert_int_equal(pinion_ring_release(ends.rx, 3), 0);
	assert_int_equal(pinion_ring_peek(ends.rx, 1, desc, 4), -EPIPE);
	ends.got += 3;
	assert_int_equal(recv_next(&ends, 4), 1);
	assert_int_equal(pinion_ring_peek(ends.rx, 0, desc, 4), -EPIPE);
	ends_close(&ends);
}

static void credit_that_cannot_be_is_eproto_and_publishes_nothing(void **state)
{
	const uint64_t beyond[] = {
		1, 2, 1000, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 8};

	(void)state;
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		struct ends ends = ends_make(8);
		struct ring *tx = ring_end_of(ends.tx, PINION_RING_SEND);
		const uint64_t lies = pinion_ring_lies();

		assert_int_equal(send_next(&ends, 8), 8);
		assert_int_equal(send_next(&ends, 1), -EAGAIN);
		assert_int_equal(pinion_ring_lies(), lies);
		tx->shared->credit = tx->at + beyond[i];
		for (int again = 0; again < 2; again++) {
			assert_int_equal(send_next(&ends, 1), -EPROTO);
			assert_int_equal(pinion_ring_reserve(ends.tx, 1), -EPROTO);
			assert_int_equal(pinion_ring_lies(), lies + 1);
		}
		assert_int_equal(recv_next(&ends, 16), 8);
		assert_int_equal(recv_next(&ends, 16), -EAGAIN);
		ends_close(&ends);
	}
}

/* By little, too, so that it still lies within the ring. */
static void credit_that_goes_backwards_is_eproto(void **state)
{
	const uint64_t back[] = {1, 2, 3, 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
		struct ends ends = ends_make(8);
		struct ring *tx = ring_end_of(ends.tx, PINION_RING_SEND);
		const uint64_t lies = pinion_ring_lies();

		assert_int_equal(send_next(&ends, 8), 8);
		assert_int_equal(recv_next(&ends, 4), 4);
		assert_int_equal(send_next(&ends, 2), 2); /* sees the credit of 4 */
		tx->shared->credit -= back[i];
		assert_int_equal(send_next(&ends, 3), -EPROTO);
		assert_int_equal(pinion_ring_reserve(ends.tx, 3), -EPROTO);
		assert_int_equal(pinion_ring_lies(), lies + 1);
		ends_close(&ends);
	}
}

/* A sender that stores whatever it likes: each call returns, within the arrays it was given. */
static void a_receiver_survives_whatever_lies_in_the_slots(void **state)
{
	uint64_t random = test_seed();
	struct ends ends = ends_make(4);
	struct ring *rx = ring_end_of(ends.rx, PINION_RING_RECV);

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct pinion_slot *slot = &rx->shared->slot[test_below(&random, 4)];
		struct pinion_desc desc[7] = {[6] = junk()};
		const struct pinion_desc guard = desc[6];
		int got;

		slot->head = test_random(&random);
		slot->body = test_random(&random);
		switch (test_below(&random, 3)) {
		case 0:
			got = pinion_ring_recv(ends.rx, desc, 1 + test_below(&random, 6));
			break;
		case 1:
			got = pinion_ring_peek(ends.rx, test_below(&random, 6), desc,
					       1 + test_below(&random, 6));
			break;
		default:
			got = pinion_ring_release(ends.rx, test_below(&random, 6));
			assert_true(got == 0 || got == -EINVAL);
			continue;
		}
		assert_true(got == -EAGAIN || (got >= 1 && got <= 6));
		assert_memory_equal(&desc[6], &guard, sizeof(guard));
	}
	ends_close(&ends);
}

/* All calls in any order, against two counters. */
static void sender_step(struct ends *ends, uint64_t *random)
{
	const uint32_t slots = pinion_ring_slots(ends->tx), nr = 1 + test_below(random, slots + 2);
	const uint32_t held = ends->sent - ends->got;
	int room, keep;

	if (test_below(random, 2)) {
		room = send_next(ends, nr);
		assert_true(room == -EAGAIN ||
			    (room >= 1 && (uint32_t)room <= nr && (uint32_t)room + held <= slots));
		return;
	}
	room = pinion_ring_reserve(ends->tx, nr);
	if (room < 0) {
		assert_int_equal(room, -EAGAIN);
		return;
	}
	assert_true((uint32_t)room <= nr && (uint32_t)room + held <= slots);
	put_junk(ends, (int)test_below(random, (uint32_t)room + 1));
	keep = (int)test_below(random, (uint32_t)room + 1);
	put_next(ends, keep);
	if (test_below(random, 4))
		commit_next(ends, keep);
}

static void receiver_step(struct ends *ends, uint64_t *random)
{
	const uint32_t there = ends->sent - ends->got, nr = 1 + test_below(random, 20);
	const uint32_t skip = test_below(random, 20);
	struct pinion_desc desc[20];
	int got;

	switch (test_below(random, 3)) {
	case 0:
		got = recv_next(ends, nr);
		assert_int_equal(got, there == 0 ? -EAGAIN : (int)(there < nr ? there : nr));
		break;
	case 1:
		got = pinion_ring_peek(ends->rx, skip, desc, nr);
		if (skip >= there)
			assert_int_equal(got, -EAGAIN);
		else
			assert_int_equal(got, there - skip < nr ? there - skip : nr);
		for (int i = 0; i < got; i++)
			assert_desc(&desc[i], ends->got + skip + (uint32_t)i);
		break;
	default:
		got = pinion_ring_release(ends->rx, skip);
		assert_int_equal(got, skip <= there ? 0 : -EINVAL);
		ends->got += got ? 0 : skip;
		break;
	}
}

static void any_calls_in_any_order_keep_every_descriptor_once_and_in_order(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	for (uint32_t slots = 4; slots <= 32; slots *= 2) {
		struct ends ends = ends_make(slots);

		for (int i = 0; i < 50000; i++)
			if (test_below(&random, 2))
				sender_step(&ends, &random);
			else
				receiver_step(&ends, &random);
		assert_true(ends.got > 10000);
		ends_close(&ends);
	}
}

/* Waiting. */

static uint64_t timed_wait(struct ends *ends, uint64_t timeout_ns, int *err)
{
	const uint64_t before = test_now_ns();

	*err = pinion_ring_wait(ends->rx, timeout_ns);
	return test_now_ns() - before;
}

static void wait_ends_at_its_time_limit(void **state)
{
	struct ends ends = ends_make(8);
	int err;

	(void)state;
	assert_in_range(timed_wait(&ends, 20000000, &err), 20000000, MUCH_NS);
	assert_int_equal(err, -ETIMEDOUT);
	assert_in_range(timed_wait(&ends, 0, &err), 0, MUCH_NS);
	assert_int_equal(err, -ETIMEDOUT);
	ends_close(&ends);
}

static void wait_returns_at_once_when_something_is_there(void **state)
{
	struct ends ends = ends_make(8);
	int err;

	(void)state;
	assert_int_equal(send_next(&ends, 1), 1);
	assert_in_range(timed_wait(&ends, UINT64_MAX, &err), 0, MUCH_NS);
	assert_int_equal(err, 0);
	ends_close(&ends);
}

static void pause_ns(long ns)
{
	const struct timespec pause = {0, ns};

	nanosleep(&pause, NULL);
}

/* The other side, 50 ms later: by then the waiter has long been asleep. */
struct later {
	struct ends *ends;
	void (*act)(struct later *later);
	pthread_t waiter;
	_Atomic int done; /* the wait is over */
};

static void *act_later(void *arg)
{
	struct later *later = arg;

	pause_ns(50000000);
	later->act(later);
	return NULL;
}

static void by_send(struct later *later)
{
	const struct pinion_desc desc = desc_of(0);

	(void)pinion_ring_send(later->ends->tx, &desc, 1);
}

static void by_commit(struct later *later)
{
	const struct pinion_desc desc = desc_of(0);

	(void)pinion_ring_reserve(later->ends->tx, 1);
	(void)pinion_ring_put(later->ends->tx, 0, &desc);
	(void)pinion_ring_commit(later->ends->tx, 1);
}

static void by_close(struct later *later)
{
	(void)pinion_ring_close(later->ends->tx);
	later->ends->tx = NULL;
}

static void by_signal(struct later *later)
{
	/* More than one: the first may come before a busy machine lets the other sleep. */
	for (; !later->done; pause_ns(50000000))
		pthread_kill(later->waiter, SIGUSR1);
}

/* What a wait of 10 s said, which @act ended before; then what recv says. */
static void wait_while(void (*act)(struct later *later), int says, int then)
{
	struct ends ends = ends_make(8);
	struct later later = {&ends, act, pthread_self(), 0};
	uint64_t took = test_now_ns();
	pthread_t thread;
	int err;

	assert_int_equal(pthread_create(&thread, NULL, act_later, &later), 0);
	err = pinion_ring_wait(ends.rx, LONG_NS);
	took = test_now_ns() - took;
	later.done = 1;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_in_range(took, 40000000, MUCH_NS);
	assert_int_equal(err, says);
	assert_int_equal(recv_next(&ends, 8), then);
	ends_close(&ends);
}

static void on_signal(int number)
{
	(void)number;
}

static void a_sleeper_is_woken_by_send_by_commit_and_by_close(void **state)
{
	(void)state;
	wait_while(by_send, 0, 1);
	wait_while(by_commit, 0, 1);
	wait_while(by_close, 0, -EPIPE);
}

static void a_signal_ends_the_wait_with_eintr(void **state)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	wait_while(by_signal, -EINTR, -EAGAIN);
}

/* Files and ends that cannot be. */

static void what_is_no_ring_or_no_end_is_refused(void **state)
{
	struct pinion_ring *ring = NULL;
	const int fd = ring_file(4), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	errno = 4711;
	assert_int_equal(pinion_ring_open(fd, 0, &ring), -EINVAL);
	assert_int_equal(pinion_ring_open(fd, 3, &ring), -EINVAL);
	assert_sentence("end");
	assert_int_equal(pinion_ring_open(null, PINION_RING_SEND, &ring), -EPROTO);
	assert_int_equal(pinion_ring_open(-1, PINION_RING_RECV, &ring), -EBADF);
	assert_null(ring);
	assert_int_equal(errno, 4711);
	close(null);
	close(fd);
}

/* Two threads. */

#define STREAM 200000u
#define STREAM_SLOTS 64u

struct stream {
	struct ends ends;
	uint32_t payload[STREAM_SLOTS]; /* plain: written before its descriptor, read after */
	uint32_t wrong;
};

/* ThreadSanitizer knows nothing of two mappings of one file: here both ends work on one. */
static struct ring_shared *share_one_mapping(struct ends *ends)
{
	struct ring *rx = ring_end_of(ends->rx, PINION_RING_RECV);
	struct ring_shared *own = rx->shared;

	rx->shared = ring_end_of(ends->tx, PINION_RING_SEND)->shared;
	return own;
}

/* The payload's slot is free when the descriptor's is, so that a reservation comes first. */
static int stream_some(struct stream *stream, uint32_t nr, bool in_place)
{
	struct ends *ends = &stream->ends;
	const int room = pinion_ring_reserve(ends->tx, nr);

	for (int i = 0; i < room; i++)
		stream->payload[(ends->sent + (uint32_t)i) % STREAM_SLOTS] =
			ends->sent + (uint32_t)i;
	if (room < 0)
		return room;
	if (!in_place)
		return send_next(ends, (uint32_t)room);
	put_next(ends, room);
	commit_next(ends, room);
	return room;
}

static void *produce(void *arg)
{
	struct stream *stream = arg;
	uint64_t random = 1;

	while (stream->ends.sent < STREAM) {
		const uint32_t left = STREAM - stream->ends.sent;
		uint32_t nr = 1 + test_below(&random, 9);

		nr = nr < left ? nr : left;
		if (stream_some(stream, nr, test_below(&random, 2)) < 0)
			sched_yield();
	}
	return NULL;
}

static void check(struct stream *stream, const struct pinion_desc *desc, int nr)
{
	for (int i = 0; i < nr; i++) {
		const uint32_t at = stream->ends.got + (uint32_t)i;
		const struct pinion_desc want = desc_of(at);

		stream->wrong += memcmp(&desc[i], &want, sizeof(want)) != 0;
		stream->wrong += stream->payload[at % STREAM_SLOTS] != at;
	}
}

static void *consume(void *arg)
{
	struct stream *stream = arg;
	struct ends *ends = &stream->ends;
	struct pinion_desc desc[8];
	uint64_t random = 2;

	while (ends->got < STREAM) {
		/* The slots, and so the payload, are kept until it was looked at. */
		const int got = pinion_ring_peek(ends->rx, 0, desc, 1 + test_below(&random, 8));

		if (got < 0) {
			sched_yield();
			continue;
		}
		check(stream, desc, got);
		stream->wrong += pinion_ring_release(ends->rx, (uint32_t)got) != 0;
		ends->got += (uint32_t)got;
	}
	return NULL;
}

static void run_both(void *(*a)(void *), void *(*b)(void *), void *arg)
{
	pthread_t thread[2];

	assert_int_equal(pthread_create(&thread[0], NULL, a, arg), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, b, arg), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
}

static void what_precedes_a_send_is_seen_after_it_and_kept_until_the_release(void **state)
{
	struct stream stream = {.ends = ends_make(STREAM_SLOTS)};
	struct ring_shared *own = share_one_mapping(&stream.ends);

	(void)state;
	run_both(produce, consume, &stream);
	assert_int_equal(stream.wrong, 0);
	ring_end_of(stream.ends.rx, PINION_RING_RECV)->shared = own;
	ends_close(&stream.ends);
}

/*
 * Batches of all sizes, each descriptor with the number of those behind it in its batch as len. A
 * receiver that finds a batch finds all of it: what one recv() gets ends where a batch does.
 */
#define BATCHES 60000u
#define BATCH_MAX 13u

struct batches {
	struct ends ends;
	_Atomic uint32_t taken;
	uint32_t sent, short_sends, wrong;
};

/* The slots of a batch are free: those that the receiver has taken, less what it may hold back. */
static void wait_for_room(struct batches *batches, uint32_t nr)
{
	while (batches->sent + nr + STREAM_SLOTS / 16 >
	       atomic_load_explicit(&batches->taken, memory_order_relaxed) + STREAM_SLOTS)
		sched_yield();
}

static void *send_batches(void *arg)
{
	struct batches *batches = arg;
	struct pinion_desc desc[BATCH_MAX];
	uint64_t random = 3;

	for (uint32_t i = 0; i < BATCHES; i++) {
		uint32_t nr = 1 + test_below(&random, BATCH_MAX);

		wait_for_room(batches, nr);
		for (uint32_t k = 0; k < nr; k++)
			desc[k] = (struct pinion_desc){{1}, nr - 1 - k, batches->sent + k};
		batches->short_sends += pinion_ring_send(batches->ends.tx, desc, nr) != (int)nr;
		batches->sent += nr;
	}
	(void)pinion_ring_close(batches->ends.tx);
	batches->ends.tx = NULL;
	return NULL;
}

static void *receive_batches(void *arg)
{
	struct batches *batches = arg;
	struct pinion_desc desc[STREAM_SLOTS];
	uint32_t next = 0;
	int got;

	while ((got = pinion_ring_recv(batches->ends.rx, desc, STREAM_SLOTS)) != -EPIPE) {
		for (int i = 0; i < got; i++)
			batches->wrong += desc[i].tag != next++;
		batches->wrong += got > 0 && desc[got - 1].len != 0;
		atomic_store_explicit(&batches->taken, next, memory_order_relaxed);
		if (got < 0)
			sched_yield();
	}
	return NULL;
}

static void what_a_receiver_finds_ends_where_a_batch_does(void **state)
{
	struct batches batches = {.ends = ends_make(STREAM_SLOTS)};

	(void)state;
	run_both(send_batches, receive_batches, &batches);
	assert_int_equal(batches.short_sends, 0);
	assert_int_equal(batches.wrong, 0);
	assert_int_equal(batches.sent, batches.taken);
	ends_close(&batches.ends);
}

/* The same at a moment of our choice: the sender cannot write beyond the first page of its mapping,
 * and while it is held up there the receiver, on another mapping, looks. */
static struct {
	struct ends ends;
	void *page;
	int found, faults;
} half;

static void look_at_half(int number)
{
	struct pinion_desc desc[8];

	(void)number;
	half.faults++;
	half.found = pinion_ring_recv(half.ends.rx, desc, 8);
	(void)mprotect(half.page, 4096, PROT_READ | PROT_WRITE);
}

static void a_batch_that_is_half_written_is_not_seen(void **state)
{
	const struct sigaction action = {.sa_handler = look_at_half};
	const uint32_t slot = (4096 - sizeof(struct ring_shared)) / sizeof(struct pinion_slot);
	struct sigaction before;

	(void)state;
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	for (int in_place = 0; in_place < 2; in_place++) {
		half.ends = ends_make(256);
		half.page = (char *)ring_end_of(half.ends.tx, PINION_RING_SEND)->shared + 4096;
		half.faults = 0;
		go_to(&half.ends, slot - 3);
		assert_int_equal(mprotect(half.page, 4096, PROT_NONE), 0);
		if (in_place) {
			assert_int_equal(pinion_ring_reserve(half.ends.tx, 8), 8);
			put_next(&half.ends, 8);
			commit_next(&half.ends, 8);
		} else {
			assert_int_equal(send_next(&half.ends, 8), 8);
		}
		assert_int_equal(half.faults, 1);
		assert_int_equal(half.found, -EAGAIN);
		assert_int_equal(recv_next(&half.ends, 16), 8);
		ends_close(&half.ends);
	}
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
}

/* Published a moment before the close, looked for a moment after: drained all the same. */
static void *send_and_close(void *arg)
{
	struct ends *ends = arg;

	(void)send_next(ends, 1);
	(void)pinion_ring_close(ends->tx);
	ends->tx = NULL;
	return NULL;
}

static void what_is_sent_right_before_close_is_never_missed(void **state)
{
	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct ends ends = ends_make(4);
		pthread_t thread;
		int got;

		assert_int_equal(pthread_create(&thread, NULL, send_and_close, &ends), 0);
		while ((got = recv_next(&ends, 4)) == -EAGAIN)
			continue;
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(got, 1);
		assert_int_equal(recv_next(&ends, 4), -EPIPE);
		ends_close(&ends);
	}
}

/* Two processes. */

#define MILLION 1000000u

static void hand_over(int fd)
{
	struct ends ends = {0};
	uint64_t random = 4;

	assert_int_equal(pinion_ring_open(fd, PINION_RING_SEND, &ends.tx), 0);
	while (ends.sent < MILLION) {
		const uint32_t left = MILLION - ends.sent;
		uint32_t nr = 1 + test_below(&random, 64);
		int room;

		nr = nr < left ? nr : left;
		if (test_below(&random, 2)) {
			room = send_next(&ends, nr);
		} else {
			room = pinion_ring_reserve(ends.tx, nr);
			put_next(&ends, room);
			if (room > 0)
				commit_next(&ends, room);
		}
		if (room < 0)
			sched_yield();
	}
	ends_close(&ends);
}

static pid_t sender_of(int fd, void (*send)(int fd))
{
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		send(fd);
		_exit(0);
	}
	return pid;
}

static int ended(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void a_million_descriptors_go_from_process_to_process(void **state)
{
	struct ends ends = {0};
	const int fd = ring_file(256);
	const pid_t pid = sender_of(fd, hand_over);
	int got;

	(void)state;
	assert_int_equal(pinion_ring_open(fd, PINION_RING_RECV, &ends.rx), 0);
	close(fd);
	while ((got = recv_next(&ends, 64)) != -EPIPE)
		if (got == -EAGAIN)
			assert_int_equal(pinion_ring_wait(ends.rx, LONG_NS), 0);
	assert_int_equal(ends.got, MILLION);
	assert_int_equal(ended(pid), 0);
	ends_close(&ends);
}

static void die_in_a_batch(int fd)
{
	struct ends ends = {0};

	assert_int_equal(pinion_ring_open(fd, PINION_RING_SEND, &ends.tx), 0);
	(void)send_next(&ends, 3);
	(void)pinion_ring_reserve(ends.tx, 4);
	put_junk(&ends, 4);
	(void)raise(SIGKILL);
}

static void of_a_dead_sender_what_it_published_arrives_and_no_more(void **state)
{
	struct ends ends = {0};
	const int fd = ring_file(8);

	(void)state;
	assert_int_equal(ended(sender_of(fd, die_in_a_batch)), 128 + SIGKILL);
	assert_int_equal(pinion_ring_open(fd, PINION_RING_RECV, &ends.rx), 0);
	close(fd);
	assert_int_equal(recv_next(&ends, 8), 3);
	assert_int_equal(recv_next(&ends, 8), -EAGAIN);
	assert_int_equal(pinion_ring_wait(ends.rx, 1000000), -ETIMEDOUT);
	pinion_ring_sever(ends.rx);
	assert_int_equal(recv_next(&ends, 8), -EPIPE);
	assert_int_equal(pinion_ring_wait(ends.rx, UINT64_MAX), 0); /* for that */
	ends_close(&ends);
}

static void of_a_dead_end_the_other_hears_by_being_severed(void **state)
{
	struct ends ends = ends_make(8);

	(void)state;
	assert_int_equal(send_next(&ends, 3), 3);
	pinion_ring_sever(ends.tx);
	pinion_ring_sever(ends.rx);
	assert_int_equal(send_next(&ends, 1), -EPIPE);
	assert_int_equal(pinion_ring_reserve(ends.tx, 1), -EPIPE);
	assert_int_equal(recv_next(&ends, 8), 3); /* first what was sent */
	assert_int_equal(recv_next(&ends, 8), -EPIPE);
	ends_close(&ends);
}

static void *sever_soon(void *ring)
{
	usleep(20000);
	pinion_ring_sever(ring);
	return NULL;
}

static void who_sleeps_is_woken_by_being_severed(void **state)
{
	struct ends ends = ends_make(8);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, sever_soon, ends.rx), 0);
	assert_int_equal(pinion_ring_wait(ends.rx, UINT64_MAX), 0);
	assert_int_equal(recv_next(&ends, 8), -EPIPE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	ends_close(&ends);
}

/* Three of 64 slots are held back by a receiver that took them. One that only peeks finds something
 * each time, and never an empty ring. */
static void what_a_peeker_holds_back_comes_when_it_has_seen_all(void **state)
{
	struct ends ends = ends_make(64);
	struct pinion_desc desc[64];

	(void)state;
	assert_int_equal(send_next(&ends, 64), 64);
	assert_int_equal(pinion_ring_peek(ends.rx, 0, desc, 64), 64);
	assert_int_equal(pinion_ring_release(ends.rx, 3), 0);
	assert_int_equal(send_next(&ends, 1), -EAGAIN);
	assert_int_equal(pinion_ring_peek(ends.rx, 0, desc, 64), 61);
	assert_int_equal(send_next(&ends, 4), 3);
	ends_close(&ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(what_a_peeker_holds_back_comes_when_it_has_seen_all),
		pool_test(a_descriptor_arrives_as_sent),
		pool_test(nothing_there_is_eagain_and_errno_stays),
		pool_test(a_full_ring_takes_what_fits_and_is_then_eagain),
		pool_test(a_sender_gets_every_slot_back_from_a_receiver_that_finds_nothing),
		pool_test(a_reserved_bit_is_einval_or_ends_the_batch_before_it),
		pool_test(what_was_put_is_seen_when_it_is_committed_and_all_of_it),
		pool_test(a_reservation_ends_where_the_ring_does),
		pool_test(what_was_put_and_not_published_never_arrives),
		pool_test(a_put_that_was_not_reserved_is_einval),
		pool_test(a_commit_of_more_than_was_reserved_publishes_nothing),
		pool_test(a_send_or_a_reservation_that_fails_leaves_the_one_before),
		pool_test(peek_copies_and_leaves_and_release_gives_back),
		pool_test(a_look_beyond_what_is_published_is_eagain),
		pool_test(a_look_goes_no_further_than_a_round),
		pool_test(a_release_of_more_than_is_published_is_einval),
		pool_test(a_sender_whose_receiver_closed_gets_epipe),
		pool_test(after_close_what_was_sent_is_drained_and_then_it_is_epipe),
		pool_test(a_look_behind_the_last_of_a_closed_sender_is_epipe),
		pool_test(credit_that_cannot_be_is_eproto_and_publishes_nothing),
		pool_test(credit_that_goes_backwards_is_eproto),
		pool_test(a_receiver_survives_whatever_lies_in_the_slots),
		pool_test(any_calls_in_any_order_keep_every_descriptor_once_and_in_order),
		pool_test(wait_ends_at_its_time_limit),
		pool_test(wait_returns_at_once_when_something_is_there),
		pool_test(a_sleeper_is_woken_by_send_by_commit_and_by_close),
		pool_test(a_signal_ends_the_wait_with_eintr),
		pool_test(what_is_no_ring_or_no_end_is_refused),
		pool_test(what_precedes_a_send_is_seen_after_it_and_kept_until_the_release),
		pool_test(a_batch_that_is_half_written_is_not_seen),
		pool_test(what_a_receiver_finds_ends_where_a_batch_does),
		pool_test(what_is_sent_right_before_close_is_never_missed),
		pool_test(a_million_descriptors_go_from_process_to_process),
		pool_test(of_a_dead_sender_what_it_published_arrives_and_no_more),
		pool_test(of_a_dead_end_the_other_hears_by_being_severed),
		pool_test(who_sleeps_is_woken_by_being_severed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
