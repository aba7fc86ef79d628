/* SPDX-License-Identifier: BSD-3-Clause */
/* fanin.h and the ready set: who is found, when, in which turn; liars; lanes that come and go. */

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>

#include "fanin_support.h"

static void a_message_comes_with_its_channel(void **state)
{
	struct crowd *crowd = crowd_make(3, 8);

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		say(crowd, i, 100 + i);
		hear_one(crowd, i, 100 + i, 1);
	}
	assert_int_equal(hear(crowd, 1, 1).got, -EAGAIN);
	crowd_unmake(crowd);
}

static void an_idle_lane_asks_to_be_told_and_is_told_once(void **state)
{
	struct crowd *crowd = crowd_make(3, 8);

	(void)state;
	crowd_rest(crowd);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(bell_of(&crowd->pair[i]), BELL_LANE);
	assert_false(ready_any(crowd->ready));
	say(crowd, 1, 1);
	assert_int_equal(bell_of(&crowd->pair[1]), BELL_QUIET);
	assert_true(atomic_load(&crowd->ready->word[0]) == UINT64_C(1) << crowd->pair[1].lane);
	hide(crowd->ready);
	/* No second time: whoever has set its bit leaves the shared lines alone. */
	say(crowd, 1, 2);
	assert_false(ready_any(crowd->ready));
	hear_one(crowd, 1, 1, 4 * PATROL_CALLS);
	hear_one(crowd, 1, 2, 1);
	crowd_unmake(crowd);
}

/* In the place of the library's, for a message of somebody who looked at the bell a moment too
 * early: it comes after the receiver's last look, and no bit will be set for it. */
void __real_bell_fence(bool unfenced);
void __wrap_bell_fence(bool unfenced);

static struct crowd *early;

void __wrap_bell_fence(bool unfenced)
{
	if (early) {
		const struct pinion_desc desc = desc_new(&early->from, 1, 8);

		ring_publish(&early->pair[0].ring, &desc, 1);
		early = NULL;
	}
	__real_bell_fence(unfenced);
}

static void what_comes_just_before_the_rest_is_found(void **state)
{
	struct crowd *crowd = crowd_make(200, 8);
	struct heard heard;

	(void)state;
	early = crowd;
	/* All are on trial: the first look makes them cold. */
	heard = hear(crowd, 1, 2);
	assert_null(early);
	assert_int_equal(heard.got, 1);
	assert_int_equal(heard.tag, 8);
	crowd_unmake(crowd);
}

static void a_busy_lane_touches_no_shared_line(void **state)
{
	struct crowd *crowd = crowd_make(2, 8);

	(void)state;
	for (uint32_t i = 0; i < 5000; i++) {
		say(crowd, 0, i);
		hear_one(crowd, 0, i, 1);
		assert_int_equal(bell_of(&crowd->pair[0]), BELL_QUIET);
		assert_false(ready_any(crowd->ready));
	}
	crowd_unmake(crowd);
}

static void fill(struct crowd *crowd, uint32_t i, uint32_t nr)
{
	while (nr--)
		say(crowd, i, nr);
}

static void a_turn_is_as_long_as_the_weight_says(void **state)
{
	struct crowd *crowd = crowd_make(0, 0);
	uint32_t turn[3] = {0};

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		crowd_add(crowd, 1024, 1 + i);
		fill(crowd, i, 768);
	}
	/* Each has enough for two turns of the heaviest: 64, 128, 192, and again. */
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 3; i++)
			for (turn[i] = 0; turn[i] < (1 + i) * PINION_FANIN_QUANTUM;) {
				const struct heard heard = hear(crowd, 48, 1);

				assert_int_equal(heard.from, i);
				assert_in_range(heard.got, 1, 48);
				turn[i] += (uint32_t)heard.got;
				assert_in_range(turn[i], 1, (1 + i) * PINION_FANIN_QUANTUM);
			}
	while (hear(crowd, 256, 1).got > 0)
		;
	crowd_unmake(crowd);
}

/* Between a message's sending and its coming lie at most the flooder's turn, and one of those who
 * came before. */
static void a_flooder_delays_others_by_its_turn(void **state)
{
	struct crowd *crowd = crowd_make(4, 256);
	uint64_t random = test_seed();

	(void)state;
	fill(crowd, 0, 256);
	for (uint32_t round = 0; round < 500; round++) {
		const uint32_t who = 1 + test_below(&random, 3);
		uint32_t before = 0;
		struct heard heard;

		say(crowd, who, round);
		while ((heard = hear(crowd, 32, 1)).from != who) {
			assert_int_equal(heard.from, 0);
			before += (uint32_t)heard.got;
			assert_in_range(before, 0, PINION_FANIN_QUANTUM);
			fill(crowd, 0, (uint32_t)heard.got);
		}
		assert_int_equal(heard.tag, round);
	}
	while (hear(crowd, 256, 1).got > 0)
		;
	crowd_unmake(crowd);
}

static void the_patrol_finds_what_a_liar_hid(void **state)
{
	struct crowd *crowd = crowd_make(100, 8);
	uint64_t random = test_seed();

	(void)state;
	for (uint32_t round = 0; round < 200; round++) {
		const uint32_t who = test_below(&random, 100);

		crowd_rest(crowd);
		say(crowd, who, round);
		hide(crowd->ready);
		hear_one(crowd, who, round, (100 + 1) * PATROL_CALLS);
	}
	crowd_unmake(crowd);
}

static void wait_finds_what_a_liar_hid(void **state)
{
	struct crowd *crowd = crowd_make(100, 8);
	uint64_t before;

	(void)state;
	crowd_rest(crowd);
	assert_int_equal(pinion_fanin_wait(crowd->fanin, 1000), -ETIMEDOUT);
	say(crowd, 77, 1);
	hide(crowd->ready);
	before = test_now_ns();
	assert_int_equal(pinion_fanin_wait(crowd->fanin, 10 * SECOND_NS), 0);
	assert_in_range(test_now_ns() - before, 0, 5 * SECOND_NS);
	hear_one(crowd, 77, 1, 1);
	crowd_unmake(crowd);
}

static void bits_for_nothing_cost_one_look(void **state)
{
	struct crowd *crowd = crowd_make(70, 8);

	(void)state;
	for (uint32_t round = 0; round < 100; round++) {
		crowd_rest(crowd);
		memset(crowd->ready->word, 0xff, sizeof(crowd->ready->word));
		atomic_store(&crowd->ready->summary, UINT64_MAX);
		for (uint32_t call = 0; call < READY_WORDS; call++)
			assert_int_equal(hear(crowd, 1, 1).got, -EAGAIN);
		/* Looked at, and cold again: all that without a fence for each. */
		for (uint32_t i = 0; i < crowd->nr; i++)
			assert_int_equal(bell_of(&crowd->pair[i]), BELL_LANE);
		assert_false(ready_any(crowd->ready));
		say(crowd, round % 70, round);
		hear_one(crowd, round % 70, round, READY_WORDS);
	}
	crowd_unmake(crowd);
}

/* One who may write the whole file, and does. */
struct vandal {
	struct ready_shared *ready;
	atomic_bool stop;
};

static void *scribble(void *arg)
{
	struct vandal *vandal = arg;
	uint64_t random = 4711;

	while (!atomic_load(&vandal->stop)) {
		_Atomic uint64_t *word = &vandal->ready->word[test_below(&random, READY_WORDS)];
		const uint64_t value = test_below(&random, 2) ? test_random(&random) : 0;

		atomic_store_explicit(word, value, memory_order_relaxed);
		atomic_store_explicit(&vandal->ready->summary, value, memory_order_relaxed);
		atomic_store_explicit(&vandal->ready->bell.state, (uint32_t)value & 3,
				      memory_order_relaxed);
		atomic_store_explicit(&vandal->ready->bell.fenced, (uint32_t)value,
				      memory_order_relaxed);
	}
	return NULL;
}

static void *hide_always(void *arg)
{
	struct vandal *vandal = arg;

	while (!atomic_load(&vandal->stop)) {
		hide(vandal->ready);
		atomic_store_explicit(&vandal->ready->bell.state, BELL_QUIET, memory_order_relaxed);
	}
	return NULL;
}

/* Messages of lanes at rest, while @act goes on beside. */
static void against(void *(*act)(void *), uint32_t rounds)
{
	struct crowd *crowd = crowd_make(100, 8);
	struct vandal vandal = {.ready = crowd->ready};
	uint64_t random = test_seed(), before;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, act, &vandal), 0);
	for (uint32_t round = 0; round < rounds; round++) {
		const uint32_t who = test_below(&random, 100);

		crowd_rest(crowd);
		say(crowd, who, round);
		if (round % 8 == 0) {
			before = test_now_ns();
			assert_int_equal(pinion_fanin_wait(crowd->fanin, 10 * SECOND_NS), 0);
			assert_in_range(test_now_ns() - before, 0, 5 * SECOND_NS);
		}
		hear_one(crowd, who, round, (100 + 1) * PATROL_CALLS);
	}
	before = test_now_ns();
	assert_int_equal(pinion_fanin_wait(crowd->fanin, SECOND_NS / 4), -ETIMEDOUT);
	assert_in_range(test_now_ns() - before, SECOND_NS / 4, 5 * SECOND_NS);
	atomic_store(&vandal.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	crowd_unmake(crowd);
}

static void nobody_starves_while_bits_are_cleared(void **state)
{
	(void)state;
	against(hide_always, 200);
}

static void nobody_starves_while_the_file_is_scribbled(void **state)
{
	(void)state;
	against(scribble, 200);
}

static void a_removed_channel_is_received_from_as_before(void **state)
{
	struct crowd *crowd = crowd_make(2, 8);
	struct pinion_desc desc;
	uint32_t lane;

	(void)state;
	crowd_rest(crowd);
	assert_int_equal(pinion_fanin_remove(crowd->fanin, crowd->pair[0].rx), 0);
	assert_int_equal(pinion_fanin_remove(crowd->fanin, crowd->pair[0].rx), -ENOENT);
	say(crowd, 0, 5);
	assert_int_equal(hear(crowd, 1, COOL_CALLS).got, -EAGAIN);
	assert_int_equal(pinion_channel_wait(crowd->pair[0].rx, SECOND_NS), 0);
	assert_int_equal(pinion_channel_recv(crowd->pair[0].rx, &desc, 1), 1);
	give(crowd->to.cache, &desc.buffer, 1);
	/* Its bit means the lane's next owner, or nobody. */
	ready_post(&(struct bell_hand){.ready = crowd->ready, .lane = crowd->pair[0].lane,
				       .socket = -1});
	assert_int_equal(hear(crowd, 1, 2).got, -EAGAIN);
	assert_int_equal(pinion_fanin_add(crowd->fanin, crowd->pair[0].rx, 1, &lane), 0);
	assert_int_equal(lane, crowd->pair[0].lane);
	say(crowd, 0, 6);
	hear_one(crowd, 0, 6, 1);
	crowd_unmake(crowd);
}

/* A channel anew, in whatever lane is free. */
static void enter(struct crowd *crowd, struct lane_pair *pair)
{
	channels_open(crowd, pair, 8);
	assert_int_equal(pinion_fanin_add(crowd->fanin, pair->rx, 1, &pair->lane), 0);
	assert_int_equal(pinion_channel_join(pair->tx, pinion_fanin_fd(crowd->fanin), pair->lane),
			 0);
}

static void lanes_come_and_go_hot_and_cold_and_in_between(void **state)
{
	struct crowd *crowd = crowd_make(20, 8);
	uint64_t random = test_seed();

	(void)state;
	for (uint32_t round = 0; round < 5000; round++) {
		const uint32_t i = test_below(&random, 20);
		struct lane_pair *pair = &crowd->pair[i];

		if (!pair->rx) {
			enter(crowd, pair);
		} else if (test_below(&random, 2)) {
			say(crowd, i, round);
			hear_one(crowd, i, round, 4);
		} else {
			assert_int_equal(pinion_fanin_remove(crowd->fanin, pair->rx), 0);
			pair_unmake(pair);
			*pair = (struct lane_pair){0};
		}
		for (uint32_t calls = test_below(&random, 4) ? 0 : 300; calls; calls--)
			assert_int_equal(hear(crowd, 1, 1).got, -EAGAIN);
	}
	crowd_unmake(crowd);
}

static void what_was_sent_before_joining_is_found(void **state)
{
	struct crowd *crowd = crowd_make(1, 8);
	struct lane_pair *late = &crowd->pair[crowd->nr++];

	(void)state;
	channels_open(crowd, late, 8);
	assert_int_equal(pinion_fanin_add(crowd->fanin, late->rx, 1, &late->lane), 0);
	crowd_rest(crowd);
	say(crowd, 1, 7);
	assert_int_equal(pinion_channel_join(late->tx, pinion_fanin_fd(crowd->fanin), late->lane),
			 0);
	hear_one(crowd, 1, 7, 1);
	crowd_unmake(crowd);
}

static void a_producer_that_closed_is_told_once_and_is_gone(void **state)
{
	struct crowd *crowd = crowd_make(3, 8);
	struct heard heard;

	(void)state;
	crowd_rest(crowd);
	say(crowd, 1, 9);
	assert_int_equal(pinion_channel_close(crowd->pair[1].tx), 0);
	crowd->pair[1].tx = NULL;
	hear_one(crowd, 1, 9, 1);
	heard = hear(crowd, 1, 2);
	assert_int_equal(heard.got, -EPIPE);
	assert_int_equal(heard.from, 1);
	assert_int_equal(hear(crowd, 1, COOL_CALLS).got, -EAGAIN);
	assert_int_equal(pinion_fanin_remove(crowd->fanin, crowd->pair[1].rx), -ENOENT);
	crowd_unmake(crowd);
}

static void a_producer_declared_dead_is_told(void **state)
{
	struct crowd *crowd = crowd_make(3, 8);
	struct heard heard;

	(void)state;
	crowd_rest(crowd);
	pinion_channel_sever(crowd->pair[2].rx);
	heard = hear(crowd, 1, 4 * PATROL_CALLS);
	assert_int_equal(heard.got, -EPIPE);
	assert_int_equal(heard.from, 2);
	crowd_unmake(crowd);
}

static void a_liar_is_eproto_and_the_others_go_on(void **state)
{
	struct crowd *crowd = crowd_make(3, 8);
	const struct pinion_desc lie = {pinion_buffer_make(PINION_ID_MAX, 1), 1, 1};
	struct heard heard;

	(void)state;
	ring_publish(&crowd->pair[0].ring, &lie, 1);
	heard = hear(crowd, 1, 1);
	assert_int_equal(heard.got, -EPROTO);
	assert_int_equal(heard.from, 0);
	assert_int_equal(hear(crowd, 1, COOL_CALLS).got, -EAGAIN);
	say(crowd, 2, 3);
	hear_one(crowd, 2, 3, 1);
	crowd_unmake(crowd);
}

static void what_cannot_be_added_or_joined_is_refused(void **state)
{
	struct crowd *crowd = crowd_make(2, 8);
	const int fd = pinion_fanin_fd(crowd->fanin);
	uint32_t lane = 4711;
	int ring;

	(void)state;
	errno = 4711;
	assert_int_equal(pinion_fanin_add(crowd->fanin, crowd->pair[0].rx, 0, &lane), -EINVAL);
	assert_int_equal(pinion_fanin_add(crowd->fanin, crowd->pair[0].rx,
					  PINION_FANIN_WEIGHT_MAX + 1, &lane),
			 -EINVAL);
	assert_int_equal(pinion_fanin_add(crowd->fanin, crowd->pair[0].rx, 1, &lane), -EEXIST);
	assert_int_equal(lane, 4711);
	assert_int_equal(pinion_channel_join(crowd->pair[0].tx, fd, 0), -EBUSY);
	assert_int_equal(pinion_channel_join(crowd->pair[0].rx, fd, PINION_FANIN_LANES), -EINVAL);
	assert_int_equal(pinion_ring_create(8, &ring), 0);
	assert_int_equal(pinion_channel_join(crowd->pair[0].rx, ring, 0), -EPROTO);
	assert_int_equal(errno, 4711);
	close(ring);
	crowd_unmake(crowd);
}

/* A file of the right size that is no ready set, or could be shortened. */
static void a_file_of_another_layout_is_eproto(void **state)
{
	const struct ready_shared good = {
		.magic = READY_MAGIC, .version = READY_VERSION, .lanes = READY_LANES};
	struct ready_shared bad[] = {good, good, good, good};
	struct ready_shared *ready = NULL;

	(void)state;
	bad[0].magic++;
	bad[1].version++;
	bad[2].lanes--;
	for (int i = 0; i < 4; i++) {
		const int fd = memfd_create("ready", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		assert_int_equal(pwrite(fd, &bad[i], sizeof(bad[i]), 0), (ssize_t)sizeof(bad[i]));
		assert_int_equal(ftruncate(fd, (off_t)READY_LEN), 0);
		if (i < 3)
			assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
		assert_int_equal(ready_map(fd, &ready), -EPROTO);
		assert_null(ready);
		close(fd);
	}
}

static void all_4096_lanes_are_heard_and_no_more_fit(void **state)
{
	struct crowd *crowd = crowd_make(PINION_FANIN_LANES, PINION_RING_SLOTS_MIN);
	struct lane_pair extra;
	uint64_t random = test_seed();
	bool *heard = calloc(crowd->nr, sizeof(*heard));
	uint32_t lane;

	(void)state;
	channels_open(crowd, &extra, 8);
	assert_int_equal(pinion_fanin_add(crowd->fanin, extra.rx, 1, &lane), -ENOSPC);
	pair_unmake(&extra);
	crowd_rest(crowd);
	for (uint32_t i = 0; i < crowd->nr; i++)
		assert_int_equal(bell_of(&crowd->pair[i]), BELL_LANE);
	for (uint32_t i = 0; i < crowd->nr; i++)
		say(crowd, i, i);
	for (uint32_t i = 0; i < crowd->nr; i++) {
		const struct heard got = hear(crowd, 4, 64);

		assert_int_equal(got.got, 1);
		assert_int_equal(got.tag, got.from);
		assert_false(heard[got.from]);
		heard[got.from] = true;
	}
	crowd_rest(crowd);
	for (uint32_t i = 0; i < 10000; i++) {
		const uint32_t who = test_below(&random, crowd->nr);

		say(crowd, who, i);
		hear_one(crowd, who, i, 1);
	}
	free(heard);
	crowd_unmake(crowd);
}

/*
 * The ready set by itself, on one mapping, where ThreadSanitizer sees what a bit carries: each
 * poster writes a number, plainly, and posts; the taker reads it and answers.
 */
#define POSTERS 4u
#define POSTS 20000u

struct poster {
	struct bell_hand hand;
	uint32_t number;
	_Atomic uint32_t answer;
};

static void *post_often(void *arg)
{
	struct poster *poster = arg;

	for (uint32_t i = 1; i <= POSTS; i++) {
		poster->number = i;
		ready_post(&poster->hand);
		while (atomic_load_explicit(&poster->answer, memory_order_acquire) != i)
			sched_yield();
	}
	return NULL;
}

/* Each post is one bit, neither lost nor seen twice. */
static void take_posted(struct ready_shared *ready, struct poster *poster)
{
	for (uint64_t words = ready_take_summary(ready); words; words &= words - 1) {
		const uint32_t word = (uint32_t)__builtin_ctzll(words);

		for (uint64_t bits = ready_take_word(ready, word); bits; bits &= bits - 1) {
			const uint32_t lane = word * 64 + (uint32_t)__builtin_ctzll(bits);
			struct poster *of = poster;

			while (of->hand.lane != lane)
				assert_true(++of < poster + POSTERS);
			assert_int_equal(of->number, of->answer + 1);
			atomic_store_explicit(&of->answer, of->number, memory_order_release);
		}
	}
}

static void a_bit_carries_what_was_written_before_it(void **state)
{
	static const uint32_t lane[POSTERS] = {0, 63, 64, 4095};
	struct poster poster[POSTERS] = {0};
	struct ready_shared *ready;
	pthread_t thread[POSTERS];
	uint32_t left = POSTERS;
	int fd;

	(void)state;
	assert_int_equal(ready_create(&fd), 0);
	assert_int_equal(ready_map(fd, &ready), 0);
	close(fd);
	for (uint32_t i = 0; i < POSTERS; i++) {
		poster[i].hand = (struct bell_hand){
			.ready = ready, .lane = lane[i], .socket = -1};
		assert_int_equal(pthread_create(&thread[i], NULL, post_often, &poster[i]), 0);
	}
	while (left) {
		take_posted(ready, poster);
		for (uint32_t i = left = 0; i < POSTERS; i++)
			left += atomic_load(&poster[i].answer) != POSTS;
		sched_yield();
	}
	for (uint32_t i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	ready_unmap(ready);
}

/* Waiting. */

struct later {
	struct crowd *crowd;
	struct pinion_desc desc;
	pthread_t waiter;
	_Atomic int done; /* the wait is over */
};

static void pause_50_ms(void)
{
	const struct timespec pause = {0, 50000000};

	nanosleep(&pause, NULL);
}

static void *send_later(void *arg)
{
	struct later *later = arg;

	pause_50_ms();
	(void)pinion_channel_send(later->crowd->pair[1].tx, &later->desc, 1);
	return NULL;
}

static void *close_later(void *arg)
{
	struct later *later = arg;

	pause_50_ms();
	(void)pinion_channel_close(later->crowd->pair[1].tx);
	later->crowd->pair[1].tx = NULL;
	return NULL;
}

static void *signal_later(void *arg)
{
	struct later *later = arg;

	/* More than one: the first may come before a busy machine lets the other sleep. */
	while (!later->done) {
		pause_50_ms();
		pthread_kill(later->waiter, SIGUSR1);
	}
	return NULL;
}

static void on_signal(int number)
{
	(void)number;
}

/* What wait says when @act happens 50 ms after it began; it ends by that, not by the patrol. */
static int wait_while(struct crowd *crowd, void *(*act)(void *), bool sends)
{
	struct later later = {.crowd = crowd, .waiter = pthread_self()};
	uint64_t before = test_now_ns();
	pthread_t thread;
	int err;

	if (sends)
		later.desc = desc_new(&crowd->from, 1, 5);
	assert_int_equal(pthread_create(&thread, NULL, act, &later), 0);
	err = pinion_fanin_wait(crowd->fanin, 10 * SECOND_NS);
	later.done = 1;
	assert_in_range(test_now_ns() - before, 40000000, 5 * SECOND_NS);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return err;
}

static void wait_ends_at_its_time_limit(void **state)
{
	struct crowd *crowd = crowd_make(5, 8);
	uint64_t before = test_now_ns();

	(void)state;
	assert_int_equal(pinion_fanin_wait(crowd->fanin, 0), -ETIMEDOUT);
	assert_int_equal(pinion_fanin_wait(crowd->fanin, 250000000), -ETIMEDOUT);
	assert_in_range(test_now_ns() - before, 250000000, 5 * SECOND_NS);
	crowd_unmake(crowd);
}

/* A ring of 64 slots holds up to three back. */
static void whoever_finds_nothing_holds_no_credit_back(void **state)
{
	struct crowd *crowd = crowd_make(1, 64);
	const _Atomic uint64_t *credit = &crowd->pair[0].ring.shared->credit;
	const uint64_t before = atomic_load(credit);

	(void)state;
	fill(crowd, 0, 3);
	assert_int_equal(hear(crowd, 8, 1).got, 3);
	assert_int_equal(atomic_load(credit), before);
	assert_int_equal(hear(crowd, 8, 1).got, -EAGAIN);
	assert_int_equal(atomic_load(credit), before + 3);
	fill(crowd, 0, 3);
	assert_int_equal(hear(crowd, 8, 1).got, 3);
	assert_int_equal(atomic_load(credit), before + 3);
	assert_int_equal(pinion_fanin_wait(crowd->fanin, 1), -ETIMEDOUT);
	assert_int_equal(atomic_load(credit), before + 6);
	crowd_unmake(crowd);
}

static void wait_returns_at_once_when_something_is_there(void **state)
{
	struct crowd *crowd = crowd_make(5, 8);
	uint64_t before = test_now_ns();

	(void)state;
	crowd_rest(crowd);
	say(crowd, 3, 1);
	assert_int_equal(pinion_fanin_wait(crowd->fanin, UINT64_MAX), 0);
	assert_in_range(test_now_ns() - before, 0, 5 * SECOND_NS);
	hear_one(crowd, 3, 1, 1);
	crowd_unmake(crowd);
}

static void a_sleeper_is_woken_by_a_message_and_by_a_close(void **state)
{
	struct crowd *crowd = crowd_make(5, 8);

	(void)state;
	assert_int_equal(wait_while(crowd, send_later, true), 0);
	hear_one(crowd, 1, 5, 1);
	assert_int_equal(wait_while(crowd, close_later, false), 0);
	assert_int_equal(hear(crowd, 1, 1).got, -EPIPE);
	crowd_unmake(crowd);
}

static void a_signal_is_eintr(void **state)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct crowd *crowd = crowd_make(5, 8);
	struct sigaction before;

	(void)state;
	sigaction(SIGUSR1, &action, &before);
	assert_int_equal(wait_while(crowd, signal_later, false), -EINTR);
	sigaction(SIGUSR1, &before, NULL);
	crowd_unmake(crowd);
}

/*
 * A lane that begins with a buffer of a segment whose file the receiver has not got. The receiver
 * is a member then, and its producers the keeper, which has every file.
 */
#define NEW_SLOT 1u /* the first that a pool of one segment grows by */

static void swap_sides(struct crowd *crowd)
{
	const struct side was = crowd->from;

	crowd->from = crowd->to;
	crowd->to = was;
}

static struct crowd *strangers_make(uint32_t nr)
{
	struct crowd *crowd = crowd_make(0, 0);

	swap_sides(crowd);
	while (crowd->nr < nr)
		crowd_add(crowd, 8, 1);
	assert_true(pinion_fanin_loop_fd(crowd->fanin) >= 0);
	return crowd;
}

static void strangers_unmake(struct crowd *crowd)
{
	swap_sides(crowd);
	crowd_unmake(crowd);
}

static struct pinion_buffer say_without_a_file(struct crowd *crowd, uint32_t i, uint32_t tag)
{
	struct side side = {.pool = crowd->from.pool};
	struct pinion_desc desc;

	assert_int_equal(grow(side.pool, 16, 4096), NEW_SLOT);
	side.cache = cache_make(side.pool, 4096);
	desc = desc_new(&side, 4096, tag);
	assert_int_equal(slot_of(side.pool, desc.buffer), NEW_SLOT);
	assert_int_equal(pinion_channel_send(crowd->pair[i].tx, &desc, 1), 1);
	assert_int_equal(pinion_cache_close(side.cache), 0);
	return desc.buffer;
}

static int pass_the_file(const struct crowd *crowd)
{
	return pass(crowd->from.pool, crowd->to.pool, NEW_SLOT);
}

/* It may sleep, here and in a loop, and nobody wakes it. */
static void assert_at_rest(struct crowd *crowd)
{
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 0);
	assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	assert_int_equal(pinion_fanin_wait(crowd->fanin, 1000000), -ETIMEDOUT);
}

/* One call of recv looks at every lane that is hot: so many are enough. */
static struct pinion_buffer meet_what_has_no_file(struct crowd *crowd, uint32_t i, uint32_t tag)
{
	const struct pinion_buffer buffer = say_without_a_file(crowd, i, tag);

	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
	assert_int_equal(hear(crowd, 1, 1).got, -EAGAIN);
	assert_at_rest(crowd);
	return buffer;
}

static void a_new_id_without_a_file_lets_the_receiver_rest(void **state)
{
	struct crowd *crowd = strangers_make(3);

	(void)state;
	meet_what_has_no_file(crowd, 1, 5);
	crowd_rest(crowd);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(bell_of(&crowd->pair[i]), BELL_LANE);
	assert_at_rest(crowd);
	/* What comes behind it sets the lane's bit, and cannot be had either. */
	say(crowd, 1, 6);
	assert_true(ready_any(crowd->ready));
	assert_int_equal(hear(crowd, 2, 2).got, -EAGAIN);
	assert_at_rest(crowd);
	assert_int_equal(pass_the_file(crowd), 0);
	hear_one(crowd, 1, 5, 4 * PATROL_CALLS);
	hear_one(crowd, 1, 6, 1);
	assert_int_equal(hear(crowd, 1, 1).got, -EAGAIN);
	assert_at_rest(crowd);
	strangers_unmake(crowd);
}

static void *pass_later(void *arg)
{
	const struct later *later = arg;

	pause_50_ms();
	(void)pass_the_file(later->crowd);
	return NULL;
}

static void found_by_wait(struct crowd *crowd)
{
	assert_int_equal(pass_the_file(crowd), 0);
	assert_int_equal(pinion_fanin_wait(crowd->fanin, SECOND_NS), 0);
}

static void found_by_a_sleeper(struct crowd *crowd)
{
	assert_int_equal(wait_while(crowd, pass_later, false), 0);
}

static void found_by_a_loop(struct crowd *crowd)
{
	struct pollfd look = {.fd = pinion_fanin_loop_fd(crowd->fanin), .events = POLLIN};

	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 0);
	assert_int_equal(pass_the_file(crowd), 0);
	assert_int_equal(poll(&look, 1, 1000), 1);
	assert_int_equal(pinion_fanin_done(crowd->fanin), 0);
	assert_int_equal(pinion_fanin_prepare(crowd->fanin), 1);
}

/* Its producer sends nothing more, and so sets no bit. */
static void the_patrol_finds_a_new_id_whose_file_came(void **state)
{
	void (*const found[])(struct crowd *) = {found_by_wait, found_by_a_sleeper,
						 found_by_a_loop};

	(void)state;
	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		struct crowd *crowd = strangers_make(3);

		meet_what_has_no_file(crowd, 1, 5);
		found[i](crowd);
		assert_false(ready_any(crowd->ready));
		hear_one(crowd, 1, 5, 1);
		strangers_unmake(crowd);
	}
}

static void others_are_served_beside_a_new_id_without_a_file(void **state)
{
	struct crowd *crowd = strangers_make(3);

	(void)state;
	meet_what_has_no_file(crowd, 1, 5);
	for (uint32_t round = 0; round < 1000; round++) {
		const uint32_t who = round / 2 % 2 * 2;

		say(crowd, who, round);
		assert_int_equal(pinion_fanin_wait(crowd->fanin, SECOND_NS), 0);
		hear_one(crowd, who, round, 1);
		if (round % 16 == 0)
			assert_at_rest(crowd);
	}
	assert_int_equal(pass_the_file(crowd), 0);
	hear_one(crowd, 1, 5, 4 * PATROL_CALLS);
	strangers_unmake(crowd);
}

/* By its own word, or by somebody else's. */
static void a_death_is_told_beside_a_new_id_without_a_file(void **state)
{
	(void)state;
	for (int closed = 0; closed < 2; closed++) {
		struct crowd *crowd = strangers_make(3);
		struct lane_pair *pair = &crowd->pair[1];
		struct pinion_buffer buffer;
		struct pinion_desc desc;
		struct heard heard;

		buffer = meet_what_has_no_file(crowd, 1, 5);
		if (closed)
			assert_int_equal(pinion_channel_close(pair->tx), 0);
		else
			pinion_channel_sever(pair->rx);
		pair->tx = closed ? NULL : pair->tx;
		assert_int_equal(pinion_fanin_wait(crowd->fanin, SECOND_NS), 0);
		heard = hear(crowd, 1, 1);
		assert_int_equal(heard.got, -EPIPE);
		assert_int_equal(heard.from, 1);
		assert_at_rest(crowd);
		assert_int_equal(pinion_fanin_remove(crowd->fanin, pair->rx), -ENOENT);
		/* It came after all: too late. */
		assert_int_equal(pass_the_file(crowd), 0);
		assert_int_equal(pinion_channel_recv(pair->rx, &desc, 1), -EPIPE);
		/* So it is its sender's, still. */
		give(crowd->from.cache, &buffer, 1);
		strangers_unmake(crowd);
	}
}

/*
 * The litmus. A producer sends one message, waits until it came, rests about as long as it takes to
 * become cold, and sends the next; it says when send has returned. A receiver that has seen that
 * must find the message within few calls, of which each takes a word of bits: the patrol, which
 * would hide a lost call, is busy with the other lanes for thousands.
 */
#define LITMUS_LANES 256u
#define LITMUS_CALLS 200u

struct litmus {
	struct crowd *crowd;
	uint32_t rounds, burst; /* messages that follow each other at once, in each round */
	uint64_t until_ns;
	_Atomic uint32_t sent, came;
	uint32_t cold; /* rounds that began at rest */
	_Atomic bool done;
};

/* Sends one and waits for its coming. */
static void litmus_send(struct litmus *litmus, struct pinion_desc *desc, uint32_t number)
{
	take(litmus->crowd->from.cache, &desc->buffer, 1);
	desc->tag = number;
	if (pinion_channel_send(litmus->crowd->pair[0].tx, desc, 1) != 1)
		abort();
	atomic_store_explicit(&litmus->sent, number, memory_order_release);
	while (atomic_load_explicit(&litmus->came, memory_order_acquire) != number)
		sched_yield();
}

/* How long the lane took to become cold. Bounded: it may be busy with somebody else's turn. */
static uint64_t litmus_rest(const struct lane_pair *pair)
{
	const uint64_t before = test_now_ns();

	while (bell_of(pair) != BELL_LANE && test_now_ns() - before < 200000)
		;
	return test_now_ns() - before;
}

/* Every second round from rest, which measures how long that takes to come; the others aim at the
 * moment when it comes. */
static void *litmus_produce(void *arg)
{
	struct litmus *litmus = arg;
	const struct lane_pair *pair = &litmus->crowd->pair[0];
	struct pinion_desc desc = {.len = 1};
	uint64_t random = 4711, took = 0;
	uint32_t number = 0;

	for (uint32_t i = 0; i < litmus->rounds && test_now_ns() < litmus->until_ns; i++) {
		const uint64_t now = test_now_ns();
		const uint64_t aim = now + took * (768 + test_below(&random, 320)) / 1024;

		if (i % 2 == 0)
			took = litmus_rest(pair);
		while (i % 2 && test_now_ns() < aim)
			;
		for (volatile uint32_t k = test_below(&random, 32); k; k--)
			;
		litmus->cold += bell_of(pair) == BELL_LANE;
		for (uint32_t k = 0; k < litmus->burst; k++)
			litmus_send(litmus, &desc, ++number);
	}
	atomic_store(&litmus->done, true);
	return NULL;
}

static void litmus_consume(struct litmus *litmus)
{
	uint32_t calls = 0;

	while (!atomic_load(&litmus->done)) {
		const uint32_t sent = atomic_load_explicit(&litmus->sent, memory_order_acquire);
		const uint32_t came = atomic_load_explicit(&litmus->came, memory_order_relaxed);
		const struct heard heard = hear(litmus->crowd, 1, 1);

		/* It may have come before its sender could say so. */
		calls = sent == came + 1 ? calls + 1 : 0;
		assert_in_range(calls, 0, LITMUS_CALLS);
		/* At rest there is nothing to miss: the producer may want this core. */
		if (heard.got == -EAGAIN && bell_of(&litmus->crowd->pair[0]) == BELL_LANE)
			sched_yield();
		if (heard.got == -EAGAIN)
			continue;
		assert_int_equal(heard.got, 1);
		assert_int_equal(heard.tag, came + 1);
		calls = 0;
		atomic_store_explicit(&litmus->came, came + 1, memory_order_release);
	}
}

static void litmus_run(uint32_t rounds, uint32_t burst)
{
	struct crowd *crowd = crowd_make(LITMUS_LANES, 8);
	struct litmus litmus = {.crowd = crowd,
				.rounds = rounds,
				.burst = burst,
				.until_ns = test_now_ns() + 15 * SECOND_NS};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, litmus_produce, &litmus), 0);
	litmus_consume(&litmus);
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("# %u messages, %u of them the first after a rest\n", litmus.came,
		      litmus.cold);
	assert_true(litmus.cold > 0);
	crowd_unmake(crowd);
}

static void no_message_is_missed_between_hot_and_cold(void **state)
{
	(void)state;
	litmus_run(300000, 1);
}

/* Bursts long enough that the producer is let off its fence, and the kernel's barrier counts. */
static void no_message_is_missed_by_a_producer_without_a_fence(void **state)
{
	(void)state;
	litmus_run(3000, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_message_comes_with_its_channel),
		pool_test(an_idle_lane_asks_to_be_told_and_is_told_once),
		pool_test(what_comes_just_before_the_rest_is_found),
		pool_test(a_busy_lane_touches_no_shared_line),
		pool_test(a_turn_is_as_long_as_the_weight_says),
		pool_test(a_flooder_delays_others_by_its_turn),
		pool_test(the_patrol_finds_what_a_liar_hid),
		pool_test(wait_finds_what_a_liar_hid),
		pool_test(bits_for_nothing_cost_one_look),
		pool_test(nobody_starves_while_bits_are_cleared),
		pool_test(nobody_starves_while_the_file_is_scribbled),
		pool_test(a_removed_channel_is_received_from_as_before),
		pool_test(lanes_come_and_go_hot_and_cold_and_in_between),
		pool_test(what_was_sent_before_joining_is_found),
		pool_test(a_producer_that_closed_is_told_once_and_is_gone),
		pool_test(a_producer_declared_dead_is_told),
		pool_test(a_liar_is_eproto_and_the_others_go_on),
		pool_test(what_cannot_be_added_or_joined_is_refused),
		pool_test(a_file_of_another_layout_is_eproto),
		pool_test(all_4096_lanes_are_heard_and_no_more_fit),
		pool_test(a_bit_carries_what_was_written_before_it),
		pool_test(wait_ends_at_its_time_limit),
		pool_test(whoever_finds_nothing_holds_no_credit_back),
		pool_test(wait_returns_at_once_when_something_is_there),
		pool_test(a_sleeper_is_woken_by_a_message_and_by_a_close),
		pool_test(a_signal_is_eintr),
		pool_test(a_new_id_without_a_file_lets_the_receiver_rest),
		pool_test(the_patrol_finds_a_new_id_whose_file_came),
		pool_test(others_are_served_beside_a_new_id_without_a_file),
		pool_test(a_death_is_told_beside_a_new_id_without_a_file),
		pool_test(no_message_is_missed_between_hot_and_cold),
		pool_test(no_message_is_missed_by_a_producer_without_a_fence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
