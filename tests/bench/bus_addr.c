/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bus_addr: the bus address of a buffer, ids in random order; nanoseconds a look-up.
 *
 *     pinion   pinion_buffer_bus() in a domain of physical addresses (needs CAP_SYS_ADMIN)
 *     flat     an array with one address for each id
 *
 * 1,024 buffers, so that everything looked at lies in the first level cache (the flat array has
 * 8 KiB): the look-up is measured, not the cache. A flat array of a large pool would not fit.
 */

#include <errno.h>

#include <pinion/cache.h>
#include <pinion/domain.h>
#include <pinion/error.h>

#include "pool.h"
#include "random.h"

#define BUFFER_SIZE 65536u
#define BUFFERS 1024u

static struct pinion_buffer order[RANDOM_NR];
static uint64_t flat[BUFFERS];

/* A domain over a new pool, and the order of look-ups in it. */
static struct pinion_domain *open_domain(struct bench *b)
{
	static struct pinion_buffer buffer[BUFFERS];
	struct pinion_domain *domain;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	int err;

	if (!b->huge)
		bench_skip("physical addresses are for hugepages only");
	pool = bench_pool(b, (size_t)BUFFERS * BUFFER_SIZE, BUFFER_SIZE);
	cache = bench_cache(pool, BUFFER_SIZE);
	err = pinion_domain_create_phys(pool, &domain);
	if (err == -EPERM || err == -ENOTSUP)
		bench_skip("%s", pinion_error_text());
	bench_check(err);
	for (uint32_t i = 0; i < BUFFERS; i++)
		bench_check(pinion_buffer_alloc(cache, &buffer[i]));
	for (uint32_t i = 0; i < RANDOM_NR; i++)
		order[i] = buffer[random_below(i, BUFFERS)];
	return domain;
}

static void run_pinion(struct bench *b)
{
	struct pinion_domain *domain = open_domain(b);

	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < RANDOM_TIMES; i++)
			bench_keep(pinion_buffer_bus(domain, order[i % RANDOM_NR], 0));
		bench_sample(b, (double)(bench_now_ns() - start) / RANDOM_TIMES);
	}
	bench_check(pinion_domain_destroy(domain));
}

/* The same addresses, by the same handles. */
static void run_flat(struct bench *b)
{
	struct pinion_domain *domain = open_domain(b);

	for (uint32_t i = 0; i < RANDOM_NR; i++)
		flat[pinion_buffer_id(order[i])] = pinion_buffer_bus(domain, order[i], 0);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < RANDOM_TIMES; i++)
			bench_keep(flat[pinion_buffer_id(order[i % RANDOM_NR])]);
		bench_sample(b, (double)(bench_now_ns() - start) / RANDOM_TIMES);
	}
	bench_check(pinion_domain_destroy(domain));
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"bus_addr", "pinion", "ns", run_pinion, 0},
		{"bus_addr", "flat", "ns", run_flat, 0},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
