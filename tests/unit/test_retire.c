/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments taken out of a pool in use: when, what stays possible meanwhile, and what is left. */

#include <pthread.h>

#include "pool_support.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

/* A keeper and a member with a cache each, over two segments of 64 buffers and @slots slots. */
struct scene {
	struct pinion_pool *pool, *peer;
	struct pinion_cache *ours, *theirs;
};

static struct scene scene_with(struct pinion_pool_config config, uint32_t slots)
{
	struct scene scene;

	config.nr_segments = 2;
	config.segment[1] = config.segment[0];
	config.max_segments = slots;
	scene.pool = pool_make_from(&config);
	scene.peer = pool_join(scene.pool);
	scene.ours = cache_make(scene.pool, BUFFER);
	scene.theirs = cache_make(scene.peer, BUFFER);
	return scene;
}

static struct scene scene_make(uint32_t slots)
{
	return scene_with(pool_config(64, BUFFER), slots);
}

static void scene_end(struct scene *scene)
{
	if (scene->ours != NULL)
		assert_int_equal(pinion_cache_close(scene->ours), 0);
	if (scene->theirs != NULL)
		assert_int_equal(pinion_cache_close(scene->theirs), 0);
	assert_pool_whole(scene->pool);
	if (scene->peer != NULL)
		assert_int_equal(pinion_pool_detach(scene->peer), 0);
	assert_int_equal(pinion_pool_destroy(scene->pool), 0);
}

static void retire_now(struct pinion_pool *pool, uint32_t slot)
{
	const int err = pinion_pool_retire(pool, slot);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
}

static void assert_busy(struct pinion_pool *pool, uint32_t slot, const char *part)
{
	errno = 4711;
	assert_int_equal(pinion_pool_retire(pool, slot), -EBUSY);
	assert_int_equal(errno, 4711);
	assert_sentence(part);
}

static void an_idle_segment_goes_at_once(void **state)
{
	struct scene scene = scene_make(4);
	struct pinion_segment_stat stat;
	struct pinion_buffer all[129];

	(void)state;
	retire_now(scene.pool, 1);
	assert_int_equal(pool_total(scene.pool), 64);
	assert_int_equal(pinion_pool_segment(scene.pool, 1, &stat), -ENOENT);
	assert_sentence("no segment 1");
	assert_int_equal(take_all(scene.ours, all, 129), 64);
	give(scene.ours, all, 64);
	assert_int_equal(take_all(scene.theirs, all, 1), 0); /* all in our cache */
	assert_int_equal(pinion_cache_flush(scene.ours), 0);
	assert_int_equal(take_all(scene.theirs, all, 129), 64);
	give(scene.theirs, all, 64);
	scene_end(&scene);
}

static void what_cannot_be_retired_is_refused(void **state)
{
	const uint32_t none[] = {2, 3, 4, 64, UINT32_MAX};
	struct scene scene = scene_make(4);

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_int_equal(pinion_pool_retire(scene.pool, none[i]), -EINVAL);
		assert_sentence("no segment");
	}
	assert_int_equal(pinion_pool_retire(scene.peer, 1), -EPERM);
	retire_now(scene.pool, 1);
	assert_int_equal(pinion_pool_retire(scene.pool, 1), -EINVAL);
	scene_end(&scene);
}

/* Takes of both segments until it has some of each; gives back those of slot 0. */
static uint32_t take_of_slot_1(const struct pinion_pool *pool, struct pinion_cache *cache,
			       struct pinion_buffer *held)
{
	struct pinion_buffer all[128];
	const uint32_t nr = take_all(cache, all, 128);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < nr; i++) {
		if (slot_of(pool, all[i]) == 1)
			held[kept++] = all[i];
		else
			give(cache, &all[i], 1);
	}
	return kept;
}

static void a_busy_segment_says_what_it_waits_for(void **state)
{
	struct scene scene = scene_make(4);
	struct pinion_segment_stat stat;
	struct pinion_buffer held[64];

	(void)state;
	assert_int_equal(take_of_slot_1(scene.peer, scene.theirs, held), 64);
	assert_busy(scene.pool, 1, "64 of its 64 buffers are held, 0 lie in caches");
	give(scene.theirs, held, 61);
	assert_busy(scene.pool, 1, "3 of its 64 buffers are held");
	assert_int_equal(pinion_pool_segment(scene.peer, 1, &stat), 0);
	assert_int_equal(stat.retiring, 1);
	assert_int_equal(stat.free, 61);
	assert_int_equal(pinion_pool_segment(scene.peer, 0, &stat), 0);
	assert_int_equal(stat.retiring, 0);
	give(scene.theirs, held + 61, 3);
	assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	retire_now(scene.pool, 1);
	scene_end(&scene);
}

static void what_lies_in_a_cache_is_given_up_by_flush_or_the_next_exchange(void **state)
{
	struct pinion_buffer all[128];

	(void)state;
	for (int flush = 0; flush < 2; flush++) {
		struct scene scene = scene_make(4);
		const uint32_t nr = take_of_slot_1(scene.peer, scene.theirs, all);

		give(scene.theirs, all, nr); /* into the cache, which has not noticed anything */
		assert_busy(scene.pool, 1, "0 of its 64 buffers are held, 64 lie in caches");
		if (flush) {
			assert_int_equal(pinion_cache_flush(scene.theirs), 0);
		} else {
			/* It runs dry or full at last. */
			const uint32_t got = take_all(scene.theirs, all, 128);

			assert_true(got >= 64);
			give(scene.theirs, all, got);
			(void)pinion_buffer_alloc(scene.theirs, all);
			give(scene.theirs, all, 1);
		}
		retire_now(scene.pool, 1);
		scene_end(&scene);
	}
}

static void nothing_is_allocated_from_a_retiring_segment_and_frees_go_on(void **state)
{
	struct scene scene = scene_make(4);
	struct pinion_buffer held[64], all[129];

	(void)state;
	assert_int_equal(take_of_slot_1(scene.peer, scene.theirs, held), 64);
	give(scene.theirs, held, 20);
	assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	assert_busy(scene.pool, 1, "44 of its 64 buffers are held, 0 lie in caches");
	for (int i = 0; i < 2; i++) {
		struct pinion_cache *cache = i ? scene.ours : scene.theirs;
		const uint32_t nr = take_all(cache, all, 129);

		assert_int_equal(nr, 64);
		for (uint32_t k = 0; k < nr; k++)
			assert_int_equal(slot_of(scene.pool, all[k]), 0);
		give(cache, all, nr);
		assert_int_equal(pinion_cache_flush(cache), 0);
	}
	for (int i = 20; i < 64; i++) {
		char part[64];

		snprintf(part, sizeof(part), "%d of its 64 buffers are held, 0 lie", 64 - i);
		assert_busy(scene.pool, 1, part);
		assert_pool_sound(scene.pool);
		give(scene.theirs, &held[i], 1);
		/* Freed once, as ever. */
		assert_int_equal(pinion_buffer_free(scene.theirs, held[i]), -EINVAL);
	}
	retire_now(scene.pool, 1);
	scene_end(&scene);
}

/* The keeper asks after each single free; the member has the fewest magazines there can be. */
static void a_free_into_a_retiring_segment_never_lacks_a_place(void **state)
{
	struct pinion_pool_config config = pool_config(1024, BUFFER);
	struct pinion_buffer held[1024];
	struct pinion_cache *cache;
	struct pinion_pool *pool;

	(void)state;
	config.nr_caches = 1;
	config.nr_segments = 2;
	config.segment[1] = pool_config(16, 4096).segment[0];
	pool = pool_make_from(&config);
	cache = cache_make(pool, BUFFER);
	take(cache, held, 1024);
	for (int i = 0; i < 1024; i++) {
		assert_int_equal(pinion_pool_retire(pool, 0), -EBUSY);
		assert_int_equal(pinion_buffer_free(cache, held[i]), 0);
	}
	assert_pool_sound(pool);
	retire_now(pool, 0);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Who had not looked took a magazine at the last moment: what was seized goes back as it was. */
static void what_was_seized_in_vain_goes_back_as_it_was(void **state)
{
	struct scene scene = scene_make(4);
	const struct depot_range range = depot_range(scene.pool, 0);
	struct pinion_buffer all[128];

	(void)state;
	take(scene.theirs, all, 128);
	for (int i = 0; i < 128; i += 3) {
		give(scene.theirs, &all[i], 1); /* 43 of 128, scattered over magazines */
		assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	}
	depot_seize(scene.pool, &range);
	assert_non_null(pool_problem(scene.pool));
	for (uint32_t m = range.first; m < range.first + range.nr; m++)
		assert_int_not_equal(pinion_owner_holder(scene.pool->magazine[m]), MAGAZINE_DEPOT);
	depot_restore(scene.pool, &range);
	assert_pool_sound(scene.pool);
	assert_int_equal(pool_free(scene.pool), 43);
	for (int i = 0; i < 128; i += 3)
		take(scene.ours, &all[i], 1);
	give(scene.ours, &all[0], 1);
	assert_int_equal(pinion_pool_held(scene.pool, 0), 42);
	abandon(scene.ours);
	abandon(scene.theirs);
	scene.ours = scene.theirs = NULL;
	assert_int_equal(pinion_pool_detach(scene.peer), 0);
	assert_int_equal(pinion_pool_release(scene.pool, 1, NULL), 0);
	assert_pool_sound(scene.pool);
	assert_int_equal(pool_free(scene.pool), 128 - 42);
	assert_int_equal(pinion_pool_destroy(scene.pool), 0);
}

/* The member keeps it mapped and does not look: the memory goes all the same. */
static void the_memory_goes_though_others_have_it_mapped(void **state)
{
	struct scene scene = scene_make(4);
	struct pinion_pool_fds fds;
	int fd;

	(void)state;
	pinion_pool_export(scene.pool, &fds);
	fd = fcntl(fds.segment[1], F_DUPFD_CLOEXEC, 3);
	assert_true(blocks_of(fd) > 0);
	retire_now(scene.pool, 1);
	assert_int_equal(blocks_of(fd), 0);
	assert_non_null(scene.peer->memory[1].addr);
	close(fd);
	pinion_pool_export(scene.pool, &fds);
	assert_int_equal(fds.segment[1], -1);
	scene_end(&scene);
}

static void hugepages_are_given_back_too(void **state)
{
	const struct pinion_segment_config huge = {2 * HUGE_PAGE, 65536, HUGE_PAGE, 0};
	struct pinion_pool_fds fds;
	struct scene scene;
	uint32_t slot = 0;
	int fd;

	(void)state;
	scene = scene_make(4);
	assert_int_equal(pinion_pool_grow(scene.pool, &huge, &slot), 0);
	assert_int_equal(pass(scene.pool, scene.peer, slot), 0);
	memset(scene.peer->memory[slot].addr, 1, 2 * HUGE_PAGE);
	pinion_pool_export(scene.pool, &fds);
	fd = fcntl(fds.segment[slot], F_DUPFD_CLOEXEC, 3);
	assert_int_equal(blocks_of(fd), 2 * HUGE_PAGE / 512);
	retire_now(scene.pool, slot);
	assert_int_equal(blocks_of(fd), 0);
	close(fd);
	scene_end(&scene);
}

/* All slots in use but one that is gone: it is used again when nobody can mistake it any more. */
static void a_slot_is_used_again_only_after_every_member_looked(void **state)
{
	const struct pinion_segment_config one = segment_of(64, BUFFER);
	struct scene scene = scene_make(2);
	uint32_t slot = 77;

	(void)state;
	retire_now(scene.pool, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pinion_pool_grow(scene.pool, &one, &slot), -ENOSPC);
		assert_sentence("until a moment ago");
		assert_int_equal(slot, 77);
	}
	assert_int_equal(pinion_cache_flush(scene.theirs), 0); /* a look */
	assert_null(scene.peer->memory[1].addr);
	assert_int_equal(pinion_pool_grow(scene.pool, &one, &slot), 0);
	assert_int_equal(slot, 1);
	assert_pool_whole(scene.pool);
	scene_end(&scene);
}

/* One thread of a member looked, for all; another has still a rack there, with numbers of
 * magazines that a new segment would have too. */
static void a_slot_is_not_used_again_while_a_cache_has_magazines_of_it(void **state)
{
	const struct pinion_segment_config one = segment_of(64, BUFFER);
	struct scene scene = scene_make(2);
	struct pinion_cache *second = cache_make(scene.peer, BUFFER);
	struct pinion_buffer all[128];
	uint32_t slot = 77;

	(void)state;
	/* Both have a rack in slot 1, and nothing in it. */
	take(scene.theirs, all, 128);
	assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	give(second, all, 128);
	take(second, all, 128);
	for (int i = 0; i < 128; i++)
		give(slot_of(scene.peer, all[i]) ? scene.theirs : second, &all[i], 1);
	assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	retire_now(scene.pool, 1);
	assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	assert_null(scene.peer->memory[1].addr);
	assert_int_equal(pinion_pool_grow(scene.pool, &one, &slot), -ENOSPC);
	assert_int_equal(pinion_cache_flush(second), 0);
	assert_int_equal(pinion_pool_grow(scene.pool, &one, &slot), 0);
	assert_int_equal(pinion_cache_close(second), 0);
	scene_end(&scene);
}

/* Also one that attached late, or only was admitted, does not keep it from being used. */
static void who_came_after_it_went_need_not_look(void **state)
{
	struct scene scene = scene_make(2);
	struct pinion_pool *late;
	uint32_t member;

	(void)state;
	retire_now(scene.pool, 1);
	late = pool_join(scene.pool);
	assert_int_equal(pinion_pool_admit(scene.pool, 1, &member), 0);
	assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	assert_int_equal(grow(scene.pool, 64, BUFFER), 1);
	assert_int_equal(pass(scene.pool, late, 1), 0);
	assert_int_equal(pinion_pool_detach(late), 0);
	scene_end(&scene);
}

static void generations_go_on_when_a_slot_is_used_again(void **state)
{
	struct scene scene = scene_make(2);
	struct pinion_buffer old[64], now[128];

	(void)state;
	assert_int_equal(take_of_slot_1(scene.pool, scene.ours, old), 64);
	give(scene.ours, old, 64);
	assert_int_equal(pinion_cache_flush(scene.ours), 0);
	retire_now(scene.pool, 1);
	for (int i = 0; i < 64; i++)
		assert_int_equal(pinion_buffer_free(scene.ours, old[i]), -EINVAL);
	assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	assert_int_equal(grow(scene.pool, 64, BUFFER), 1);
	take(scene.ours, now, 128); /* ids are the same, held by the same member */
	for (int i = 0; i < 64; i++) {
		assert_int_equal(pinion_buffer_free(scene.ours, old[i]), -EINVAL);
		for (int k = 0; k < 128; k++)
			assert_int_not_equal(old[i].bits, now[k].bits);
	}
	give(scene.ours, now, 128);
	scene_end(&scene);
}

/* Another shape in the same slot: smaller and larger segments, other sizes of buffers. */
static void a_slot_takes_any_shape_after_another(void **state)
{
	const size_t shapes[][2] = {{16, BUFFER}, {64, BUFFER}, {8, 4096}, {64, 64},
				    {4, 16384}, {48, BUFFER}, {64, 1024}};
	struct scene scene = scene_make(2);
	struct pinion_buffer all[65];

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(shapes) / sizeof(shapes[0]); i++) {
		const size_t *shape = shapes[i % (sizeof(shapes) / sizeof(shapes[0]))];
		struct pinion_segment_stat stat;
		struct pinion_cache *cache;
		uint32_t nr = 0, of_slot = 0;

		retire_now(scene.pool, 1);
		assert_int_equal(pinion_cache_flush(scene.theirs), 0);
		assert_int_equal(grow(scene.pool, shape[0], shape[1]), 1);
		assert_int_equal(pass(scene.pool, scene.peer, 1), 0);
		assert_pool_whole(scene.pool);
		assert_int_equal(pinion_pool_segment(scene.peer, 1, &stat), 0);
		assert_int_equal(stat.nr, shape[0]);
		assert_int_equal(stat.buffer_size, shape[1]);
		cache = cache_make(scene.peer, shape[1]);
		for (; nr < 65 && pinion_buffer_alloc(cache, &all[nr]) == 0; nr++) {
			memset(pinion_buffer_addr(scene.peer, all[nr]), 1, cache->buffer_size);
			of_slot += slot_of(scene.peer, all[nr]) == 1;
		}
		assert_true(of_slot > 0 && of_slot <= shape[0]);
		give(cache, all, nr);
		assert_int_equal(pinion_cache_close(cache), 0);
	}
	scene_end(&scene);
}

/* A member that died with racks in a segment that is going, or gone. */
static void the_dead_do_not_keep_a_segment_from_going(void **state)
{
	struct pinion_recovery report = {0, 0, 0};
	struct scene scene = scene_make(2);
	struct pinion_buffer held[64];

	(void)state;
	assert_int_equal(take_of_slot_1(scene.peer, scene.theirs, held), 64);
	give(scene.theirs, held, 30);
	assert_busy(scene.pool, 1, "34 of its 64 buffers are held, 30 lie in caches");
	abandon(scene.theirs);
	scene.theirs = NULL;
	assert_int_equal(pinion_pool_recover(scene.pool, pinion_pool_member(scene.peer), NULL, 0,
					     &report), 0);
	assert_int_equal(report.returned, 34);
	assert_pool_whole(scene.pool);
	/* Recovered buffers are in no depot that one could still allocate from. */
	assert_int_equal(take_of_slot_1(scene.pool, scene.ours, held), 0);
	retire_now(scene.pool, 1);
	assert_int_equal(pinion_pool_release(scene.pool, pinion_pool_member(scene.peer), NULL), 0);
	assert_int_equal(grow(scene.pool, 64, BUFFER), 1);
	scene_end(&scene);
}

static void the_dead_do_not_keep_a_slot_from_being_used_again(void **state)
{
	const struct pinion_segment_config one = segment_of(64, BUFFER);
	struct scene scene = scene_make(2);
	struct pinion_buffer held[64];
	uint32_t slot = 0;

	(void)state;
	/* Its rack in slot 1 is there, and empty: the buffers were freed by somebody else. */
	assert_int_equal(take_of_slot_1(scene.peer, scene.theirs, held), 64);
	for (int i = 0; i < 64; i++)
		scene.pool->view.owner[pinion_buffer_id(held[i])] =
			pinion_owner_word(held[i], pinion_owner_held(0));
	give(scene.ours, held, 64);
	assert_int_equal(pinion_cache_flush(scene.ours), 0);
	retire_now(scene.pool, 1);
	abandon(scene.theirs);
	scene.theirs = NULL;
	assert_int_equal(pinion_pool_grow(scene.pool, &one, &slot), -ENOSPC);
	assert_int_equal(pinion_pool_recover(scene.pool, pinion_pool_member(scene.peer), NULL, 0,
					     NULL), 0);
	assert_int_equal(pinion_pool_grow(scene.pool, &one, &slot), 0);
	assert_int_equal(pinion_pool_release(scene.pool, pinion_pool_member(scene.peer), NULL), 0);
	scene_end(&scene);
}

/* The process ends with the descriptors and mappings it began with: pool_test() looks. */
static void a_thousand_segments_come_and_go_and_leave_nothing(void **state)
{
	struct scene scene = scene_make(3);
	struct pinion_buffer all[192];
	long blocks = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		const uint32_t slot = grow(scene.pool, 64, BUFFER);
		uint32_t nr;

		assert_true(slot == 1 || slot == 2);
		assert_int_equal(pass(scene.pool, scene.peer, slot), 0);
		nr = take_all(scene.theirs, all, 192);
		assert_in_range(nr, 128, 192);
		give(scene.ours, all, 0);
		give(scene.theirs, all, nr);
		assert_int_equal(pinion_cache_flush(scene.theirs), 0);
		retire_now(scene.pool, i % 2 ? slot : 3 - slot);
		assert_int_equal(pinion_cache_flush(scene.theirs), 0);
		if (i == 10)
			blocks = blocks_of(scene.pool->control.fd);
	}
	assert_int_equal(blocks_of(scene.pool->control.fd), blocks);
	scene_end(&scene);
}

/* Threads that alloc and free while one segment after the other is exchanged for a new one. */
#define THREADS 3

struct worker {
	struct pinion_pool *pool;
	_Atomic int *stop, *wrong;
	_Atomic unsigned *uses;
	uint64_t random;
};

static void *work(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct worker *worker = arg;
	struct pinion_buffer held[96];
	struct pinion_cache *cache;
	uint32_t nr = 0;

	if (pinion_cache_open(worker->pool, &any, &cache)) {
		++*worker->wrong;
		return NULL;
	}
	for (int i = 0; !*worker->stop; i++) {
		if (nr < 96 && test_below(&worker->random, 2)) {
			const int err = pinion_buffer_alloc(cache, &held[nr]);

			if (err && err != -ENOMEM)
				++*worker->wrong;
			if (!err)
				*(char *)pinion_buffer_addr(worker->pool, held[nr++]) = 1;
			atomic_fetch_add_explicit(worker->uses, 1, memory_order_release);
		} else if (nr && pinion_buffer_free(cache, held[--nr])) {
			++*worker->wrong;
		}
		if (i % 1000 == 0 && pinion_cache_flush(cache))
			++*worker->wrong;
	}
	while (nr)
		*worker->wrong += pinion_buffer_free(cache, held[--nr]) != 0;
	pinion_cache_close(cache);
	return NULL;
}

/* One that all of the threads may use at any time goes within a bounded time. @uses: that a buffer
 * comes back after its last use the keeper sees in its own mapping, of which ThreadSanitizer knows
 * nothing. */
static void exchange(struct scene *scene, uint32_t slot, const _Atomic unsigned *uses)
{
	const struct pinion_segment_config one = segment_of(64, BUFFER);
	const uint64_t until = test_now_ns() + UINT64_C(20000000000);
	uint32_t new;
	int err;

	while ((err = pinion_pool_retire(scene->pool, slot)) == -EBUSY && test_now_ns() < until)
		usleep(100);
	assert_int_equal(err, 0);
	while ((err = pinion_pool_grow(scene->pool, &one, &new)) == -ENOSPC &&
	       test_now_ns() < until)
		usleep(100);
	assert_int_equal(err, 0);
	(void)atomic_load_explicit(uses, memory_order_acquire);
	assert_int_equal(pass(scene->pool, scene->peer, new), 0);
}

static void segments_go_while_threads_alloc_and_free(void **state)
{
	struct scene scene = scene_make(3);
	struct worker worker[THREADS];
	_Atomic int stop = 0, wrong = 0;
	_Atomic unsigned uses = 0;
	const uint64_t seed = test_seed();
	pthread_t id[THREADS];

	(void)state;
	assert_int_equal(pinion_cache_close(scene.theirs), 0);
	scene.theirs = NULL; /* it would be asked to look */
	grow(scene.pool, 64, BUFFER);
	assert_int_equal(pass(scene.pool, scene.peer, 2), 0);
	for (int i = 0; i < THREADS; i++) {
		const bool keeps = i == 1 && !test_needs_one_mapping();

		worker[i] = (struct worker){keeps ? scene.pool : scene.peer, &stop, &wrong,
					    &uses, (seed + (uint64_t)i * 2) | 1};
		assert_int_equal(pthread_create(&id[i], NULL, work, &worker[i]), 0);
	}
	for (uint32_t i = 0; i < 60; i++)
		exchange(&scene, i % 3, &uses);
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(id[i], NULL), 0);
	assert_int_equal(wrong, 0);
	scene_end(&scene);
}

/* Also the sum over a zone says so, and a kind that is wholly gone has a total of 0. */
static void the_sums_follow(void **state)
{
	struct scene scene = scene_make(4);
	struct pinion_zone_stat stat;

	(void)state;
	assert_int_equal(grow(scene.pool, 8, 4096), 2);
	assert_int_equal(grow(scene.pool, 16, 1024), 3);
	assert_int_equal(pinion_pool_zones(scene.pool), 3);
	retire_now(scene.pool, 0);
	assert_int_equal(pinion_pool_stat(scene.pool, 0, &stat), 0);
	assert_int_equal(stat.total, 64);
	retire_now(scene.pool, 2);
	assert_int_equal(pinion_pool_stat(scene.pool, 1, &stat), 0);
	assert_int_equal(stat.total, 0);
	assert_int_equal(pinion_pool_stat(scene.pool, 2, &stat), 0);
	assert_int_equal(stat.total, 16);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(an_idle_segment_goes_at_once),
		pool_test(what_cannot_be_retired_is_refused),
		pool_test(a_busy_segment_says_what_it_waits_for),
		pool_test(what_lies_in_a_cache_is_given_up_by_flush_or_the_next_exchange),
		pool_test(nothing_is_allocated_from_a_retiring_segment_and_frees_go_on),
		pool_test(a_free_into_a_retiring_segment_never_lacks_a_place),
		pool_test(what_was_seized_in_vain_goes_back_as_it_was),
		pool_test(the_memory_goes_though_others_have_it_mapped),
		support_where(support_read_long(HUGE_FREE) >= 2,
			      "fewer than 2 hugepages of 2 MiB are free", pool_test,
			      hugepages_are_given_back_too),
		pool_test(a_slot_is_used_again_only_after_every_member_looked),
		pool_test(a_slot_is_not_used_again_while_a_cache_has_magazines_of_it),
		pool_test(who_came_after_it_went_need_not_look),
		pool_test(generations_go_on_when_a_slot_is_used_again),
		pool_test(a_slot_takes_any_shape_after_another),
		pool_test(the_dead_do_not_keep_a_segment_from_going),
		pool_test(the_dead_do_not_keep_a_slot_from_being_used_again),
		pool_test(a_thousand_segments_come_and_go_and_leave_nothing),
		pool_test(segments_go_while_threads_alloc_and_free),
		pool_test(the_sums_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
