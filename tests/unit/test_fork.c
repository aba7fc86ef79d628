/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process with a pool forks: the child is no member, and cannot do what its parent's caches
 * could; nor can it harm them. Each child here says by its exit status which step went wrong.
 */

#include "pool_support.h"

#include <pthread.h>
#include <sched.h>

#include "slot.h"

#define HELD 100

struct scene {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_buffer held[HELD];
	uint32_t child; /* admitted for it */
};

static struct scene scene_make(void)
{
	struct pinion_pool_config config = pool_config(512, BUFFER);
	struct scene scene;

	config.nr_caches = 3;
	scene.pool = pool_make_from(&config);
	scene.cache = cache_make(scene.pool, BUFFER);
	take(scene.cache, scene.held, HELD);
	assert_int_equal(pinion_pool_admit(scene.pool, getpid(), &scene.child), 0);
	return scene;
}

/* The parent goes on as if nothing had been. */
static void scene_end(struct scene *scene)
{
	struct pinion_buffer more[412], none;

	assert_int_equal(pinion_pool_held(scene->pool, 0), HELD);
	assert_int_equal(take_all(scene->cache, more, 412), 412);
	assert_int_equal(pinion_buffer_alloc(scene->cache, &none), -ENOMEM);
	give(scene->cache, more, 412);
	give(scene->cache, scene->held, HELD);
	assert_int_equal(pinion_cache_close(scene->cache), 0);
	assert_pool_whole(scene->pool);
	assert_int_equal(pinion_pool_destroy(scene->pool), 0);
}

#define STEP(nr, what) do { if (!(what)) return nr; } while (0)

static int use_the_parents(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct scene *scene = arg;
	struct pinion_cache *cache = NULL;
	struct pinion_buffer got[8];

	for (int i = 0; i < 300; i++)
		STEP(1, pinion_buffer_alloc(scene->cache, got) == -ECHILD);
	STEP(2, pinion_buffer_alloc_bulk(scene->cache, got, 8) == -ECHILD);
	for (int i = 0; i < HELD; i++)
		STEP(3, pinion_buffer_free(scene->cache, scene->held[i]) == -ECHILD);
	STEP(4, pinion_buffer_free_bulk(scene->cache, scene->held, HELD) == -ECHILD);
	STEP(5, pinion_cache_flush(scene->cache) == -ECHILD);
	STEP(6, pinion_cache_open(scene->pool, &any, &cache) == -ECHILD && cache == NULL);
	STEP(7, strstr(pinion_error_text(), "pinion_pool_become") != NULL);
	STEP(8, pinion_cache_close(scene->cache) == 0);
	STEP(9, pinion_pool_destroy(scene->pool) == 0);
	return 0;
}

static void the_parents_caches_are_echild_in_the_child(void **state)
{
	struct scene scene = scene_make();

	(void)state;
	assert_int_equal(support_child(use_the_parents, &scene), 0);
	assert_int_equal(pool_free(scene.pool), 512 - HELD);
	assert_pool_sound(scene.pool);
	scene_end(&scene);
}

static int become_and_work(void *arg)
{
	struct scene *scene = arg;
	struct pinion_cache *cache = NULL;
	struct pinion_buffer got[200];
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};

	STEP(1, pinion_pool_become(scene->pool, scene->child) == 0);
	STEP(2, pinion_pool_member(scene->pool) == scene->child);
	/* What it inherited stays unusable, and gives back nothing. */
	STEP(3, pinion_buffer_alloc(scene->cache, got) == -ECHILD);
	STEP(4, pinion_cache_close(scene->cache) == 0);
	STEP(5, pinion_cache_open(scene->pool, &any, &cache) == 0);
	for (int i = 0; i < 200; i++) {
		STEP(6, pinion_buffer_alloc(cache, &got[i]) == 0);
		memset(pinion_buffer_addr(scene->pool, got[i]), 0x77, BUFFER);
	}
	STEP(7, pinion_pool_held(scene->pool, scene->child) == 200);
	STEP(8, pinion_buffer_free(cache, scene->held[0]) == -EINVAL);
	for (int i = 0; i < 50; i++)
		STEP(9, pinion_buffer_free(cache, got[i]) == 0);
	/* It dies with 150 held and a cache open. */
	return 0;
}

static void a_child_that_becomes_a_member_works_and_is_recovered_alone(void **state)
{
	struct scene scene = scene_make();
	struct pinion_recovery report = {0, 0, 0};

	(void)state;
	for (int i = 0; i < HELD; i++)
		memset(pinion_buffer_addr(scene.pool, scene.held[i]), 0x11, BUFFER);
	assert_int_equal(support_child(become_and_work, &scene), 0);
	assert_int_equal(pinion_pool_held(scene.pool, scene.child), 150);
	assert_pool_sound(scene.pool);
	assert_int_equal(pinion_pool_recover(scene.pool, scene.child, NULL, 0, &report), 0);
	assert_int_equal(report.returned, 150);
	assert_int_equal(pinion_pool_release(scene.pool, scene.child, NULL), 0);
	assert_int_equal(pool_free(scene.pool), 512 - HELD);
	assert_pool_sound(scene.pool);
	for (int i = 0; i < HELD; i++)
		assert_int_equal(*(char *)pinion_buffer_addr(scene.pool, scene.held[i]), 0x11);
	scene_end(&scene);
}

static int become_badly(void *arg)
{
	struct scene *scene = arg;
	const uint32_t bad[] = {0, 2, 7, 8, UINT32_MAX};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		STEP(1, pinion_pool_become(scene->pool, bad[i]) == -EINVAL);
	STEP(2, strstr(pinion_error_text(), "not admitted") != NULL);
	STEP(3, pinion_pool_become(scene->pool, scene->child) == 0);
	STEP(4, pinion_pool_become(scene->pool, scene->child) == -EINVAL);
	return 0;
}

static void only_a_child_becomes_and_only_what_was_admitted(void **state)
{
	struct scene scene = scene_make();

	(void)state;
	assert_int_equal(pinion_pool_become(scene.pool, scene.child), -EINVAL);
	assert_sentence("not inherited");
	assert_int_equal(support_child(become_badly, &scene), 0);
	scene_end(&scene);
}

/* A child of a child is a process of its own too. */
static int become_and_fork(void *arg)
{
	struct scene *scene = arg;

	STEP(1, pinion_pool_become(scene->pool, scene->child) == 0);
	STEP(2, support_child(use_the_parents, scene) == 0);
	return 0;
}

static void a_grandchild_is_no_member_either(void **state)
{
	struct scene scene = scene_make();

	(void)state;
	assert_int_equal(support_child(become_and_fork, &scene), 0);
	scene_end(&scene);
}

static int refused_to_keep_slots(struct pinion_pool *pool)
{
	const struct pinion_segment_config one = segment_of(64, BUFFER);
	struct pinion_pool_record record;
	uint32_t slot;

	STEP(1, pinion_pool_grow(pool, &one, &slot) == -EPERM);
	STEP(2, pinion_pool_retire(pool, 0) == -EPERM);
	STEP(3, pinion_pool_record(pool, &record) == -EPERM);
	STEP(4, pinion_pool_watch(pool, NULL, NULL) == -EPERM);
	return 0;
}

/* Of one that lives, that is dead, and of itself. */
static int refused_to_keep_members(struct pinion_pool *pool)
{
	struct pinion_recovery report;
	uint32_t number = 77;

	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		STEP(5, pinion_pool_recover(pool, i, NULL, 0, &report) == -EPERM);
		STEP(6, pinion_pool_release(pool, i, &report) == -EPERM);
		STEP(7, pinion_pool_quota(pool, i, 1) == -EPERM);
	}
	STEP(8, pinion_pool_admit(pool, 0, &number) == -EPERM && number == 77);
	STEP(9, strstr(pinion_error_text(), "ask the keeper") != NULL);
	return 0;
}

static int refused_to_keep(struct pinion_pool *pool)
{
	const int slots = refused_to_keep_slots(pool);

	return slots ? slots : refused_to_keep_members(pool);
}

/* Neither as a member of its own nor before: its picture of the pool is a copy of the parent's. */
static int keep(void *arg)
{
	struct scene *scene = arg;
	int before = refused_to_keep(scene->pool);

	if (before)
		return before;
	STEP(10, pinion_pool_become(scene->pool, scene->child) == 0);
	before = refused_to_keep(scene->pool);
	return before ? 10 + before : 0;
}

/* What of a pool a child that keeps would change, but for what it does as a member. */
static uint64_t *members_of(const struct pinion_pool *pool)
{
	uint64_t *fields = calloc(pool->geometry.nr_members, 2 * sizeof(*fields));

	assert_non_null(fields);
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++) {
		fields[2 * i] = pool->members[i].state;
		fields[2 * i + 1] = pool->members[i].quota;
	}
	return fields;
}

static void a_child_is_no_keeper(void **state)
{
	struct scene scene = scene_make();
	struct pinion_pool *dead = pool_join(scene.pool);
	struct pinion_cache *cache = cache_make(dead, BUFFER);
	const uint32_t number = pinion_pool_member(dead);
	struct pinion_buffer left[10];
	uint64_t *before, *after;

	(void)state;
	take(cache, left, 10);
	abandon(cache);
	before = members_of(scene.pool);
	assert_int_equal(support_child(keep, &scene), 0);
	after = members_of(scene.pool);
	assert_memory_equal(before, after,
			    2 * scene.pool->geometry.nr_members * sizeof(*before));
	free(before);
	free(after);
	assert_int_equal(pinion_pool_held(scene.pool, number), 10);
	assert_int_equal(pinion_pool_release(scene.pool, number, NULL), 0);
	assert_int_equal(pinion_pool_detach(dead), 0);
	scene_end(&scene);
}

/* It may have been given the files of a pool that its parent keeps: then it is as any other. */
static void a_member_that_attached_is_no_keeper(void **state)
{
	struct scene scene = scene_make();
	struct pinion_pool *peer = pool_join(scene.pool);

	(void)state;
	assert_int_equal(refused_to_keep(peer), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	scene_end(&scene);
}

/* A member's child that only looks must not say in its name that it has looked: the member may
 * still have a segment mapped that is gone. */
static int look_at_segments(void *arg)
{
	struct pinion_segment_stat stat;
	struct pinion_pool *pool = arg;

	for (uint32_t i = 0; i < pinion_pool_slots(pool); i++)
		(void)pinion_pool_segment(pool, i, &stat);
	return 0;
}

static void a_child_acknowledges_nothing_for_its_parent(void **state)
{
	const struct pinion_segment_config one = segment_of(64, BUFFER);
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool, *peer;
	uint32_t slot;

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = config.segment[0];
	config.max_segments = 2;
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_int_equal(support_child(look_at_segments, peer), 0);
	assert_non_null(peer->memory[1].addr);
	assert_int_equal(pinion_pool_grow(pool, &one, &slot), -ENOSPC);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Between the fork and becoming a member the slot is used again: nobody had to wait for a process
 * that was none. What the child inherited is not what the slot has now. */
static int become_late(struct pinion_pool *pool, uint32_t member, int wait_for)
{
	char go;

	STEP(1, pool->memory[1].addr != NULL);
	STEP(2, read(wait_for, &go, 1) == 1);
	STEP(3, pinion_pool_become(pool, member) == 0);
	STEP(4, pool->memory[1].addr == NULL);
	STEP(5, !pinion_view_has(&pool->view, 1u << pool->view.segment_shift));
	return 0;
}

static void who_becomes_late_has_no_segment_that_went(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	const struct pinion_segment_config one = config.segment[0];
	struct pinion_pool *pool, *peer;
	uint32_t child = 0, slot = 77;
	int way[2], status = -1;
	pid_t pid;

	(void)state;
	config.nr_segments = config.max_segments = 2;
	config.segment[1] = one;
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	assert_int_equal(pipe(way), 0);
	/* Its number is what it will be: the lowest that is free. */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(become_late(peer, 2, way[0]));
	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_int_equal(pinion_pool_admit(pool, pid, &child), 0);
	assert_int_equal(child, 2);
	assert_true(slot_sync(peer));
	assert_int_equal(pinion_pool_grow(pool, &one, &slot), 0);
	assert_int_equal(slot, 1);
	assert_int_equal(write(way[1], "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(way[0]);
	close(way[1]);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static int leave_all_open(void *arg)
{
	struct scene *scene = arg;

	/* As a library would that knows nothing of the fork: close what there is, in any order. */
	STEP(1, pinion_pool_become(scene->pool, scene->child) == 0);
	STEP(2, pinion_cache_close(scene->cache) == 0);
	STEP(3, pinion_pool_detach(scene->pool) == 0);
	return 0;
}

static void many_children_give_nothing_back_twice(void **state)
{
	struct scene scene = scene_make();

	(void)state;
	for (int i = 0; i < 30; i++) {
		assert_int_equal(
			support_child(i % 2 ? use_the_parents : leave_all_open, &scene), 0);
		assert_int_equal(pinion_pool_recover(scene.pool, scene.child, NULL, 0, NULL), 0);
		assert_int_equal(pinion_pool_release(scene.pool, scene.child, NULL), 0);
		assert_int_equal(pinion_pool_admit(scene.pool, getpid(), &scene.child), 0);
		assert_int_equal(pool_free(scene.pool), 512 - HELD);
		assert_pool_sound(scene.pool);
	}
	scene_end(&scene);
}

/*
 * A fork in the midst of what other threads of the parent do: a buffer half taken, a magazine half
 * exchanged, a cache half open, a lock held. They go on beside the child, which lives meanwhile.
 */
#define WORKERS 2
#define FORKS 150
#define FORKS_NS UINT64_C(600000000)
#define AT_ONCE 40  /* buffers that a worker has, at most */
#define ROUNDS 20   /* of each worker beside each child */
#define HANGS_S 30

struct worker {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	pthread_t thread;
	uint64_t random;
	_Atomic uint64_t shown;  /* a handle that it has, or had */
	_Atomic uint64_t rounds;
	_Atomic bool *stop;
	_Atomic(const char *) problem;
};

struct crew {
	struct pinion_pool *pool;
	struct pinion_cache *cache; /* of the thread that forks */
	struct pinion_buffer held[HELD];
	struct worker worker[WORKERS];
	_Atomic bool stop;
	int go[2];
};

static uint64_t *bytes_of(const struct worker *worker, struct pinion_buffer buffer)
{
	return pinion_buffer_addr(worker->pool, buffer);
}

/* As many as are wanted, signed, and all of them back. */
static const char *take_and_give(struct worker *worker)
{
	const uint32_t nr = 1 + test_below(&worker->random, AT_ONCE);
	struct pinion_buffer buffer[AT_ONCE];

	for (uint32_t i = 0; i < nr; i++) {
		if (pinion_buffer_alloc(worker->cache, &buffer[i]))
			return "a thread of the parent gets no buffer";
		*bytes_of(worker, buffer[i]) = buffer[i].bits;
	}
	worker->shown = buffer[0].bits;
	for (uint32_t i = 0; i < nr; i++) {
		if (*bytes_of(worker, buffer[i]) != buffer[i].bits)
			return "somebody else wrote into a buffer of the parent's";
		if (pinion_buffer_free(worker->cache, buffer[i]))
			return "a thread of the parent cannot free";
	}
	return NULL;
}

/* Lists change, and locks are held. */
static const char *open_and_close(struct worker *worker)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;

	if (pinion_cache_open(worker->pool, &any, &cache))
		return "a thread of the parent cannot open a cache";
	if (pinion_pool_held(worker->pool, 0) < HELD)
		return "the parent has lost what it held";
	return pinion_cache_close(cache) ? "a thread of the parent cannot close a cache" : NULL;
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	while (!worker->problem && !*worker->stop) {
		worker->problem = take_and_give(worker);
		if (!worker->problem && test_below(&worker->random, 16) == 0)
			worker->problem = open_and_close(worker);
		worker->rounds++;
	}
	return NULL;
}

/* None of the threads is here, and what they had is no more ours than what the caller had. */
static int use_a_workers(struct worker *worker)
{
	const struct pinion_buffer shown = {worker->shown};
	struct pinion_buffer got[8];

	STEP(1, pinion_buffer_alloc(worker->cache, got) == -ECHILD);
	STEP(2, pinion_buffer_alloc_bulk(worker->cache, got, 8) == -ECHILD);
	STEP(3, pinion_buffer_free(worker->cache, shown) == -ECHILD);
	STEP(4, pinion_buffer_free_bulk(worker->cache, &shown, 1) == -ECHILD);
	STEP(5, pinion_cache_flush(worker->cache) == -ECHILD);
	return 0;
}

static int use_the_crews(struct crew *crew)
{
	struct scene scene = {.pool = crew->pool, .cache = crew->cache};
	char go;

	(void)alarm(HANGS_S); /* who waits for a thread of the parent waits for ever */
	memcpy(scene.held, crew->held, sizeof(scene.held));
	for (int i = 0; i < WORKERS; i++)
		STEP(20 + i, use_a_workers(&crew->worker[i]) == 0);
	STEP(30, read(crew->go[0], &go, 1) == 1);
	for (int i = 0; i < WORKERS; i++) {
		STEP(40 + i, use_a_workers(&crew->worker[i]) == 0);
		STEP(50 + i, pinion_cache_close(crew->worker[i].cache) == 0);
	}
	return use_the_parents(&scene);
}

/* As if no child were there. */
static void wait_for_rounds(const struct crew *crew)
{
	const uint64_t late = test_now_ns() + HANGS_S * UINT64_C(1000000000);

	for (int i = 0; i < WORKERS; i++) {
		const struct worker *worker = &crew->worker[i];
		const uint64_t from = worker->rounds;

		while (worker->rounds < from + ROUNDS && !worker->problem && test_now_ns() < late)
			sched_yield();
		assert_string_equal(worker->problem ? worker->problem : "", "");
		assert_true(worker->rounds >= from + ROUNDS);
	}
}

static void fork_once(struct crew *crew)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(use_the_crews(crew));
	wait_for_rounds(crew);
	assert_int_equal(write(crew->go[1], "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void crew_start(struct crew *crew)
{
	struct pinion_pool_config config = pool_config(2048, BUFFER);
	uint64_t random = test_seed();

	config.nr_caches = 1 + 2 * WORKERS;
	crew->pool = pool_make_from(&config);
	crew->cache = cache_make(crew->pool, BUFFER);
	take(crew->cache, crew->held, HELD);
	assert_int_equal(pipe2(crew->go, O_CLOEXEC), 0);
	for (int i = 0; i < WORKERS; i++) {
		struct worker *worker = &crew->worker[i];

		worker->pool = crew->pool;
		worker->cache = cache_make(crew->pool, BUFFER);
		worker->random = test_random(&random) | 1;
		worker->stop = &crew->stop;
		assert_int_equal(pthread_create(&worker->thread, NULL, work, worker), 0);
	}
}

/* Nothing is held but what the thread has that forked, and that is as it was. */
static void crew_end(struct crew *crew)
{
	crew->stop = true;
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(crew->worker[i].thread, NULL), 0);
		assert_null(crew->worker[i].problem);
		assert_int_equal(pinion_cache_close(crew->worker[i].cache), 0);
	}
	assert_int_equal(pinion_pool_held(crew->pool, 0), HELD);
	assert_pool_sound(crew->pool);
	give(crew->cache, crew->held, HELD);
	assert_int_equal(pinion_cache_close(crew->cache), 0);
	assert_pool_whole(crew->pool);
	assert_int_equal(pinion_pool_destroy(crew->pool), 0);
	close(crew->go[0]);
	close(crew->go[1]);
}

static void a_fork_amid_threads_at_work_disturbs_none_of_them(void **state)
{
	static struct crew crew; /* a failing assertion leaves the threads at work */
	const uint64_t until = test_now_ns() + FORKS_NS;
	int nr = 0;

	(void)state;
	crew_start(&crew);
	for (; nr < FORKS && (nr < 5 || test_now_ns() < until); nr++)
		fork_once(&crew);
	print_message("# %d forks\n", nr);
	crew_end(&crew);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(the_parents_caches_are_echild_in_the_child),
		pool_test(a_child_that_becomes_a_member_works_and_is_recovered_alone),
		pool_test(only_a_child_becomes_and_only_what_was_admitted),
		pool_test(a_grandchild_is_no_member_either),
		pool_test(a_child_is_no_keeper),
		pool_test(a_member_that_attached_is_no_keeper),
		pool_test(a_child_acknowledges_nothing_for_its_parent),
		pool_test(who_becomes_late_has_no_segment_that_went),
		pool_test(many_children_give_nothing_back_twice),
		pool_test(a_fork_amid_threads_at_work_disturbs_none_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
