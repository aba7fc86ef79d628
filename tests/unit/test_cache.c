/* SPDX-License-Identifier: BSD-3-Clause */
/* cache.h: alloc and free of one thread, of several, and against a model that keeps lists. */

#include <pthread.h>

#include "pool_support.h"

static void alloc_holds_and_free_gives_back_under_a_new_generation(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer first, second;

	(void)state;
	take(cache, &first, 1);
	assert_int_equal(pinion_pool_held(pool, 0), 1);
	give(cache, &first, 1);
	assert_int_equal(pinion_pool_held(pool, 0), 0);
	take(cache, &second, 1);
	assert_int_equal(pinion_buffer_id(first), pinion_buffer_id(second));
	assert_int_not_equal(first.bits, second.bits);
	give(cache, &second, 1);
	pool_finish(pool, cache);
}

static void free_twice_is_einval_and_changes_nothing(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer buffer;

	(void)state;
	take(cache, &buffer, 1);
	give(cache, &buffer, 1);
	assert_int_equal(pinion_buffer_free(cache, buffer), -EINVAL);
	assert_int_equal(pool_free(pool), 64);
	pool_finish(pool, cache);
}

static void a_stale_handle_is_einval_though_the_buffer_is_held_again(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer old, now;

	(void)state;
	take(cache, &old, 1);
	give(cache, &old, 1);
	take(cache, &now, 1);
	assert_int_equal(pinion_buffer_id(old), pinion_buffer_id(now));
	assert_int_equal(pinion_buffer_free(cache, old), -EINVAL);
	assert_int_equal(pinion_pool_held(pool, 0), 1);
	give(cache, &now, 1);
	pool_finish(pool, cache);
}

static void free_of_what_another_member_holds_is_einval(void **state)
{
	struct pinion_pool *pool = pool_make(64), *peer = pool_join(pool);
	struct pinion_cache *ours = cache_make(pool, BUFFER), *theirs = cache_make(peer, BUFFER);
	struct pinion_buffer buffer;

	(void)state;
	take(ours, &buffer, 1);
	assert_int_equal(pinion_buffer_free(theirs, buffer), -EINVAL);
	give(ours, &buffer, 1);
	assert_int_equal(pinion_cache_close(theirs), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	pool_finish(pool, ours);
}

static void free_of_a_handle_that_names_nothing_is_einval(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	uint64_t random = test_seed();

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = pool_config(112, BUFFER).segment[0]; /* ids 64 to 127 are no buffers */
	pool = pool_make_from(&config);
	cache = cache_make(pool, BUFFER);
	for (int i = 0; i < 100000; i++) {
		const struct pinion_buffer any = {test_random(&random) >> (i % 64)};

		assert_int_equal(pinion_buffer_free(cache, any), -EINVAL);
	}
	pool_finish(pool, cache);
}

/* As after a member scribbled: the word of an id that names no buffer says that we hold it. */
static void free_of_an_id_between_segments_is_einval_whatever_its_word(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;
	struct pinion_cache *cache;

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = pool_config(112, BUFFER).segment[0]; /* ids 64 to 127 are no buffers */
	pool = pool_make_from(&config);
	cache = cache_make(pool, BUFFER);
	for (uint32_t id = 64; id < 128; id += 21) {
		const struct pinion_buffer buffer = pinion_buffer_make(id, 1);

		pool->view.owner[id] = pinion_owner_word(buffer, pool->view.self);
		assert_int_equal(pinion_buffer_free(cache, buffer), -EINVAL);
		pool->view.owner[id] = 0;
	}
	pool_finish(pool, cache);
}

/* A thread that only frees what others send it does not leave the inline path for each. */
static void the_inline_path_serves_who_only_frees(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;
	struct pinion_cache *from, *to, *large;
	struct pinion_buffer buffer[8], got;

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = pool_config(64, 4096).segment[0];
	pool = pool_make_from(&config);
	from = cache_make(pool, BUFFER);
	to = cache_make(pool, BUFFER);
	large = cache_make(pool, 4096);
	take(from, buffer, 8);
	for (int i = 0; i < 4; i++) {
		give(to, &buffer[i], 1);
		assert_int_equal(to->top - to->bottom, i + 1);
	}
	/* But one that may not allocate there gets what it wants. */
	give(large, &buffer[4], 4);
	assert_ptr_equal(large->top, large->bottom);
	take(large, &got, 1);
	assert_int_equal(pinion_buffer_size(pool, got), 4096);
	assert_int_equal(large->buffer_size, 4096);
	give(large, &got, 1);
	assert_int_equal(pinion_cache_close(large), 0);
	assert_int_equal(pinion_cache_close(to), 0);
	pool_finish(pool, from);
}

static void every_buffer_can_be_had_once_and_then_it_is_enomem(void **state)
{
	const uint32_t sizes[] = {16, 64, 80, 1024, 4112};

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct pinion_pool *pool = pool_make(sizes[s]);
		struct pinion_cache *cache = cache_make(pool, BUFFER);
		struct pinion_buffer *all = calloc(sizes[s], sizeof(*all)), none = {0};

		take(cache, all, sizes[s]);
		for (int i = 0; i < 3; i++)
			assert_int_equal(pinion_buffer_alloc(cache, &none), -ENOMEM);
		assert_int_equal(pool_free(pool), 0);
		assert_distinct(all, sizes[s]);
		give(cache, all, sizes[s]);
		assert_int_equal(pool_free(pool), sizes[s]);
		free(all);
		pool_finish(pool, cache);
	}
}

static void a_zone_of_several_segments_gives_all_of_them(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_buffer all[64 + 1024 + 16], none;
	struct pinion_pool *pool;
	struct pinion_cache *cache;

	(void)state;
	config.nr_segments = 3;
	config.segment[1] = pool_config(1024, BUFFER).segment[0];
	config.segment[2] = pool_config(16, BUFFER).segment[0];
	pool = pool_make_from(&config);
	cache = cache_make(pool, BUFFER);
	take(cache, all, 1104);
	assert_int_equal(pinion_buffer_alloc(cache, &none), -ENOMEM);
	assert_distinct(all, 1104);
	give(cache, all, 1104);
	pool_finish(pool, cache);
}

static struct pinion_pool *two_sizes(uint32_t nr_caches)
{
	struct pinion_pool_config config = pool_config(256, 64);

	config.nr_caches = nr_caches;
	config.nr_segments = 2;
	config.segment[1] = pool_config(256, 1024).segment[0];
	return pool_make_from(&config);
}

static void the_smallest_zone_that_is_large_enough_is_chosen(void **state)
{
	const size_t want[][2] = {{0, 64}, {1, 64}, {64, 64}, {65, 1024}, {1024, 1024}};
	struct pinion_pool *pool = two_sizes(8);

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct pinion_cache *cache = cache_make(pool, want[i][0]);

		assert_int_equal(cache->buffer_size, want[i][1]);
		assert_int_equal(pinion_cache_close(cache), 0);
	}
	pool_finish(pool, NULL);
}

static void a_size_or_node_that_no_zone_has_is_enoent(void **state)
{
	const struct pinion_cache_config bad[] = {
		{.buffer_size = 1025, .node = PINION_NODE_ANY},
		{.buffer_size = SIZE_MAX, .node = PINION_NODE_ANY},
		{.buffer_size = 64, .node = 77},
		{.buffer_size = 64, .node = -3},
	};
	struct pinion_pool *pool = two_sizes(8);
	struct pinion_cache *cache = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pinion_cache_open(pool, &bad[i], &cache), -ENOENT);
		assert_null(cache);
		assert_sentence("no buffers of");
	}
	pool_finish(pool, NULL);
}

static void buffers_can_be_freed_through_a_cache_of_another_zone(void **state)
{
	struct pinion_pool *pool = two_sizes(8);
	struct pinion_cache *small = cache_make(pool, 64), *large = cache_make(pool, 1024);
	struct pinion_buffer buffer[256];

	(void)state;
	for (int i = 0; i < 3; i++) {
		take(large, buffer, 256);
		give(small, buffer, 256);
		/* They lie in racks behind the small cache until it closes. */
		assert_int_equal(pool_free(pool), 512);
		assert_pool_sound(pool);
		assert_int_equal(pinion_cache_close(small), 0);
		small = cache_make(pool, 64);
	}
	assert_int_equal(pinion_cache_close(large), 0);
	pool_finish(pool, small);
}

static void as_many_caches_as_nr_caches_open_and_one_more_is_eagain(void **state)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_cache *cache[5], *none = NULL;
	struct pinion_pool *pool;

	(void)state;
	config.nr_caches = 5;
	pool = pool_make_from(&config);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 5; i++)
			cache[i] = cache_make(pool, BUFFER);
		assert_int_equal(pinion_cache_open(pool, &any, &none), -EAGAIN);
		assert_null(none);
		assert_sentence("5 caches of the pool are open");
		for (int i = 0; i < 5; i++)
			assert_int_equal(pinion_cache_close(cache[i]), 0);
	}
	pool_finish(pool, NULL);
}

/* A ticket is good for magazines in every segment, whatever the cache is for. */
static void a_buffer_can_be_freed_elsewhere_when_all_caches_are_open(void **state)
{
	struct pinion_pool *pool = two_sizes(2);
	struct pinion_cache *small = cache_make(pool, 64), *large = cache_make(pool, 1024);
	struct pinion_buffer buffer;

	(void)state;
	take(large, &buffer, 1);
	assert_int_equal(pinion_buffer_free(small, buffer), 0);
	assert_int_equal(pinion_cache_close(large), 0);
	pool_finish(pool, small);
}

/* Each close leaves a magazine with one buffer in it, until none is empty. */
static void a_cache_opens_however_the_free_buffers_are_scattered(void **state)
{
	struct pinion_pool_config config = pool_config(256, BUFFER);
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_buffer all[256];

	(void)state;
	config.nr_caches = 1;
	pool = pool_make_from(&config);
	cache = cache_make(pool, BUFFER);
	take(cache, all, 256);
	assert_int_equal(pinion_cache_close(cache), 0);
	for (int i = 0; i < 256; i++) {
		cache = cache_make(pool, BUFFER);
		give(cache, &all[i], 1);
		assert_int_equal(pinion_cache_close(cache), 0);
	}
	cache = cache_make(pool, BUFFER);
	take(cache, all, 256);
	give(cache, all, 256);
	pool_finish(pool, cache);
}

/* All caches there may be, all magazines partly filled: every free still finds a place. */
static void free_never_lacks_a_place(void **state)
{
	struct pinion_pool_config config = pool_config(512, BUFFER);
	struct pinion_pool *pool;
	struct pinion_cache *cache[4];
	struct pinion_buffer held[512];
	uint64_t random = test_seed();
	uint32_t nr = 0;

	(void)state;
	config.nr_caches = 4;
	pool = pool_make_from(&config);
	for (int i = 0; i < 4; i++)
		cache[i] = cache_make(pool, BUFFER);
	for (int i = 0; i < 200000; i++) {
		struct pinion_cache *any = cache[test_below(&random, 4)];

		/* Long runs of one kind, so that whole magazines go back and forth. */
		if (i / 700 % 2) {
			if (nr)
				give(any, &held[--nr], 1);
		} else if (pinion_buffer_alloc(any, &held[nr]) == 0) {
			nr++;
		}
	}
	give(cache[0], held, nr);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pinion_cache_close(cache[i]), 0);
	pool_finish(pool, NULL);
}

/*
 * Magazines that were seen with room are another's by the time they are tried. The thread that
 * looks is held up at its first look at a magazine's word, by a fault; meanwhile another member
 * takes all the buffers that there are, and each magazine that had some is empty, which then are
 * the only ones with room.
 */
static struct {
	struct pinion_pool *pool;
	struct pinion_cache *theirs;
	struct pinion_buffer all[64];
	uint32_t nr;
	_Atomic int faults, let_go;
} held_up;

static void guard_words(struct pinion_pool *pool, int prot)
{
	char *words = (char *)pool->control.addr + pool->layout.magazine;

	if (mprotect(words, pool->layout.depot - pool->layout.magazine, prot))
		_exit(1);
}

static void hold_up(int signal)
{
	(void)signal;
	if (held_up.faults++)
		_exit(1);
	while (!held_up.let_go)
		sched_yield();
}

static void *take_all_meanwhile(void *arg)
{
	while (!held_up.faults && !held_up.let_go)
		sched_yield();
	held_up.nr = take_all(held_up.theirs, held_up.all, 64);
	guard_words(held_up.pool, PROT_READ | PROT_WRITE);
	held_up.let_go = 1;
	return arg;
}

/* As pinion_buffer_free(). */
static int free_while_all_is_taken(struct pinion_cache *cache, struct pinion_buffer buffer)
{
	const struct sigaction hold = {.sa_handler = hold_up};
	struct sigaction before;
	pthread_t other;
	int err;

	held_up.nr = 0;
	held_up.faults = held_up.let_go = 0;
	assert_int_equal(sigaction(SIGSEGV, &hold, &before), 0);
	assert_int_equal(pthread_create(&other, NULL, take_all_meanwhile, NULL), 0);
	guard_words(held_up.pool, PROT_NONE);
	err = pinion_buffer_free(cache, buffer);
	held_up.let_go = 1; /* if it was not held up at all */
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	assert_int_equal(held_up.faults, 1);
	return err;
}

/* Each magazine of the depot has some of what @cache has taken, and none is empty or full. */
static void scatter(struct pinion_cache *cache, const struct pinion_buffer *all, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		give(cache, &all[i], 1);
		assert_int_equal(pinion_cache_flush(cache), 0);
	}
}

static void a_free_finds_room_though_all_is_taken_while_it_looks(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool, *peer;
	struct pinion_cache *ours, *theirs;
	struct pinion_buffer mine[17], rest[47];

	(void)state;
	config.nr_caches = 2;
	config.magazine_size = 8;
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	ours = cache_make(pool, BUFFER);
	take(ours, mine, 17);
	assert_int_equal(pinion_cache_close(ours), 0);
	ours = cache_make(pool, BUFFER);
	give(ours, mine, 16); /* both its magazines are full */
	theirs = cache_make(peer, BUFFER);
	take(theirs, rest, 47);
	scatter(theirs, rest, 47);
	held_up.pool = pool;
	held_up.theirs = theirs;
	assert_int_equal(free_while_all_is_taken(ours, mine[16]), 0);
	assert_int_equal(held_up.nr, 47);
	give(theirs, held_up.all, 47);
	assert_int_equal(pinion_cache_close(theirs), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	pool_finish(pool, ours);
}

/* Calls of the fast path leave the sentence and errno alone. */
static void alloc_and_free_leave_errno_alone(void **state)
{
	struct pinion_pool *pool = pool_make(16);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer all[16], none;

	(void)state;
	errno = 4711;
	take(cache, all, 16);
	assert_int_equal(pinion_buffer_alloc(cache, &none), -ENOMEM);
	give(cache, all, 16);
	assert_int_equal(pinion_buffer_free(cache, all[0]), -EINVAL);
	assert_int_equal(errno, 4711);
	pool_finish(pool, cache);
}

/*
 * The model: per buffer, who holds it under which handle; nothing else. Members and caches come
 * and go, any cache of the holder frees, and whatever the model says must be what pinion says.
 */
#define MODEL_NR 192
#define MODEL_MEMBERS 3

struct model {
	struct pinion_pool *pool[MODEL_MEMBERS];
	struct pinion_cache *cache[MODEL_MEMBERS][2];
	struct pinion_buffer handle[MODEL_NR];
	int holder[MODEL_NR]; /* -1: free */
	uint32_t held[MODEL_MEMBERS];
	uint64_t random;
};

static void model_alloc(struct model *model, int member, int cache)
{
	struct pinion_buffer buffer;
	uint32_t id, held = 0;
	const int err = pinion_buffer_alloc(model->cache[member][cache], &buffer);

	for (int i = 0; i < MODEL_MEMBERS; i++)
		held += model->held[i];
	if (err) {
		assert_int_equal(err, -ENOMEM);
		/* What is free then lies in the other five caches: two magazines each. */
		assert_true(MODEL_NR - held <= 5 * 2 * 64);
		return;
	}
	id = pinion_buffer_id(buffer);
	assert_true(id < MODEL_NR);
	assert_int_equal(model->holder[id], -1);
	model->holder[id] = member;
	assert_int_not_equal(model->handle[id].bits, buffer.bits);
	model->handle[id] = buffer;
	model->held[member]++;
}

static void model_free(struct model *model, int member, int cache)
{
	const uint32_t id = test_below(&model->random, MODEL_NR);
	const struct pinion_buffer buffer = model->handle[id];
	const int err = pinion_buffer_free(model->cache[member][cache], buffer);

	if (model->holder[id] != member) {
		assert_int_equal(err, -EINVAL);
		return;
	}
	assert_int_equal(err, 0);
	model->holder[id] = -1;
	model->held[member]--;
}

static void model_reopen(struct model *model, int member, int cache)
{
	assert_int_equal(pinion_cache_close(model->cache[member][cache]), 0);
	model->cache[member][cache] = cache_make(model->pool[member], BUFFER);
}

static void model_compare(const struct model *model)
{
	uint32_t held = 0;

	for (int i = 0; i < MODEL_MEMBERS; i++) {
		assert_int_equal(pinion_pool_held(model->pool[0], (uint32_t)i), model->held[i]);
		held += model->held[i];
	}
	assert_int_equal(pool_free(model->pool[0]), MODEL_NR - held);
	assert_pool_sound(model->pool[0]);
}

static void model_step(struct model *model)
{
	const int member = (int)test_below(&model->random, MODEL_MEMBERS);
	const int cache = (int)test_below(&model->random, 2);
	const uint32_t what = test_below(&model->random, 100);

	if (what < 50)
		model_alloc(model, member, cache);
	else if (what < 98)
		model_free(model, member, cache);
	else
		model_reopen(model, member, cache);
}

static void model_close(struct model *model)
{
	for (uint32_t id = 0; id < MODEL_NR; id++)
		if (model->holder[id] >= 0)
			give(model->cache[model->holder[id]][0], &model->handle[id], 1);
	for (int i = 0; i < MODEL_MEMBERS; i++)
		for (int c = 0; c < 2; c++)
			assert_int_equal(pinion_cache_close(model->cache[i][c]), 0);
	assert_pool_whole(model->pool[0]);
	for (int i = MODEL_MEMBERS - 1; i >= 0; i--)
		assert_int_equal(pinion_pool_detach(model->pool[i]), 0);
}

static void any_sequence_agrees_with_the_model(void **state)
{
	struct model model = {.random = test_seed()};

	(void)state;
	model.pool[0] = pool_make(MODEL_NR);
	for (int i = 1; i < MODEL_MEMBERS; i++)
		model.pool[i] = pool_join(model.pool[0]);
	for (int i = 0; i < MODEL_MEMBERS; i++)
		for (int c = 0; c < 2; c++)
			model.cache[i][c] = cache_make(model.pool[i], BUFFER);
	memset(model.holder, -1, sizeof(model.holder));
	for (int i = 0; i < 300000; i++) {
		model_step(&model);
		if (i % 997 == 0)
			model_compare(&model);
	}
	model_close(&model);
}

/*
 * Threads of one member on one mapping. Each writes its mark into an array of its own, by id,
 * with an exchange: another thread's mark there is a buffer that two hold.
 */
#define THREADS 4
#define THREAD_BUFFERS 384 /* fewer than they want: exhaustion is part of it */
#define THREAD_HELD 150

struct together {
	struct pinion_pool *pool;
	_Atomic int user[THREAD_BUFFERS];
	_Atomic int twice, lost;
	uint64_t seed;
	pthread_barrier_t start;
};

struct thread {
	struct together *together;
	int number;
	uint64_t random;
	struct pinion_buffer held[THREAD_HELD];
	uint32_t nr;
};

static void thread_alloc(struct thread *thread, struct pinion_cache *cache)
{
	struct pinion_buffer *buffer = &thread->held[thread->nr];

	if (thread->nr == THREAD_HELD || pinion_buffer_alloc(cache, buffer))
		return;
	thread->nr++;
	if (atomic_exchange(&thread->together->user[pinion_buffer_id(*buffer)], thread->number))
		thread->together->twice++;
	/* One mapping for all: a race on these bytes is a real one, and ThreadSanitizer sees it. */
	memset(pinion_buffer_addr(thread->together->pool, *buffer), thread->number, BUFFER);
}

static void thread_free(struct thread *thread, struct pinion_cache *cache)
{
	struct pinion_buffer buffer;
	const unsigned char *bytes;

	if (!thread->nr)
		return;
	buffer = thread->held[--thread->nr];
	bytes = pinion_buffer_addr(thread->together->pool, buffer);
	if (bytes[0] != thread->number || bytes[BUFFER - 1] != thread->number ||
	    atomic_exchange(&thread->together->user[pinion_buffer_id(buffer)], 0) !=
		    thread->number)
		thread->together->twice++;
	if (pinion_buffer_free(cache, buffer))
		thread->together->lost++;
}

static void *thread_main(void *arg)
{
	struct thread *thread = arg;
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;

	pthread_barrier_wait(&thread->together->start);
	for (int round = 0; round < 60; round++) {
		if (pinion_cache_open(thread->together->pool, &any, &cache)) {
			thread->together->lost++;
			return NULL;
		}
		for (int i = 0; i < 2000; i++) {
			if (test_below(&thread->random, 64) < (i / 300 % 2 ? 24 : 40))
				thread_alloc(thread, cache);
			else
				thread_free(thread, cache);
		}
		pinion_cache_close(cache);
	}
	if (pinion_cache_open(thread->together->pool, &any, &cache))
		thread->together->lost++;
	while (thread->nr)
		thread_free(thread, cache);
	pinion_cache_close(cache);
	return NULL;
}

static void no_buffer_is_held_twice_by_threads(void **state)
{
	struct pinion_pool_config config = pool_config(THREAD_BUFFERS, BUFFER);
	static struct thread thread[THREADS];
	static struct together together;
	pthread_t id[THREADS];

	(void)state;
	/* Twice as many as there are: an open may be refused while others exchange a magazine. */
	config.nr_caches = 2 * THREADS;
	together.pool = pool_make_from(&config);
	together.seed = test_seed();
	assert_int_equal(pthread_barrier_init(&together.start, NULL, THREADS), 0);
	for (int i = 0; i < THREADS; i++) {
		thread[i] = (struct thread){.together = &together, .number = i + 1,
					    .random = (together.seed + (uint64_t)i * 2) | 1};
		assert_int_equal(pthread_create(&id[i], NULL, thread_main, &thread[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(id[i], NULL), 0);
	pthread_barrier_destroy(&together.start);
	assert_int_equal(together.twice, 0);
	assert_int_equal(together.lost, 0);
	pool_finish(together.pool, NULL);
}

/*
 * The fewest and smallest magazines that there can be, and buffers that are freed by another thread
 * than the one that took them: full and empty magazines go round all the time. A free that finds no
 * place would be a buffer lost to whoever does not try again.
 */
#define EXCHANGE 128

struct market {
	struct pinion_pool *pool;
	_Atomic uint64_t stall[EXCHANGE]; /* handles on offer; 0: none */
	_Atomic int wrong;
	uint64_t until;
};

struct trader {
	struct market *market;
	uint64_t random;
};

static void *trade(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct trader *trader = arg;
	struct market *market = trader->market;
	struct pinion_cache *cache;

	if (pinion_cache_open(market->pool, &any, &cache)) {
		market->wrong++;
		return NULL;
	}
	while (test_now_ns() < market->until)
		for (int i = 0; i < 1000; i++) {
			const uint32_t at = test_below(&trader->random, EXCHANGE);
			struct pinion_buffer buffer = {0};

			if (test_below(&trader->random, 2))
				(void)pinion_buffer_alloc(cache, &buffer);
			buffer.bits = atomic_exchange(&market->stall[at], buffer.bits);
			if (buffer.bits && pinion_buffer_free(cache, buffer))
				market->wrong++;
			if (test_below(&trader->random, 512) == 0)
				(void)pinion_cache_flush(cache);
		}
	pinion_cache_close(cache);
	return NULL;
}

static void free_never_lacks_a_place_among_threads(void **state)
{
	struct pinion_pool_config config = pool_config(EXCHANGE, BUFFER);
	static struct market market;
	struct trader trader[THREADS];
	struct pinion_cache *cache;
	const uint64_t seed = test_seed();
	pthread_t id[THREADS];

	(void)state;
	config.nr_caches = THREADS;
	config.magazine_size = PINION_MAGAZINE_MIN;
	market.pool = pool_make_from(&config);
	market.until = test_now_ns() + UINT64_C(2000000000);
	for (int i = 0; i < THREADS; i++) {
		trader[i] = (struct trader){&market, (seed + (uint64_t)i * 2) | 1};
		assert_int_equal(pthread_create(&id[i], NULL, trade, &trader[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(id[i], NULL), 0);
	assert_int_equal(market.wrong, 0);
	cache = cache_make(market.pool, BUFFER);
	for (int i = 0; i < EXCHANGE; i++) {
		const struct pinion_buffer left = {market.stall[i]};

		if (left.bits)
			give(cache, &left, 1);
	}
	pool_finish(market.pool, cache);
}

/* Threads that open at the same time: the limit is a promise of room, so it holds for them too. */
struct opener {
	struct pinion_pool *pool;
	pthread_barrier_t *start, *opened;
	int got;
};

static void *opener_main(void *arg)
{
	struct opener *opener = arg;
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;

	pthread_barrier_wait(opener->start);
	opener->got = pinion_cache_open(opener->pool, &any, &cache) == 0;
	pthread_barrier_wait(opener->opened);
	if (opener->got)
		pinion_cache_close(cache);
	return NULL;
}

static int open_at_once(struct pinion_pool *pool)
{
	pthread_barrier_t start, opened;
	struct opener opener[THREADS];
	pthread_t id[THREADS];
	int got = 0;

	pthread_barrier_init(&start, NULL, THREADS);
	pthread_barrier_init(&opened, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		opener[i] = (struct opener){pool, &start, &opened, 0};
		assert_int_equal(pthread_create(&id[i], NULL, opener_main, &opener[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(id[i], NULL), 0);
		got += opener[i].got;
	}
	pthread_barrier_destroy(&start);
	pthread_barrier_destroy(&opened);
	return got;
}

static void no_more_than_nr_caches_open_at_once(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;
	int most = 0;

	(void)state;
	config.nr_caches = 2;
	pool = pool_make_from(&config);
	for (int i = 0; i < 2000; i++) {
		const int got = open_at_once(pool);

		most = got > most ? got : most;
	}
	assert_true(most <= 2);
	pool_finish(pool, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(alloc_holds_and_free_gives_back_under_a_new_generation),
		pool_test(free_twice_is_einval_and_changes_nothing),
		pool_test(a_stale_handle_is_einval_though_the_buffer_is_held_again),
		pool_test(free_of_what_another_member_holds_is_einval),
		pool_test(free_of_a_handle_that_names_nothing_is_einval),
		pool_test(free_of_an_id_between_segments_is_einval_whatever_its_word),
		pool_test(the_inline_path_serves_who_only_frees),
		pool_test(every_buffer_can_be_had_once_and_then_it_is_enomem),
		pool_test(a_zone_of_several_segments_gives_all_of_them),
		pool_test(the_smallest_zone_that_is_large_enough_is_chosen),
		pool_test(a_size_or_node_that_no_zone_has_is_enoent),
		pool_test(buffers_can_be_freed_through_a_cache_of_another_zone),
		pool_test(as_many_caches_as_nr_caches_open_and_one_more_is_eagain),
		pool_test(a_buffer_can_be_freed_elsewhere_when_all_caches_are_open),
		pool_test(a_cache_opens_however_the_free_buffers_are_scattered),
		pool_test(free_never_lacks_a_place),
		pool_test(a_free_finds_room_though_all_is_taken_while_it_looks),
		pool_test(alloc_and_free_leave_errno_alone),
		pool_test(any_sequence_agrees_with_the_model),
		pool_test(no_buffer_is_held_twice_by_threads),
		pool_test(free_never_lacks_a_place_among_threads),
		pool_test(no_more_than_nr_caches_open_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
