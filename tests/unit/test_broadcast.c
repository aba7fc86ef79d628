/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * broadcast.h: a producer and three consumers in this process, each a member of its own. Beside
 * them lies a second mapping of each seat, for a consumer that writes what it should not; what a
 * producer should not write is written through its own. Deaths are those of ../proc.
 */

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>

#include "broadcast_support.h"
#include "pool_support.h"
#include "requeue.h"
#include "send_file.h"

#define CONSUMERS 3
#define SLOTS 8

struct guest {
	struct pinion_pool *pool;
	struct pinion_seat *seat; /* NULL: left */
	struct seat_shared *raw;
	int fd;
	uint32_t number;
};

struct stage {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_broadcast *broadcast;
	int ring;
	struct guest guest[CONSUMERS];
};

static void guest_admit(struct stage *stage, struct guest *guest)
{
	assert_int_equal(pinion_broadcast_create_seat(&guest->fd), 0);
	assert_int_equal(broadcast_map_seat(guest->fd, &guest->raw), 0);
	assert_int_equal(pinion_broadcast_admit(stage->broadcast, guest->fd, &guest->number), 0);
}

static void guest_join(struct stage *stage, struct guest *guest)
{
	guest_admit(stage, guest);
	assert_int_equal(pinion_broadcast_join(guest->pool, stage->ring, guest->fd,
					       pinion_pool_member(stage->pool), &guest->seat),
			 0);
}

static void guest_leave(struct guest *guest)
{
	if (guest->seat != NULL)
		assert_int_equal(pinion_broadcast_leave(guest->seat), 0);
	guest->seat = NULL;
}

static void guest_go(struct guest *guest)
{
	guest_leave(guest);
	broadcast_unmap_seat(guest->raw);
	assert_int_equal(close(guest->fd), 0);
}

/* The producer is this member; those who join are let in by the @keeper, which may be the same. */
static struct stage stage_make_in(struct pinion_pool *pool, struct pinion_pool *keeper)
{
	struct stage stage = {.pool = pool};

	stage.cache = cache_make(stage.pool, BUFFER);
	stage.ring = broadcast_file(SLOTS);
	assert_int_equal(pinion_broadcast_open(stage.pool, stage.ring, &stage.broadcast), 0);
	for (int i = 0; i < CONSUMERS; i++) {
		stage.guest[i].pool = pool_join(keeper);
		guest_join(&stage, &stage.guest[i]);
	}
	return stage;
}

static struct stage stage_make(void)
{
	struct pinion_pool *pool = pool_make(64);

	return stage_make_in(pool, pool);
}

static void stage_close(struct stage *stage)
{
	for (int i = 0; i < CONSUMERS; i++) {
		guest_go(&stage->guest[i]);
		assert_int_equal(pinion_pool_detach(stage->guest[i].pool), 0);
	}
	assert_int_equal(pinion_broadcast_close(stage->broadcast), 0);
	assert_int_equal(close(stage->ring), 0);
	assert_int_equal(pinion_cache_close(stage->cache), 0);
	assert_int_equal(pinion_pool_destroy(stage->pool), 0);
}

/* Collects what is out, frees it, and finds every buffer free. */
static uint32_t collect_all(struct stage *stage)
{
	struct pinion_buffer buffer[SLOTS];
	const int got = pinion_broadcast_collect(stage->broadcast, buffer, SLOTS);

	if (got > 0)
		give(stage->cache, buffer, (uint32_t)got);
	return got > 0 ? (uint32_t)got : 0;
}

static void stage_close_whole(struct stage *stage)
{
	for (int i = 0; i < CONSUMERS; i++)
		guest_leave(&stage->guest[i]);
	(void)collect_all(stage);
	assert_pool_whole(stage->pool);
	stage_close(stage);
}

static struct pinion_desc desc_new(struct stage *stage, uint32_t tag)
{
	struct pinion_desc desc = {.len = 16, .tag = tag};

	take(stage->cache, &desc.buffer, 1);
	return desc;
}

static struct pinion_desc send_new(struct stage *stage, uint32_t tag)
{
	const struct pinion_desc desc = desc_new(stage, tag);

	assert_int_equal(pinion_broadcast_send(stage->broadcast, &desc, 1), 1);
	return desc;
}

static void send_some(struct stage *stage, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		(void)send_new(stage, i);
}

static void expect_recv(struct guest *guest, const struct pinion_desc *want)
{
	struct pinion_desc desc;

	assert_int_equal(pinion_broadcast_recv(guest->seat, &desc, 1), 1);
	assert_memory_equal(&desc, want, sizeof(desc));
}

static int recv_some(struct guest *guest, uint32_t nr)
{
	struct pinion_desc desc[SLOTS];

	return pinion_broadcast_recv(guest->seat, desc, nr);
}

/* ... and returned. */
static void take_part(struct guest *guest, uint32_t nr)
{
	assert_int_equal(recv_some(guest, nr), nr);
	assert_int_equal(pinion_broadcast_return(guest->seat, nr), 0);
}

static int lag(const struct stage *stage, int i)
{
	return pinion_broadcast_lag(stage->broadcast, stage->guest[i].number);
}

static int sever(const struct stage *stage, int i)
{
	return pinion_broadcast_sever(stage->broadcast, stage->guest[i].number);
}

static int collect_one(struct stage *stage, struct pinion_buffer *buffer)
{
	return pinion_broadcast_collect(stage->broadcast, buffer, 1);
}

/* --- what it is for */

static void a_buffer_is_read_by_all_and_back_when_the_last_returned_it(void **state)
{
	struct stage stage = stage_make();
	struct pinion_desc desc = desc_new(&stage, 0xfeedbeef);
	struct pinion_buffer back = {0};

	(void)state;
	strcpy(pinion_buffer_addr(stage.pool, desc.buffer), "to all of you");
	assert_int_equal(pinion_broadcast_send(stage.broadcast, &desc, 1), 1);
	for (int i = 0; i < CONSUMERS; i++) {
		assert_int_equal(collect_one(&stage, &back), -EAGAIN);
		expect_recv(&stage.guest[i], &desc);
		assert_string_equal(pinion_buffer_addr(stage.guest[i].pool, desc.buffer),
				    "to all of you");
		assert_int_equal(collect_one(&stage, &back), -EAGAIN);
		assert_int_equal(pinion_broadcast_return(stage.guest[i].seat, 1), 0);
	}
	assert_int_equal(collect_one(&stage, &back), 1);
	assert_true(back.bits == desc.buffer.bits);
	assert_int_equal(collect_one(&stage, &back), 0);
	give(stage.cache, &back, 1);
	stage_close_whole(&stage);
}

static void a_lent_buffer_is_the_producers_all_the_time(void **state)
{
	struct stage stage = stage_make();
	const struct pinion_desc desc = send_new(&stage, 1);
	const uint64_t word = pinion_owner_word(desc.buffer, stage.pool->view.self);
	const uint32_t id = pinion_buffer_id(desc.buffer);

	(void)state;
	for (int i = 0; i < CONSUMERS; i++) {
		assert_int_equal(recv_some(&stage.guest[i], 1), 1);
		assert_true(stage.pool->view.owner[id] == word);
		assert_int_equal(pinion_pool_held(stage.pool, 1 + (uint32_t)i), 0);
		assert_int_equal(pinion_broadcast_return(stage.guest[i].seat, 1), 0);
		assert_true(stage.pool->view.owner[id] == word);
	}
	stage_close_whole(&stage);
}

static void the_same_buffer_is_sent_again_as_soon_as_it_is_back(void **state)
{
	struct stage stage = stage_make();
	struct pinion_desc desc = desc_new(&stage, 0);

	(void)state;
	for (; desc.tag < 5 * SLOTS; desc.tag++) {
		assert_int_equal(pinion_broadcast_send(stage.broadcast, &desc, 1), 1);
		for (int i = 0; i < CONSUMERS; i++) {
			expect_recv(&stage.guest[i], &desc);
			assert_int_equal(pinion_broadcast_return(stage.guest[i].seat, 1), 0);
		}
		assert_int_equal(collect_one(&stage, &desc.buffer), 1);
	}
	give(stage.cache, &desc.buffer, 1);
	stage_close_whole(&stage);
}

/* Each consumer at its own pace, batches of any size: order, and no buffer back too early. */
static void order_is_kept_over_many_rounds(void **state)
{
	struct stage stage = stage_make();
	uint64_t random = test_seed(), returned[CONSUMERS] = {0}, got[CONSUMERS] = {0};
	uint64_t sent = 0, collected = 0;

	(void)state;
	while (collected < 10000) {
		const int i = (int)test_below(&random, CONSUMERS);
		struct pinion_desc desc[SLOTS];
		struct pinion_buffer back[SLOTS];
		uint64_t least = sent;
		uint32_t nr = 1 + test_below(&random, SLOTS);
		int done;

		for (uint32_t k = 0; k < nr; k++)
			desc[k] = desc_new(&stage, (uint32_t)sent + k);
		done = pinion_broadcast_send(stage.broadcast, desc, nr);
		assert_true(done > 0 || (done == -EAGAIN && sent - collected == SLOTS));
		for (uint32_t k = done > 0 ? (uint32_t)done : 0; k < nr; k++)
			give(stage.cache, &desc[k].buffer, 1);
		sent += done > 0 ? (uint32_t)done : 0;

		done = pinion_broadcast_recv(stage.guest[i].seat, desc,
					     1 + test_below(&random, SLOTS));
		assert_true(done > 0 || (done == -EAGAIN && got[i] == sent));
		for (int k = 0; k < done; k++)
			assert_int_equal(desc[k].tag, (uint32_t)got[i]++);
		nr = test_below(&random, (uint32_t)(got[i] - returned[i]) + 1);
		assert_int_equal(pinion_broadcast_return(stage.guest[i].seat, nr), 0);
		returned[i] += nr;

		for (int k = 0; k < CONSUMERS; k++)
			least = returned[k] < least ? returned[k] : least;
		done = pinion_broadcast_collect(stage.broadcast, back,
						1 + test_below(&random, SLOTS));
		if (done > 0)
			give(stage.cache, back, (uint32_t)done);
		collected += done > 0 ? (uint32_t)done : 0;
		assert_true(collected <= least);
		assert_true(done > 0 || collected == least);
	}
	stage_close_whole(&stage);
}

static void a_loan_returned_early_waits_for_those_before_it(void **state)
{
	struct stage stage = stage_make();
	struct pinion_buffer back[3];
	struct pinion_desc desc[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		desc[i] = send_new(&stage, i);
	take_part(&stage.guest[0], 3);
	take_part(&stage.guest[1], 3);
	take_part(&stage.guest[2], 1);
	assert_int_equal(recv_some(&stage.guest[2], 2), 2);
	assert_int_equal(pinion_broadcast_collect(stage.broadcast, back, 3), 1);
	assert_int_equal(pinion_broadcast_return(stage.guest[2].seat, 2), 0);
	assert_int_equal(pinion_broadcast_collect(stage.broadcast, back + 1, 3), 2);
	for (int i = 0; i < 3; i++)
		assert_true(back[i].bits == desc[i].buffer.bits);
	give(stage.cache, back, 3);
	stage_close_whole(&stage);
}

static void a_slow_consumer_is_back_pressure_and_its_lag_is_told(void **state)
{
	struct stage stage = stage_make();
	const struct pinion_desc one_more = desc_new(&stage, 0);

	(void)state;
	send_some(&stage, SLOTS);
	take_part(&stage.guest[0], SLOTS);
	take_part(&stage.guest[1], SLOTS);
	assert_int_equal(pinion_broadcast_send(stage.broadcast, &one_more, 1), -EAGAIN);
	assert_int_equal(collect_all(&stage), 0);
	assert_int_equal(lag(&stage, 0), 0);
	assert_int_equal(lag(&stage, 2), SLOTS);
	take_part(&stage.guest[2], 1);
	assert_int_equal(lag(&stage, 2), SLOTS - 1);
	assert_int_equal(collect_all(&stage), 1);
	assert_int_equal(pinion_broadcast_send(stage.broadcast, &one_more, 1), 1);
	stage_close_whole(&stage);
}

static void a_batch_takes_what_fits(void **state)
{
	struct stage stage = stage_make();
	struct pinion_desc desc[SLOTS + 2];

	(void)state;
	for (uint32_t i = 0; i < SLOTS + 2; i++)
		desc[i] = desc_new(&stage, i);
	assert_int_equal(pinion_broadcast_send(stage.broadcast, desc, SLOTS + 2), SLOTS);
	assert_int_equal(recv_some(&stage.guest[0], SLOTS), SLOTS);
	assert_int_equal(recv_some(&stage.guest[0], SLOTS), -EAGAIN);
	for (int i = 0; i < 2; i++)
		give(stage.cache, &desc[SLOTS + i].buffer, 1);
	stage_close_whole(&stage);
}

static void a_bad_descriptor_is_einval_or_ends_the_batch_before_it(void **state)
{
	struct stage stage = stage_make();
	const struct pinion_desc good = desc_new(&stage, 1);
	const struct pinion_desc bad[] = {
		{good.buffer, BUFFER + 1, 0},
		{good.buffer, UINT32_MAX, 0},
		{pinion_buffer_next(good.buffer), 0, 0},
		{pinion_buffer_make(PINION_ID_MAX, 1), 0, 0},
		{{0}, 0, 0},
		{pinion_buffer_make(pinion_buffer_id(good.buffer) ^ 1, 1), 0, 0},
		{{good.buffer.bits | UINT64_C(1) << 63}, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pinion_desc desc[2] = {bad[i], good};
		struct pinion_buffer back;

		assert_int_equal(pinion_broadcast_send(stage.broadcast, desc, 2), -EINVAL);
		assert_int_equal(recv_some(&stage.guest[0], 2), -EAGAIN);
		desc[0] = good;
		desc[1] = bad[i];
		assert_int_equal(pinion_broadcast_send(stage.broadcast, desc, 2), 1);
		for (int k = 0; k < CONSUMERS; k++)
			take_part(&stage.guest[k], 1);
		assert_int_equal(collect_one(&stage, &back), 1);
	}
	give(stage.cache, &good.buffer, 1);
	stage_close_whole(&stage);
}

static void more_than_was_lent_cannot_be_returned(void **state)
{
	struct stage stage = stage_make();

	(void)state;
	send_some(&stage, 2);
	assert_int_equal(pinion_broadcast_return(stage.guest[0].seat, 1), -EINVAL);
	assert_int_equal(recv_some(&stage.guest[0], 2), 2);
	assert_int_equal(pinion_broadcast_return(stage.guest[0].seat, 3), -EINVAL);
	assert_int_equal(pinion_broadcast_return(stage.guest[0].seat, UINT32_MAX), -EINVAL);
	assert_int_equal(lag(&stage, 0), 2);
	assert_int_equal(pinion_broadcast_return(stage.guest[0].seat, 2), 0);
	assert_int_equal(lag(&stage, 0), 0);
	stage_close_whole(&stage);
}

/* What is tried by all the others here, where the run says so (broadcast_support.h). */
static void positions_begin_where_the_run_says(void **state)
{
	const char *wanted = getenv("PINION_BROADCAST_START");
	struct stage stage = stage_make();
	const uint64_t start = stage.broadcast->ring.at;

	(void)state;
	assert_true(wanted ? start && start > UINT64_MAX - 2 * SLOTS : !start);
	assert_true(stage.guest[0].seat->ring.at == start);
	assert_int_equal(collect_all(&stage), 0);
	send_some(&stage, SLOTS);
	assert_true(stage.broadcast->ring.at == start + SLOTS);
	stage_close_whole(&stage);
}

/* Of two rounds and more from @start on, two at a time. */
static void go_round_from(uint64_t start)
{
	struct stage stage = {.pool = pool_make(64)};
	struct guest *guest = &stage.guest[0];

	stage.cache = cache_make(stage.pool, BUFFER);
	assert_int_equal(broadcast_make(SLOTS, start, &stage.ring), 0);
	assert_int_equal(pinion_broadcast_open(stage.pool, stage.ring, &stage.broadcast), 0);
	guest->pool = pool_join(stage.pool);
	guest_join(&stage, guest);
	for (uint32_t i = 0; i < 4 * SLOTS; i++) {
		const struct pinion_desc one = send_new(&stage, i), two = send_new(&stage, ~i);
		struct pinion_buffer back[3];

		assert_int_equal(lag(&stage, 0), 2);
		assert_int_equal(pinion_broadcast_lent(stage.ring, guest->fd, back, 3), 2);
		expect_recv(guest, &one);
		expect_recv(guest, &two);
		assert_int_equal(recv_some(guest, 1), -EAGAIN);
		assert_int_equal(pinion_broadcast_return(guest->seat, 2), 0);
		assert_int_equal(pinion_broadcast_collect(stage.broadcast, back, 3), 2);
		give(stage.cache, back, 2);
	}
	assert_true(stage.broadcast->ring.at == start + 8 * SLOTS);
	guest_leave(guest);
	guest_go(guest);
	assert_pool_whole(stage.pool);
	assert_int_equal(pinion_pool_detach(guest->pool), 0);
	assert_int_equal(pinion_broadcast_close(stage.broadcast), 0);
	close(stage.ring);
	assert_int_equal(pinion_cache_close(stage.cache), 0);
	assert_int_equal(pinion_pool_destroy(stage.pool), 0);
}

/* Positions count on over the end of their 64 bits; laps are a matter of one bit of them. A seat is
 * admitted at each, at the last one too, of which 1 more is 0. */
static void positions_may_wrap(void **state)
{
	(void)state;
	for (uint64_t before = 0; before <= 2 * SLOTS + 1; before++)
		go_round_from(-before);
}

/* --- coming and going */

static void without_a_consumer_everything_is_back_at_once(void **state)
{
	struct stage stage = stage_make();

	(void)state;
	for (int i = 0; i < CONSUMERS; i++)
		assert_int_equal(sever(&stage, i), 0);
	send_some(&stage, SLOTS);
	assert_int_equal(collect_all(&stage), SLOTS);
	stage_close_whole(&stage);
}

static void who_leaves_returns_all_it_was_lent(void **state)
{
	struct stage stage = stage_make();

	(void)state;
	send_some(&stage, 3);
	take_part(&stage.guest[0], 3);
	take_part(&stage.guest[1], 3);
	assert_int_equal(recv_some(&stage.guest[2], 2), 2);
	assert_int_equal(collect_all(&stage), 0);
	guest_leave(&stage.guest[2]);
	assert_int_equal(collect_all(&stage), 3);
	assert_int_equal(lag(&stage, 2), -EPIPE);
	send_some(&stage, 1);
	assert_int_equal(lag(&stage, 2), -EPIPE);
	stage_close_whole(&stage);
}

/* A dead consumer is one that does nothing more. */
static void the_loans_of_a_severed_consumer_come_back(void **state)
{
	struct stage stage = stage_make();

	(void)state;
	send_some(&stage, SLOTS);
	take_part(&stage.guest[0], SLOTS);
	take_part(&stage.guest[1], SLOTS);
	assert_int_equal(recv_some(&stage.guest[2], 2), 2);
	assert_int_equal(collect_all(&stage), 0);
	assert_int_equal(sever(&stage, 2), 0);
	assert_int_equal(collect_all(&stage), SLOTS);
	assert_int_equal(lag(&stage, 2), -EINVAL);
	assert_int_equal(sever(&stage, 2), -EINVAL);
	stage_close_whole(&stage);
}

static void a_severed_consumer_that_lives_is_told(void **state)
{
	struct stage stage = stage_make();
	struct guest *guest = &stage.guest[2];

	(void)state;
	send_some(&stage, SLOTS);
	assert_int_equal(recv_some(guest, 2), 2);
	assert_int_equal(sever(&stage, 2), 0);
	assert_int_equal(recv_some(guest, 1), -EPIPE);
	assert_int_equal(pinion_broadcast_return(guest->seat, 1), -EPIPE);
	assert_int_equal(pinion_broadcast_wait(guest->seat, 1000000000), 0);
	take_part(&stage.guest[0], SLOTS);
	take_part(&stage.guest[1], SLOTS);
	assert_int_equal(collect_all(&stage), SLOTS);
	/* Two rounds on its slots have the lap again that it waits for. */
	for (int round = 0; round < 2; round++) {
		send_some(&stage, SLOTS);
		take_part(&stage.guest[0], SLOTS);
		take_part(&stage.guest[1], SLOTS);
		assert_int_equal(recv_some(guest, 1), -EPIPE);
		assert_int_equal(collect_all(&stage), SLOTS);
	}
	stage_close_whole(&stage);
}

static void who_comes_later_begins_where_the_producer_is(void **state)
{
	for (uint32_t before = 0; before < 3 * SLOTS; before++) {
		struct stage stage = stage_make();
		struct pinion_desc desc;

		(void)state;
		assert_int_equal(sever(&stage, 2), 0);
		guest_go(&stage.guest[2]);
		for (uint32_t i = 0; i < before; i++) {
			send_some(&stage, 1);
			take_part(&stage.guest[0], 1);
			take_part(&stage.guest[1], 1);
			if (i % SLOTS == SLOTS - 1)
				assert_int_equal(collect_all(&stage), SLOTS);
		}
		guest_join(&stage, &stage.guest[2]);
		assert_int_equal(stage.guest[2].number, 2);
		assert_int_equal(recv_some(&stage.guest[2], 1), -EAGAIN);
		assert_int_equal(lag(&stage, 2), 0);
		assert_int_equal(collect_all(&stage), before % SLOTS);
		desc = send_new(&stage, 5);
		expect_recv(&stage.guest[2], &desc);
		stage_close_whole(&stage);
	}
}

static void what_is_sent_between_admission_and_joining_is_kept(void **state)
{
	struct stage stage = stage_make();
	struct guest late = {.pool = stage.guest[0].pool};
	struct pinion_desc desc;

	(void)state;
	guest_admit(&stage, &late);
	desc = send_new(&stage, 9);
	for (int i = 0; i < CONSUMERS; i++)
		take_part(&stage.guest[i], 1);
	assert_int_equal(collect_all(&stage), 0);
	assert_int_equal(pinion_broadcast_join(late.pool, stage.ring, late.fd, 0, &late.seat), 0);
	expect_recv(&late, &desc);
	assert_int_equal(pinion_broadcast_return(late.seat, 1), 0);
	assert_int_equal(collect_all(&stage), 1);
	guest_go(&late);
	stage_close_whole(&stage);
}

static void a_seat_is_used_once(void **state)
{
	struct stage stage = stage_make();
	uint32_t number = 4711;

	(void)state;
	assert_int_equal(sever(&stage, 1), 0);
	assert_int_equal(pinion_broadcast_admit(stage.broadcast, stage.guest[1].fd, &number),
			 -EEXIST);
	assert_int_equal(number, 4711);
	assert_sentence("used before");
	stage_close_whole(&stage);
}

static void there_is_room_for_so_many_consumers_and_no_more(void **state)
{
	struct stage stage = stage_make();
	uint32_t number = 0;
	int seat;

	(void)state;
	for (uint32_t i = CONSUMERS; i < PINION_BROADCAST_CONSUMERS_MAX; i++) {
		assert_int_equal(pinion_broadcast_create_seat(&seat), 0);
		assert_int_equal(pinion_broadcast_admit(stage.broadcast, seat, &number), 0);
		assert_int_equal(number, i);
		close(seat);
	}
	assert_int_equal(pinion_broadcast_create_seat(&seat), 0);
	assert_int_equal(pinion_broadcast_admit(stage.broadcast, seat, &number), -EAGAIN);
	assert_int_equal(pinion_broadcast_sever(stage.broadcast, 40), 0);
	assert_int_equal(pinion_broadcast_admit(stage.broadcast, seat, &number), 0);
	assert_int_equal(number, 40);
	close(seat);
	for (uint32_t i = CONSUMERS; i < PINION_BROADCAST_CONSUMERS_MAX; i++)
		assert_int_equal(pinion_broadcast_sever(stage.broadcast, i), 0);
	stage_close_whole(&stage);
}

static void at_the_end_consumers_get_what_was_sent_and_then_epipe(void **state)
{
	struct stage stage = stage_make();
	struct pinion_desc desc = desc_new(&stage, 7);
	uint32_t number;
	int seat;

	(void)state;
	send_some(&stage, 2);
	pinion_broadcast_end(stage.broadcast);
	assert_int_equal(pinion_broadcast_send(stage.broadcast, &desc, 1), -EPIPE);
	give(stage.cache, &desc.buffer, 1);
	assert_int_equal(pinion_broadcast_create_seat(&seat), 0);
	assert_int_equal(pinion_broadcast_admit(stage.broadcast, seat, &number), -EPIPE);
	close(seat);
	for (int i = 0; i < CONSUMERS; i++) {
		take_part(&stage.guest[i], 2);
		assert_int_equal(recv_some(&stage.guest[i], 1), -EPIPE);
	}
	assert_int_equal(collect_all(&stage), 2);
	stage_close_whole(&stage);
}

/* --- files */

static void a_number_of_slots_that_cannot_be_is_einval(void **state)
{
	const uint32_t bad[] = {0, 1, 2, 3, 1023, (1u << 20) + 1, 1u << 21, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = 4711;

		assert_int_equal(pinion_broadcast_create(bad[i], &fd), -EINVAL);
		assert_int_equal(fd, 4711);
	}
}

static void nobody_but_the_producer_writes_the_ring(void **state)
{
	struct stage stage = stage_make();
	struct pinion_broadcast *second = NULL;
	struct pinion_seat *seat = stage.guest[0].seat;

	(void)state;
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, stage.ring, 0),
			 MAP_FAILED);
	assert_int_equal(mprotect(seat->ring.shared, 4096, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(madvise(seat->ring.shared, 4096, MADV_REMOVE), -1);
	assert_int_equal(fallocate(stage.ring, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
			 -1);
	assert_int_equal(pwrite(stage.ring, "", 1, 0), -1);
	assert_int_equal(ftruncate(stage.ring, 0), -1);
	assert_int_equal(pinion_broadcast_open(stage.pool, stage.ring, &second), -EPERM);
	assert_null(second);
	stage_close_whole(&stage);
}

static void a_seat_cannot_be_shortened(void **state)
{
	struct stage stage = stage_make();

	(void)state;
	assert_int_equal(ftruncate(stage.guest[0].fd, 0), -1);
	assert_int_equal(fcntl(stage.guest[0].fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	stage_close_whole(&stage);
}

/* Lines of a seat: the first is written once, the last is the bell, which both ring and hush. */
enum { LINE_RETURNED = 1, LINE_CLOSED, LINE_PRODUCER, LINE_BELL };

/* Which lines of a seat, below its bell, are not as they were, a bit each; they are then. */
static unsigned lines_changed(const struct guest *guest, char *was)
{
	const char *now = (const char *)guest->raw;
	unsigned changed = 0;

	for (unsigned i = 0; i < LINE_BELL; i++)
		changed |= (unsigned)(memcmp(was + 64 * i, now + 64 * i, 64) != 0) << i;
	memcpy(was, now, (size_t)64 * LINE_BELL);
	return changed;
}

static void each_word_of_a_seat_has_one_writer(void **state)
{
	struct stage stage = stage_make();
	struct guest *guest = &stage.guest[0];
	char was[64 * LINE_BELL] = {0};

	(void)state;
	(void)lines_changed(guest, was);
	send_some(&stage, 4);
	assert_int_equal(lines_changed(guest, was), 0);
	assert_int_equal(recv_some(guest, 4), 4);
	assert_int_equal(lines_changed(guest, was), 0);
	assert_int_equal(pinion_broadcast_return(guest->seat, 3), 0);
	assert_int_equal(lines_changed(guest, was), 1u << LINE_RETURNED);
	take_part(&stage.guest[1], 4);
	take_part(&stage.guest[2], 4);
	assert_int_equal(lines_changed(guest, was), 0); /* others return in seats of their own */
	assert_int_equal(collect_all(&stage), 3);
	assert_int_equal(lag(&stage, 0), 1);
	assert_int_equal(lines_changed(guest, was), 0);
	assert_int_equal(sever(&stage, 0), 0);
	assert_int_equal(lines_changed(guest, was), 1u << LINE_PRODUCER);
	guest_leave(guest);
	assert_int_equal(lines_changed(guest, was) & ~(1u << LINE_RETURNED), 1u << LINE_CLOSED);
	stage_close_whole(&stage);
}

static void refused(struct stage *stage, int ring, int seat, int err)
{
	struct pinion_seat *joined = NULL;
	const int maps = pool_maps();

	assert_int_equal(pinion_broadcast_join(stage->pool, ring, seat, 0, &joined), err);
	assert_null(joined);
	assert_int_equal(pool_maps(), maps);
}

static void to_join_before_the_producer_is_eagain(void **state)
{
	struct stage stage = stage_make();
	int ring, seat;

	(void)state;
	ring = broadcast_file(SLOTS);
	assert_int_equal(pinion_broadcast_create_seat(&seat), 0);
	refused(&stage, ring, stage.guest[0].fd, -EAGAIN);
	assert_sentence("no producer yet");
	refused(&stage, stage.ring, seat, -EAGAIN);
	assert_sentence("not admitted");
	close(ring);
	close(seat);
	stage_close_whole(&stage);
}

static void other_files_are_eproto(void **state)
{
	struct stage stage = stage_make();
	const int seat = stage.guest[0].fd;
	struct pinion_pool_fds fds = pool_files(stage.pool);
	struct pinion_broadcast *broadcast = NULL;
	struct pinion_seat *joined = NULL;
	uint32_t number;
	int ring, loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(pinion_ring_create(SLOTS, &ring), 0);
	assert_int_equal(ftruncate(loose, 4096), 0);
	refused(&stage, seat, seat, -EPROTO);
	refused(&stage, stage.ring, stage.ring, -EPROTO);
	refused(&stage, ring, seat, -EPROTO);
	refused(&stage, stage.ring, ring, -EPROTO);
	refused(&stage, fds.control, seat, -EPROTO);
	refused(&stage, stage.ring, loose, -EPROTO);
	refused(&stage, loose, seat, -EPROTO);
	assert_int_equal(pinion_broadcast_open(stage.pool, ring, &broadcast), -EPROTO);
	assert_int_equal(pinion_broadcast_open(stage.pool, loose, &broadcast), -EPROTO);
	assert_null(broadcast);
	assert_int_equal(pinion_broadcast_admit(stage.broadcast, ring, &number), -EPROTO);
	assert_int_equal(pinion_broadcast_orphan(ring), -EPROTO);
	assert_int_equal(pinion_broadcast_lent(ring, seat, NULL, 0), -EPROTO);
	assert_int_equal(pinion_broadcast_lent(stage.ring, ring, NULL, 0), -EPROTO);
	assert_int_equal(pinion_broadcast_join(stage.pool, stage.ring, seat, 8, &joined), -EINVAL);
	close(ring);
	close(loose);
	pool_files_close(&fds);
	stage_close_whole(&stage);
}

/* --- consumers that lie */

/* Its word is not believed, itself cut off; the others and the producer go on. */
static void lie(uint64_t before, uint64_t word)
{
	struct stage stage = stage_make();
	struct guest *liar = &stage.guest[1];
	const uint64_t lies = pinion_broadcast_lies();

	send_some(&stage, 4);
	if (before)
		take_part(liar, (uint32_t)before);
	assert_int_equal(lag(&stage, 1), 4 - before);
	assert_int_equal(pinion_broadcast_lies(), lies);
	liar->raw->returned = word;
	take_part(&stage.guest[0], 4);
	take_part(&stage.guest[2], 1);
	assert_int_equal(collect_all(&stage), 1);
	assert_int_equal(lag(&stage, 1), -EPROTO);
	assert_int_equal(recv_some(liar, 1), -EPIPE);
	take_part(&stage.guest[2], 3);
	assert_int_equal(collect_all(&stage), 3);
	send_some(&stage, 1);
	take_part(&stage.guest[0], 1);
	assert_int_equal(lag(&stage, 1), -EPROTO);
	assert_int_equal(sever(&stage, 1), 0);
	assert_int_equal(lag(&stage, 1), -EINVAL);
	assert_int_equal(pinion_broadcast_lies(), lies + 1);
	stage_close_whole(&stage);
}

static void a_consumer_that_returned_what_was_not_sent_is_cut_off_alone(void **state)
{
	(void)state;
	lie(0, 5);
	lie(2, 5);
	lie(2, SLOTS + 1);
	lie(2, UINT64_C(1) << 32 | 3);
	lie(2, UINT64_MAX);
	lie(2, (uint64_t)INT64_MAX);
	lie(2, UINT64_C(1) << 63);
}

static void a_consumer_that_takes_its_word_back_is_cut_off_alone(void **state)
{
	(void)state;
	lie(1, 0);
	lie(3, 2);
	lie(4, 0);
}

/* Too early, but not beyond what was sent: no lie that anyone can tell, and its own loss. */
static void a_consumer_that_returns_unseen_harms_itself_alone(void **state)
{
	struct stage stage = stage_make();

	(void)state;
	send_some(&stage, 4);
	stage.guest[1].raw->returned = 4;
	take_part(&stage.guest[0], 4);
	take_part(&stage.guest[2], 2);
	assert_int_equal(collect_all(&stage), 2);
	take_part(&stage.guest[2], 2);
	assert_int_equal(collect_all(&stage), 2);
	stage_close_whole(&stage);
}

static void scribbles_in_one_seat_harm_nobody_else(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	for (int round = 0; round < 100; round++) {
		struct stage stage = stage_make();

		for (int i = 0; i < 20; i++) {
			unsigned char *byte = (unsigned char *)stage.guest[1].raw +
					      test_below(&random, sizeof(struct seat_shared));

			*byte = (unsigned char)test_random(&random);
			send_some(&stage, 2);
			take_part(&stage.guest[0], 2);
			take_part(&stage.guest[2], 2);
			(void)recv_some(&stage.guest[1], 1);
			(void)lag(&stage, 1);
			(void)collect_all(&stage);
			/* It keeps so much that no two more would fit. */
			if (stage.broadcast->ring.at - stage.broadcast->collected > SLOTS - 2)
				(void)sever(&stage, 1);
			assert_int_equal(lag(&stage, 0), 0);
			assert_int_equal(lag(&stage, 2), 0);
			(void)collect_all(&stage);
		}
		stage_close_whole(&stage);
	}
}

/* --- a producer that lies */

static void forget_what_is_out(struct stage *stage)
{
	stage->broadcast->collected = stage->broadcast->back = stage->broadcast->ring.at;
}

static void a_producer_that_lends_what_it_may_not_is_eproto(void **state)
{
	struct stage probe = stage_make();
	const uint32_t nr = pool_total(probe.pool);

	(void)state;
	stage_close_whole(&probe);
	for (int i = 0; i < 6; i++) {
		struct stage stage = stage_make();
		const struct pinion_desc good = desc_new(&stage, 1);
		const struct pinion_desc bad[] = {
			{good.buffer, BUFFER + 1, 0},
			{pinion_buffer_make(nr, 1), 0, 0},
			{pinion_buffer_make(PINION_ID_MAX, 1), 0, 0},
			{pinion_buffer_next(good.buffer), 0, 0},
			{pinion_buffer_make(pinion_buffer_id(good.buffer) ^ 1, 1), 0, 0},
			{{0}, 0, 0},
		};
		const struct pinion_desc both[] = {good, bad[i]};
		struct pinion_desc got[2];
		struct guest *guest = &stage.guest[0];
		const uint64_t lies = pinion_broadcast_lies();

		ring_publish(&stage.broadcast->ring, both, 2);
		assert_int_equal(pinion_broadcast_recv(guest->seat, got, 2), 1);
		assert_int_equal(pinion_broadcast_lies(), lies);
		assert_int_equal(pinion_broadcast_recv(guest->seat, got, 2), -EPROTO);
		assert_int_equal(pinion_broadcast_recv(guest->seat, got, 2), -EPROTO);
		assert_int_equal(pinion_broadcast_return(guest->seat, 1), -EPROTO);
		assert_int_equal(pinion_broadcast_wait(guest->seat, 1000000000), 0);
		assert_int_equal(lag(&stage, 0), -EPIPE);
		assert_int_equal(pinion_broadcast_lies(), lies + 1);
		give(stage.cache, &good.buffer, 1);
		forget_what_is_out(&stage);
		stage_close_whole(&stage);
	}
}

/* --- a consumer in a loop of its own */

static bool is_readable(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};

	return poll(&look, 1, 0) == 1;
}

static int notify(struct stage *stage, struct guest *guest)
{
	return pinion_broadcast_set_notify(stage->broadcast, guest->number,
					   pinion_broadcast_notify_fd(guest->seat));
}

static void what_is_sent_makes_a_consumers_descriptor_readable(void **state)
{
	struct stage stage = stage_make();
	struct guest *first = &stage.guest[0], *second = &stage.guest[1];
	const int fd = pinion_broadcast_fd(first->seat), other = pinion_broadcast_fd(second->seat);

	(void)state;
	assert_int_equal(notify(&stage, first), 0);
	assert_int_equal(notify(&stage, second), 0);
	for (uint32_t round = 0; round < 100; round++) {
		assert_int_equal(pinion_broadcast_prepare(first->seat), 0);
		assert_false(is_readable(fd));
		send_some(&stage, 1);
		/* The other did not say that it sleeps. */
		assert_true(is_readable(fd));
		assert_false(is_readable(other));
		assert_int_equal(pinion_broadcast_prepare(second->seat), 1);
		assert_int_equal(pinion_broadcast_done(first->seat), 0);
		assert_false(is_readable(fd));
		for (int i = 0; i < CONSUMERS; i++)
			take_part(&stage.guest[i], 1);
		assert_int_equal(collect_all(&stage), 1);
	}
	stage_close_whole(&stage);
}

/* In the place of the library's: what comes while the consumer arms its bell, of a producer that
 * looked at it before. */
void __real_bell_arm(struct bell *bell, struct bell_ear *ear, uint32_t state);
void __wrap_bell_arm(struct bell *bell, struct bell_ear *ear, uint32_t state);

static struct stage *early;

void __wrap_bell_arm(struct bell *bell, struct bell_ear *ear, uint32_t state)
{
	if (early) {
		send_some(early, 1);
		early = NULL;
	}
	__real_bell_arm(bell, ear, state);
}

static void what_comes_just_before_the_loop_sleeps_is_found(void **state)
{
	struct stage stage = stage_make();
	struct guest *guest = &stage.guest[0];

	(void)state;
	assert_int_equal(notify(&stage, guest), 0);
	early = &stage;
	assert_int_equal(pinion_broadcast_prepare(guest->seat), 1);
	assert_null(early);
	assert_int_equal(atomic_load(&guest->raw->bell.state), BELL_QUIET);
	take_part(guest, 1);
	stage_close_whole(&stage);
}

static void a_producer_told_late_where_to_notify_does_so_then(void **state)
{
	struct stage stage = stage_make();
	struct guest *guest = &stage.guest[0];
	const int fd = pinion_broadcast_fd(guest->seat);

	(void)state;
	assert_int_equal(pinion_broadcast_prepare(guest->seat), 0);
	send_some(&stage, 1);
	assert_false(is_readable(fd));
	assert_int_equal(notify(&stage, guest), 0);
	assert_true(is_readable(fd));
	assert_int_equal(pinion_broadcast_done(guest->seat), 0);
	take_part(guest, 1);
	/* Once more, where the first socket was kept. */
	assert_int_equal(notify(&stage, guest), 0);
	stage_close_whole(&stage);
}

static void the_end_and_a_sever_wake_a_loop_that_is_then_told(void **state)
{
	struct stage stage = stage_make();
	struct guest *severed = &stage.guest[0], *last = &stage.guest[1];

	(void)state;
	assert_int_equal(notify(&stage, severed), 0);
	assert_int_equal(notify(&stage, last), 0);
	assert_int_equal(pinion_broadcast_prepare(severed->seat), 0);
	assert_int_equal(sever(&stage, 0), 0);
	assert_true(is_readable(pinion_broadcast_fd(severed->seat)));
	assert_int_equal(pinion_broadcast_done(severed->seat), 0);
	assert_int_equal(pinion_broadcast_prepare(severed->seat), -EPIPE);
	send_some(&stage, 1);
	pinion_broadcast_end(stage.broadcast);
	assert_int_equal(pinion_broadcast_prepare(last->seat), 1);
	take_part(last, 1);
	assert_int_equal(pinion_broadcast_prepare(last->seat), -EPIPE);
	stage_close_whole(&stage);
}

static void what_a_loop_of_a_consumer_may_not_is_einval(void **state)
{
	struct stage stage = stage_make();
	struct guest *guest = &stage.guest[0];

	(void)state;
	assert_int_equal(pinion_broadcast_prepare(guest->seat), -EINVAL);
	assert_int_equal(pinion_broadcast_done(guest->seat), -EINVAL);
	assert_int_equal(pinion_broadcast_set_notify(stage.broadcast, guest->number, 0), -EINVAL);
	assert_sentence("notify_fd");
	assert_int_equal(pinion_broadcast_set_notify(stage.broadcast, 99,
						     pinion_broadcast_notify_fd(guest->seat)),
			 -EINVAL);
	assert_sentence("consumer 99");
	assert_int_equal(pinion_broadcast_done(guest->seat), 0);
	stage_close_whole(&stage);
}

/* As on a kernel before 6.16, which lets them in. */
static void files_from_a_producer_are_a_lie_that_closes_the_seat(void **state)
{
	struct stage stage = stage_make();
	struct guest *guest = &stage.guest[0];
	const int to = pinion_broadcast_notify_fd(guest->seat), on = 1;
	const uint64_t lies = pinion_broadcast_lies();

	(void)state;
	(void)setsockopt(guest->seat->fd.socket, SOL_SOCKET, 83, &on, sizeof(on));
	guest->seat->fd.clean = false;
	assert_int_equal(send_file(to, 0), 1);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(pinion_broadcast_done(guest->seat), -EPROTO);
		assert_int_equal(pinion_broadcast_prepare(guest->seat), -EPROTO);
		assert_int_equal(pinion_broadcast_lies(), lies + 1);
	}
	assert_int_equal(lag(&stage, 0), -EPIPE);
	stage_close_whole(&stage);
}

/* No wake-up is lost: nobody looks up from the descriptor by himself. */
#define LOOP_ROUNDS 20000u

static void *lend_and_rest(void *arg)
{
	struct stage *stage = arg;
	uint64_t random = 4711;

	for (uint32_t i = 0; i < LOOP_ROUNDS;) {
		const struct timespec rest = {0, test_below(&random, 20000)};
		struct pinion_desc desc = {.len = 1, .tag = i};

		(void)collect_all(stage);
		if (pinion_buffer_alloc(stage->cache, &desc.buffer))
			return arg;
		if (pinion_broadcast_send(stage->broadcast, &desc, 1) == 1)
			i++;
		else if (pinion_buffer_free(stage->cache, desc.buffer))
			return arg;
		if (test_below(&random, 4) == 0)
			nanosleep(&rest, NULL);
	}
	pinion_broadcast_end(stage->broadcast);
	return NULL;
}

static void no_wake_up_of_a_consumers_loop_is_lost(void **state)
{
	struct stage stage = stage_make();
	struct pinion_seat *seat = stage.guest[0].seat;
	struct pollfd look = {.fd = pinion_broadcast_fd(seat), .events = POLLIN};
	struct pinion_desc desc[SLOTS];
	uint32_t next = 0;
	pthread_t thread;
	void *failed;
	int what, got;

	(void)state;
	guest_leave(&stage.guest[1]);
	guest_leave(&stage.guest[2]);
	assert_int_equal(notify(&stage, &stage.guest[0]), 0);
	assert_int_equal(pthread_create(&thread, NULL, lend_and_rest, &stage), 0);
	while ((what = pinion_broadcast_prepare(seat)) >= 0) {
		if (what == 0)
			assert_int_equal(poll(&look, 1, 20000), 1);
		assert_int_equal(pinion_broadcast_done(seat), 0);
		while ((got = pinion_broadcast_recv(seat, desc, SLOTS)) > 0) {
			for (int i = 0; i < got; i++)
				assert_int_equal(desc[i].tag, next++);
			assert_int_equal(pinion_broadcast_return(seat, (uint32_t)got), 0);
		}
	}
	assert_int_equal(what, -EPIPE);
	assert_int_equal(next, LOOP_ROUNDS);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	stage_close_whole(&stage);
}

/* --- the producer's death. What a keeper does stands in the header. */

static int lent(const struct stage *stage, int i, struct pinion_buffer *buffer)
{
	return pinion_broadcast_lent(stage->ring, stage->guest[i].fd, buffer, SLOTS);
}

static void what_is_lent_is_told_from_the_files_alone(void **state)
{
	struct stage stage = stage_make();
	struct pinion_buffer buffer[SLOTS];
	struct pinion_desc desc[SLOTS];

	(void)state;
	for (uint32_t begin = 0; begin < 3 * SLOTS; begin++) {
		assert_int_equal(lent(&stage, 0, buffer), 0);
		for (uint32_t i = 0; i < SLOTS; i++)
			desc[i] = send_new(&stage, i);
		for (uint32_t i = 0; i < SLOTS; i++) {
			assert_int_equal(lent(&stage, 1, buffer), SLOTS);
			assert_int_equal(lent(&stage, 0, buffer), SLOTS - i);
			for (uint32_t k = i; k < SLOTS; k++)
				assert_true(buffer[k - i].bits == desc[k].buffer.bits);
			take_part(&stage.guest[0], 1);
		}
		take_part(&stage.guest[1], SLOTS);
		take_part(&stage.guest[2], SLOTS);
		assert_int_equal(collect_all(&stage), SLOTS);
		/* The next round begins one slot further on. */
		send_some(&stage, 1);
		for (int i = 0; i < CONSUMERS; i++)
			take_part(&stage.guest[i], 1);
		assert_int_equal(collect_all(&stage), 1);
	}
	stage_close_whole(&stage);
}

static void who_left_or_was_severed_or_never_admitted_is_lent_nothing(void **state)
{
	struct stage stage = stage_make();
	struct pinion_buffer buffer[SLOTS];
	int seat;

	(void)state;
	send_some(&stage, 3);
	assert_int_equal(pinion_broadcast_create_seat(&seat), 0);
	assert_int_equal(pinion_broadcast_lent(stage.ring, seat, buffer, SLOTS), 0);
	close(seat);
	guest_leave(&stage.guest[0]);
	assert_int_equal(lent(&stage, 0, buffer), 0);
	assert_int_equal(sever(&stage, 1), 0);
	assert_int_equal(lent(&stage, 1, buffer), 0);
	assert_int_equal(lent(&stage, 2, buffer), 3);
	assert_int_equal(pinion_broadcast_lent(stage.ring, stage.guest[2].fd, buffer, 2), -ENOSPC);
	assert_int_equal(pinion_broadcast_orphan(stage.guest[1].fd), 0);
	assert_int_equal(recv_some(&stage.guest[1], 1), -EPIPE);
	stage_close_whole(&stage);
}

static void a_batch_that_was_cut_short_counts_until_the_consumer_leaves(void **state)
{
	struct stage stage = stage_make();
	struct ring *ring = &stage.broadcast->ring;
	struct pinion_desc desc[3];
	struct pinion_buffer buffer[SLOTS];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		desc[i] = desc_new(&stage, i);
	/* The first of a batch is stored last: a producer killed in between left a gap. */
	ring->at++;
	ring_publish(ring, desc + 1, 2);
	assert_int_equal(pinion_broadcast_orphan(stage.guest[0].fd), 0);
	assert_int_equal(recv_some(&stage.guest[0], 1), -EPIPE);
	assert_int_equal(lent(&stage, 0, buffer), 2);
	guest_leave(&stage.guest[0]);
	assert_int_equal(lent(&stage, 0, buffer), 0);
	for (uint32_t i = 0; i < 3; i++)
		give(stage.cache, &desc[i].buffer, 1);
	forget_what_is_out(&stage);
	stage_close_whole(&stage);
}

/* Number 2 is dead as well: nobody asks about it. */
static uint32_t lent_to_the_living(const struct stage *stage, struct pinion_buffer *buffer)
{
	uint32_t nr = 0;

	for (int i = 0; i < 2; i++) {
		const int more = lent(stage, i, buffer + nr);

		assert_in_range(more, 0, SLOTS);
		nr += (uint32_t)more;
	}
	return nr;
}

/* One leaves with what it has, the other returns it. */
static void the_living_acknowledge(struct stage *stage)
{
	struct pinion_buffer buffer[SLOTS];

	for (int i = 0; i < 2; i++) {
		assert_int_equal(pinion_broadcast_orphan(stage->guest[i].fd), 0);
		assert_int_equal(recv_some(&stage->guest[i], SLOTS), 2);
		assert_int_equal(recv_some(&stage->guest[i], SLOTS), -EPIPE);
		assert_int_equal(lent(stage, i, buffer), 2 + i);
	}
	guest_leave(&stage->guest[0]);
	assert_int_equal(pinion_broadcast_return(stage->guest[1].seat, 3), 0);
}

/* The producer is a member other than the keeper here; it is gone without a word. */
static void recovery_leaves_what_the_living_read_and_release_frees_it(void **state)
{
	struct pinion_pool *keeper = pool_make(64);
	struct stage stage = stage_make_in(pool_join(keeper), keeper);
	const uint32_t producer = pinion_pool_member(stage.pool);
	struct pinion_recovery report;
	struct pinion_buffer transit[2 * SLOTS];

	(void)state;
	send_some(&stage, 5);
	take_part(&stage.guest[0], 3); /* two are in the ring */
	take_part(&stage.guest[1], 2); /* one is with it, two in the ring */
	assert_int_equal(recv_some(&stage.guest[1], 1), 1);
	(void)desc_new(&stage, 0); /* held, and lent to nobody */
	abandon(stage.cache);

	assert_int_equal(lent_to_the_living(&stage, transit), 5);
	assert_int_equal(pinion_pool_recover(keeper, producer, transit, 5, &report), 0);
	assert_int_equal(report.transit, 3);
	assert_int_equal(report.returned, 3);
	assert_int_equal(pinion_pool_held(keeper, producer), 3);
	the_living_acknowledge(&stage);
	assert_int_equal(lent_to_the_living(&stage, transit), 0);
	assert_int_equal(pinion_pool_release(keeper, producer, &report), 0);
	assert_int_equal(report.returned, 3);
	assert_pool_whole(keeper);

	stage.cache = cache_make(keeper, BUFFER);
	stage_close(&stage);
	assert_int_equal(pinion_pool_destroy(keeper), 0);
}

/* --- waiting */

static void wait_ends_at_its_time_limit(void **state)
{
	struct stage stage = stage_make();
	const uint64_t before = test_now_ns();

	(void)state;
	assert_int_equal(pinion_broadcast_wait(stage.guest[0].seat, 20000000), -ETIMEDOUT);
	assert_in_range(test_now_ns() - before, 20000000, UINT64_C(5000000000));
	stage_close_whole(&stage);
}

/* A sleeper, and how it was woken. */
struct sleeper {
	struct pinion_seat *seat;
	int err;
	uint64_t ns;
};

static void *sleep_long(void *arg)
{
	struct sleeper *sleeper = arg;
	const uint64_t before = test_now_ns();

	sleeper->err = pinion_broadcast_wait(sleeper->seat, UINT64_C(20000000000));
	sleeper->ns = test_now_ns() - before;
	return NULL;
}

static void is_woken_by(struct stage *stage, int (*wake)(struct stage *stage))
{
	struct sleeper sleeper = {.seat = stage->guest[0].seat};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, sleep_long, &sleeper), 0);
	usleep(30000);
	assert_int_equal(wake(stage), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(sleeper.err, 0);
	assert_in_range(sleeper.ns, 0, UINT64_C(10000000000));
}

static int by_sending(struct stage *stage)
{
	send_some(stage, 1);
	return 0;
}

static int by_the_end(struct stage *stage)
{
	pinion_broadcast_end(stage->broadcast);
	return 0;
}

static int by_severing(struct stage *stage)
{
	return sever(stage, 0);
}

static int by_the_keeper(struct stage *stage)
{
	return pinion_broadcast_orphan(stage->guest[0].fd);
}

static void a_sleeper_is_woken_by_whatever_there_is_to_say(void **state)
{
	int (*const wake[])(struct stage *) = {by_sending, by_the_end, by_severing, by_the_keeper};

	(void)state;
	for (size_t i = 0; i < sizeof(wake) / sizeof(wake[0]); i++) {
		struct stage stage = stage_make();

		is_woken_by(&stage, wake[i]);
		stage_close_whole(&stage);
	}
}

/* ... and then by nobody, since a producer moves him away from the bell, and is killed. */
static void a_sleeper_who_was_moved_away_from_the_bell_is_told(void **state)
{
	int (*const say[])(struct stage *) = {by_severing, by_the_keeper};

	(void)state;
	for (size_t i = 0; i < sizeof(say) / sizeof(say[0]); i++) {
		struct stage stage = stage_make();
		struct sleeper sleeper = {.seat = stage.guest[0].seat};
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, sleep_long, &sleeper), 0);
		assert_int_equal(requeue_sleepers(&stage.guest[0].raw->bell), 1);
		assert_int_equal(say[i](&stage), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(sleeper.err, 0);
		assert_in_range(sleeper.ns, 0, UINT64_C(10000000000));
		stage_close_whole(&stage);
	}
}

/* --- a loan of a segment whose file one consumer has not got, or not yet */

#define NEW_SLOT 1u /* the first that a pool of one segment grows by */

static struct pinion_desc send_without_a_file(struct stage *stage, uint32_t tag)
{
	struct pinion_desc desc = {.len = 4096, .tag = tag};
	struct pinion_cache *cache;

	assert_int_equal(grow(stage->pool, 16, 4096), NEW_SLOT);
	cache = cache_make(stage->pool, 4096);
	take(cache, &desc.buffer, 1);
	assert_int_equal(slot_of(stage->pool, desc.buffer), NEW_SLOT);
	assert_int_equal(pinion_broadcast_send(stage->broadcast, &desc, 1), 1);
	assert_int_equal(pinion_cache_close(cache), 0);
	return desc;
}

static int pass_the_file(const struct stage *stage, int i)
{
	return pass(stage->pool, stage->guest[i].pool, NEW_SLOT);
}

static void assert_at_rest(const struct guest *guest)
{
	assert_int_equal(pinion_broadcast_prepare(guest->seat), 0);
	assert_int_equal(pinion_broadcast_done(guest->seat), 0);
	assert_int_equal(pinion_broadcast_wait(guest->seat, 1000000), -ETIMEDOUT);
}

/* The first consumer meets it, and sleeps. */
static struct pinion_desc meet_what_has_no_file(struct stage *stage)
{
	struct guest *first = &stage->guest[0];
	const struct pinion_desc desc = send_without_a_file(stage, 5);

	assert_int_equal(notify(stage, first), 0);
	assert_int_equal(pinion_broadcast_prepare(first->seat), 1);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(recv_some(first, SLOTS), -EAGAIN);
		assert_at_rest(first);
	}
	return desc;
}

static void who_waits_is_not_told_of_a_loan_without_a_file(void **state)
{
	struct stage stage = stage_make();
	struct guest *first = &stage.guest[0], *second = &stage.guest[1];
	const struct pinion_desc desc = meet_what_has_no_file(&stage);
	struct pinion_desc next;

	(void)state;
	assert_int_equal(pass_the_file(&stage, 1), 0);
	expect_recv(second, &desc);
	/* What comes behind it wakes the first, which has nothing of that. */
	assert_int_equal(pinion_broadcast_prepare(first->seat), 0);
	next = send_new(&stage, 6);
	assert_true(is_readable(pinion_broadcast_fd(first->seat)));
	assert_int_equal(pinion_broadcast_done(first->seat), 0);
	assert_int_equal(recv_some(first, SLOTS), -EAGAIN);
	assert_at_rest(first);
	assert_int_equal(lag(&stage, 0), 2);
	assert_int_equal(pass_the_file(&stage, 0), 0);
	assert_int_equal(pinion_broadcast_prepare(first->seat), 1);
	assert_int_equal(pinion_broadcast_wait(first->seat, 1000000), 0);
	expect_recv(first, &desc);
	/* Once it was had, what comes next is told of. */
	assert_int_equal(pinion_broadcast_prepare(first->seat), 1);
	expect_recv(first, &next);
	assert_at_rest(first);
	stage_close_whole(&stage);
}

static int by_the_file(struct stage *stage)
{
	return pass_the_file(stage, 0);
}

static void a_sleeper_finds_a_loan_whose_file_came(void **state)
{
	struct stage stage = stage_make();
	const struct pinion_desc desc = meet_what_has_no_file(&stage);

	(void)state;
	is_woken_by(&stage, by_the_file);
	expect_recv(&stage.guest[0], &desc);
	stage_close_whole(&stage);
}

/* The second consumer did not meet it before. */
static void the_end_is_told_beside_a_loan_without_a_file(void **state)
{
	struct stage stage = stage_make();
	const struct pinion_desc desc = meet_what_has_no_file(&stage);

	(void)state;
	assert_int_equal(notify(&stage, &stage.guest[1]), 0);
	pinion_broadcast_end(stage.broadcast);
	assert_int_equal(pinion_broadcast_prepare(stage.guest[0].seat), -EPIPE);
	assert_int_equal(pinion_broadcast_prepare(stage.guest[1].seat), 1);
	for (int i = 0; i < 2; i++) {
		struct guest *guest = &stage.guest[i];

		assert_int_equal(recv_some(guest, SLOTS), -EPIPE);
		assert_int_equal(pinion_broadcast_prepare(guest->seat), -EPIPE);
		assert_int_equal(pinion_broadcast_wait(guest->seat, UINT64_MAX), 0);
		/* It came after all. */
		assert_int_equal(pass_the_file(&stage, i), 0);
		assert_int_equal(pinion_broadcast_prepare(guest->seat), 1);
		expect_recv(guest, &desc);
		assert_int_equal(pinion_broadcast_prepare(guest->seat), -EPIPE);
		assert_int_equal(recv_some(guest, SLOTS), -EPIPE);
	}
	stage_close_whole(&stage);
}

/* --- threads, under ThreadSanitizer too. It does not see that two mappings are one memory: all
 * ends work on the producer's, and all are one member. */

#define STREAM 10000

struct reader {
	struct pinion_seat *seat;
	struct pinion_pool *pool;
	uint32_t pace; /* loans kept before they are returned */
	int wrong;
};

/* What the producer wrote is there, and stays until it is returned. */
static bool is_intact(const struct reader *reader, const struct pinion_desc *desc)
{
	const uint32_t *bytes = pinion_buffer_addr(reader->pool, desc->buffer);

	return bytes[0] == desc->tag && bytes[BUFFER / 4 - 1] == ~desc->tag;
}

static void reader_return(struct reader *reader, const struct pinion_desc *kept, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		reader->wrong += !is_intact(reader, &kept[i]);
	reader->wrong += pinion_broadcast_return(reader->seat, nr) != 0;
}

static void *read_all(void *arg)
{
	struct reader *reader = arg;
	struct pinion_desc kept[SLOTS];
	uint32_t nr = 0, next = 0;
	int got;

	while ((got = pinion_broadcast_recv(reader->seat, &kept[nr], 1)) != -EPIPE) {
		if (got == 1) {
			reader->wrong += kept[nr].tag != next++ || !is_intact(reader, &kept[nr]);
			nr++;
		} else {
			reader->wrong += got != -EAGAIN;
			(void)pinion_broadcast_wait(reader->seat, 100000);
		}
		if (nr == reader->pace || (nr && got != 1)) {
			reader_return(reader, kept, nr);
			nr = 0;
		}
	}
	reader_return(reader, kept, nr);
	reader->wrong += next != STREAM;
	return NULL;
}

/* Takes a buffer that is back, or a new one while there are few. */
static bool next_buffer(struct stage *stage, uint32_t sent, struct pinion_buffer *buffer)
{
	if (sent < SLOTS)
		return pinion_buffer_alloc(stage->cache, buffer) == 0;
	return pinion_broadcast_collect(stage->broadcast, buffer, 1) == 1;
}

static void send_all(struct stage *stage)
{
	struct pinion_desc desc = {.len = BUFFER};

	while (desc.tag < STREAM) {
		uint32_t *bytes;

		if (!next_buffer(stage, desc.tag, &desc.buffer)) {
			sched_yield();
			continue;
		}
		bytes = pinion_buffer_addr(stage->pool, desc.buffer);
		bytes[0] = desc.tag;
		bytes[BUFFER / 4 - 1] = ~desc.tag;
		assert_int_equal(pinion_broadcast_send(stage->broadcast, &desc, 1), 1);
		desc.tag++;
	}
	pinion_broadcast_end(stage->broadcast);
}

static void what_is_lent_stays_as_it_was_until_it_is_returned(void **state)
{
	struct stage stage = stage_make();
	struct reader reader[CONSUMERS];
	struct ring_shared *own[CONSUMERS];
	struct seat_shared *own_seat[CONSUMERS];
	pthread_t thread[CONSUMERS];

	(void)state;
	for (uint32_t i = 0; i < CONSUMERS; i++) {
		struct pinion_seat *seat = stage.guest[i].seat;

		reader[i] = (struct reader){seat, stage.pool, 1 + i, 0};
		own[i] = seat->ring.shared;
		own_seat[i] = seat->shared;
		seat->pool = stage.pool;
		seat->ring.shared = stage.broadcast->ring.shared;
		seat->shared = stage.broadcast->place[stage.guest[i].number].seat;
		assert_int_equal(pthread_create(&thread[i], NULL, read_all, &reader[i]), 0);
	}
	send_all(&stage);
	for (int i = 0; i < CONSUMERS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(reader[i].wrong, 0);
		stage.guest[i].seat->ring.shared = own[i];
		stage.guest[i].seat->shared = own_seat[i];
	}
	assert_int_equal(collect_all(&stage), SLOTS);
	stage_close_whole(&stage);
}

static const struct CMUnitTest tests[] = {
	pool_test(a_buffer_is_read_by_all_and_back_when_the_last_returned_it),
	pool_test(a_lent_buffer_is_the_producers_all_the_time),
	pool_test(the_same_buffer_is_sent_again_as_soon_as_it_is_back),
	pool_test(order_is_kept_over_many_rounds),
	pool_test(a_loan_returned_early_waits_for_those_before_it),
	pool_test(a_slow_consumer_is_back_pressure_and_its_lag_is_told),
	pool_test(a_batch_takes_what_fits),
	pool_test(a_bad_descriptor_is_einval_or_ends_the_batch_before_it),
	pool_test(more_than_was_lent_cannot_be_returned),
	pool_test(positions_begin_where_the_run_says),
	pool_test(positions_may_wrap),
	pool_test(without_a_consumer_everything_is_back_at_once),
	pool_test(who_leaves_returns_all_it_was_lent),
	pool_test(the_loans_of_a_severed_consumer_come_back),
	pool_test(a_severed_consumer_that_lives_is_told),
	pool_test(who_comes_later_begins_where_the_producer_is),
	pool_test(what_is_sent_between_admission_and_joining_is_kept),
	pool_test(a_seat_is_used_once),
	pool_test(there_is_room_for_so_many_consumers_and_no_more),
	pool_test(at_the_end_consumers_get_what_was_sent_and_then_epipe),
	pool_test(a_number_of_slots_that_cannot_be_is_einval),
	pool_test(nobody_but_the_producer_writes_the_ring),
	pool_test(a_seat_cannot_be_shortened),
	pool_test(each_word_of_a_seat_has_one_writer),
	pool_test(to_join_before_the_producer_is_eagain),
	pool_test(other_files_are_eproto),
	pool_test(a_consumer_that_returned_what_was_not_sent_is_cut_off_alone),
	pool_test(a_consumer_that_takes_its_word_back_is_cut_off_alone),
	pool_test(a_consumer_that_returns_unseen_harms_itself_alone),
	pool_test(scribbles_in_one_seat_harm_nobody_else),
	pool_test(a_producer_that_lends_what_it_may_not_is_eproto),
	pool_test(what_is_lent_is_told_from_the_files_alone),
	pool_test(who_left_or_was_severed_or_never_admitted_is_lent_nothing),
	pool_test(a_batch_that_was_cut_short_counts_until_the_consumer_leaves),
	pool_test(recovery_leaves_what_the_living_read_and_release_frees_it),
	pool_test(wait_ends_at_its_time_limit),
	pool_test(a_sleeper_is_woken_by_whatever_there_is_to_say),
	pool_test(a_sleeper_who_was_moved_away_from_the_bell_is_told),
	pool_test(what_is_lent_stays_as_it_was_until_it_is_returned),
	pool_test(what_is_sent_makes_a_consumers_descriptor_readable),
	pool_test(what_comes_just_before_the_loop_sleeps_is_found),
	pool_test(a_producer_told_late_where_to_notify_does_so_then),
	pool_test(the_end_and_a_sever_wake_a_loop_that_is_then_told),
	pool_test(what_a_loop_of_a_consumer_may_not_is_einval),
	pool_test(files_from_a_producer_are_a_lie_that_closes_the_seat),
	pool_test(no_wake_up_of_a_consumers_loop_is_lost),
	pool_test(who_waits_is_not_told_of_a_loan_without_a_file),
	pool_test(a_sleeper_finds_a_loan_whose_file_came),
	pool_test(the_end_is_told_beside_a_loan_without_a_file),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
