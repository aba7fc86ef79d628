/* SPDX-License-Identifier: BSD-3-Clause */
/* channel.h between two members that keep the rules: order, limits, waiting, closing. */

#include <pthread.h>

#include "channel_support.h"
#include "interrupt.h"

static void a_descriptor_arrives_as_sent_and_the_buffer_changes_hands(void **state)
{
	struct pair pair = pair_make(512, 8);
	const struct pinion_desc sent = desc_new(&pair.a, 77, 0xfeedbeef);
	struct pinion_desc got;

	(void)state;
	strcpy(pinion_buffer_addr(pair.a.pool, sent.buffer), "hello");
	send_one(&pair.a, &sent);
	got = recv_one(&pair.b);
	assert_int_equal(pinion_buffer_id(got.buffer), pinion_buffer_id(sent.buffer));
	assert_int_not_equal(got.buffer.bits, sent.buffer.bits);
	assert_int_equal(got.len, 77);
	assert_int_equal(got.tag, 0xfeedbeef);
	assert_string_equal(pinion_buffer_addr(pair.b.pool, got.buffer), "hello");
	assert_int_equal(pinion_buffer_free(pair.a.cache, sent.buffer), -EINVAL);
	assert_int_equal(pinion_pool_held(pair.a.pool, 1), 1);
	give(pair.b.cache, &got.buffer, 1);
	pair_close_whole(&pair);
}

static void a_channel_names_its_peer_and_its_slots(void **state)
{
	struct pair pair = pair_make(512, 16);

	(void)state;
	assert_int_equal(pinion_channel_peer(pair.a.channel), 1);
	assert_int_equal(pinion_channel_peer(pair.b.channel), 0);
	assert_int_equal(pinion_channel_slots(pair.a.channel), 16);
	pair_close_whole(&pair);
}

static void nothing_there_is_eagain(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc;

	(void)state;
	errno = 4711;
	assert_int_equal(pinion_channel_recv(pair.a.channel, &desc, 1), -EAGAIN);
	assert_int_equal(errno, 4711);
	pair_close_whole(&pair);
}

static void order_is_kept_over_many_rounds(void **state)
{
	struct pair pair = pair_make(512, 4);
	uint64_t random = test_seed();
	uint32_t next_out = 0, next_in = 0;

	(void)state;
	while (next_in < 10000) {
		struct pinion_desc desc[6];
		const uint32_t want = 1 + test_below(&random, 6);
		int nr = 0;

		for (uint32_t i = 0; i < want; i++)
			desc[i] = desc_new(&pair.a, i, next_out + i);
		if (next_out - next_in < 4) {
			nr = pinion_channel_send(pair.a.channel, desc, want);
			assert_in_range(nr, 1, 4);
		} else {
			assert_int_equal(pinion_channel_send(pair.a.channel, desc, want), -EAGAIN);
		}
		next_out += (uint32_t)nr;
		for (uint32_t i = (uint32_t)nr; i < want; i++)
			give(pair.a.cache, &desc[i].buffer, 1);
		nr = pinion_channel_recv(pair.b.channel, desc, 1 + test_below(&random, 6));
		for (int i = 0; i < nr; i++) {
			assert_int_equal(desc[i].tag, next_in++);
			give(pair.b.cache, &desc[i].buffer, 1);
		}
	}
	while (next_in < next_out) {
		const struct pinion_desc desc = recv_one(&pair.b);

		assert_int_equal(desc.tag, next_in++);
		give(pair.b.cache, &desc.buffer, 1);
	}
	pair_close_whole(&pair);
}

static void a_full_ring_takes_what_fits_and_is_then_eagain(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc[12], got[3 + 12];

	(void)state;
	for (uint32_t i = 0; i < 12; i++)
		desc[i] = desc_new(&pair.a, i, i);
	assert_int_equal(pinion_channel_send(pair.a.channel, desc, 12), 8);
	assert_int_equal(pinion_channel_send(pair.a.channel, desc + 8, 4), -EAGAIN);
	assert_int_equal(pinion_channel_recv(pair.b.channel, got, 3), 3);
	assert_int_equal(pinion_channel_send(pair.a.channel, desc + 8, 4), 3);
	assert_int_equal(pinion_channel_recv(pair.b.channel, got + 3, 12), 8);
	for (uint32_t i = 0; i < 11; i++) {
		assert_int_equal(got[i].tag, i);
		give(pair.b.cache, &got[i].buffer, 1);
	}
	/* The one that did not fit is still the sender's. */
	give(pair.a.cache, &desc[11].buffer, 1);
	pair_close_whole(&pair);
}

static void a_bad_descriptor_is_einval_or_ends_the_batch_before_it(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc good = desc_new(&pair.a, BUFFER, 1), desc[2];
	const struct pinion_desc bad[] = {
		{good.buffer, BUFFER + 1, 0},
		{good.buffer, UINT32_MAX, 0},
		{pinion_buffer_next(good.buffer), 0, 0},
		{pinion_buffer_make(PINION_ID_MAX, 1), 0, 0},
		{pinion_buffer_make(64, 1), 0, 0},
		{{0}, 0, 0},
		{pinion_buffer_make(pinion_buffer_id(good.buffer) + 1, 1), 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pinion_channel_send(pair.a.channel, &bad[i], 1), -EINVAL);
		desc[0] = bad[i];
		desc[1] = good;
		assert_int_equal(pinion_channel_send(pair.a.channel, desc, 2), -EINVAL);
		assert_int_equal(pinion_channel_recv(pair.b.channel, desc, 2), -EAGAIN);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		desc[0] = good;
		desc[1] = bad[i];
		assert_int_equal(pinion_channel_send(pair.a.channel, desc, 2), 1);
		good = recv_one(&pair.b);
		send_one(&pair.b, &good);
		good = recv_one(&pair.a);
	}
	give(pair.a.cache, &good.buffer, 1);
	pair_close_whole(&pair);
}

/* More than a busy machine takes for anything else, and less than a wait that nothing ended. */
#define MUCH_NS UINT64_C(5000000000)

/* A wait that measures itself. */
static uint64_t timed_wait(struct pinion_channel *channel, uint64_t timeout_ns, int *err)
{
	const uint64_t before = test_now_ns();

	*err = pinion_channel_wait(channel, timeout_ns);
	return test_now_ns() - before;
}

static void wait_ends_at_its_time_limit(void **state)
{
	struct pair pair = pair_make(512, 8);
	int err;

	(void)state;
	assert_in_range(timed_wait(pair.a.channel, 20000000, &err), 20000000, MUCH_NS);
	assert_int_equal(err, -ETIMEDOUT);
	assert_in_range(timed_wait(pair.a.channel, 0, &err), 0, MUCH_NS);
	assert_int_equal(err, -ETIMEDOUT);
	pair_close_whole(&pair);
}

static void wait_returns_at_once_when_something_is_there(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc = desc_new(&pair.a, 0, 0);
	int err;

	(void)state;
	send_one(&pair.a, &desc);
	assert_in_range(timed_wait(pair.b.channel, UINT64_MAX, &err), 0, MUCH_NS);
	assert_int_equal(err, 0);
	desc = recv_one(&pair.b);
	give(pair.b.cache, &desc.buffer, 1);
	pair_close_whole(&pair);
}

/* The other side, 50 ms later: by then the waiter has long been asleep. */
struct later {
	struct pair *pair;
	struct pinion_desc desc;
};

static void pause_ns(long ns)
{
	const struct timespec pause = {0, ns};

	nanosleep(&pause, NULL);
}

static void *send_later(void *arg)
{
	struct later *later = arg;

	pause_ns(50000000);
	(void)pinion_channel_send(later->pair->a.channel, &later->desc, 1);
	return NULL;
}

static void *close_later(void *arg)
{
	struct later *later = arg;

	pause_ns(50000000);
	(void)pinion_channel_close(later->pair->a.channel);
	later->pair->a.channel = NULL;
	return NULL;
}

/* The peer has taken the call at the bell, and died before it woke anybody. */
static void *die_and_sever_later(void *arg)
{
	struct later *later = arg;

	pause_ns(50000000);
	atomic_store(&later->pair->ab.shared->bell.state, BELL_QUIET);
	pinion_channel_sever(later->pair->b.channel);
	return NULL;
}

/* Waits up to 10 s on b while @act happens; how long it took, from before the other side began: it
 * may come first on a busy machine. */
static uint64_t wait_while(struct later *later, void *(*act)(void *), int *err)
{
	const uint64_t before = test_now_ns();
	pthread_t thread;
	uint64_t took;

	assert_int_equal(pthread_create(&thread, NULL, act, later), 0);
	*err = pinion_channel_wait(later->pair->b.channel, UINT64_C(10000000000));
	took = test_now_ns() - before;
	assert_int_equal(pthread_join(thread, NULL), 0);
	return took;
}

static void a_sleeper_is_woken_by_a_descriptor(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct later later = {&pair, desc_new(&pair.a, 0, 5)};
	struct pinion_desc desc;
	int err;

	(void)state;
	assert_in_range(wait_while(&later, send_later, &err), 40000000, MUCH_NS);
	assert_int_equal(err, 0);
	desc = recv_one(&pair.b);
	assert_int_equal(desc.tag, 5);
	give(pair.b.cache, &desc.buffer, 1);
	pair_close_whole(&pair);
}

static void a_sleeper_is_woken_by_close_and_gets_epipe(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct later later = {&pair, {{0}, 0, 0}};
	struct pinion_desc desc;
	int err;

	(void)state;
	assert_in_range(wait_while(&later, close_later, &err), 40000000, MUCH_NS);
	assert_int_equal(err, 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
	pair_close_whole(&pair);
}

static void a_sleeper_is_woken_by_sever_though_the_dead_silenced_its_bell(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct later later = {&pair, {{0}, 0, 0}};
	struct pinion_desc desc;
	int err;

	(void)state;
	assert_in_range(wait_while(&later, die_and_sever_later, &err), 40000000, MUCH_NS);
	assert_int_equal(err, 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
	pair_close_whole(&pair);
}

static void a_signal_ends_the_wait_with_eintr(void **state)
{
	struct pair pair = pair_make(512, 8);

	(void)state;
	assert_in_range(interrupt_expect(pinion_channel_wait, pair.b.channel), 40000000, MUCH_NS);
	pair_close_whole(&pair);
}

/* Sleep and wake, thousands of times, at all distances: a wake-up that is lost ends in a
 * time-out. The other side echoes. */
#define BOUNCES 20000

static void *echo(void *arg)
{
	struct pair *pair = arg;
	struct pinion_desc desc;

	for (int i = 0; i < BOUNCES; i++) {
		while (pinion_channel_recv(pair->b.channel, &desc, 1) == -EAGAIN)
			if (pinion_channel_wait(pair->b.channel, UINT64_C(10000000000)))
				return (void *)1;
		if (i % 64 == 0)
			pause_ns(100000); /* longer than the other side spins */
		if (pinion_channel_send(pair->b.channel, &desc, 1) != 1)
			return (void *)1;
	}
	return NULL;
}

static void no_wake_up_is_lost(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc = desc_new(&pair.a, 0, 0);
	pthread_t thread;
	void *failed;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, echo, &pair), 0);
	for (int i = 0; i < BOUNCES; i++) {
		int got;

		send_one(&pair.a, &desc);
		while ((got = pinion_channel_recv(pair.a.channel, &desc, 1)) == -EAGAIN)
			assert_int_equal(
				pinion_channel_wait(pair.a.channel, UINT64_C(10000000000)), 0);
		assert_int_equal(got, 1);
		if (i % 97 == 0)
			pause_ns(100000);
	}
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	give(pair.a.cache, &desc.buffer, 1);
	pair_close_whole(&pair);
}

static void after_close_what_was_sent_is_drained_and_then_it_is_epipe(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc[3], got[8];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		desc[i] = desc_new(&pair.a, 0, i);
	assert_int_equal(pinion_channel_send(pair.a.channel, desc, 3), 3);
	assert_int_equal(pinion_channel_close(pair.a.channel), 0);
	pair.a.channel = NULL;
	assert_int_equal(pinion_channel_wait(pair.b.channel, 0), 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, got, 2), 2);
	assert_int_equal(pinion_channel_recv(pair.b.channel, got + 2, 6), 1);
	assert_int_equal(pinion_channel_recv(pair.b.channel, got + 3, 5), -EPIPE);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(got[i].tag, i);
		give(pair.b.cache, &got[i].buffer, 1);
	}
	pair_close_whole(&pair);
}

/* Published a moment before the close, looked for a moment after: drained all the same. */
static void *send_and_close(void *arg)
{
	struct later *later = arg;

	(void)pinion_channel_send(later->pair->a.channel, &later->desc, 1);
	(void)pinion_channel_close(later->pair->a.channel);
	later->pair->a.channel = NULL;
	return NULL;
}

static void what_is_sent_right_before_close_is_never_missed(void **state)
{
	(void)state;
	for (int round = 0; round < 1500; round++) {
		struct pair pair = pair_make(512, 8);
		struct later later = {&pair, desc_new(&pair.a, 0, 0)};
		struct pinion_desc desc;
		pthread_t thread;
		int got;

		assert_int_equal(pthread_create(&thread, NULL, send_and_close, &later), 0);
		while ((got = pinion_channel_recv(pair.b.channel, &desc, 1)) == -EAGAIN)
			continue;
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(got, 1);
		give(pair.b.cache, &desc.buffer, 1);
		assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
		pair_close_whole(&pair);
	}
}

/* Whichever end closes first, and whatever lies untaken in either direction. */
static void close_and_reclaim_lose_nothing(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct pair pair = pair_make(512, 8);
		struct side *side[2] = {&pair.a, &pair.b};
		const uint32_t first = test_below(&random, 2);
		struct side *closes = side[first], *stays = side[!first];
		struct pinion_desc desc;
		uint32_t untaken;
		int got;

		for (int i = 0; i < 60; i++) {
			struct side *any = side[test_below(&random, 2)];

			if (test_below(&random, 2)) {
				desc = desc_new(any, 0, 0);
				if (pinion_channel_send(any->channel, &desc, 1) != 1)
					give(any->cache, &desc.buffer, 1);
			} else if (pinion_channel_recv(any->channel, &desc, 1) == 1) {
				give(any->cache, &desc.buffer, 1);
			}
		}
		assert_int_equal(pinion_channel_reclaim(stays->channel, stays->cache), -EBUSY);
		assert_int_equal(pinion_channel_close(closes->channel), 0);
		closes->channel = NULL;
		desc = desc_new(stays, 0, 0);
		assert_int_equal(pinion_channel_send(stays->channel, &desc, 1), -EPIPE);
		give(stays->cache, &desc.buffer, 1);
		untaken = pinion_pool_held(pair.a.pool, pinion_pool_member(stays->pool));
		assert_int_equal(pinion_channel_reclaim(stays->channel, stays->cache), untaken);
		assert_int_equal(pinion_channel_reclaim(stays->channel, stays->cache), 0);
		while ((got = pinion_channel_recv(stays->channel, &desc, 1)) == 1)
			give(stays->cache, &desc.buffer, 1);
		assert_int_equal(got, -EPIPE);
		pair_close_whole(&pair);
	}
}

/* When there is no place for a buffer that is taken back, a later call must find it again. */
static void reclaim_that_cannot_free_can_be_tried_again(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_cache *large;
	struct pinion_desc desc;
	struct pair pair;
	_Atomic uint64_t *empty, *depot;
	uint64_t hint[2];

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = pool_config(64, 1024).segment[0];
	pair = pair_of(&config, 8);
	large = cache_make(pair.a.pool, 1024);
	take(large, &desc.buffer, 1);
	desc.len = desc.tag = 0;
	send_one(&pair.a, &desc);
	assert_int_equal(pinion_cache_close(large), 0);
	pinion_channel_sever(pair.a.channel);
	/* Hidden from the depot: a free of this zone finds no magazine now. */
	empty = &pair.a.pool->empty[pair.a.pool->layout.stride / 64];
	depot = &pair.a.pool->depot[pair.a.pool->layout.stride / 64];
	hint[0] = atomic_exchange(empty, 0);
	hint[1] = atomic_exchange(depot, 0);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), -EAGAIN);
	atomic_store(empty, hint[0]);
	atomic_store(depot, hint[1]);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 1);
	pair_close_whole(&pair);
}

/* For the keeper: what the dead had published, as recovery wants it. */
static void published_names_what_may_still_be_untaken(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc[3], got;
	struct pinion_buffer published[8];
	struct pinion_recovery report;
	uint32_t nr;

	(void)state;
	assert_int_equal(pinion_channel_published(pair.a.channel, published), 0);
	for (uint32_t i = 0; i < 3; i++)
		desc[i] = desc_new(&pair.b, 0, i);
	assert_int_equal(pinion_channel_send(pair.b.channel, desc, 3), 3);
	got = recv_one(&pair.a);
	nr = pinion_channel_published(pair.a.channel, published);
	assert_in_range(nr, 2, 8);
	pinion_channel_sever(pair.a.channel);
	assert_int_equal(pinion_pool_recover(pair.a.pool, 1, published, nr, &report), 0);
	assert_int_equal(report.transit, 2);
	give(pair.a.cache, &got.buffer, 1);
	for (int i = 0; i < 2; i++) {
		got = recv_one(&pair.a);
		give(pair.a.cache, &got.buffer, 1);
	}
	assert_int_equal(pinion_channel_recv(pair.a.channel, &got, 1), -EPIPE);
	assert_int_equal(pinion_pool_release(pair.a.pool, 1, &report), 0);
	assert_int_equal(report.returned, 0);
	/* Its cache's magazines went with it. */
	abandon(pair.b.cache);
	pair.b.cache = NULL;
	pair_close_whole(&pair);
}

/* Two members beside the keeper, and what one sent the other, which took the first of it. */
static struct pinion_pool *three_members(struct pair *pair)
{
	struct pinion_pool *keeper = pool_make(512);
	struct side *side[2] = {&pair->a, &pair->b};

	for (int i = 0; i < 2; i++) {
		side[i]->pool = pool_join(keeper);
		side[i]->cache = cache_make(side[i]->pool, BUFFER);
	}
	pair_open_channels(pair, 8);
	for (uint32_t i = 0; i < 3; i++) {
		const struct pinion_desc desc = desc_new(&pair->a, 0, i);

		send_one(&pair->a, &desc);
	}
	assert_int_equal(recv_one(&pair->b).tag, 0);
	return keeper;
}

/* It is dead: what comes back of it. */
static uint32_t recovered(struct pinion_pool *keeper, struct side *side)
{
	const uint32_t member = pinion_pool_member(side->pool);
	struct pinion_recovery report = {77, 77, 77};

	abandon(side->cache);
	assert_int_equal(pinion_pool_release(keeper, member, &report), 0);
	assert_int_equal(pinion_pool_held(keeper, member), 0);
	return report.returned;
}

/* Who closed has no end any more to reclaim by, and no recovery knows that they are nobody's. */
static void what_the_dead_did_not_take_stays_with_who_closed_until_its_recovery(void **state)
{
	struct pinion_buffer all[512];
	struct pinion_pool *keeper;
	uint32_t closed;
	struct pair pair;

	(void)state;
	keeper = three_members(&pair);
	closed = pinion_pool_member(pair.a.pool);
	assert_int_equal(pinion_channel_close(pair.a.channel), 0);
	assert_int_equal(recovered(keeper, &pair.b), 1);
	assert_int_equal(pinion_pool_held(keeper, closed), 2);
	assert_pool_sound(keeper);
	/* It lives, and works with all the others. */
	assert_int_equal(take_all(pair.a.cache, all, 512), 510);
	give(pair.a.cache, all, 510);
	assert_int_equal(pinion_pool_held(keeper, closed), 2);
	assert_int_equal(recovered(keeper, &pair.a), 2);
	assert_pool_whole(keeper);
	assert_int_equal(pinion_channel_close(pair.b.channel), 0);
	ring_unmap(&pair.ab);
	ring_unmap(&pair.ba);
	assert_int_equal(pinion_pool_detach(pair.a.pool), 0);
	assert_int_equal(pinion_pool_detach(pair.b.pool), 0);
	assert_int_equal(pinion_pool_destroy(keeper), 0);
}

static void severed_channels_are_epipe_in_both_directions(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct pinion_desc desc = desc_new(&pair.a, 0, 0), got;

	(void)state;
	send_one(&pair.a, &desc);
	pinion_channel_sever(pair.a.channel);
	assert_int_equal(pinion_channel_wait(pair.a.channel, 0), 0);
	assert_int_equal(pinion_channel_recv(pair.a.channel, &got, 1), -EPIPE);
	assert_int_equal(pinion_channel_send(pair.a.channel, &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 1);
	assert_int_equal(pinion_buffer_free(pair.a.cache, desc.buffer), -EINVAL);
	pair_close_whole(&pair);
}

static void wrong_files_are_eproto_and_leave_nothing_open(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_channel *channel = NULL;
	int ring, null = open("/dev/null", O_RDWR | O_CLOEXEC), reading;
	char path[64];

	(void)state;
	assert_int_equal(pinion_ring_create(8, &ring), 0);
	errno = 4711;
	assert_int_equal(pinion_channel_open(pool, ring, null, 1, &channel), -EPROTO);
	assert_int_equal(pinion_channel_open(pool, null, ring, 1, &channel), -EPROTO);
	assert_int_equal(errno, 4711);
	assert_int_equal(pinion_channel_open(pool, ring, 1 << 20, 1, &channel), -EBADF);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ring);
	reading = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(reading >= 0);
	assert_int_equal(pinion_channel_open(pool, ring, reading, 1, &channel), -EACCES);
	close(reading);
	assert_null(channel);
	close(null);
	close(ring);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* A peer that no pool has would have holders of nothing, or of magazines. */
static void a_peer_that_cannot_be_is_einval(void **state)
{
	const uint32_t bad[] = {8, PINION_MEMBER_MAX, PINION_HOLDER_MAGAZINE, UINT32_MAX};
	struct pinion_pool *pool = pool_make(64);
	struct pinion_channel *channel = NULL;
	int tx, rx;

	(void)state;
	assert_int_equal(pinion_ring_create(8, &tx), 0);
	assert_int_equal(pinion_ring_create(8, &rx), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pinion_channel_open(pool, tx, rx, bad[i], &channel), -EINVAL);
		assert_sentence("member");
	}
	close(tx);
	close(rx);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_descriptor_arrives_as_sent_and_the_buffer_changes_hands),
		pool_test(a_channel_names_its_peer_and_its_slots),
		pool_test(nothing_there_is_eagain),
		pool_test(order_is_kept_over_many_rounds),
		pool_test(a_full_ring_takes_what_fits_and_is_then_eagain),
		pool_test(a_bad_descriptor_is_einval_or_ends_the_batch_before_it),
		pool_test(wait_ends_at_its_time_limit),
		pool_test(wait_returns_at_once_when_something_is_there),
		pool_test(a_sleeper_is_woken_by_a_descriptor),
		pool_test(a_sleeper_is_woken_by_close_and_gets_epipe),
		pool_test(a_sleeper_is_woken_by_sever_though_the_dead_silenced_its_bell),
		pool_test(a_signal_ends_the_wait_with_eintr),
		pool_test(no_wake_up_is_lost),
		pool_test(after_close_what_was_sent_is_drained_and_then_it_is_epipe),
		pool_test(what_is_sent_right_before_close_is_never_missed),
		pool_test(close_and_reclaim_lose_nothing),
		pool_test(reclaim_that_cannot_free_can_be_tried_again),
		pool_test(published_names_what_may_still_be_untaken),
		pool_test(what_the_dead_did_not_take_stays_with_who_closed_until_its_recovery),
		pool_test(severed_channels_are_epipe_in_both_directions),
		pool_test(wrong_files_are_eproto_and_leave_nothing_open),
		pool_test(a_peer_that_cannot_be_is_einval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
