/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_POOL_SUPPORT_H
#define PINION_TESTS_POOL_SUPPORT_H

/*
 * What the tests of pools, caches, rings and channels share.
 *
 *  - pool_test(f): a test that ends with the descriptors and the mappings it began with.
 *  - pool_make(), pool_join(): a small pool of 4 KiB pages, which need no reservation, and a
 *    second member of it in this very process, at other addresses.
 *  - pool_problem(): reads the whole control area and says what contradicts the protocol.
 *  - PINION_GENERATION: which generation the buffers of new pools have, 1 otherwise.
 */

#include "support.h"

#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include <pinion/cache.h>
#include <pinion/error.h>
#include <pinion/pool.h>

#include "cache.h"
#include "depot.h"
#include "layout.h"
#include "pool.h"
#include "random_support.h"

#define BUFFER ((size_t)256) /* bytes in a buffer of these pools, unless said otherwise */

/* Descriptors and mappings, counted around each test. Only mappings of files that the library
 * makes count: libc maps more of its own when it likes. */

static int pool_maps_at_start;

static inline int pool_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	if (maps == NULL)
		return -1;
	while (fgets(line, sizeof(line), maps) != NULL)
		nr += strstr(line, "memfd:") != NULL || strstr(line, "io_uring") != NULL;
	fclose(maps);
	return nr;
}

static inline int pool_test_before(void **state)
{
	pool_maps_at_start = pool_maps();
	return pool_maps_at_start < 0 || support_fds_before(state);
}

static inline int pool_test_after(void **state)
{
	const int now = pool_maps(), err = support_fds_after(state);

	if (now == pool_maps_at_start)
		return err;
	print_message("# %d mappings before the test, %d after\n", pool_maps_at_start, now);
	return -1;
}

#define pool_test(f) cmocka_unit_test_setup_teardown(f, pool_test_before, pool_test_after)

/* Pools. */

/* One segment of nr buffers in 4 KiB pages; nr is a multiple of 4096 / size. */
static inline struct pinion_pool_config pool_config(size_t nr, size_t size)
{
	struct pinion_pool_config config = {
		.name = "test",
		.nr_members = 8,
		.nr_caches = 8,
		.magazine_size = 64,
		.nr_segments = 1,
	};

	config.segment[0] =
		(struct pinion_segment_config){nr * size, size, 4096, PINION_NODE_ANY};
	return config;
}

/* Is it a later generation than @was? They begin anew after the last. */
static inline bool generation_rose(struct pinion_buffer buffer, struct pinion_buffer was)
{
	const uint64_t by = (pinion_buffer_generation(buffer) - pinion_buffer_generation(was)) &
			    PINION_GENERATION_MASK;

	return by && by < UINT64_C(1) << (PINION_GENERATION_BITS - 1);
}

/* As if every buffer had changed hands so often. pre: nobody uses the pool as yet. */
static inline void pool_age(struct pinion_pool *pool)
{
	const char *given = getenv("PINION_GENERATION");
	_Atomic uint64_t *owner = pool->view.owner;

	if (given == NULL)
		return;
	for (uint32_t id = 0; id < pool->view.nr_ids; id++)
		if (owner[id] != 0)
			owner[id] = pinion_owner_word(
				pinion_buffer_make(id, strtoull(given, NULL, 0)),
				pinion_owner_holder(owner[id]));
}

static inline struct pinion_pool *pool_make_from(const struct pinion_pool_config *config)
{
	struct pinion_pool *pool = NULL;
	const int err = pinion_pool_create(config, &pool);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	pool_age(pool);
	return pool;
}

static inline struct pinion_pool *pool_make(size_t nr)
{
	const struct pinion_pool_config config = pool_config(nr, BUFFER);

	return pool_make_from(&config);
}

/* The files of a pool, copied: an attached pool owns its own. */
static inline struct pinion_pool_fds pool_files(const struct pinion_pool *pool)
{
	struct pinion_pool_fds fds;

	pinion_pool_export(pool, &fds);
	fds.control = fcntl(fds.control, F_DUPFD_CLOEXEC, 3);
	for (uint32_t i = 0; i < fds.nr_segments; i++)
		if (fds.segment[i] >= 0)
			fds.segment[i] = fcntl(fds.segment[i], F_DUPFD_CLOEXEC, 3);
	return fds;
}

static inline void pool_files_close(const struct pinion_pool_fds *fds)
{
	close(fds->control);
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		if (fds->segment[i] >= 0)
			close(fds->segment[i]);
}

/* Segments that come while the pool is in use. */

static inline struct pinion_segment_config segment_of(size_t nr, size_t size)
{
	return (struct pinion_segment_config){nr * size, size, 4096, PINION_NODE_ANY};
}

static inline uint32_t grow(struct pinion_pool *pool, size_t nr, size_t size)
{
	const struct pinion_segment_config config = segment_of(nr, size);
	uint32_t slot = UINT32_MAX;
	const int err = pinion_pool_grow(pool, &config, &slot);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return slot;
}

/* The file of a segment passed by hand, as SCM_RIGHTS would. */
static inline int pass(const struct pinion_pool *pool, struct pinion_pool *to, uint32_t slot)
{
	struct pinion_pool_fds fds;
	int fd, err;

	pinion_pool_export(pool, &fds);
	fd = fcntl(fds.segment[slot], F_DUPFD_CLOEXEC, 3);
	assert_true(fd >= 0);
	err = pinion_pool_extend(to, slot, fd);
	if (err)
		close(fd);
	return err;
}

/* One more member, in this process. */
static inline struct pinion_pool *pool_join(struct pinion_pool *pool)
{
	const struct pinion_pool_fds fds = pool_files(pool);
	struct pinion_pool *joined = NULL;
	uint32_t member = 0;

	assert_int_equal(pinion_pool_admit(pool, getpid(), &member), 0);
	assert_int_equal(pinion_pool_attach(&fds, member, &joined), 0);
	return joined;
}

static inline struct pinion_cache *cache_make(struct pinion_pool *pool, size_t size)
{
	const struct pinion_cache_config config = {.buffer_size = size, .node = PINION_NODE_ANY};
	struct pinion_cache *cache = NULL;
	const int err = pinion_cache_open(pool, &config, &cache);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return cache;
}

/* A cache whose process died: its private part goes, what it shares stays as it was. */
static inline void abandon(struct pinion_cache *cache)
{
	cache_orphan((struct cache *)(void *)cache);
	assert_int_equal(pinion_cache_close(cache), 0);
}

/* Takes nr buffers, all of which must be there. */
static inline void take(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		/* The compiler does not know that a failed assertion does not come back. */
		buffer[i].bits = 0;
		assert_int_equal(pinion_buffer_alloc(cache, &buffer[i]), 0);
	}
}

static inline void give(struct pinion_cache *cache, const struct pinion_buffer *buffer, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		assert_int_equal(pinion_buffer_free(cache, buffer[i]), 0);
}

/* As many as can be had, at most @most. */
static inline uint32_t take_all(struct pinion_cache *cache, struct pinion_buffer *buffer,
				uint32_t most)
{
	uint32_t nr = 0;

	while (nr < most && pinion_buffer_alloc(cache, &buffer[nr]) == 0)
		nr++;
	return nr;
}

/* ThreadSanitizer does not see that a buffer went from one thread to the next by way of a third
 * that works on another mapping of the control area: there all threads are of one member. */
static inline bool test_needs_one_mapping(void)
{
#if defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}

/* Memory that a file has, in units of 512 bytes. Others take and give back pages all the time: what
 * the system has free says nothing. */
static inline long blocks_of(int fd)
{
	struct stat status = {0};

	assert_int_equal(fstat(fd, &status), 0);
	return (long)status.st_blocks;
}

static inline uint32_t slot_of(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	return pinion_buffer_id(buffer) >> pool->geometry.segment_shift;
}

/* Of buffers, or of what begins with one. */
static inline int by_id(const void *a, const void *b)
{
	const uint32_t x = pinion_buffer_id(*(const struct pinion_buffer *)a);
	const uint32_t y = pinion_buffer_id(*(const struct pinion_buffer *)b);

	return (x > y) - (x < y);
}

static inline void assert_distinct(struct pinion_buffer *buffer, uint32_t nr)
{
	qsort(buffer, nr, sizeof(*buffer), by_id);
	for (uint32_t i = 1; i < nr; i++)
		assert_int_not_equal(pinion_buffer_id(buffer[i - 1]), pinion_buffer_id(buffer[i]));
}

static inline uint32_t pool_free(const struct pinion_pool *pool)
{
	struct pinion_zone_stat stat;
	uint32_t nr = 0;

	for (uint32_t zone = 0; zone < pinion_pool_zones(pool); zone++) {
		assert_int_equal(pinion_pool_stat(pool, zone, &stat), 0);
		nr += stat.free;
	}
	return nr;
}

static inline uint32_t pool_total(const struct pinion_pool *pool)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		nr += pool->segment[i].nr;
	return nr;
}

/*
 * The protocol, checked as a whole: what contradicts it, or NULL. pre: nobody moves meanwhile, and
 * @pool is the keeper's, or has looked at every slot.
 *
 *   - a word MAG(m) names a magazine of its own slot, that lies in the depot with this id inside,
 *     exactly once, or that a member has
 *   - a word HELD(x) names a member that is not free; so does a magazine's
 *   - no word names an EMPTY magazine, and none is left to SERVICE
 *   - every magazine that lies in the depot can be found: its hint is set
 *   - ids that name no buffer have words of 0, or of a segment that was there before
 *   - a ticket names a member that is not free, or nobody
 *   - the depot has no magazine of a segment that is gone
 */

struct pool_audit {
	const struct pinion_pool *pool;
	uint32_t *named;  /* by magazine: words that name it */
	uint32_t *inside; /* by id: how often it lies in the depot */
	const char *problem;
};

static inline void audit_that(struct pool_audit *audit, bool holds, const char *problem)
{
	if (!holds && audit->problem == NULL)
		audit->problem = problem;
}

/* Is @holder (of a word or of a ticket) a member with a life before it or behind it? */
static inline bool audit_member(const struct pool_audit *audit, uint32_t holder)
{
	return holder >= 1 && holder <= audit->pool->geometry.nr_members &&
	       audit->pool->members[holder - 1].state != MEMBER_FREE;
}

/* Such an id was in use in a larger segment of the slot at most, and was free when that went. */
static inline void audit_gap(struct pool_audit *audit, uint64_t word)
{
	audit_that(audit, word == 0 || (pinion_owner_holder(word) & PINION_HOLDER_MAGAZINE),
		   "an id that names no buffer is held");
}

static inline void audit_word(struct pool_audit *audit, uint32_t slot, uint32_t i)
{
	const struct pinion_pool *pool = audit->pool;
	const uint32_t id = (slot << pool->geometry.segment_shift) + i;
	const uint64_t word = pool->view.owner[id];
	const uint32_t holder = pinion_owner_holder(word);
	const uint32_t m = holder & PINION_HOLDER_INDEX_MASK;

	if (i >= pool->segment[slot].nr) {
		audit_gap(audit, word);
	} else if (holder & PINION_HOLDER_MAGAZINE) {
		audit_that(audit,
			   m / pool->layout.stride == slot &&
				   m % pool->layout.stride < pool_magazine_nr(pool, slot),
			   "a word names a magazine that its segment does not have");
		if (audit->problem == NULL)
			audit->named[m]++;
	} else {
		audit_that(audit, audit_member(audit, holder), "a word names no member");
	}
	audit_that(audit, !(word >> PINION_HOLDER_BITS & 15), "a word has bits that must be clear");
}

static inline void audit_contents(struct pool_audit *audit, uint32_t m, uint32_t nr)
{
	const struct pinion_pool *pool = audit->pool;

	audit_that(audit, nr >= 1 && nr <= pool->geometry.magazine_size,
		   "a depot magazine without ids");
	audit_that(audit, nr == audit->named[m], "a depot magazine holds not what words say");
	for (uint32_t i = 0; i < nr && audit->problem == NULL; i++) {
		const uint32_t id = pool_content(pool, m)[i];

		audit_that(audit, id < pool->view.nr_ids, "a depot magazine holds no id");
		if (audit->problem != NULL)
			return;
		audit_that(audit,
			   pinion_owner_holder(pool->view.owner[id]) == pinion_owner_magazine(m),
			   "a depot magazine holds an id whose word names another place");
		audit_that(audit, !audit->inside[id]++, "an id lies in the depot twice");
	}
}

static inline bool audit_hint(const _Atomic uint64_t *bitmap, uint32_t m)
{
	return bitmap[m / 64] >> (m % 64) & 1;
}

static inline void audit_magazine(struct pool_audit *audit, uint32_t m)
{
	const struct pinion_pool *pool = audit->pool;
	const uint64_t word = pool->magazine[m];
	const uint32_t holder = pinion_owner_holder(word);

	if (holder == MAGAZINE_DEPOT) {
		audit_contents(audit, m, magazine_word_nr(word));
		audit_that(audit, audit_hint(pool->depot, m), "a depot magazine has no hint");
	} else if (holder == MAGAZINE_EMPTY) {
		audit_that(audit, audit->named[m] == 0, "a word names an empty magazine");
		audit_that(audit, audit_hint(pool->empty, m), "an empty magazine has no hint");
	} else {
		audit_that(audit, holder != MAGAZINE_SERVICE, "a magazine is left to the keeper");
		audit_that(audit, audit_member(audit, holder), "a magazine is nobody's");
	}
	audit_that(audit, audit->named[m] <= pool->geometry.magazine_size,
		   "more words name a magazine than it has room for");
}

/* Without a segment: what is left of the one before. */
static inline void audit_absent(struct pool_audit *audit, uint32_t slot)
{
	const struct pinion_pool *pool = audit->pool;
	const uint32_t first = pool_magazine_first(pool, slot);

	if (slot_state_of(pool->state[slot]) == SLOT_ABSENT)
		return;
	for (uint32_t m = first; m < first + pool->layout.stride; m++)
		audit_that(audit, pinion_owner_holder(pool->magazine[m]) != MAGAZINE_DEPOT,
			   "the depot has a magazine of a segment that is gone");
}

static inline void audit_slot(struct pool_audit *audit, uint32_t slot)
{
	const struct pinion_pool *pool = audit->pool;

	if (!pool_has_segment(pool, slot)) {
		audit_absent(audit, slot);
		return;
	}
	for (uint32_t i = 0; i < 1u << pool->geometry.segment_shift; i++)
		audit_word(audit, slot, i);
	for (uint32_t i = 0; i < pool_magazine_nr(pool, slot); i++)
		audit_magazine(audit, pool_magazine_first(pool, slot) + i);
}

static inline void audit_tickets(struct pool_audit *audit)
{
	const struct pinion_pool *pool = audit->pool;

	for (uint32_t i = 0; i < pool->geometry.nr_caches; i++)
		audit_that(audit, pool->cache[i] == 0 || audit_member(audit, pool->cache[i]),
			   "a ticket is in the hand of no member");
}

static inline const char *pool_problem(const struct pinion_pool *pool)
{
	struct pool_audit audit = {
		.pool = pool,
		.named = calloc(pool->geometry.nr_segments * pool->layout.stride, 4),
		.inside = calloc(pool->view.nr_ids, 4),
	};

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		audit_slot(&audit, s);
	audit_tickets(&audit);
	free(audit.inside);
	free(audit.named);
	return audit.problem;
}

static inline void assert_pool_sound(const struct pinion_pool *pool)
{
	const char *problem = pool_problem(pool);

	if (problem != NULL)
		print_message("# %s\n", problem);
	assert_null(problem);
}

/* At rest, with nothing held by anyone. */
static inline void assert_pool_whole(const struct pinion_pool *pool)
{
	assert_pool_sound(pool);
	assert_int_equal(pool_free(pool), pool_total(pool));
}

/* The last of a pool at rest, and of a cache of it; NULL: none is open. */
static inline void pool_finish(struct pinion_pool *pool, struct pinion_cache *cache)
{
	if (cache != NULL)
		assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pool);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The sentence of a call that failed must name the thing. */
static inline void assert_sentence(const char *part)
{
	if (strstr(pinion_error_text(), part) == NULL)
		print_message("# \"%s\" does not say \"%s\"\n", pinion_error_text(), part);
	assert_non_null(strstr(pinion_error_text(), part));
}

#endif
