/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rtt_poll, written once for every implementation: one item there and back. The program defines
 * a link first, see stream.h.
 *
 * Both sides poll without a pause: a pause is latency.
 */

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
