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
 *  - test_seed(), test_random(): numbers that PINION_SEED repeats.
 */

#include "support.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/random.h>
#include <time.h>

#include <pinion/cache.h>
#include <pinion/error.h>
#include <pinion/pool.h>

#include "depot.h"
#include "layout.h"
#include "pool.h"

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

/* Numbers. xorshift64*, Vigna 2016: good enough to choose operations, and repeatable. */

static inline uint64_t test_seed(void)
{
	const char *given = getenv("PINION_SEED");
	uint64_t seed = 0;

	if (given != NULL)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uint64_t)time(NULL);
	seed |= 1; /* the generator stays at 0 for ever */
	print_message("# PINION_SEED=%#jx\n", (uintmax_t)seed);
	return seed;
}

static inline uint64_t test_random(uint64_t *random)
{
	*random ^= *random >> 12;
	*random ^= *random << 25;
	*random ^= *random >> 27;
	return *random * UINT64_C(2685821657736338717);
}

static inline uint32_t test_below(uint64_t *random, uint32_t bound)
{
	return (uint32_t)((test_random(random) >> 32) * bound >> 32);
}

static inline uint64_t test_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Pools. */

/* One segment of nr buffers in 4 KiB pages; nr is a multiple of 4096 / size. */
static inline struct pinion_pool_config pool_config(size_t nr, size_t size)
{
	struct pinion_pool_config config = {
		.name = "test",
		.nr_members = 8,
		.nr_caches = 8,
		.nr_segments = 1,
	};

	config.segment[0] =
		(struct pinion_segment_config){nr * size, size, 4096, PINION_NODE_ANY};
	return config;
}

static inline struct pinion_pool *pool_make_from(const struct pinion_pool_config *config)
{
	struct pinion_pool *pool = NULL;
	const int err = pinion_pool_create(config, &pool);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
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
		fds.segment[i] = fcntl(fds.segment[i], F_DUPFD_CLOEXEC, 3);
	return fds;
}

static inline void pool_files_close(const struct pinion_pool_fds *fds)
{
	close(fds->control);
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		close(fds->segment[i]);
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
	const struct pinion_cache_config config = {size, PINION_NODE_ANY};
	struct pinion_cache *cache = NULL;
	const int err = pinion_cache_open(pool, &config, &cache);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return cache;
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
 * The protocol, checked as a whole: what contradicts it, or NULL. pre: nobody moves meanwhile.
 *
 *   - a word MAG(m) names a magazine of its own zone, that lies in the depot with this id inside,
 *     exactly once, or that a member has
 *   - no word names an EMPTY magazine, and none is left to SERVICE
 *   - every magazine that lies in the depot can be found: its hint is set
 *   - ids between segments have words of 0
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

static inline void audit_word(struct pool_audit *audit, uint32_t segment, uint32_t i)
{
	const struct pinion_pool *pool = audit->pool;
	const uint32_t id = (segment << pool->geometry.segment_shift) + i;
	const uint64_t word = pool->view.owner[id];
	const uint32_t holder = pinion_owner_holder(word);
	const uint32_t m = holder & PINION_HOLDER_INDEX_MASK;

	if (i >= pool->segment[segment].nr) {
		audit_that(audit, word == 0, "an id between segments has a word");
	} else if (holder & PINION_HOLDER_MAGAZINE) {
		const uint32_t of = m / pool->layout.stride;

		audit_that(audit,
			   of < pool->geometry.nr_segments &&
				   m % pool->layout.stride < pool_magazine_nr(pool, of) &&
				   pool->segment[of].zone == pool->segment[segment].zone,
			   "a word names a magazine that its zone does not have");
		if (audit->problem == NULL)
			audit->named[m]++;
	} else {
		audit_that(audit, holder >= 1 && holder <= pool->geometry.nr_members,
			   "a word names no member");
	}
}

static inline void audit_contents(struct pool_audit *audit, uint32_t m, uint32_t nr)
{
	const struct pinion_pool *pool = audit->pool;

	audit_that(audit, nr >= 1 && nr <= PINION_MAGAZINE_SIZE, "a depot magazine without ids");
	audit_that(audit, nr == audit->named[m], "a depot magazine holds not what words say");
	for (uint32_t i = 0; i < nr && audit->problem == NULL; i++) {
		const uint32_t id = pool->content[m].id[i];

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
		audit_contents(audit, m, (uint32_t)(word >> PINION_HOLDER_BITS));
		audit_that(audit, audit_hint(pool->depot, m), "a depot magazine has no hint");
	} else if (holder == MAGAZINE_EMPTY) {
		audit_that(audit, audit->named[m] == 0, "a word names an empty magazine");
		audit_that(audit, audit_hint(pool->empty, m), "an empty magazine has no hint");
	} else {
		audit_that(audit, holder >= 1 && holder <= pool->geometry.nr_members,
			   "a magazine is left to recovery, or to nobody");
		audit_that(audit, audit->named[m] <= PINION_MAGAZINE_SIZE,
			   "more words name a magazine than it has room for");
	}
}

static inline const char *pool_problem(const struct pinion_pool *pool)
{
	struct pool_audit audit = {
		.pool = pool,
		.named = calloc(pool->geometry.nr_segments * pool->layout.stride, 4),
		.inside = calloc(pool->view.nr_ids, 4),
	};

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		for (uint32_t i = 0; i < 1u << pool->geometry.segment_shift; i++)
			audit_word(&audit, s, i);
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		for (uint32_t i = 0; i < pool_magazine_nr(pool, s); i++)
			audit_magazine(&audit, pool_magazine_first(pool, s) + i);
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

/* The sentence of a call that failed must name the thing. */
static inline void assert_sentence(const char *part)
{
	if (strstr(pinion_error_text(), part) == NULL)
		print_message("# \"%s\" does not say \"%s\"\n", pinion_error_text(), part);
	assert_non_null(strstr(pinion_error_text(), part));
}

#endif
