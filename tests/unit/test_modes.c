/* SPDX-License-Identifier: BSD-3-Clause */
/* What a pool is asked to do on top: quota, scrubbing, debugging. */

#include <sys/resource.h>

#include "channel_support.h"

/* Quota. */

#define MAGAZINE 64 /* buffers, by default */

/* A pool of 1024, a member with a quota of @buffers of its buffers, and a cache of it. */
struct limited {
	struct pinion_pool *pool, *peer;
	struct pinion_cache *cache;
};

static struct limited limited_make(uint32_t buffers)
{
	struct limited limited;

	limited.pool = pool_make(1024);
	limited.peer = pool_join(limited.pool);
	limited.cache = cache_make(limited.peer, BUFFER);
	assert_int_equal(pinion_pool_quota(limited.pool, 1, buffers * BUFFER), 0);
	return limited;
}

static void limited_end(struct limited *limited)
{
	assert_int_equal(pinion_cache_close(limited->cache), 0);
	assert_pool_whole(limited->pool);
	assert_int_equal(pinion_pool_detach(limited->peer), 0);
	assert_int_equal(pinion_pool_destroy(limited->pool), 0);
}

static void who_has_its_quota_gets_edquot_and_overshoots_by_one_magazine_at_most(void **state)
{
	const uint32_t quotas[] = {1, 63, 64, 65, 100, 500};

	(void)state;
	for (size_t i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++) {
		struct limited limited = limited_make(quotas[i]);
		struct pinion_buffer all[1024];
		const uint32_t nr = take_all(limited.cache, all, 1024);

		assert_in_range(nr, quotas[i], quotas[i] + MAGAZINE - 1);
		for (int k = 0; k < 3; k++)
			assert_int_equal(pinion_buffer_alloc(limited.cache, &all[nr]), -EDQUOT);
		assert_int_equal(pinion_buffer_alloc_bulk(limited.cache, &all[nr], 2), -EDQUOT);
		give(limited.cache, all, nr);
		limited_end(&limited);
	}
}

/* Each refusal of quota_allows() is a look at all buffers of the pool. */

static int counts;

bool __real_quota_allows(struct pinion_pool *pool);
bool __wrap_quota_allows(struct pinion_pool *pool);

bool __wrap_quota_allows(struct pinion_pool *pool)
{
	counts++;
	return __real_quota_allows(pool);
}

/* Of eight segments in two classes, of each of which the cache has an empty magazine. */
static void a_refusal_is_counted_once_for_all_segments(void **state)
{
	const struct pinion_cache_config wish = {.buffer_size = BUFFER, .node = PINION_NODE_ANY,
						 .flags = PINION_CACHE_PREFERRED};
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool, *peer;
	struct pinion_cache *cache = NULL;
	struct pinion_buffer all[1024];
	uint32_t nr;

	(void)state;
	config.nr_segments = 8;
	for (int i = 1; i < 8; i++)
		config.segment[i] = i < 4 ? config.segment[0] : segment_of(64, 2 * BUFFER);
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	assert_int_equal(pinion_cache_open(peer, &wish, &cache), 0);
	nr = take_all(cache, all, 1024);
	assert_int_equal(nr, 8 * 64);
	assert_int_equal(pinion_pool_quota(pool, 1, BUFFER), 0);
	counts = 0;
	for (int i = 1; i < 4; i++) {
		assert_int_equal(pinion_buffer_alloc(cache, &all[nr]), -EDQUOT);
		assert_int_equal(counts, i);
	}
	assert_int_equal(pinion_buffer_alloc_bulk(cache, &all[nr], 2), -EDQUOT);
	assert_int_equal(counts, 4);
	/* What lies in a magazine of the last segment it has already, though others come first. */
	give(cache, &all[0], 1);
	take(cache, &all[0], 1);
	give(cache, &all[nr - 1], 1);
	take(cache, &all[nr - 1], 1);
	assert_int_equal(pinion_buffer_size(peer, all[nr - 1]), 2 * BUFFER);
	assert_int_equal(counts, 5);
	give(cache, all, nr);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void after_frees_it_can_allocate_again(void **state)
{
	struct limited limited = limited_make(100);
	struct pinion_buffer all[1024];

	(void)state;
	for (int round = 0; round < 20; round++) {
		const uint32_t nr = take_all(limited.cache, all, 1024);

		assert_in_range(nr, 100, 100 + MAGAZINE - 1);
		give(limited.cache, all, nr);
		if (round % 3 == 0)
			assert_int_equal(pinion_cache_flush(limited.cache), 0);
	}
	limited_end(&limited);
}

/* The others have none, and a member that had one has none once it is 0. */
static void only_the_one_that_has_a_quota_is_held_to_it(void **state)
{
	struct limited limited = limited_make(10);
	struct pinion_cache *ours = cache_make(limited.pool, BUFFER);
	struct pinion_buffer all[1024];
	uint32_t nr;

	(void)state;
	assert_int_equal(take_all(ours, all, 1024), 1024);
	assert_int_equal(pinion_buffer_alloc(limited.cache, &all[0]), -ENOMEM);
	give(ours, all, 1024);
	assert_int_equal(pinion_cache_close(ours), 0);
	nr = take_all(limited.cache, all, 1024);
	assert_in_range(nr, 10, 10 + MAGAZINE - 1);
	assert_int_equal(pinion_pool_quota(limited.pool, 1, 0), 0);
	assert_int_equal(take_all(limited.cache, &all[nr], 1024), 1024 - nr);
	give(limited.cache, all, 1024);
	limited_end(&limited);
}

static void two_caches_of_a_member_share_its_quota(void **state)
{
	struct limited limited = limited_make(200);
	struct pinion_cache *second = cache_make(limited.peer, BUFFER);
	struct pinion_buffer all[1024];
	uint32_t nr;

	(void)state;
	nr = take_all(limited.cache, all, 90);
	nr += take_all(second, &all[nr], 1024 - nr);
	nr += take_all(limited.cache, &all[nr], 1024 - nr);
	assert_in_range(nr, 200, 200 + 2 * MAGAZINE - 1);
	assert_int_equal(pinion_buffer_alloc(second, &all[nr]), -EDQUOT);
	give(second, all, nr);
	assert_int_equal(pinion_cache_close(second), 0);
	limited_end(&limited);
}

static void a_quota_for_nobody_is_einval(void **state)
{
	struct limited limited = limited_make(1);
	const uint32_t bad[] = {2, 7, 8, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pinion_pool_quota(limited.pool, bad[i], 1), -EINVAL);
		assert_sentence("not admitted");
	}
	limited_end(&limited);
}

/* The next one to have the number begins without. */
static void a_quota_goes_with_its_member(void **state)
{
	struct limited limited = limited_make(1);
	struct pinion_buffer all[1024];

	(void)state;
	assert_int_equal(pinion_cache_close(limited.cache), 0);
	assert_int_equal(pinion_pool_detach(limited.peer), 0);
	assert_int_equal(pinion_pool_release(limited.pool, 1, NULL), 0);
	limited.peer = pool_join(limited.pool);
	assert_int_equal(pinion_pool_member(limited.peer), 1);
	limited.cache = cache_make(limited.peer, BUFFER);
	assert_int_equal(take_all(limited.cache, all, 1024), 1024);
	give(limited.cache, all, 1024);
	limited_end(&limited);
}

/* What was sent away does not count any more, and what was received does. */
static void what_changes_hands_is_counted_with_who_has_it(void **state)
{
	struct pair pair = pair_make(1024, 256);
	struct pinion_desc desc;
	struct pinion_buffer held[200], more[400];
	uint32_t nr;

	(void)state;
	assert_int_equal(pinion_pool_quota(pair.a.pool, 1, 200 * BUFFER), 0);
	for (uint32_t i = 0; i < 200; i++) {
		desc = desc_new(&pair.a, 0, 0);
		send_one(&pair.a, &desc);
		held[i] = recv_one(&pair.b).buffer;
	}
	/* Its own sum says that it drew nothing. Once that reaches the quota, it learns the truth:
	 * what it received comes on top but once. */
	nr = take_all(pair.b.cache, more, 400);
	assert_in_range(nr, 0, 200 + MAGAZINE - 1);
	give(pair.b.cache, more, nr);
	assert_int_equal(pinion_cache_flush(pair.b.cache), 0);
	assert_int_equal(pinion_buffer_alloc(pair.b.cache, more), -EDQUOT);
	for (uint32_t i = 0; i < 200; i++) {
		desc = (struct pinion_desc){.buffer = held[i]};
		send_one(&pair.b, &desc);
		held[i] = recv_one(&pair.a).buffer;
	}
	give(pair.a.cache, held, 200);
	assert_int_equal(pinion_cache_flush(pair.a.cache), 0);
	nr = take_all(pair.b.cache, more, 400);
	assert_in_range(nr, 200, 200 + MAGAZINE - 1);
	give(pair.b.cache, more, nr);
	pair_close_whole(&pair);
}

/* Scrubbing. */

static struct pinion_pool_config scrubbed(size_t nr)
{
	struct pinion_pool_config config = pool_config(nr, BUFFER);

	config.flags = PINION_POOL_SCRUB;
	return config;
}

/* Takes all there is and leaves a mark in each, all through. */
static uint32_t mark_all(struct pinion_pool *pool, struct pinion_cache *cache,
			 struct pinion_buffer *all, uint32_t most)
{
	const uint32_t nr = take_all(cache, all, most);

	for (uint32_t i = 0; i < nr; i++)
		memset(pinion_buffer_addr(pool, all[i]), 0xa5, pinion_buffer_size(pool, all[i]));
	return nr;
}

/* Bytes that are not zero in what can be had. */
static uint32_t dirt_of(struct pinion_pool *pool, struct pinion_cache *cache, uint32_t expected)
{
	struct pinion_buffer all[512];
	const uint32_t nr = take_all(cache, all, 512);
	uint32_t dirt = 0;

	assert_int_equal(nr, expected);
	for (uint32_t i = 0; i < nr; i++) {
		const char *byte = pinion_buffer_addr(pool, all[i]);

		for (size_t k = 0; k < pinion_buffer_size(pool, all[i]); k++)
			dirt += byte[k] != 0;
	}
	give(cache, all, nr);
	return dirt;
}

static void another_members_bytes_are_gone_before_one_has_its_buffer(void **state)
{
	(void)state;
	for (uint32_t flags = 0; flags < 2; flags++) {
		struct pinion_pool_config config = scrubbed(512);
		struct pinion_pool *pool, *peer;
		struct pinion_cache *ours, *theirs;
		struct pinion_buffer all[512];

		config.flags = flags;
		pool = pool_make_from(&config);
		peer = pool_join(pool);
		ours = cache_make(pool, BUFFER);
		theirs = cache_make(peer, BUFFER);
		assert_int_equal(mark_all(peer, theirs, all, 512), 512);
		give(theirs, all, 512);
		assert_int_equal(pinion_cache_close(theirs), 0);
		/* Without scrubbing they would be there: the test sees what it claims to see. */
		assert_int_equal(dirt_of(pool, ours, 512), flags ? 0 : 512 * BUFFER);
		assert_int_equal(pinion_cache_close(ours), 0);
		assert_int_equal(pinion_pool_detach(peer), 0);
		assert_pool_whole(pool);
		assert_int_equal(pinion_pool_destroy(pool), 0);
	}
}

/* One that was partly ours already is scrubbed as a whole, or not given: rooms for frees, half
 * filled by others, come into a cache by another way than for allocation. */
static void what_comes_along_with_room_for_a_free_is_scrubbed_too(void **state)
{
	struct pinion_pool_config config = scrubbed(256);
	struct pinion_pool *pool, *peer;
	struct pinion_cache *ours, *theirs;
	struct pinion_buffer all[256], one;

	(void)state;
	config.nr_caches = 2;
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	ours = cache_make(pool, BUFFER);
	theirs = cache_make(peer, BUFFER);
	take(ours, &one, 1);
	assert_int_equal(pinion_cache_flush(ours), 0);
	assert_int_equal(mark_all(peer, theirs, all, 255), 255);
	/* Scattered one by one, so that no magazine is empty. */
	for (int i = 0; i < 255; i++) {
		give(theirs, &all[i], 1);
		assert_int_equal(pinion_cache_flush(theirs), 0);
	}
	assert_int_equal(pinion_cache_close(theirs), 0);
	give(ours, &one, 1);
	assert_int_equal(dirt_of(pool, ours, 256), 0);
	assert_int_equal(pinion_cache_close(ours), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The number is not the member: who has it next is somebody else. */
static void the_next_one_with_a_members_number_sees_nothing_of_it(void **state)
{
	(void)state;
	for (int died = 0; died < 2; died++) {
		const struct pinion_pool_config config = scrubbed(512);
		struct pinion_pool *pool = pool_make_from(&config), *peer = pool_join(pool);
		struct pinion_cache *theirs = cache_make(peer, BUFFER);
		struct pinion_buffer all[512];

		assert_int_equal(mark_all(peer, theirs, all, 512), 512);
		give(theirs, all, 400);
		if (died) {
			/* 112 held, two magazines in its cache, the rest in the depot */
			abandon(theirs);
		} else {
			give(theirs, all + 400, 112);
			assert_int_equal(pinion_cache_close(theirs), 0);
		}
		assert_int_equal(pinion_pool_detach(peer), 0);
		if (died)
			assert_int_equal(pinion_pool_recover(pool, 1, NULL, 0, NULL), 0);
		assert_int_equal(pinion_pool_release(pool, 1, NULL), 0);
		peer = pool_join(pool);
		assert_int_equal(pinion_pool_member(peer), 1);
		theirs = cache_make(peer, BUFFER);
		assert_int_equal(dirt_of(peer, theirs, 512), 0);
		assert_int_equal(pinion_cache_close(theirs), 0);
		assert_int_equal(pinion_pool_detach(peer), 0);
		assert_pool_whole(pool);
		assert_int_equal(pinion_pool_destroy(pool), 0);
	}
}

/* What the dead held was written by nobody else; the keeper must not see it either. */
static void recovered_buffers_are_scrubbed_for_everyone(void **state)
{
	const struct pinion_pool_config config = scrubbed(512);
	struct pinion_pool *pool = pool_make_from(&config), *peer = pool_join(pool);
	struct pinion_cache *theirs = cache_make(peer, BUFFER), *ours = cache_make(pool, BUFFER);
	struct pinion_buffer all[512];

	(void)state;
	assert_int_equal(mark_all(peer, theirs, all, 512), 512);
	give(theirs, all, 70);
	abandon(theirs);
	assert_int_equal(pinion_pool_recover(pool, 1, NULL, 0, NULL), 0);
	assert_int_equal(dirt_of(pool, ours, 512), 0);
	assert_int_equal(pinion_pool_release(pool, 1, NULL), 0);
	assert_int_equal(pinion_cache_close(ours), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The control area is sparse: looking at slots without a segment would fill it. */
static void releasing_a_member_touches_no_slot_without_a_segment(void **state)
{
	struct pinion_pool_config config = scrubbed(65536);
	struct pinion_pool *pool, *peer;
	long blocks;

	(void)state;
	config.max_segments = 64;
	config.nr_caches = 2000;
	config.segment[0].buffer_size = 64;
	pool = pool_make_from(&config);
	peer = pool_join(pool);
	assert_int_equal(pinion_pool_detach(peer), 0);
	blocks = blocks_of(pool->control.fd);
	assert_int_equal(pinion_pool_recover(pool, 1, NULL, 0, NULL), 0);
	assert_int_equal(pinion_pool_release(pool, 1, NULL), 0);
	assert_int_equal(blocks_of(pool->control.fd), blocks);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Debugging. A child does what must end it; what it says is read. */

static struct pinion_pool *pool_debugged(uint32_t flags)
{
	struct pinion_pool_config config = pool_config(128, BUFFER);

	config.flags = PINION_POOL_DEBUG | flags;
	return pool_make_from(&config);
}

struct crime {
	void (*act)(struct pinion_pool *pool, struct pinion_cache *cache);
	char said[256];
};

static void act(const struct crime *crime, int fd)
{
	const struct rlimit none = {0, 0};
	struct pinion_pool *pool;

	setrlimit(RLIMIT_CORE, &none);
	signal(SIGABRT, SIG_DFL);
	dup2(fd, STDERR_FILENO);
	pool = pool_debugged(0);
	crime->act(pool, cache_make(pool, BUFFER));
	_exit(0);
}

/* 128 + the signal that ended it, or 0. */
static int commit(struct crime *crime)
{
	int pipes[2], status = 0;
	ssize_t len;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		act(crime, pipes[1]);
	close(pipes[1]);
	len = read(pipes[0], crime->said, sizeof(crime->said) - 1);
	crime->said[len > 0 ? len : 0] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void caught(void (*what)(struct pinion_pool *, struct pinion_cache *), const char *part)
{
	struct crime crime = {.act = what};

	assert_int_equal(commit(&crime), 128 + SIGABRT);
	if (strstr(crime.said, part) == NULL)
		print_message("# it said: %s\n", crime.said);
	assert_non_null(strstr(crime.said, part));
}

static void write_after_free(struct pinion_pool *pool, struct pinion_cache *cache)
{
	struct pinion_buffer buffer = {0};
	char *byte;

	(void)pinion_buffer_alloc(cache, &buffer);
	byte = pinion_buffer_addr(pool, buffer);
	(void)pinion_buffer_free(cache, buffer);
	byte[37] = 1;
	(void)pinion_buffer_alloc(cache, &buffer);
}

static void write_past_the_end(struct pinion_pool *pool, struct pinion_cache *cache)
{
	struct pinion_buffer buffer = {0};

	(void)pinion_buffer_alloc(cache, &buffer);
	((char *)pinion_buffer_addr(pool, buffer))[BUFFER] = 1;
	(void)pinion_buffer_free(cache, buffer);
}

static void write_far_past_the_end_in_a_bulk(struct pinion_pool *pool, struct pinion_cache *cache)
{
	struct pinion_buffer buffer[8];

	(void)pinion_buffer_alloc_bulk(cache, buffer, 8);
	((char *)pinion_buffer_addr(pool, buffer[5]))[2 * BUFFER - 1] = 1;
	(void)pinion_buffer_free_bulk(cache, buffer, 8);
}

static void write_before_it_was_ever_had(struct pinion_pool *pool, struct pinion_cache *cache)
{
	struct pinion_buffer all[64];

	((char *)pool->memory[0].addr)[20 * 2 * BUFFER] = 1;
	(void)pinion_buffer_alloc_bulk(cache, all, 64);
}

static void misuse_is_told_and_ends_the_process(void **state)
{
	(void)state;
	caught(write_after_free, "written after it was freed: byte 37 is 0x01");
	caught(write_past_the_end, "written past its end: byte 256 is 0x01");
	caught(write_far_past_the_end_in_a_bulk, "written past its end: byte 511 is 0x01");
	caught(write_before_it_was_ever_had, "buffer 20, generation");
}

static void honest_use(struct pinion_pool *pool, struct pinion_cache *cache)
{
	struct pinion_buffer all[64];
	uint64_t random = 4711;

	for (int i = 0; i < 400; i++) {
		const uint32_t nr = 1 + test_below(&random, 64);

		if (pinion_buffer_alloc_bulk(cache, all, nr) != (int)nr)
			_exit(1);
		for (uint32_t k = 0; k < nr; k++)
			memset(pinion_buffer_addr(pool, all[k]), (int)k, BUFFER);
		if (i % 2)
			while (pinion_buffer_free_bulk(cache, all, nr) != (int)nr)
				_exit(2);
		else
			for (uint32_t k = 0; k < nr; k++)
				if (pinion_buffer_free(cache, all[k]))
					_exit(3);
		if (i % 50 == 0)
			(void)pinion_cache_flush(cache);
	}
}

static void honest_use_is_let_alone(void **state)
{
	struct crime none = {.act = honest_use};

	(void)state;
	assert_int_equal(commit(&none), 0);
	assert_string_equal(none.said, "");
}

static void a_segment_has_half_as_many_and_the_size_asked_for(void **state)
{
	struct pinion_pool *pool = pool_debugged(0), *peer = pool_join(pool);
	struct pinion_cache *cache = cache_make(peer, BUFFER);
	struct pinion_buffer all[129];

	(void)state;
	assert_int_equal(take_all(cache, all, 129), 64);
	assert_int_equal(cache->buffer_size, BUFFER);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(pinion_buffer_size(peer, all[i]), BUFFER);
		memset(pinion_buffer_addr(peer, all[i]), 0, BUFFER);
	}
	give(cache, all, 64);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* What the dead wrote is no crime of the next one's. */
static void recovery_poisons_what_the_dead_wrote(void **state)
{
	struct pinion_pool *pool = pool_debugged(0), *peer = pool_join(pool);
	struct pinion_cache *theirs = cache_make(peer, BUFFER), *ours;
	struct pinion_buffer all[64];

	(void)state;
	assert_int_equal(mark_all(peer, theirs, all, 64), 64);
	give(theirs, all, 20);
	abandon(theirs);
	assert_int_equal(pinion_pool_recover(pool, 1, NULL, 0, NULL), 0);
	assert_int_equal(pinion_pool_release(pool, 1, NULL), 0);
	ours = cache_make(pool, BUFFER);
	assert_int_equal(take_all(ours, all, 64), 64);
	give(ours, all, 64);
	assert_int_equal(pinion_cache_close(ours), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void debugging_and_scrubbing_together_give_zeroes(void **state)
{
	struct pinion_pool *pool = pool_debugged(PINION_POOL_SCRUB);
	struct pinion_cache *cache = cache_make(pool, BUFFER);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(dirt_of(pool, cache, 64), 0);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_grown_segment_has_red_zones_too(void **state)
{
	struct pinion_pool *pool = pool_debugged(0);
	struct pinion_cache *cache = cache_make(pool, BUFFER);
	struct pinion_buffer all[129];

	(void)state;
	assert_int_equal(grow(pool, 128, BUFFER), 1); /* bytes for 128, buffers half as many */
	assert_int_equal(mark_all(pool, cache, all, 129), 128);
	give(cache, all, 128);
	assert_int_equal(mark_all(pool, cache, all, 129), 128);
	give(cache, all, 128);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void unknown_flags_and_odd_lengths_are_einval(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool = NULL;

	(void)state;
	config.flags = PINION_POOL_FLAGS + 1;
	assert_int_equal(pinion_pool_create(&config, &pool), -EINVAL);
	assert_sentence("unknown flags");
	config.flags = PINION_POOL_DEBUG;
	config.segment[0] = segment_of(3, 4096); /* a buffer, its red zone, and half a pair */
	assert_int_equal(pinion_pool_create(&config, &pool), -EINVAL);
	assert_sentence("red zones");
	assert_null(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(who_has_its_quota_gets_edquot_and_overshoots_by_one_magazine_at_most),
		pool_test(a_refusal_is_counted_once_for_all_segments),
		pool_test(after_frees_it_can_allocate_again),
		pool_test(only_the_one_that_has_a_quota_is_held_to_it),
		pool_test(two_caches_of_a_member_share_its_quota),
		pool_test(a_quota_for_nobody_is_einval),
		pool_test(a_quota_goes_with_its_member),
		pool_test(what_changes_hands_is_counted_with_who_has_it),
		pool_test(another_members_bytes_are_gone_before_one_has_its_buffer),
		pool_test(what_comes_along_with_room_for_a_free_is_scrubbed_too),
		pool_test(the_next_one_with_a_members_number_sees_nothing_of_it),
		pool_test(recovered_buffers_are_scrubbed_for_everyone),
		pool_test(releasing_a_member_touches_no_slot_without_a_segment),
		pool_test(misuse_is_told_and_ends_the_process),
		pool_test(honest_use_is_let_alone),
		pool_test(a_segment_has_half_as_many_and_the_size_asked_for),
		pool_test(recovery_poisons_what_the_dead_wrote),
		pool_test(debugging_and_scrubbing_together_give_zeroes),
		pool_test(a_grown_segment_has_red_zones_too),
		pool_test(unknown_flags_and_odd_lengths_are_einval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
