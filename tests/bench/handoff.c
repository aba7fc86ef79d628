/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handoff: two members of a pool, each in a process of its own; see handoff.h.
 *
 *     pinion   a channel: each change of hands checked and recorded; whoever is killed, nothing
 *              is lost. The bus address from a domain of physical addresses (needs CAP_SYS_ADMIN)
 */

#define HANDOFF_BURST 32u

#include <errno.h>
#include <unistd.h>

#include <pinion/domain.h>

#include "link_pinion.h"

struct side {
	struct link *link;
	struct pinion_cache *cache;
	struct pinion_domain *domain;
};

static void handoff_open(void *arg, bool leads)
{
	struct side *side = arg;
	int table = pinion_domain_fd(side->domain);

	link_open(side->link, leads);
	if (leads)
		side->cache = bench_cache(side->link->pool, 128);
	else
		bench_check(pinion_domain_attach(side->link->pool, dup(table), &side->domain));
}

static inline uint32_t handoff_post(void *arg, uint32_t nr)
{
	struct side *side = arg;
	struct pinion_buffer buffer[HANDOFF_BURST];
	struct pinion_desc desc[HANDOFF_BURST];
	int got = pinion_buffer_alloc_bulk(side->cache, buffer, nr);

	for (int i = 0; i < got; i++) {
		*(uint64_t *)pinion_buffer_addr(side->link->pool, buffer[i]) = buffer[i].bits;
		desc[i] = (struct pinion_desc){buffer[i], 8, (uint32_t)i};
	}
	for (int sent = 0; sent < got;)
		sent += (int)link_send(side->link, desc + sent, (uint32_t)(got - sent));
	return got < 0 ? 0 : (uint32_t)got;
}

static inline uint32_t handoff_reap(void *arg, uint32_t nr)
{
	struct side *side = arg;
	struct pinion_buffer buffer[HANDOFF_BURST];
	struct pinion_desc desc[HANDOFF_BURST];
	uint32_t got = link_recv(side->link, desc, nr);

	for (uint32_t i = 0; i < got; i++)
		buffer[i] = desc[i].buffer;
	if (got && pinion_buffer_free_bulk(side->cache, buffer, got) != (int)got)
		bench_die("a free was refused");
	return got;
}

static inline uint32_t handoff_serve(void *arg, uint32_t nr)
{
	struct side *side = arg;
	struct pinion_desc desc[HANDOFF_BURST];
	uint32_t got = link_recv(side->link, desc, nr);

	for (uint32_t i = 0; i < got; i++)
		bench_keep(pinion_buffer_bus(side->domain, desc[i].buffer, 0));
	for (uint32_t sent = 0; sent < got;)
		sent += link_send(side->link, desc + sent, got - sent);
	return got;
}

#include "handoff.h"

static void run_pinion(struct bench *b)
{
	struct pinion_pool *pool;
	struct side side = {0};
	int err;

	if (!b->huge)
		bench_skip("physical addresses are for hugepages only");
	pool = bench_pool(b, HANDOFF_BUFFERS * HANDOFF_BUFFER_SIZE, HANDOFF_BUFFER_SIZE);
	err = pinion_domain_create_phys(pool, &side.domain);
	if (err == -EPERM || err == -ENOTSUP)
		bench_skip("%s", pinion_error_text());
	bench_check(err);
	side.link = link_over(pool, HANDOFF_SLOTS);
	pair_run(b, handoff_lead, handoff_follow, &side);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"handoff", "pinion", "ns", run_pinion, 32},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
