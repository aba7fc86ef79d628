/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments added to a pool in use: who notices, who need not, and what is refused. */

#include <pthread.h>

#include <pinion/wait.h>

#include "channel_support.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

struct scene {
	struct pinion_pool *pool, *peer;
	struct pinion_cache *ours, *theirs;
};

/* @nr buffers, a keeper and a member, each with a cache. */
static struct scene scene_make(size_t nr)
{
	struct scene scene;

	scene.pool = pool_make(nr);
	scene.peer = pool_join(scene.pool);
	scene.ours = cache_make(scene.pool, BUFFER);
	scene.theirs = cache_make(scene.peer, BUFFER);
	return scene;
}

static void scene_end(struct scene *scene)
{
	assert_int_equal(pinion_cache_close(scene->ours), 0);
	assert_int_equal(pinion_cache_close(scene->theirs), 0);
	assert_pool_whole(scene->pool);
	assert_int_equal(pinion_pool_detach(scene->peer), 0);
	assert_int_equal(pinion_pool_destroy(scene->pool), 0);
}

/* Each buffer has bytes of its own: a mark written to all is found in all, and through another
 * member's mapping too. */
static void assert_own_bytes(const struct pinion_pool *writer, const struct pinion_pool *reader,
			     const struct pinion_buffer *buffer, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		memset(pinion_buffer_addr(writer, buffer[i]), (int)(i * 7 + 1),
		       pinion_buffer_size(writer, buffer[i]));
	for (uint32_t i = 0; i < nr; i++) {
		const unsigned char *byte = pinion_buffer_addr(reader, buffer[i]);
		const size_t size = pinion_buffer_size(reader, buffer[i]);

		assert_int_equal(byte[0], (unsigned char)(i * 7 + 1));
		assert_int_equal(byte[size - 1], (unsigned char)(i * 7 + 1));
	}
}

static void what_was_added_is_all_there(void **state)
{
	struct scene scene = scene_make(64);
	struct pinion_buffer all[64 + 1 + 48];

	(void)state;
	take(scene.ours, all, 64);
	assert_int_equal(pinion_buffer_alloc(scene.ours, &all[64]), -ENOMEM);
	assert_int_equal(grow(scene.pool, 48, BUFFER), 1);
	assert_int_equal(take_all(scene.ours, &all[64], 49), 48);
	assert_distinct(all, 112);
	assert_int_equal(pass(scene.pool, scene.peer, 1), 0);
	assert_own_bytes(scene.pool, scene.peer, all, 112);
	assert_pool_sound(scene.pool);
	give(scene.ours, all, 112);
	scene_end(&scene);
}

/* The file comes before anything was noticed, or after; either way nobody tells the cache. */
static void a_member_uses_what_it_was_passed_without_being_told(void **state)
{
	(void)state;
	for (int noticed = 0; noticed < 2; noticed++) {
		struct scene scene = scene_make(64);
		struct pinion_buffer all[64 + 65], none;

		take(scene.theirs, all, 64);
		assert_int_equal(grow(scene.pool, 64, BUFFER), 1);
		if (noticed)
			assert_int_equal(pinion_buffer_alloc(scene.theirs, &none), -ENOMEM);
		assert_int_equal(pass(scene.pool, scene.peer, 1), 0);
		assert_int_equal(take_all(scene.theirs, &all[64], 65), 64);
		assert_distinct(all, 128);
		assert_own_bytes(scene.peer, scene.pool, all, 128);
		give(scene.theirs, all, 128);
		scene_end(&scene);
	}
}

static void a_member_without_the_file_goes_on_with_what_it_has(void **state)
{
	struct scene scene = scene_make(128);
	struct pinion_segment_stat stat;
	struct pinion_buffer all[129];

	(void)state;
	for (int round = 0; round < 3; round++) {
		grow(scene.pool, 64, BUFFER);
		assert_int_equal(take_all(scene.theirs, all, 129), 128);
		give(scene.theirs, all, 128);
		assert_int_equal(pinion_cache_flush(scene.theirs), 0);
	}
	/* What there is it can tell all the same. */
	assert_int_equal(pinion_pool_segment(scene.peer, 3, &stat), 0);
	assert_int_equal(stat.nr, 64);
	assert_int_equal(stat.free, 64);
	assert_int_equal(pinion_pool_segment(scene.peer, 4, &stat), -ENOENT);
	scene_end(&scene);
}

/* One buffer of the new segment, sent by the keeper. */
static struct pinion_desc send_new(struct pair *pair)
{
	struct pinion_desc desc;
	uint32_t slot;

	slot = grow(pair->a.pool, 16, 4096);
	assert_int_equal(pinion_cache_close(pair->a.cache), 0);
	pair->a.cache = cache_make(pair->a.pool, 4096);
	desc = desc_new(&pair->a, 4096, 5);
	assert_int_equal(slot_of(pair->a.pool, desc.buffer), slot);
	send_one(&pair->a, &desc);
	return desc;
}

/* The receiver never looked into the depot: it meets an id that it does not know. */
static void a_new_id_is_received_once_the_file_was_passed(void **state)
{
	struct pair pair = pair_make(64, 8);
	struct pinion_desc desc = send_new(&pair);

	(void)state;
	strcpy(pinion_buffer_addr(pair.a.pool, desc.buffer), "new");
	assert_int_equal(pass(pair.a.pool, pair.b.pool, 1), 0);
	desc = recv_one(&pair.b);
	assert_int_equal(desc.tag, 5);
	assert_int_equal(pinion_buffer_size(pair.b.pool, desc.buffer), 4096);
	assert_string_equal(pinion_buffer_addr(pair.b.pool, desc.buffer), "new");
	/* Its own cache is for another size: the first free into a segment makes room for it. */
	give(pair.b.cache, &desc.buffer, 1);
	pair_close_whole(&pair);
}

/* Who sends what the other was never given the file of, breaks a rule. */
static void a_new_id_without_a_file_stays_in_the_ring(void **state)
{
	struct pair pair = pair_make(64, 8);
	struct pinion_desc desc = send_new(&pair), got;

	(void)state;
	assert_int_equal(pinion_channel_recv(pair.b.channel, &got, 1), -EAGAIN);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &got, 1), -EAGAIN);
	assert_int_equal(pinion_pool_held(pair.a.pool, 0), 1);
	pinion_channel_sever(pair.a.channel);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 1);
	assert_int_equal(pinion_buffer_free(pair.a.cache, desc.buffer), -EINVAL);
	pair_close_whole(&pair);
}

/* There is something that cannot be had: who waits sleeps until its file is there. */
static void who_waits_is_not_told_of_a_new_id_without_a_file(void **state)
{
	struct pair pair = pair_make(64, 8);
	struct pinion_desc desc = send_new(&pair), got;

	(void)state;
	assert_true(pinion_channel_fd(pair.b.channel) >= 0);
	assert_int_equal(pinion_channel_prepare(pair.b.channel), 1);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &got, 1), -EAGAIN);
	assert_int_equal(pinion_channel_prepare(pair.b.channel), 0);
	assert_int_equal(pinion_channel_done(pair.b.channel), 0);
	assert_int_equal(pinion_channel_wait(pair.b.channel, 1000000), -ETIMEDOUT);
	assert_int_equal(pass(pair.a.pool, pair.b.pool, 1), 0);
	assert_int_equal(pinion_channel_prepare(pair.b.channel), 1);
	assert_int_equal(pinion_channel_wait(pair.b.channel, 1000000), 0);
	got = recv_one(&pair.b);
	assert_int_equal(pinion_buffer_id(got.buffer), pinion_buffer_id(desc.buffer));
	/* Once it was had, what comes next is told of, whatever becomes of that segment. */
	give(pair.b.cache, &got.buffer, 1);
	desc = desc_new(&pair.a, 4096, 6);
	send_one(&pair.a, &desc);
	assert_int_equal(pinion_channel_prepare(pair.b.channel), 1);
	got = recv_one(&pair.b);
	give(pair.b.cache, &got.buffer, 1);
	pair_close_whole(&pair);
}

/* What the dead sent into a segment that never came keeps nobody from hearing of the death. */
static void a_death_is_told_beside_a_new_id_without_a_file(void **state)
{
	struct pair pair = pair_make(64, 8);
	struct pinion_desc desc = send_new(&pair), got;

	(void)state;
	assert_true(pinion_channel_fd(pair.b.channel) >= 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &got, 1), -EAGAIN);
	pinion_channel_sever(pair.b.channel);
	assert_int_equal(pinion_channel_prepare(pair.b.channel), -EPIPE);
	assert_int_equal(pinion_channel_wait(pair.b.channel, UINT64_MAX), 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &got, 1), -EPIPE);
	/* It came after all: too late, since it may be with another by now. */
	assert_int_equal(pass(pair.a.pool, pair.b.pool, 1), 0);
	assert_int_equal(pinion_channel_prepare(pair.b.channel), -EPIPE);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &got, 1), -EPIPE);
	pinion_channel_sever(pair.a.channel);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 1);
	assert_int_equal(pinion_buffer_free(pair.a.cache, desc.buffer), -EINVAL);
	pair_close_whole(&pair);
}

/* Of those who wait in a loop nobody need call recv again after prepare has said so. */
static void a_loop_that_heard_of_the_death_takes_nothing_more(void **state)
{
	struct pair pair = pair_make(64, 8);
	struct pinion_desc desc = send_new(&pair), got;

	(void)state;
	assert_true(pinion_channel_fd(pair.b.channel) >= 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &got, 1), -EAGAIN);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), -EBUSY);
	pinion_channel_sever(pair.b.channel);
	assert_int_equal(pinion_channel_prepare(pair.b.channel), -EPIPE);
	assert_int_equal(pinion_channel_reclaim(pair.a.channel, pair.a.cache), 1);
	assert_int_equal(pinion_buffer_free(pair.a.cache, desc.buffer), -EINVAL);
	assert_int_equal(pass(pair.a.pool, pair.b.pool, 1), 0);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &got, 1), -EPIPE);
	pair_close_whole(&pair);
}

static void other_sizes_can_be_added(void **state)
{
	const size_t sizes[] = {64, 1024, 4096, 16384};
	struct scene scene = scene_make(64);
	struct pinion_zone_stat stat;
	struct pinion_buffer all[33];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		struct pinion_cache *cache;

		assert_int_equal(grow(scene.pool, sizes[i] < 1024 ? 64 : 32, sizes[i]), i + 1);
		assert_int_equal(pass(scene.pool, scene.peer, i + 1), 0);
		cache = cache_make(scene.peer, sizes[i]);
		assert_int_equal(cache->buffer_size, sizes[i]);
		assert_int_equal(take_all(cache, all, 32), 32);
		assert_own_bytes(scene.peer, scene.pool, all, 32);
		give(scene.theirs, all, 32);
		assert_int_equal(pinion_cache_close(cache), 0);
		assert_int_equal(pinion_pool_stat(scene.peer, i + 1, &stat), 0);
		assert_int_equal(stat.buffer_size, sizes[i]);
	}
	scene_end(&scene);
}

static void hugepages_can_be_added_to_a_pool_of_small_ones(void **state)
{
	const struct pinion_segment_config huge = {HUGE_PAGE, 65536, HUGE_PAGE, 0};
	struct pinion_segment_stat stat;
	struct pinion_cache *cache;
	struct pinion_buffer all[33];
	struct scene scene;
	uint32_t slot = 0;

	(void)state;
	scene = scene_make(64);
	assert_int_equal(pinion_pool_grow(scene.pool, &huge, &slot), 0);
	assert_int_equal(pass(scene.pool, scene.peer, slot), 0);
	assert_int_equal(pinion_pool_segment(scene.peer, slot, &stat), 0);
	assert_int_equal(stat.page_size, HUGE_PAGE);
	assert_int_equal(stat.node, 0);
	cache = cache_make(scene.peer, 65536);
	assert_int_equal(take_all(cache, all, 33), 32);
	assert_own_bytes(scene.peer, scene.pool, all, 32);
	give(cache, all, 32);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(blocks_of(scene.pool->memory[slot].fd), HUGE_PAGE / 512);
	scene_end(&scene);
}

/* Refused with @err and a sentence, and nothing of it stays. */
static void refused(struct pinion_pool *pool, const struct pinion_segment_config *config, int err,
		    const char *part)
{
	const int maps = pool_maps(), open = support_fd_count();
	uint32_t slot = 4711;

	errno = 4711;
	assert_int_equal(pinion_pool_grow(pool, config, &slot), err);
	assert_int_equal(errno, 4711);
	assert_int_equal(slot, 4711);
	assert_sentence(part);
	assert_int_equal(support_fd_count(), open);
	assert_int_equal(pool_maps(), maps);
	assert_pool_sound(pool);
}

static void what_cannot_be_added_is_refused_and_changes_nothing(void **state)
{
	const struct pinion_segment_config bad[] = {
		{4096, 96, 4096, PINION_NODE_ANY}, {4095, 64, 4096, PINION_NODE_ANY},
		{4096, 64, 3000, PINION_NODE_ANY}, {0, 64, 4096, PINION_NODE_ANY}};
	const struct pinion_segment_config nowhere = {4096, 64, 4096, 63};
	const struct pinion_segment_config most = segment_of(128, BUFFER);
	const struct pinion_segment_config more = segment_of(144, BUFFER);
	const struct pinion_segment_config vast = {(size_t)1 << 37, (size_t)1 << 30, HUGE_PAGE,
						   PINION_NODE_ANY};
	struct scene scene = scene_make(112); /* ids for 128 */
	uint32_t slot;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(scene.pool, &bad[i], -EINVAL, "segment 1: a "); /* not 0, which is there */
	refused(scene.pool, &nowhere, -ENODEV, "segment 1: this machine has no NUMA node 63");
	refused(scene.pool, &more, -EINVAL, "at most 128 buffers, not 144");
	refused(scene.pool, &vast, -ENOMEM, "hugepages reserve");
	refused(scene.peer, &most, -EPERM, "made or adopted");
	assert_int_equal(pinion_pool_grow(scene.pool, &most, &slot), 0);
	scene_end(&scene);
}

static void no_more_segments_than_max_segments(void **state)
{
	const struct pinion_segment_config one = segment_of(64, BUFFER);
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;

	(void)state;
	config.max_segments = 3;
	pool = pool_make_from(&config);
	assert_int_equal(pinion_pool_slots(pool), 3);
	assert_int_equal(grow(pool, 64, BUFFER), 1);
	assert_int_equal(grow(pool, 64, BUFFER), 2);
	refused(pool, &one, -ENOSPC, "all 3 segment slots");
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);

	config.max_segments = 0;
	pool = pool_make_from(&config);
	for (uint32_t i = 1; i < PINION_SEGMENT_MAX; i++)
		assert_int_equal(grow(pool, 64, BUFFER), i);
	refused(pool, &one, -ENOSPC, "all 64 segment slots");
	assert_int_equal(pool_free(pool), 64 * 64);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void fewer_max_segments_than_segments_is_einval(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool = NULL;

	(void)state;
	config.nr_segments = 2;
	config.segment[1] = config.segment[0];
	config.max_segments = 1;
	assert_int_equal(pinion_pool_create(&config, &pool), -EINVAL);
	assert_sentence("max_segments is 1");
	config.max_segments = PINION_SEGMENT_MAX + 1;
	assert_int_equal(pinion_pool_create(&config, &pool), -EINVAL);
	assert_sentence("max_segments is 65");
}

/* The wrong file leaves the descriptor the caller's and the right one welcome. */
static void only_the_keepers_own_file_extends(void **state)
{
	struct scene scene = scene_make(64);
	struct pinion_pool_fds fds;
	const int open = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[64];
	int to_read;

	(void)state;
	assert_int_equal(ftruncate(open, 64 * BUFFER), 0);
	assert_int_equal(grow(scene.pool, 64, BUFFER), 1);
	assert_int_equal(grow(scene.pool, 64, BUFFER), 2);
	pinion_pool_export(scene.pool, &fds);
	assert_int_equal(pinion_pool_extend(scene.peer, 1, fds.segment[2]), -EINVAL);
	assert_sentence("segment 1: the file is not the one");
	assert_int_equal(pinion_pool_extend(scene.peer, 1, fds.segment[0]), -EINVAL);
	assert_int_equal(pinion_pool_extend(scene.peer, 1, fds.control), -EINVAL);
	assert_int_equal(pinion_pool_extend(scene.peer, 1, open), -EINVAL);
	assert_int_equal(pinion_pool_extend(scene.peer, 1, -1), -EBADF);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds.segment[1]);
	to_read = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pinion_pool_extend(scene.peer, 1, to_read), -EACCES);
	assert_int_equal(close(to_read), 0);
	assert_int_equal(pinion_pool_extend(scene.peer, 3, fds.segment[1]), -EINVAL);
	assert_sentence("no segment 3");
	assert_int_equal(pinion_pool_extend(scene.peer, 64, fds.segment[1]), -EINVAL);
	assert_int_equal(pinion_pool_extend(scene.peer, UINT32_MAX, fds.segment[1]), -EINVAL);
	assert_sentence("and no 4294967295");
	assert_int_equal(pass(scene.pool, scene.peer, 1), 0);
	assert_int_equal(pass(scene.pool, scene.peer, 1), -EEXIST);
	assert_int_equal(pass(scene.pool, scene.pool, 1), -EEXIST);
	assert_int_equal(fcntl(open, F_GETFD), FD_CLOEXEC);
	close(open);
	scene_end(&scene);
}

/* Who attaches later gets all of it from the start. */
static void a_later_member_has_all_segments(void **state)
{
	struct scene scene = scene_make(64);
	struct pinion_pool *late;
	struct pinion_cache *cache;
	struct pinion_buffer all[64 * 3 + 1];

	(void)state;
	grow(scene.pool, 64, BUFFER);
	grow(scene.pool, 64, BUFFER);
	late = pool_join(scene.pool);
	cache = cache_make(late, BUFFER);
	assert_int_equal(take_all(cache, all, 193), 192);
	assert_own_bytes(late, scene.pool, all, 192);
	give(cache, all, 192);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_int_equal(pinion_pool_detach(late), 0);
	scene_end(&scene);
}

/*
 * Threads of the keeper and of a member alloc and free while segments come. Each buffer's user
 * leaves a mark by id: another's mark is a buffer that two have.
 */
#define THREADS 4
#define SEGMENTS 12
#define SEGMENT_NR 256

struct together {
	_Atomic int user[(SEGMENTS + 1) * SEGMENT_NR];
	_Atomic int twice, lost, stop;
	_Atomic uint32_t most_slot;
};

struct worker {
	struct together *together;
	struct pinion_pool *pool;
	int number;
	uint64_t random;
	struct pinion_buffer held[SEGMENT_NR];
	uint32_t nr;
};

static void worker_alloc(struct worker *worker, struct pinion_cache *cache)
{
	struct pinion_buffer buffer;
	uint32_t slot;

	if (worker->nr == SEGMENT_NR || pinion_buffer_alloc(cache, &buffer))
		return;
	slot = slot_of(worker->pool, buffer);
	if (slot > worker->together->most_slot)
		worker->together->most_slot = slot;
	if (atomic_exchange(&worker->together->user[pinion_buffer_id(buffer)], worker->number))
		worker->together->twice++;
	memset(pinion_buffer_addr(worker->pool, buffer), worker->number, BUFFER);
	worker->held[worker->nr++] = buffer;
}

static void worker_free(struct worker *worker, struct pinion_cache *cache)
{
	struct pinion_buffer buffer;
	const char *byte;

	if (!worker->nr)
		return;
	buffer = worker->held[--worker->nr];
	byte = pinion_buffer_addr(worker->pool, buffer);
	if (byte[0] != worker->number || byte[BUFFER - 1] != worker->number ||
	    atomic_exchange(&worker->together->user[pinion_buffer_id(buffer)], 0) !=
		    worker->number)
		worker->together->twice++;
	if (pinion_buffer_free(cache, buffer))
		worker->together->lost++;
}

static void *work(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct worker *worker = arg;
	struct pinion_cache *cache;

	if (pinion_cache_open(worker->pool, &any, &cache)) {
		worker->together->lost++;
		return NULL;
	}
	for (int i = 0; !worker->together->stop; i++) {
		if (test_below(&worker->random, 64) < (i / 600 % 2 ? 20 : 44))
			worker_alloc(worker, cache);
		else
			worker_free(worker, cache);
	}
	while (worker->nr)
		worker_free(worker, cache);
	pinion_cache_close(cache);
	return NULL;
}

static void segments_come_while_threads_alloc_and_free(void **state)
{
	static struct pinion_buffer all[(SEGMENTS + 1) * SEGMENT_NR + 1];
	static struct worker worker[THREADS];
	static struct together together;
	struct scene scene = scene_make(SEGMENT_NR);
	const uint64_t seed = test_seed();
	pthread_t id[THREADS];
	uint32_t nr;

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){.together = &together, .number = i + 1,
					    .pool = i % 2 || test_needs_one_mapping()
							    ? scene.peer
							    : scene.pool,
					    .random = (seed + (uint64_t)i * 2) | 1};
		assert_int_equal(pthread_create(&id[i], NULL, work, &worker[i]), 0);
	}
	for (uint32_t s = 1; s <= SEGMENTS; s++) {
		assert_int_equal(grow(scene.pool, SEGMENT_NR, BUFFER), s);
		usleep(2000);
		assert_int_equal(pass(scene.pool, scene.peer, s), 0);
		usleep(10000);
	}
	/* They want more than the first segment has; on a busy machine it takes them a while. */
	for (int i = 0; !together.most_slot && i < 2000; i++)
		usleep(10000);
	together.stop = 1;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(id[i], NULL), 0);
	assert_int_equal(together.twice, 0);
	assert_int_equal(together.lost, 0);
	assert_true(together.most_slot > 0);
	nr = take_all(scene.theirs, all, (SEGMENTS + 1) * SEGMENT_NR + 1);
	assert_int_equal(nr, (SEGMENTS + 1) * SEGMENT_NR);
	assert_distinct(all, nr);
	assert_own_bytes(scene.peer, scene.pool, all, nr);
	give(scene.theirs, all, nr);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(what_was_added_is_all_there),
		pool_test(a_member_uses_what_it_was_passed_without_being_told),
		pool_test(a_member_without_the_file_goes_on_with_what_it_has),
		pool_test(a_new_id_is_received_once_the_file_was_passed),
		pool_test(a_new_id_without_a_file_stays_in_the_ring),
		pool_test(who_waits_is_not_told_of_a_new_id_without_a_file),
		pool_test(a_death_is_told_beside_a_new_id_without_a_file),
		pool_test(a_loop_that_heard_of_the_death_takes_nothing_more),
		pool_test(other_sizes_can_be_added),
		support_where(support_read_long(HUGE_FREE) >= 1, "no hugepage of 2 MiB is free",
			      pool_test, hugepages_can_be_added_to_a_pool_of_small_ones),
		pool_test(what_cannot_be_added_is_refused_and_changes_nothing),
		pool_test(no_more_segments_than_max_segments),
		pool_test(fewer_max_segments_than_segments_is_einval),
		pool_test(only_the_keepers_own_file_extends),
		pool_test(a_later_member_has_all_segments),
		pool_test(segments_come_while_threads_alloc_and_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
