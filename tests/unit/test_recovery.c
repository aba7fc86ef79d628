/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recovery: whatever a member had when it died comes back, once. "Dead" is mostly a second
 * attachment in this process that stops being used; the last tests kill real processes.
 */

#include <sched.h>
#include <sys/mman.h>

#include "pool_support.h"

#define ANY (const struct pinion_cache_config){.buffer_size = BUFFER, .node = PINION_NODE_ANY}

/* A pool and a member of it that is going to die. */
struct scene {
	struct pinion_pool *pool, *victim;
	uint32_t member;
};

static struct scene scene_of(const struct pinion_pool_config *config)
{
	struct scene scene;

	scene.pool = pool_make_from(config);
	scene.victim = pool_join(scene.pool);
	scene.member = pinion_pool_member(scene.victim);
	return scene;
}

static struct scene scene_make(size_t nr)
{
	const struct pinion_pool_config config = pool_config(nr, BUFFER);

	return scene_of(&config);
}

static void scene_end(struct scene *scene)
{
	assert_pool_whole(scene->pool);
	assert_int_equal(pinion_pool_detach(scene->victim), 0);
	assert_int_equal(pinion_pool_destroy(scene->pool), 0);
}

static struct pinion_recovery recover(const struct scene *scene)
{
	struct pinion_recovery report = {77, 77, 77};

	assert_int_equal(pinion_pool_recover(scene->pool, scene->member, NULL, 0, &report), 0);
	return report;
}

static struct pinion_recovery release(const struct scene *scene)
{
	struct pinion_recovery report = {77, 77, 77};

	assert_int_equal(pinion_pool_release(scene->pool, scene->member, &report), 0);
	return report;
}

static void held_buffers_and_magazines_come_back(void **state)
{
	struct scene scene = scene_make(512);
	struct pinion_cache *cache = cache_make(scene.victim, BUFFER);
	struct pinion_buffer buffer[200];
	struct pinion_recovery report;

	(void)state;
	take(cache, buffer, 200);
	give(cache, buffer, 30);
	abandon(cache);
	report = recover(&scene);
	assert_int_equal(report.returned, 170);
	assert_int_equal(report.transit, 0);
	assert_int_equal(report.magazines, 2);
	assert_pool_whole(scene.pool);
	assert_int_equal(release(&scene).returned, 0);
	scene_end(&scene);
}

static void a_second_recovery_finds_nothing_left(void **state)
{
	struct scene scene = scene_make(256);
	struct pinion_cache *cache = cache_make(scene.victim, BUFFER);
	struct pinion_buffer buffer[100];

	(void)state;
	take(cache, buffer, 100);
	abandon(cache);
	assert_int_equal(recover(&scene).returned, 100);
	for (int i = 0; i < 3; i++) {
		const struct pinion_recovery again = recover(&scene);

		assert_int_equal(again.returned, 0);
		assert_int_equal(again.magazines, 0);
	}
	assert_int_equal(release(&scene).returned, 0);
	scene_end(&scene);
}

/* More than fit its own two magazines, and no magazine at all: it only ever received. */
static void a_member_without_a_cache_is_recovered_too(void **state)
{
	struct scene scene = scene_make(512);
	struct pinion_cache *cache = cache_make(scene.victim, BUFFER);
	struct pinion_buffer all[512];

	(void)state;
	take(cache, all, 512);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(recover(&scene).returned, 512);
	release(&scene);
	scene_end(&scene);
}

static void what_is_in_transit_is_left_alone_until_release(void **state)
{
	struct scene scene = scene_make(256);
	struct pinion_cache *cache = cache_make(scene.victim, BUFFER);
	struct pinion_buffer buffer[100], transit[41];
	struct pinion_recovery report;

	(void)state;
	take(cache, buffer, 100);
	abandon(cache);
	for (int i = 0; i < 40; i++)
		transit[i] = buffer[99 - 2 * i];
	transit[40] = pinion_buffer_next(buffer[0]); /* stale: not what is held */
	assert_int_equal(pinion_pool_recover(scene.pool, scene.member, transit, 41, &report), 0);
	assert_int_equal(report.transit, 40);
	assert_int_equal(report.returned, 60);
	assert_int_equal(pinion_pool_held(scene.pool, scene.member), 40);
	for (int i = 0; i < 40; i++)
		assert_int_equal(scene.pool->view.owner[pinion_buffer_id(transit[i])],
				 pinion_owner_word(transit[i], pinion_owner_held(scene.member)));
	assert_pool_sound(scene.pool);
	assert_int_equal(release(&scene).returned, 40);
	scene_end(&scene);
}

static void a_slot_is_free_again_only_after_release(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct scene scene;
	uint32_t member;

	(void)state;
	config.nr_members = 2;
	scene = scene_of(&config);
	recover(&scene);
	assert_int_equal(pinion_pool_admit(scene.pool, 1, &member), -EAGAIN);
	release(&scene);
	assert_int_equal(pinion_pool_admit(scene.pool, 1, &member), 0);
	assert_int_equal(member, scene.member);
	scene_end(&scene);
}

static void who_cannot_be_recovered_is_einval(void **state)
{
	struct scene scene = scene_make(64);
	const uint32_t bad[] = {0, 2, 8, 4096, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pinion_pool_recover(scene.pool, bad[i], NULL, 0, NULL), -EINVAL);
		assert_sentence("cannot be recovered");
		assert_int_equal(pinion_pool_release(scene.pool, bad[i], NULL), -EINVAL);
	}
	release(&scene);
	assert_int_equal(pinion_pool_release(scene.pool, scene.member, NULL), -EINVAL);
	scene_end(&scene);
}

/* The handle that the dead had is worth nothing to whoever kept a copy. */
static void handles_of_the_dead_are_stale(void **state)
{
	struct scene scene = scene_make(64);
	struct pinion_cache *cache = cache_make(scene.victim, BUFFER), *ours;
	struct pinion_buffer old, now[64];

	(void)state;
	take(cache, &old, 1);
	abandon(cache);
	recover(&scene);
	release(&scene);
	ours = cache_make(scene.pool, BUFFER);
	take(ours, now, 64);
	assert_int_equal(pinion_buffer_free(ours, old), -EINVAL);
	for (int i = 0; i < 64; i++)
		assert_int_not_equal(now[i].bits, old.bits);
	give(ours, now, 64);
	assert_int_equal(pinion_cache_close(ours), 0);
	scene_end(&scene);
}

static void zones_do_not_mix(void **state)
{
	struct pinion_pool_config config = pool_config(256, 64);
	struct pinion_cache *small, *large;
	struct pinion_buffer s[150], l[150];
	struct scene scene;

	(void)state;
	config.nr_segments = 3;
	config.segment[1] = pool_config(128, 1024).segment[0];
	config.segment[2] = pool_config(128, 1024).segment[0];
	scene = scene_of(&config);
	small = cache_make(scene.victim, 64);
	large = cache_make(scene.victim, 1024);
	take(small, s, 150);
	take(large, l, 150);
	give(small, s, 10);
	abandon(small);
	abandon(large);
	assert_int_equal(recover(&scene).returned, 290);
	release(&scene);
	scene_end(&scene);
}

static void the_living_keep_what_they_have(void **state)
{
	struct scene scene = scene_make(512);
	struct pinion_pool *other = pool_join(scene.pool);
	struct pinion_cache *theirs = cache_make(other, BUFFER), *ours;
	struct pinion_cache *cache = cache_make(scene.victim, BUFFER);
	struct pinion_buffer a[100], b[100], c[100];

	(void)state;
	ours = cache_make(scene.pool, BUFFER);
	take(cache, a, 100);
	take(theirs, b, 100);
	take(ours, c, 100);
	abandon(cache);
	assert_int_equal(recover(&scene).returned, 100);
	release(&scene);
	assert_int_equal(pinion_pool_held(scene.pool, 0), 100);
	assert_int_equal(pinion_pool_held(scene.pool, pinion_pool_member(other)), 100);
	give(theirs, b, 100);
	give(ours, c, 100);
	assert_int_equal(pinion_cache_close(theirs), 0);
	assert_int_equal(pinion_cache_close(ours), 0);
	assert_int_equal(pinion_pool_detach(other), 0);
	scene_end(&scene);
}

/* What another wrote over a slot is not that its member is dead. */
static void who_is_said_to_be_dead_keeps_what_it_has(void **state)
{
	struct scene scene = scene_make(512);
	struct pinion_pool *other = pool_join(scene.pool);
	struct pinion_cache *theirs = cache_make(other, BUFFER);
	struct pinion_cache *cache = cache_make(scene.victim, BUFFER);
	struct pinion_buffer a[100], b[100];

	(void)state;
	take(cache, a, 100);
	take(theirs, b, 100);
	other->members[other->member].state = MEMBER_DEAD;
	abandon(cache);
	assert_int_equal(recover(&scene).returned, 100);
	assert_int_equal(release(&scene).returned, 0);
	assert_int_equal(pinion_pool_held(scene.pool, other->member), 100);
	give(theirs, b, 100);
	assert_int_equal(pinion_cache_close(theirs), 0);
	assert_int_equal(pinion_pool_detach(other), 0);
	scene_end(&scene);
}

/* Two dead at once; the first recovery sees to both, and each slot is released by itself. */
static void two_dead_members_are_recovered_together(void **state)
{
	struct scene scene = scene_make(512), second;
	struct pinion_cache *a = cache_make(scene.victim, BUFFER), *b;
	struct pinion_buffer x[100], y[100];

	(void)state;
	second = (struct scene){scene.pool, pool_join(scene.pool), 0};
	second.member = pinion_pool_member(second.victim);
	b = cache_make(second.victim, BUFFER);
	take(a, x, 100);
	take(b, y, 100);
	abandon(a);
	abandon(b);
	assert_int_equal(recover(&scene).returned, 100);
	assert_int_equal(recover(&second).returned, 100);
	assert_int_equal(release(&scene).returned + release(&second).returned, 0);
	assert_int_equal(pinion_pool_detach(second.victim), 0);
	scene_end(&scene);
}

/* Threads killed between clearing a hint and taking the magazine: all hints may be gone, while
 * the buffers of the dead need room. */
static void lost_hints_do_not_stop_recovery(void **state)
{
	struct pinion_pool_config config = pool_config(256, BUFFER);
	struct pinion_cache *cache;
	struct pinion_buffer buffer[256];
	struct scene scene;

	(void)state;
	config.nr_caches = 1;
	scene = scene_of(&config);
	cache = cache_make(scene.victim, BUFFER);
	take(cache, buffer, 256);
	assert_int_equal(pinion_cache_close(cache), 0);
	scene.pool->empty[0] = 0;
	scene.pool->depot[0] = 0;
	assert_int_equal(recover(&scene).returned, 256);
	release(&scene);
	scene_end(&scene);
}

/* Somebody wrote over all magazines of one segment. What the dead's caches have of the next must
 * outlive the run that fails. */
static void a_recovery_that_fails_loses_nothing_of_other_segments(void **state)
{
	struct pinion_pool_config config = pool_config(128, 64);
	struct pinion_buffer small[10], large[10];
	struct pinion_cache *cache;
	struct scene scene;
	uint64_t *words;
	size_t len;

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = pool_config(128, 1024).segment[0];
	scene = scene_of(&config);
	cache = cache_make(scene.victim, 64);
	take(cache, small, 10);
	assert_int_equal(pinion_cache_close(cache), 0);
	cache = cache_make(scene.victim, 1024);
	take(cache, large, 10);
	abandon(cache);
	len = scene.pool->layout.stride * sizeof(*words);
	words = malloc(len);
	assert_non_null(words);
	memcpy(words, (const void *)scene.pool->magazine, len);
	memset((void *)scene.pool->magazine, 0, len);
	assert_int_equal(pinion_pool_recover(scene.pool, scene.member, NULL, 0, NULL), -ENOSPC);
	memcpy((void *)scene.pool->magazine, words, len);
	free(words);
	assert_int_equal(recover(&scene).returned, 20);
	release(&scene);
	scene_end(&scene);
}

/* Recovery killed in the middle left a magazine to SERVICE, with words that name it. */
static void a_magazine_that_a_killed_recovery_left_is_finished_by_the_next(void **state)
{
	struct scene scene = scene_make(256);
	const struct depot_range range = depot_range(scene.pool, 0);
	struct pinion_magazine service;
	struct pinion_cache *cache = cache_make(scene.victim, BUFFER);
	struct pinion_buffer buffer[80];

	(void)state;
	take(cache, buffer, 80);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(depot_claim_empty(scene.pool, &range, MAGAZINE_SERVICE, &service), 0);
	for (int i = 0; i < 10; i++)
		scene.pool->view.owner[pinion_buffer_id(buffer[i])] =
			pinion_owner_word(pinion_buffer_next(buffer[i]), service.holder);
	assert_int_equal(recover(&scene).returned, 70);
	release(&scene);
	scene_end(&scene);
}

/* Words, hints, magazines and contents of any value: recovery ends, in bounds. */
static void scribbled_state_does_not_crash_recovery(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct scene scene = scene_make(128);
		struct pinion_pool *pool = scene.pool;

		for (int i = 0; i < 40; i++) {
			const uint64_t value = test_random(&random) >> test_below(&random, 64);

			pool->view.owner[test_below(&random, 128)] = value;
			pool->magazine[test_below(&random, pool->layout.stride)] = value;
			pool_content(pool, test_below(&random, pool->layout.stride))[i] =
				(uint32_t)value;
			pool->empty[test_below(&random, pool->layout.stride / 64)] = value;
			pool->depot[test_below(&random, pool->layout.stride / 64)] = value;
		}
		(void)pinion_pool_recover(pool, scene.member, NULL, 0, NULL);
		(void)pinion_pool_release(pool, scene.member, NULL);
		assert_int_equal(pinion_pool_detach(scene.victim), 0);
		assert_int_equal(pinion_pool_destroy(pool), 0);
	}
}

/* A depot that lies about its contents must not make a cache hand out what is no buffer. */
static void scribbled_contents_never_become_a_buffer_outside_the_pool(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_buffer buffer;
	uint32_t nr = 0;

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = pool_config(112, BUFFER).segment[0];
	pool = pool_make_from(&config); /* ids 64 to 127 lie between segments */
	for (uint32_t i = 0; i < 64; i++) {
		pool_content(pool, 0)[i] = 64 + i;
		pool->view.owner[64 + i] = pinion_owner_word(pinion_buffer_make(64 + i, 1),
							     pinion_owner_magazine(0));
	}
	cache = cache_make(pool, BUFFER);
	for (; pinion_buffer_alloc(cache, &buffer) == 0; nr++) {
		const uint32_t id = pinion_buffer_id(buffer);

		assert_true(id < 64 || (id >= 128 && id < 240));
	}
	assert_int_equal(nr, 112);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The words decide: an id in the depot whose word says HELD is not free, listed or not. */
static void contents_that_disagree_with_the_words_are_not_believed(void **state)
{
	struct scene scene = scene_make(128);
	struct pinion_cache *ours = cache_make(scene.pool, BUFFER);
	struct pinion_cache *theirs = cache_make(scene.victim, BUFFER);
	struct pinion_buffer held[64], buffer;
	uint32_t nr = 0;

	(void)state;
	take(ours, held, 64); /* all of the first magazine */
	for (uint32_t m = 0; m < scene.pool->layout.stride; m++)
		if (pinion_owner_holder(scene.pool->magazine[m]) == MAGAZINE_DEPOT)
			for (int i = 0; i < 32; i++)
				pool_content(scene.pool, m)[i] = pinion_buffer_id(held[i]);
	for (; pinion_buffer_alloc(theirs, &buffer) == 0; nr++)
		for (int i = 0; i < 64; i++)
			assert_int_not_equal(pinion_buffer_id(buffer), pinion_buffer_id(held[i]));
	assert_int_equal(nr, 32);
	give(ours, held, 64);
	assert_int_equal(pinion_cache_close(ours), 0);
	assert_int_equal(pinion_cache_close(theirs), 0);
	assert_int_equal(pinion_pool_detach(scene.victim), 0);
	assert_int_equal(pinion_pool_destroy(scene.pool), 0);
}

/*
 * Real deaths. The child attaches by itself, from the files that it inherited, and works until
 * SIGKILL; the parent recovers and audits the whole control area.
 */
#define KILLS 600
#define HOLD 200

struct shared {
	_Atomic int working;
};

struct child {
	const struct pinion_pool *pool;
	struct shared *shared;
	uint32_t member;
	uint64_t random;
};

static void work_step(uint64_t *random, struct pinion_cache *cache, struct pinion_buffer *held,
		      uint32_t *nr, uint32_t *most)
{
	if (test_below(random, 300) == 0)
		*most = test_below(random, HOLD);
	if (*nr < *most) {
		if (pinion_buffer_alloc(cache, &held[*nr]) == 0)
			++*nr;
		else
			*most = *nr;
	} else if (*nr) {
		if (pinion_buffer_free(cache, held[--*nr]))
			_exit(3);
	}
}

static void child_work(const struct child *child)
{
	struct pinion_pool_fds fds;
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_buffer held[HOLD];
	uint64_t random = child->random;
	uint32_t nr = 0, most = HOLD;

	pinion_pool_export(child->pool, &fds);
	if (pinion_pool_attach(&fds, child->member, &pool))
		_exit(1);
	child->shared->working = 1;
	for (;;) {
		/* Opened and closed too, so that death meets those as well. */
		if (pinion_cache_open(pool, &ANY, &cache))
			_exit(2);
		for (uint32_t i = test_below(&random, 1500); i; i--)
			work_step(&random, cache, held, &nr, &most);
		pinion_cache_close(cache);
	}
}

/* By our own count of the words. */
static uint32_t words_of(const struct pinion_pool *pool, uint32_t member)
{
	uint32_t nr = 0;

	for (uint32_t id = 0; id < pool->view.nr_ids; id++)
		nr += pinion_owner_holder(pool->view.owner[id]) == pinion_owner_held(member);
	return nr;
}

static void kill_one(struct pinion_pool *pool, struct shared *shared, uint64_t *random)
{
	struct child child = {pool, shared, 0, test_random(random) | 1};
	const struct timespec pause = {0, test_below(random, 400000)};
	struct pinion_recovery report = {0, 0, 0}, rest;
	uint32_t held;
	int status;
	pid_t pid;

	shared->working = 0;
	assert_int_equal(pinion_pool_admit(pool, 0, &child.member), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child_work(&child);
	while (!shared->working && waitpid(pid, &status, WNOHANG) == 0)
		sched_yield();
	nanosleep(&pause, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	held = words_of(pool, child.member);
	/* Half of them in two steps, half in one. */
	if (test_below(random, 2))
		assert_int_equal(pinion_pool_recover(pool, child.member, NULL, 0, &report), 0);
	assert_int_equal(pinion_pool_release(pool, child.member, &rest), 0);
	assert_int_equal(report.returned + rest.returned, held);
	assert_int_equal(report.transit + rest.transit, 0);
}

static void a_member_killed_anywhere_loses_nothing(void **state)
{
	struct shared *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pinion_pool_config config = pool_config(256, BUFFER);
	uint64_t random = test_seed();
	struct pinion_pool *pool;

	(void)state;
	config.nr_caches = 2;
	pool = pool_make_from(&config);
	for (int i = 0; i < KILLS; i++) {
		kill_one(pool, shared, &random);
		assert_pool_whole(pool);
	}
	munmap(shared, 4096);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* In the child of a fork, whose parent keeps nothing meanwhile: the same keeper. */
static int recover_as_the_keeper(const struct scene *scene)
{
	scene->pool->forked = false;
	return pinion_pool_recover(scene->pool, scene->member, NULL, 0, NULL);
}

/* The recovering process itself is killed, again and again; a later run finishes the work. The
 * keeper here is a child that shares member 0's mapping through the fork. */
static void recovery_killed_anywhere_is_finished_by_the_next(void **state)
{
	uint64_t random = test_seed();
	struct scene scene = scene_make(1024);
	int killed = 0;

	(void)state;
	for (int i = 0; i < 400; i++) {
		struct pinion_cache *cache = cache_make(scene.victim, BUFFER);
		const struct timespec pause = {0, test_below(&random, 300000)};
		struct pinion_buffer buffer[300];
		int status;
		pid_t pid;

		take(cache, buffer, 300);
		abandon(cache);
		pid = fork();
		if (pid == 0)
			_exit(recover_as_the_keeper(&scene) != 0);
		nanosleep(&pause, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		killed += WIFSIGNALED(status);
		recover(&scene);
		assert_pool_whole(scene.pool);
	}
	assert_true(killed > 0);
	release(&scene);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(held_buffers_and_magazines_come_back),
		pool_test(a_second_recovery_finds_nothing_left),
		pool_test(a_member_without_a_cache_is_recovered_too),
		pool_test(what_is_in_transit_is_left_alone_until_release),
		pool_test(a_slot_is_free_again_only_after_release),
		pool_test(who_cannot_be_recovered_is_einval),
		pool_test(handles_of_the_dead_are_stale),
		pool_test(zones_do_not_mix),
		pool_test(the_living_keep_what_they_have),
		pool_test(who_is_said_to_be_dead_keeps_what_it_has),
		pool_test(two_dead_members_are_recovered_together),
		pool_test(lost_hints_do_not_stop_recovery),
		pool_test(a_recovery_that_fails_loses_nothing_of_other_segments),
		pool_test(a_magazine_that_a_killed_recovery_left_is_finished_by_the_next),
		pool_test(scribbled_state_does_not_crash_recovery),
		pool_test(scribbled_contents_never_become_a_buffer_outside_the_pool),
		pool_test(contents_that_disagree_with_the_words_are_not_believed),
		pool_test(a_member_killed_anywhere_loses_nothing),
		pool_test(recovery_killed_anywhere_is_finished_by_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
