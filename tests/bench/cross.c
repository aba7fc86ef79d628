/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alloc_cross_32: two members of a pool, each in a process of its own; see cross.h.
 *
 * Every buffer is some member's at every instant: the leader records that it holds it, the
 * follower checks id, length, owner and generation and takes it over, then checks and frees it,
 * and it comes back through the depot. Whoever is killed, nothing is lost.
 */

#define CROSS_BURST 32u

#include "link_pinion.h"

struct side {
	struct link *link;
	struct pinion_cache *cache;
};

static void cross_open(void *arg, bool leads)
{
	struct side *side = arg;

	link_open(side->link, leads);
	side->cache = bench_cache(side->link->pool, LINK_BUFFER);
}

static inline uint32_t cross_take(void *arg, item *it, uint32_t nr)
{
	struct pinion_buffer buffer[CROSS_BURST];
	int got = pinion_buffer_alloc_bulk(((struct side *)arg)->cache, buffer, nr);

	for (int i = 0; i < got; i++)
		it[i] = (item){buffer[i], LINK_BUFFER, (uint32_t)i};
	return got < 0 ? 0 : (uint32_t)got;
}

static inline uint32_t cross_send(void *arg, const item *it, uint32_t nr)
{
	return link_send(((struct side *)arg)->link, it, nr);
}

static inline uint32_t cross_recv(void *arg, item *it, uint32_t nr)
{
	return link_recv(((struct side *)arg)->link, it, nr);
}

static inline void cross_give(void *arg, const item *it, uint32_t nr)
{
	struct pinion_buffer buffer[CROSS_BURST];

	for (uint32_t i = 0; i < nr; i++)
		buffer[i] = it[i].buffer;
	if (pinion_buffer_free_bulk(((struct side *)arg)->cache, buffer, nr) != (int)nr)
		bench_die("a free was refused");
}

#include "cross.h"

static void run_pinion(struct bench *b)
{
	struct pinion_pool *pool = bench_pool(b, CROSS_BUFFERS * LINK_BUFFER, LINK_BUFFER);
	struct side side = {link_over(pool, CROSS_SLOTS), NULL};

	pair_run(b, cross_lead, cross_follow, &side);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"alloc_cross_32", "pinion", "ns", run_pinion, 32},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
