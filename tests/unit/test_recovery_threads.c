/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recovery beside threads that go on: four alloc and free, while the keeper's thread has a fifth
 * member join, take and die, and recovers and releases it, as often as a second has room for.
 *
 * Threads alternate between the keeper's mapping and attachments of their own. ThreadSanitizer goes
 * by addresses: it sees recovery and threads meet only where both are on one mapping, and so all of
 * them are on the keeper's then. A mark is passed on by relaxed stores, so that nothing but the
 * library orders what one thread writes into a buffer before what the next one does.
 */

#include <pthread.h>

#include "pool_support.h"

#define THREADS 4
#define NR 2048 /* more than all of them and their caches have at once */
#define MOST 160 /* that one thread holds: two magazines and a half */

struct together {
	_Atomic int user[NR]; /* by id: whose it is; 0: nobody's */
	_Atomic int twice, lost;
	_Atomic uint64_t turns[THREADS];
	atomic_bool stop;
};

struct worker {
	struct together *together;
	struct pinion_pool *pool;
	int number;
	uint64_t random;
	struct pinion_buffer held[MOST];
	uint32_t nr;
};

static void wrong(_Atomic int *count, bool is)
{
	if (is)
		atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

/* Who had it before; @now has it from now on. */
static int pass_mark(struct together *together, struct pinion_buffer buffer, int now)
{
	return atomic_exchange_explicit(&together->user[pinion_buffer_id(buffer)], now,
					memory_order_relaxed);
}

static void worker_alloc(struct worker *worker, struct pinion_cache *cache)
{
	struct pinion_buffer buffer;
	const int err = pinion_buffer_alloc(cache, &buffer);
	char *byte;

	wrong(&worker->together->lost, err && err != -ENOMEM);
	if (err)
		return;
	wrong(&worker->together->twice, pass_mark(worker->together, buffer, worker->number));
	byte = pinion_buffer_addr(worker->pool, buffer);
	byte[0] = byte[BUFFER - 1] = (char)worker->number; /* of memset() it would see nothing */
	worker->held[worker->nr++] = buffer;
}

static void worker_free(struct worker *worker, struct pinion_cache *cache)
{
	const struct pinion_buffer buffer = worker->held[--worker->nr];
	const char *byte = pinion_buffer_addr(worker->pool, buffer);

	wrong(&worker->together->twice, byte[0] != worker->number ||
						byte[BUFFER - 1] != worker->number ||
						pass_mark(worker->together, buffer, 0) !=
							worker->number);
	wrong(&worker->together->lost, pinion_buffer_free(cache, buffer) != 0);
}

/* More allocs than frees for a while, and then fewer: magazines go to the depot and come back. */
static void *work(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct worker *worker = arg;
	struct together *together = worker->together;
	struct pinion_cache *cache;

	if (pinion_cache_open(worker->pool, &any, &cache)) {
		wrong(&together->lost, true);
		return NULL;
	}
	for (int i = 0; !atomic_load_explicit(&together->stop, memory_order_relaxed); i++) {
		const bool more = test_below(&worker->random, 64) < (i / 600 % 2 ? 20 : 44);

		if (more && worker->nr < MOST)
			worker_alloc(worker, cache);
		else if (!more && worker->nr)
			worker_free(worker, cache);
		atomic_fetch_add_explicit(&together->turns[worker->number - 1], 1,
					  memory_order_relaxed);
	}
	while (worker->nr)
		worker_free(worker, cache);
	wrong(&together->lost, pinion_cache_close(cache) != 0);
	return NULL;
}

/* Who claims a magazine acquires what was written into its buffers. The fifth did so by words at
 * other addresses than those where ThreadSanitizer has the release: this tells it there. */
static void acquire_here(const struct pinion_pool *pool)
{
	for (uint32_t m = 0; m < pool->geometry.nr_segments * pool->layout.stride; m++)
		(void)atomic_load_explicit(&pool->magazine[m], memory_order_acquire);
}

/* It takes some, frees some of them, and dies. */
static void live_and_die(struct pinion_pool *pool)
{
	struct pinion_pool *fifth = pool_join(pool);
	const uint32_t member = pinion_pool_member(fifth);
	struct pinion_cache *cache = cache_make(fifth, BUFFER);
	struct pinion_recovery report = {77, 77, 77};
	struct pinion_buffer held[40];

	take(cache, held, 40);
	acquire_here(pool);
	give(cache, held, 10);
	abandon(cache);
	assert_int_equal(pinion_pool_recover(pool, member, NULL, 0, &report), 0);
	assert_int_equal(report.returned, 30);
	assert_int_equal(report.transit, 0);
	assert_int_equal(pinion_pool_held(pool, member), 0);
	assert_int_equal(pinion_pool_release(pool, member, &report), 0);
	assert_int_equal(report.returned, 0);
	assert_int_equal(pinion_pool_detach(fifth), 0);
}

static uint32_t live_and_die_for(struct pinion_pool *pool, uint64_t ns)
{
	const uint64_t until = test_now_ns() + ns;
	uint32_t rounds = 0;

	do
		live_and_die(pool);
	while (++rounds && test_now_ns() < until);
	return rounds;
}

static void threads_go_on_while_the_keeper_recovers_and_admits(void **state)
{
	static struct worker worker[THREADS];
	static struct together together;
	struct pinion_pool *pool = pool_make(NR), *own[THREADS] = {NULL};
	const uint64_t seed = test_seed();
	pthread_t id[THREADS];
	uint32_t rounds;

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		if (i % 2 && !test_needs_one_mapping())
			own[i] = pool_join(pool);
		worker[i] = (struct worker){.together = &together,
					    .pool = own[i] ? own[i] : pool,
					    .number = i + 1,
					    .random = (seed + (uint64_t)i * 2) | 1};
		assert_int_equal(pthread_create(&id[i], NULL, work, &worker[i]), 0);
	}
	rounds = live_and_die_for(pool, 1000000000);
	atomic_store_explicit(&together.stop, true, memory_order_relaxed);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(id[i], NULL), 0);
		assert_true(together.turns[i] > 0);
	}
	assert_int_equal(together.twice, 0);
	assert_int_equal(together.lost, 0);
	assert_true(rounds > 1);
	assert_pool_whole(pool);
	for (int i = 0; i < THREADS; i++)
		if (own[i])
			assert_int_equal(pinion_pool_detach(own[i]), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(threads_go_on_while_the_keeper_recovers_and_admits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
