/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rtt_poll, written once for every implementation: one item there and back. The program defines
 * a link first, see stream.h.
 *
 * Both sides poll without a pause: a pause is latency.
 */

#include <stdlib.h>

#include "pair.h"

#define PINGS 1000u /* of a block */
#define PING_SLOTS 16384u

static void ping_lead(struct bench *b, void *arg)
{
	struct link *link = (struct link *)arg;
	item it;

	link_open(link, true);
	item_make(&it, 0, 0);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < PINGS; i++) {
			while (!link_send(link, &it, 1))
				;
			while (!link_recv(link, &it, 1))
				;
		}
		bench_sample(b, (double)(bench_now_ns() - start) / PINGS);
	}
}

static void ping_follow(void *arg)
{
	struct link *link = (struct link *)arg;
	item it;

	link_open(link, false);
	for (;;) {
		while (!link_recv(link, &it, 1))
			if (pair_stopped())
				return;
		while (!link_send(link, &it, 1))
			;
	}
}

static void ping_run(struct bench *b)
{
	pair_run(b, ping_lead, ping_follow, link_create(b, PING_SLOTS, 1));
}

/*
 * latency_*: each round trip timed by itself, which adds two looks at the clock to it; the value
 * at the case's argument in thousandths. What is rare shows here and not in a median of blocks.
 */
#define LATENCY_PINGS 100000u

static int ping_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double ping_once(struct link *link, item *it)
{
	uint64_t start = bench_now_ns();

	while (!link_send(link, it, 1))
		;
	while (!link_recv(link, it, 1))
		;
	return (double)(bench_now_ns() - start);
}

static void latency_lead(struct bench *b, void *arg)
{
	static double took[LATENCY_PINGS];
	uint32_t nr = b->smoke ? LATENCY_PINGS / 100 : LATENCY_PINGS;
	struct link *link = (struct link *)arg;
	item it;

	link_open(link, true);
	item_make(&it, 0, 0);
	for (uint32_t i = 0; i < 2 * nr; i++) /* the first half warms up */
		took[i % nr] = ping_once(link, &it);
	qsort(took, nr, sizeof(*took), ping_compare);
	bench_figure(b, took[(uint64_t)nr * b->is->arg / 1000]);
}

static inline void ping_latency(struct bench *b)
{
	pair_run(b, latency_lead, ping_follow, link_create(b, PING_SLOTS, 1));
}

#define LATENCY_CASE(name, impl, thousandth) {"latency_" name, impl, "ns", ping_latency, thousandth}
#define LATENCY_CASES(impl)                                                                      \
	LATENCY_CASE("p50", impl, 500), LATENCY_CASE("p90", impl, 900),                          \
		LATENCY_CASE("p99", impl, 990), LATENCY_CASE("p999", impl, 999)
